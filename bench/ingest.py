"""How fast ingest writes, beside other ways of writing the same images.

python -m bench.ingest            rates and ratios, all in one run
python -m bench.ingest --load     time and memory from 70 thousand to 7 million images
python -m bench.ingest --forms    rate and memory of every form of source, on the same images
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.forms import FORMS
from bench.memory import high_water
from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.manifests import SPLITS, Dataset
from components.shared.records import Images, Labels, decode

Write = Callable[[Path, Images, Labels], None]
LOAD = (70_000, 700_000, 7_000_000)  # images


def ours(output: Path, _: Images, __: Labels) -> None:
    """The ingest step: also unpacks and checks the source, and counts its statistics."""
    ingest(Ingest(), output / "examples")


def _example(image: np.ndarray, label: int) -> bytes:
    import tensorflow as tf

    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(label)])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def plain_loop(output: Path, images: Images, labels: Labels) -> None:
    """One process, one file, no Beam: tf.train.Example and tf.io.TFRecordWriter."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(output / "records")) as writer:
        for image, label in zip(images, labels, strict=True):
            writer.write(_example(image, label))


def beam_map(output: Path, images: Images, labels: Labels) -> None:
    """Beam as in its own examples: an element an image, Map, WriteToTFRecord."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        _ = (
            pipeline
            | beam.Create(list(zip(images, labels.tolist(), strict=True)))
            | beam.MapTuple(_example)
            | beam.io.WriteToTFRecord(str(output / "records"))
        )


def tensorflow_datasets(output: Path, images: Images, labels: Labels) -> None:
    """TensorFlow Datasets with the features of its own MNIST: a PNG and a class."""
    import tensorflow_datasets as tfds

    class Digits(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            features = {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, _: Any) -> dict[str, Iterable]:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield index, {"image": image[..., None], "label": int(label)}

    tfds.disable_progress_bar()
    Digits(data_dir=str(output)).download_and_prepare()


# The least ratio of ours to each, or nothing where it is the limit.
WAYS: dict[Write, float | None] = {
    ours: 1.0,
    plain_loop: None,
    beam_map: 2.5,
    tensorflow_datasets: 10.0,
}


def _read(examples: Path) -> tuple[Images, Labels]:
    dataset = Dataset.read(examples)
    files = [Path(file) for split in SPLITS for file in dataset.files(examples, split)]
    parts = [decode(file.read_bytes(), dataset.image_shape) for file in files]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def compare(rounds: int) -> bool:
    """Prints images a second of each way, and ours as a multiple of it; medians of the rounds."""
    import tensorflow  # noqa: F401  # not to be measured

    rates: dict[Write, list[float]] = {way: [] for way in WAYS}
    try:
        import tensorflow_datasets as _
    except ModuleNotFoundError:
        print("left out, its package is not installed: tensorflow_datasets")
        del rates[tensorflow_datasets]
    with tempfile.TemporaryDirectory() as scratch:
        ours(Path(scratch), np.empty(0, np.uint8), np.empty(0, np.uint8))
        images, labels = _read(Path(scratch) / "examples")
    for _ in range(rounds):
        for way, measured in rates.items():
            with tempfile.TemporaryDirectory() as scratch:
                start = time.perf_counter()
                way(Path(scratch), images, labels)
                measured.append(len(images) / (time.perf_counter() - start))
    medians = {way: statistics.median(measured) for way, measured in rates.items()}
    passed = True
    print(f"{len(images):,} images, median of {rounds} rounds\n")
    print(f"{'':<22}{'images/s':>10}{'ours is':>10}{'wanted':>10}")
    for way, rate in medians.items():
        ratio, wanted = medians[ours] / rate, WAYS[way]
        passed = passed and ratio >= (wanted or 0)
        goal = f"{wanted:.1f}x" if wanted else "limit"
        print(f"{way.__name__:<22}{rate:>10,.0f}{ratio:>9.1f}x{goal:>10}")
    return passed


def load(flags: tuple[str, ...]) -> None:
    """Prints time and peak memory, of the largest process, as the source grows."""
    print(f"{'images':>12}{'seconds':>10}{'images/s':>10}{'peak MiB':>10}")
    for records in LOAD:
        with tempfile.TemporaryDirectory() as scratch:
            seconds, _, peak = _measured(f"fake://{records}", scratch, flags)
        rate = records / seconds
        print(f"{records:>12,}{seconds:>10.1f}{rate:>10,.0f}{peak:>10,}", flush=True)


def forms(flags: tuple[str, ...]) -> None:
    """Prints rate and peak memory for every form, of all of MNIST's images and of a fifth.

    The rate is by the processor's time: forms are compared, and other work on the machine is not.
    """
    with tempfile.TemporaryDirectory() as scratch:
        ours(Path(scratch), np.empty(0, np.uint8), np.empty(0, np.uint8))
        images, labels = _read(Path(scratch) / "examples")
    few = len(images) // 5  # as many as the largest shard of all of them
    print(f"{'':<22}{'images/s':>10}{'of IDX':>10}{'MiB, fifth':>12}{'MiB, all':>10}")
    first = 0.0
    for name, write in FORMS.items():
        with tempfile.TemporaryDirectory() as scratch:
            measured = []
            for part, count in (("few", few), ("all", len(images))):
                source = Path(scratch) / part
                source.mkdir()
                write(source, images[:count], labels[:count])
                measured.append(_measured(str(source), scratch, flags))
        (*_, small), (_, cpu, peak) = measured
        rate = len(images) / cpu
        first = first or rate
        print(f"{name:<22}{rate:>10,.0f}{rate / first:>9.1f}x{small:>12,}{peak:>10,}", flush=True)


def _measured(source: str, scratch: str, flags: tuple[str, ...]) -> tuple[float, float, int]:
    """What ingest takes in a process of its own: seconds, those of the processor, peak MiB."""
    command = [sys.executable, "-m", "bench.ingest", "--one", source, scratch, "--", *flags]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, cpu, peak = process.stdout.split()[-3:]
    return float(seconds), float(cpu), int(peak)


def one(source: str, output: Path, flags: tuple[str, ...]) -> None:
    """Ingests a source; prints its seconds, those of the processor, and its peak memory in MiB."""
    start, cpu = time.perf_counter(), time.process_time()
    ingest(Ingest(source=source), output / "examples", flags)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(seconds, cpu, max(high_water(), children >> 10))
    shutil.rmtree(output / "examples")


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Times each way is measured.")
@click.option("--load", "loaded", is_flag=True, help="Grow the source instead.")
@click.option("--forms", "every_form", is_flag=True, help="Compare the forms of sources.")
@click.option("--one", "single", nargs=2, type=(str, Path), hidden=True)
@click.argument("beam_arguments", nargs=-1)
def main(
    rounds: int,
    loaded: bool,
    every_form: bool,
    single: tuple[str, Path] | None,
    beam_arguments: tuple[str, ...],
) -> None:
    """Measure ingest beside other ways of writing the same images."""
    os.chdir(Path(__file__).resolve().parent.parent)
    if single:
        one(*single, beam_arguments)
    elif every_form:
        forms(beam_arguments)
    elif loaded:
        load(beam_arguments)
    else:
        sys.exit(not compare(rounds))


if __name__ == "__main__":
    main()
