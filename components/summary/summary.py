"""The run's summary, written last whatever happened before."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.shared.addresses import shown
from components.shared.storage import write_text


def summarize(status: dict[str, Any], parameters: dict[str, Any], output: Path) -> str:
    """Writes how a run ended.

    Args:
        status: KFP's final status of the run's steps: ``state`` and, where a step failed, ``error``
            with ``message``.
        parameters: What the run was asked to do, worth repeating; of addresses, what may be shown.
        output: The JSON file to write.

    Returns:
        One line for people.
    """
    state = str(status.get("state", "UNKNOWN"))
    error = (status.get("error") or {}).get("message", "")
    summary = {
        "state": state,
        "run": status.get("pipelineJobResourceName", ""),
        "error": error,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": {name: shown(str(value)) for name, value in parameters.items()},
    }
    write_text(output, json.dumps(summary, indent=2) + "\n")
    return f"Run {state.lower()}" + (f": {error}" if error else "")
