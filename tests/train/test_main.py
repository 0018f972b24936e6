"""The command line of train: what it refuses, and how fast."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.shared.manifests import Dataset
from tests.conftest import ROOT, Command


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
        ("--decay", "linear", "'linear' is not one of 'cosine', 'none'"),
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
    command: Command, examples: Path, tmp_path: Path
) -> None:
    process = command(
        *arguments(examples, tmp_path), "--learning-rate", 1e6, "--max-steps", 200, expect=1
    )
    assert "error: the loss is nan at step 100, learning rate 50" in process.stderr
    assert "last good checkpoint: none" in process.stderr
    assert not (tmp_path / "model").exists()


def test_truncated_shard_is_named(command: Command, examples: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(examples, tmp_path / "examples")
    shard = copy / Dataset.read(copy).splits["train"].shards[1].file
    shard.write_bytes(shard.read_bytes()[:100_000])
    process = command(*arguments(copy, tmp_path), "--max-steps", 100, expect=1)
    assert process.stderr.splitlines()[-1].startswith(f"error: {shard}: ")
    assert not (tmp_path / "model").exists()
