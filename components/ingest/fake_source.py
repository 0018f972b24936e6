"""``fake://N``: digits made up in the workers, for tests and load."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from components.ingest.source import Range, Records, Segment, cut, number
from components.shared.errors import StepError
from components.shared.records import CLASSES, IMAGE_SHAPE

SCHEME = "fake://"
BLOCK = 1_024  # records drawn from one generator, so that any range can be made by itself


@dataclass(frozen=True)
class FakeSource:
    """Noise with a bright row band for each label: as good as any source, and learnable.

    Record i is the same in every run, whatever the range it is read in.
    """

    records: int

    @property
    def fingerprint(self) -> str:
        """See :class:`~components.ingest.source.Source`."""
        return sha256(f"{SCHEME}{self.records}".encode()).hexdigest()

    def ranges(self, shard_size: int) -> list[Range]:
        """See :class:`~components.ingest.source.Source`."""
        return number(cut(Segment(None, 0, 0, self.records), shard_size))

    def read(self, part: Range) -> Records:
        """See :class:`~components.ingest.source.Source`."""
        count = part.stop - part.start
        images = np.empty((count, *IMAGE_SHAPE), np.uint8)
        labels = np.empty(count, np.int64)
        for block in range(part.start // BLOCK, -(-part.stop // BLOCK)):
            some_images, some_labels = _draw(block)
            low, high = max(part.start, block * BLOCK), min(part.stop, (block + 1) * BLOCK)
            there, here = slice(low - part.start, high - part.start), slice(low % BLOCK, None)
            images[there] = some_images[here][: high - low]
            labels[there] = some_labels[here][: high - low]
        return Records(images, labels, np.arange(count), [])

    def where(self, part: Range, position: int) -> str:
        """See :class:`~components.ingest.source.Source`."""
        return f"{SCHEME}{self.records}, record {part.start + position}"


def open_fake(source: str) -> FakeSource:
    """Opens ``fake://N``.

    Raises:
        StepError: N is not a number of records.
    """
    count = source.removeprefix(SCHEME)
    if not count.isdecimal() or not count.isascii() or int(count) == 0:
        raise StepError(f"{source}: expected {SCHEME} and a number of records, as in {SCHEME}70000")
    return FakeSource(int(count))


def _draw(block: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(block)
    labels = generator.integers(CLASSES, size=BLOCK)
    noise = np.frombuffer(generator.bytes(BLOCK * 28 * 28), np.uint8).reshape(BLOCK, *IMAGE_SHAPE)
    images = noise >> 2
    rows = 4 + 2 * labels[:, None] + np.arange(2)
    images[np.arange(BLOCK)[:, None], rows] |= 0xC0
    return images, labels
