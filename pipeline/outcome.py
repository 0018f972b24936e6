"""What a person is told at the end of a local run: what came of it, and how to go on."""

import shlex
import sys
from pathlib import Path
from typing import Any

from components.config import STEPS
from components.shared.code import RUN_INDEX
from pipeline.display import Display
from pipeline.runs import Step


def show_outcome(
    display: Display, steps: dict[str, Step], directory: Path, parameters: dict[str, Any]
) -> None:
    """Shows what came of every step, and where things lie."""
    failed = next((name for name, step in steps.items() if step.exit_code), None)
    rows = []
    for name in [step.__name__.lower() for step in STEPS]:
        if name not in steps:
            rows.append((name, "", "not run" if failed else "skipped: the model is not blessed"))
        else:
            step = steps[name]
            rows.append((name, f"{step.seconds:.1f}", "failed" if step.exit_code else step.result))
    display.table(rows, sum(step.seconds for step in steps.values()))
    if failed:
        display.failure(failed, steps[failed].result, directory / failed / "log.txt")
        return
    report = directory / "evaluate" / "evaluation" / "report.html"
    logs = _logs(directory, parameters)
    display.places(
        [
            ("Run", directory / RUN_INDEX, ""),
            ("Model", directory / "train" / "model", ""),
            ("Report", report, f"python3 -m webbrowser {shlex.quote(str(report))}"),
            ("TensorBoard", logs, f"make tensorboard LOGS={shlex.quote(str(logs))}"),
        ]
    )


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
    if not parameters["checkpoints"]:
        command += ["--checkpoints", str(logs)]
    display.places(
        [
            ("Kept", directory, f"with the checkpoint of step {max(steps):,}"),
            ("To go on", shlex.join(command), ""),
        ]
    )


def _logs(directory: Path, parameters: dict[str, Any]) -> Path:
    return Path(parameters["checkpoints"] or directory / "train" / "logs")
