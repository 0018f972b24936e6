"""What cannot be written is told in one line, and the checkpoint before stays in use."""

from pathlib import Path

import pytest

from components.config import Train
from components.shared.errors import StepError
from components.train.checkpoints import Checkpoints
from components.train.model import State
from components.train.saved_model import export
from tests.limits import small_files

SHAPE, CLASSES = (28, 28), 10


def test_a_checkpoint(tmp_path: Path) -> None:
    state = State.initial(Train(), SHAPE, CLASSES)
    checkpoints = Checkpoints(tmp_path, state, keep=3)
    before = checkpoints.save()
    state.global_step.assign_add(10)
    told = rf"^{tmp_path}: TensorFlow cannot write there: file too large; make room"
    with small_files(10_000), pytest.raises(StepError, match=told):
        checkpoints.save()
    assert Checkpoints(tmp_path, state, keep=3).restore() == before
    assert state.step == 0


def test_a_model(tmp_path: Path) -> None:
    state = State.initial(Train(), SHAPE, CLASSES)
    told = r"model: TensorFlow cannot write there: file too large; make room"
    with small_files(10_000), pytest.raises(StepError, match=told):
        export(state.weights, SHAPE, tmp_path / "model")
