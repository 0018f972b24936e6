"""What a run tells, read back with TensorBoard's own reader."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.shared.environment import RUN_ID
from components.shared.manifests import Model


@pytest.fixture(scope="module")
def run(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from components.config import Train
    from components.train.train import train_and_evaluate

    directory = tmp_path_factory.mktemp("summaries")
    config = Train(max_steps=60, log_every=20, checkpoint_every=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RUN_ID, "digits-7")
        train_and_evaluate(config, examples, directory / "model", directory / "logs")
    return directory


@pytest.fixture(scope="module")
def events(run: Path) -> EventAccumulator:
    return read(run / "logs/train")


def read(directory: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    accumulator.Reload()
    return accumulator


def steps(events: EventAccumulator, tag: str) -> list[int]:
    return [event.step for event in events.Tensors(tag)]


def test_the_model_names_the_run_that_trained_it(run: Path) -> None:
    assert Model.read(run / "model").run == "digits-7"


@pytest.mark.parametrize("tag", ["loss", "learning_rate", "gradient_norm", "examples_per_second"])
def test_scalars_come_with_every_status_line(events: EventAccumulator, tag: str) -> None:
    assert steps(events, tag) == [20, 40, 60]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_precision_comes_with_every_evaluation_in_one_chart(run: Path, split: str) -> None:
    assert steps(read(run / "logs" / split), "precision_at_1") == [40, 60]


def test_validation_loss_is_beside_the_training_loss(run: Path, events: EventAccumulator) -> None:
    validation = read(run / "logs/validation").Tensors("loss")
    assert [event.step for event in validation] == [40, 60]
    losses = [float(tf.make_ndarray(event.tensor_proto)) for event in validation]
    scores = json.loads((run / "model/model.json").read_text())["scores"]
    assert losses[-1] == pytest.approx(scores["validation"]["loss"], rel=1e-6)
    assert 0 < losses[-1] < 2.5
    assert steps(events, "loss") == [20, 40, 60]


def test_weights_come_as_histograms(events: EventAccumulator) -> None:
    for layer in ("hidden1", "hidden2", "softmax_linear"):
        for kind in ("weights", "biases"):
            assert steps(events, f"{layer}/{kind}") == [40, 60]


def test_graph_shows_the_tutorials_scopes(events: EventAccumulator) -> None:
    names = [node.name for node in events.Graph().node]
    for scope in ("hidden1/", "hidden2/", "softmax_linear/"):
        assert any(name.startswith(scope) for name in names)


def test_hyperparameters_and_a_text_card_are_told(events: EventAccumulator) -> None:
    assert "_hparams_/session_start_info" in events.PluginTagToContent("hparams")
    card = events.Tensors("configuration")[0].tensor_proto.string_val[0].decode()
    assert "| learning_rate | 0.05 |" in card


def test_history_holds_what_the_events_hold(run: Path, events: EventAccumulator) -> None:
    rows = [json.loads(line) for line in (run / "model/history.jsonl").read_text().splitlines()]
    losses = {row["step"]: row["loss/batch"] for row in rows if "loss/batch" in row}
    told = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors("loss")}
    assert losses == told
    assert [row["step"] for row in rows if "precision_at_1/test" in row] == [40, 60]
    names = {name for row in rows for name in row}
    assert not [name for name in names if any(other.startswith(f"{name}/") for other in names)]


def test_events_can_be_read_while_it_trains(start: Callable, tmp_path: Path) -> None:
    from tests.train.conftest import read_until

    process = start(max_steps=2_000, log_every=10, checkpoint_every=20)
    read_until(process, "Test Data Eval:", times=3)
    read_until(process, "Step ")
    told = read(tmp_path / "logs/test")
    assert process.returncode is None
    assert steps(told, "precision_at_1")[:2] == [20, 40]
