"""From an address to a source."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath

from pyarrow import fs

from components.config import Ingest
from components.ingest import content, unpacking
from components.ingest.asked import Asked
from components.ingest.fake_source import SCHEME, open_fake
from components.ingest.idx_source import open_idx
from components.ingest.locate import File, find
from components.ingest.npz import is_npz, open_npz
from components.ingest.parquet_source import open_parquet
from components.ingest.selection import DATE
from components.ingest.source import Source, check_bounds
from components.ingest.split_names import listed
from components.shared.addresses import shown
from components.shared.errors import StepError, explain

SCHEMES = (SCHEME, "gs://", "https://", "http://")
# Opens files of one kind, with the other files there, as one source.
Open = Callable[[Sequence[File], Sequence[File], Asked], Source]
OPEN: dict[str, Open] = {
    content.IDX: open_idx,
    content.NPZ: open_npz,
    content.PARQUET: open_parquet,
}
LOOKED_INTO = 8  # files of one suffix; where they are all alike, the others are taken to be too
_DOCUMENTS = {"", ".md", ".txt", ".json", ".html", ".pdf", ".rst", ".py", ".yaml", ".yml", ".lock"}


def open_source(config: Ingest, unpacked: fs.FileSystem, labelled: bool = True) -> Source:
    """Opens the source that a configuration names.

    Args:
        config: The address, and what to take of it.
        unpacked: Where files are unpacked to, for every worker to read.
        labelled: Whether records need labels; without, the label of each is -1.

    Raises:
        StepError: There is nothing to read there, it is damaged, or its images or classes are out
            of bounds.
    """
    source = _open(Asked(config, unpacked, labelled))
    check_bounds(shown(config.source), source)
    return source


def _open(asked: Asked) -> Source:
    config = asked.config
    source = config.source
    scheme, separator, _ = source.partition("://")
    if separator and f"{scheme}://" not in SCHEMES:
        raise StepError(f"{source}: expected a path, or an address with {', '.join(SCHEMES)}")
    if config.span and DATE not in source:
        raise StepError(f"{source}: --span {config.span} needs {DATE} in --source")
    if source.startswith(SCHEME):
        return open_fake(source)
    try:
        of_kind = _by_kind(find(config, source))
        beside = of_kind.pop(content.OTHER, [])
        return _opener(source, of_kind, beside)(next(iter(of_kind.values())), beside, asked)
    except OSError as error:  # pyarrow raises it for whatever a bucket answers
        raise StepError(f"{source}: {explain(error)}") from None


def _opener(source: str, of_kind: dict[str, list[File]], beside: list[File]) -> Open:
    """What opens the one kind of files that there is.

    Raises:
        StepError: There is none, or there are several: which to take is not for us to say.
    """
    if not of_kind:
        raise StepError(
            f"{source}: {listed([file.below for file in beside])}: none of these files is of a "
            f"kind that can be read, which are {', '.join(OPEN)}"
        )
    if len(of_kind) > 1:
        kinds = " and ".join(
            f"{kind} ({files[0].below})" for kind, files in sorted(of_kind.items())
        )
        raise StepError(
            f"{source}: holds {kinds}; name one kind of them, by a pattern as '…/*.png'"
        )
    left_out = [file.name for file in beside if not _is_document(file)]
    if left_out:
        print(f"Left out, since no images are in it: {listed(left_out)}")
    return OPEN[next(iter(of_kind))]


def _by_kind(files: Iterable[File]) -> dict[str, list[File]]:
    """Sorts files by what they are."""
    of_suffix: dict[str, list[File]] = defaultdict(list)
    for file in files:
        of_suffix["".join(PurePath(file.below).suffixes).lower()].append(file)
    of_kind: dict[str, list[File]] = defaultdict(list)
    for alike in of_suffix.values():
        kinds = [_kind(file) for file in alike[:LOOKED_INTO]]
        if len(set(kinds)) > 1:
            kinds += [_kind(file) for file in alike[LOOKED_INTO:]]
        kinds += kinds[:1] * (len(alike) - len(kinds))
        for kind, file in zip(kinds, alike, strict=True):
            of_kind[kind].append(file)
    return {kind: sorted(found, key=lambda file: file.name) for kind, found in of_kind.items()}


def _kind(file: File) -> str:
    kind = content.kind_of(unpacking.head(file))
    if kind == content.ZIP and is_npz(file):
        return content.NPZ
    return content.promised_by(file.below) if kind == content.OTHER else kind


def _is_document(file: File) -> bool:
    return PurePath(file.below).suffix.lower() in _DOCUMENTS
