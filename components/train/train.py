"""Training: from a dataset to a SavedModel, exactly resumable at every checkpoint."""

import dataclasses
import math
import platform
import shutil
import time
from pathlib import Path

import tensorflow as tf

from components.shared.errors import StepError
from components.shared.examples import read_split
from components.shared.manifests import SPLITS, Dataset, Model, Score
from components.shared.storage import whole_directory
from components.train.batches import Batches, Resident, open_batches
from components.train.checkpoints import Checkpoints, claim
from components.train.loop import compile_score, compile_steps
from components.train.saved_model import export
from components.train.state import State
from components.train.summaries import HISTORY, Summaries
from pipeline.config import Train

EVALUATION_BATCH = 5_000


def train_and_evaluate(config: Train, examples: Path, output: Path, logs: Path) -> Model:
    """Trains the network, with an evaluation on all splits at each checkpoint.

    Args:
        config: How to train.
        examples: The directory that ingest wrote.
        output: The model directory; it appears whole or not at all.
        logs: Directory of the checkpoints and TensorBoard events. A run started again with the same
            one goes on where it stopped.

    Returns:
        The manifest, also in ``output``.

    Raises:
        StepError: The data or the checkpoints do not fit the configuration, or the loss is not
            finite.
    """
    dataset = Dataset.read(examples)
    _check_size(config, dataset)
    claim(logs, config, dataset.fingerprint)
    state = State.initial(config)
    checkpoints = Checkpoints(logs, state, config.keep_checkpoints)
    if restored := checkpoints.restore():
        print(f"Going on from {restored}", flush=True)
    records = dataset.splits["train"].records
    batches = open_batches(config, records, dataset.files(examples, "train"))
    splits = {
        split: read_split(dataset.files(examples, split), EVALUATION_BATCH) for split in SPLITS
    }
    if isinstance(batches, Resident):
        splits = {split: data.cache() for split, data in splits.items()}

    with Summaries(logs, state.step) as summaries:
        scores = _train(config, state, batches, splits, checkpoints, summaries)

    with whole_directory(output, Model.FILE) as directory:
        export(state.variables, directory / "saved_model")
        shutil.copy(logs / HISTORY, directory / HISTORY)
        manifest = Model(
            config=dataclasses.asdict(config),
            step=state.step,
            dataset_fingerprint=dataset.fingerprint,
            versions={"python": platform.python_version(), "tensorflow": tf.__version__},
            scores=scores,
        )
        manifest.write(directory)
    precision = scores["test"].precision
    print(f"Trained {state.step:,} steps: test precision@1 {precision:.4f}", flush=True)
    return manifest


def _check_size(config: Train, dataset: Dataset) -> None:
    records = dataset.splits["train"].records
    if records < config.batch_size:
        raise StepError(
            f"the training split has {records} records, expected at least one batch of "
            f"{config.batch_size}; lower --batch-size"
        )


def _train(
    config: Train,
    state: State,
    batches: Batches,
    splits: dict[str, tf.data.Dataset],
    checkpoints: Checkpoints,
    summaries: Summaries,
) -> dict[str, Score]:
    """Takes the steps that are left and returns the last evaluation."""
    train_steps = compile_steps(config, state)
    score = compile_score(state)
    if state.step == config.max_steps:
        print(f"Already trained: the checkpoint is of step {state.step}, the last", flush=True)
        return {split: score(data) for split, data in splits.items()}
    scores: dict[str, Score] = {}
    for block in batches.blocks(state.step):
        start = time.perf_counter()
        figures = {name: float(value) for name, value in train_steps(block).items()}
        taken = int(block.order.shape[0])
        summaries.status(state.step, figures, (time.perf_counter() - start) / taken)
        if not math.isfinite(figures["loss"]):
            raise StepError(
                f"the loss is {figures['loss']} at step {state.step}, learning rate "
                f"{figures['learning_rate']:g}, expected a finite one; lower --learning-rate"
            )
        last = state.step == config.max_steps
        if last or state.step % config.checkpoint_every < taken:
            checkpoints.save()
            scores = {split: score(data) for split, data in splits.items()}
            summaries.scores(state.step, scores)
    return scores
