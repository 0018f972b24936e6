"""The fresh process of infra validation: loads a SavedModel, answers samples, measures.

Prints one line: a :class:`components.registry.state.Validation` as JSON.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.registry.state import Validation
from components.shared.command_line import exit_on_error
from components.shared.errors import StepError, errors_as_step_error
from components.shared.process import end_with_parent
from components.shared.storage import files_of

CALLS = 30  # measured at each batch size; the median counts
BATCHES = (1, 100)
# What of a version is the SavedModel; the rest is beside it.
SAVED_MODEL = ("saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra")


def main(saved_model: Path, samples: Path | None = None) -> None:
    """Validates a SavedModel, on random images where there are no samples of its answers."""
    model = _load(saved_model)
    images, expected = _read(samples) if samples else _draw(model)
    answers = {
        "serving_default": _answer(model, "serving_default", images=tf.constant(images)),
        "examples": _answer(
            model, "examples", examples=_examples(images, labelled=samples is None)
        ),
    }
    for name, probabilities in answers.items():
        if probabilities.shape != expected.shape:
            raise StepError(
                f"{saved_model}: signature {name} gives {list(probabilities.shape)}, expected "
                f"{list(expected.shape)}"
            )
    signature = model.signatures["serving_default"]
    found = Validation(
        samples=len(images),
        largest_difference=max(
            float(np.abs(probabilities - expected).max()) for probabilities in answers.values()
        ),
        latency_ms={batch: _latency(signature, images, batch) for batch in BATCHES},
        size_bytes=sum(
            path.stat().st_size
            for name, path in files_of(saved_model).items()
            if name.partition("/")[0] in SAVED_MODEL
        ),
    )
    print(found.model_dump_json())


def _read(samples: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns images, and the probabilities that evaluate saw for them."""
    with np.load(samples, allow_pickle=False) as file:
        return file["images"], file["probabilities"]


def _draw(model: tf.Module) -> tuple[np.ndarray, np.ndarray]:
    """Returns random images, and what one signature says of them, for the other to say too."""
    expected = _signature(model, "serving_default").structured_input_signature[1]["images"]
    shape = (100, *expected.shape[1:])
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return images, _answer(model, "serving_default", images=tf.constant(images))


def _load(saved_model: Path) -> tf.Module:
    with errors_as_step_error(saved_model, "does not load", "train it anew"):
        return tf.saved_model.load(str(saved_model))


def _signature(model: tf.Module, name: str) -> Any:
    if name not in model.signatures:
        found = ", ".join(model.signatures) or "none"
        raise StepError(f"the model has the signatures {found}, expected {name} among them")
    return model.signatures[name]


def _answer(model: tf.Module, name: str, **inputs: tf.Tensor) -> np.ndarray:
    signature = _signature(model, name)
    with errors_as_step_error(f"signature {name}", "does not answer", "train it anew"):
        return signature(**inputs)["probabilities"].numpy()


def _examples(images: np.ndarray, labelled: bool) -> tf.Tensor:
    """Returns the images as serialized ``tf.train.Example`` records, string ``[n]``.

    Args:
        images: uint8 ``[n, height, width]``.
        labelled: Whether they have a label, which only models of the first release ask for.
    """

    def example(image: np.ndarray) -> bytes:
        pixels = tf.train.BytesList(value=[image.tobytes()])
        feature = {"image": tf.train.Feature(bytes_list=pixels)}
        if labelled:
            feature["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[0]))
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    return tf.constant([example(image) for image in images])


def _latency(signature: Callable[..., Any], images: np.ndarray, batch: int) -> float:
    """Returns the median time of a request, in ms, without the first ones."""
    request = tf.constant(np.resize(images, (batch, *images.shape[1:])))
    times = []
    for _ in range(CALLS + 3):
        start = time.perf_counter()
        signature(images=request)["probabilities"].numpy()
        times.append(time.perf_counter() - start)
    return 1_000 * statistics.median(times[3:])


if __name__ == "__main__":
    end_with_parent()
    with exit_on_error():
        main(*map(Path, sys.argv[1:3]))
