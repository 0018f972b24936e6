"""Which split a file belongs to by its name, and which records of a source make up each split."""

import re
from collections.abc import Iterator, Sequence

from components.shared.errors import StepError, listed, log_line
from components.shared.manifests import SPLITS
from components.sources.source import Reader, Segment

# The names that data sets give their splits, as words of a file's or a directory's name.
_NAMES = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "tst", "t10k"),
}
_SPLITS = {name: split for split, names in _NAMES.items() for name in names}
_BY_HASH = "a hash of each image, by the shares of --validation-share and --test-share"


def split_of(path: str) -> str | None:
    """The split that a path says by a word of its file's name, or else of a directory's.

    Args:
        path: Relative to the directory that the source names, so that what lies above says nothing.
    """
    for part in reversed(path.split("/")):
        found = {_SPLITS[word] for word in re.findall("[a-z0-9]+", part.lower()) if word in _SPLITS}
        if len(found) == 1:
            return found.pop()
    return None


def assign(
    readers: Sequence[Reader], validation_size: int | None
) -> tuple[tuple[Segment, ...], str]:
    """Keeps the splits of a source, or leaves them to a hash of each image where it has none.

    A source has splits where its readers name both train and test. Validation, where no reader
    names it, is taken off the start of train. Readers of no split are then left out, and logged.

    Args:
        readers: Each of one split at most.
        validation_size: Records taken off; None where splits are not asked for: then nothing is
            left out either.

    Returns:
        The records of each split, and a sentence that says what decides.

    Raises:
        StepError: There is a split without records.
    """
    named = {reader.split for reader in readers} - {None}
    if not any(reader.records for reader in readers):
        raise StepError(f"{readers[0].location}: no records in {len(readers)} files, expected some")
    if validation_size is None or not {"train", "test"} <= named:
        whole = [Segment(None, place, 0, one.records) for place, one in enumerate(readers)]
        names = f"names {' and '.join(sorted(filter(None, named)))} only" if named else "names none"
        return tuple(whole), f"{_BY_HASH}, since the source {names}"
    for split in SPLITS:
        of_split = [reader for reader in readers if reader.split == split]
        if of_split and not any(reader.records for reader in of_split):
            raise StepError(
                f"{of_split[0].location}: no records, expected some for the split {split}"
            )
    taken = 0 if "validation" in named else validation_size
    segments = tuple(_official(readers, taken))
    left_out = [reader.location for reader in readers if reader.split is None]
    if left_out:
        log_line(f"Left out, since other files name the splits: {listed(left_out)}")
    return segments, _as_named(taken, len(left_out))


def _official(readers: Sequence[Reader], taken: int) -> Iterator[Segment]:
    train = [reader for reader in readers if reader.split == "train"]
    total = sum(reader.records for reader in train)
    if taken >= total:
        raise StepError(
            f"{train[0].location}: {total} records, expected more than the {taken} of "
            "--validation-size"
        )
    for place, reader in enumerate(readers):
        if reader.split is None:
            continue
        off = min(taken, reader.records) if reader.split == "train" else 0
        taken -= off
        yield Segment("validation", place, 0, off)
        yield Segment(reader.split, place, off, reader.records)


def _as_named(taken: int, left_out: int) -> str:
    said = "train and test are those that the source names"
    said += f", validation is the first {taken:,} records of train" if taken else ", validation too"
    return said + (f"; {left_out:,} files that name none are left out" if left_out else "")
