"""Images of any size and any classes go from the source to what is served, in one process."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.config import Evaluate, Ingest, Train
from components.evaluate.evaluate import evaluate
from components.ingest.ingest import ingest
from components.push.export import _run_litert, _to_litert
from components.shared.errors import StepError
from components.shared.manifests import Dataset, Evaluation, Model
from components.train.train import train_and_evaluate

# What a model of a few steps lives up to.
ANY = Evaluate(min_precision=0, min_class_recall=0, max_gap=1, max_latency_ms=10_000)


class Made(NamedTuple):
    """The directories of one run."""

    examples: Path
    model: Path
    evaluation: Path


def make(directory: Path, source: str, **train: object) -> Made:
    """Ingests, trains for a few steps and evaluates."""
    made = Made(*(directory / name for name in Made._fields))
    ingest(Ingest(source=source, validation_share=0.2, test_share=0.2), made.examples)
    config = Train(**{"max_steps": 6, "log_every": 3, "batch_size": 20, "hidden": "8", **train})  # type: ignore[arg-type]
    train_and_evaluate(config, made.examples, made.model, directory / "logs")
    evaluate(ANY, made.examples, made.model, made.evaluation)
    return made


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The run of 62 classes of images that are higher than wide."""
    return make(tmp_path_factory.mktemp("tall"), "fake://900?classes=62&shape=21x5")


@pytest.mark.parametrize(
    ("source", "train"),
    [
        ("fake://200?classes=2&shape=1x1", {"shift": 0}),
        ("fake://200?classes=3&shape=2x9", {"data_path": "streaming"}),
        ("fake://500?classes=128&shape=3x3", {"xla": False}),
        ("fake://200?shape=256x2", {}),
    ],
)
def test_every_step_follows_the_data(source: str, train: dict[str, object], tmp_path: Path) -> None:
    made = make(tmp_path, source, **train)
    dataset, model = Dataset.read(made.examples), Model.read(made.model)
    assert (model.image_shape, model.class_names) == (dataset.image_shape, dataset.class_names)
    found = Evaluation.read(made.evaluation)
    broken = {verdict.rule for verdict in found.verdicts if not verdict.passed}
    assert broken <= {"every_class", "majority_baseline"}  # so few images, and so few steps
    for name, split in dataset.splits.items():
        assert found.splits[name].examples == split.records
        assert [one.name for one in found.splits[name].classes] == dataset.class_names
        assert [one.examples for one in found.splits[name].classes] == split.labels


def test_predictions_name_the_classes(tall: Made) -> None:
    schema = pq.read_schema(tall.evaluation / "predictions.parquet")
    names = json.loads(schema.metadata[b"class_names"])
    assert names == Dataset.read(tall.examples).class_names
    assert schema.field("probabilities").type.list_size == 62


def test_the_report_shows_many_classes_as_a_picture(tall: Made) -> None:
    page = (tall.evaluation / "report.html").read_text()
    test = Evaluation.read(tall.evaluation).splits["test"]
    cells = sum(count > 0 for row in test.confusion for count in row)
    assert page.count("<title>") == 1 + cells + len(test.calibration)
    assert "21 × 5 pixels, 62 classes" in page


def test_an_export_takes_the_same_images(tall: Made, tmp_path: Path) -> None:
    with np.load(tall.evaluation / "samples.npz") as file:
        images, expected = file["images"], file["probabilities"]
    path = tmp_path / "model.tflite"
    path.write_bytes(_to_litert(tall.model / "saved_model"))
    np.testing.assert_allclose(_run_litert(path, images), expected, atol=1e-4)


def test_a_champion_of_another_kind_is_told_with_the_way_out(tall: Made, tmp_path: Path) -> None:
    made = make(tmp_path, "fake://300?classes=62&shape=5x21")
    reason = r"images: uint8 \[None, 21, 5\], expected images: uint8 \[None, 5, 21\]"
    champion = tall.model / "saved_model"
    with pytest.raises(StepError, match=f"the champion cannot be compared: .*{reason}") as told:
        evaluate(ANY, made.examples, made.model, tmp_path / "beside", champion)
    assert str(told.value).endswith(
        "; publish under another --model-name, or judge the model for itself with --no-champion"
    )
    assert not (tmp_path / "beside").exists()
    alone = Evaluate(**{**ANY.__dict__, "no_champion": True})
    found = evaluate(alone, made.examples, made.model, tmp_path / "alone", champion)
    (verdict,) = (one for one in found.verdicts if one.rule == "max_regression")
    assert verdict.reason == "judged for itself, without the champion"
    assert "Judged for itself" in (tmp_path / "alone" / "report.html").read_text()


def test_classes_of_another_name_are_no_champions_to_compare_with(
    tall: Made, tmp_path: Path
) -> None:
    renamed = Model.read(tall.model)
    names = ["zero", *renamed.class_names[1:]]
    champion = shutil.copytree(tall.model / "saved_model", tmp_path / "3")
    renamed.model_copy(update={"class_names": names}).write(champion)
    with pytest.raises(StepError, match="class 0 is 'zero', in the data set it is '0'"):
        evaluate(ANY, tall.examples, tall.model, tmp_path / "out", champion)


def test_a_shift_out_of_the_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"a shift of 1 pixels, but images of 1 x 9.*--shift"):
        make(tmp_path, "fake://200?shape=1x9")
