"""What later steps read beside the manifest: every answer, a few samples, and a reference.

``predictions.parquet`` holds what the model says of every example, ``samples.npz`` a few images for
push to ask again, ``reference.json`` what images and answers look like, for a watch on what comes
in.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.evaluate.scoring import Batch
from components.scoring.columns import answer_columns, answers, class_names_metadata, column
from components.shared import places
from components.shared.evaluation import SplitEvaluation
from components.shared.manifests import Dataset
from components.shared.predictions import Reference
from components.shared.profile import Profile
from components.shared.texture import Texture, Textures, sampled, textures

PREDICTIONS = "predictions.parquet"
SAMPLES = "samples.npz"
SAMPLE_COUNT = 100


class PredictionWriter:
    """Writes ``predictions.parquet`` batch by batch, a row group each."""

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        self._schema = schema(class_names)
        self._writer = pq.ParquetWriter(path, self._schema, use_dictionary=["split", "source"])

    def add(self, batch: Batch, read_from: pa.Table | None = None) -> None:
        """Writes a batch; the table says where its examples were read, where that is known."""
        examples = len(batch.labels)
        if read_from is None:
            read_from = pa.table([pa.nulls(examples)] * 2, names=places.SCHEMA.names)
        code = pa.repeat(pa.scalar(0, pa.int8()), examples)
        columns = [
            pa.DictionaryArray.from_arrays(code, [batch.split]),
            pa.array(range(batch.start, batch.start + examples), pa.int64()),
            *read_from.cast(places.SCHEMA).columns,
            pa.array(batch.labels).cast(pa.int8()),
            *answers(batch.images, batch.probabilities),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def schema(class_names: Sequence[str]) -> pa.Schema:
    """Returns the columns; the names of the classes are in the metadata, as a JSON list."""
    location, position = places.SCHEMA
    columns = [
        column("split", pa.dictionary(pa.int8(), pa.string()), "train, validation or test"),
        column("index", pa.int64(), "position in the split, from 0"),
        column("source", location.type, "the file that it was read from", nullable=True),
        column("position", position.type, "its number in that file, from 0", nullable=True),
        column("label", pa.int8(), "the true class, as its place in class_names"),
        *answer_columns(len(class_names)),
    ]
    return pa.schema(columns, class_names_metadata(class_names))


class TextureFit:
    """Adds up the training split's textures, then takes the test split's distances from them."""

    def __init__(self) -> None:
        self._count = 0
        self._total: Textures = np.zeros(1)
        self._products: Textures = np.zeros((1, 1))  # of one feature with another
        self._distances: list[npt.NDArray[np.float64]] = []

    def add(self, split: str, found: Textures) -> None:
        """Takes in a batch's textures; those of train come first."""
        if split == "train":
            self._count += len(found)
            self._total = self._total + found.sum(axis=0)
            self._products = self._products + np.einsum("nf,ng->fg", found, found)
        else:
            self._distances.append(self._of_train.distances(found))

    @cached_property
    def _of_train(self) -> Texture:
        return Texture.fit(self._count, self._total, self._products)

    def result(self) -> tuple[Texture, int]:
        """Returns the training split's textures, and how many of test are unusual beside them."""
        distances = np.concatenate(self._distances)
        texture = self._of_train.with_quantiles(distances)
        return texture, texture.unusual(distances)


class Outputs:
    """Takes in every batch of every split, and writes those files.

    Args:
        directory: Where to.
        dataset: The manifest of what is scored.
        examples: What is scored.
    """

    def __init__(self, directory: Path, dataset: Dataset, examples: Path) -> None:
        self._directory, self._examples = directory, examples
        self._dataset = dataset
        self._predictions = PredictionWriter(directory / PREDICTIONS, dataset.class_names)
        self._profiles: dict[str, list[Profile]] = {"train": [], "test": []}
        self._textures = TextureFit()
        self._samples: Batch | None = None

    def add(self, batch: Batch) -> None:
        """Takes in a batch."""
        if not batch.start:
            self._read_from = places.read(self._dataset, self._examples, batch.split)
        self._predictions.add(batch, self._read_from.slice(batch.start, len(batch.labels)))
        if batch.split in self._profiles:  # what a reference holds
            records = self._dataset.splits[batch.split].records
            found = textures(sampled(batch.images, records))
            self._textures.add(batch.split, found)
            profile = Profile.of(batch.images, batch.probabilities, found=found)
            self._profiles[batch.split].append(profile)
        if batch.split == "test":
            self._samples = self._samples or batch

    @property
    def samples(self) -> Batch:
        """The first batch of the test split."""
        assert self._samples is not None, "a split without examples was refused before"
        return self._samples

    def write(
        self, model_sha256: str, run: str, tested: SplitEvaluation, options: dict[str, Any]
    ) -> None:
        """Writes what was added up: the samples and the reference.

        Args:
            model_sha256: Of the SavedModel.
            run: The run that trained it.
            tested: The figures of the test split.
            options: Of the steps that it came from, as far as they were not the defaults.
        """
        np.savez_compressed(
            self._directory / SAMPLES,
            images=self.samples.images[:SAMPLE_COUNT],
            probabilities=self.samples.probabilities[:SAMPLE_COUNT],
        )
        train, test = (Profile.total(self._profiles[split]) for split in ("train", "test"))
        texture, unusual = self._textures.result()
        split = self._dataset.splits["train"]
        squares = split.pixel_stddev**2 + split.pixel_mean**2
        Reference(
            source=self._dataset.source,
            dataset_fingerprint=self._dataset.fingerprint,
            model_sha256=model_sha256,
            run=run,
            class_names=self._dataset.class_names,
            options=options,
            pixel_variance=max(0.0, squares - float(np.square(train.mean_image).mean())),
            train=train,
            test=test.model_copy(update={"unusual": unusual}),
            texture=texture,
            test_examples=[one.examples for one in tested.classes],
            test_correct=[row[label] for label, row in enumerate(tested.confusion)],
        ).write(self._directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._predictions.__exit__()
