"""TFRecord files of ``tf.train.Example`` as a source: ours, or those of TensorFlow Datasets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import numpy as np

from components.shared.errors import StepError, log_line
from components.shared.manifests import Dataset
from components.shared.records import ImageShape
from components.sources import class_names, example, pictures, tfrecord, unpacking
from components.sources.asked import Asked
from components.sources.blocks import Blocks
from components.sources.class_names import Classes
from components.sources.locate import File
from components.sources.pictures import Conversion
from components.sources.source import Range, Records, UnreadableError, join, ranges_of
from components.sources.split_names import Piece, Splits, assign, split_of

TRIED = 100  # records, for one that tells the size of all
LABEL_NAMES = "label.labels.txt"  # of TensorFlow Datasets
LONGEST = 8 << 20  # bytes read of a file that names classes


@dataclass(frozen=True)
class Features:
    """Which features of an Example are read, and how."""

    image: str
    label: str  # empty: there are no labels
    classes: Classes
    conversion: Conversion

    def read(self, record: bytes | UnreadableError) -> tuple[bytes | UnreadableError, int, str]:
        """The image of a record, its label, and why it has none or an empty text."""
        if isinstance(record, UnreadableError):
            return record, -1, ""
        found = example.parse(record)
        if found is None:
            return UnreadableError("no tf.train.Example"), -1, ""
        label, reason = -1, ""
        if self.label:
            value = next(iter(found.get(self.label, [])), None)
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            number = isinstance(value, int)
            (label,), (reason,) = self.classes.places([text if number or value else None])
        return _image(found.get(self.image, []), self.image), int(label), reason


@dataclass(frozen=True)
class TFRecordSource:
    """TFRecord files of Examples."""

    files: tuple[Blocks, ...]
    splits: Splits
    features: Features
    image_shape: ImageShape

    @property
    def class_names(self) -> tuple[str, ...]:
        """See :class:`~components.sources.source.Source`."""
        return self.features.classes.names

    @property
    def splits_from(self) -> str:
        """See :class:`~components.sources.source.Source`."""
        return self.splits.told

    @property
    def fingerprint(self) -> str:
        """sha256 over the files' names and sha256 sums."""
        lines = [f"{one.sha256}  {one.file.below.rpartition('/')[2]}" for one in self.files]
        return sha256("\n".join(lines).encode()).hexdigest()

    def ranges(self, shard_size: int) -> list[Range]:
        """See :class:`~components.sources.source.Source`."""
        return ranges_of(self.splits.segments, shard_size)

    def read(self, part: Range) -> Records:
        """See :class:`~components.sources.source.Source`."""
        blocks = self.files[part.file].read(part.start, part.stop)
        return self.features.classes.numbered(join([self._read(*block) for block in blocks]))

    def _read(self, start: int, stop: int, data: bytes) -> Records:
        read = [self.features.read(one) for one in islice(tfrecord.records_of(data), start, stop)]
        labels = np.array([label for _, label, _ in read], np.int64)
        reasons = [reason for _, _, reason in read]
        images = (image for image, _, _ in read)
        return pictures.decode(images, labels, reasons, self.image_shape, self.features.conversion)

    def origin(self, part: Range) -> str:
        """See :class:`~components.sources.source.Source`."""
        return self.files[part.file].file.name


def open_tfrecord(files: Sequence[File], beside: Sequence[File], asked: Asked) -> TFRecordSource:
    """Opens TFRecord files, plain or gzip, and finds where their records start.

    Args:
        files: The files.
        beside: Other files there: dataset.json, or label.labels.txt, names the classes.
        asked: What is asked of the source.

    Raises:
        StepError: One is damaged, or none of the first images can be read.
    """
    config = asked.config
    plain = [
        unpacking.for_workers(file, asked.unpacked, f"{n}.tfrecord") for n, file in enumerate(files)
    ]
    blocks = tuple(tfrecord.blocks_of(file) for file in plain)
    pieces = [Piece(one.file.name, split_of(one.file.below), one.records) for one in blocks]
    splits = assign(pieces, asked)
    own, shape = _told(beside)
    classes = class_names.choose(config.class_names, config.source, own)
    label = config.label_column if asked.labelled else ""
    features = Features(config.image_column, label, classes, asked.conversion)
    if shape:
        shape = asked.conversion.shape_of(shape)
    return TFRecordSource(blocks, splits, features, shape or _shape(blocks, features))


def _image(values: Sequence[object], name: str) -> bytes | UnreadableError:
    """An image's bytes, or its pixels if they are numbers."""
    if not values:
        return UnreadableError(f"no feature {name} with an image")
    if isinstance(values[0], bytes):
        return values[0]
    if all(isinstance(value, int) and 0 <= value <= 255 for value in values):
        return bytes(value for value in values if isinstance(value, int))
    return UnreadableError("pixels that are no whole numbers from 0 to 255")


def _told(beside: Sequence[File]) -> tuple[Classes | None, ImageShape | None]:
    """The classes, and the shape of images, that a file beside the records tells."""
    for file in beside:
        name = file.below.rpartition("/")[2]
        if name == Dataset.FILE:
            try:
                told = json.loads(file.head(LONGEST))
                height, width = told["image_shape"]
                return Classes(tuple(map(str, told["class_names"]))), (int(height), int(width))
            except (KeyError, TypeError, ValueError):
                log_line(f"{file.name}: names no classes; left out")
        if name == LABEL_NAMES:
            lines = file.head(LONGEST).decode("utf-8", "replace").splitlines()
            return Classes(tuple(line.strip() for line in lines if line.strip())), None
    return None, None


def _shape(files: Sequence[Blocks], features: Features) -> ImageShape:
    """The shape of the first image that can be read.

    Raises:
        StepError: None of the first ones can.
    """
    if features.conversion.size:
        return features.conversion.size
    first = next(file for file in files if file.records)
    _, stop, data = next(first.read(0, min(TRIED, first.records)))
    reason = ""
    for record in islice(tfrecord.records_of(data), stop):
        image, _, _ = features.read(record)
        try:
            if isinstance(image, UnreadableError):
                raise image
            height, width = features.conversion.of_bytes(image, None).shape
            return height, width
        except UnreadableError as error:
            reason = reason or str(error)
    raise StepError(f"{first.file.name}, record 0: {reason}; --image-column names another feature")
