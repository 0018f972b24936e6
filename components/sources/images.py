"""Images, encoded or as pixels, made into grey ones of one size."""

import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isqrt, prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from components.shared.records import Images, ImageShape
from components.sources import sniff

# Of odd metadata, say: the pixels are what counts, and whether they can be read.
warnings.filterwarnings("ignore", module="PIL")

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
# Larger pictures are refused before they are decoded: 100 of them would fill a worker's memory.
MAX_PIXELS = 1 << 24
OTHER_NUMBERS = ("I", "I;16", "I;16L", "I;16B", "F")  # modes of whole and other numbers
TRANSPARENT = ("LA", "PA", "RGBA", "RGBa", "La")  # modes
WRONG_SIZE = "wrong size: "  # what the reason of a record with such an image starts with


class UnreadableError(Exception):
    """An image cannot be used; the message says why.

    Args:
        reason: Why.
        image: What there is of it.
    """

    def __init__(self, reason: str, image: bytes = b"") -> None:
        super().__init__(reason)
        self.image = image


# One image as it stands in a file: encoded or pixel by pixel; in an array of any numbers
# ``[pixels]``, ``[height, width]`` or ``[height, width, channels]``; or why there is none.
StoredImage = bytes | npt.NDArray | UnreadableError


@dataclass(frozen=True)
class Unusable:
    """A record that does not make an example."""

    position: int  # in the range, from 0
    reason: str
    image: bytes
    label: int | None


class Records(NamedTuple):
    """The records of a range."""

    images: Images  # uint8 [n, height, width]
    labels: npt.NDArray[np.int64]  # [n], unchecked
    positions: npt.NDArray[np.int64]  # [n], in the range, from 0
    unreadable: list[Unusable]  # those without an image or a label, in order


@dataclass(frozen=True)
class Conversion:
    """What is done to every image.

    Args:
        grey: Whether colours become grey (ITU-R 601), palettes the colours they stand for,
            transparency black, and other numbers grey values, as :func:`grey_values` says.
        size: The height and width that every image is resized to, bilinearly and over all the
            pixels that one of the result covers.
        transpose: Whether rows and columns are exchanged.
        stored: The height and width of images that are pixels in a row; None: where nothing else
            says it, a square's.
    """

    grey: bool = False
    size: ImageShape | None = None
    transpose: bool = False
    stored: ImageShape | None = None

    def shape_of(self, stored: Sequence[int]) -> ImageShape:
        """The shape of an image ``[height, width, …]`` once it is converted."""
        height, width = stored[:2]
        return self.size or ((width, height) if self.transpose else (height, width))

    def stored_shape(self, pixels: int, shape: ImageShape | None) -> ImageShape | None:
        """The shape of an image that is so many pixels in a row, where that can be.

        Args:
            pixels: How many.
            shape: What it must have once it is converted.
        """
        if self.stored:
            return self.stored if pixels == prod(self.stored) else None
        if shape and not self.size:
            if pixels != prod(shape):
                return None
            return (shape[1], shape[0]) if self.transpose else shape
        side = isqrt(pixels)
        return (side, side) if pixels and side * side == pixels else None

    def of_block(self, images: npt.NDArray, shape: ImageShape) -> Images | None:
        """Converts images ``[n, pixels]`` or ``[n, height, width, …]`` all at once.

        Returns:
            None where they are to be converted one by one.
        """
        if images.dtype != np.uint8:
            whole = images.dtype.kind in "iu" and images.size and images.dtype != np.uint16
            if not whole or images.min() < 0 or images.max() > 255:
                return None
            images = images.astype(np.uint8)
        if images.ndim == 4 and images.shape[3] == 1:
            images = images[..., 0]
        if images.ndim == 2:
            stored = self.stored_shape(images.shape[1], shape)
            images = images.reshape(-1, *stored) if stored else images
        if images.ndim != 3 or self.shape_of(images.shape[1:]) != shape:
            return None
        if self.size and replace(self, size=None).shape_of(images.shape[1:]) != shape:
            return None
        return np.ascontiguousarray(images.swapaxes(1, 2) if self.transpose else images)

    def of_image(self, image: StoredImage, shape: ImageShape | None) -> Images:
        """Converts one image.

        Args:
            image: As it stands in a file.
            shape: What it must have once it is converted; None: any.

        Raises:
            UnreadableError: It cannot be read, has another shape, or is not grey and grey is not
                asked for.
        """
        if isinstance(image, UnreadableError):
            raise image
        if isinstance(image, np.ndarray):
            image = grey_values(image, self.grey)
            image = image.tobytes() if image.ndim == 1 else image
        if isinstance(image, np.ndarray):
            converted = self._of_array(image)
        elif sniff.is_picture(image):
            converted = self._decoded(image, shape)
        else:
            converted = self._of_array(self._pixels(image, shape))
        if shape and converted.shape != shape:
            raise UnreadableError(_wrong_size(converted.shape, shape))
        return converted

    def _of_array(self, pixels: npt.NDArray[np.uint8]) -> Images:
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        if pixels.ndim == 2 and self.size is None:
            return pixels.T if self.transpose else pixels
        if (
            not pixels.size
            or pixels.ndim > 3
            or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4))
        ):
            sides = " x ".join(map(str, pixels.shape))
            raise UnreadableError(f"{WRONG_SIZE}{sides}, expected height, width and 3 channels")
        return self._of_picture(Image.fromarray(pixels))

    def _pixels(self, data: bytes, shape: ImageShape | None) -> Images:
        stored = self.stored_shape(len(data), shape)
        if stored is None:
            known = self.stored or (None if self.size else shape)
            expected = prod(known) if known else "a square's (--shape names another)"
            raise UnreadableError(f"{WRONG_SIZE}{len(data)} bytes, expected {expected}")
        return np.frombuffer(data, np.uint8).reshape(stored)

    def _decoded(self, data: bytes, shape: ImageShape | None) -> Images:
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                width, height = picture.size
                found, turned = self.shape_of((height, width)), self.shape_of((width, height))
                if shape and shape not in (found, turned):
                    raise UnreadableError(_wrong_size(found, shape))
                if width * height > MAX_PIXELS:
                    raise UnreadableError(
                        f"{width * height:,} pixels, expected {MAX_PIXELS:,} at most"
                    )
                pages = getattr(picture, "n_frames", 1)
                if pages > 1 and picture.format != "MPO":  # a JPEG with a preview behind it
                    raise UnreadableError(f"{pages} pictures in one file, expected one")
                picture.load()
                return self._of_picture(ImageOps.exif_transpose(picture))
        except UnreadableError:
            raise
        # Pillow raises whatever a damaged file brings about, of many kinds.
        except Exception as error:  # noqa: BLE001
            raise UnreadableError(f"damaged picture ({type(error).__name__})") from None

    def _of_picture(self, picture: Image.Image) -> Images:
        grey = self._grey(picture)
        if self.transpose:
            grey = grey.transpose(Image.Transpose.TRANSPOSE)
        if self.size and grey.size != self.size[::-1]:
            grey = grey.resize(self.size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(grey)

    def _grey(self, picture: Image.Image) -> Image.Image:
        transparent = "transparency" in picture.info or picture.mode in TRANSPARENT
        if picture.mode == "L" and not transparent:
            return picture
        if picture.mode in ("RGB", "P", "1") and not transparent:
            # All that WebP and GIF have, also where it is grey.
            channels = np.asarray(picture.convert("RGB"))
            if (channels == channels[..., :1]).all():
                return Image.fromarray(channels[..., 0])
        if not self.grey:
            raise UnreadableError(
                f"an image of mode {picture.mode}, expected grey of 8 bits; --grey converts"
            )
        if picture.mode in OTHER_NUMBERS:
            return Image.fromarray(grey_values(np.asarray(picture), True))
        if transparent:
            whole = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", whole.size, (0, 0, 0, 255)), whole)
        return picture.convert("RGB").convert("L")


def grey_values(pixels: npt.NDArray, convert: bool) -> npt.NDArray[np.uint8]:
    """Decides what numbers mean as grey values, in every format: the one place that does.

    Whole numbers from 0 to 255 are what they say; false and true are 0 and 255. With ``convert``,
    floating point is 0 to 1 or, where it goes beyond 1, 0 to 255, and is rounded; and of numbers
    up to 65,535 the upper 8 bits of 16 are taken. What is stored as 16 bits is not taken for 8
    then: an image of such without one beyond 255 is refused.

    Args:
        pixels: Of one image, of any shape.
        convert: Whether other numbers than grey values of 8 bits are converted.

    Raises:
        UnreadableError: They mean something else, or may mean several things.
    """
    kind, found = pixels.dtype, f"pixels of {pixels.dtype}"
    if kind == np.uint8 or not pixels.size:
        return pixels.astype(np.uint8, copy=False)
    if kind.kind == "b":
        return pixels.astype(np.uint8) * np.uint8(255)
    if kind.kind not in "iuf":
        raise UnreadableError(f"{found}, expected numbers")
    low, high = pixels.min(), pixels.max()
    within = f"{found} from {low:g} to {high:g}"
    sixteen = convert and kind == np.uint16 and high > 0
    if kind.kind != "f" and low >= 0 and high <= 255 and not sixteen:
        return pixels.astype(np.uint8)
    if not convert or not 0 <= low <= high:  # floating point may be not a number, too
        able = 0 <= low <= high <= (255 if kind.kind == "f" else 0xFFFF)
        hint = "; --grey converts" if able and not convert else ""
        raise UnreadableError(f"{within}, expected 0 to 255{hint}")
    if kind.kind == "f" and high <= 255:
        return np.rint(pixels * (255 if high <= 1 else 1)).astype(np.uint8)
    if kind.kind == "f" or high > 0xFFFF:
        raise UnreadableError(f"{within}, expected 0 to 1, 255 or 65,535")
    if high <= 255:
        reason = "8 bits stored in 16, or nothing but black; store them in 8"
        raise UnreadableError(f"{within}: {reason}")
    return (pixels.astype(np.int64) >> 8).astype(np.uint8)


def decode(
    images: npt.NDArray | Iterable[StoredImage],
    labels: npt.NDArray[np.int64],
    no_label: Sequence[str],
    shape: ImageShape,
    conversion: Conversion,
) -> Records:
    """Decodes images; positions count from 0.

    Args:
        images: ``[n, pixels]``, ``[n, height, width]`` or ``[n, height, width, channels]``; or one
            by one.
        labels: ``[n]``.
        no_label: For each why it has no label, or an empty text; none at all where all have one.
        shape: Of every image, once it is converted.
        conversion: What is done to it.
    """
    reasons = no_label or [""] * len(labels)
    if isinstance(images, np.ndarray):
        block = conversion.of_block(images, shape)
        if block is not None:
            wrong = [position for position, reason in enumerate(reasons) if reason]
            lost = [Unusable(at, reasons[at], _bytes(images[at]), None) for at in wrong]
            return _without(lost, block, labels)
    decoded = np.empty((len(labels), *shape), np.uint8)
    unreadable = []
    for position, image in enumerate(images):
        try:
            decoded[position] = conversion.of_image(image, shape)
            if reasons[position]:
                raise UnreadableError(reasons[position])
        except UnreadableError as error:
            label = None if reasons[position] else int(labels[position])
            unreadable.append(Unusable(position, str(error), _bytes(image), label))
    return _without(unreadable, decoded, labels)


def join(parts: Sequence[Records]) -> Records:
    """Joins the records of consecutive parts of a range."""
    if len(parts) == 1:
        return parts[0]
    positions, unreadable, begin = [], [], 0
    for records in parts:
        positions.append(records.positions + begin)
        unreadable += [replace(r, position=r.position + begin) for r in records.unreadable]
        begin += len(records.images) + len(records.unreadable)
    return Records(
        np.concatenate([records.images for records in parts]),
        np.concatenate([records.labels for records in parts]),
        np.concatenate(positions),
        unreadable,
    )


def _without(unreadable: list[Unusable], images: Images, labels: npt.NDArray[np.int64]) -> Records:
    if not unreadable:
        return Records(images, labels, np.arange(len(images)), [])
    readable = np.ones(len(images), bool)
    readable[[record.position for record in unreadable]] = False
    return Records(images[readable], labels[readable], np.flatnonzero(readable), unreadable)


def _bytes(image: StoredImage) -> bytes:
    """What there is of an image, for the record of what was rejected."""
    if isinstance(image, UnreadableError):
        return image.image
    if isinstance(image, bytes):
        return image
    return np.nan_to_num(image).clip(0, 255).astype(np.uint8).tobytes()


def _wrong_size(found: Sequence[int], expected: ImageShape) -> str:
    sizes = [" x ".join(map(str, shape)) for shape in (found, expected)]
    height, width = expected
    return f"{WRONG_SIZE}{sizes[0]} pixels, expected {sizes[1]}; --resize {height}x{width} converts"
