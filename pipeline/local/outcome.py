"""What a person is told at the end of a local run: what came of it, and how to go on."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.shared.environment import RUN_INDEX
from components.shared.predictions import Drift
from pipeline.local.display import Display
from pipeline.local.runs import DRIFT, Outcome, Step
from pipeline.pipelines import Pipeline

REPORT = "drift.html"


def outcome_of(steps: dict[str, Step], directory: Path) -> Outcome:
    """Returns what came of a run that is through, from the steps that ran."""
    if any(step.exit_code for step in steps.values()):
        return "failed"
    if "watch" in steps:
        return "quiet" if Drift.read(directory / DRIFT).quiet else "alarm"
    if "predict" in steps:
        return "nothing new"
    return "published" if "push" in steps else "not blessed"


def show_outcome(
    pipeline: Pipeline,
    display: Display,
    steps: dict[str, Step],
    directory: Path,
    parameters: dict[str, Any],
) -> None:
    """Shows what came of every step, and where things lie."""
    failed = next((name for name, step in steps.items() if step.exit_code), None)
    rows = []
    for name in pipeline.step_names:
        if name not in steps:
            rows.append((name, "", "not run" if failed else f"skipped: {pipeline.skipped}"))
        else:
            step = steps[name]
            rows.append((name, f"{step.seconds:.1f}", "failed" if step.exit_code else step.result))
    display.table(rows, sum(step.seconds for step in steps.values()))
    if failed:
        display.failure(failed, steps[failed].result, directory / failed / "log.txt")
        return
    if "watch" in steps:
        drift = Drift.read(directory / DRIFT)
        moved = [verdict.reason for verdict in drift.verdicts if not verdict.passed]
        display.watched(steps["watch"].result, moved, drift.retrain)
    display.places(_places(steps, directory, parameters))


def _places(
    steps: dict[str, Step], directory: Path, parameters: dict[str, Any]
) -> Iterator[tuple[str, object, str]]:
    """Yields where a run's outputs lie: name, place, and the command that opens it."""
    yield "Run", directory / RUN_INDEX, ""
    if "train" in steps:
        report = directory / "evaluate" / "evaluation" / "report.html"
        logs = _logs(directory, parameters)
        yield "Model", directory / "train" / "model", ""
        yield "Report", report, _opening(report)
        yield "TensorBoard", logs, f"make tensorboard LOGS={shlex.quote(str(logs))}"
    if "watch" in steps:
        yield "Predictions", directory / "predict" / "predictions", ""
        yield "Drift", directory / DRIFT / REPORT, _opening(directory / DRIFT / REPORT)


def _opening(page: Path) -> str:
    return f"python3 -m webbrowser {shlex.quote(str(page))}"


def show_interrupted(
    display: Display, step: str, directory: Path, parameters: dict[str, Any]
) -> None:
    """Says what an interrupted run leaves, and how another one goes on from there."""
    logs = _logs(directory, parameters)
    steps = [int(path.stem.split("-")[-1]) for path in logs.glob("ckpt-*.index")]
    display.interruption(step)
    if not steps:
        display.places([("Kept", directory, "nothing to go on from; start again")])
        return
    command = ["python", "-m", "pipeline", *sys.argv[1:]]
    if not parameters.get("checkpoints"):
        command += ["--checkpoints", str(logs)]
    display.places(
        [
            ("Kept", directory, f"with the checkpoint of step {max(steps):,}"),
            ("To go on", shlex.join(command), ""),
        ]
    )


def _logs(directory: Path, parameters: dict[str, Any]) -> Path:
    return Path(parameters.get("checkpoints") or directory / "train" / "logs")
