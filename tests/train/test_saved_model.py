"""The SavedModel answers images of its own shape, one answer an image, and refuses all others."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.config import Train
from components.train.model import State
from components.train.networks.mlp import inference
from components.train.networks.network import open_network
from components.train.saved_model import export

SHAPE = (28, 28)


@pytest.fixture(scope="module")
def state() -> State:
    config = Train(hidden="16,8")
    return State.initial(config, open_network(config, SHAPE, 10))


@pytest.fixture(scope="module")
def loaded(state: State, tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("exported") / "saved_model"
    export(state.answering[0], SHAPE, directory)
    return tf.saved_model.load(str(directory))


def some_images(number: int, seed: int = 0) -> tf.Tensor:
    generator = np.random.default_rng(seed)
    return tf.constant(generator.integers(256, size=(number, *SHAPE), dtype=np.uint8))


def records(images: Any) -> tf.Tensor:
    def record(image: Any) -> bytes:
        pixels = tf.train.BytesList(value=[bytes(image)])
        feature = {"image": tf.train.Feature(bytes_list=pixels)}
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    return tf.constant([record(image) for image in np.asarray(images)])


@pytest.mark.parametrize(
    "shape", [(1, 56, 56), (8, 14, 14), (1, 28, 28, 3), (2, 28, 14), (1, 784), (28, 28), (0, 0, 0)]
)
def test_images_of_another_shape_are_refused(loaded: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(tf.errors.OpError):
        loaded.signatures["serving_default"](images=tf.zeros(shape, tf.uint8))
    with pytest.raises((tf.errors.OpError, ValueError)):
        loaded(tf.zeros(shape, tf.uint8))


@pytest.mark.parametrize("pixels", [0, 783, 785, 4 * 784])
def test_records_with_another_number_of_pixels_are_refused(loaded: Any, pixels: int) -> None:
    with pytest.raises(tf.errors.OpError):
        loaded.signatures["examples"](examples=records(np.zeros((1, pixels), np.uint8)))


@pytest.mark.parametrize("number", [0, 1, 7])
def test_both_signatures_and_a_call_answer_alike(loaded: Any, state: State, number: int) -> None:
    images = some_images(number)
    logits = inference(state.answering[0], tf.cast(images, tf.float32) / 255)
    answers = [
        loaded.signatures["serving_default"](images=images),
        loaded(images),
        loaded(images.numpy()),
    ]
    if number:
        answers.append(loaded.signatures["examples"](examples=records(images)))
    for answer in answers:
        np.testing.assert_allclose(answer["logits"], logits, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(answer["probabilities"], tf.nn.softmax(logits), rtol=1e-5)
        np.testing.assert_array_equal(answer["class"], tf.argmax(logits, 1))


def test_six_threads_ask_at_once(loaded: Any) -> None:
    def ask(seed: int) -> Any:
        return loaded(some_images(50, seed))["logits"].numpy()

    alone = [ask(seed) for seed in range(24)]
    with ThreadPoolExecutor(6) as threads:
        for expected, answer in zip(alone, threads.map(ask, range(24)), strict=True):
            np.testing.assert_array_equal(answer, expected)
