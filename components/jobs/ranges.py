"""A job's ranges: the plan that all workers have, what a step does with a range, and the report.

A report is a file next to what was made of its range: it is the same however often a runner has the
range worked on, and an error in it comes without a runner's own wrapping and retries.
"""

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Generic, Self, TypeVar

from pyarrow import fs
from pydantic import BaseModel, ValidationError

from components.config import Reading
from components.jobs.output import WORK
from components.shared.errors import StepError
from components.shared.manifests import Rejected, Shard
from components.sources import filesystem
from components.sources.images import Records, Unusable
from components.sources.source import Range, Source, record_location

STOP = f"{WORK}/stop"
RANGE_BYTES = 64 << 20  # pixels of a range: a worker holds two ranges at once
NAMED = 20  # rejected records that are named in a report; rejected/ has all of them
COUNTS = ("read", "written", "rejected", "bytes")


class RangeReport(BaseModel):
    """What a worker reports of a range."""

    read: int = 0  # records
    files: dict[str, Shard] = {}  # what was made of them, by split
    rejected: int = 0  # records
    first_rejected: list[Rejected] = []
    error: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Records read, written and rejected, and bytes written."""
        files = self.files.values()
        written, size = sum(file.records for file in files), sum(file.bytes for file in files)
        return dict(zip(COUNTS, (self.read, written, self.rejected, size), strict=True))


Report = TypeVar("Report", bound=RangeReport)


@dataclass(frozen=True)
class Plan:
    """What all workers of a job have in common; it is sent to each of them."""

    source: Source
    output: fs.FileSystem  # the output directory is its root
    ranges: Sequence[Range]
    max_rejected: float  # share of the records, 0 to 1

    @classmethod
    def of(cls, source: Source, output: fs.FileSystem, config: Reading) -> Self:
        """Cuts a source into ranges of ``--shard-size``, smaller where images are large."""
        size = min(config.shard_size, max(1, RANGE_BYTES // prod(source.image_shape)))
        return cls(source, output, source.ranges(size), config.max_rejected)

    @property
    def records(self) -> int:
        """How many records there are in all ranges."""
        return sum(part.stop - part.start for part in self.ranges)


class Work(ABC, Generic[Report]):
    """What a step does with the ranges of a plan, in a worker; all threads share it."""

    report: ClassVar[type[RangeReport]]

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def setup(self) -> None:
        """Prepares a process, before its first range.

        Raises:
            StepError: The process can't work.
        """

    @abstractmethod
    def compute(self, part: Range, records: Records) -> Any:
        """Works on a range while the one before it is written.

        Raises:
            StepError: The range can't be worked on.
        """

    @abstractmethod
    def write(self, part: Range, records: Records, computed: Any) -> Report:
        """Writes what was computed, in a thread of its own, and says what came of the range."""

    def write_rejected(
        self, part: Range, rejected: Sequence[tuple[str, Unusable]]
    ) -> list[Rejected]:
        """Writes a range's unusable records, each with its split, a JSON object a line.

        Returns:
            The first of them.
        """
        if not rejected:
            return []
        location = self.plan.source.location(part)
        named = [
            Rejected(
                split=split,
                where=record_location(location, part, record.position),
                reason=record.reason,
            )
            for split, record in rejected
        ]
        lines = [
            json.dumps(
                {
                    **name.model_dump(),
                    "label": record.label,
                    "image": base64.b64encode(record.image).decode(),
                }
            )
            for name, (_, record) in zip(named, rejected, strict=True)
        ]
        text = "".join(f"{line}\n" for line in lines)
        filesystem.write(self.plan.output, part.rejected_file, text.encode())
        return named[:NAMED]


def is_stopped(plan: Plan) -> bool:
    """Whether workers are to leave what they have not begun."""
    return plan.output.get_file_info(STOP).is_file


def write_report(plan: Plan, part: Range, report: RangeReport) -> None:
    """Writes a range's report, and stops the job where it can't come to a good end any more."""
    filesystem.write(plan.output, _file(part), report.model_dump_json().encode())
    if report.error or report.rejected > int(plan.max_rejected * plan.records):
        filesystem.write(plan.output, STOP, b"")


def read_reports(plan: Plan, kind: type[Report]) -> list[Report]:
    """Reads the reports of the ranges that workers came to, in order.

    Raises:
        StepError: A range could not be worked on; the first of them. Or a report is damaged, or too
            many records are unusable.
    """
    reports = []
    for part in plan.ranges:
        try:
            report = kind.model_validate_json(filesystem.read(plan.output, _file(part)))
        except FileNotFoundError:
            continue
        except ValidationError:
            raise damaged(_file(part)) from None
        if report.error:
            raise StepError(report.error)
        reports.append(report)
    _check(plan, reports)
    return reports


def total_counts(reports: Sequence[RangeReport]) -> dict[str, int]:
    """Adds up the counts of reports: the ``metrics`` of a manifest."""
    return {name: sum(report.counts[name] for report in reports) for name in COUNTS}


def first_rejected(reports: Sequence[RangeReport]) -> list[Rejected]:
    """Returns the first rejected records of all ranges."""
    return [record for report in reports for record in report.first_rejected][:NAMED]


def damaged(file: str) -> StepError:
    """The error of a file that a worker left and that has changed since."""
    return StepError(f"{file}: not as a worker wrote it; check the disk, and run the step again")


def _check(plan: Plan, reports: Sequence[RangeReport]) -> None:
    """Checks that not too many records are unusable, and that none is unaccounted for."""
    counts, records = total_counts(reports), plan.records
    if counts["rejected"] > plan.max_rejected * records:
        first = first_rejected(reports)[0]
        raise StepError(
            f"{first.where}: {first.reason}: {counts['rejected']:,} of {counts['read']:,} records "
            f"unusable, expected at most the share {plan.max_rejected:g} of --max-rejected"
        )
    if not records == counts["read"] == counts["written"] + counts["rejected"]:
        raise AssertionError(f"{records} records in the source, but {counts}")


def _file(part: Range) -> str:
    return f"{WORK}/{part.index:06d}.json"
