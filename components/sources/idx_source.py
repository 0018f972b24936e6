"""IDX files as a source, under whatever names they are found."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from components.shared.errors import StepError, log_line
from components.sources import class_names, idx, pairing, unpacking
from components.sources.array_source import ArraySource, open_arrays
from components.sources.arrays import ArrayFile, unpack
from components.sources.asked import Asked
from components.sources.class_names import Classes
from components.sources.locate import File, fetched
from components.sources.published_sums import published

MAPPING = "mapping.txt"  # what EMNIST's names of classes end with


def open_idx(files: Sequence[File], beside: Sequence[File], asked: Asked) -> ArraySource:
    """Opens IDX files, plain or gzip by their content.

    A directory that has a file MD5SUMS or SHA256SUMS is checked against it; EMNIST's files, which
    hold every image by columns, are known by their names and transposed.

    Args:
        files: The IDX files.
        beside: Other files there.
        asked: What is asked of the source.

    Raises:
        StepError: A file is missing or damaged, or the files do not fit together.
    """
    conversion = asked.conversion
    files = _once(files)
    data_set = _the_data_set(files, asked.config.source)
    if "emnist" in data_set and not conversion.transpose:
        log_line(f"{files[0].name}: EMNIST stores images by columns; they are transposed")
        conversion = replace(conversion, transpose=True)
    sums = published(beside)
    roles = [_role(file) for file in files]
    if asked.labelled:  # which labels are missing is told before anything is unpacked
        of_role = zip(files, roles, strict=True)
        named = [pairing.Named(0, file.name, file.below, role) for file, role in of_role]
        pairing.match(named, labelled=True)
    else:
        files = [file for file, role in zip(files, roles, strict=True) if role == pairing.IMAGES]
    arrays = [_unpack(file, sums, asked, f"array-{n}") for n, file in enumerate(files)]
    own = _mapping(beside, data_set)
    return open_arrays(arrays, asked.config.source, asked, conversion, own)


def _unpack(file: File, sums: dict[str, str], asked: Asked, path: str) -> ArrayFile:
    found = fetched(file, asked.config.cache)
    there = unpacking.is_for_workers(found)
    target, path = (found.filesystem, found.path) if there else (asked.unpacked, path)
    chunks = unpacking.chunks(found, sums)
    name = file.name
    return unpack(chunks, lambda head: idx.parse(head, name), name, file.below, target, path, there)


def _role(file: File) -> str:
    """What an IDX file holds, by its number of dimensions."""
    return pairing.IMAGES if unpacking.head(file)[3:4] >= b"\x03" else pairing.LABELS


def _once(files: Sequence[File]) -> list[File]:
    """Takes the plain file where it lies beside its gzip."""
    names = {file.below for file in files}
    kept = []
    for file in files:
        if file.below.removesuffix(".gz") != file.below and file.below[:-3] in names:
            log_line(f"Left out {file.name}: it lies there unpacked too")
        else:
            kept.append(file)
    return kept


def _the_data_set(files: Sequence[File], source: str) -> list[str]:
    """The words that all names share, beside split and role: which data set this is.

    Raises:
        StepError: The files are of several.
    """
    found: dict[str, File] = {}
    for file in files:
        named = pairing.Named(0, file.name, file.below, pairing.IMAGES)
        (pair,) = pairing.match([named], labelled=False)
        found.setdefault(pair.data_set, file)
    if len(found) > 1 and len(files) > 2:
        some = list(found.values())[:2]
        pattern = PurePath(some[0].below).name.split("-train")[0].split("-test")[0]
        raise StepError(
            f"{source}: {len(found)} data sets, as {some[0].below} and {some[1].below}; "
            f"name one by a pattern, as '{source.rstrip('/')}/{pattern}-*'"
        )
    return next(iter(found)).split("-")


def _mapping(beside: Sequence[File], data_set: list[str]) -> Classes | None:
    """The classes of the mapping file that EMNIST has for each of its data sets."""
    for file in beside:
        name = file.below.rpartition("/")[2]
        if name.endswith(MAPPING) and pairing.words(name)[:-2] == data_set:
            with unpacking.stream(file) as opened:
                text = opened.read(1 << 20).decode("utf-8", errors="replace")
            return class_names.of_mapping(text, file.name)
    return None
