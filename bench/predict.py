"""How fast predict scores, beside Keras ``predict`` and a plain loop: ``python -m bench.predict``.

All score the same digits, MNIST's over and over, in one process and in turn. Keras has its default
batch of 32, and it and the plain loop find the images in memory and keep the answers there; Keras
gets them as scaled floats. The loop from file to file reads an IDX file, and writes the answers and
the images' hashes as Parquet. Predict does that and what else it does: the source's checksum,
statistics, the least sure, manifest. Imports do not count.

python -m bench.predict            rates and ratios
python -m bench.predict --load     time and memory from 100 thousand to 10 million made-up images
python -m bench.predict --workers  one process and two
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import contextlib
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np

from bench import mnist
from bench.memory import high_water
from bench.trained import publish, trained
from components.config import Predict
from components.shared.records import Images

ROUNDS = int(os.environ.get("ROUNDS", "5"))
TIMES = 10  # that MNIST's 60,000 images are repeated
KERAS_IMAGES = 60_000  # since a hundred thousand more show the same
NIGHT = "night-images-idx3-ubyte"
LOAD = (100_000, 1_000_000, 10_000_000)  # images


def write_idx(path: Path, images: Images) -> None:
    """Writes images as an IDX file, not compressed."""
    header = b"\0\0\x08\x03" + b"".join(side.to_bytes(4, "big") for side in images.shape)
    with path.open("wb") as file:
        file.write(header)
        images.tofile(file)


def digits() -> Images:
    """MNIST's training images over and over, uint8 ``[n, 28, 28]``."""
    return np.tile(mnist.read("train")[0], (TIMES, 1, 1))


def keras_predict(model: Path, images: Images) -> Callable[[], int]:
    """Keras predict, its default batch."""
    import tensorflow as tf

    from bench.evaluate import keras_network

    network = keras_network(tf.saved_model.load(str(model / "saved_model")))
    scaled = images[:KERAS_IMAGES].astype(np.float32) / 255

    def run() -> int:
        return len(network.predict(scaled, verbose=0))

    return run


def plain_loop(model: Path, images: Images) -> Callable[[], int]:
    """A plain loop over batches of 5,000."""
    from components.scoring.classifier import BATCH, classifier, load

    classify = classifier(load(model / "saved_model", (28, 28), 10), "the model")

    def run() -> int:
        return sum(
            len(classify(images[start : start + BATCH])) for start in range(0, len(images), BATCH)
        )

    return run


def file_to_file(scratch: Path, model: Path) -> Callable[[], int]:
    """The same from an IDX file to a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from components.scoring.classifier import BATCH, classifier, load
    from components.scoring.columns import answer_columns, answers

    classify = classifier(load(model / "saved_model", (28, 28), 10), "the model")
    schema = pa.schema(answer_columns(10))

    def run() -> int:
        images = np.memmap(scratch / NIGHT, np.uint8, "r", offset=16).reshape(-1, 28, 28)
        with pq.ParquetWriter(scratch / "loop.parquet", schema, use_dictionary=False) as writer:
            for start in range(0, len(images), BATCH):
                some = images[start : start + BATCH]
                rows = answers(some, classify(some))
                writer.write_batch(pa.RecordBatch.from_arrays(rows, schema=schema))
        return len(images)

    return run


def this_project(scratch: Path, registry: Path) -> Callable[[], int]:
    """The predict step."""
    from components.predict.predict import predict

    config = Predict(source=str(scratch / NIGHT), destination=str(registry))

    def run() -> int:
        with contextlib.redirect_stdout(io.StringIO()):
            found = predict(config, scratch / "out")
        assert found is not None
        return found.profile.images

    return run


def side_by_side(scratch: Path, registry: Path, model: Path) -> None:
    """Times all ways in turn, and prints the table."""
    images = digits()
    write_idx(scratch / NIGHT, images)
    ways = {
        "Keras predict": keras_predict(model, images),
        "plain loop": plain_loop(model, images),
        "plain loop, from file to file": file_to_file(scratch, model),
        "this project": this_project(scratch, registry),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            count = run()
            if turn:  # the first warms up
                rates[name].append(count / (time.perf_counter() - start))
    medians = {name: statistics.median(taken) for name, taken in rates.items()}
    print(f"{len(images):,} images, medians of {ROUNDS} turns")
    print("| | images a second | this project is faster by |\n| --- | --- | --- |")
    for name, rate in medians.items():
        print(f"| {name} | {rate:,.0f} | {medians['this project'] / rate:.2f} |")


def as_process(registry: Path, count: int, *beam_arguments: str) -> tuple[float, int]:
    """Predicts made-up images in processes of their own.

    Returns:
        Seconds, and the largest peak of memory of one of its processes, in MiB.
    """
    with tempfile.TemporaryDirectory() as scratch:
        given = {"source": f"fake://{count}", "destination": registry, "output": f"{scratch}/out"}
        options = [f"--{name}={value}" for name, value in given.items()]
        command = [sys.executable, "-m", "components.predict", *options, "--", *beam_arguments]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak = max(_peaks(process))
        if process.returncode:
            raise SystemExit("error: predict failed, see above")
        return time.perf_counter() - start, peak


def _peaks(process: subprocess.Popen) -> Iterator[int]:
    """Yields the peaks of a process and of those below it, MiB, until it ends; Linux only."""
    yield 0
    while process.poll() is None:
        below = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False
        )
        for pid in [str(process.pid), *below.stdout.split()]:
            with contextlib.suppress(OSError, IndexError):
                yield high_water(pid)
        time.sleep(0.1)


def load(registry: Path) -> None:
    """Prints time and memory as the night grows."""
    print("| images | seconds | images a second | peak of a process, MiB |")
    print("| --- | --- | --- | --- |")
    for count in LOAD:
        seconds, peak = as_process(registry, count)
        print(f"| {count:,} | {seconds:.1f} | {count / seconds:,.0f} | {peak:,} |", flush=True)


def workers(registry: Path) -> None:
    """Prints what a second process gains."""
    print("| worker processes | images a second |\n| --- | --- |")
    count = LOAD[1]
    for number in (1, 2):
        flags = ("--direct_running_mode=multi_processing", f"--direct_num_workers={number}")
        taken = [as_process(registry, count, *flags)[0] for _ in range(3)]
        print(f"| {number} | {count / statistics.median(taken):,.0f} |", flush=True)


@click.command()
@click.option("--load", "what", flag_value="load", help="Time and memory as the night grows.")
@click.option("--workers", "what", flag_value="workers", help="One process and two.")
def main(what: str | None) -> None:
    """Measure predict."""
    with trained() as (_, model), tempfile.TemporaryDirectory() as scratch:
        registry = Path(scratch) / "registry"
        publish(model, registry)
        if what is None:
            side_by_side(Path(scratch), registry, model)
        else:
            {"load": load, "workers": workers}[what](registry)


if __name__ == "__main__":
    main()
