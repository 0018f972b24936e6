"""The run's summary, written last whatever happened before."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.shared.addresses import redacted
from components.shared.environment import OUTCOMES
from components.shared.errors import StepError, log_line
from components.shared.outcome import Outcome, report_outcome
from components.shared.storage import write_text
from components.summary.run_summary import RunSummary, StepState
from components.summary.servers import read_outcomes, read_workflow
from components.summary.workflow import STEPS, steps_of, terminated

# What a backend's states say for sure; where a step did not run, it says RUNNING.
BACKEND = {"COMPLETE": "Run succeeded", "SUCCEEDED": "Run succeeded", "FAILED": "Run failed"}


def summarize(
    status: dict[str, Any], run_id: str, page: str, parameters: dict[str, Any], output: Path
) -> tuple[str, bool]:
    """Writes how a run ended, and reports it.

    Args:
        status: KFP's final status, a ``PipelineTaskFinalStatus`` as a dictionary. A backend has no
            more in it than a state, and that is RUNNING for a run that timed out.
        run_id: The run.
        page: Address of a run's page, with ``{run}`` in place of its id; empty: none.
        parameters: What the run was asked to do, worth repeating.
        output: The JSON file to write.

    Returns:
        One line for people, and whether the run is known to have succeeded.
    """
    ended = _ended(status, run_id)
    link = page.replace("{run}", run_id)
    summary = {
        "state": ended.state,
        "run": run_id,
        "page": link,
        "outcome": ended.sentence,
        "step": ended.step.name if ended.step else "",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": {name: redacted(str(value)) for name, value in parameters.items()},
    }
    write_text(output, json.dumps(summary, indent=2) + "\n")
    line = f"{ended.sentence} ({f'run {run_id} {link}'.strip()})"
    report_outcome(Outcome(step="summary", result="done", message=line))
    return line, ended.succeeded


def _ended(status: dict[str, Any], run_id: str) -> RunSummary:
    if directory := os.environ.get(OUTCOMES):
        return RunSummary.of(_steps_here(Path(directory)))
    try:
        workflow = read_workflow(run_id)
    except StepError as error:
        known = BACKEND.get(str(status.get("state")), "Run over")
        return RunSummary("unknown", f"{known}; more is not known: {error}")
    try:
        outcomes = read_outcomes(run_id)
    except StepError as error:
        log_line(f"warning: {error}; so what the steps say of themselves is not known")
        outcomes = {}
    return RunSummary.of(steps_of(workflow, outcomes), terminated(workflow))


def _steps_here(directory: Path) -> list[StepState]:
    """Returns the steps of a run on this machine, where each leaves an outcome."""
    found = [outcome for name in STEPS if (outcome := Outcome.read(directory, name))]
    return [
        StepState(o.step, "Failed" if o.result == "failed" else "Succeeded", outcome=o)
        for o in found
    ]
