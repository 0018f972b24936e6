"""``predictions.parquet``: what the model says of every example."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluate.scoring import Batch
from components.scoring.columns import answer_columns, answers, class_names_metadata, column

FILE = "predictions.parquet"


def schema(class_names: Sequence[str]) -> pa.Schema:
    """Returns the columns; the names of the classes are in the metadata, as a JSON list."""
    columns = [
        column("split", pa.dictionary(pa.int8(), pa.string()), "train, validation or test"),
        column("index", pa.int64(), "position in the split, from 0"),
        column("label", pa.int8(), "the true class, as its place in class_names"),
        *answer_columns(len(class_names)),
    ]
    return pa.schema(columns, class_names_metadata(class_names))


class Predictions:
    """Writes predictions batch by batch, a row group each."""

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        self._schema = schema(class_names)
        self._writer = pq.ParquetWriter(path, self._schema, use_dictionary=["split"])

    def add(self, batch: Batch) -> None:
        """Writes a batch."""
        examples = len(batch.labels)
        code = pa.repeat(pa.scalar(0, pa.int8()), examples)
        columns = [
            pa.DictionaryArray.from_arrays(code, [batch.split]),
            pa.array(range(batch.start, batch.start + examples), pa.int64()),
            pa.array(batch.labels).cast(pa.int8()),
            *answers(batch.images, batch.probabilities),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
