"""Models that answer as a test wants them to, and the real one's answers."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from components.config import Evaluate
from components.evaluate.scoring import Batch
from components.shared.manifests import Evaluation
from tests.conftest import MNIST, TEST
from tests.idx_files import read_mnist

# What the model of the small source lives up to.
LENIENT = Evaluate(min_precision=0.5, min_class_recall=0.2, max_gap=0.5)
LENIENT_OPTIONS = ("--min-precision", "0.5", "--min-class-recall", "0.2", "--max-gap", "0.5")

Answer = Callable[[tf.Tensor], tf.Tensor]
SaveModel = Callable[[Path, Answer], Path]


class Stub(tf.Module):
    """A SavedModel with a single signature ``serving_default``, which answers any shape."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.uint8, "images")])
    def serving_default(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": self.answer(images)}


@pytest.fixture
def model_answering(model: Path, tmp_path: Path) -> Callable[[Answer], Path]:
    """Makes a model directory whose SavedModel answers images with what a function gives."""

    def make(answer: Answer) -> Path:
        directory = tmp_path / "other model"
        shutil.copytree(model, directory, ignore=shutil.ignore_patterns("saved_model"))
        stub = Stub(answer)
        tf.saved_model.save(
            stub, str(directory / "saved_model"), {"serving_default": stub.serving_default}
        )
        return directory

    return make


@pytest.fixture(scope="session")
def figures(evaluation: Path) -> Evaluation:
    """The manifest of the evaluation of the small source's model."""
    return Evaluation.read(evaluation)


@pytest.fixture(scope="session")
def answers(model: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The labels of the test split and the model's probabilities, without the code under test."""
    images, labels = read_mnist(MNIST, "t10k", TEST)
    loaded = tf.saved_model.load(str(model / "saved_model"))
    said = loaded.signatures["serving_default"](images=tf.constant(images))
    return labels, said["probabilities"].numpy()


def random_batches(count: int, size: int = 500, seed: int = 0) -> list[Batch]:
    """Makes batches of noise with probabilities that are right about half of the time."""
    random = np.random.default_rng(seed)
    batches = []
    for number in range(count):
        labels = random.integers(10, size=size, dtype=np.int32)
        logits = random.normal(size=(size, 10)) * 2
        logits[np.arange(size), labels] += 3
        odds = np.exp(logits)
        probabilities = (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)
        images = random.integers(256, size=(size, 28, 28), dtype=np.uint8)
        batches.append(Batch("test", number * size, images, labels, probabilities))
    return batches
