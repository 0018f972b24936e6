"""Models and datasets that cannot be scored: one clear error each."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.evaluate.scoring import classifier, load, read, score
from components.shared.errors import StepError
from components.shared.manifests import Dataset
from components.shared.records import encode
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
    with pytest.raises(StepError, match=r"no SavedModel .* run train first"):
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


@pytest.fixture
def own_examples(examples: Path, tmp_path: Path) -> Path:
    """A copy of the examples that a test may spoil."""
    return shutil.copytree(examples, tmp_path / "examples")


def spoil(examples: Path, change: Callable[[Path], object]) -> Dataset:
    dataset = Dataset.read(examples)
    change(Path(dataset.files(examples, "test")[0]))
    return dataset


def test_an_empty_split(own_examples: Path) -> None:
    dataset = Dataset.read(own_examples)
    dataset.splits["test"].records = 0
    with pytest.raises(StepError, match="the test split is empty"):
        list(read(dataset, own_examples, "test"))


def test_a_missing_shard(own_examples: Path) -> None:
    dataset = spoil(own_examples, Path.unlink)
    with pytest.raises(StepError, match=r"test split is unreadable .* ingest anew"):
        list(read(dataset, own_examples, "test"))


def test_a_shard_with_a_flipped_bit(own_examples: Path) -> None:
    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    dataset = spoil(own_examples, flip)
    with pytest.raises(StepError, match=r"test split is unreadable .* ingest anew"):
        list(read(dataset, own_examples, "test"))


@pytest.mark.parametrize("records", [0, 7])
def test_a_shard_of_fewer_records_than_told(own_examples: Path, records: int) -> None:
    images, labels = read_mnist(MNIST, "t10k", 7)
    content = encode(images[:records], labels[:records])
    dataset = spoil(own_examples, lambda path: path.write_bytes(content))
    with pytest.raises(StepError, match="ingest anew"):
        list(read(dataset, own_examples, "test"))


def test_further_features_of_the_records_come_along(own_examples: Path) -> None:
    def example(number: int) -> bytes:
        feature = {
            "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes(784)])),
            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
            "pen": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"blue"])),
            "weight": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5])),
        }
        if number != 1:
            feature["page"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    def write(path: Path) -> None:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for number in range(TEST):
                writer.write(example(number))

    dataset = spoil(own_examples, write)
    extras = next(read(dataset, own_examples, "test"))[2]
    assert sorted(extras) == ["page", "pen"]  # a float is nothing to cut slices by
    assert extras["pen"].numpy().tolist()[:2] == [b"blue"] * 2
    assert extras["page"].numpy().tolist()[2:5] == [2, 3, 4]
