"""Where digits come from: a source names its splits and reads ranges of their records."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from components.ingest.idx import IdxFile, unpack
from components.shared.errors import StepError
from components.shared.records import IMAGE_SHAPE, Images, Labels


@dataclass(frozen=True)
class Range:
    """Records start … stop - 1 of a split's part of a source: one shard."""

    split: str
    shard: int
    shards: int
    start: int
    stop: int

    @property
    def file(self) -> str:
        """The shard's file, relative to the dataset's directory."""
        return f"{self.split}/examples-{self.shard:05d}-of-{self.shards:05d}.tfrecord"


@dataclass(frozen=True)
class IdxSource:
    """The four IDX files under the names that MNIST gave them."""

    train: tuple[IdxFile, IdxFile]  # images, labels
    test: tuple[IdxFile, IdxFile]
    validation_size: int

    @property
    def fingerprint(self) -> str:
        """sha256 over the sha256 sums of the unpacked files."""
        sums = [file.sha256 for pair in (self.train, self.test) for file in pair]
        return sha256("\n".join(sums).encode()).hexdigest()

    def ranges(self, shard_size: int) -> list[Range]:
        """Cuts the splits into shards of nearly equal size, the same whatever the runner."""
        train, test = self.train[0].records, self.test[0].records
        return [
            *_cut("train", self.validation_size, train, shard_size),
            *_cut("validation", 0, self.validation_size, shard_size),
            *_cut("test", 0, test, shard_size),
        ]

    def read(self, part: Range) -> tuple[Images, Labels]:
        """Reads a range's records and nothing else.

        Returns:
            images: uint8 ``[n, 28, 28]``.
            labels: uint8 ``[n]``, unchecked.
        """
        images, labels = self._files(part.split)
        return images.read(part.start, part.stop), labels.read(part.start, part.stop)

    def where(self, part: Range, record: int) -> str:
        """Names the record of a range, counted from 0, as the user knows it."""
        return f"{self._files(part.split)[1].name}, record {part.start + record}"

    def _files(self, split: str) -> tuple[IdxFile, IdxFile]:
        return self.test if split == "test" else self.train


def open_source(source: str, validation_size: int, scratch: Path) -> IdxSource:
    """Opens a directory of IDX files, plain or gzip.

    A directory that has a file MD5SUMS, as ``md5sum`` writes it for the unpacked files, is checked
    against it.

    Args:
        source: The directory.
        validation_size: Records taken off the start of the training files for validation.
        scratch: Directory for the unpacked files, where every worker can read them.

    Raises:
        StepError: A file is missing or damaged, or the files do not fit together.
    """
    directory = Path(source)
    if not directory.is_dir():
        raise StepError(f"{source}: not found, expected a directory with the four IDX files")
    sums = _published_sums(directory)

    def pair(prefix: str) -> tuple[IdxFile, IdxFile]:
        names = (f"{prefix}-images-idx3-ubyte", 3), (f"{prefix}-labels-idx1-ubyte", 1)
        images, labels = (unpack(directory, n, scratch, d, sums.get(n)) for n, d in names)
        if images.records != labels.records:
            raise StepError(
                f"{images.name} has {images.records} records, {labels.name} has {labels.records}; "
                "expected as many images as labels"
            )
        if images.shape[1:] != IMAGE_SHAPE:
            found = " x ".join(map(str, images.shape[1:]))
            raise StepError(f"{images.name}: images of {found} pixels, expected 28 x 28")
        return images, labels

    train, test = pair("train"), pair("t10k")
    if test[0].records == 0:
        raise StepError(f"{test[0].name}: no records, expected some to test on")
    if validation_size >= train[0].records:
        raise StepError(
            f"{train[0].name}: {train[0].records} records, expected more than the "
            f"{validation_size} of --validation-size"
        )
    return IdxSource(train, test, validation_size)


def _published_sums(directory: Path) -> dict[str, str]:
    path = directory / "MD5SUMS"
    if not path.is_file():
        return {}
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if any(len(line) != 2 for line in lines):
        raise StepError(f"{path}: expected lines of an MD5 sum and a file name")
    return {name.lstrip("*"): md5.lower() for md5, name in lines}


def _cut(split: str, start: int, stop: int, shard_size: int) -> list[Range]:
    shards = -(-(stop - start) // shard_size)
    bounds = [start + (stop - start) * i // shards for i in range(shards + 1)]
    return [Range(split, i, shards, bounds[i], bounds[i + 1]) for i in range(shards)]
