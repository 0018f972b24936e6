"""Pictures of what came in: grey images, and how one differs from another, as data URIs."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.shared.pages.pictures import data_uri

LARGEST = 96  # pixels a side; a larger image is shown smaller
BRIGHTER, DARKER = (224, 112, 24), (60, 120, 230)  # red, green, blue: seen on white and on black


def grey(image: npt.NDArray[np.uint8]) -> str:
    """Returns a grey image, uint8 ``[height, width]``."""
    return _small(Image.fromarray(image))


def mean(image: npt.NDArray[np.float64]) -> str:
    """Returns a mean image, grey values 0 to 255 ``[rows, columns]``."""
    return grey(np.clip(image.round(), 0, 255).astype(np.uint8))


def difference(image: npt.NDArray[np.float64]) -> str:
    """Returns differences ``[rows, columns]`` in two colours; the smaller, the paler."""
    largest = np.abs(image).max() or 1.0
    colours = np.where(image[..., None] > 0, BRIGHTER, DARKER)
    opacity = np.abs(image)[..., None] / largest * 255
    pixels = np.concatenate([colours, opacity], axis=-1).round().astype(np.uint8)
    return _small(Image.fromarray(pixels))


def _small(picture: Image.Image) -> str:
    picture.thumbnail((LARGEST, LARGEST))
    return data_uri(picture)
