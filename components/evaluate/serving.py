"""Whether a SavedModel answers single requests as batches, how fast, and what it refuses."""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from components.evaluate.scoring import Batch
from components.scoring.classifier import Classifier
from components.shared.evaluation import Serving
from components.shared.records import examples

REQUESTS = 50
TOLERANCE = 1e-4  # by which probabilities of one image may depend on how it was asked for


def check(model: tf.Module, classify: Classifier, batch: Batch) -> Serving:
    """Asks a model for the first examples of a batch one by one, and by both its signatures.

    Args:
        model: The SavedModel.
        classify: Its ``serving_default``.
        batch: Of any split.
    """
    images = batch.images[:REQUESTS]
    records = examples(images, batch.labels[:REQUESTS])
    batch_limit = classify(images)
    classify(images[:1])  # the first call of a shape is slower
    single, seconds = [], []
    for image in images:
        start = time.perf_counter()
        single.append(classify(image[None]))
        seconds.append(time.perf_counter() - start)
    problem = ""
    if not np.allclose(np.concatenate(single), batch_limit, atol=TOLERANCE):
        problem = "serving_default answers one image otherwise than the same image in a batch"
    return Serving(
        latency_ms=1_000 * statistics.median(seconds),
        problem=problem
        or _problem_with_examples(model, records, batch_limit)
        or _problem_with_shapes(model, images.shape[1], images.shape[2]),
    )


def _problem_with_examples(model: tf.Module, records: list[bytes], expected: np.ndarray) -> str:
    if "examples" not in model.signatures:
        return "there is no signature examples"
    try:
        said = model.signatures["examples"](examples=tf.constant(records))["probabilities"].numpy()
    except (TypeError, KeyError, ValueError, tf.errors.OpError) as error:
        return f"the signature examples does not take records ({str(error).splitlines()[0]})"
    if said.shape != expected.shape or not np.allclose(said, expected, atol=TOLERANCE):
        return "the signatures serving_default and examples answer differently"
    return ""


def _problem_with_shapes(model: tf.Module, height: int, width: int) -> str:
    """Asks for images of other shapes, which hold as many pixels as some of the right one."""
    others = [
        (1, 2 * height, 2 * width),
        (4, height // 2, width // 2),
        (1, height, width, 3),
        (1, height * width),
    ]
    for shape in others:
        try:
            with _silent():
                said = model.signatures["serving_default"](images=tf.zeros(shape, tf.uint8))
        except (TypeError, ValueError, tf.errors.OpError):
            continue
        answers, asked = len(said["probabilities"]), " x ".join(map(str, shape))
        return (
            f"serving_default gives {answers} answers to images of the shape {asked}, expected it "
            f"to refuse all but n x {height} x {width}"
        )
    return ""


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps TensorFlow from warning of a refusal, which its C++ code does past Python's stderr."""
    before = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
