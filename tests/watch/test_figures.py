"""The figures of a watch, beside scipy's, and what chance makes of them."""

import math

import numpy as np
import pytest
from scipy.stats import betabinom, chi2

from components.config import Watch
from components.shared.predictions import Reference
from components.shared.profile import Profile
from components.watch.figures import chi_square, figures, grey_value_shares, psi, share_by_chance

CLASSES = 4


def profile(count: int, seed: int, shape: tuple[int, int] = (8, 8)) -> Profile:
    """Images whose brightness differs, and answers of which some are unsure."""
    generator = np.random.default_rng(seed)
    brightest = generator.integers(20, 256, (count, 1, 1))
    images = (generator.random((count, *shape)) * brightest).astype(np.uint8)
    drawn = generator.dirichlet([0.2] * CLASSES, count).astype(np.float32)
    return Profile.of(images, drawn)


def reference() -> Reference:
    """What the model was trained on: 5,000 images for training, 2,000 for test."""
    return Reference(
        source="somewhere",
        dataset_fingerprint="0" * 64,
        model_sha256="0" * 64,
        class_names=[str(number) for number in range(CLASSES)],
        pixel_variance=3_000.0,
        train=profile(5_000, 1),
        test=profile(2_000, 2),
    )


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 30])
def test_few_unchanged_images_are_rarely_an_alarm(count: int) -> None:
    stands = reference()
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(300):
        came = profile(count, int(generator.integers(1 << 30)))
        alarms += any(figure.too_far for figure in figures(Watch(), came, stands))
    assert alarms <= 3


@pytest.mark.parametrize(("hits", "of", "images"), [(3, 2_000, 2), (200, 2_000, 40), (0, 50, 900)])
def test_a_share_by_chance_is_that_of_scipys_beta_binomial(hits: int, of: int, images: int) -> None:
    drawn = betabinom(images, hits + 0.5, of - hits + 0.5)
    most, least = drawn.isf(0.001), drawn.ppf(0.001)
    expected = hits / of - least / images, most / images - hits / of
    assert share_by_chance(hits, of, images, 0.001) == pytest.approx(expected)


def test_a_share_among_millions_is_computed_as_exactly() -> None:
    drawn = betabinom(10_000_000, 100.5, 9_900.5)
    expected = drawn.isf(0.001) / 10_000_000 - 0.01
    assert share_by_chance(100, 10_000, 10_000_000, 0.001)[1] == pytest.approx(expected, rel=1e-3)


def test_the_grey_values_of_training_lie_in_ten_bins_of_a_tenth() -> None:
    train = profile(5_000, 1)
    ours, theirs = grey_value_shares(profile(300, 3), train)
    assert len(theirs) == 10
    assert theirs == pytest.approx([0.1] * 10, abs=0.03)
    assert ours.sum() == pytest.approx(1)


def test_images_of_one_grey_value_are_one_bin() -> None:
    flat = Profile.of(np.full((9, 3, 3), 7, np.uint8), np.full((9, 2), 0.5, np.float32))
    ours, theirs = grey_value_shares(profile(100, 1, (3, 3)), flat)
    assert len(ours) == len(theirs) <= 2
    assert math.isfinite(psi(ours, theirs))


def test_the_stability_index_is_the_usual_one() -> None:
    ours, theirs = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.4, 0.2])
    by_hand = sum((a - b) * math.log(a / b) for a, b in zip(ours, theirs, strict=True))
    assert psi(ours, theirs) == pytest.approx(by_hand)
    assert psi(ours, ours) == 0


@pytest.mark.parametrize("degrees", [1, 3, 8, 9, 40])
def test_chi_square_is_about_scipys(degrees: int) -> None:
    assert chi_square(degrees) == pytest.approx(chi2.ppf(0.999, degrees), rel=0.04)


@pytest.mark.parametrize("count", [50, 400, 3_000])
def test_chance_goes_beyond_what_is_said_of_it_rarely(count: int) -> None:
    """Of nights drawn as the reference was, none of two hundred is far beyond."""
    stands = reference()
    for seed in range(200):
        for figure in figures(Watch(), profile(count, 100 + seed), stands):
            assert figure.value <= 1.3 * figure.chance, (seed, figure)


def test_the_same_images_have_moved_nowhere() -> None:
    stands = reference().model_copy(update={"train": profile(2_000, 2)})
    for figure in figures(Watch(), stands.test, stands):
        assert figure.value == pytest.approx(0)


def test_figures_are_in_the_units_that_the_options_say() -> None:
    stands = reference()
    came = stands.train.model_copy(update={"predicted": [5_000, 0, 0, 0]})
    found = {figure.name: figure for figure in figures(Watch(), came, stands)}
    largest = max(1 - stands.test.class_shares[0], *stands.test.class_shares[1:])
    assert found["max_class_change"].value == pytest.approx(largest)
    brighter = [value + 10 * 5_000 for value in stands.train.cell_sum]
    came = stands.train.model_copy(update={"cell_sum": brighter})
    found = {figure.name: figure for figure in figures(Watch(), came, stands)}
    assert found["max_pixel_distance"].value == pytest.approx(10)
