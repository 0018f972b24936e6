"""Whose checkpoints a directory holds: those of one configuration on one dataset."""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from components.config import Train
from components.shared.errors import StepError
from components.shared.storage import locked, write_text

FILE = "run.json"
# These may change between the attempts of a run, since they do not touch the weights.
FREE = {
    "checkpoint_every",
    "checkpoint_seconds",
    "keep_checkpoints",
    "resident_mib",
    "restart",
    "worker_timeout",
}
# What a run leaves in its directory, and --restart removes.
LEFT = (FILE, "checkpoint", "ckpt-*", "history.jsonl", "events.out.tfevents.*")


@contextmanager
def claim(directory: Path, config: Train, data: Mapping[str, object]) -> Iterator[None]:
    """Makes a directory this run's for the block: no other run may write to it meanwhile.

    What it holds must be of the same configuration and data.

    Args:
        directory: Holds the checkpoints of an earlier attempt, of another run, or nothing.
        config: With ``restart``, another run's leavings are removed.
        data: What tells the dataset from others, by name.

    Raises:
        StepError: It holds another run's, and names what differs; or another run writes to it.
        OSError: It cannot be written.
    """
    identity = {k: v for k, v in dataclasses.asdict(config).items() if k not in FREE}
    identity |= data
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / ".lock", directory):
        _take(directory, identity, config.restart)
        yield


def _take(directory: Path, identity: dict[str, object], restart: bool) -> None:
    differing = _differing(directory, identity)
    if differing and not restart:
        raise StepError(
            f"{directory}: holds checkpoints of another run ({'; '.join(differing)}); name another "
            "directory, or discard them with --restart"
        )
    if differing:
        for path in (path for pattern in LEFT for path in directory.glob(pattern)):
            if path.is_dir():  # of a checkpoint that was not finished
                shutil.rmtree(path)
            else:
                path.unlink()
    if not (directory / FILE).exists():
        write_text(directory / FILE, json.dumps(identity, indent=2) + "\n")


def _differing(directory: Path, identity: dict[str, object]) -> list[str]:
    path = directory / FILE
    if not path.exists():
        # It is there before the first checkpoint is.
        found = any(directory.glob("ckpt-*"))
        return [f"{path.name}, which says of which, is missing"] if found else []
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return [f"{path.name} is unreadable"]
    if not isinstance(found, dict):
        return [f"{path.name} is unreadable"]
    return [
        f"{name} {found.get(name)!r} there, {identity.get(name)!r} here"
        for name in sorted(found.keys() | identity)
        if found.get(name) != identity.get(name)
    ]
