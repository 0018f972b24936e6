"""The KFP face: the step run by kfp.local, and the artifacts that come out."""

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import kfp.local
import pytest
from kfp import dsl

from components.config import Push
from components.evaluate.component import evaluate
from components.shared.manifests import Evaluation
from tests.conftest import ROOT, publish
from tests.evaluate.conftest import LENIENT

Outputs = dict[str, Any]


@pytest.fixture(scope="module")
def registry(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry whose champion is the model itself."""
    root = tmp_path_factory.mktemp("registry")
    publish(model, root)
    return root


@pytest.fixture(
    scope="module",
    params=[(0.5, False), (1.0, False), (0.5, True)],
    ids=["blessed", "not blessed", "not to be published"],
)
def outputs(
    request: pytest.FixtureRequest,
    examples: Path,
    model: Path,
    registry: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Outputs:
    """What the component gives out, for a bound that the model keeps and one that it breaks."""

    @dsl.pipeline
    def gate(min_precision: float, no_push: bool) -> bool:
        ingested = dsl.importer(artifact_uri=str(examples), artifact_class=dsl.Dataset)
        trained = dsl.importer(artifact_uri=str(model), artifact_class=dsl.Model)
        evaluated = evaluate(
            examples=ingested.output,
            model=trained.output,
            destination=str(registry),
            model_name=Push.model_name,
            no_push=no_push,
            **{**dataclasses.asdict(LENIENT), "min_precision": min_precision},
        )
        return evaluated.outputs["Output"]

    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        kfp.local.init(kfp.local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
        min_precision, no_push = request.param
        published = gate(min_precision=min_precision, no_push=no_push).output
    (executed,) = root.glob("*/evaluate/executor_output.json")
    artifacts = json.loads(executed.read_text())["artifacts"]
    return {
        "blessed": min_precision == 0.5,
        "no_push": no_push,
        "published": published,
        "directory": executed.parent,
        **{name: found["artifacts"][0] for name, found in artifacts.items()},
    }


def test_the_gate_is_the_decision_unless_nothing_is_to_be_published(outputs: Outputs) -> None:
    assert outputs["published"] is (outputs["blessed"] and not outputs["no_push"])
    assert Evaluation.read(outputs["directory"] / "evaluation").blessed is outputs["blessed"]


def test_the_champion_comes_from_the_registry(outputs: Outputs) -> None:
    champion = Evaluation.read(outputs["directory"] / "evaluation").champion
    assert champion is not None
    assert champion.name == "version 1"


def test_metrics_are_those_of_the_evaluation(outputs: Outputs) -> None:
    splits = Evaluation.read(outputs["directory"] / "evaluation").splits
    found = outputs["metrics"]["metadata"]
    for name, split in splits.items():
        assert found[f"{name}_precision_at_1"] == split.precision_at_1
        assert found[f"{name}_log_loss"] == split.log_loss
    assert found["test_calibration_error"] == splits["test"].calibration_error


def test_the_confusion_matrix_comes_out(outputs: Outputs) -> None:
    expected = Evaluation.read(outputs["directory"] / "evaluation").splits["test"].confusion
    found = outputs["classification"]["metadata"]["confusionMatrix"]
    assert [spec["displayName"] for spec in found["annotationSpecs"]] == list("0123456789")
    assert [row["row"] for row in found["rows"]] == expected


def test_the_roc_has_finite_falling_thresholds(outputs: Outputs) -> None:
    points = outputs["classification"]["metadata"]["confidenceMetrics"]
    thresholds = [point["confidenceThreshold"] for point in points]
    assert all(math.isfinite(threshold) for threshold in thresholds)
    assert all(high > low for high, low in itertools.pairwise(thresholds))
    assert (points[-1]["recall"], points[-1]["falsePositiveRate"]) == (1, 1)


@pytest.mark.parametrize(
    ("artifact", "file"), [("report", "report.html"), ("model_card", "model_card.md")]
)
def test_pages_come_out_as_they_are(outputs: Outputs, artifact: str, file: str) -> None:
    directory = outputs["directory"]
    assert (directory / artifact).read_text() == (directory / "evaluation" / file).read_text()
