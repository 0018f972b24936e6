"""A worker's work on a range: it writes a shard for each split, and counts what is in them."""

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from components.config import Ingest
from components.ingest import digests
from components.jobs.output import WORK
from components.jobs.ranges import Plan, RangeReport, Work
from components.shared import places
from components.shared.manifests import SPLITS, ReadFrom, Shard
from components.shared.records import Images, encode
from components.sources import filesystem
from components.sources.images import WRONG_SIZE, Records, Unusable
from components.sources.source import Range


class SplitFigures(BaseModel):
    """What is in a range's records of one split."""

    rejected: int
    wrong_size: int
    labels: list[int]
    pixel_sum: int
    pixel_square_sum: int


class SplitsReport(RangeReport):
    """What a worker reports of a range that it cut into splits."""

    figures: dict[str, SplitFigures] = Field(default_factory=dict)
    # Digests of each split in each bucket of the digests' file.
    buckets: list[list[int]] = Field(default_factory=list)


class Sorted(NamedTuple):
    """A range's records, each with its split and its fate."""

    images: Images
    labels: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]  # in the range
    splits: npt.NDArray[np.intp]
    digests: digests.Digests
    rejected: list[tuple[str, Unusable]]  # in order, each with its split


def digests_file(part: Range) -> str:
    """Where the digests of a range lie."""
    return f"{WORK}/{part.index:06d}.digests"


class WriteShards(Work[SplitsReport]):
    """Writes one TFRecord shard for each split that a range has."""

    report = SplitsReport

    def __init__(self, plan: Plan, config: Ingest) -> None:
        super().__init__(plan)
        self._shares = config.validation_share, config.test_share
        self._classes = len(plan.source.class_names)
        self._buckets = digests.buckets(plan.records)  # passes in which duplicates are counted

    def compute(self, part: Range, records: Records) -> Sorted:
        """Decides for each record whether it is used, and in which split."""
        usable = (records.labels >= 0) & (records.labels < self._classes)
        images, labels = records.images[usable], records.labels[usable]
        positions = records.positions[usable]
        hashes = digests.digest([image.tobytes() for image in images])
        rejected = [*records.unreadable, *self._with_wrong_label(records, ~usable)]
        rejected.sort(key=lambda record: record.position)
        splits = self._splits_of(part, digests.digest([record.image for record in rejected]))
        named = [(SPLITS[split], record) for split, record in zip(splits, rejected, strict=True)]
        return Sorted(images, labels, positions, self._splits_of(part, hashes), hashes, named)

    def write(self, part: Range, records: Records, computed: Sorted) -> SplitsReport:
        """Writes shards, rejected records and digests."""
        files, figures = {}, {}
        for split in (part.split,) if part.split else SPLITS:
            files[split], figures[split] = self._write_split(part, split, computed)
        return SplitsReport(
            read=len(records.images) + len(records.unreadable),
            files=files,
            figures=figures,
            rejected=len(computed.rejected),
            first_rejected=self.write_rejected(part, computed.rejected),
            buckets=self._write_digests(part, computed),
        )

    def _splits_of(self, part: Range, hashes: digests.Digests) -> npt.NDArray[np.intp]:
        if part.split:
            return np.full(len(hashes), SPLITS.index(part.split))
        return digests.split_of(hashes, *self._shares)

    def _write_split(self, part: Range, split: str, found: Sorted) -> tuple[Shard, SplitFigures]:
        mine = found.splits == SPLITS.index(split)
        images, labels, positions = found.images, found.labels, found.positions
        if not mine.all():
            images, labels, positions = images[mine], labels[mine], positions[mine]
        data = encode(images, labels.astype(np.uint8))
        filesystem.write(self.plan.output, part.shard_file(split), data)
        rejected = [record for of, record in found.rejected if of == split]
        shard = Shard(
            file=part.shard_file(split),
            records=len(images),
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            read_from=self._read_from(part, split, positions),
        )
        return shard, SplitFigures(
            rejected=len(rejected),
            wrong_size=sum(record.reason.startswith(WRONG_SIZE) for record in rejected),
            labels=np.bincount(labels, minlength=self._classes).tolist(),
            pixel_sum=int(images.sum(dtype=np.uint64)),
            pixel_square_sum=int(np.square(images, dtype=np.uint16).sum(dtype=np.uint64)),
        )

    def _read_from(
        self, part: Range, split: str, positions: npt.NDArray[np.int64]
    ) -> ReadFrom | None:
        """Says where a shard's records were read; writes a file where that is not one sentence."""
        if not len(positions):
            return None
        location, first = self.plan.source.location(part), int(positions[0])
        if isinstance(location, str) and np.array_equal(
            positions - first, np.arange(len(positions))
        ):
            return ReadFrom(location=location, first=part.start + first)
        data = places.encode(location, part.start, positions)
        name = part.places_file(split)
        filesystem.write(self.plan.output, name, data)
        return ReadFrom(file=name, sha256=hashlib.sha256(data).hexdigest())

    def _write_digests(self, part: Range, found: Sorted) -> list[list[int]]:
        """Writes the digests bucket by bucket, in it split by split; returns how many of each."""
        by_split = [
            digests.sort_into(found.digests[found.splits == split], self._buckets)
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
                f"label {records.labels[index]}, expected 0 to {self._classes - 1}; "
                "--class-names names more",
                records.images[index].tobytes(),
                int(records.labels[index]),
            )
            for index in np.flatnonzero(wrong)
        ]
