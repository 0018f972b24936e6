"""TFRecord files of ``tf.train.Example``, ours or those of TensorFlow Datasets, without TensorFlow.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details", and
https://github.com/tensorflow/tensorflow, tensorflow/core/example/{example,feature}.proto.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from components.shared.errors import StepError, log_line
from components.shared.manifests import Dataset
from components.shared.records import ImageShape
from components.sources import files, labels, sniff
from components.sources.files import File, Offsets
from components.sources.images import StoredImage, UnreadableError
from components.sources.labels import Classes, StoredLabel
from components.sources.source import Opened, Raw, Reader, ReadOptions
from components.sources.splits import split_of

LABEL_NAMES = "label.labels.txt"  # of TensorFlow Datasets
LONGEST_FILE = 8 << 20  # bytes read of a file that names classes
HEADER, FOOTER = 12, 4  # bytes: length and its checksum; checksum of the data
EVERY = 256  # records a block
LONGEST = 64 << 20  # bytes of a record
BUFFER = 1 << 20
_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tensorflow"


@dataclass(frozen=True, kw_only=True)
class TFRecordReader(Reader):
    """A TFRecord file of Examples."""

    offsets: Offsets
    image: str  # the feature's name
    label: str  # the feature's name; empty: no labels are asked for

    def read(self, start: int, stop: int) -> Iterator[Raw]:
        """See :class:`~components.sources.source.Reader`."""
        for low, high, data in self.offsets.read(start, stop):
            read = [self._read(one) for one in islice(records_of(data), low, high)]
            images = [image for image, _ in read]
            yield Raw(images, [text for _, text in read] if self.label else None)

    def _read(self, record: bytes | UnreadableError) -> tuple[StoredImage, StoredLabel]:
        """The image of a record, or why there is none, and its label."""
        if isinstance(record, UnreadableError):
            return record, None
        found = parse_example(record)
        if found is None:
            return UnreadableError("no tf.train.Example"), None
        image = _image(found.get(self.image, []), self.image)
        return image, _label(found.get(self.label, []))


def open_tfrecords(
    tfrecords: Sequence[File], other_files: Sequence[File], options: ReadOptions
) -> Opened:
    """Opens TFRecord files, plain or gzip, and finds where their records start.

    Of the other files there dataset.json, or label.labels.txt, names the classes.

    Raises:
        StepError: One is damaged.
    """
    config = options.config
    own, shape = _described(other_files)
    readers = []
    for number, file in enumerate(tfrecords):
        plain = files.for_workers(file, options.unpacked, f"{number}.tfrecord")
        offsets = offsets_of(plain)
        reader = TFRecordReader(
            location=plain.name,
            split=split_of(plain.relpath),
            records=offsets.records,
            digest=offsets.digest,
            shape=shape,
            offsets=offsets,
            image=config.image_column,
            label=config.label_column if options.labelled else "",
        )
        readers.append(reader)
    classes = labels.choose(config.class_names, config.source, own)
    return Opened(readers, classes, options.conversion)


def offsets_of(file: File) -> Offsets:
    """Finds where records start, by the length of each.

    Args:
        file: A plain TFRecord file.

    Raises:
        StepError: It is damaged or cut short.
    """
    digest = hashlib.sha256()
    starts, records, place = [0], 0, 0
    with file.open_stream(BUFFER) as opened:
        while header := opened.read(HEADER):
            size = _length(header)
            if size is None or size > LONGEST:
                raise StepError(f"{file.name}: damaged TFRecord at byte {place}; fetch it again")
            rest = opened.read(size + FOOTER)
            if len(rest) != size + FOOTER:
                raise StepError(f"{file.name}: ends within record {records}; fetch it again")
            digest.update(header)
            digest.update(rest)
            records += 1
            place += HEADER + len(rest)
            if records % EVERY == 0:
                starts.append(place)
    if starts[-1] != place:
        starts.append(place)
    return Offsets(file, EVERY, tuple(starts), records, digest.hexdigest())


def records_of(data: bytes) -> Iterator[bytes | UnreadableError]:
    """The records of a block; one whose checksum differs is an error in its place."""
    place = 0
    while place < len(data):
        size = _length(data[place : place + HEADER])
        if size is None:
            raise StepError(f"damaged TFRecord at byte {place} of a block; it changed meanwhile")
        start, end = place + HEADER, place + HEADER + size
        record, footer = data[start:end], data[end : end + FOOTER]
        if footer != struct.pack("<I", sniff.masked_crc(record)):
            yield UnreadableError("damaged record (its checksum differs)")
        else:
            yield record
        place = end + FOOTER


def parse_example(data: bytes) -> dict[str, list[bytes] | list[int] | list[float]] | None:
    """Reads an Example: its features' values by their names; None where these bytes are none."""
    example = _Example()
    try:
        example.ParseFromString(data)
    except message.DecodeError:
        return None
    return {name: _values(feature) for name, feature in example.features.feature.items()}


def _image(values: Sequence[object], name: str) -> StoredImage:
    """An image's bytes, or its pixels if they are numbers."""
    if not values:
        return UnreadableError(f"no feature {name} with an image; --image-column names another")
    if isinstance(values[0], bytes):
        return values[0]
    return np.array(values)


def _label(values: Sequence[object]) -> StoredLabel:
    """A label's text if it is one, its number or numbers; None where there is none."""
    if not values:
        return None
    if isinstance(values[0], bytes):
        several = len(values) > 1
        return " ".join(map(repr, values)) if several else values[0].decode("utf-8", "replace")
    return np.array(values)


def _described(other_files: Sequence[File]) -> tuple[Classes | None, ImageShape | None]:
    """The classes, and the shape of images, that a file beside the records names."""
    for file in other_files:
        if file.basename == Dataset.FILE:
            try:
                described = json.loads(file.head(LONGEST_FILE))
                height, width = described["image_shape"]
                names = tuple(map(str, described["class_names"]))
                return Classes(names), (int(height), int(width))
            except (KeyError, TypeError, ValueError, RecursionError):
                log_line(f"{file.name}: names no classes; left out")
        if file.basename == LABEL_NAMES:
            lines = file.head(LONGEST_FILE).decode("utf-8", "replace").splitlines()
            return Classes(tuple(line.strip() for line in lines if line.strip())), None
    return None, None


def _length(header: bytes) -> int | None:
    if not sniff.is_tfrecord(header):
        return None
    length: int = struct.unpack_from("<Q", header)[0]
    return length


def _values(feature: Any) -> list:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []


def _declare() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="example.proto", package=_PACKAGE, syntax="proto3"
    )
    kinds = {"bytes": _FIELD.TYPE_BYTES, "float": _FIELD.TYPE_FLOAT, "int64": _FIELD.TYPE_INT64}
    feature = descriptor_pb2.DescriptorProto(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (kind, scalar) in enumerate(kinds.items(), 1):
        name = f"{kind.capitalize()}List"
        values = file.message_type.add(name=name)
        values.field.add(name="value", number=1, type=scalar, label=_FIELD.LABEL_REPEATED)
        one = feature.field.add(name=f"{kind}_list", number=number, label=_FIELD.LABEL_OPTIONAL)
        one.type, one.type_name, one.oneof_index = _FIELD.TYPE_MESSAGE, _named(name), 0
    file.message_type.append(feature)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    _message(entry, "value", 2, "Feature")
    _message(features, "feature", 1, "Features.FeatureEntry", _FIELD.LABEL_REPEATED)
    _message(file.message_type.add(name="Example"), "features", 1, "Features")
    return file


def _message(
    of: descriptor_pb2.DescriptorProto,
    name: str,
    number: int,
    kind: str,
    label: Any = _FIELD.LABEL_OPTIONAL,
) -> None:
    of.field.add(
        name=name, number=number, label=label, type=_FIELD.TYPE_MESSAGE, type_name=_named(kind)
    )


def _named(kind: str) -> str:
    return f".{_PACKAGE}.{kind}"


# A pool of its own: where TensorFlow is imported too, its Example is in the common one.
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_declare())
_Example = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.Example"))
