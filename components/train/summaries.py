"""What a run tells: status lines for people, TensorBoard summaries, the history it hands on."""

import json
from pathlib import Path
from typing import Self

import tensorflow as tf

from components.shared.manifests import Score

HISTORY = "history.jsonl"


class Summaries:
    """Writes the figures of a run as lines, as TensorBoard events and as ``history.jsonl``.

    A run that goes on from a checkpoint forgets what it had told of later steps.
    """

    def __init__(self, directory: Path, step: int) -> None:
        self._events = tf.summary.create_file_writer(str(directory))
        path = directory / HISTORY
        kept = []
        if path.exists():
            rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
            # A killed run may have left half a line at the end.
            whole = [row for row in rows if row.endswith("\n")]
            kept = [row for row in whole if json.loads(row)["step"] <= step]
        path.write_text("".join(kept), encoding="utf-8")
        self._history = path.open("a", encoding="utf-8")

    def status(self, step: int, figures: dict[str, float], seconds: float) -> None:
        """Tells of a step: its figures, and the seconds it took."""
        print(f"Step {step}: loss = {figures['loss']:.2f} ({seconds:.4f} sec)", flush=True)
        with self._events.as_default(step):
            for name, value in figures.items():
                tf.summary.scalar(name, value)
            tf.summary.scalar("seconds_a_step", seconds)
        self._record(step, figures)

    def scores(self, step: int, scores: dict[str, Score]) -> None:
        """Tells of an evaluation on all splits."""
        with self._events.as_default(step):
            for split, score in scores.items():
                print(f"{split.capitalize()} Data Eval:\n  {score}", flush=True)
                tf.summary.scalar(f"precision_at_1/{split}", score.precision)
        self._record(step, {f"precision_at_1/{s}": score.precision for s, score in scores.items()})
        self._events.flush()
        self._history.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()
        self._history.close()

    def _record(self, step: int, figures: dict[str, float]) -> None:
        self._history.write(json.dumps({"step": step, **figures}) + "\n")
