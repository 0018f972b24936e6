"""A profile: sums over images and answers, the same whatever the order of adding."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.shared.profile import Profile
from components.shared.records import MAX_SIDE

Drawn = tuple[np.ndarray, np.ndarray]


@st.composite
def answered(draw: st.DrawFn) -> Drawn:
    """Images of any size, and probabilities of their classes."""
    height, width = (draw(st.integers(1, MAX_SIDE)) for _ in range(2))
    count, classes = (
        draw(st.integers(0, 600 if height * width < 100 else 9)),
        draw(st.integers(2, 128)),
    )
    generator = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    images = generator.integers(0, 256, (count, height, width), np.uint8)
    drawn = generator.random((count, classes), np.float32)
    return images, drawn / drawn.sum(axis=1, keepdims=True)


@pytest.mark.fuzz
@given(answered(), st.lists(st.integers(0, 600), max_size=3))
def test_parts_add_up_to_the_whole(drawn: Drawn, cuts: list[int]) -> None:
    images, probabilities = drawn
    edges = [0, *sorted(min(cut, len(images)) for cut in cuts), len(images)]
    parts = [
        Profile.of(images[start:stop], probabilities[start:stop])
        for start, stop in itertools.pairwise(edges)
    ]
    whole, added = Profile.of(images, probabilities), Profile.total(parts)
    assert added.confidence_sum == pytest.approx(whole.confidence_sum)
    assert added.texture_sum == pytest.approx(whole.texture_sum)
    rounded = {name: getattr(whole, name) for name in ("confidence_sum", "texture_sum")}
    assert added.model_copy(update=rounded) == whole
    assert Profile.model_validate_json(whole.model_dump_json()) == whole


@pytest.mark.fuzz
@given(answered())
def test_it_is_what_numpy_finds(drawn: Drawn) -> None:
    images, probabilities = drawn
    profile = Profile.of(images, probabilities)
    assert profile.images == len(images) == sum(profile.ink) == sum(profile.predicted)
    assert sum(profile.cell_sum) == images.sum(dtype=np.int64)
    if len(images):
        ink = np.floor(images.reshape(len(images), -1).mean(axis=1)).astype(int)
        assert profile.ink == np.bincount(ink, minlength=256).tolist()
        np.testing.assert_array_equal(profile.decoded_samples()[0], images[0])
        assert profile.mean_confidence == pytest.approx(probabilities.max(axis=1).mean(), abs=1e-5)
    if max(images.shape[1:]) <= 32 and len(images):
        np.testing.assert_allclose(profile.mean_image, images.mean(axis=0))


def test_a_large_image_is_averaged_over_cells() -> None:
    image = np.zeros((1, 64, 40), np.uint8)
    image[0, :2] = 200
    mean = Profile.of(image, np.full((1, 2), 0.5, np.float32)).mean_image
    assert mean.shape == (32, 32)
    assert (mean[0] == 200).all()
    assert not mean[1:].any()
