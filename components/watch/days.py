"""What predict wrote, of one day or of several."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from components.shared.days import DATE
from components.shared.errors import StepError, log_line
from components.shared.predictions import Predictions, Reference


class Day(NamedTuple):
    """What predict wrote of a day, or of another batch."""

    directory: Path
    found: Predictions
    reference: Reference

    @property
    def date(self) -> str:
        """The last day that was read, as 2026-11-23; empty where the source has no days."""
        options = self.found.options
        return str(options.get("until", "")) if DATE in str(options.get("source", "")) else ""


def read_day(directory: Path) -> Day:
    """Reads what predict wrote.

    Raises:
        StepError: It is none or empty, or is of a model that came without its reference.
    """
    found = Predictions.read(directory)
    if not (directory / Reference.FILE).is_file():
        raise StepError(
            f"{directory}: no {Reference.FILE}: version {found.version} of {found.model_name} "
            "was published without what it was trained on; train and publish another"
        )
    reference = Reference.read(directory)
    if not found.profile.images:
        raise StepError(f"{directory}: no images, expected some to compare")
    if found.model_sha256 != reference.model_sha256 or found.class_names != reference.class_names:
        raise StepError(f"{directory / Reference.FILE}: is of another model; predict anew")
    if found.profile.image_shape != reference.train.image_shape:
        raise StepError(f"{directory}: images of another size than the model was trained on")
    return Day(directory, found, reference)


def within(days: Sequence[Day], window: int) -> list[Day]:
    """Returns the days of a window, the oldest first; of one that was run again, the last run.

    Args:
        days: In any order, the runs of one day in theirs; at least one.
        window: How many days count, up to the newest. What has no day counts in any case.

    Raises:
        StepError: They are not of one model.
    """
    days = sorted(days, key=lambda day: day.date)
    newest = days[-1]
    for day in days:
        ours, theirs = day.found, newest.found
        if (ours.model_name, ours.class_names) != (theirs.model_name, theirs.class_names):
            raise StepError(
                f"{day.directory}: answers of {ours.model_name}, expected those of "
                f"{theirs.model_name} with the classes of {newest.directory}"
            )
    # A source without days has the same name and other images every time.
    runs = {(day.found.source, day.date or day.found.source_fingerprint): day for day in days}
    first = str(date.fromisoformat(newest.date) - timedelta(window - 1)) if newest.date else ""
    kept = [day for day in runs.values() if not day.date or day.date >= first]
    if len(runs) < len(days):
        log_line(f"{len(days) - len(runs)} of {len(days)} predictions were made again since")
    if len(kept) < len(runs):
        log_line(f"{len(runs) - len(kept)} of {len(runs)} days are from before {first}")
    return kept
