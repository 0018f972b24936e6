"""What a run reports: status lines, TensorBoard events, and the history it hands on."""

import dataclasses
import threading
import time
from pathlib import Path
from typing import Self, TextIO

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram import metadata as histogram_metadata
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from components.config import Train
from components.shared.history import HISTORY, read_history, text_of
from components.shared.manifests import SPLITS, Score
from components.shared.records import ImageShape
from components.shared.storage import write_text
from components.train.checkpoints import writing
from components.train.model import State

BUCKETS = 30  # of a histogram, as many as TensorBoard shows


class Summaries:
    """Writes a run's figures as lines, as TensorBoard events and as ``history.jsonl``.

    Each split has events of its own, in a directory of its name, so that TensorBoard draws the
    three in one chart. The training loss is that of the last batch, the others' of the whole split.

    Events are made by TensorBoard's own library and written by a thread: tf.summary runs operations
    for each of them, which takes a tenth of the time of training. What that thread meets is raised
    where the next event is added.

    A run that goes on from a checkpoint drops the rows of later steps from the history.

    Every method raises a :class:`~components.shared.errors.StepError` where it cannot write events.
    """

    def __init__(
        self, directory: Path, config: Train, state: State, image_shape: ImageShape
    ) -> None:
        self._batch_size = config.batch_size
        # TensorBoard drops an earlier attempt's events of later steps when it sees a restart.
        self._directory = directory
        self._excepthook, threading.excepthook = threading.excepthook, self._is_raised_again
        with writing(directory):
            self._events = {split: EventFileWriter(str(directory / split)) for split in SPLITS}
        self._history = _reopen(directory / HISTORY, state.step)
        card = text_pb("configuration", _card(config))
        self._add(state.step, hparams_pb(dataclasses.asdict(config)), card)
        graph = _graph(state, image_shape).as_graph_def().SerializeToString()
        self._add_event(Event(wall_time=time.time(), graph_def=graph))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._history, writing(self._directory):
            for events in self._events.values():
                events.close()
        threading.excepthook = self._excepthook

    def status(self, step: int, figures: dict[str, float], seconds: float) -> None:
        """Reports a step: its figures, and the seconds it took on average in its block."""
        print(f"Step {step}: loss = {figures['loss']:.2f} ({seconds:.4f} sec per step)", flush=True)
        scalars = {**figures, "examples_per_second": self._batch_size / seconds}
        self._add(step, *(scalar_pb(name, value) for name, value in scalars.items()))
        # MLflow's and DVCLive's files hold a metric each: none may be another's directory.
        names = {"loss": "loss/batch"}
        self._record(step, {names.get(name, name): value for name, value in figures.items()})

    def scores(self, state: State, scores: dict[str, Score]) -> None:
        """Reports an evaluation on all splits, and how the weights are distributed."""
        for split, score in scores.items():
            print(f"{split.capitalize()} Data Eval:\n  {score}", flush=True)
        row: dict[str, float] = {}
        for split, score in scores.items():
            row[f"precision_at_1/{split}"] = score.precision
            figures = {"precision_at_1": score.precision}
            if split != "train" and score.loss is not None:
                row[f"loss/{split}"] = figures["loss"] = score.loss
            scalars = [scalar_pb(name, value) for name, value in figures.items()]
            self._add(state.step, *scalars, split=split)
        weights = [(v.name.removesuffix(":0"), v.numpy()) for v in state.variables.weights]
        self._add(state.step, *(_histogram(name, values) for name, values in weights))
        self._record(state.step, row)
        self.flush()

    def flush(self) -> None:
        """Makes all that was reported readable to others."""
        with writing(self._directory):
            for events in self._events.values():
                events.flush()
        self._history.flush()

    def _add(self, step: int, *summaries: Summary, split: str = "train") -> None:
        merged = Summary(value=[value for summary in summaries for value in summary.value])
        self._add_event(Event(wall_time=time.time(), step=step, summary=merged), split)

    def _add_event(self, event: Event, split: str = "train") -> None:
        with writing(self._directory):
            self._events[split].add_event(event)

    def _is_raised_again(self, failed: threading.ExceptHookArgs) -> None:
        if not isinstance(failed.exc_value, tf.errors.OpError):
            self._excepthook(failed)

    def _record(self, step: int, figures: dict[str, float]) -> None:
        self._history.write(text_of({"step": step, **figures}))


def _reopen(path: Path, step: int) -> TextIO:
    """Opens a history to append to, without its rows of later steps."""
    kept = [text_of(row) for row in read_history(path) if row["step"] <= step]
    write_text(path, "".join(kept))
    return path.open("a", encoding="utf-8")


def _histogram(name: str, values: npt.NDArray[np.float32]) -> Summary:
    """Does what TensorBoard's ``histogram_pb`` does, which takes ten times as long."""
    counts, edges = np.histogram(values, BUCKETS)
    buckets = np.stack([edges[:-1], edges[1:], counts], axis=1)
    value = Summary.Value(
        tag=name,
        metadata=histogram_metadata.create_summary_metadata(None, None),
        tensor=make_tensor_proto(buckets, dtype=np.float64),
    )
    return Summary(value=[value])


def _card(config: Train) -> str:
    rows = "".join(f"| {name} | {value} |\n" for name, value in dataclasses.asdict(config).items())
    return f"| option | value |\n| --- | --- |\n{rows}"


def _graph(state: State, image_shape: ImageShape) -> tf.Graph:
    weights, extra = state.answering
    network = tf.function(
        lambda images: state.network.logits(weights, extra, images, False)[0],
        autograph=False,
    )
    images = tf.TensorSpec([None, *image_shape], tf.uint8, "images")
    return network.get_concrete_function(images).graph
