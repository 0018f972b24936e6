"""What a worker does: reads a range, writes its shards, and notes what it found."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import numpy.typing as npt
from pyarrow import fs
from pydantic import BaseModel, Field

from components.ingest import digests
from components.jobs import notes
from components.jobs.output import WORK
from components.jobs.run import counters
from components.shared.manifests import SPLITS, Shard
from components.shared.records import Images, encode
from components.sources import filesystem
from components.sources.source import WRONG_SIZE, Range, Records, Source, Unusable


class SplitNote(BaseModel):
    """What a range has of one split."""

    shard: Shard
    rejected: int
    wrong_size: int
    labels: list[int]
    pixel_sum: int
    pixel_square_sum: int


class Note(notes.Note):
    """What a worker notes about a range, next to its shards."""

    splits: dict[str, SplitNote] = Field(default_factory=dict)
    # Digests of each split in each bucket of the digests' file.
    buckets: list[list[int]] = Field(default_factory=list)


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
        self.counters = counters()

    def process(self, part: Range) -> Iterable[int]:
        """Writes the shards and the note; yields the number of records read."""
        output = self.plan.output
        records = notes.read_range(self.plan.source, part, output)
        if records is None:
            return
        found = self._sort(part, records)
        note = Note(
            read=len(records.images) + len(records.unreadable),
            splits={split: self._write(part, split, found) for split in self._splits(part)},
            rejected=notes.write_rejected(self.plan.source, part, output, found.rejected),
            unusable=len(found.rejected),
            buckets=self._write_digests(part, found),
        )
        notes.write_note(output, part, note)
        self._count(note)
        if note.unusable > self.plan.may_reject:
            notes.stop(output)
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

    def _count(self, note: Note) -> None:
        self.counters["read"].inc(note.read)
        self.counters["rejected"].inc(note.unusable)
        self.counters["written"].inc(sum(s.shard.records for s in note.splits.values()))
        self.counters["bytes"].inc(sum(s.shard.bytes for s in note.splits.values()))
