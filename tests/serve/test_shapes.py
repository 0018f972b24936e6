"""What is served is asked by the shape of its own images."""

import numpy as np
import pytest
import tensorflow as tf

from components.serve.model import Loaded, predict
from tests.e2e.test_shapes import Made, tall

__all__ = ["tall"]


def test_the_model_is_asked_by_its_own_shape_and_without_a_label(tall: Made) -> None:
    loaded = Loaded.of(1, tall.model / "saved_model")
    assert loaded.image_shape == (21, 5)
    images = np.random.default_rng(0).integers(256, size=(3, 21, 5), dtype=np.uint8)
    pixels = [tf.train.BytesList(value=[image.tobytes()]) for image in images]
    features = [{"image": tf.train.Feature(bytes_list=some)} for some in pixels]
    examples = [tf.train.Example(features=tf.train.Features(feature=some)) for some in features]
    records = tf.constant([example.SerializeToString() for example in examples])
    said = loaded.model.signatures["examples"](examples=records)["probabilities"].numpy()
    assert said.shape == (3, 62)
    answer = predict(loaded, "serving_default", images.tolist())
    np.testing.assert_allclose(answer["probabilities"], said, atol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError):  # not padded, as if it had the others
        loaded.model.signatures["examples"](
            examples=tf.constant([_example_of(bytes(21 * 5 - 1)).SerializeToString()])
        )


def _example_of(pixels: bytes) -> tf.train.Example:
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[pixels]))
    return tf.train.Example(features=tf.train.Features(feature={"image": image}))
