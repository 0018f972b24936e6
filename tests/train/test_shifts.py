"""A shifted batch is the images moved over a background of zeros."""

import numpy as np
import pytest
import tensorflow as tf

from components.config import Train
from components.train import shifts


@pytest.mark.parametrize("shape", [(28, 28), (3, 7), (7, 3), (1, 1)])
@pytest.mark.parametrize("radius", [0, 1, 2, 3])
@pytest.mark.parametrize("xla", [True, False])
def test_a_batch_is_cut_as_from_images_with_a_border(
    xla: bool, radius: int, shape: tuple[int, int]
) -> None:
    config = Train(shift=radius, xla=xla)

    @tf.function(jit_compile=xla)
    def cut(rows: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
        return shifts.cut(lines, rows, shift, shape, config)

    height, width = shape
    images = np.random.default_rng(3).integers(256, size=(8, *shape), dtype=np.uint8)
    lines = shifts.lay_out(tf.constant(images), radius)
    bordered = np.pad(images, [(0, 0), (radius, radius), (radius, radius)])
    rows = [5, 0, 5]
    for shift in range((2 * radius + 1) ** 2):
        top, left = divmod(shift, 2 * radius + 1)
        expected = bordered[rows, top : top + height, left : left + width].reshape(3, -1) / 255
        pixels = cut(tf.constant(rows), tf.constant(shift))
        np.testing.assert_allclose(pixels, expected, rtol=1e-6)
    assert cut.experimental_get_tracing_count() == 1


def test_a_band_is_a_part_of_the_batch() -> None:
    images = np.random.default_rng(3).integers(256, size=(8, 28, 28), dtype=np.uint8)
    lines = shifts.lay_out(tf.constant(images), radius=1)
    for shift in range(9):
        given = lines, tf.constant([1, 7]), tf.constant(shift), (28, 28), Train(xla=False)
        whole = shifts.cut(*given)
        band = slice(100, 500)
        pixels = shifts.cut(*given, band=band)
        np.testing.assert_array_equal(pixels, whole[:, 100:500])


def test_an_image_is_held_between_margins_of_background() -> None:
    lines = shifts.lay_out(tf.ones([2, 28, 28], tf.uint8), radius=2).numpy()
    assert lines.shape == (2, shifts.line_length((28, 28), 2))
    assert lines.sum() == 2 * 784
    np.testing.assert_array_equal(lines[:, 58:-58], 1)


def test_every_step_draws_one_of_the_shifts_and_the_seed_says_which() -> None:
    drawn = shifts.draw(Train(max_steps=500, shift=1, seed=4))
    assert sorted(set(drawn.tolist())) == list(range(9))
    np.testing.assert_array_equal(drawn, shifts.draw(Train(max_steps=500, shift=1, seed=4)))
    assert (drawn != shifts.draw(Train(max_steps=500, shift=1, seed=5))).any()
    assert not shifts.draw(Train(max_steps=500, shift=0)).any()
