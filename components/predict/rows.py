"""``predictions-*.parquet``: an image a row, where it came from and what the model says of it."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.predict.incoming import Incoming
from components.predict.published import PublishedModel
from components.scoring.columns import answer_columns, answers, class_names_metadata, column
from components.sources.images import Records
from components.sources.source import Range

DICTIONARIES = ["source", "class_name", "version"]  # columns of few values


def table(
    model: PublishedModel,
    images: Incoming,
    part: Range,
    records: Records,
    probabilities: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
) -> pa.Table:
    """Returns the rows of a range.

    Args:
        model: Which model answered.
        images: The source.
        part: The range.
        records: What is in it.
        probabilities: The answers, float32 ``[n, classes]``.
        labels: The model's class that each image is known to be, ``[n]``; -1 where it is not.
    """
    answered = answers(records.images, probabilities)
    names = pa.array(model.described.class_names)
    columns = {
        **_places(images, part, records),
        "label": pa.array(labels.astype(np.int8), mask=labels < 0),
        "class_name": pa.DictionaryArray.from_arrays(answered[0], names),
        "version": pa.repeat(pa.scalar(model.version, pa.int32()), len(labels)),
        **dict(zip((field.name for field in answer_columns(1)), answered, strict=True)),
    }
    chosen = schema(model, bool(images.places))
    return pa.Table.from_arrays([columns[name] for name in chosen.names], schema=chosen)


def encode(rows: pa.Table) -> bytes:
    """Returns a Parquet file."""
    packed = pa.BufferOutputStream()
    pq.write_table(rows, packed, use_dictionary=DICTIONARIES)
    return packed.getvalue().to_pybytes()


def schema(model: PublishedModel, labelled: bool) -> pa.Schema:
    """Returns the columns; the names of the classes are in the metadata, as a JSON list."""
    names = model.described.class_names
    columns = [
        column("source", pa.dictionary(pa.int32(), pa.string()), "the file that the image is in"),
        column("position", pa.int64(), "the image's number in that file, from 0"),
        *answer_columns(len(names)),
        column("class_name", pa.dictionary(pa.int8(), pa.string()), "of the predicted class"),
        column("version", pa.int32(), "of the model, in its registry"),
    ]
    if labelled:
        described = "the true class, as its place in class_names; null where it is none of them"
        columns.insert(2, column("label", pa.int8(), described, nullable=True))
    return pa.schema(columns, class_names_metadata(names))


def _places(images: Incoming, part: Range, records: Records) -> dict[str, pa.Array]:
    """Where a range's images came from: file, and number in it."""
    location, positions = images.source.location(part), records.positions
    if isinstance(location, str):
        of_all = pa.repeat(pa.scalar(0, pa.int32()), len(positions))
        return {
            "source": pa.DictionaryArray.from_arrays(of_all, [location]),
            "position": pa.array(positions + part.start),
        }
    return {
        "source": pa.array([location[at] for at in positions.tolist()]).dictionary_encode(),
        "position": pa.array(np.zeros_like(positions)),
    }
