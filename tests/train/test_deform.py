"""Every image is deformed in its own way, over background, and alike for a seed and a step."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config import Train
from components.shared.manifests import Dataset
from components.shared.shards import Shards
from components.train import deform
from components.train.batches import Share, draws_from

SHAPES = [(28, 28), (3, 7), (7, 3), (1, 1), (64, 48)]


@pytest.fixture(scope="module")
def share(examples: Path) -> Share:
    return Share.of(Shards.of(Dataset.read(examples), examples, "train"), 6)


def drawn(*factors: tuple[int, int, int]) -> tf.Tensor:
    """One image's factors: 0 but for those given as axis, field, value."""
    values = np.zeros((1, 2, deform.FIELDS), np.int8)
    for axis, field, value in factors:
        values[0, axis, field] = value
    return tf.constant(values)


def deformed(
    image: npt.NDArray[np.uint8], by: tf.Tensor, move: Any = (0, 0), **options: Any
) -> Any:
    """One image after its move and deformation."""
    lines = deform.lay_out(tf.constant(image[np.newaxis]))
    moves = tuple(tf.constant([pixels]) for pixels in move)
    return deform.deform(lines, moves, by, image.shape, Train(**options)).numpy()[0]


def sampled(image: npt.NDArray[np.uint8], rows: Any, columns: Any) -> Any:
    """Takes an image at places between its pixels, bilinearly; outside, all is 0."""
    result = np.zeros(np.broadcast(rows, columns).shape)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            near = np.maximum(0, 1 - abs(rows - row)) * np.maximum(0, 1 - abs(columns - column))
            result += image[row, column] * near
    return result


def any_image(shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(5).integers(256, size=shape, dtype=np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_affine_map_is_about_the_centre(shape: tuple[int, int]) -> None:
    image = any_image(shape)
    rows, columns = np.indices(shape) - (np.array(shape)[:, None, None] - 1) / 2
    by = drawn((0, 0, 64), (0, 1, -32), (1, 0, 127), (1, 1, -128))
    expected = sampled(
        image,
        rows + 0.4 * (rows * 64 - columns * 32) / 128 + (shape[0] - 1) / 2,
        columns + 0.4 * (rows * 127 - columns * 128) / 128 + (shape[1] - 1) / 2,
    )
    np.testing.assert_allclose(deformed(image, by, affine=0.4), expected, atol=0.05)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_that_is_not_deformed_is_itself_and_moves_over_background(
    shape: tuple[int, int],
) -> None:
    image = any_image(shape)
    np.testing.assert_array_equal(deformed(image, drawn(), elastic=3.0), image)
    rows, columns = np.indices(shape)
    moved = deformed(image, drawn(), (2, -3), affine=0.1)
    np.testing.assert_array_equal(moved, sampled(image, rows + 2, columns - 3))


def test_however_far_a_pixel_is_taken_from_it_is_background() -> None:
    image = np.full((28, 28), 255, np.uint8)
    every = [(axis, field, value) for axis, value in ((0, 127), (1, -128)) for field in range(38)]
    assert not deformed(image, drawn(*every), elastic=10.0).any()
    light = deformed(image, drawn((0, 0, 127), (1, 1, 127)), affine=0.5)
    assert light[14, 14] == 255 and not light[0].any() and not light[:, 0].any()


@pytest.mark.parametrize("shape", [(28, 28), (64, 48)])
def test_an_elastic_deformation_is_as_strong_as_it_says_and_smooth(shape: tuple[int, int]) -> None:
    """Seen by the places that pixels of a slope come from."""
    slope = np.broadcast_to(np.arange(shape[1], dtype=np.uint8) * 4, shape)
    numbers = np.random.default_rng(2).integers(-128, 128, (300, 2, deform.FIELDS), np.int8)
    lines = tf.repeat(deform.lay_out(tf.constant(slope[np.newaxis])), 300, 0)
    still = (tf.zeros([300], tf.int32),) * 2
    seen = deform.deform(lines, still, tf.constant(numbers), shape, Train(elastic=1.5)).numpy()
    middle = seen[:, 8:-8, 8:-8] / 4 - np.arange(shape[1])[8:-8]
    assert middle.std() == pytest.approx(1.5, rel=0.05)
    assert abs(middle.mean()) < 0.2
    assert np.diff(middle, axis=1).std() < 0.4
    assert np.abs(middle[0] - middle[1]).max() > 0.5


@settings(max_examples=20, deadline=None)
@given(step=st.integers(0, 200), sizes=st.lists(st.integers(1, 9), max_size=4))
def test_deformations_are_those_drawn_at_once_however_they_are_cut(
    share: Share, step: int, sizes: list[int]
) -> None:
    config = Train(elastic=1.0, seed=3)
    at_once = draws_from(config, share, 0)(240)[1].numpy()
    draw = draws_from(config, share, step)
    for size in sizes:
        np.testing.assert_array_equal(draw(size)[1], at_once[step : step + size])
        step += size


def test_seeds_workers_steps_and_images_have_deformations_of_their_own(share: Share) -> None:
    def numbers(seed: int = 0, share: Share = share) -> npt.NDArray[np.int8]:
        return draws_from(Train(affine=0.1, seed=seed), share, 0)(3)[1].numpy()

    assert numbers().shape == (3, 6, 2, deform.FIELDS)
    np.testing.assert_array_equal(numbers(), numbers())
    other = dataclasses.replace(share, worker=1)
    several = np.stack([numbers(), numbers(1), numbers(share=other)]).reshape(54, -1)
    assert len(np.unique(several, axis=0)) == 54
    assert draws_from(Train(), share, 0)(3)[1].shape == (3, 6, 2, 0)
