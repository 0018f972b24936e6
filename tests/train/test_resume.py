"""A run that was stopped, whichever way, ends as if it had not been."""

import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.shared.errors import StepError
from components.shared.manifests import Model
from components.train.summaries import Summaries
from components.train.train import BEFORE
from tests.conftest import Outcomes
from tests.train.conftest import Start, assert_same_weights, finish, read_until, weights
from tests.train.frozen import weights_of

TrainHere = Callable[..., Path]

# The full count, twenty, takes minutes: make test-kills.
KILLS = int(os.environ.get("KILLS", "1"))
THEN = {"batch_size": 100, "learning_rate": 0.5, "decay": "cosine"}
STEPS = {"max_steps": 240, "batch_size": 100, "log_every": 20, "checkpoint_every": 40}


EVERY_OPTIMIZER_AND_NETWORK = [
    {"momentum": 0.5, "xla": True, "elastic": 1.0},
    {
        "data_path": "streaming",
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "learning_rate": 0.003,
        "affine": 0.1,
    },
    {  # on a CPU not compiled, whatever is said
        "network": "cnn",
        "max_steps": 200,
        "batch_size": 5,
        "optimizer": "momentum",
        "learning_rate": 0.003,
        "average": 0.99,
        "warmup_steps": 50,
    },
    {
        "network": "tests.train.networks.some_keras:build",
        "max_steps": 200,
        "optimizer": "adam",
        "learning_rate": 0.003,
        "label_smoothing": 0.1,
        "patience": 9,
    },
]


@pytest.mark.parametrize("chosen", EVERY_OPTIMIZER_AND_NETWORK, ids=lambda o: "-".join(o))
def test_run_killed_at_random_steps_ends_with_the_same_weights(
    start: Start, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    options: dict[str, Any] = {**STEPS, **chosen}
    options["max_steps"] = max(options["max_steps"], 60 * (KILLS + 2))  # room for every kill
    unbroken = start(tmp_path / "unbroken", **options)
    lines = options["max_steps"] // options["log_every"]
    moments = random.Random(7)
    for kill in range(KILLS):
        process = start(tmp_path / "killed", **options)
        if kill:
            assert read_until(process, "Going on from ")
        # Far enough to pass a checkpoint, and never to the end.
        read_until(process, "Step ", times=moments.randint(3, max(3, lines // (KILLS + 2))))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert "Going on from " in finish(start(tmp_path / "killed", **options))
    finish(unbroken)
    assert_same_weights(tmp_path / "unbroken/logs", tmp_path / "killed/logs")
    histories = [tmp_path / run / "model/history.jsonl" for run in ("unbroken", "killed")]
    assert histories[0].read_bytes() == histories[1].read_bytes()


def test_sigterm_writes_a_checkpoint_to_go_on_from(
    start: Start, train_here: TrainHere, tmp_path: Path
) -> None:
    options = {"max_steps": 500, "log_every": 10, "checkpoint_every": 500}
    process = start(**options)
    read_until(process, "Step ", times=3)
    process.send_signal(signal.SIGTERM)
    stopped = read_until(process, "Stopped by SIGTERM at step ")
    assert process.wait() == 128 + signal.SIGTERM
    assert not (tmp_path / "model").exists()
    step = stopped.partition(" at step ")[2].partition(",")[0]
    assert f"saved in {tmp_path / 'logs'}/ckpt-{step}; the same command goes on" in stopped
    assert f"Going on from {tmp_path / 'logs'}/ckpt-{step}\n" in finish(start(**options))
    train_here(tmp_path / "unbroken", **options)
    assert_same_weights(tmp_path / "logs", tmp_path / "unbroken/logs")


def test_finished_run_started_again_does_nothing_and_says_so(
    train_here: TrainHere,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    outcomes: Outcomes,
) -> None:
    def checkpoints() -> list[tuple[Path, int]]:
        return sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "logs").glob("ckpt-*"))

    train_here(tmp_path, max_steps=100)
    before = checkpoints()
    capsys.readouterr()
    train_here(tmp_path, max_steps=100)
    output = capsys.readouterr().out
    assert "Already trained: the checkpoint is of step 100, the last" in output
    assert "Step " not in output
    assert checkpoints() == before
    reported = outcomes("train")
    assert reported and reported.result == "done"
    assert output.endswith(f"{reported.message}\n")
    assert f"{reported.precision_at_1:.4f}" in reported.message


def test_ctrl_c_writes_a_checkpoint_too(
    train_here: TrainHere,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status = Summaries.status

    def interrupted(self: Summaries, step: int, *rest: Any) -> None:
        status(self, step, *rest)
        if step == 60:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Summaries, "status", interrupted)
    with pytest.raises(SystemExit) as stopped:
        train_here(tmp_path, max_steps=1_000, log_every=20)
    assert stopped.value.code == 128 + signal.SIGINT
    assert f"saved in {tmp_path / 'logs'}/ckpt-60; the same command" in capsys.readouterr().out
    assert (tmp_path / "logs/ckpt-60.index").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("damage", [lambda data: data[:1_000], lambda data: data[:-9] + bytes(9)])
def test_damaged_newest_checkpoint_gives_way_to_the_one_before(
    train_here: TrainHere,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[bytes], bytes],
) -> None:
    options = {"max_steps": 120, "log_every": 20, "checkpoint_every": 40}
    train_here(tmp_path, **options)
    shutil.copytree(tmp_path / "logs", tmp_path / "unbroken")
    data = tmp_path / "logs/ckpt-120.data-00000-of-00001"
    data.write_bytes(damage(data.read_bytes()))
    capsys.readouterr()
    train_here(tmp_path, **options)
    output = capsys.readouterr().out
    assert f"warning: {tmp_path / 'logs'}/ckpt-120: unreadable checkpoint" in output
    assert f"Going on from {tmp_path / 'logs'}/ckpt-80\n" in output
    assert_same_weights(tmp_path / "logs", tmp_path / "unbroken/ckpt-120")


def test_only_damaged_checkpoints_are_an_error(train_here: TrainHere, tmp_path: Path) -> None:
    train_here(tmp_path, max_steps=100)
    (tmp_path / "logs/ckpt-100.index").write_bytes(b"nothing")
    with pytest.raises(StepError, match="none of 1 checkpoints can be read; remove"):
        train_here(tmp_path, max_steps=100)


def test_other_configuration_is_refused_by_name_unless_restarted(
    train_here: TrainHere, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_here(tmp_path, max_steps=100)
    with pytest.raises(StepError, match=r"hidden '128,32' there, '64' here; seed 0 there, 1 here"):
        train_here(tmp_path, max_steps=100, hidden="64", seed=1)
    capsys.readouterr()
    train_here(tmp_path, max_steps=100, hidden="64", seed=1, restart=True)
    assert "Going on" not in capsys.readouterr().out
    train_here(tmp_path, max_steps=100, hidden="64", seed=1)
    assert "Going on" in capsys.readouterr().out


def test_more_steps_extend_a_finished_run_as_if_it_had_had_them(
    train_here: TrainHere, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"log_every": 20, "decay": "none", "momentum": 0.5}
    train_here(tmp_path, max_steps=60, **options)
    train_here(tmp_path, max_steps=100, **options)
    assert f"Going on from {tmp_path / 'logs'}/ckpt-60" in capsys.readouterr().out
    train_here(tmp_path / "at once", max_steps=100, **options)
    assert_same_weights(tmp_path / "logs", tmp_path / "at once/logs")
    with pytest.raises(StepError, match="max_steps 100 there, 60 here"):
        train_here(tmp_path, max_steps=60, **options)


def test_a_run_whose_rate_fell_to_its_end_is_not_extended(
    train_here: TrainHere, tmp_path: Path
) -> None:
    train_here(tmp_path, max_steps=60)
    with pytest.raises(
        StepError, match=r"cannot go on to step 100, .*only a run with --decay none"
    ):
        train_here(tmp_path, max_steps=100)
    train_here(tmp_path, max_steps=100, restart=True)


def test_retention_keeps_the_newest(train_here: TrainHere, tmp_path: Path) -> None:
    train_here(tmp_path, max_steps=120, log_every=20, checkpoint_every=20, keep_checkpoints=2)
    kept = sorted(path.stem for path in (tmp_path / "logs").glob("ckpt-*.index"))
    assert kept == ["ckpt-100", "ckpt-120"]


def test_same_seed_gives_the_same_weights_and_another_does_not(
    train_here: TrainHere, tmp_path: Path
) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        train_here(tmp_path / name, max_steps=100, seed=seed)
    assert_same_weights(tmp_path / "one/logs", tmp_path / "two/logs")
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "one/logs", tmp_path / "three/logs")


def test_a_checkpoint_is_written_in_time_however_long_the_steps_take(
    train_here: TrainHere, tmp_path: Path
) -> None:
    options = {"max_steps": 100, "log_every": 20, "checkpoint_every": 100, "keep_checkpoints": 9}
    whole = train_here(tmp_path / "never", **options, checkpoint_seconds=0)
    assert [path.stem for path in (whole / "logs").glob("ckpt-*.index")] == ["ckpt-100"]
    often = train_here(tmp_path / "often", **options, checkpoint_seconds=1e-6)
    saved = {path.stem for path in (often / "logs").glob("ckpt-*.index")}
    assert saved == {f"ckpt-{step}" for step in (20, 40, 60, 80, 100)}
    assert_same_weights(often / "logs", whole / "logs")
    for path in (often / "logs").glob("ckpt-1*"):  # as if it had been killed in the last block
        path.unlink()
    assert_same_weights(train_here(often, **options) / "logs", whole / "logs")


def test_settings_of_before_give_the_weights_they_always_gave(
    train_here: TrainHere, examples: Path, tmp_path: Path
) -> None:
    train_here(tmp_path, **BEFORE, **THEN, max_steps=250, seed=3, xla=True)
    ended = list(weights(tmp_path / "logs").values())[1:]
    for value, frozen in zip(ended, weights_of(examples, steps=250, seed=3), strict=True):
        np.testing.assert_array_equal(value, frozen)


def test_training_ends_with_the_best_where_validation_gets_no_better(
    train_here: TrainHere, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # At this rate it forgets what it knew.
    options: dict[str, Any] = {"log_every": 20, "checkpoint_every": 20, "patience": 2}
    options |= {"max_steps": 2_000, "batch_size": 100, "optimizer": "sgd"}
    train_here(tmp_path, **options, learning_rate=2.5, decay="none")
    output = capsys.readouterr().out
    model = Model.read(tmp_path / "model")
    rows = [json.loads(line) for line in (tmp_path / "model/history.jsonl").open()]
    precisions = {
        row["step"]: row["precision_at_1/validation"]
        for row in rows
        if "precision_at_1/validation" in row
    }
    best = max(precisions, key=lambda step: (precisions[step], -step))
    last = max(precisions)
    assert last == best + 2 * 20 < 2_000
    assert model.step == best
    assert model.scores["validation"].precision == precisions[best]
    assert "No better on validation for 2 evaluations: training ends with the weights of" in output
    train_here(tmp_path, **options, learning_rate=2.5, decay="none")
    assert f"Already trained: the checkpoint is of step {last}" in capsys.readouterr().out
    again, timed = Model.read(tmp_path / "model"), {"seconds", "steps_per_second"}
    assert again.model_dump(exclude=timed) == model.model_dump(exclude=timed)
