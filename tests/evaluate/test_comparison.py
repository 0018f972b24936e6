"""Comparing with the champion."""

from pathlib import Path

import numpy as np

from components.evaluate.comparison import ComparisonTally
from components.shared.manifests import Dataset, Evaluation
from tests.conftest import Command
from tests.evaluate.conftest import LENIENT_OPTIONS, random_batches


def test_both_models_are_counted_example_by_example(examples: Path, tmp_path: Path) -> None:
    ours, theirs = random_batches(3, 200, seed=1), random_batches(3, 200, seed=2)
    answers = iter(batch.probabilities for batch in theirs)
    comparison = ComparisonTally(lambda images: next(answers), tmp_path, Dataset.read(examples))
    for batch in ours:
        comparison.add(batch)
    labels = np.concatenate([batch.labels for batch in ours])
    we = np.concatenate([batch.predicted for batch in ours]) == labels
    they = np.concatenate([batch.predicted for batch in theirs]) == labels
    result = comparison.result()
    assert result.gained == int((we & ~they).sum())
    assert result.lost == int((they & ~we).sum())
    assert result.test.correct == int(they.sum())
    assert result.test.correct + result.gained - result.lost == int(we.sum())


def test_the_registrys_champion_is_found_and_named_with_what_it_was_published_with(
    command: Command, examples: Path, model: Path, published: Path, tmp_path: Path
) -> None:
    given = ("--examples", examples, "--model", model, "--output", tmp_path / "evaluation")
    command("components.evaluate", *given, "--destination", published, *LENIENT_OPTIONS)
    result = Evaluation.read(tmp_path / "evaluation")
    assert result.champion is not None
    assert result.champion.name == "version 1"
    assert result.champion.model_sha256 == result.model_sha256
    assert result.champion.class_shares == result.splits["test"].class_shares


def test_a_champion_is_named_in_one_way(
    command: Command, examples: Path, model: Path, published: Path, tmp_path: Path
) -> None:
    given = ("--examples", examples, "--model", model, "--output", tmp_path / "evaluation")
    both = ("--destination", published, "--champion", published / "digits" / "1")
    process = command("components.evaluate", *given, *both, expect=2)
    assert "--champion and --destination both name a champion" in process.stderr
