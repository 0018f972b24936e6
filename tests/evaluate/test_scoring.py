"""Models and datasets that cannot be scored: one clear error each."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.evaluate.scoring import read, score
from components.scoring.classifier import classifier, load
from components.shared.errors import StepError
from components.shared.manifests import Dataset
from tests.conftest import MNIST, TEST
from tests.idx_files import read_mnist

MNIST_KIND = ((28, 28), 10)
MakeModel = Callable[[Callable[[tf.Tensor], tf.Tensor]], Path]


def constant(row: list[float]) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda images: tf.repeat(tf.constant([row]), tf.shape(images)[0], axis=0)


def test_batches_are_the_split_in_order_each_example_once(examples: Path, model: Path) -> None:
    classify = classifier(load(model / "saved_model", *MNIST_KIND), "model")
    batches = list(score(classify, "test", read(Dataset.read(examples), examples, "test")))
    images, labels = read_mnist(MNIST, "t10k", TEST)
    assert np.array_equal(np.concatenate([batch.images for batch in batches]), images)
    assert np.array_equal(np.concatenate([batch.labels for batch in batches]), labels)
    assert [batch.start for batch in batches] == [0]


def test_a_directory_that_is_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"does not load .* run train first"):
        load(tmp_path, *MNIST_KIND)


def test_a_model_without_serving_default_names_what_it_has(tmp_path: Path) -> None:
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path), {"other": module.f})
    with pytest.raises(StepError, match="signatures other, expected serving_default"):
        load(tmp_path, *MNIST_KIND)


def test_a_model_with_another_input_names_both(tmp_path: Path) -> None:
    module = tf.Module()
    spec = tf.TensorSpec([None, 784], tf.float32, "pixels")
    module.f = tf.function(lambda pixels: {"probabilities": pixels}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), {"serving_default": module.f})
    expected = r"input pixels: float32 \[None, 784\], expected images: uint8 \[None, 28, 28\]"
    with pytest.raises(StepError, match=expected):
        load(tmp_path, *MNIST_KIND)


def test_a_model_of_other_classes_names_both(model_answering: MakeModel) -> None:
    directory = model_answering(constant([0.5, 0.5])) / "saved_model"
    with pytest.raises(StepError, match=r"output probabilities: .* \[None, 2\], expected"):
        load(directory, *MNIST_KIND)


@pytest.mark.parametrize(
    "row",
    [[float("nan")] * 10, [float("inf")] + [0.0] * 9, [0.5] * 10, [1.5, -0.5] + [0.0] * 8],
    ids=["NaN", "infinite", "sum 5", "negative"],
)
def test_answers_that_are_no_distribution(model_answering: MakeModel, row: list[float]) -> None:
    classify = classifier(
        load(model_answering(constant(row)) / "saved_model", *MNIST_KIND), "the model"
    )
    with pytest.raises(StepError, match=r"the model: gives \[.*\] .* expected probabilities"):
        classify(np.zeros((3, 28, 28), np.uint8))


def test_an_empty_split(examples: Path) -> None:
    dataset = Dataset.read(examples)
    dataset.splits["test"].shards.clear()
    with pytest.raises(StepError, match="the test split is empty"):
        read(dataset, examples, "test")


@pytest.mark.parametrize(
    "change",
    [Path.unlink, lambda shard: shard.write_bytes(shard.read_bytes()[:-1])],
    ids=["missing", "cut short"],
)
def test_a_shard_that_is_not_the_one_ingest_wrote(
    examples: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    spoiled = shutil.copytree(examples, tmp_path / "examples")
    dataset = Dataset.read(spoiled)
    shard = Path(dataset.files(spoiled, "test")[0])
    change(shard)
    with pytest.raises(StepError, match=f"{shard}: .* run ingest again"):
        read(dataset, spoiled, "test")
