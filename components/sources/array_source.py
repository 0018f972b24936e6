"""Arrays of images with arrays of labels as a source: IDX files and ``.npz``."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from components.shared.errors import StepError, log_line
from components.shared.manifests import SPLITS
from components.shared.records import ImageShape
from components.sources import class_names, pairing
from components.sources.arrays import ArrayFile
from components.sources.asked import Asked
from components.sources.class_names import Classes
from components.sources.pictures import Conversion, convert
from components.sources.source import Range, Records, ranges_of
from components.sources.split_names import Piece, Splits, assign, listed


class Arrays(NamedTuple):
    """Images and their labels."""

    images: ArrayFile
    labels: ArrayFile | None


@dataclass(frozen=True)
class ArraySource:
    """Pairs of arrays, each a split or a part of one."""

    pairs: tuple[Arrays, ...]  # Range.file is the place
    splits: Splits
    classes: Classes
    conversion: Conversion

    @property
    def image_shape(self) -> ImageShape:
        """See :class:`~components.sources.source.Source`."""
        return self.conversion.shape_of(self.pairs[0].images.shape[1:])

    @property
    def class_names(self) -> tuple[str, ...]:
        """See :class:`~components.sources.source.Source`."""
        return self.classes.names

    @property
    def splits_from(self) -> str:
        """See :class:`~components.sources.source.Source`."""
        return self.splits.told

    @property
    def fingerprint(self) -> str:
        """sha256 over the sha256 sums of the unpacked arrays."""
        sums = [array.sha256 for pair in self.pairs for array in pair if array]
        return sha256("\n".join(sums).encode()).hexdigest()

    def ranges(self, shard_size: int) -> list[Range]:
        """See :class:`~components.sources.source.Source`."""
        return ranges_of(self.splits.segments, shard_size)

    def read(self, part: Range) -> Records:
        """See :class:`~components.sources.source.Source`."""
        of_images, of_labels = self.pairs[part.file]
        images = of_images.read(part.start, part.stop)
        labels = np.full(len(images), -1, np.int64)
        if of_labels:
            # QMNIST's labels have more columns: writers and places in NIST's own files.
            columns = of_labels.read(part.start, part.stop).reshape(len(images), -1)
            labels = columns[:, 0].astype(np.int64)
        return self.classes.numbered(convert(images, labels, self.conversion))

    def origin(self, part: Range) -> str:
        """See :class:`~components.sources.source.Source`."""
        return self.pairs[part.file][0].name


def open_arrays(
    arrays: Sequence[ArrayFile],
    source: str,
    asked: Asked,
    conversion: Conversion,
    own_classes: Classes | None = None,
) -> ArraySource:
    """Makes a source of arrays, by their names.

    Args:
        arrays: Images and labels.
        source: The address, for messages.
        asked: What is asked of the source.
        conversion: What is done to every image.
        own_classes: Those that the source names.

    Raises:
        StepError: The arrays do not fit together.
    """
    named = [
        pairing.Named(place, array.name, array.below, _role(array))
        for place, array in enumerate(arrays)
    ]
    if not any(one.role == pairing.IMAGES for one in named):
        raise StepError(f"{source}: {listed([a.name for a in arrays])}: no images among these")
    matched = pairing.match(named, asked.labelled)
    order = (*SPLITS, None)
    matched.sort(key=lambda pair: (order.index(pair.split), arrays[pair.images].below))
    pairs = [
        (pair, Arrays(arrays[pair.images], None if pair.labels is None else arrays[pair.labels]))
        for pair in matched
    ]
    pairs = _without_copies(pairs)
    _check([found for _, found in pairs], conversion)
    pieces = [Piece(found.images.name, pair.split, found.images.records) for pair, found in pairs]
    splits = assign(pieces, asked)
    classes = class_names.choose(asked.config.class_names, source, own_classes)
    return ArraySource(tuple(found for _, found in pairs), splits, classes, conversion)


def _role(array: ArrayFile) -> str:
    kind = np.dtype(array.header.dtype)
    if len(array.shape) >= 3:
        if kind != np.uint8 or len(array.shape) > 4:
            raise StepError(
                f"{array.name}: {' x '.join(map(str, array.shape))} of {kind}, expected images as "
                "bytes (uint8), 0 to 255"
            )
        return pairing.IMAGES
    if kind.kind not in "iu" or pairing.role_of(array.below) == pairing.IMAGES:
        raise StepError(
            f"{array.name}: {' x '.join(map(str, array.shape))} of {kind}, expected images as "
            "bytes (records, height, width) or labels as whole numbers"
        )
    return pairing.LABELS


def _without_copies(
    pairs: list[tuple[pairing.Pair, Arrays]],
) -> list[tuple[pairing.Pair, Arrays]]:
    """Takes equal files once: some archives hold them twice, under two names."""
    seen: dict[tuple[str | None, ...], str] = {}
    kept = []
    for pair, found in pairs:
        sums = tuple(array.sha256 if array else None for array in found)
        if sums in seen:
            log_line(f"Left out {found.images.name}: the same as {seen[sums]}")
            continue
        seen[sums] = found.images.name
        kept.append((pair, found))
    return kept


def _check(pairs: list[Arrays], conversion: Conversion) -> None:
    first = pairs[0].images
    for images, labels in pairs:
        if labels and images.records != labels.records:
            raise StepError(
                f"{images.name} has {images.records} records, {labels.name} has {labels.records}; "
                "expected as many images as labels"
            )
        if len(images.shape) == 4 and images.shape[3] not in (1, 3, 4):
            raise StepError(f"{images.name}: {images.shape[3]} channels, expected 1, 3 or 4")
        if conversion.shape_of(images.shape[1:]) != conversion.shape_of(first.shape[1:]):
            sizes = [" x ".join(map(str, one.shape[1:])) for one in (images, first)]
            height, width = conversion.shape_of(first.shape[1:])
            raise StepError(
                f"{images.name}: images of {sizes[0]} pixels, expected the {sizes[1]} of "
                f"{first.name}; --resize {height}x{width} converts"
            )
