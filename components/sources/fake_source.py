"""``fake://N``: images made up in the workers, for tests and load."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import prod
from urllib.parse import parse_qsl

import numpy as np

from components.shared.errors import StepError
from components.shared.records import Images, ImageShape
from components.sources.source import BY_HASH, Range, Records, Segment, cut, number

SCHEME = "fake://"
BLOCK = 1_024  # records drawn from one generator, so that any range can be made by itself


@dataclass(frozen=True)
class FakeSource:
    """Noise under the pattern of each image's class: as good as any source, and learnable.

    Record i is the same in every run, whatever the range it is read in.
    """

    address: str
    records: int
    classes: int = 10
    image_shape: ImageShape = (28, 28)
    splits_from: str = BY_HASH

    @property
    def fingerprint(self) -> str:
        """See :class:`~components.sources.source.Source`."""
        return sha256(self.address.encode()).hexdigest()

    @property
    def class_names(self) -> tuple[str, ...]:
        """See :class:`~components.sources.source.Source`."""
        return tuple(map(str, range(self.classes)))

    def ranges(self, shard_size: int) -> list[Range]:
        """See :class:`~components.sources.source.Source`."""
        return number(cut(Segment(None, 0, 0, self.records), shard_size))

    def read(self, part: Range) -> Records:
        """See :class:`~components.sources.source.Source`."""
        count = part.stop - part.start
        images = np.empty((count, *self.image_shape), np.uint8)
        labels = np.empty(count, np.int64)
        for block in range(part.start // BLOCK, -(-part.stop // BLOCK)):
            some_images, some_labels = self._draw(block)
            low, high = max(part.start, block * BLOCK), min(part.stop, (block + 1) * BLOCK)
            there, here = slice(low - part.start, high - part.start), slice(low % BLOCK, None)
            images[there] = some_images[here][: high - low]
            labels[there] = some_labels[here][: high - low]
        return Records(images, labels, np.arange(count), [])

    def origin(self, part: Range) -> str:
        """See :class:`~components.sources.source.Source`."""
        return self.address

    def _draw(self, block: int) -> tuple[Images, np.ndarray]:
        generator = np.random.default_rng(block)
        labels = generator.integers(self.classes, size=BLOCK)
        pixels = np.frombuffer(generator.bytes(BLOCK * prod(self.image_shape)), np.uint8)
        noise = np.right_shift(pixels, 2, dtype=np.uint8).reshape(BLOCK, *self.image_shape)
        return noise + self._patterns[labels], labels

    @cached_property
    def _patterns(self) -> Images:
        """What a class looks like: its number in binary, a band of pixels a digit, bright for 1.

        Where there are fewer pixels than digits, they have more levels than dark and bright.
        """
        pixels = prod(self.image_shape)
        digits, levels = min(pixels, (self.classes - 1).bit_length()), 2
        while levels**digits < self.classes:
            levels += 1
        bands = np.arange(pixels) * digits // pixels
        numbers = np.arange(self.classes)[:, None] // levels**bands % levels
        return (numbers * 0xC0 // (levels - 1)).astype(np.uint8).reshape(-1, *self.image_shape)


def open_fake(source: str) -> FakeSource:
    """Opens ``fake://N``, also with the classes and shape of the images: ``?classes=47&shape=8x8``.

    Raises:
        StepError: This is no such address.
    """
    expected = (
        f"{source}: expected {SCHEME} and a number of records, as in {SCHEME}70000, then maybe "
        "?classes=47&shape=32x32"
    )
    count, _, query = source.removeprefix(SCHEME).partition("?")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    height, separator, width = asked.pop("shape", "28x28").partition("x")
    numbers = [count, asked.pop("classes", "10"), height, width]
    if asked or not separator or not all(map(_is_positive, numbers)):
        raise StepError(expected)
    records, classes, *shape = map(int, numbers)
    return FakeSource(source, records, classes, (shape[0], shape[1]))


def _is_positive(text: str) -> bool:
    return text.isdecimal() and text.isascii() and int(text) > 0
