"""Textures: what they are made of, and distances in standard deviations of a training split's."""

import numpy as np
import pytest

from components.shared.texture import SAMPLED, Texture, feature_count, sampled, textures


def images(count: int, shape: tuple[int, int] = (28, 28), seed: int = 0) -> np.ndarray:
    """Noise, brighter in some images than in others."""
    generator = np.random.default_rng(seed)
    brightest = generator.integers(40, 256, (count, 1, 1))
    return (generator.random((count, *shape)) * brightest).astype(np.uint8)


def fitted(of: np.ndarray) -> Texture:
    found = textures(of)
    texture = Texture.fit(len(found), found.sum(axis=0), found.T @ found)
    return texture.with_quantiles(texture.distances(found))


def test_a_texture_is_changes_and_grey_values_in_sixteen_rectangles() -> None:
    striped = np.zeros((1, 8, 8), np.uint8)
    striped[0, :, ::2] = 100
    across, down, grey = np.square(textures(striped)).reshape(3, 4, 4)
    assert across[1, 1] == pytest.approx(100) and across[1, 0] == pytest.approx(50)
    assert not down.any()
    assert grey == pytest.approx(np.full((4, 4), 50))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (256, 3), (5, 6)])
def test_images_of_any_size_have_one(shape: tuple[int, int]) -> None:
    found = textures(images(30, shape))
    assert found.shape == (30, feature_count(shape))
    assert np.isfinite(fitted(images(30, shape)).distances(found)).all()


def test_no_images_have_none() -> None:
    assert textures(images(0)).shape == (0, 48)


def test_distances_are_those_of_mahalanobis() -> None:
    texture, found = fitted(images(2_000)), textures(images(2_000))
    covariance = np.cov(found.T, bias=True)
    ridged = covariance + 0.01 * np.trace(covariance) / 48 * np.eye(48)
    apart = found[:5] - found.mean(axis=0)
    by_hand = np.sqrt((apart @ np.linalg.inv(ridged) * apart).sum(axis=1) / 48)
    assert texture.distances(found[:5]) == pytest.approx(by_hand, rel=1e-3)


def test_one_in_a_hundred_is_unusual_and_so_is_most_of_another_kind() -> None:
    texture = fitted(images(2_000))
    alike, smooth = images(1_000, seed=1), np.repeat(images(1_000, (28, 14), seed=2), 2, axis=2)
    assert texture.unusual(texture.distances(textures(alike))) < 30
    assert texture.unusual(texture.distances(textures(smooth))) > 500


def test_a_damaged_one_is_refused() -> None:
    with pytest.raises(ValueError, match="whitening"):
        Texture(mean=[0.0, 0.0], whitening=[[1.0, 0.0]])


@pytest.mark.parametrize("whole", [1, 4_999, 7_400, 12_500, 300_000])
def test_about_as_many_images_are_sampled_of_a_whole_as_of_its_parts(whole: int) -> None:
    part = 1_000
    sizes = [min(part, whole - start) for start in range(0, whole, part)]
    parts = [np.zeros((size, 2, 2), np.uint8) for size in sizes]
    found = sum(len(sampled(each, whole)) for each in parts)
    assert min(whole, SAMPLED * 2 // 3) <= found <= min(whole, SAMPLED * 3 // 2) + len(parts)
