"""A request's images, from the lists that JSON gives.

NumPy is not asked to guess what they are: one long string beside numbers would have it make every
element as long.
"""

from typing import Any

import numpy as np


class BadRequest(Exception):  # noqa: N818 - what HTTP calls it
    """A request that cannot be answered; the message says why."""


def pixels(images: list[Any], shape: tuple[int, int]) -> np.ndarray:
    """Returns a batch of images as uint8 ``[batch, height, width]``.

    Args:
        images: Nested lists of 0 to 255.
        shape: Height and width.

    Raises:
        BadRequest: They are anything else; names the first image that is.
    """
    height, width = shape
    batch = bytearray()
    for number, image in enumerate(images):
        if not isinstance(image, list) or len(image) != height:
            raise _wrong_image(number, shape, f"{_describe(image)} for the rows")
        for row in image:
            if not isinstance(row, list) or len(row) != width:
                raise _wrong_image(number, shape, f"{_describe(row)} for a row")
            if set(map(type, row)) != {int}:
                raise _wrong_image(number, shape, "something else than whole numbers")
            try:
                batch += bytes(row)
            except ValueError:
                raise _wrong_image(number, shape, "a number that is not from 0 to 255") from None
    return np.frombuffer(batch, np.uint8).reshape(-1, height, width)


def _wrong_image(number: int, shape: tuple[int, int], got: str) -> BadRequest:
    height, width = shape
    return BadRequest(
        f"images: image {number}: expected {height} rows of {width} whole numbers from 0 to 255, "
        f"got {got}"
    )


def _describe(value: object) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    names = {dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
