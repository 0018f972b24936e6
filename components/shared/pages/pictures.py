"""Pictures on a page; it imports pillow, which not every step has."""

import base64
import io

from PIL import Image


def data_uri(picture: Image.Image) -> str:
    """Returns a picture as a PNG that is its own address."""
    packed = io.BytesIO()
    picture.save(packed, "PNG")
    return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode()
