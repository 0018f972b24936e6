"""From an address to a source: its files, their format, its readers, its splits and its shape."""

from collections.abc import Callable, Sequence
from hashlib import sha256

from pyarrow import fs

from components.config import Reading
from components.shared.addresses import redacted
from components.shared.days import DATE
from components.shared.errors import StepError, explain, is_about_a_file, listed
from components.shared.records import ImageShape
from components.sources import sniff, splits
from components.sources.arrays import is_npz, open_idx, open_npy, open_npz
from components.sources.buckets import explain_bucket
from components.sources.csv_files import holds_pixels, open_csv
from components.sources.fake import SCHEME, open_fake
from components.sources.files import File, find
from components.sources.folders import holds_pictures, open_archives, open_pictures
from components.sources.images import Conversion, UnreadableError
from components.sources.parquet import open_arrow, open_parquet
from components.sources.source import Opened, Reader, ReadOptions, Source, check_bounds
from components.sources.tfrecords import open_tfrecords

TRIED = 100  # records, for one that says the shape of all

# Opens files of one format, with the other files there.
Open = Callable[[Sequence[File], Sequence[File], ReadOptions], Opened]
OPEN: dict[str, Open] = {
    sniff.IDX: open_idx,
    sniff.NPZ: open_npz,
    sniff.NPY: open_npy,
    sniff.CSV: open_csv,
    sniff.PARQUET: open_parquet,
    sniff.ARROW: open_arrow,
    sniff.TFRECORD: open_tfrecords,
    sniff.PICTURE: open_pictures,
    sniff.ZIP: open_archives,
    sniff.TAR: open_archives,
}


def open_source(config: Reading, unpacked: fs.FileSystem, labelled: bool = True) -> Source:
    """Opens the source that a configuration names.

    Args:
        config: The address, and what to take of it.
        unpacked: Where files are unpacked to, for every worker to read.
        labelled: Whether records need labels; without, the label of each is -1.

    Raises:
        StepError: There is nothing to read there, it is damaged, or its images or classes are out
            of bounds.
    """
    options = ReadOptions(config, unpacked, labelled)
    if config.span and DATE not in config.source:
        raise StepError(f"{config.source}: --span {config.span} needs {DATE} in --source")
    try:
        source = _source(_opened(config.source, options), options)
    except OSError as error:  # pyarrow raises it for whatever a bucket answers
        if is_about_a_file(error):
            raise StepError(explain(error)) from None
        raise StepError(f"{config.source}: {explain_bucket(error)}") from None
    check_bounds(redacted(config.source), source)
    return source


def _opened(source: str, options: ReadOptions) -> Opened:
    """Finds and opens the files of the one format that there is.

    Raises:
        StepError: There is none, or there are several: which to take is not for us to say.
    """
    if source.startswith(SCHEME):
        return open_fake(source)
    of_format = sniff.by_format(find(options.config, source), _format)
    others = of_format.pop(sniff.OTHER, [])
    if sniff.PICTURE in of_format:
        others += _without_images(of_format, options)
    if not of_format:
        raise StepError(
            f"{source}: {listed([file.relpath for file in others])}: none of these files is of a "
            f"kind that can be read, which are {', '.join(OPEN)}"
        )
    if len(of_format) > 1:
        found = [f"{name} ({files[0].relpath})" for name, files in sorted(of_format.items())]
        raise StepError(
            f"{source}: holds {' and '.join(found)}; name one kind of them, by a pattern as "
            "'…/*.png'"
        )
    ((name, files),) = of_format.items()
    if name not in (sniff.PICTURE, sniff.ZIP, sniff.TAR):  # of which others may say the labels
        sniff.log_left_out(others)
    return OPEN[name](files, others, options)


def _without_images(of_format: dict[str, list[File]], options: ReadOptions) -> list[File]:
    """Takes out of what lies beside pictures other zips and tables without pixels."""
    found = []
    for name, has_images in ((sniff.ZIP, holds_pictures), (sniff.CSV, holds_pixels)):
        some = [file for file in of_format.get(name, []) if not has_images(file, options)]
        found += some
        kept = [file for file in of_format.pop(name, []) if file not in some]
        of_format |= {name: kept} if kept else {}
    return found


def _format(file: File) -> str:
    found = sniff.format_of(file.unpacked_head())
    if found == sniff.GZIP:  # packed twice
        return sniff.OTHER
    return sniff.NPZ if found == sniff.ZIP and is_npz(file) else found


def _source(opened: Opened, options: ReadOptions) -> Source:
    readers, classes, conversion, fingerprint, order = opened
    segments, splits_from = splits.assign(readers, options.validation_size)
    digests = "\n".join(reader.digest for reader in readers)
    return Source(
        readers=tuple(readers),
        segments=segments,
        splits_from=f"{splits_from}; {order}" if order else splits_from,
        classes=classes,
        conversion=conversion,
        image_shape=_image_shape(readers, conversion),
        fingerprint=fingerprint or sha256(digests.encode()).hexdigest(),
    )


def _image_shape(readers: Sequence[Reader], conversion: Conversion) -> ImageShape:
    """The shape that all readers say once it is converted, or that of the first readable image.

    Raises:
        StepError: They say several, or none of the first images can be read.
    """
    if conversion.size:
        return conversion.size
    known = [(reader, conversion.shape_of(reader.shape)) for reader in readers if reader.shape]
    for reader, shape in known:
        first, expected = known[0]
        if shape != expected:
            raise StepError(
                f"{reader.location}: images of {shape[0]} x {shape[1]} pixels, expected the "
                f"{expected[0]} x {expected[1]} of {first.location}; "
                f"--resize {expected[0]}x{expected[1]} converts"
            )
    return known[0][1] if known else _first_shape(readers, conversion)


def _first_shape(readers: Sequence[Reader], conversion: Conversion) -> ImageShape:
    first = next(reader for reader in readers if reader.records)
    tried, reason = min(TRIED, first.records), ""
    for raw in first.read(0, tried):
        for image in raw.images:
            try:
                height, width = conversion.of_image(image, None).shape
                return height, width
            except UnreadableError as error:
                reason = reason or str(error)
    location = first.locations(0, tried)
    name = f"{location}, record 0" if isinstance(location, str) else location[0]
    raise StepError(f"{name}: {reason}")
