"""The training run: restore, take steps, report, save, export."""

import contextlib
import dataclasses
import math
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from components.config import Train
from components.shared.code import this_code
from components.shared.environment import RUN_ID
from components.shared.errors import StepError
from components.shared.history import HISTORY, SHOWN
from components.shared.manifests import SPLITS, Dataset, Model, Score
from components.shared.records import ImageShape
from components.shared.shards import READ_BATCH, Shards
from components.train.batches import Batches, Resident, Share, open_batches
from components.train.checkpoints import Checkpoints
from components.train.distributed.cluster import Cluster
from components.train.distributed.devices import open_strategy, together
from components.train.loop import compile_score, compile_steps
from components.train.model import State
from components.train.networks.network import open_network
from components.train.saved_model import export
from components.train.shown import picture
from components.train.summaries import Summaries

CACHED_BATCH = 5_000  # examples that an evaluation scores at once, where the splits are in memory
STOPPED = 128  # and the signal's number: the exit code that a shell gives a process ended by one

Evaluate = Callable[[Sequence[str]], dict[str, Score]]  # of some splits


def fit(
    config: Train,
    cluster: Cluster,
    dataset: Dataset,
    examples: Path,
    output: Path,
    logs: Path,
    scored: Sequence[str],
) -> Model | None:
    """Trains the network; see :func:`components.train.train.train_and_evaluate`."""
    start = time.perf_counter()
    strategy = open_strategy(cluster, config.worker_timeout)
    if config.batch_size % strategy.num_replicas_in_sync:
        raise StepError(
            f"batch size {config.batch_size} for {strategy.num_replicas_in_sync} devices, expected "
            "a multiple of their number; change --batch-size"
        )
    with strategy.scope():
        greys = dataset.splits["train"]
        network = open_network(
            config,
            dataset.image_shape,
            len(dataset.class_names),
            (greys.pixel_mean, greys.pixel_stddev),
        )
        state = State.initial(config, network)
    checkpoints = Checkpoints(logs, state, config.keep_checkpoints)
    if restored := checkpoints.restore():
        print(f"Going on from {restored}", flush=True)
    split = Shards.of(dataset, examples, "train")
    share = Share.of(split, config.batch_size, cluster.index, cluster.size)
    batches = open_batches(config, share)
    train = _Training(config, cluster, dataset.image_shape, state, strategy, checkpoints)
    if not cluster.chief:
        train.run(batches)
        return None
    evaluate = _evaluation(dataset, examples, state, isinstance(batches, Resident))
    with Summaries(logs, config, state, dataset.image_shape) as summaries:
        scores = train.run(batches, summaries, lambda: evaluate(scored))
        if config.patience:
            state.go_back_to_best()
            scores = {}
        if scores.keys() != set(SPLITS):
            scores = evaluate(SPLITS)
    if shown := picture(config, share):
        (output / SHOWN).write_bytes(shown)
    seconds = time.perf_counter() - start
    took = {"seconds": round(seconds, 3), "steps_per_second": round(train.steps_per_second, 2)}
    return _write(config, dataset, state, scores, took, output, logs)


def _evaluation(dataset: Dataset, examples: Path, state: State, in_memory: bool) -> Evaluate:
    splits = {split: Shards.of(dataset, examples, split) for split in SPLITS}
    score = compile_score(state)
    if in_memory:
        held = {name: list(_tensors(shards, CACHED_BATCH)) for name, shards in splits.items()}
        return lambda names: {name: score(held[name]) for name in names}
    for split in SPLITS[1:]:  # a damaged one ends it before training; train's have been looked at
        splits[split].check()
    return lambda names: {name: score(_tensors(splits[name], READ_BATCH)) for name in names}


def _tensors(shards: Shards, size: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    for images, labels in shards.batches(size):
        yield tf.constant(images), tf.constant(labels)


@dataclasses.dataclass(frozen=True)
class _Training:
    """The steps of one attempt, from where the state is to the last."""

    config: Train
    cluster: Cluster
    image_shape: ImageShape
    state: State
    strategy: tf.distribute.Strategy
    checkpoints: Checkpoints
    paces: list[tuple[int, float]] = dataclasses.field(default_factory=list)  # steps, seconds

    @property
    def steps_per_second(self) -> float:
        """Of all blocks but the first, which is compiled; 0 where there were no others."""
        steps, seconds = zip(*self.paces[1:] or [(0, 1.0)], strict=True)
        return sum(steps) / sum(seconds)

    def run(
        self,
        batches: Batches,
        summaries: Summaries | None = None,
        evaluate: Callable[[], dict[str, Score]] | None = None,
    ) -> dict[str, Score]:
        """Takes the steps that are left.

        Args:
            batches: This worker's share.
            summaries: Given to the chief, which reports and saves.
            evaluate: Scores the splits that are to be at a checkpoint; given to the chief.

        Returns:
            The last evaluation; empty where nothing was left to do.
        """
        step = self.state.step
        if step == self.config.max_steps or self._out_of_patience():
            print(f"Already trained: the checkpoint is of step {step}, the last")
            return {}
        steps = compile_steps(self.config, self.image_shape, self.state, self.strategy)
        scores: dict[str, Score] = {}
        with _signals() as stopped:
            for block in batches.blocks(step):
                start = time.perf_counter()
                with self._waiting(step):
                    figures = {name: float(value) for name, value in steps(block).items()}
                taken = block.order.shape[0]
                step += taken  # as the state has it; reading that takes time
                self._check(step, figures)
                if summaries and evaluate:
                    seconds = time.perf_counter() - start
                    self.paces.append((taken, seconds))
                    summaries.status(step, figures, seconds / taken)
                    if self._due(step, taken):
                        scores = evaluate()
                        if self.config.patience:
                            self.state.keep_if_best(scores["validation"].correct)
                        # Before the checkpoint: a run that goes on from it finds the row.
                        summaries.scores(self.state, scores)
                        self.checkpoints.save()
                        if self._out_of_patience():
                            break
                    elif 0 < self.config.checkpoint_seconds <= self.checkpoints.age:
                        summaries.flush()
                        self.checkpoints.save()
                if by := stopped():
                    self._stop(step, by, summaries)
        return scores

    def _waiting(self, step: int) -> contextlib.AbstractContextManager[None]:
        if self.cluster.size == 1:
            return contextlib.nullcontext()
        return together(self.config.worker_timeout, f"the block after step {step}")

    def _due(self, step: int, taken: int) -> bool:
        return step == self.config.max_steps or step % self.config.checkpoint_every < taken

    def _out_of_patience(self) -> bool:
        """Whether validation has not got better for as long as --patience says; prints so."""
        patience, worse = self.config.patience, int(self.state.worse.numpy())
        if not patience or worse < patience:
            return False
        print(
            f"No better on validation for {worse} evaluations: training ends with the weights of "
            f"step {int(self.state.best_step.numpy())}, the best",
            flush=True,
        )
        return True

    def _check(self, step: int, figures: dict[str, float]) -> None:
        if not math.isfinite(figures["loss"]):
            raise StepError(
                f"the loss is {figures['loss']} at step {step}, learning rate "
                f"{figures['learning_rate']:g}, expected a finite one; lower --learning-rate (last "
                f"good checkpoint: {self.checkpoints.latest or 'none'})"
            )

    def _stop(self, step: int, by: signal.Signals, summaries: Summaries | None) -> None:
        if summaries:
            summaries.flush()
            self.checkpoints.save()
        where = self.checkpoints.latest or "by the chief"
        print(
            f"Stopped by {by.name} at step {step}, saved in {where}; the same command goes on "
            "from there",
            flush=True,
        )
        sys.exit(STOPPED + by)


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], signal.Signals | None]]:
    """Yields a function that returns a SIGTERM or Ctrl-C, instead of either ending the process.

    A second Ctrl-C does end it.
    """
    received: list[signal.Signals] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def note(number: int, _: object) -> None:
        received.append(signal.Signals(number))
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write(
    config: Train,
    dataset: Dataset,
    state: State,
    scores: dict[str, Score],
    took: dict[str, float],
    output: Path,
    logs: Path,
) -> Model:
    manifest = Model(
        **dataclasses.asdict(this_code()),
        run=os.environ.get(RUN_ID, ""),
        config=dataclasses.asdict(config),
        step=state.step,
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
        dataset_fingerprint=dataset.fingerprint,
        versions={"python": platform.python_version(), "tensorflow": tf.__version__},
        scores=scores,
        **took,
    )
    weights, extra = state.answering
    saved_model = output / "saved_model"
    export(weights, dataset.image_shape, saved_model, state.network.logits, extra)
    shutil.copy(logs / HISTORY, output / HISTORY)
    manifest.write(output)
    return manifest
