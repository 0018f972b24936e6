"""Pictures on a page, each a PNG as a data URI; it imports pillow, which not every step has."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image


def data_uri(picture: Image.Image) -> str:
    """Returns a picture as a data URI."""
    packed = io.BytesIO()
    picture.save(packed, "PNG")
    return png_uri(packed.getvalue())


def png_uri(png: bytes) -> str:
    """Returns a PNG file's bytes as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def grey(image: npt.NDArray[np.uint8]) -> str:
    """Returns a grey image, ``[height, width]``, as a data URI."""
    return data_uri(Image.fromarray(image))
