"""Which split a file belongs to by its name, and which records of a source make up each split."""

import re
from collections.abc import Iterator, Sequence

from components.shared.errors import StepError, listed, log_line
from components.shared.manifests import SPLITS
from components.sources.source import Reader, Segment

HELD_OUT = "held out"  # a split apart from train that may be either of the others
ORDER = (*SPLITS, HELD_OUT, None)
# The names that data sets give their splits, as words of a file's or a directory's name.
_NAMES = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "validate", "valid", "val", "dev"),
    "test": ("test", "tests", "testing", "tst", "t10k"),
    HELD_OUT: ("eval", "evaluation", "holdout", "heldout", "unseen"),
}
_SPLITS = {name: split for split, names in _NAMES.items() for name in names}
_BY_HASH = "a hash of each image, by the shares of --validation-share and --test-share"


def split_of(path: str) -> str | None:
    """The split that a path says by a word of its file's name, or else of a directory's.

    Words are told apart by signs, capitals and numbers: Split-eval, testImages, train2.

    Args:
        path: Relative to the directory that the source names, so that what lies above says nothing.
    """
    for part in reversed(path.split("/")):
        text = re.sub("([a-z0-9])([A-Z])", r"\1 \2", part).lower()
        text = re.sub("(held|hold)[-_. ]?out", "holdout", text)
        words = re.findall("t10k|[a-z]+", text)
        found = {_SPLITS[word] for word in words if word in _SPLITS}
        if len(found) == 1:
            return found.pop()
    return None


def assign(
    readers: Sequence[Reader], validation_size: int | None
) -> tuple[tuple[Segment, ...], str]:
    """Keeps the splits of a source, or leaves them to a hash of each image where it has none.

    A source has splits where its readers name train and another one; nothing of what is not called
    train is ever trained on. Where there is no test, the other one is it. Validation, where it is
    not named besides, is taken off the start of train. Where train is named, readers of no known
    name are left out, and logged.

    Args:
        readers: Each of one split at most.
        validation_size: Records taken off, a tenth where train has no more than that; None where
            splits are not asked for: then nothing is left out either.

    Returns:
        The records of each split, and a sentence that says what decides.

    Raises:
        StepError: There is a split without records, or one that may be either of two.
    """
    if not any(reader.records for reader in readers):
        raise StepError(f"{readers[0].location}: no records in {len(readers)} files, expected some")
    if validation_size is None:
        return tuple(_whole(readers)), f"{_BY_HASH}, since none are asked for"
    named = {reader.split for reader in readers} - {None}
    kept = [one for one in readers if one.split or "train" not in named]
    left_out = [one.location for one in readers if not one.split and "train" in named]
    if left_out:
        log_line(f"Left out, since other files name the splits: {listed(left_out)}")
    also = f"; {len(left_out):,} files that name none are left out" if left_out else ""
    if len(named) < 2:
        names = f"names {named.pop()} only" if named else "names none"
        segments = tuple(one for one in _whole(readers) if readers[one.file].split or not left_out)
        return segments, f"{_BY_HASH}, since the source {names}{also}"
    meant = _meanings(readers, named)
    for split in dict.fromkeys(meant.values()):
        of_split = [reader for reader in kept if meant[reader.split] == split]
        if not any(reader.records for reader in of_split):
            raise StepError(
                f"{of_split[0].location}: no records, expected some for the split {split}"
            )
    taken = 0 if "validation" in meant.values() else _taken(kept, validation_size)
    said = "train and test are those that the source names"
    other = next((name for name, split in meant.items() if split == "test" and name != "test"), "")
    said += f" (test: {other})" if other else ""
    said += f", validation is the first {taken:,} records of train" if taken else ", validation too"
    return tuple(_official(readers, meant, taken)), said + also


def _whole(readers: Sequence[Reader]) -> Iterator[Segment]:
    return (Segment(None, place, 0, one.records) for place, one in enumerate(readers))


def _meanings(readers: Sequence[Reader], named: set[str | None]) -> dict[str | None, str]:
    """Which split each name stands for."""
    if "train" not in named:
        names = " and ".join(sorted(filter(None, named)))
        raise StepError(
            f"{readers[0].location}: the source names {names}, and not train; name one of them"
        )
    meant = {split: str(split) for split in named}
    others = [name for name in ("test", HELD_OUT, "validation") if name in named]
    if len(others) > 2:
        raise StepError(
            f"{readers[0].location}: the source names test, validation and another held-out "
            "split; name three of them"
        )
    meant |= dict(zip(others, ("test", "validation"), strict=False))
    return meant


def _taken(readers: Sequence[Reader], validation_size: int) -> int:
    """How many records of train are validation: as many as asked for, or a tenth."""
    train = [reader for reader in readers if reader.split == "train"]
    total = sum(reader.records for reader in train)
    if validation_size < total:
        return validation_size
    if total < 2:
        raise StepError(f"{train[0].location}: {total} records of train, expected 2 at least")
    taken = max(1, total // 10)
    log_line(
        f"Validation is {taken:,} records, a tenth of train, which has no more than the "
        f"{validation_size:,} of --validation-size"
    )
    return taken


def _official(
    readers: Sequence[Reader], meant: dict[str | None, str], taken: int
) -> Iterator[Segment]:
    for place, reader in enumerate(readers):
        if reader.split is None:
            continue
        split = meant[reader.split]
        off = min(taken, reader.records) if split == "train" else 0
        taken -= off
        yield Segment("validation", place, 0, off)
        yield Segment(split, place, off, reader.records)
