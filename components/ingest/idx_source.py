"""The four IDX files under the names that MNIST gave them, as a source."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from pyarrow import fs

from components.ingest.download import Download, is_remote
from components.ingest.idx import IdxFile, unpack
from components.ingest.source import Range, Records, Segment, cut, number
from components.shared.addresses import joined, shown
from components.shared.errors import StepError
from components.shared.records import ImageShape

TRAIN, TEST = 0, 1  # Range.file
SUMS = "MD5SUMS"
DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class IdxSource:
    """Two pairs of files: images and labels, for training and for testing."""

    pairs: tuple[tuple[IdxFile, IdxFile], tuple[IdxFile, IdxFile]]
    validation_size: int
    class_names: tuple[str, ...] = DIGITS

    @property
    def image_shape(self) -> ImageShape:
        """See :class:`~components.ingest.source.Source`."""
        _, height, width = self.pairs[TRAIN][0].shape
        return height, width

    @property
    def splits_from(self) -> str:
        """See :class:`~components.ingest.source.Source`."""
        return (
            "train and test are those of the source, validation the first "
            f"{self.validation_size:,} records of train"
        )

    @property
    def fingerprint(self) -> str:
        """sha256 over the sha256 sums of the unpacked files."""
        sums = [file.sha256 for pair in self.pairs for file in pair]
        return sha256("\n".join(sums).encode()).hexdigest()

    def ranges(self, shard_size: int) -> list[Range]:
        """See :class:`~components.ingest.source.Source`."""
        segments = (
            Segment("train", TRAIN, self.validation_size, self.pairs[TRAIN][0].records),
            Segment("validation", TRAIN, 0, self.validation_size),
            Segment("test", TEST, 0, self.pairs[TEST][0].records),
        )
        return number(piece for segment in segments for piece in cut(segment, shard_size))

    def read(self, part: Range) -> Records:
        """See :class:`~components.ingest.source.Source`."""
        images, labels = (file.read(part.start, part.stop) for file in self.pairs[part.file])
        return Records(images, labels.astype(np.int64), np.arange(len(images)), [])

    def where(self, part: Range, position: int) -> str:
        """See :class:`~components.ingest.source.Source`."""
        return f"{self.pairs[part.file][1].name}, record {part.start + position}"


def open_idx(source: str, validation_size: int, cache: str, unpacked: fs.FileSystem) -> IdxSource:
    """Opens a directory of IDX files, plain or gzip, on disk, ``gs://`` or ``https://``.

    A directory that has a file MD5SUMS, as ``md5sum`` writes it for the unpacked files, is checked
    against it.

    Args:
        source: The directory.
        validation_size: Records taken off the start of the training files for validation.
        cache: Directory in which downloaded files are kept.
        unpacked: Where to unpack the files to: every worker reads them there.

    Raises:
        StepError: A file is missing or damaged, or the files do not fit together.
    """
    if not is_remote(source) and not Path(source).is_dir():
        raise StepError(f"{source}: not found, expected a directory with the four IDX files")
    download = Download(cache)
    sums = _published_sums(source, download)

    def file(name: str, dimensions: int) -> IdxFile:
        found, packed = _find(source, name, download)
        return unpack(packed, found, unpacked, name, dimensions, sums.get(name))

    def pair(prefix: str) -> tuple[IdxFile, IdxFile]:
        images = file(f"{prefix}-images-idx3-ubyte", 3)
        labels = file(f"{prefix}-labels-idx1-ubyte", 1)
        if images.records != labels.records:
            raise StepError(
                f"{images.name} has {images.records} records, {labels.name} has {labels.records}; "
                "expected as many images as labels"
            )
        return images, labels

    train, test = pair("train"), pair("t10k")
    if test[0].shape[1:] != train[0].shape[1:]:
        sizes = [" x ".join(map(str, images.shape[1:])) for images, _ in (test, train)]
        raise StepError(
            f"{test[0].name}: images of {sizes[0]} pixels, expected the {sizes[1]} of "
            f"{train[0].name}"
        )
    if test[0].records == 0:
        raise StepError(f"{test[0].name}: no records, expected some to test on")
    if validation_size >= train[0].records:
        raise StepError(
            f"{train[0].name}: {train[0].records} records, expected more than the "
            f"{validation_size} of --validation-size"
        )
    return IdxSource((train, test), validation_size)


def _find(directory: str, name: str, download: Download) -> tuple[str, Path]:
    """The address of a file of the directory, plain or gzip, and where it lies on disk."""
    # Who publishes digits publishes them packed: on a network that is one request less.
    for candidate in (f"{name}.gz", name) if is_remote(directory) else (name, f"{name}.gz"):
        address = joined(directory, candidate)
        path = _on_disk(address, download)
        if path:
            return shown(address), path
    raise StepError(f"{shown(joined(directory, name))}: not found, neither plain nor as {name}.gz")


def _on_disk(address: str, download: Download) -> Path | None:
    if is_remote(address):
        return download(address)
    return Path(address) if Path(address).is_file() else None


def _published_sums(directory: str, download: Download) -> dict[str, str]:
    address = joined(directory, SUMS)
    path = _on_disk(address, download)
    if path is None:
        return {}
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if any(len(line) != 2 for line in lines):
        raise StepError(f"{shown(address)}: expected lines of an MD5 sum and a file name")
    return {name.lstrip("*"): md5.lower() for md5, name in lines}
