"""A model that is damaged or never answers ends evaluate in one line, and in time."""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from components.evaluate.progress import Progress
from components.scoring.classifier import classifier, load
from components.shared.errors import StepError
from tests.conftest import FUZZ, Command

DIGITS = ((28, 28), 10)


def test_work_that_goes_on_may_take_longer_than_the_limit() -> None:
    progress = Progress("model", 0.5)

    def work() -> str:
        for _ in range(8):
            time.sleep(0.1)
            progress.made()
        return "done"

    assert progress.watch(work) == "done"


def test_what_work_raises_is_raised() -> None:
    def fail() -> None:
        raise StepError("for a reason")

    with pytest.raises(StepError, match="for a reason"):
        Progress("model", 5).watch(fail)


def never(images: tf.Tensor) -> tf.Tensor:
    """Computes for ever."""
    zero = tf.cast(tf.reduce_sum(tf.cast(images, tf.int64)) * 0, tf.float32)
    turned = tf.while_loop(lambda x: x < 1, lambda x: [x * 0], [zero])[0]
    return tf.fill([tf.shape(images)[0], 10], turned)


def test_a_model_that_never_answers_ends_evaluate(
    model_answering: Callable[..., Path], examples: Path, tmp_path: Path, command: Command
) -> None:
    model, output = model_answering(never), tmp_path / "evaluation"
    paths = ("--examples", examples, "--model", model, "--output", output)
    process = command("components.evaluate", *paths, "--model-timeout", 3, expect=1)
    assert process.stderr.splitlines()[-1] == (
        f"error: {model}/saved_model: no answer within 3 s (--model-timeout); train it anew, or "
        "give it longer"
    )
    assert not list(tmp_path.glob("*evaluation*"))


@pytest.mark.fuzz
def test_a_damaged_saved_model_is_told_in_one_line(model: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(model / "saved_model", tmp_path / "saved_model"))
    whole = (damaged / "saved_model.pb").read_bytes()
    moments = random.Random(0)
    told = 0
    for number in range(max(6, FUZZ // 8)):
        data = bytearray(whole)
        if number % 3:
            for _ in range(number):
                data[moments.randrange(len(data))] ^= 1 << moments.randrange(8)
        else:
            del data[moments.randrange(len(data)) :]
        (damaged / "saved_model.pb").write_bytes(data)
        try:
            classify = classifier(load(damaged, *DIGITS), "model")
            classify(tf.zeros([2, 28, 28], tf.uint8))
        except StepError as error:
            told += 1
            assert "\n" not in str(error)
    assert told > 0
