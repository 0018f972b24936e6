"""What the signatures of a SavedModel are held to: the same answers, and the right shape alone."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from components.evaluate.scoring import read, score
from components.evaluate.serving import check
from components.scoring.classifier import classifier, load
from components.shared.manifests import Dataset
from components.train.networks.mlp import variables
from components.train.saved_model import Classifier, export


def problem(saved_model: Path, examples: Path) -> str:
    """Returns what evaluate finds wrong with the signatures."""
    dataset = Dataset.read(examples)
    loaded = load(saved_model, dataset.image_shape, len(dataset.class_names))
    classify = classifier(loaded, "model")
    batch = next(score(classify, "test", read(dataset, examples, "test")))
    return check(loaded, classify, batch).problem


def test_a_trained_model_answers_alike_and_refuses_other_shapes(
    model: Path, examples: Path
) -> None:
    assert problem(model / "saved_model", examples) == ""


@pytest.mark.parametrize(
    ("flatten", "answer"),
    [
        (lambda images: tf.reshape(images, [-1, 784]), "4 answers to images of the shape 1 x 56"),
        (lambda images: tf.reshape(images[:, :28, :28], [-1, 784]), "1 answers to images of the"),
        (lambda images: tf.reshape(images, [tf.shape(images)[0], 784]), "of the shape 1 x 784"),
    ],
    ids=["as many as fit", "the corner", "as many pixels"],
)
def test_a_model_that_answers_other_shapes_is_found(
    flatten: Callable[[tf.Tensor], tf.Tensor],
    answer: str,
    examples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Lenient(Classifier):
        @tf.function(autograph=False)
        def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            logits = tf.cast(flatten(images), tf.float32) @ self.weights[0]
            return {"probabilities": tf.nn.softmax(logits / 10_000)}

    monkeypatch.setattr("components.train.saved_model.Classifier", Lenient)
    export(variables([784, 10], 0), (28, 28), tmp_path / "saved_model")
    found = problem(tmp_path / "saved_model", examples)
    assert answer in found
    assert found.endswith("expected it to refuse all but n x 28 x 28")


@pytest.mark.parametrize(
    "shape",
    [(1, 56, 56), (8, 14, 14), (1, 28, 28, 3), (2, 28, 14), (2, 14, 56), (3, 784), (28, 28)],
    ids=str,
)
def test_serving_default_refuses_another_shape(shape: tuple[int, ...], model: Path) -> None:
    loaded = tf.saved_model.load(str(model / "saved_model"))
    ask = loaded.signatures["serving_default"]
    with pytest.raises((tf.errors.OpError, ValueError, TypeError)):
        ask(images=tf.zeros(shape, tf.uint8))
    assert ask(images=tf.zeros((2, 28, 28), tf.uint8))["class"].shape == (2,)
