"""The directory of a local run, and what it says of itself: ``run.json``."""

import datetime
import json
import os
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field

from components.config import SECRET
from components.shared.addresses import redacted_text
from components.shared.code import Code, this_code
from components.shared.errors import StepError
from components.shared.manifests import Evaluation, Manifest
from pipeline.pipelines import Pipeline

Outcome = Literal[
    "unfinished",
    "published",
    "not blessed",
    "quiet",
    "alarm",
    "nothing new",
    "failed",
    "interrupted",
]


DRIFT = Path("watch", "drift")  # in a run's directory: what watch wrote


class Step(BaseModel):
    """What came of a step."""

    seconds: float
    exit_code: int
    result: str  # the last line it printed


class Run(Manifest):
    """``run.json``: what was run, on what, by which code, and what came of it."""

    FILE: ClassVar[str] = "run.json"

    name: str  # also the directory's, and the run id of a version it publishes
    started: datetime.datetime
    parameters: dict[str, Any]
    version: str  # of the code, as commit and dirty are
    commit: str
    dirty: bool
    outcome: Outcome = "unfinished"  # and unfinished still, where it was killed
    steps: dict[str, Step] = Field(default_factory=dict)
    precision: float | None = None  # precision@1 on the test split
    published: str = ""  # where the version lies
    predicted_with: int = 0  # the version that said what the images show; 0: none did

    @classmethod
    def begin(cls, runs: Path, pipeline: Pipeline, parameters: dict[str, Any]) -> Self:
        """Makes a run its directory.

        Raises:
            StepError: There cannot be one.
        """
        started = datetime.datetime.now().astimezone()
        code = this_code()
        run = cls(
            name=f"{pipeline.name}-{started:%Y-%m-%d-%H-%M-%S-%f}",
            started=started,
            parameters=public(parameters),
            version=code.version,
            commit=code.commit,
            dirty=code.dirty,
        )
        latest = runs / pipeline.latest
        if latest.exists() and not latest.is_symlink():
            raise StepError(
                f"{latest}: is no link, expected one to the newest run; move it, or name another "
                "directory with --runs"
            )
        try:
            (runs / run.name).mkdir(parents=True)
            run.write(runs / run.name)
        except OSError as error:
            raise StepError(
                f"{runs}: cannot hold a run ({error.strerror}); name another directory with --runs"
            ) from None
        return run

    @property
    def code(self) -> Code:
        """Which code ran."""
        return Code(self.version, self.commit, self.dirty)

    def end(self, directory: Path, outcome: Outcome, steps: dict[str, Step]) -> Self:
        """Writes what came of the run into its directory, and returns it."""
        ended = self.model_copy(
            update={
                "outcome": outcome,
                "steps": steps,
                "precision": _precision(directory),
                "published": _published(directory),
                "predicted_with": _predicted_with(directory),
            }
        )
        ended.write(directory)
        return ended


def public(parameters: dict[str, Any]) -> dict[str, Any]:
    """Returns a pipeline's parameters as people may see them."""
    return {
        name: ("…" if value else "")
        if name in SECRET
        else redacted_text(value)
        if isinstance(value, str)
        else value
        for name, value in parameters.items()
    }


def _precision(directory: Path) -> float | None:
    try:
        judged = Evaluation.read(directory / "evaluate" / "evaluation")
    except StepError:
        return None
    return judged.splits["test"].precision_at_1


def _published(directory: Path) -> str:
    told = _told(directory / "push")
    return str(told["parameterValues"]["Output"]) if told else ""


def _predicted_with(directory: Path) -> int:
    told = _told(directory / "predict")
    made = told["artifacts"]["predictions"]["artifacts"] if told else []
    return next((int(each["metadata"].get("version", 0)) for each in made), 0)


def _told(step: Path) -> Any:
    """Returns what a step that succeeded handed on to kfp; None where none did."""
    try:
        return json.loads((step / "executor_output.json").read_text("utf-8"))
    except OSError:
        return None


def point_latest(directory: Path, name: str, anyhow: bool) -> None:
    """Lets a link name a run, in one step; also where another run does so at this moment.

    Args:
        directory: The run's.
        name: The link's, beside it.
        anyhow: Otherwise only where it names none yet.
    """
    link = directory.parent / name
    if link.exists() and not anyhow:
        return
    partial = directory.parent / f".{name}-{directory.name}"
    partial.symlink_to(directory.name, target_is_directory=True)
    os.replace(partial, link)  # noqa: PTH105
