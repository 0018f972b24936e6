"""From the notes of the workers to the figures of the whole dataset."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pyarrow import fs

from components.ingest import digests
from components.ingest.shards import Note, digests_file
from components.jobs.notes import NAMED, damaged
from components.shared.manifests import SPLITS, Rejected, Split
from components.sources.source import Range, Source


class Outcome(NamedTuple):
    """What came of all ranges together."""

    splits: dict[str, Split]
    duplicates: dict[str, int]  # distinct images in two splits, as "test,train"
    rejected: list[Rejected]  # the first ones


def summarize(
    source: Source, output: fs.FileSystem, ranges: list[Range], notes: list[Note]
) -> Outcome:
    """Adds up the notes of all ranges."""
    duplicates = _count_duplicates(output, ranges, notes)
    pairs = itertools.combinations(range(len(SPLITS)), 2)
    return Outcome(
        splits={
            name: _split(source, notes, name, int(duplicates[index, index]))
            for index, name in enumerate(SPLITS)
        },
        duplicates={f"{SPLITS[a]},{SPLITS[b]}": int(duplicates[a, b]) for a, b in pairs},
        rejected=[rejected for note in notes for rejected in note.rejected][:NAMED],
    )


def _split(source: Source, notes: list[Note], name: str, duplicates: int) -> Split:
    mine = [note.splits[name] for note in notes if name in note.splits]
    records = sum(note.shard.records for note in mine)
    pixels = max(1, records * math.prod(source.image_shape))
    mean = sum(note.pixel_sum for note in mine) / pixels
    # Whole numbers as long as possible: figures that do not depend on how the source was cut.
    square = sum(note.pixel_square_sum for note in mine) / pixels
    return Split(
        records=records,
        rejected=sum(note.rejected for note in mine),
        wrong_size=sum(note.wrong_size for note in mine),
        labels=[
            sum(note.labels[label] for note in mine) for label in range(len(source.class_names))
        ],
        pixel_mean=mean,
        pixel_stddev=math.sqrt(max(0.0, square - mean * mean)),
        duplicates=duplicates,
        shards=[note.shard for note in mine],
    )


def _count_duplicates(
    output: fs.FileSystem, ranges: list[Range], notes: list[Note]
) -> npt.NDArray[np.int64]:
    """Counts duplicates bucket by bucket, so that memory does not grow with the source."""
    counts = np.zeros((len(SPLITS), len(SPLITS)), np.int64)
    for bucket in range(len(notes[0].buckets)):
        hashes, splits = [], []
        for part, note in zip(ranges, notes, strict=True):
            before = sum(map(sum, note.buckets[:bucket]))
            sizes = note.buckets[bucket]
            with output.open_input_file(digests_file(part)) as file:
                data = file.read_at(sum(sizes) * digests.SIZE, before * digests.SIZE)
            if len(data) != sum(sizes) * digests.SIZE:
                raise damaged(digests_file(part))
            hashes.append(np.frombuffer(data, "<u8"))
            splits.append(np.repeat(np.arange(len(SPLITS)), sizes))
        counts += digests.count_duplicates(np.concatenate(hashes), np.concatenate(splits))
    return counts
