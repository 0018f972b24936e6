"""``predictions.parquet``: what the model says of every example."""

import hashlib
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluate.scoring import Batch
from components.shared.records import CLASSES, PIXELS

FILE = "predictions.parquet"
HASH_BYTES = 16


def _column(name: str, kind: pa.DataType, description: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"description": description})


SCHEMA = pa.schema(
    [
        _column("split", pa.dictionary(pa.int8(), pa.string()), "train, validation or test"),
        _column("index", pa.int64(), "position in the split, from 0"),
        _column("label", pa.int8(), "the true digit"),
        _column("predicted", pa.int8(), "the most probable digit"),
        _column("probabilities", pa.list_(pa.float32(), CLASSES), "of the digits 0, 1, … 9"),
        _column(
            "image_hash",
            pa.string(),
            f"first {HASH_BYTES} bytes of the sha256 of the 784 pixels, in hexadecimal",
        ),
    ]
)


class Predictions:
    """Writes predictions batch by batch, a row group each."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, use_dictionary=["split"])

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
            pa.FixedSizeListArray.from_arrays(flat, CLASSES),
            pa.array(image_hashes(batch.images)),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def image_hashes(images: npt.NDArray[np.uint8]) -> list[str]:
    """Returns what tells images ``[n, 28, 28]`` apart: equal images have equal hashes."""
    pixels = images.tobytes()
    starts = range(0, len(pixels), PIXELS)
    digests = (hashlib.sha256(pixels[start : start + PIXELS]).hexdigest() for start in starts)
    return [digest[: 2 * HASH_BYTES] for digest in digests]
