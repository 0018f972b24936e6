"""Checkpoints: where a run goes on after it stopped; and what TensorFlow says of a disk."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.shared.errors import StepError
from components.train.model import State

PREFIX = "ckpt"
# What TensorFlow raises for a checkpoint cut short, damaged or of other variables; its reader maps
# some of its C++ errors to Python's own.
UNREADABLE = (tf.errors.OpError, AssertionError, IndexError, RuntimeError, ValueError)

_INDEX = re.compile(rf"{PREFIX}-([0-9]+)\.index")  # of a checkpoint; the number is its step


class Checkpoints:
    """The checkpoints of one run, in a directory that outlives its attempts.

    TensorFlow writes a checkpoint's files aside and renames them, so that a crash leaves the one
    before in use.
    """

    def __init__(self, directory: Path, state: State, keep: int) -> None:
        self.latest: str | None = None  # the newest known to be good
        self._saved = time.monotonic()  # or begun
        self._directory = directory
        self._state = state
        self._checkpoint = tf.train.Checkpoint(**_held(state))
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(directory), keep, checkpoint_name=PREFIX
        )

    def restore(self) -> str | None:
        """Restores the newest checkpoint that can be read.

        Returns:
            Its path without suffix, or None if there is none.

        Raises:
            StepError: There are checkpoints, but none can be read. Where none was ever written to
                its end, there is no pointer file either, and nothing to go on from.
        """
        # What lies there counts, not the pointer file: a crash may come between the two.
        steps = {
            int(match[1]): path
            for path in (self._directory.iterdir() if self._directory.is_dir() else ())
            if (match := _INDEX.fullmatch(path.name))
        }
        newest_first = [steps[step] for step in sorted(steps, reverse=True)]
        unfinished = not (self._directory / "checkpoint").exists()
        held = tf.nest.flatten(_held(self._state)) if newest_first and unfinished else []
        initial = [(variable, variable.numpy()) for variable in held]
        for index in newest_first:
            path = str(index.with_suffix(""))
            try:
                self._checkpoint.restore(path).assert_existing_objects_matched()
            except UNREADABLE as error:
                reason = str(error).splitlines()[0]
                print(f"warning: {path}: unreadable checkpoint, trying the one before ({reason})")
            else:
                self.latest = path
                return path
        if newest_first and not unfinished:
            raise StepError(
                f"{self._directory}: none of {len(newest_first)} checkpoints can be read; remove "
                "the directory to start anew"
            )
        if newest_first:
            print("warning: the first checkpoint was not written to its end: training starts anew")
        for variable, value in initial:  # what a torn one may have changed
            variable.assign(value)
        return None

    def save(self) -> str:
        """Writes a checkpoint of the current step and returns its path without suffix.

        Raises:
            StepError: It cannot be written.
        """
        with writing(self._directory):
            self.latest = self._manager.save(checkpoint_number=self._state.step)
        self._saved = time.monotonic()
        return self.latest

    @property
    def age(self) -> float:
        """Seconds since one was written, or since this attempt began."""
        return time.monotonic() - self._saved


def _held(state: State) -> dict[str, Any]:
    """Returns what a checkpoint holds, by name: nothing that the configuration has no use for."""
    weights, extra, slots, average = state.variables
    lists = {"variables": weights, "slots": slots, "extra": extra, "average": average}
    held = {name: variables for name, variables in lists.items() if variables}
    if state.best:
        names = ("best", "best_correct", "best_step", "worse")
        held |= {name: getattr(state, name) for name in names}
    return {**held, "global_step": state.global_step}


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turns what TensorFlow says of a disk that it cannot write to into the project's words.

    Args:
        place: Where it writes in the block, for messages.

    Raises:
        StepError: It cannot.
    """
    try:
        yield
    except tf.errors.OpError as error:
        # "{{node …}} /where/it/writes/part-0; No space left on device [Op:SaveV2]"
        text = str(error.message).strip().splitlines()[0].partition(" [Op:")[0]
        reason = text.rpartition("; ")[2].lower()
        raise StepError(
            f"{place}: TensorFlow cannot write there: {reason}; make room or name another place, "
            "and start again to go on from the last checkpoint"
        ) from None
