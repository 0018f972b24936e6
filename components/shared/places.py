"""Where a dataset's records were read: written beside its shards, and looked up for a few."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.shared.errors import StepError
from components.shared.manifests import Dataset, Shard

SCHEMA = pa.schema({"location": pa.dictionary(pa.int32(), pa.string()), "position": pa.int64()})


def encode(location: str | list[str], start: int, positions: npt.NDArray[np.int64]) -> bytes:
    """Returns a Parquet file with the place of each record.

    Args:
        location: The file that a range's records are in; or each one's own.
        start: Of the range in that file.
        positions: Of the records in the range.
    """
    if isinstance(location, str):
        files, numbers = _same(location, len(positions)), pa.array(positions + start)
    else:
        files = pa.array([location[at] for at in positions.tolist()]).dictionary_encode()
        numbers = pa.nulls(len(positions), pa.int64())
    packed = pa.BufferOutputStream()
    pq.write_table(pa.table([files, numbers], schema=SCHEMA), packed, use_dictionary=["location"])
    return packed.getvalue().to_pybytes()


def read(dataset: Dataset, directory: Path, split: str) -> pa.Table:
    """Reads where all records of a split were read, in their order.

    Args:
        dataset: The manifest in ``directory``.
        directory: What ingest wrote.
        split: Which split.

    Returns:
        ``location``, a dictionary of strings, and ``position``, int64: null where the file is the
        record; both are where an earlier release wrote the dataset.

    Raises:
        StepError: What ingest wrote beside a shard is damaged.
    """
    tables = [_of_shard(shard, directory) for shard in dataset.splits[split].shards]
    return pa.concat_tables([SCHEMA.empty_table(), *tables]).unify_dictionaries()


def find(dataset: Dataset, directory: Path, split: str, indices: Sequence[int]) -> list[str]:
    """Names records as the user knows them: the file, and the number there where it has several.

    Args:
        dataset: As of :func:`read`.
        directory: As of :func:`read`.
        split: As of :func:`read`.
        indices: The records' positions in the split, from 0.

    Returns:
        The names; empty texts where an earlier release wrote the dataset.

    Raises:
        StepError: As of :func:`read`.
    """
    table = read(dataset, directory, split).take(pa.array(indices, pa.int64()))
    return [_name(row["location"] or "", row["position"]) for row in table.to_pylist()]


def _of_shard(shard: Shard, directory: Path) -> pa.Table:
    read_from = shard.read_from
    if read_from and read_from.file:
        return _read_file(directory / read_from.file, shard)
    if not read_from:
        nulls = pa.nulls(shard.records, SCHEMA.field("location").type)
        return pa.table([nulls, pa.nulls(shard.records, pa.int64())], schema=SCHEMA)
    first = read_from.first
    numbers = np.arange(first, first + shard.records)
    return pa.table([_same(read_from.location, shard.records), numbers], schema=SCHEMA)


def _read_file(path: Path, shard: Shard) -> pa.Table:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    if not shard.read_from or hashlib.sha256(data).hexdigest() != shard.read_from.sha256:
        raise StepError(f"{path}: not as {Dataset.FILE} says; ingest anew, or bring it whole")
    return pq.read_table(pa.BufferReader(data)).cast(SCHEMA)


def _same(location: str, records: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(records, np.int32)), [location])


def _name(location: str, position: int | None) -> str:
    return location if position is None else f"{location}, record {position}"
