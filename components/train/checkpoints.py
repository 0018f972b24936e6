"""Checkpoints: where a run goes on after it stopped."""

import dataclasses
import json
from pathlib import Path

import tensorflow as tf

from components.shared.errors import StepError
from components.shared.storage import write_text
from components.train.state import State
from pipeline.config import Train

IDENTITY = "run.json"
# These may change between the attempts of a run: they do not touch the weights.
FREE = {"keep_checkpoints", "checkpoint_every", "resident_mib"}


class Checkpoints:
    """The checkpoints of one run, in a directory that outlives its attempts.

    TensorFlow writes a checkpoint's files first and the pointer to it last, so that a crash leaves
    the one before in use.
    """

    def __init__(self, directory: Path, state: State, keep: int) -> None:
        self._step = state.global_step
        self._checkpoint = tf.train.Checkpoint(
            variables=state.variables, global_step=state.global_step
        )
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(directory), keep)

    def restore(self) -> str | None:
        """Restores the newest checkpoint that can be read.

        Returns:
            Its path, or None if there is none.

        Raises:
            StepError: There are checkpoints, but none can be read.
        """
        newest_first = self._manager.checkpoints[::-1]
        for path in newest_first:
            try:
                self._checkpoint.restore(path).assert_consumed()
            except (tf.errors.OpError, AssertionError, ValueError) as error:
                reason = str(error).splitlines()[0]
                print(f"warning: {path}: unreadable checkpoint, trying the one before ({reason})")
            else:
                return path
        if newest_first:
            raise StepError(
                f"{newest_first[0]}: no checkpoint can be read; remove the directory to start anew"
            )
        return None

    def save(self) -> str:
        """Writes a checkpoint of the current step and returns its path."""
        return self._manager.save(checkpoint_number=self._step)


def claim(directory: Path, config: Train, fingerprint: str) -> None:
    """Makes a directory this run's: its checkpoints must be of the same configuration and data.

    Raises:
        StepError: They are of others; names what differs.
    """
    identity = {
        name: value for name, value in dataclasses.asdict(config).items() if name not in FREE
    }
    identity["dataset"] = fingerprint
    path = directory / IDENTITY
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(identity, indent=2) + "\n")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    differing = [
        f"{name} {found.get(name)!r} there, {identity.get(name)!r} here"
        for name in sorted(found.keys() | identity)
        if found.get(name) != identity.get(name)
    ]
    if differing:
        raise StepError(
            f"{directory}: holds checkpoints of another run ({'; '.join(differing)}); "
            "name another directory or remove this one"
        )
