"""Images on a page: samples, mean images, and how these differ."""

import base64
import io
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from PIL import Image

FULL = 128  # grey values of a difference that is drawn in full colour
MORE, LESS = np.array([214, 60, 52]), np.array([36, 88, 197])  # red, blue


def grey(image: npt.NDArray[np.generic]) -> str:
    """Returns an image of grey values ``[height, width]``, 0 to 255, as a data URI."""
    return _png(Image.fromarray(np.rint(image).astype(np.uint8)))


def greys(images: Iterable[npt.NDArray[np.uint8]]) -> list[str]:
    """Returns images as data URIs."""
    return list(map(grey, images))


def difference(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> str:
    """Returns where the first of two images is brighter, in red, and darker, in blue, on black."""
    strength = np.clip((ours - theirs) / FULL, -1, 1)[..., None]
    colours = np.where(strength > 0, MORE, LESS) * np.abs(strength)
    return _png(Image.fromarray(np.rint(colours).astype(np.uint8)))


def _png(image: Image.Image) -> str:
    packed = io.BytesIO()
    image.save(packed, "PNG")
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()
