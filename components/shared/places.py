"""Where a dataset's records were read: written beside its shards, and looked up for a few."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.shared.errors import StepError
from components.shared.manifests import Dataset, Shard


def encode(location: str | list[str], start: int, positions: npt.NDArray[np.int64]) -> bytes:
    """Returns a Parquet file with the place of each record.

    Args:
        location: The file that a range's records are in; or each one's own.
        start: Of the range in that file.
        positions: Of the records in the range.
    """
    if isinstance(location, str):
        code = pa.array(np.zeros(len(positions), np.int32))
        files, numbers = (
            pa.DictionaryArray.from_arrays(code, [location]),
            pa.array(positions + start),
        )
    else:
        files = pa.array([location[at] for at in positions.tolist()], pa.string())
        numbers = pa.nulls(len(positions), pa.int64())
    packed = pa.BufferOutputStream()
    table = pa.table({"location": files, "position": numbers})
    pq.write_table(table, packed, use_dictionary=["location"])
    return packed.getvalue().to_pybytes()


def find(dataset: Dataset, directory: Path, split: str, indices: Sequence[int]) -> list[str]:
    """Names records as the user knows them: the file, and the number there where it has several.

    Args:
        dataset: The manifest in ``directory``.
        directory: What ingest wrote.
        split: Of which split.
        indices: The records' positions in the split, from 0.

    Returns:
        The names; empty texts where an earlier release wrote the dataset.

    Raises:
        StepError: What ingest wrote beside a shard is damaged.
    """
    shards = dataset.splits[split].shards
    ends = list(accumulate(shard.records for shard in shards))
    tables: dict[str, pa.Table] = {}
    found = []
    for index in indices:
        place = bisect_right(ends, index)
        shard, row = shards[place], index - ends[place] + shards[place].records
        read_from = shard.read_from
        if read_from and read_from.file:
            if read_from.file not in tables:
                tables[read_from.file] = _read(directory / read_from.file, shard)
            location, position = tables[read_from.file].slice(row, 1).to_pydict().values()
            found.append(_name(location[0], position[0]))
        else:
            found.append(_name(read_from.location, read_from.first + row) if read_from else "")
    return found


def _read(path: Path, shard: Shard) -> pa.Table:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    if not shard.read_from or hashlib.sha256(data).hexdigest() != shard.read_from.sha256:
        raise StepError(f"{path}: not as {Dataset.FILE} says; ingest anew, or bring it whole")
    return pq.read_table(pa.BufferReader(data))


def _name(location: str, position: int | None) -> str:
    return location if position is None else f"{location}, record {position}"
