"""reference.json: what the model was trained and tested on, as numpy finds it in the source."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.shared.manifests import Dataset, Evaluation
from components.shared.predictions import Reference
from tests.conftest import MNIST, TEST, TRAIN, VALIDATION
from tests.idx_files import read_mnist


def test_it_describes_the_training_split_and_the_answers_on_test(
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
    assert reference.model_sha256 == judged.model_sha256
    assert reference.dataset_fingerprint == Dataset.read(examples).fingerprint
