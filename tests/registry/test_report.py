"""The page of a registry."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.registry.__main__ import registry_commands
from components.registry.registry import Registry
from components.registry.report import render
from components.shared.code import Code
from components.shared.errors import StepError
from tests.registry.conftest import MakeRelease


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.open(str(tmp_path / "registry"), "digits")


def published(registry: Registry, make_release: MakeRelease, *files: Path) -> Registry:
    """Publishes three versions, promotes each, and rolls the last one back."""
    for number in (1, 2, 3):
        release = make_release(f"run-{number}")._replace(
            precision_at_1=0.9 + number / 100, code=Code("0.2.0", "0123456789abcdef", number == 2)
        )
        parts = {**release.files, **{path.name: path for path in files}}
        registry.advance(registry.publish(release._replace(files=parts)))
    registry.rollback()
    return registry


def test_page_has_every_version_with_champion_and_rollback(
    registry: Registry, make_release: MakeRelease
) -> None:
    page = render(published(registry, make_release))
    assert "Version 2 is in use" in page
    for number in (1, 2, 3):
        assert f"run-{number}" in page and f"{0.9 + number / 100:.4f}" in page
    assert "earlier champion" in page and ">rolled back</span>" in page
    assert "0.2.0 (0123456789ab with changes)" in page


def test_page_tells_intervals_drift_and_options_where_a_version_has_them(
    registry: Registry, make_release: MakeRelease, evaluation: Path, model: Path
) -> None:
    published(registry, make_release, evaluation / "evaluation.json", model / "model.json")
    page = render(registry)
    assert "95 % interval" in page and "0.00 %" in page
    assert "<code>" in page and page.count("whisker") >= 3


def test_page_needs_nothing_but_itself(registry: Registry, make_release: MakeRelease) -> None:
    page = render(published(registry, make_release))
    assert "src=" not in page and "http" not in page and "@import" not in page


def test_command_writes_the_page(
    registry: Registry, make_release: MakeRelease, tmp_path: Path
) -> None:
    published(registry, make_release)
    output = tmp_path / "page.html"
    where = ["--destination", str(tmp_path / "registry"), "--output", str(output)]
    result = CliRunner().invoke(registry_commands, ["report", *where])
    assert result.exit_code == 0, result.output
    assert "3 versions of digits" in output.read_text(encoding="utf-8")


def test_a_version_leads_to_its_run_where_that_is_there(
    registry: Registry, make_release: MakeRelease, tmp_path: Path
) -> None:
    published(registry, make_release)
    for run in ("run-1", "other"):
        (tmp_path / "the runs" / run).mkdir(parents=True)
        (tmp_path / "the runs" / run / "index.html").touch()
    output = tmp_path / "pages" / "page.html"
    output.parent.mkdir()
    where = ["--destination", str(tmp_path / "registry"), "--runs", str(tmp_path / "the runs")]
    result = CliRunner().invoke(registry_commands, ["report", *where, "--output", str(output)])
    assert result.exit_code == 0, result.output
    page = output.read_text(encoding="utf-8")
    assert page.count("<a href=") == 1
    assert '<a href="../the%20runs/run-1/index.html"><code>run-1</code></a>' in page


SPLIT = {"interval": [0.9, 1.0], "confusion": [[5, 0], [1, 4]]}
FOREIGN = {
    "another manifest": {"accuracy": 0.9},
    "splits of other names": {"dataset_fingerprint": "f", "splits": {"dev": SPLIT}},
    "no test split": {"dataset_fingerprint": "f", "splits": {"train": SPLIT}},
    "a list": [1, 2],
    "text": "x",
    "not a share": {
        "dataset_fingerprint": "f",
        "splits": {"train": SPLIT, "test": SPLIT | {"interval": [float("-inf"), float("nan")]}},
    },
    "a count beyond bounds": {
        "dataset_fingerprint": "f",
        "splits": {"train": SPLIT | {"confusion": [[10**400]]}, "test": SPLIT},
    },
    "a negative count": {
        "dataset_fingerprint": "f",
        "splits": {"train": SPLIT | {"confusion": [[-1, 1]]}, "test": SPLIT},
    },
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
@pytest.mark.parametrize("name", ["evaluation.json", "model.json"])
def test_a_file_of_another_making_takes_nothing_but_its_own_figures(
    registry: Registry, make_release: MakeRelease, tmp_path: Path, name: str, content: object
) -> None:
    file = tmp_path / name
    file.write_text(json.dumps(content))
    published(registry, make_release, file)
    page = render(registry)
    assert "Version 2 is in use" in page and "3 versions" in page
    assert "95 % interval" in page and "nan" not in page and "inf" not in page.replace("info", "")


@pytest.mark.parametrize("damage", ["deep", "binary", "directory", "gone", "link to nothing"])
def test_a_damaged_evaluation_does_not_take_the_page_down(
    registry: Registry, make_release: MakeRelease, tmp_path: Path, damage: str
) -> None:
    published(registry, make_release)
    file = tmp_path / "registry" / "digits" / "2" / "evaluation.json"
    file.unlink()
    if damage == "deep":
        file.write_text("[" * 100_000)
    elif damage == "binary":
        file.write_bytes(bytes(range(256)))
    elif damage == "directory":
        file.mkdir()
    elif damage == "link to nothing":
        file.symlink_to(tmp_path / "nothing")
    assert "3 versions of digits" in render(registry)


def test_an_empty_registry_is_one_line(registry: Registry) -> None:
    with pytest.raises(StepError, match="holds no version of its own; push a model first"):
        render(registry)
