"""Sources by the commands of docs/ingest.md, as they stand there, on what ``make forms`` writes."""

import re
import shlex
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from bench import forms, nights
from components.ingest.__main__ import main as ingest
from components.shared.manifests import SPLITS, Dataset
from components.shared.records import decode
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "ingest.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"\| `python -m components\.ingest --source (.*)` \|", PAGE)
ON_FORMS = [command for command in COMMANDS if "out/forms/" in command]
IMAGES = 60


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for each form."""
    directory = tmp_path_factory.mktemp("forms") / "forms"
    shown = CliRunner().invoke(forms.main, [str(directory), f"--images={IMAGES}"])
    assert shown.exit_code == 0, shown.output
    return directory


def ingested(command: str, output: Path) -> Counter[tuple[bytes, int]]:
    """Runs ingest and returns all images with their labels."""
    shown = CliRunner().invoke(ingest, ["--source", *shlex.split(command), f"--output={output}"])
    assert shown.exit_code == 0, shown.output
    dataset = Dataset.read(output)
    shards = [Path(file) for split in SPLITS for file in dataset.files(output, split)]
    parts = [decode(shard.read_bytes(), dataset.image_shape) for shard in shards]
    return Counter(
        (image.tobytes(), int(label))
        for images, labels in parts
        for image, label in zip(images, labels, strict=True)
    )


@pytest.fixture(scope="module")
def digits(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Counter[tuple[bytes, int]]:
    """All images that are to be found, with their labels."""
    found = ingested(str(written / "idx"), tmp_path_factory.mktemp("ingested") / "examples")
    assert IMAGES // 2 < found.total() <= IMAGES
    return found


@pytest.mark.parametrize("command", ON_FORMS)
def test_a_documented_source_has_all_the_digits(
    command: str, digits: Counter[tuple[bytes, int]], written: Path, tmp_path: Path
) -> None:
    assert ingested(command.replace("out/forms", str(written)), tmp_path / "examples") == digits


def test_every_form_is_documented() -> None:
    assert set(re.findall(r"out/forms/([a-z-]+)", " ".join(ON_FORMS))) == set(forms.FORMS)


@pytest.mark.parametrize("writer", [forms, nights])
def test_what_writes_files_to_try_writes_nothing_else(
    writer: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(writer.main, ["out/some", "--images=60"])
    assert shown.exit_code == 0, shown.output
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["some"]
