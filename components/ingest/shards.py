"""What a worker does: reads a range, writes its shards, and notes what it found."""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from apache_beam.metrics import Metrics
from pyarrow import fs
from pydantic import BaseModel

from components.ingest import digests
from components.shared.errors import StepError
from components.shared.manifests import SPLITS, Rejected, Shard
from components.shared.records import Images, encode
from components.sources import filesystem
from components.sources.source import WRONG_SIZE, Range, Records, Source, Unusable

WORK = ".work"  # notes of the workers, gone when the dataset is done
STOP = f"{WORK}/stop"
NAMESPACE = "ingest"  # of the Beam counters
COUNTERS = ("read", "written", "rejected", "bytes")
NAMED = 20  # rejected records that are named in a note; rejected/ has all of them


class SplitNote(BaseModel):
    """What a range has of one split."""

    shard: Shard
    rejected: int
    wrong_size: int
    labels: list[int]
    pixel_sum: int
    pixel_square_sum: int


class Note(BaseModel):
    """What a worker notes about a range, next to its shards: the same however often it runs."""

    read: int = 0
    splits: dict[str, SplitNote] = {}
    rejected: list[Rejected] = []  # the first ones
    buckets: list[list[int]] = []  # digests of each split in each bucket of the digests' file
    error: str = ""


@dataclass(frozen=True)
class Plan:
    """What all workers of a run have in common."""

    source: Source
    output: fs.FileSystem  # the dataset's directory is its root
    validation_share: float
    test_share: float
    buckets: int  # passes in which duplicates are counted
    may_reject: int  # records


class Sorted(NamedTuple):
    """A range's records, each with its split and its fate."""

    images: Images
    labels: npt.NDArray[np.int64]
    splits: npt.NDArray[np.intp]
    digests: digests.Digests
    rejected: list[tuple[str, Unusable]]  # in order, each with its split


def note_file(part: Range) -> str:
    """Where the note of a range lies."""
    return f"{WORK}/{part.index:06d}.json"


def digests_file(part: Range) -> str:
    """Where the digests of a range lie."""
    return f"{WORK}/{part.index:06d}.digests"


class WriteShards(beam.DoFn):
    """Reads one range of the source and writes one TFRecord shard for each split it has.

    An element is a whole range: one element an image costs more in Beam than the work itself.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.classes = len(plan.source.class_names)
        self.counters = {name: Metrics.counter(NAMESPACE, name) for name in COUNTERS}

    def process(self, part: Range) -> Iterable[int]:
        """Writes the shards and the note; yields the number of records read."""
        output = self.plan.output
        if output.get_file_info(STOP).is_file:
            return
        try:
            records = self.plan.source.read(part)
        except StepError as error:
            # Raised here, it would come through some runner's own wrapping, after its retries.
            self._stop()
            filesystem.write(
                output, note_file(part), Note(error=str(error)).model_dump_json().encode()
            )
            return
        found = self._sort(part, records)
        note = Note(
            read=len(records.images) + len(records.unreadable),
            splits={split: self._write(part, split, found) for split in self._splits(part)},
            rejected=self._write_rejected(part, found.rejected),
            buckets=self._write_digests(part, found),
        )
        filesystem.write(output, note_file(part), note.model_dump_json().encode())
        self._count(note, len(found.rejected))
        if len(found.rejected) > self.plan.may_reject:
            self._stop()
        yield note.read

    def _splits(self, part: Range) -> tuple[str, ...]:
        return (part.split,) if part.split else SPLITS

    def _sort(self, part: Range, records: Records) -> Sorted:
        usable = (records.labels >= 0) & (records.labels < self.classes)
        images, labels = records.images[usable], records.labels[usable]
        hashes = digests.digest([image.tobytes() for image in images])
        rejected = [*records.unreadable, *self._with_wrong_label(records, ~usable)]
        rejected.sort(key=lambda record: record.position)
        splits = self._splits_of(part, digests.digest([record.image for record in rejected]))
        named = [(SPLITS[split], record) for split, record in zip(splits, rejected, strict=True)]
        return Sorted(images, labels, self._splits_of(part, hashes), hashes, named)

    def _splits_of(self, part: Range, hashes: digests.Digests) -> npt.NDArray[np.intp]:
        if part.split:
            return np.full(len(hashes), SPLITS.index(part.split))
        return digests.split_of(hashes, self.plan.validation_share, self.plan.test_share)

    def _write(self, part: Range, split: str, found: Sorted) -> SplitNote:
        mine = found.splits == SPLITS.index(split)
        images, labels = found.images, found.labels
        if not mine.all():
            images, labels = images[mine], labels[mine]
        data = encode(images, labels.astype(np.uint8))
        filesystem.write(self.plan.output, part.shard_file(split), data)
        rejected = [record for of, record in found.rejected if of == split]
        return SplitNote(
            shard=Shard(
                file=part.shard_file(split),
                records=len(images),
                bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
            ),
            rejected=len(rejected),
            wrong_size=sum(record.reason.startswith(WRONG_SIZE) for record in rejected),
            labels=np.bincount(labels, minlength=self.classes).tolist(),
            pixel_sum=int(images.sum(dtype=np.uint64)),
            pixel_square_sum=int(np.square(images, dtype=np.uint16).sum(dtype=np.uint64)),
        )

    def _write_rejected(self, part: Range, rejected: list[tuple[str, Unusable]]) -> list[Rejected]:
        """Writes the rejected records, a JSON object a line; names the first."""
        named = [
            Rejected(
                split=split,
                where=self.plan.source.where(part, record.position),
                reason=record.reason,
            )
            for split, record in rejected
        ]
        if rejected:
            lines = [
                json.dumps(_line(name, record)) + "\n"
                for name, (_, record) in zip(named, rejected, strict=True)
            ]
            filesystem.write(self.plan.output, part.rejected_file, "".join(lines).encode())
        return named[:NAMED]

    def _write_digests(self, part: Range, found: Sorted) -> list[list[int]]:
        """Writes the digests bucket by bucket, in it split by split; returns how many of each."""
        by_split = [
            digests.sort_into(found.digests[found.splits == split], self.plan.buckets)
            for split in range(len(SPLITS))
        ]
        by_bucket = list(zip(*by_split, strict=True))
        data = b"".join(some.tobytes() for bucket in by_bucket for some in bucket)
        filesystem.write(self.plan.output, digests_file(part), data)
        return [[len(some) for some in bucket] for bucket in by_bucket]

    def _with_wrong_label(self, records: Records, wrong: npt.NDArray[np.bool_]) -> list[Unusable]:
        return [
            Unusable(
                int(records.positions[index]),
                f"label {records.labels[index]}, expected 0 to {self.classes - 1}",
                records.images[index].tobytes(),
                int(records.labels[index]),
            )
            for index in np.flatnonzero(wrong)
        ]

    def _count(self, note: Note, rejected: int) -> None:
        self.counters["read"].inc(note.read)
        self.counters["rejected"].inc(rejected)
        self.counters["written"].inc(sum(s.shard.records for s in note.splits.values()))
        self.counters["bytes"].inc(sum(s.shard.bytes for s in note.splits.values()))

    def _stop(self) -> None:
        """Has the workers leave what they have not begun."""
        filesystem.write(self.plan.output, STOP, b"")


def _line(named: Rejected, record: Unusable) -> dict[str, Any]:
    return {
        **named.model_dump(),
        "label": record.label,
        "image": base64.b64encode(record.image).decode(),
    }
