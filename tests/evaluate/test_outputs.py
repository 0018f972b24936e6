"""What later steps read: the answers, as pandas, Polars and DuckDB do, samples, a reference."""

import hashlib
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from components.shared.manifests import Dataset, Evaluation
from components.shared.predictions import Reference
from components.shared.texture import textures
from tests.conftest import MNIST, TEST, TRAIN, VALIDATION
from tests.evaluate.test_figures import Answers
from tests.idx_files import read_mnist

COLUMNS = [
    "split",
    "index",
    "source",
    "position",
    "label",
    "predicted",
    "probabilities",
    "image_hash",
]


@pytest.fixture(scope="session")
def path(evaluation: Path) -> Path:
    return evaluation / "predictions.parquet"


def test_every_column_says_what_it_holds(path: Path) -> None:
    schema = pq.read_schema(path)
    assert schema.names == COLUMNS
    assert all(field.metadata[b"description"] for field in schema)


def test_pandas_reads_every_example_once(path: Path, answers: Answers) -> None:
    table = pd.read_parquet(path)
    assert list(table.columns) == COLUMNS
    sizes = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    assert table["split"].value_counts().to_dict() == sizes
    test = table[table["split"] == "test"]
    labels, probabilities = answers
    assert test["index"].tolist() == list(range(TEST))
    assert test["position"].tolist() == list(range(TEST))
    assert set(test["source"].map(lambda name: Path(name).name)) == {"t10k-images-idx3-ubyte"}
    train = table[table["split"] == "train"]
    assert train["position"].tolist() == list(range(VALIDATION, VALIDATION + TRAIN))
    assert test["label"].tolist() == labels.tolist()
    assert test["predicted"].tolist() == probabilities.argmax(axis=1).tolist()
    assert np.allclose(np.stack(test["probabilities"].tolist()), probabilities, atol=1e-6)
    images, _ = read_mnist(MNIST, "t10k", TEST)
    hashes = [hashlib.sha256(image.tobytes()).hexdigest()[:32] for image in images]
    assert test["image_hash"].tolist() == hashes


def test_polars_reads_probabilities_as_arrays(path: Path, figures: Evaluation) -> None:
    table = pl.read_parquet(path)
    assert table.schema["probabilities"] == pl.Array(pl.Float32, 10)
    hits = table.filter(pl.col("label") == pl.col("predicted")).group_by("split").len()
    assert {str(split): count for split, count in hits.iter_rows()} == {
        name: split.correct for name, split in figures.splits.items()
    }


def test_the_documented_query_answers_in_duckdb(path: Path, figures: Evaluation) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    query = page.split("```sql\n")[1].split("```")[0]
    rows = duckdb.execute(query.replace("predictions.parquet", str(path))).fetchall()
    confusion = np.array(figures.splits["test"].confusion)
    np.fill_diagonal(confusion, 0)
    assert rows[0][2] == confusion.max()
    assert confusion[rows[0][0], rows[0][1]] == confusion.max()


def test_samples_are_the_first_test_images_with_their_probabilities(evaluation: Path) -> None:
    with np.load(evaluation / "samples.npz", allow_pickle=False) as samples:
        images, probabilities = samples["images"], samples["probabilities"]
    np.testing.assert_array_equal(images, read_mnist(MNIST, "t10k", 100)[0])
    assert probabilities.shape == (100, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_reference_describes_the_training_split_and_the_answers_on_test(
    examples: Path, evaluation: Path
) -> None:
    reference, judged = Reference.read(evaluation), Evaluation.read(evaluation)
    train = read_mnist(MNIST, "train", VALIDATION + TRAIN)[0][VALIDATION:].astype(np.float64)
    assert (reference.train.images, reference.test.images) == (TRAIN, TEST)
    np.testing.assert_allclose(reference.train.mean_image, train.mean(axis=0))
    assert reference.pixel_variance == pytest.approx(train.var(axis=0).mean())
    rows = pq.read_table(evaluation / "predictions.parquet").to_pandas().query("split == 'test'")
    expected = np.bincount(rows.predicted, minlength=10) / len(rows)
    assert reference.test.class_shares == pytest.approx(expected.tolist())
    sure = np.stack(rows.probabilities).max(axis=1)
    assert reference.test.mean_confidence == pytest.approx(sure.mean(), abs=1e-6)
    assert reference.texture is not None
    far = reference.texture.distances(textures(read_mnist(MNIST, "t10k", TEST)[0]))
    assert reference.texture.of_99_percent == pytest.approx(np.quantile(far, 0.99))
    assert reference.test.unusual == (far > reference.texture.of_99_percent).sum()
    assert reference.model_sha256 == judged.model_sha256
    assert reference.dataset_fingerprint == Dataset.read(examples).fingerprint
