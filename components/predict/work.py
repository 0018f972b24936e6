"""A worker's work on a range: the model answers, and its answers are written."""

import hashlib
import sys

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from components.jobs.ranges import Plan, RangeReport, Work
from components.predict import rows
from components.predict.incoming import Incoming
from components.predict.published import PublishedModel
from components.shared.causes import TRIED, TRIED_PIXELS, TRIED_RANGES, attempts
from components.shared.manifests import Shard
from components.shared.predictions import LeastSure
from components.shared.profile import Profile, as_text
from components.shared.records import Images
from components.shared.texture import sampled, textures
from components.sources import filesystem
from components.sources.images import Records
from components.sources.source import Range

LEAST_SURE = 24  # images that are kept
TURN = 0.0002  # seconds
NO_SPLIT = "all"  # of files and rejected records: what comes in has no splits


class AnswersReport(RangeReport):
    """What a worker reports of a range that a model answered."""

    profile: Profile | None = None
    labelled: int = 0
    correct: int = 0
    least_sure: list[LeastSure] = Field(default_factory=list)
    undone: dict[str, Profile] = Field(default_factory=dict)


class WriteAnswers(Work[AnswersReport]):
    """Has a published model answer a range, and writes a file of its answers."""

    report = AnswersReport

    def __init__(self, plan: Plan, images: Incoming, model: PublishedModel) -> None:
        super().__init__(plan)
        self._images, self._model = images, model
        self._reference = model.trained_on()
        self._every = -(-len(plan.ranges) // TRIED_RANGES)

    def setup(self) -> None:
        """Loads the model.

        Threads take turns more often than Python's every 5 ms: a model's calls are short in Python,
        and each would wait so long for the sums of the thread that writes.
        """
        sys.setswitchinterval(TURN)
        self._answers = self._model.load()

    def compute(self, part: Range, records: Records) -> npt.NDArray[np.float32]:
        """Returns the probabilities of the classes, float32 ``[n, classes]``."""
        return self._answers(records.images)

    def write(
        self, part: Range, records: Records, computed: npt.NDArray[np.float32]
    ) -> AnswersReport:
        """Writes the answers, and adds up what they are."""
        unusable = [(NO_SPLIT, record) for record in records.unreadable]
        labels = self._images.labels(records.labels)
        table = rows.table(self._model, self._images, part, records, computed, labels)
        texture = self._reference.texture if self._reference else None
        found = textures(sampled(records.images, self.plan.records))
        return AnswersReport(
            read=len(records.images) + len(unusable),
            files={NO_SPLIT: self._write(part, table)},
            rejected=len(unusable),
            first_rejected=self.write_rejected(part, unusable),
            profile=Profile.of(records.images, computed, texture, found),
            labelled=int((labels >= 0).sum()),
            correct=int((labels == table["predicted"].to_numpy()).sum()),
            least_sure=_least_sure(records.images, computed, table),
            undone=self._undo(part, records.images, computed),
        )

    def _undo(
        self, part: Range, images: Images, probabilities: npt.NDArray[np.float32]
    ) -> dict[str, Profile]:
        """Undoes simple causes of an alarm for some of the images, and has them answered anew."""
        if not self._reference or not len(images) or part.index % self._every:
            return {}
        most = TRIED // min(len(self.plan.ranges), TRIED_RANGES)
        most = min(most, TRIED_PIXELS // images[0].size)
        some = slice(None, None, -(-len(images) // most))
        tried = {}
        for attempt in attempts(images[some], probabilities[some], self._reference):
            answers = attempt.probabilities
            if answers is None:
                answers = self._answers(attempt.images)
            profile = Profile.of(attempt.images, answers, self._reference.texture)
            tried[attempt.cause] = profile.model_copy(update={"samples": []})
        return tried

    def _write(self, part: Range, table: pa.Table) -> Shard:
        data = rows.encode(table)
        name = f"predictions-{part.index:05d}-of-{len(self.plan.ranges):05d}.parquet"
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
