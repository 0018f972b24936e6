"""The command line of train: what it refuses, and how fast."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from components.config import RECIPES, Train
from components.shared.errors import StepError
from components.shared.manifests import Dataset
from components.shared.records import decode, encode, record_length
from components.train.__main__ import main
from components.train.distributed.cluster import Cluster
from components.train.train import train_and_evaluate
from tests.conftest import ROOT, Command, Outcomes


def arguments(examples: Path, directory: Path) -> tuple[object, ...]:
    return (
        "components.train",
        *("--examples", examples),
        *("--model", directory / "model"),
        *("--logs", directory / "logs"),
    )


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--batch-size", 0, "should be greater than 0, got 0"),
        ("--learning-rate", -1, "should be greater than 0, got -1.0"),
        ("--hidden", "128,0", "should match pattern"),
        ("--hidden", "", "should match pattern"),
        ("--hidden", "128;32", "should match pattern"),
        ("--shift", 9, "should be less than or equal to 3, got 9"),
        ("--network", "../mlp", "should match pattern"),
        ("--average", 1, "should be less than 1, got 1.0"),
        ("--optimizer", "lamb", "'lamb' is not one of 'sgd', 'momentum', 'adam', 'adamw', 'muon'"),
        ("--decay", "steps", "'steps' is not one of 'linear', 'cosine', 'none'"),
    ],
)
def test_wrong_value_is_refused_by_name(
    command: Command, tmp_path: Path, option: str, value: object, expected: str
) -> None:
    process = command(*arguments(tmp_path, tmp_path), option, value, expect=2)
    message = process.stderr.splitlines()[-1]
    assert message.startswith("Error: Invalid value for ")
    assert option in message
    assert expected in message


def test_a_recipe_is_what_it_sets_and_an_option_besides_wins(tmp_path: Path) -> None:
    words = [*map(str, arguments(tmp_path, tmp_path)[1:]), "--elastic=2", "--recipe=best"]
    config = Train.pick(main.make_context("train", words).params)
    assert config == Train(**{**RECIPES["best"], "elastic": 2.0})


def test_examples_that_are_not_there_are_named(command: Command, tmp_path: Path) -> None:
    process = command(*arguments(tmp_path / "nothing", tmp_path), expect=1)
    assert process.stderr == (
        f"error: {tmp_path}/nothing/dataset.json: not found, expected the output of an earlier "
        "step; run that step first\n"
    )


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("", "dataset.json: the file: Invalid JSON: "),
        ('{"image_shape": [28, 28]}', "dataset.json: class_names: Field required"),
    ],
)
def test_damaged_manifest_is_named(
    command: Command, tmp_path: Path, dataset: str, message: str
) -> None:
    (tmp_path / "dataset.json").write_text(dataset)
    process = command(*arguments(tmp_path, tmp_path), expect=1)
    assert message in process.stderr
    assert len(process.stderr.splitlines()) == 1


def test_batch_larger_than_the_data_is_refused(
    command: Command, examples: Path, tmp_path: Path
) -> None:
    process = command(*arguments(examples, tmp_path), "--batch-size", 5_000, expect=1)
    assert "has 4000 records, expected at least one batch of 5000" in process.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "workers", "message"),
    [
        ({"network": "resnet"}, 1, "--network resnet: .* expected cnn, mlp, or path/to/file.py:"),
        ({"network": "network"}, 1, "--network network: there is no such file"),
        ({"warmup_steps": 100, "max_steps": 100}, 1, "100 steps of warm-up, but 100 in all"),
        ({"patience": 1}, 2, "--patience with 2 workers, expected a single process"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    examples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    workers: int,
    message: str,
) -> None:
    addresses = tuple(f"127.0.0.1:{port}" for port in range(1, workers + 1))
    if workers > 1:
        monkeypatch.setenv("TF_CONFIG", Cluster(addresses, 0).tf_config)
    with pytest.raises(StepError, match=message):
        train_and_evaluate(Train(**options), examples, tmp_path / "model", tmp_path / "logs")
    assert not list(tmp_path.iterdir())


def test_refusals_come_before_tensorflow_is_imported(examples: Path, tmp_path: Path) -> None:
    program = (
        "import runpy, sys\n"
        "sys.modules['tensorflow'] = None\n"
        "runpy.run_module('components.train', run_name='__main__')"
    )
    given = arguments(examples, tmp_path)[1:]
    process = subprocess.run(
        [sys.executable, "-c", program, *map(str, given), "--batch-size", "5000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr.startswith("error: the training split has ")


def test_infinite_loss_stops_with_step_rate_and_last_good_checkpoint(
    command: Command, examples: Path, tmp_path: Path, outcomes: Outcomes
) -> None:
    process = command(
        *(*arguments(examples, tmp_path), "--optimizer", "sgd"),
        *("--learning-rate", 1e6, "--max-steps", 200),
        expect=1,
    )
    assert "error: the loss is nan at step 100, learning rate 50" in process.stderr
    assert "last good checkpoint: none" in process.stderr
    reported = outcomes("train")
    assert reported and process.stderr.endswith(f"error: {reported.message}\n")
    assert not (tmp_path / "model").exists()


def _without_the_last_record(data: bytes) -> bytes:
    return data[: -record_length((28, 28))]


def _other_records(data: bytes) -> bytes:
    images, labels = decode(data, (28, 28))
    return encode(images[::-1], labels[::-1])


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("damage", [_without_the_last_record, _other_records])
@pytest.mark.parametrize("data_path", ["resident", "streaming"])
def test_shard_that_is_not_the_one_ingest_wrote_is_refused_before_a_step(
    examples: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    data_path: Literal["resident", "streaming"],
    damage: Callable[[bytes], bytes],
    split: str,
) -> None:
    copy = shutil.copytree(examples, tmp_path / "examples")
    shard = copy / Dataset.read(copy).splits[split].shards[-1].file
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(StepError, match=rf"^{shard}: .* dataset\.json says .*; run ingest again$"):
        train_and_evaluate(Train(data_path=data_path), copy, tmp_path / "model", tmp_path / "logs")
    assert "Step" not in capsys.readouterr().out
    assert not (tmp_path / "model").exists()
