"""Finding the champion, and comparing with it."""

from pathlib import Path

import numpy as np
import pytest

from components.evaluate.champion import Comparison, champion_model
from components.shared.errors import StepError
from tests.evaluate.conftest import random_batches


def test_a_registry_without_the_model_has_no_champion(tmp_path: Path) -> None:
    assert champion_model(str(tmp_path), "digits") is None
    assert champion_model(str(tmp_path / "nowhere"), "digits") is None


def test_the_champion_is_the_version_that_champion_json_names(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        (tmp_path / "digits" / str(version)).mkdir(parents=True)
    (tmp_path / "digits" / "champion.json").write_text('{"version": 2}')
    assert champion_model(str(tmp_path), "digits") == tmp_path / "digits" / "2"


def test_a_champion_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "champion.json").write_text('{"version": 2}')
    with pytest.raises(StepError, match=r"version 2 is not in .* promote another"):
        champion_model(str(tmp_path), "digits")


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense"])
def test_an_unreadable_champion_json(tmp_path: Path, content: str) -> None:
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "champion.json").write_text(content)
    with pytest.raises(StepError, match=r"champion\.json: unreadable"):
        champion_model(str(tmp_path), "digits")


def test_both_models_are_counted_example_by_example() -> None:
    ours, theirs = random_batches(3, 200, seed=1), random_batches(3, 200, seed=2)
    answers = iter(batch.probabilities for batch in theirs)
    comparison = Comparison(lambda images: next(answers), "version 4")
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
