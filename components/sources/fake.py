"""``fake://N``: images made up in the workers, for tests and load."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from urllib.parse import parse_qsl

import numpy as np

from components.shared.errors import StepError
from components.shared.records import Images
from components.sources.images import Conversion
from components.sources.labels import Classes
from components.sources.source import Opened, Raw, Reader

SCHEME = "fake://"
BLOCK = 1_024  # records drawn from one generator, so that any range can be made by itself


@dataclass(frozen=True, kw_only=True)
class FakeReader(Reader):
    """Noise under the pattern of each image's class: as good as any source, and learnable.

    Record i is the same in every run, whatever the range it is read in.
    """

    classes: int
    sides: tuple[int, int]  # height and width

    def read(self, start: int, stop: int) -> Iterator[Raw]:
        """See :class:`~components.sources.source.Reader`."""
        images = np.empty((stop - start, *self.sides), np.uint8)
        labels = np.empty(stop - start, np.int64)
        for block in range(start // BLOCK, -(-stop // BLOCK)):
            some_images, some_labels = self._draw(block)
            low, high = max(start, block * BLOCK), min(stop, (block + 1) * BLOCK)
            there, here = slice(low - start, high - start), slice(low % BLOCK, None)
            images[there] = some_images[here][: high - low]
            labels[there] = some_labels[here][: high - low]
        yield Raw(images, labels)

    def _draw(self, block: int) -> tuple[Images, np.ndarray]:
        generator = np.random.default_rng(block)
        labels = generator.integers(self.classes, size=BLOCK)
        pixels = np.frombuffer(generator.bytes(BLOCK * prod(self.sides)), np.uint8)
        noise = np.right_shift(pixels, 2, dtype=np.uint8).reshape(BLOCK, *self.sides)
        return noise + self._patterns[labels], labels

    @cached_property
    def _patterns(self) -> Images:
        """What a class looks like: its number in binary, a band of pixels a digit, bright for 1.

        Where there are fewer pixels than digits, they have more levels than dark and bright.
        """
        pixels = prod(self.sides)
        digits, levels = min(pixels, (self.classes - 1).bit_length()), 2
        while levels**digits < self.classes:
            levels += 1
        bands = np.arange(pixels) * digits // pixels
        numbers = np.arange(self.classes)[:, None] // levels**bands % levels
        return (numbers * 0xC0 // (levels - 1)).astype(np.uint8).reshape(-1, *self.sides)


def open_fake(source: str) -> Opened:
    """Opens ``fake://N``, also with the classes and shape of the images: ``?classes=47&shape=8x8``.

    Raises:
        StepError: This is not such an address.
    """
    expected = (
        f"{source}: expected {SCHEME} and a number of records, as in {SCHEME}70000, then maybe "
        "?classes=47&shape=32x32"
    )
    count, _, query = source.removeprefix(SCHEME).partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    height, separator, width = given.pop("shape", "28x28").partition("x")
    numbers = [count, given.pop("classes", "10"), height, width]
    if given or not separator or not all(map(_is_positive, numbers)):
        raise StepError(expected)
    records, classes, *sides = map(int, numbers)
    shape = sides[0], sides[1]
    reader = FakeReader(
        location=source,
        split=None,
        records=records,
        digest=source,
        shape=shape,
        classes=classes,
        sides=shape,
    )
    return Opened([reader], Classes(tuple(map(str, range(classes)))), Conversion())


def _is_positive(text: str) -> bool:
    return text.isdecimal() and text.isascii() and int(text) > 0
