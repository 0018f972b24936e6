"""What images look like and what a model says of them, added up, to be compared with others."""

import base64
from collections.abc import Sequence
from math import prod
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator

from components.shared.manifests import ImageShape
from components.shared.records import Images
from components.shared.texture import Texture, Textures, feature_count, textures

GREYS = 256
HUNDREDTHS = 100
MOST_CELLS = 32  # a side of the mean image: a larger one is averaged over rectangles
SAMPLES = 14  # images kept
SAMPLE_BYTES = 64 << 10  # of all of them together, though one is always kept


Count = Annotated[int, Field(ge=0, lt=1 << 53)]  # as a double holds it


class Profile(BaseModel):
    """Sums over images and a model's answers."""

    images: Count
    image_shape: ImageShape
    ink: list[Count]  # images by mean grey value: from 0, from 1, … 255
    cell_sum: list[Count]  # of grey values in each cell of the mean image, row-major
    predicted: list[Count]  # images by most probable class
    confidence: list[Count]  # images by that class's probability, in hundredths
    confidence_sum: float = Field(ge=0, allow_inf_nan=False)
    samples: list[str]  # the first images: their pixels, uint8, in base64
    # Of some of the images; none in a profile of before there were textures.
    sampled: Count = 0
    texture_sum: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] = []
    unusual: Count = 0  # whose texture lies far from the training split's

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        cells = prod(len(_edges(side)) for side in self.image_shape)
        if (len(self.ink), len(self.confidence), len(self.cell_sum)) != (GREYS, HUNDREDTHS, cells):
            raise ValueError(f"expected {GREYS}, {HUNDREDTHS} and {cells} sums")
        for counts in (self.ink, self.predicted, self.confidence):
            if sum(counts) != self.images:
                raise ValueError(f"{self.images} images, but {sum(counts)} counted")
        if len(self.texture_sum) != (feature_count(self.image_shape) if self.sampled else 0):
            raise ValueError(f"{len(self.texture_sum)} sums of texture")
        if not self.unusual <= self.sampled <= self.images:
            raise ValueError(f"{self.unusual} unusual of {self.sampled} of {self.images} images")
        if any(not is_image(sample, self.image_shape) for sample in self.samples):
            raise ValueError("a sample is no image of that size")
        return self

    @classmethod
    def of(
        cls,
        images: Images,
        probabilities: npt.NDArray[np.float32],
        texture: Texture | None = None,
        found: Textures | None = None,
    ) -> Self:
        """Adds up images and what a model says of them.

        Args:
            images: uint8 ``[n, height, width]``.
            probabilities: Of the classes, float32 ``[n, classes]``.
            texture: The training split's, None where it is not known.
            found: The textures of some of the images, ``[n, features]``, where they were taken
                already.
        """
        count, height, width = images.shape
        cells = _cells(images)
        confidence = probabilities.max(axis=1).astype(np.float64)
        hundredths = np.minimum((confidence * HUNDREDTHS).astype(np.int64), HUNDREDTHS - 1)
        ink = images.reshape(count, height * width).sum(axis=1, dtype=np.uint32) // (height * width)
        found = textures(images) if found is None else found
        return cls(
            images=count,
            image_shape=(height, width),
            ink=np.bincount(ink, minlength=GREYS).tolist(),
            cell_sum=cells.tolist(),
            predicted=np.bincount(
                probabilities.argmax(axis=1), minlength=probabilities.shape[1]
            ).tolist(),
            confidence=np.bincount(hundredths, minlength=HUNDREDTHS).tolist(),
            confidence_sum=float(confidence.sum()),
            samples=_samples(images),
            sampled=len(found),
            texture_sum=found.sum(axis=0).tolist() if len(found) else [],
            unusual=texture.unusual(texture.distances(found)) if texture else 0,
        )

    @classmethod
    def total(cls, profiles: Sequence[Self]) -> Self:
        """Adds up at least one profile, of images of one shape and answers of one model."""
        first = profiles[0]
        sums = {
            name: np.sum([getattr(profile, name) for profile in profiles], axis=0).tolist()
            for name in ("ink", "cell_sum", "predicted", "confidence")
        }
        samples = [sample for profile in profiles[:SAMPLES] for sample in profile.samples]
        texture_sums = [profile.texture_sum for profile in profiles if profile.sampled]
        return cls(
            images=sum(profile.images for profile in profiles),
            image_shape=first.image_shape,
            confidence_sum=sum(profile.confidence_sum for profile in profiles),
            samples=samples[: _kept(first.image_shape)],
            sampled=sum(profile.sampled for profile in profiles),
            texture_sum=np.sum(texture_sums, axis=0).tolist() if texture_sums else [],
            unusual=sum(profile.unusual for profile in profiles),
            **sums,
        )

    @property
    def mean_image(self) -> npt.NDArray[np.float64]:
        """The mean grey value of each cell, 0 to 255, ``[rows, columns]``; of no images, 0."""
        return _mean(np.asarray(self.cell_sum), self.images, self.image_shape)

    @property
    def mean_texture(self) -> Textures:
        """The mean texture of the sampled images, ``[1, features]``."""
        return np.asarray(self.texture_sum)[None] / max(1, self.sampled)

    @property
    def mean_confidence(self) -> float:
        """The mean probability of the most probable class; of no images, 0."""
        return self.confidence_sum / max(1, self.images)

    @property
    def class_shares(self) -> list[float]:
        """The share of each class among the answers; of no images, 0."""
        return [count / max(1, self.images) for count in self.predicted]

    def decoded_samples(self) -> Images:
        """Returns the first images, uint8 ``[n, height, width]``."""
        pixels = b"".join(base64.b64decode(sample) for sample in self.samples)
        return np.frombuffer(pixels, np.uint8).reshape(-1, *self.image_shape)


def mean_of_cells(images: Images) -> npt.NDArray[np.float64]:
    """Returns the mean image of images, as :attr:`Profile.mean_image`."""
    return _mean(_cells(images), len(images), (images.shape[1], images.shape[2]))


def _mean(
    cells: npt.NDArray[np.int64], images: int, image_shape: ImageShape
) -> npt.NDArray[np.float64]:
    rows, columns = (np.diff([*_edges(side), side]) for side in image_shape)
    pixels = np.outer(rows, columns) * max(1, images)
    return cells.reshape(pixels.shape) / pixels


def _cells(images: Images) -> npt.NDArray[np.int64]:
    """Adds up grey values over all images, in each cell of the mean image: ``[cells]``."""
    _, height, width = images.shape
    summed = np.zeros((height, width), np.int64)
    # As many at a time as sums of 16 bits hold, which take a quarter of the time of wider ones.
    for start in range(0, len(images), 257):
        summed += images[start : start + 257].sum(axis=0, dtype=np.uint16)
    rows = np.add.reduceat(summed, _edges(height), axis=0)
    return np.add.reduceat(rows, _edges(width), axis=1).reshape(-1)


def _edges(side: int) -> list[int]:
    """Where the cells along a side of so many pixels begin."""
    cells = min(side, MOST_CELLS)
    return [side * cell // cells for cell in range(cells)]


def _kept(image_shape: ImageShape) -> int:
    return max(1, min(SAMPLES, SAMPLE_BYTES // prod(image_shape)))


def _samples(images: Images) -> list[str]:
    return list(map(as_text, images[: _kept((images.shape[1], images.shape[2]))]))


def is_image(text: str, image_shape: ImageShape) -> bool:
    """Whether a text is an image's pixels in base64."""
    try:
        return len(base64.b64decode(text, validate=True)) == prod(image_shape)
    except ValueError:
        return False


def as_text(image: npt.NDArray[np.uint8]) -> str:
    """Returns an image's pixels in base64."""
    return base64.b64encode(image.tobytes()).decode()


def as_image(text: str, image_shape: ImageShape) -> npt.NDArray[np.uint8]:
    """Returns the image, uint8 ``[height, width]``, whose pixels a text has in base64."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(image_shape)
