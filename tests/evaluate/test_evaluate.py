"""The step through its command line: what it says, writes, refuses, and survives."""

import contextlib
import dataclasses
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.evaluate.evaluate import evaluate
from components.shared.errors import StepError
from components.shared.manifests import Evaluation, Model
from components.shared.storage import sha256_of_saved_model
from components.train.saved_model import export
from tests.conftest import TEST, Command, Outcomes
from tests.evaluate.conftest import LENIENT, LENIENT_OPTIONS
from tests.forked import Forked

FILES = [
    "evaluation.json",
    "model_card.md",
    "predictions.parquet",
    "reference.json",
    "report.html",
    "samples.npz",
]
KILLS = int(os.environ.get("EVALUATE_KILLS", "2"))


def test_it_says_the_tutorials_lines_every_verdict_and_the_decision(
    command: Command, examples: Path, model: Path, tmp_path: Path, outcomes: Outcomes
) -> None:
    given = ("--examples", examples, "--model", model, "--output", tmp_path / "evaluation")
    said = command("components.evaluate", *given, *LENIENT_OPTIONS).stdout.splitlines()
    result = Evaluation.read(tmp_path / "evaluation")
    for split, figures in result.splits.items():
        line = said[said.index(f"{split.capitalize()} Data Eval:") + 1]
        assert line == (
            f"  Num examples: {figures.examples}  Num correct: {figures.correct}  "
            f"Precision @ 1: {figures.precision_at_1:.4f}"
        )
    for verdict in result.verdicts:
        assert f"  pass {verdict.rule}: {verdict.reason}" in said
    rules = len(result.verdicts)
    assert said[-1].startswith(f"Blessed: all {rules} rules hold, test precision@1 0.")
    reported = outcomes("evaluate")
    assert reported and (reported.result, reported.message) == ("blessed", said[-1])
    assert reported.precision_at_1 == result.splits["test"].precision_at_1
    assert sorted(path.name for path in (tmp_path / "evaluation").iterdir()) == FILES
    assert result.model_sha256 == sha256_of_saved_model(model / "saved_model")
    assert result.warnings == []
    assert result.champion is None


def test_a_model_that_breaks_a_rule_is_no_error_but_not_blessed(
    examples: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    outcomes: Outcomes,
) -> None:
    config = dataclasses.replace(LENIENT, min_precision=0.9999, max_latency_ms=0.000001)
    result = evaluate(config, examples, model, tmp_path / "evaluation")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Not blessed: test precision@1 0.")
    assert last.endswith(" is below 0.9999 (and 1 more)")
    reported = outcomes("evaluate")
    assert reported and (reported.result, reported.message) == ("not blessed", last)
    assert not result.blessed
    assert Evaluation.read(tmp_path / "evaluation") == result


def test_a_champion_that_is_the_model_itself_does_not_stand_in_the_way(
    examples: Path, model: Path, tmp_path: Path
) -> None:
    champion = shutil.copytree(model / "saved_model", tmp_path / "registry" / "digits" / "3")
    result = evaluate(LENIENT, examples, model, tmp_path / "evaluation", champion)
    assert result.blessed
    assert result.champion is not None
    assert result.champion.name == "version 3"
    assert result.champion.model_sha256 == result.model_sha256
    assert (result.champion.gained, result.champion.lost, result.champion.p_value) == (0, 0, 1)
    assert result.champion.test == result.splits["test"]


def test_a_better_champion_keeps_the_model_back(
    examples: Path,
    model: Path,
    model_answering: Callable[[Callable[[tf.Tensor], tf.Tensor]], Path],
    tmp_path: Path,
) -> None:
    always_zero = model_answering(
        lambda images: tf.one_hot(tf.zeros(tf.shape(images)[0], tf.int32), 10)
    )
    config = dataclasses.replace(LENIENT, min_precision=0, min_class_recall=0)
    result = evaluate(config, examples, always_zero, tmp_path / "new", model / "saved_model")
    broken = {verdict.rule: verdict.reason for verdict in result.verdicts if not verdict.passed}
    assert sorted(broken) == ["majority_baseline", "max_regression", "signatures"]
    assert "beyond chance" in broken["max_regression"]
    assert broken["signatures"] == "there is no signature examples"
    assert "the model answers 0 to every test example" in result.warnings
    page = (tmp_path / "new" / "report.html").read_text()
    assert 'class="badge bad"' in page and "the model answers 0 to every test example." in page


def test_a_model_that_never_recognizes_a_class_has_no_green_headline(
    examples: Path, model: Path, tmp_path: Path
) -> None:
    blind = shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("saved_model"))
    weights = [tf.Variable(one) for one in tf.saved_model.load(str(model / "saved_model")).weights]
    weights[-1][3].assign(-1e6)
    export(weights, (28, 28), blind / "saved_model")
    config = dataclasses.replace(LENIENT, min_class_recall=0)
    result = evaluate(config, examples, blind, tmp_path / "new")
    assert result.blessed
    assert result.warnings == ["no test example of 3 is recognized"]
    page = (tmp_path / "new" / "report.html").read_text()
    assert 'class="badge good"' not in page and 'class="badge warn"' in page
    assert "though it never recognizes 1 of 10 classes" in page
    share = max(one.examples for one in result.splits["test"].classes) / TEST
    assert f"answering 1 every time: {share:.4f}" in page


def test_a_model_of_another_dataset_gets_a_warning_everywhere(
    examples: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(model, tmp_path / "model")
    manifest = Model.read(other)
    manifest.model_copy(update={"dataset_fingerprint": "0" * 64}).write(other)
    output = tmp_path / "evaluation"
    result = evaluate(LENIENT, examples, other, output)
    assert result.blessed
    assert "trained on the data set 000000000000" in result.warnings[0]
    assert f"warning: {result.warnings[0]}" in capsys.readouterr().out
    assert result.warnings[0] in (output / "report.html").read_text()
    assert result.warnings[0] in (output / "model_card.md").read_text()


def test_a_failure_midway_leaves_nothing(examples: Path, model: Path, tmp_path: Path) -> None:
    spoiled = shutil.copytree(examples, tmp_path / "examples")
    shard = next((spoiled / "test").iterdir())
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(StepError, match=rf"{shard}: \d+ bytes, dataset.json says \d+; run ingest"):
        evaluate(LENIENT, spoiled, model, tmp_path / "out" / "evaluation")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "expect", "message"),
    [
        (("--model", "nowhere"), 1, "error: nowhere/model.json: not found"),
        (("--min-precision", "1.5"), 2, "--min-precision: should be less than or equal to 1"),
        (("--max-latency-ms", "0"), 2, "--max-latency-ms: should be greater than 0"),
        (("--min-class-recall", "high"), 2, "'high' is not a valid float"),
    ],
)
def test_wrong_options_and_missing_input_are_told_in_one_line(
    command: Command,
    examples: Path,
    model: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    expect: int,
    message: str,
) -> None:
    given = ("--examples", examples, "--model", model, "--output", tmp_path / "evaluation")
    process = command("components.evaluate", *given, *options, expect=expect)
    last = process.stderr.splitlines()[-1]
    assert message.lower() in last.lower()
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "evaluation").exists()


# Evaluates again and again, and says when it starts to.
AGAIN_AND_AGAIN = """
import sys
from pathlib import Path
from components.evaluate.evaluate import evaluate
from tests.evaluate.conftest import LENIENT
while True:
    print("starting", flush=True)
    evaluate(LENIENT, *map(Path, sys.argv[1:]))
"""


def test_killed_at_any_moment_it_leaves_no_evaluation_or_a_whole_one(
    examples: Path, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "evaluation"
    for number in range(KILLS):
        with Forked("-c", AGAIN_AND_AGAIN, examples, model, output) as process:
            assert process.stdout.readline() == "starting\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(random.Random(number).uniform(0, 2))
            process.kill()
        if output.exists():
            assert sorted(path.name for path in output.iterdir()) == FILES
            assert Evaluation.read(output).splits["test"].examples == TEST
            assert pq.read_metadata(output / "predictions.parquet").num_rows == 5_500
    evaluate(LENIENT, examples, model, output)
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation"]  # no leftover is kept
