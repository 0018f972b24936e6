"""Images, encoded or as pixels, made into grey ones of one size."""

import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isqrt, prod

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.shared.records import Images, ImageShape
from components.sources import content
from components.sources.source import WRONG_SIZE, Records, UnreadableError, Unusable

# Of odd metadata, say: the pixels are what counts, and whether they can be read.
warnings.filterwarnings("ignore", module="PIL")

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
# Larger pictures are refused before they are decoded: 100 of them would fill a worker's memory.
MAX_PIXELS = 1 << 24
SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B")


@dataclass(frozen=True)
class Conversion:
    """What is done to every image.

    Args:
        grey: Whether colours become grey (ITU-R 601), palettes the colours they stand for,
            transparency black, 16 bits their upper 8.
        size: The height and width that every image is resized to, bilinearly and over all the
            pixels that one of the result covers.
        transpose: Whether rows and columns are exchanged.
    """

    grey: bool = False
    size: ImageShape | None = None
    transpose: bool = False

    def shape_of(self, found: Sequence[int]) -> ImageShape:
        """The shape of an image ``[height, width, …]`` once it is converted."""
        height, width = found[:2]
        return self.size or ((width, height) if self.transpose else (height, width))

    def leaves(self, found: Sequence[int]) -> bool:
        """Whether grey images ``[height, width]`` stay as they are, but for rows and columns."""
        return len(found) == 2 and self.shape_of(found) == replace(self, size=None).shape_of(found)

    def of_picture(self, picture: Image.Image) -> Images:
        """Converts one picture.

        Raises:
            UnreadableError: It is not grey, and grey is not asked for.
        """
        grey = self._grey(picture)
        if self.transpose:
            grey = grey.transpose(Image.Transpose.TRANSPOSE)
        if self.size and grey.size != self.size[::-1]:
            grey = grey.resize(self.size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(grey)

    def _grey(self, picture: Image.Image) -> Image.Image:
        if picture.mode == "L":
            return picture
        if picture.mode in ("RGB", "P", "1") and "transparency" not in picture.info:
            # All that WebP and GIF have, also where it is grey.
            channels = np.asarray(picture.convert("RGB"))
            if (channels == channels[..., :1]).all():
                return Image.fromarray(channels[..., 0])
        if not self.grey:
            raise UnreadableError(
                f"an image of mode {picture.mode}, expected grey of 8 bits; --grey converts"
            )
        if picture.mode in SIXTEEN_BITS:
            pixels = np.asarray(picture).astype(np.int64)
            return Image.fromarray((pixels.clip(0, 0xFFFF) >> 8).astype(np.uint8))
        if picture.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in picture.info:
            whole = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", whole.size, (0, 0, 0, 255)), whole)
        return picture.convert("RGB").convert("L")

    def of_bytes(self, data: bytes, shape: ImageShape | None) -> Images:
        """Reads one image: an encoded one, or its pixels alone, row by row.

        Args:
            data: What there is of the image.
            shape: What it must have once it is converted; None: any.

        Raises:
            UnreadableError: It cannot be read, or has another shape.
        """
        if not content.is_picture(data):
            image = self._converted(self._pixels(data, shape))
        else:
            image = self._decoded(data, shape)
        if shape and image.shape != shape:
            raise UnreadableError(_wrong_size(image.shape, shape))
        return image

    def _converted(self, pixels: Images) -> Images:
        if self.size is None:
            return pixels.T if self.transpose else pixels
        return self.of_picture(Image.fromarray(pixels))

    def _pixels(self, data: bytes, shape: ImageShape | None) -> Images:
        pixels = np.frombuffer(data, np.uint8)
        if shape and not self.size and len(data) == prod(shape):
            return pixels.reshape(shape[::-1] if self.transpose else shape)
        side = isqrt(len(data))
        if side * side != len(data) or not data:
            expected = f", expected {prod(shape)}" if shape else ", expected a square's"
            raise UnreadableError(f"{WRONG_SIZE}{len(data)} bytes{expected}")
        if shape and not self.size and (side, side) != shape:
            raise UnreadableError(f"{WRONG_SIZE}{len(data)} bytes, expected {prod(shape)}")
        return pixels.reshape(side, side)

    def _decoded(self, data: bytes, shape: ImageShape | None) -> Images:
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                size = picture.size[::-1]
                found = self.shape_of(size)
                if shape and found != shape:
                    raise UnreadableError(_wrong_size(found, shape))
                if prod(size) > MAX_PIXELS:
                    raise UnreadableError(f"{prod(size):,} pixels, expected {MAX_PIXELS:,} at most")
                picture.load()
                return self.of_picture(picture)
        except UnreadableError:
            raise
        # Pillow raises whatever a damaged file brings about, of many kinds.
        except Exception as error:  # noqa: BLE001
            raise UnreadableError(f"damaged picture ({type(error).__name__})") from None


def decode(
    images: Iterable[bytes | UnreadableError],
    labels: npt.NDArray[np.int64],
    no_label: Sequence[str],
    shape: ImageShape,
    conversion: Conversion,
) -> Records:
    """Decodes images one by one; positions count from 0.

    Args:
        images: Encoded or as pixels, or why there is none.
        labels: ``[n]``.
        no_label: For each why it has no label, or an empty text.
        shape: Of every image, once it is converted.
        conversion: What is done to it.
    """
    count = len(labels)
    decoded = np.empty((count, *shape), np.uint8)
    unreadable = []
    for position, data in enumerate(images):
        try:
            if isinstance(data, UnreadableError):
                raise data
            decoded[position] = conversion.of_bytes(data, shape)
            if no_label[position]:
                raise UnreadableError(no_label[position])
        except UnreadableError as error:
            label = None if no_label[position] else int(labels[position])
            unreadable.append(
                Unusable(position, str(error), data if isinstance(data, bytes) else b"", label)
            )
    return without(unreadable, decoded, labels)


def convert(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], conversion: Conversion
) -> Records:
    """Converts images ``[n, height, width]`` or ``[n, height, width, channels]``."""
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if conversion.leaves(images.shape[1:]):
        turned = images.swapaxes(1, 2) if conversion.transpose else images
        return without([], np.ascontiguousarray(turned), labels)
    converted = np.empty((len(images), *conversion.shape_of(images.shape[1:])), np.uint8)
    unreadable = []
    for position, image in enumerate(images):
        try:
            converted[position] = conversion.of_picture(Image.fromarray(image))
        except UnreadableError as error:
            label = int(labels[position])
            unreadable.append(Unusable(position, str(error), image.tobytes(), label))
    return without(unreadable, converted, labels)


def without(unreadable: list[Unusable], images: Images, labels: npt.NDArray[np.int64]) -> Records:
    """The records that are readable, with those that are not; positions count from 0."""
    if not unreadable:
        return Records(images, labels, np.arange(len(images)), [])
    readable = np.ones(len(images), bool)
    readable[[record.position for record in unreadable]] = False
    return Records(images[readable], labels[readable], np.flatnonzero(readable), unreadable)


def dropped(records: Records, unreadable: list[Unusable]) -> Records:
    """Records without those at some positions, which are unreadable for another reason."""
    lost = {record.position for record in unreadable}
    keep = np.array([position not in lost for position in records.positions.tolist()], bool)
    others = [record for record in records.unreadable if record.position not in lost]
    return Records(
        records.images[keep],
        records.labels[keep],
        records.positions[keep],
        sorted([*others, *unreadable], key=lambda record: record.position),
    )


def _wrong_size(found: Sequence[int], expected: ImageShape) -> str:
    sizes = [" x ".join(map(str, shape)) for shape in (found, expected)]
    height, width = expected
    return f"{WRONG_SIZE}{sizes[0]} pixels, expected {sizes[1]}; --resize {height}x{width} converts"
