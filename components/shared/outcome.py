"""What came of a step, as data: the step writes it once, whoever reports on a run reads it.

A runner on this machine names a directory for the outcomes. On a cluster an outcome is the
container's termination message, which Kubernetes keeps in the pod's status: it is there for an exit
handler, which gets no outputs of the steps before it.

Source: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
"""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from components.shared.addresses import redacted_text
from components.shared.environment import IN_CLUSTER, OUTCOMES
from components.shared.errors import log_line, printable
from components.shared.storage import write_text

TERMINATION_MESSAGE = Path("/dev/termination-log")
# Bytes of a message: JSON doubles quotes at worst, and Kubernetes keeps 12 KiB for all containers
# of a pod together, 4 KiB for each of Argo's three.
LONGEST = 1_500

Result = Literal[
    "done",  # ingest and train: what they wrote is there
    "blessed",
    "not blessed",
    "published",
    "predicted",
    "nothing new",
    "quiet",
    "alarm",
    "failed",
]


class Outcome(BaseModel):
    """What came of a step."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    step: str
    result: Result
    message: str  # one line for people, which says all by itself
    precision_at_1: float | None = None  # on the test split, of the model the step worked on
    version: int | None = None  # of the model that was published or predicted with
    address: str = ""  # of what was published, as it may be shown
    source: str = ""  # of the images that were predicted, with the day in place of {date}
    training: str = ""  # the run that an alarm has started, or starts once its own is over

    @classmethod
    def parse(cls, text: str | bytes) -> Self | None:
        """Reads an outcome; None where the text is something else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None

    @property
    def text(self) -> str:
        """It as JSON, in one line."""
        return self.model_dump_json(exclude_defaults=True)

    def write(self, directory: Path) -> None:
        """Writes it into the directory of a run's.

        Raises:
            OSError: It cannot be written.
        """
        write_text(directory / f"{self.step}.json", self.text + "\n")

    @classmethod
    def read(cls, directory: Path, step: str) -> Self | None:
        """Reads a step's outcome from the directory of a run's; None where it left none."""
        try:
            return cls.parse((directory / f"{step}.json").read_bytes())
        except FileNotFoundError:
            return None


def report_outcome(outcome: Outcome) -> None:
    """Prints what came of a step, and writes it where the run's reporters look.

    A step run by hand has no such place. What cannot be written is no reason to fail: the step's
    work is done.
    """
    message = printable(redacted_text(outcome.message)).encode()[:LONGEST].decode(errors="ignore")
    outcome = outcome.model_copy(
        update={"message": message, "address": redacted_text(outcome.address)}
    )
    if outcome.result != "failed":
        log_line(outcome.message)
    try:
        if directory := os.environ.get(OUTCOMES):
            outcome.write(Path(directory))
        elif os.environ.get(IN_CLUSTER) and TERMINATION_MESSAGE.exists():
            TERMINATION_MESSAGE.write_text(outcome.text, encoding="utf-8")
    except OSError as error:
        log_line(f"warning: the step's outcome cannot be written ({error.strerror})")
