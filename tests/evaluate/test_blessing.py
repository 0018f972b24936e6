"""Every rule both ways, by the reason it gives."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from components.config import Evaluate
from components.evaluate.blessing import judge
from components.shared.evaluation import Comparison, Serving, SplitEvaluation, Verdict
from components.shared.manifests import Evaluation
from components.shared.significance import mcnemar
from tests.conftest import ROOT

Judged = Callable[..., dict[str, Verdict]]
SOUND = Serving(latency_ms=1.0, problem="")


@pytest.fixture
def judged(figures: Evaluation) -> Judged:
    """Judges splits of given precision, the rest as sound as can be."""

    def scored(precision: float, weakest: float = 1.0) -> SplitEvaluation:
        split = figures.splits["test"]
        classes = [one.model_copy(update={"recall": 1.0}) for one in split.classes]
        classes[3] = classes[3].model_copy(update={"recall": weakest})
        return split.model_copy(update={"precision_at_1": precision, "classes": classes})

    def run(
        test: float = 0.99,
        train: float = 0.99,
        weakest: float = 1.0,
        champion: tuple[float, int, int] | None = None,
        serving: Serving = SOUND,
        registry: str = "registry/digits",
        **config: Any,
    ) -> dict[str, Verdict]:
        theirs = None
        if champion is not None:
            precision, gained, lost = champion
            theirs = Comparison(
                name="version 7",
                class_shares=figures.splits["test"].class_shares,
                test=scored(precision),
                gained=gained,
                lost=lost,
                p_value=mcnemar(gained, lost),
            )
        splits = {"train": scored(train), "test": scored(test, weakest)}
        verdicts = judge(Evaluate(**config), splits, theirs, serving, registry)
        return {verdict.rule: verdict for verdict in verdicts}

    return run


def test_a_sound_model_passes_every_rule(judged: Judged) -> None:
    verdicts = judged(champion=(0.98, 150, 50))
    assert all(verdict.passed for verdict in verdicts.values())


def test_every_bound_is_a_rule_and_every_rule_is_explained(judged: Judged) -> None:
    rules, unbounded = judged().keys(), {"every_class", "majority_baseline", "signatures"}
    bounds = {field.name for field in dataclasses.fields(Evaluate)}
    assert {name for name in bounds if name.startswith(("min_", "max_"))} == rules - unbounded
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    explained = page.partition("## Rules")[2].partition("\n\n|")[2].partition("\n\n")[0]
    missing = [rule for rule in rules if f"| `{rule}` |" not in explained]
    assert not missing, f"docs/evaluation.md: the table under Rules lacks {', '.join(missing)}"


@pytest.mark.parametrize(("precision", "passed"), [(0.978, True), (0.9779, False)])
def test_min_precision(judged: Judged, precision: float, passed: bool) -> None:
    verdict = judged(test=precision, min_precision=0.978)["min_precision"]
    assert verdict.passed is passed
    assert f"{precision:.4f}" in verdict.reason
    assert "0.978" in verdict.reason


@pytest.mark.parametrize(
    ("champion", "passed", "reason"),
    [
        (None, True, "no champion yet in registry/digits"),
        ((0.98, 200, 100), True, "not below version 7's 0.9800"),
        ((0.99, 100, 100), True, "not below version 7's 0.9900"),
        ((0.9915, 10, 25), True, "within 0.002"),
        ((0.995, 40, 55), True, "may be chance"),
        ((0.995, 20, 70), False, "beyond chance"),
    ],
)
def test_max_regression(
    judged: Judged, champion: tuple[float, int, int] | None, passed: bool, reason: str
) -> None:
    verdict = judged(test=0.99, champion=champion, max_regression=0.002)["max_regression"]
    assert verdict.passed is passed
    assert reason in verdict.reason


def test_a_champion_that_nobody_named_is_not_called_missing(judged: Judged) -> None:
    verdict = judged(registry="")["max_regression"]
    assert verdict.reason.startswith("not compared: no champion was named")
    verdict = judged(registry="", no_champion=True)["max_regression"]
    assert verdict.reason == "judged for itself, without the champion"


@pytest.mark.parametrize(("weakest", "passed"), [(0.95, True), (0.949, False)])
def test_min_class_recall_names_the_weakest_class(
    judged: Judged, weakest: float, passed: bool
) -> None:
    verdict = judged(weakest=weakest, min_class_recall=0.95)["min_class_recall"]
    assert verdict.passed is passed
    assert "weakest class, 3," in verdict.reason


@pytest.mark.parametrize(
    ("train", "passed", "reason"),
    [(0.999, True, "below"), (0.97, True, "above"), (0.9999, True, "below"), (1.0, False, "below")],
)
def test_max_gap(judged: Judged, train: float, passed: bool, reason: str) -> None:
    verdict = judged(train=train, test=0.985, max_gap=0.0149999)["max_gap"]
    assert verdict.passed is passed
    assert reason in verdict.reason


@pytest.mark.parametrize(("latency", "passed"), [(20.0, True), (20.1, False)])
def test_max_latency(judged: Judged, latency: float, passed: bool) -> None:
    serving = Serving(latency_ms=latency, problem="")
    assert judged(serving=serving, max_latency_ms=20)["max_latency_ms"].passed is passed


@pytest.mark.parametrize("problem", ["", "there is no signature examples"])
def test_signatures(judged: Judged, problem: str) -> None:
    verdict = judged(serving=Serving(latency_ms=1, problem=problem))["signatures"]
    assert verdict.passed is not bool(problem)
    assert problem in verdict.reason
