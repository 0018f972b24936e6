"""Evaluation's speed beside Keras ``evaluate`` on the same weights: ``python -m bench.evaluate``.

Keras has its default batch of 32 and computes loss and accuracy alone; in memory it gets the images
as scaled floats. This project computes every figure that ``evaluation.json`` has of a split. All
ways score all three splits in the same process, in turn; the first turn, which compiles, does not
count. A ratio is to Keras on the same kind of input.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click
import keras
import numpy as np
import tensorflow as tf

from bench.trained import trained
from components.evaluate.figures import Tally
from components.evaluate.outputs import PredictionWriter
from components.evaluate.scoring import Batch, Observer, read, score
from components.scoring.classifier import classifier, load
from components.shared.manifests import SPLITS, Dataset

SHAPE, DIGITS = (28, 28), "0123456789"  # MNIST's
ROUNDS = 5
KERAS_BATCH = 32  # Keras's default


def keras_network(model: tf.Module) -> keras.Model:
    """Returns the network of a SavedModel as Keras would have it, with the same weights."""
    units = [bias.shape[0] for bias in model.weights[1::2]]
    activations = ["relu", "relu", None]
    layers = [
        keras.layers.Dense(size, activation)
        for size, activation in zip(units, activations, strict=True)
    ]
    network = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), *layers])
    network.set_weights([variable.numpy() for variable in model.weights])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(loss=loss, metrics=["accuracy"])
    return network


def keras_on_arrays(model: tf.Module, dataset: Dataset, examples: Path) -> Callable[[], int]:
    """Returns the scoring by Keras of images in memory, already scaled to floats."""
    network = keras_network(model)
    arrays = []
    for split in SPLITS:
        images, labels = zip(*read(dataset, examples, split), strict=True)
        arrays.append((np.concatenate(images).astype(np.float32) / 255, np.concatenate(labels)))

    def run() -> int:
        accuracies = [network.evaluate(*split, verbose=0)[1] for split in arrays]
        return sum(round(a * len(s[1])) for a, s in zip(accuracies, arrays, strict=True))

    return run


def keras_on_shards(model: tf.Module, dataset: Dataset, examples: Path) -> Callable[[], int]:
    """Returns the scoring by Keras of TFRecord shards through tf.data."""
    network = keras_network(model)

    def scaled(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kinds = {"image": tf.string, "label": tf.int64}
        columns = {name: tf.io.FixedLenFeature([], kind) for name, kind in kinds.items()}
        features = tf.io.parse_example(serialized, columns)
        images = tf.reshape(tf.io.decode_raw(features["image"], tf.uint8), [-1, *SHAPE])
        return tf.cast(images, tf.float32) / 255, features["label"]

    def run() -> int:
        correct = 0
        for split in SPLITS:
            records = tf.data.TFRecordDataset(dataset.files(examples, split))
            batches = records.batch(KERAS_BATCH).map(scaled, tf.data.AUTOTUNE).prefetch(1)
            correct += round(
                network.evaluate(batches, verbose=0)[1] * dataset.splits[split].records
            )
        return correct

    return run


def this_on_arrays(model: tf.Module, dataset: Dataset, examples: Path) -> Callable[[], int]:
    """Returns the scoring by this project of images in memory."""
    classify = classifier(model, "the model")
    splits = {split: list(read(dataset, examples, split)) for split in SPLITS}

    def run() -> int:
        return sum(tallied(score(classify, split, batches)) for split, batches in splits.items())

    return run


def this_on_shards(
    model: tf.Module, dataset: Dataset, examples: Path, predictions: bool = False
) -> Callable[[], int]:
    """Returns the scoring by this project of TFRecord shards."""
    classify = classifier(model, "the model")

    def run() -> int:
        with (
            tempfile.TemporaryDirectory() as scratch,
            PredictionWriter(Path(scratch) / "p", DIGITS) as rows,
        ):
            observers = [rows] if predictions else []
            return sum(
                tallied(score(classify, split, read(dataset, examples, split)), observers)
                for split in SPLITS
            )

    return run


def tallied(batches: Iterable[Batch], observers: Sequence[Observer] = ()) -> int:
    """Computes every figure of a split, as the step does."""
    tally = Tally(DIGITS)
    for batch in batches:
        for observer in (tally, *observers):
            observer.add(batch)
    return tally.result().correct


@click.command()
def main() -> None:
    """Time both ways of scoring, in turn, and print medians and ratios."""
    with trained() as (examples, model):
        measure(examples, model)


def measure(examples: Path, model: Path) -> None:
    """Times all ways in turn, and prints the table."""
    dataset, loaded = Dataset.read(examples), load(model / "saved_model", SHAPE, len(DIGITS))
    given = loaded, dataset, examples
    ways = {
        "Keras evaluate, from memory": keras_on_arrays(*given),
        "this project, from memory": this_on_arrays(*given),
        "Keras evaluate, from shards": keras_on_shards(*given),
        "this project, from shards": this_on_shards(*given),
        "  and predictions.parquet": this_on_shards(*given, predictions=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        results = set()
        for name, run in ways.items():
            start = time.perf_counter()
            results.add(run())
            if turn:
                seconds[name].append(time.perf_counter() - start)
        if max(results) - min(results) > 2:  # float32 sums may differ in the last bit
            raise SystemExit(f"error: the ways disagree on the correct examples: {results}")
    records = sum(split.records for split in dataset.splits.values())
    print(f"{records:,} examples in three splits, medians of {ROUNDS} turns")
    print(f"{'':<30}{'seconds':>9}{'examples/s':>13}{'ratio':>8}")
    base = 0.0
    for name, taken in seconds.items():
        median = statistics.median(taken)
        base = median if name.startswith("Keras") else base
        print(f"{name:<30}{median:>9.3f}{records / median:>13,.0f}{base / median:>7.1f}x")


if __name__ == "__main__":
    main()
