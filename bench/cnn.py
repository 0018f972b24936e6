"""The rate of the convolutional network beside the same network in Keras' own ``fit``.

Prints the table of docs/model.md: ``make bench-cnn``. Each contender is a process of its own, in
turns. This project's is the train step's command line on MNIST, with shifts, status lines and
summaries; Keras, with the same optimizer, has none of these. Keras runs as it comes, compiled by
XLA, and without XLA, by TensorFlow's own convolutions and by oneDNN's, which this project uses.
What the network reaches is measured by ``make bench-accuracy ARGS=cnn``.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench import mnist
from bench.accuracy import ROOT, train
from components.config import Ingest, Train
from components.ingest.ingest import ingest
from components.train.networks import cnn
from components.train.optimizers import ITERATIONS

ROUNDS = int(os.environ.get("ROUNDS", "3"))
STEPS = int(os.environ.get("STEPS", "20"))  # after as many that warm up
# How Keras is run: --xla or not, and whether TensorFlow uses oneDNN.
KERAS = {
    "Keras' `fit`": ("--xla", "0"),
    "Keras' `fit`, without XLA": ("", "0"),
    "Keras' `fit`, without XLA, with oneDNN": ("", "1"),
}


def keras_network(image_shape: tuple[int, int], classes: int) -> Any:
    """Returns the network of networks/cnn.py as a Keras model."""
    from keras import Sequential, layers

    def normalized() -> list[Any]:
        normalization = layers.BatchNormalization(momentum=cnn.MOMENTUM, epsilon=cnn.EPSILON)
        return [normalization, layers.ReLU()]

    hidden: list[Any] = []
    for channels in cnn.CHANNELS:
        hidden.append(layers.Conv2D(channels, 3, padding="same", use_bias=False))
        hidden += [layers.MaxPooling2D(padding="same"), *normalized()]
    hidden += [layers.Flatten(), layers.Dense(cnn.UNITS, use_bias=False), *normalized()]
    hidden.append(layers.Dropout(cnn.DROPOUT))
    return Sequential([layers.Input((*image_shape, 1)), *hidden, layers.Dense(classes)])


def keras_rate(xla: bool) -> float:
    """Trains the network by Keras' fit; returns steps a second after a warm-up."""
    from keras import losses, optimizers

    config = Train()
    network = keras_network((28, 28), 10)
    network.compile(
        optimizers.Muon(config.learning_rate, ns_steps=ITERATIONS),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=xla,
    )
    images, labels = (part[5_000:] for part in mnist.read("train"))
    scaled = (images.astype(np.float32) / np.float32(255))[..., np.newaxis]

    def epoch(steps: int) -> None:
        examples = steps * config.batch_size
        network.fit(scaled[:examples], labels[:examples], config.batch_size, verbose=0)

    epoch(STEPS)
    start = time.perf_counter()
    epoch(STEPS)
    return STEPS / (time.perf_counter() - start)


def run_keras(xla: str, onednn: str) -> float:
    """Returns what :func:`keras_rate` does in a process without this project's settings."""
    environment = {"TF_ENABLE_ONEDNN_OPTS": onednn, "TF_USE_LEGACY_KERAS": "0"}
    output = subprocess.check_output(
        [sys.executable, "-m", "bench.cnn", "--keras", *filter(None, [xla])],
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
    )
    return float(output)


def main() -> None:
    """Takes the rates in turns, and prints their medians."""
    rates: dict[str, list[float]] = {name: [] for name in ("`--network cnn`", *KERAS)}
    with tempfile.TemporaryDirectory() as directory:
        examples = Path(directory) / "examples"
        ingest(Ingest(source=str(mnist.MNIST)), examples)
        options = {"network": "cnn", "max_steps": 2 * STEPS, "log_every": STEPS}
        for number in range(ROUNDS):
            model, _ = train(examples, Path(directory) / str(number), options)
            rates["`--network cnn`"].append(model.steps_per_second)
            for name, settings in KERAS.items():
                rates[name].append(run_keras(*settings))
    print("| | steps a second |")
    print("| --- | --- |")
    for name, measured in rates.items():
        print(f"| {name} | {statistics.median(measured):.2f} |")


if __name__ == "__main__":
    if "--keras" in sys.argv:
        print(keras_rate("--xla" in sys.argv))
    else:
        main()
