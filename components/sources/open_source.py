"""From an address to a source."""

from collections.abc import Callable, Sequence

from pyarrow import fs

from components.config import Reading
from components.shared.addresses import redacted
from components.shared.errors import StepError, explain, is_about_a_file
from components.sources import content, kinds, unpacking
from components.sources.asked import Asked
from components.sources.csv_source import open_csv
from components.sources.fake_source import SCHEME, open_fake
from components.sources.idx_source import open_idx
from components.sources.locate import File, check_scheme, find
from components.sources.npz import is_npz, open_npz
from components.sources.parquet_source import open_parquet
from components.sources.picture_source import open_archives, open_pictures
from components.sources.selection import DATE
from components.sources.source import Source, check_bounds
from components.sources.split_names import listed
from components.sources.tfrecord_source import open_tfrecord

# Opens files of one kind, with the other files there, as one source.
Open = Callable[[Sequence[File], Sequence[File], Asked], Source]
OPEN: dict[str, Open] = {
    content.IDX: open_idx,
    content.NPZ: open_npz,
    content.CSV: open_csv,
    content.PARQUET: open_parquet,
    content.TFRECORD: open_tfrecord,
    content.PICTURE: open_pictures,
    content.ZIP: open_archives,
    content.TAR: open_archives,
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
    source = _open(Asked(config, unpacked, labelled))
    check_bounds(redacted(config.source), source)
    return source


def _open(asked: Asked) -> Source:
    config = asked.config
    source = config.source
    check_scheme(source)
    if config.span and DATE not in source:
        raise StepError(f"{source}: --span {config.span} needs {DATE} in --source")
    if source.startswith(SCHEME):
        return open_fake(source)
    try:
        of_kind = kinds.by_kind(find(config, source), _kind)
        beside = of_kind.pop(content.OTHER, [])
        return _opener(source, of_kind, beside)(next(iter(of_kind.values())), beside, asked)
    except OSError as error:  # pyarrow raises it for whatever a bucket answers
        if is_about_a_file(error):
            raise StepError(explain(error)) from None
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
        found = [f"{kind} ({files[0].below})" for kind, files in sorted(of_kind.items())]
        raise StepError(
            f"{source}: holds {' and '.join(found)}; name one kind of them, by a pattern as "
            "'…/*.png'"
        )
    kinds.tell_left_out(beside)
    return OPEN[next(iter(of_kind))]


def _kind(file: File) -> str:
    kind = content.kind_of(unpacking.head(file))
    return content.NPZ if kind == content.ZIP and is_npz(file) else kind
