"""What cannot be written is told in one line, and the checkpoint before stays in use."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.config import Train
from components.shared.errors import StepError
from components.train.checkpoints import Checkpoints
from components.train.loop import Steps, compile_steps
from components.train.model import State
from components.train.networks.network import open_network
from components.train.saved_model import export
from components.train.summaries import Summaries
from tests.limits import small_files
from tests.train.test_loop import block_of_noise

SHAPE, CLASSES = (28, 28), 10


def test_a_checkpoint(tmp_path: Path) -> None:
    state = State.initial(Train(), open_network(Train(), SHAPE, CLASSES))
    checkpoints = Checkpoints(tmp_path, state, keep=3)
    before = checkpoints.save()
    state.global_step.assign_add(10)
    told = rf"^{tmp_path}: TensorFlow cannot write there: file too large; make room"
    with small_files(10_000), pytest.raises(StepError, match=told):
        checkpoints.save()
    assert Checkpoints(tmp_path, state, keep=3).restore() == before
    assert state.step == 0


@pytest.mark.parametrize("torn", ["index", "data-00000-of-00001"])
def test_a_first_checkpoint_that_was_broken_off_is_started_anew(
    tmp_path: Path, torn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Train(xla=False)
    state = State.initial(config, open_network(config, SHAPE, CLASSES))
    checkpoints = Checkpoints(tmp_path, state, keep=3)
    initial = [weight.numpy() for weight in state.variables.weights]
    for weight in state.variables.weights:
        weight.assign_add(tf.ones_like(weight))
    path = Path(f"{checkpoints.save()}.{torn}")
    path.write_bytes(path.read_bytes()[:-100] + (b"" if torn == "index" else bytes(100)))
    with pytest.raises(StepError, match="none of 1 checkpoints can be read"):
        Checkpoints(tmp_path, state, keep=3).restore()
    (tmp_path / "checkpoint").unlink()  # written after it
    for weight, value in zip(state.variables.weights, initial, strict=True):
        weight.assign(value)
    assert Checkpoints(tmp_path, state, keep=3).restore() is None
    assert "was not written to its end: training starts anew" in capsys.readouterr().out
    for weight, value in zip(state.variables.weights, initial, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = State.initial(Train(), open_network(Train(), SHAPE, CLASSES))
    told = rf"^{tmp_path}: TensorFlow cannot write there: file too large; make room"
    with (
        small_files(10),
        pytest.raises(StepError, match=told),
        Summaries(tmp_path, Train(), state, SHAPE) as summaries,
    ):
        summaries.flush()
    assert capsys.readouterr().err == ""


def test_a_model(tmp_path: Path) -> None:
    state = State.initial(Train(), open_network(Train(), SHAPE, CLASSES))
    told = r"model: TensorFlow cannot write there: file too large; make room"
    with small_files(10_000), pytest.raises(StepError, match=told):
        export(state.answering[0], SHAPE, tmp_path / "model")


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"network": "cnn", "optimizer": "adam", "average": 0.9, "patience": 3},
        {"network": "tests.train.networks.some_keras:build", "optimizer": "momentum"},
    ],
    ids=lambda options: "-".join(options),
)
def test_a_checkpoint_holds_all_that_a_step_changes(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    config = Train(max_steps=40, learning_rate=0.01, xla=False, **options)
    first, second = block_of_noise(2, 5, radius=1), block_of_noise(3, 5, radius=1)

    def run() -> tuple[State, Checkpoints, Steps]:
        state = State.initial(config, open_network(config, SHAPE, CLASSES))
        checkpoints = Checkpoints(tmp_path, state, keep=3)
        return state, checkpoints, compile_steps(config, SHAPE, state, tf.distribute.get_strategy())

    state, checkpoints, steps = run()
    steps(first)
    if config.patience:
        state.keep_if_best(7)
    checkpoints.save()
    again, others, steps_again = run()
    assert others.restore()
    for one in (steps, steps_again):
        one(second)
    for part in ("variables", "best", "best_correct", "global_step"):
        pair = (tf.nest.flatten(getattr(each, part)) for each in (state, again))
        for value, other in zip(*pair, strict=True):
            np.testing.assert_array_equal(value, other)
