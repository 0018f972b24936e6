"""The run's summary, written last whatever happened before."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.shared.addresses import redacted
from components.shared.errors import StepError
from components.shared.storage import write_text
from components.summary.kubernetes import Api
from components.summary.outcome import Outcome, Step, outcome
from components.summary.workflow import steps_of, terminated

# Beside the summary, where the run is on one machine: what its runner knows of the steps.
STEPS = "steps.json"
# What a backend's states say for sure; where a step did not run, it says RUNNING.
BACKEND = {"COMPLETE": "Run succeeded", "SUCCEEDED": "Run succeeded", "FAILED": "Run failed"}


def write_steps(directory: Path, steps: list[Step]) -> None:
    """Leaves the summary of a run on this machine what became of the steps."""
    write_text(directory / STEPS, json.dumps([asdict(step) for step in steps]) + "\n")


def summarize(
    status: dict[str, Any], run_id: str, page: str, parameters: dict[str, Any], output: Path
) -> str:
    """Writes how a run ended.

    Args:
        status: KFP's final status, a ``PipelineTaskFinalStatus`` as a dictionary. A backend has no
            more in it than a state, and that is RUNNING for a run that timed out.
        run_id: The run.
        page: Address of a run's page, with ``{run}`` in place of its id; empty: none.
        parameters: What the run was asked to do, worth repeating.
        output: The JSON file to write.

    Returns:
        One line for people.
    """
    ended = _outcome(status, run_id, output.with_name(STEPS))
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
    return f"{ended.sentence} ({f'run {run_id} {link}'.strip()})"


def _outcome(status: dict[str, Any], run_id: str, steps: Path) -> Outcome:
    if steps.is_file():
        return outcome(Step(**step) for step in json.loads(steps.read_text(encoding="utf-8")))
    try:
        api = Api.in_cluster()
        if not api:
            raise StepError("this is no pod of a cluster")
        workflow = api.workflow(run_id)
        return outcome(steps_of(workflow, api.log), terminated(workflow))
    except StepError as error:
        known = BACKEND.get(str(status.get("state")), "Run over")
        return Outcome("unknown", f"{known}; more is not known: {error}")
