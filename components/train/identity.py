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
LEFT = (FILE, "checkpoint", "ckpt-*", "history.jsonl", "*/events.out.tfevents.*")


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
    if differing == ["max_steps"] and _longer(directory, identity):
        _extend(directory, identity, restart)
    elif differing and not restart:
        found = _found(directory) or {}
        told = [
            f"{name} {found.get(name)!r} there, {identity.get(name)!r} here"
            if name in found or name in identity
            else name
            for name in differing
        ]
        raise StepError(
            f"{directory}: holds checkpoints of another run ({'; '.join(told)}); name another "
            "directory, or discard them with --restart"
        )
    elif differing:
        _discard(directory)
    if not (directory / FILE).exists():
        write_text(directory / FILE, json.dumps(identity, indent=2) + "\n")


def _extend(directory: Path, identity: dict[str, object], restart: bool) -> None:
    """Makes a run one of more steps, which goes on where it ended.

    Raises:
        StepError: Its learning rate fell towards its last step: with more of them, the steps that
            were taken would have been others.
    """
    if identity["decay"] == "none":
        write_text(directory / FILE, json.dumps(identity, indent=2) + "\n")
    elif restart:
        _discard(directory)
    else:
        raise StepError(
            f"{directory}: cannot go on to step {identity['max_steps']}, since with --decay "
            f"{identity['decay']} the learning rate fell towards its last step; only a run with "
            "--decay none can be extended. Name another directory, or discard it with --restart"
        )


def _discard(directory: Path) -> None:
    for path in (path for pattern in LEFT for path in directory.glob(pattern)):
        if path.is_dir():  # of a checkpoint that was not finished
            shutil.rmtree(path)
        else:
            path.unlink()


def _longer(directory: Path, identity: dict[str, object]) -> bool:
    before, now = (_found(directory) or {}).get("max_steps"), identity["max_steps"]
    return isinstance(before, int) and isinstance(now, int) and before < now


def _found(directory: Path) -> dict[str, object] | None:
    """Returns what a directory says of itself, None where it says nothing that can be read."""
    try:
        found = json.loads((directory / FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _differing(directory: Path, identity: dict[str, object]) -> list[str]:
    """Returns the names of what differs, or a phrase on why that cannot be said."""
    if not (directory / FILE).exists():
        # It is there before the first checkpoint is.
        checkpoints = any(directory.glob("ckpt-*"))
        return [f"{FILE}, which says of which, is missing"] if checkpoints else []
    found = _found(directory)
    if found is None:
        return [f"{FILE} is unreadable"]
    return [
        name for name in sorted(found.keys() | identity) if found.get(name) != identity.get(name)
    ]
