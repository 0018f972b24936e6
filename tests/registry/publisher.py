"""A process that publishes a prepared release, for tests that kill it.

``python -m tests.registry.publisher DESTINATION RELEASE.json`` says ``ready`` and goes to work.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from components.registry.registry import Registry, Release
from components.registry.state import Validation
from components.shared.code import Code
from components.shared.command_line import exit_on_error
from tests.forked import Forked


def write_release(release: Release, path: Path) -> Path:
    """Writes what :func:`main` publishes."""
    values = release._asdict() | {
        "validation": release.validation.model_dump(mode="json"),
        "files": {name: str(file) for name, file in release.files.items()},
        "code": asdict(release.code),
    }
    path.write_text(json.dumps(values))
    return path


def start(*arguments: object, until: str) -> Forked:
    """Starts a module and returns once it has printed a line that starts so."""
    process = Forked("-m", *arguments, merged=True)
    for line in process.stdout:
        if line.startswith(until):
            return process
    raise AssertionError(f"exit code {process.wait()} before {until!r}")


def finish(process: Forked) -> None:
    """Waits for a process to succeed."""
    printed = process.stdout.read()
    assert process.wait() == 0, printed


def main(destination: str, release: Path) -> None:
    values = json.loads(release.read_text())
    values["validation"] = Validation.model_validate(values["validation"])
    values["code"] = Code(**values["code"])
    values["files"] = {name: Path(file) for name, file in values["files"].items()}
    registry = Registry.open(destination, "digits")
    registry.versions()  # connects
    print("ready", flush=True)
    registry.advance(registry.publish(Release(**values)))


if __name__ == "__main__":
    with exit_on_error():
        main(sys.argv[1], Path(sys.argv[2]))
