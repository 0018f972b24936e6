"""``predictions.parquet``: what the model says of every example."""

import hashlib
import json
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluate.scoring import Batch

FILE = "predictions.parquet"
HASH_BYTES = 16


def _column(name: str, kind: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"description": description})


def schema(class_names: Sequence[str]) -> pa.Schema:
    """Returns the columns; the names of the classes are in the metadata, as a JSON list."""
    columns = [
        _column("split", pa.dictionary(pa.int8(), pa.string()), "train, validation or test"),
        _column("index", pa.int64(), "position in the split, from 0"),
        _column("label", pa.int8(), "the true class, as its place in class_names"),
        _column("predicted", pa.int8(), "the most probable class, likewise"),
        _column("probabilities", pa.list_(pa.float32(), len(class_names)), "of the classes"),
        _column(
            "image_hash",
            pa.string(),
            f"first {HASH_BYTES} bytes of the sha256 of the pixels, in hexadecimal",
        ),
    ]
    return pa.schema(columns, {"class_names": json.dumps(list(class_names))})


class Predictions:
    """Writes predictions batch by batch, a row group each."""

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        self._schema = schema(class_names)
        self._writer = pq.ParquetWriter(path, self._schema, use_dictionary=["split"])

    def add(self, batch: Batch) -> None:
        """Writes a batch."""
        examples = len(batch.labels)
        code = pa.repeat(pa.scalar(0, pa.int8()), examples)
        flat = pa.array(batch.probabilities.reshape(-1))
        columns = [
            pa.DictionaryArray.from_arrays(code, [batch.split]),
            pa.array(range(batch.start, batch.start + examples), pa.int64()),
            pa.array(batch.labels).cast(pa.int8()),
            pa.array(batch.predicted).cast(pa.int8()),
            pa.FixedSizeListArray.from_arrays(flat, batch.probabilities.shape[1]),
            pa.array(image_hashes(batch.images)),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def image_hashes(images: npt.NDArray[np.uint8]) -> list[str]:
    """Returns what tells images ``[n, height, width]`` apart: equal images have equal hashes."""
    pixels, size = images.tobytes(), prod(images.shape[1:])
    starts = range(0, len(pixels), size)
    digests = (hashlib.sha256(pixels[start : start + size]).hexdigest() for start in starts)
    return [digest[: 2 * HASH_BYTES] for digest in digests]
