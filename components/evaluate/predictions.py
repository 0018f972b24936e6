"""``predictions.parquet``: what the model says of every example."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluate.figures import Predictions
from components.shared.records import CLASSES

FILE = "predictions.parquet"

SCHEMA = pa.schema(
    [
        pa.field("split", pa.dictionary(pa.int8(), pa.string())),
        pa.field("index", pa.int64(), metadata={"description": "position in the split, from 0"}),
        pa.field("label", pa.int8()),
        pa.field("predicted", pa.int8(), metadata={"description": "the most probable class"}),
        pa.field("probabilities", pa.list_(pa.float32(), CLASSES)),
    ]
)


def write(path: Path, predictions: dict[str, Predictions]) -> None:
    """Writes the predictions of all splits, a row group a split."""
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for split, said in predictions.items():
            flat = pa.array(said.probabilities.reshape(-1), pa.float32())
            columns = {
                "split": pa.array([split] * len(said.labels), pa.string()).dictionary_encode(),
                "index": range(len(said.labels)),
                "label": said.labels,
                "predicted": said.predicted,
                "probabilities": pa.FixedSizeListArray.from_arrays(flat, CLASSES),
            }
            writer.write_table(pa.table(columns).cast(SCHEMA))
