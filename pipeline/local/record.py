"""The directory of a local run, and what it says of itself: ``run.json``, and a page of it."""

import datetime
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, Field, field_validator

from components.config import Ingest
from components.shared.code import Code, sum_of_code, this_code
from components.shared.days import with_days
from components.shared.environment import RUN_INDEX
from components.shared.errors import StepError, explain, printable
from components.shared.manifests import Dataset, Manifest
from components.shared.outcome import Outcome, Result
from components.shared.storage import write_text
from pipeline.pipelines import PIPELINES, Pipeline, redacted_parameters

RunResult = Result | Literal["interrupted", "unfinished"]

OUTCOMES_DIRECTORY = "outcomes"  # in a run's directory
EXAMPLES = Path("ingest", "examples")  # in a run's directory: what ingest wrote
PREDICTIONS = Path("predict", "predictions")  # in a run's directory: what predict wrote
DRIFT = Path("watch", "drift")  # in a run's directory: what watch wrote
OUTPUTS = {  # what there is to look at in a run's directory, by name
    "Report of the evaluation": "evaluate/evaluation/report.html",
    "Statistics of the dataset": "ingest/examples/statistics.html",
    "Model card": "evaluate/evaluation/model_card.md",
    "Predictions": "evaluate/evaluation/predictions.parquet",
    "Model": "train/model/",
    "What moved": "watch/drift/drift.html",
    "What the model says of each image": "predict/predictions/",
    "Checkpoints and TensorBoard's events": "train/logs/",
    "Report of the search": "tune/study/tuning.html",
    "Model of the best trial": "tune/model/",
    "Study and trials": "tune/study/",
}


class StepRecord(BaseModel):
    """How a step of a run went."""

    seconds: float
    exit_code: int
    result: str  # what came of it, in a line


class RunRecord(Manifest):
    """``run.json``: what was run, on what, by which code, and what came of it."""

    FILE: ClassVar[str] = "run.json"

    name: str  # also the directory's, and the run id of a version it publishes
    # Names of runs began with the pipeline's until release 0.2.0.
    pipeline: str = Field(default_factory=lambda data: data["name"].partition("-")[0])
    started: datetime.datetime
    parameters: dict[str, Any]
    version: str  # of the code, as commit and dirty are
    commit: str
    dirty: bool
    ingest_code: str = ""  # sum of the code that makes a dataset of a source
    outcome: RunResult = "unfinished"  # and unfinished still, where it was killed
    steps: dict[str, StepRecord] = Field(default_factory=dict)
    precision: float | None = None  # precision@1 on the test split
    published: str = ""  # where the version lies
    source: str = ""  # with the day or days in place of {date}
    predicted_with: int = 0  # the version that said what the images show; 0: none did

    @classmethod
    def _completed(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"source": data.get("predicted", ""), **data}  # so it was called in release 0.2.0

    @field_validator("started")
    @classmethod
    def _with_zone(cls, started: datetime.datetime) -> datetime.datetime:
        """Reads a time without a zone, as another tool may write it, as UTC."""
        return started if started.tzinfo else started.replace(tzinfo=datetime.UTC)

    @classmethod
    def begin(
        cls, runs: Path, pipeline: Pipeline, parameters: dict[str, Any], name: str = ""
    ) -> Self:
        """Makes a run its directory.

        Args:
            runs: Where to.
            pipeline: What runs.
            parameters: Its parameters by name.
            name: The run's; empty: by what it makes, and the time.

        Raises:
            StepError: There cannot be one, or there is a run of that name.
        """
        started = datetime.datetime.now().astimezone()
        code = this_code()
        run = cls(
            name=name or f"{pipeline.run_prefix(parameters)}-{started:%Y-%m-%d-%H-%M-%S-%f}",
            pipeline=pipeline.name,
            started=started,
            parameters=redacted_parameters(parameters),
            source=with_days(
                parameters.get("source", ""), parameters.get("span", 0), parameters.get("until", "")
            ),
            version=code.version,
            commit=code.commit,
            dirty=code.dirty,
            ingest_code=_ingest_code(),
        )
        latest = runs / pipeline.latest
        if latest.exists() and not latest.is_symlink():
            raise StepError(
                f"{latest}: is not a link, expected one to the newest run; move it, or name "
                "another directory with --runs"
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

    def end(self, directory: Path, outcome: RunResult, steps: dict[str, StepRecord]) -> Self:
        """Writes what came of the run into its directory, and returns it."""
        evaluated, pushed, predicted = (
            Outcome.read(directory / OUTCOMES_DIRECTORY, step)
            for step in ("evaluate", "push", "predict")
        )
        ended = self.model_copy(
            update={
                "outcome": outcome,
                "steps": steps,
                "precision": evaluated.precision_at_1 if evaluated else None,
                "published": pushed.address if pushed else "",
                "source": predicted.source if predicted and predicted.source else self.source,
                "predicted_with": predicted.version or 0 if predicted else 0,
            }
        )
        ended.write(directory)
        return ended


def read_runs(runs: Path, warn: bool = False) -> Iterator[tuple[Path, RunRecord]]:
    """Yields the directory of every run under another, and what it says of itself.

    One that cannot be read is left out, with a warning where one is wanted.
    """
    for path in runs.glob(f"*/{RunRecord.FILE}"):
        if not path.parent.is_symlink():
            try:
                yield path.parent, RunRecord.read(path.parent)
            except (StepError, OSError) as error:
                if warn:
                    print(f"warning: {printable(explain(error))}", file=sys.stderr)


def earlier_dataset(runs: Path, parameters: dict[str, Any]) -> str:
    """Returns where the newest dataset lies that a run made of such a source; "" for none.

    Whether the source still has the same content is for ingest to see.

    Args:
        runs: The directory of the runs.
        parameters: Those of the run that is to take it.
    """
    reading, code = _reading(redacted_parameters(parameters)), _ingest_code()
    found = [
        (run.started, directory / EXAMPLES)
        for directory, run in read_runs(runs)
        if run.ingest_code == code
        and _reading(run.parameters) == reading
        and (directory / EXAMPLES / Dataset.FILE).is_file()
    ]
    return str(max(found)[1].resolve()) if found else ""


@cache
def _ingest_code() -> str:
    return sum_of_code("ingest", "jobs", "sources", "shared")


def _reading(parameters: dict[str, Any]) -> dict[str, Any]:
    chosen = Ingest.select(parameters)
    return {name: value for name, value in chosen.items() if name != "cache"}


def write_page(directory: Path, run: RunRecord) -> None:
    """Writes ``index.html`` into a run's directory: what came of it, with links to its outputs."""
    from components.shared import (
        pages,  # jinja2's import is for whoever runs, and not for who lists
    )

    changed, defaults = _parameters(run)
    page = pages.render(
        "pipeline.local",
        "run.html.j2",
        run=run,
        changed=changed,
        defaults=defaults,
        before=_run_before(directory, run),
        made={name: path for name, path in OUTPUTS.items() if (directory / path).exists()},
        logs={step: f"{step}/log.txt" for step in run.steps},
        version=_link(directory, run.published),
        directory=directory,
    )
    write_text(directory / RUN_INDEX, page)


def _parameters(run: RunRecord) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Returns the parameters that are not the defaults, and the others by step."""
    changed: dict[str, Any] = {}
    defaults: dict[str, dict[str, Any]] = {}
    left = dict(run.parameters)
    for config in PIPELINES[run.pipeline].parameters:
        changed |= config.changed(left)
        own = {name: left.pop(name) for name in config.select(left)}
        defaults[config.__name__.lower()] = {n: v for n, v in own.items() if n not in changed}
    return changed | left, {step: values for step, values in defaults.items() if values}


def _run_before(directory: Path, run: RunRecord) -> str:
    """Returns the name of the run of the same pipeline before this one; empty where none is."""
    earlier = (
        (other.started, path.name)
        for path, other in read_runs(directory.parent)
        if other.pipeline == run.pipeline and other.started < run.started
    )
    return max(earlier, default=("", ""))[1]


def _link(directory: Path, published: str) -> str:
    """Returns the link from a page in a directory to a version; empty where it is not on disk."""
    if not published or not Path(published).is_dir():
        return ""
    return quote(os.path.relpath(published, directory.resolve())) + "/"


def point_latest(directory: Path, name: str, replace: bool) -> None:
    """Lets a link name a run, in one step; also where another run does so at this moment.

    Args:
        directory: The run's.
        name: The link's, next to it.
        replace: Also where it names a run already.
    """
    link = directory.parent / name
    if link.exists() and not replace:
        return
    partial = directory.parent / f".{name}-{directory.name}"
    partial.symlink_to(directory.name, target_is_directory=True)
    os.replace(partial, link)  # noqa: PTH105
