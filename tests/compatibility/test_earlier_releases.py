"""What an earlier release wrote is read, judged beside, promoted, pruned and predicted with."""

import json
import tarfile
from pathlib import Path

import pytest

from components.config import VERSION
from components.registry.registry import Registry
from components.shared.manifests import Dataset, Evaluation, Model
from components.shared.predictions import Drift, Predictions, Reference
from tests.conftest import Command

HERE = Path(__file__).parent
RELEASES = sorted(path.name.removesuffix(".tar.gz") for path in HERE.glob("*.tar.gz"))
LOOSE = ("--min-precision=0", "--min-class-recall=0", "--max-gap=1", "--max-latency-ms=10000")


@pytest.fixture(params=RELEASES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory with what a release wrote."""
    with tarfile.open(HERE / f"{request.param}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_each_earlier_release_is_here() -> None:
    assert {"0.1.0", "0.2.0"} <= set(RELEASES)
    assert VERSION not in RELEASES or VERSION == "0.2.0"


def test_every_manifest_is_read(written: Path) -> None:
    dataset = Dataset.read(written / "dataset")
    assert dataset.class_names == [str(digit) for digit in range(10)]
    assert dataset.image_shape == (28, 28)
    model = Model.read(written / "model")
    assert model.class_names == dataset.class_names
    assert model.dataset_fingerprint == dataset.fingerprint
    assert Evaluation.read(written / "evaluation").blessed
    for kind, name in ((Predictions, "predictions"), (Reference, "evaluation"), (Drift, "drift")):
        if (written / name / kind.FILE).exists():
            kind.read(written / name)


def test_its_registry_is_listed_promoted_rolled_back_and_pruned(
    written: Path, command: Command
) -> None:
    place = ("--destination", written / "registry")
    listed = command("components.registry", "list", *place).stdout
    assert "champion" in listed and "run-1" in listed and "run-2" in listed
    command("components.registry", "verify", "2", *place)
    command("components.registry", "rollback", *place)
    registry = Registry.open(str(written / "registry"), "digits")
    assert registry.in_use() == 1
    command("components.registry", "promote", "2", *place)
    assert registry.in_use() == 2
    command("components.registry", "prune", "--keep", "1", *place)
    assert registry.versions() == [2]


def test_its_champion_is_compared(written: Path, command: Command) -> None:
    new = written / "new"
    data = ("--examples", written / "dataset")
    command(
        *("components.train", *data, "--model", new / "model", "--logs", new / "logs"),
        *("--max-steps=20", "--log-every=20", "--batch-size=20", "--hidden=8"),
    )
    judged = ("--model", new / "model", "--output", new / "evaluation", *LOOSE)
    command(
        *("components.evaluate", *data, *judged),
        *("--champion", written / "registry" / "digits" / "2", "--max-regression=1"),
    )
    found = json.loads((new / "evaluation" / "evaluation.json").read_text())["champion"]
    assert found["name"] == "version 2"


def test_a_model_of_today_is_published_after_its_versions(written: Path, command: Command) -> None:
    new = written / "new"
    registry = ("--destination", written / "registry")
    data = ("--examples", new / "dataset")
    command(*("components.ingest", "--source=fake://2000", "--output", new / "dataset"))
    command(
        *("components.train", *data, "--model", new / "model", "--logs", new / "logs"),
        *("--max-steps=300", "--batch-size=20", "--hidden=8"),
    )
    command(
        *("components.evaluate", *data, "--model", new / "model", "--output", new / "evaluation"),
        *(*LOOSE, *registry, "--max-regression=1", "--max-share-change=1"),
    )
    command(
        *("components.push", "--model", new / "model", "--evaluation", new / "evaluation"),
        *(*registry, "--max-serving-ms=10000"),
    )
    assert Registry.open(str(written / "registry"), "digits").versions() == [1, 2, 3]


@pytest.mark.parametrize("written", ["0.2.0"], indirect=True)
def test_what_it_evaluated_is_published(written: Path, command: Command) -> None:
    """Its sum of a model had TensorFlow's random fingerprint in it."""
    destination = written / "elsewhere"
    judged = ("--model", written / "model", "--evaluation", written / "evaluation")
    command("components.push", *judged, "--destination", destination, "--max-serving-ms=10000")
    assert Registry.open(str(destination), "digits").versions() == [1]


def test_its_versions_are_copied(written: Path, command: Command) -> None:
    """They came without samples, and the first release's examples have to have a label."""
    place = ("--destination", written / "registry", "--to", written / "elsewhere")
    for _ in range(2):
        command("components.registry", "copy", 1, *place, "--max-serving-ms=10000")
    elsewhere = Registry.open(str(written / "elsewhere"), "digits")
    assert elsewhere.versions() == [1] and elsewhere.verify(1) == []
    assert elsewhere.manifest(1).run_id == "run-1"


def test_its_champion_predicts(written: Path, command: Command) -> None:
    output = written / "predicted"
    registry = ("--destination", written / "registry")
    command("components.predict", "--source=fake://30", *registry, "--output", output)
    assert sum(file.records for file in Predictions.read(output).files) == 30
