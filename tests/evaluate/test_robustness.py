"""What the changes do to an image."""

import numpy as np
import pytest

from components.evaluate.robustness import CHANGES, Robustness, inverted, noisy, shifted
from tests.evaluate.conftest import random_batches


def dot() -> np.ndarray:
    images = np.zeros((4, 28, 28), np.uint8)
    images[:, 10, 10] = 255
    return images


@pytest.mark.parametrize("pixels", [1, 2])
@pytest.mark.parametrize("start", [0, 1, 2, 3, 5_000])
def test_shifts_go_right_down_left_and_up_in_turn(pixels: int, start: int) -> None:
    moves = [(0, pixels), (pixels, 0), (0, -pixels), (-pixels, 0)]
    for row, image in enumerate(shifted(pixels)(dot(), start)):
        down, right = moves[(start + row) % 4]
        assert np.argwhere(image).tolist() == [[10 + down, 10 + right]]


def test_what_leaves_the_frame_does_not_come_back() -> None:
    full = np.full((4, 28, 28), 255, np.uint8)
    assert [int((image == 0).sum()) for image in shifted(2)(full, 0)] == [56] * 4


def test_noise_is_the_same_every_time_and_as_strong_as_told() -> None:
    gray = np.full((100, 28, 28), 128, np.uint8)
    noise = noisy(32)(gray, 0)
    assert np.array_equal(noise, noisy(32)(gray, 0))
    assert not np.array_equal(noise, noisy(32)(gray, 5_000))
    assert noise.std() == pytest.approx(32, rel=0.02)


def test_noise_is_clipped() -> None:
    assert noisy(255)(dot(), 0).dtype == np.uint8
    assert noisy(64)(np.full((9, 28, 28), 255, np.uint8), 0).mean() > 200


def test_inverting_swaps_ink_and_background() -> None:
    assert np.array_equal(inverted(dot(), 0), 255 - dot())


def test_every_change_is_scored_on_every_example() -> None:
    batches = random_batches(3, 100)

    def says_seven(images: np.ndarray) -> np.ndarray:
        return np.eye(10, dtype=np.float32)[np.full(len(images), 7)]

    robustness = Robustness(says_seven)
    for batch in batches:
        robustness.add(batch)
    sevens = sum(int((batch.labels == 7).sum()) for batch in batches)
    results = robustness.result()
    assert [(part.slice, part.value) for part in results] == list(CHANGES)
    assert {(part.examples, part.correct) for part in results} == {(300, sevens)}
    original, changed = robustness.samples
    assert np.array_equal(original, batches[0].images[0])
    assert np.array_equal(changed[-1], 255 - original)
