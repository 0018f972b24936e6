"""How far an image's texture lies from the training split's: what shows another kind of image.

An image's texture is, in each of 4 x 4 rectangles, the mean change from a pixel to the next one,
across and down, and the mean grey value; their square roots, since those spread alike whether they
are large or small. Textures are compared in standard deviations of the training split's, in which
features that go together count once: the distance of Mahalanobis.

Source: https://en.wikipedia.org/wiki/Mahalanobis_distance
"""

from math import prod
from typing import Annotated, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator

from components.shared.records import Images, ImageShape

GRID = 4  # rectangles along a side
SAMPLED = 5_000  # images of a split, or of all that came in, of which textures are taken, about
AT_ONCE = 200_000  # pixels, so that what is computed of them stays in the processor's cache
RIDGE = 0.01  # of the mean variance, added to each: no direction counts more than ten times another

Textures = npt.NDArray[np.float64]  # [n, features]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Texture(BaseModel):
    """The textures of a training split, to compare others with."""

    mean: list[Finite]
    whitening: list[list[Finite]]  # [features][features]: to independent features of variance 1
    # Distances that so many of the test split's images lie within.
    of_99_percent: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    of_999_permille: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        count = len(self.mean)
        if [len(row) for row in self.whitening] != [count] * count:
            raise ValueError(f"a whitening of {len(self.whitening)} features, expected {count}")
        return self

    @classmethod
    def fit(cls, count: int, total: Textures, products: Textures) -> Self:
        """Describes textures by their sum ``[features]`` and that of their outer products."""
        mean = total / max(1, count)
        covariance = products / max(1, count) - np.outer(mean, mean)
        ridge = RIDGE * max(float(np.trace(covariance)) / len(mean), 1e-6)
        whitening = np.linalg.inv(np.linalg.cholesky(covariance + ridge * np.eye(len(mean))))
        return cls(mean=_rounded(mean), whitening=[_rounded(row) for row in whitening])

    def with_quantiles(self, distances: npt.NDArray[np.float64]) -> Self:
        """Returns the same with the quantiles of the test split's distances ``[n]``."""
        far, rare = (float(np.quantile(distances, share)) for share in (0.99, 0.999))
        return self.model_copy(update={"of_99_percent": far, "of_999_permille": rare})

    def unusual(self, distances: npt.NDArray[np.float64]) -> int:
        """How many distances are greater than those of 99 in 100 images of the test split."""
        return int(np.count_nonzero(distances > self.of_99_percent))

    def distances(self, textures: Textures) -> npt.NDArray[np.float64]:
        """Returns how many standard deviations textures lie from the mean, over all features.

        Args:
            textures: One in a row, ``[n, features]``.
        """
        whitened = np.einsum("nf,gf->ng", textures - np.asarray(self.mean), self.whitening)
        return np.sqrt(np.square(whitened).mean(axis=1))


def textures(images: Images) -> Textures:
    """Returns the textures of images, ``[n, features]``."""
    few = max(1, AT_ONCE // prod(images.shape[1:]))
    found = [_means(images[start : start + few]) for start in range(0, len(images), few)]
    none = np.empty((0, feature_count((images.shape[1], images.shape[2]))))
    return np.sqrt(np.concatenate([none, *found]))


def sampled(images: Images, records: int) -> Images:
    """Returns some images of a part, evenly spaced, where the whole has so many records."""
    return images[:: max(1, round(records / SAMPLED))]


def _means(images: Images) -> npt.NDArray[np.float64]:
    """Means of changes across, of changes down and of grey values in each rectangle."""
    grey = np.ascontiguousarray(images)
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    _changes(grey[:, :, 1:], grey[:, :, :-1], across[:, :, 1:])
    _changes(grey[:, 1:], grey[:, :-1], down[:, 1:])
    rows, columns = map(_edges, images.shape[1:])
    sizes = np.outer(*(np.diff([*_edges(side), side]) for side in images.shape[1:]))
    sums = [
        np.add.reduceat(_added_down(part, rows), columns, axis=2, dtype=np.int32)
        for part in (across, down, grey)
    ]
    return np.concatenate([(part / sizes).reshape(len(images), -1) for part in sums], axis=1)


def _changes(of: Images, beside: Images, out: Images) -> None:
    """Writes how far grey values lie apart: eight bits hold that, and take less time than more."""
    np.subtract(np.maximum(of, beside), np.minimum(of, beside), out=out)


def _added_down(part: Images, rows: list[int]) -> npt.NDArray[np.uint16]:
    """Adds up the rows from each edge to the next, ``[n, rectangles, width]``.

    Without a product of matrices, whose threads would wait for those of the model. 16 bits hold the
    sum of a column's part.
    """
    bands = zip(rows, [*rows[1:], part.shape[1]], strict=True)
    return np.stack([part[:, top:end].sum(axis=1, dtype=np.uint16) for top, end in bands], axis=1)


def feature_count(image_shape: ImageShape) -> int:
    """Returns how many features a texture of such images has."""
    return 3 * prod(min(GRID, side) for side in image_shape)


def _edges(side: int) -> list[int]:
    """Where the rectangles along a side of so many pixels begin."""
    cells = min(GRID, side)
    return [side * cell // cells for cell in range(cells)]


def _rounded(row: Textures) -> list[float]:
    """Numbers of six digits, which are enough and short to store."""
    return [float(f"{number:.6g}") for number in row]
