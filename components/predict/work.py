"""The work on a range: it is read, the model answers, and the answers are written."""

import hashlib
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.ml.inference.base import RunInference
from pyarrow import fs
from pydantic import Field

from components.jobs import notes
from components.jobs.run import counters
from components.predict import rows
from components.predict.champion import Champion
from components.predict.inference import Answered, Read, SavedModelHandler
from components.predict.reading import Incoming
from components.shared.errors import StepError
from components.shared.manifests import Shard
from components.shared.predictions import LeastSure
from components.shared.profile import Profile, as_text
from components.shared.records import Images
from components.sources import filesystem
from components.sources.source import Range

LEAST_SURE = 24  # images that are kept
TURN = 0.0002  # seconds
NO_SPLIT = "all"  # of rejected records: a night has no splits


class Note(notes.Note):
    """What a worker notes about a range, next to its answers."""

    file: Shard | None = None
    profile: Profile | None = None
    labelled: int = 0
    correct: int = 0
    least_sure: list[LeastSure] = Field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What all workers of a run have in common."""

    images: Incoming
    champion: Champion
    output: fs.FileSystem  # the output directory is its root
    ranges: int
    may_reject: int  # records


class Work(beam.PTransform):
    """Ranges of a source to files with a model's answers, one for each range."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan

    def expand(self, ranges: beam.PCollection) -> beam.PCollection:
        """Composes the steps; a runner fuses them, so that no image leaves its worker."""
        handler = SavedModelHandler(self.plan.champion)
        return (
            ranges
            | "Read" >> beam.ParDo(ReadRange(self.plan)).with_output_types(Read)
            | "RunInference" >> RunInference(handler).with_output_types(Answered)
            | "Write" >> beam.ParDo(WriteAnswers(self.plan))
        )


class ReadRange(beam.DoFn):
    """Reads one range of the source."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def process(self, part: Range) -> Iterable[Read]:
        """Yields the range's records, unless the job is to stop."""
        records = notes.read_range(self.plan.images.source, part, self.plan.output)
        if records is not None:
            yield Read(part, records)


class WriteAnswers(beam.DoFn):
    """Writes a range's answers, and notes what they add up to.

    A thread of its own does so, while the model works on the next range.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.counters = counters()

    def setup(self) -> None:
        """Has the two threads take turns more often than Python's every 5 ms.

        The model's calls are short in Python, and each would wait so long for the thread's sums.
        """
        sys.setswitchinterval(TURN)

    def start_bundle(self) -> None:
        """Starts the thread."""
        self._thread = ThreadPoolExecutor(1)
        self._writing: list[Future[Note]] = []

    def process(self, answered: Answered) -> None:
        """Has the file and the note written, once those before are."""
        self._settle()
        self._writing.append(self._thread.submit(self._do, answered))

    def finish_bundle(self) -> None:
        """Waits for the last."""
        self._settle()
        self._thread.shutdown()

    def _settle(self) -> None:
        """Waits for what is being written, and counts it: a bundle's counters are its thread's."""
        while self._writing:
            note = self._writing.pop().result()
            self.counters["read"].inc(note.read)
            self.counters["rejected"].inc(note.unusable)
            self.counters["written"].inc(note.file.records if note.file else 0)
            self.counters["bytes"].inc(note.file.bytes if note.file else 0)

    def _do(self, answered: Answered) -> Note:
        part, output = answered.read.part, self.plan.output
        if isinstance(answered.probabilities, StepError):
            note = Note(error=str(answered.probabilities))
        else:
            note = self._note(answered.read, answered.probabilities)
        notes.write_note(output, part, note)
        if note.error or note.unusable > self.plan.may_reject:
            notes.stop(output)
        return note

    def _note(self, read: Read, probabilities: npt.NDArray[np.float32]) -> Note:
        records, images = read.records, self.plan.images
        unusable = [(NO_SPLIT, record) for record in records.unreadable]
        labels = images.labels(records.labels)
        table = rows.table(self.plan.champion, images, read, probabilities, labels)
        return Note(
            read=len(read) + len(unusable),
            rejected=notes.write_rejected(images.source, read.part, self.plan.output, unusable),
            unusable=len(unusable),
            file=self._write(read.part, table),
            profile=Profile.of(records.images, probabilities),
            labelled=int((labels >= 0).sum()),
            correct=int((labels == table["predicted"].to_numpy()).sum()),
            least_sure=_least_sure(records.images, probabilities, table),
        )

    def _write(self, part: Range, table: pa.Table) -> Shard:
        data = rows.encode(table)
        name = f"predictions-{part.index:05d}-of-{self.plan.ranges:05d}.parquet"
        filesystem.write(self.plan.output, name, data)
        sha256 = hashlib.sha256(data).hexdigest()
        return Shard(file=name, records=len(table), bytes=len(data), sha256=sha256)


def _least_sure(
    images: Images, probabilities: npt.NDArray[np.float32], table: pa.Table
) -> list[LeastSure]:
    """The least sure of a range's rows."""
    sure = probabilities.max(axis=1)
    least = np.argsort(sure, kind="stable")[:LEAST_SURE]
    chosen = table.select(["source", "position", "predicted"]).take(least).to_pylist()
    return [
        LeastSure(**row, probability=float(sure[at]), image=as_text(images[at]))
        for at, row in zip(least.tolist(), chosen, strict=True)
    ]
