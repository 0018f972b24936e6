"""The page of a registry."""

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.registry.__main__ import registry_commands
from components.registry.registry import Registry
from components.registry.report import render
from components.shared.code import Code
from components.shared.errors import StepError
from tests.browser import Browser, open_browser
from tests.registry.conftest import MakeRelease


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.open(str(tmp_path / "registry"), "digits")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with open_browser(tmp_path / "profile") as opened:
        yield opened


def published(
    registry: Registry, make_release: MakeRelease, *files: Path, count: int = 3, run: str = "run"
) -> Registry:
    """Publishes some versions, promotes each, and rolls the last one back."""
    for number in range(1, count + 1):
        release = make_release(f"{run}-{number}")._replace(
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


# The chart's labels, and all that should lie in the card, as left, top, right, bottom in pixels.
PLACES = """
const place = (one) => { const { left, top, right, bottom } = one.getBoundingClientRect();
  return [left, top, right, bottom]; };
const chart = document.querySelector("svg.chart"), card = chart.closest("section");
return {
  page: document.documentElement.scrollWidth,
  hidden: [...document.querySelectorAll(".scroll")].map((one) => one.scrollWidth - one.clientWidth),
  card: place(card),
  grid: place(chart.querySelector(".grid")),
  labels: [...chart.querySelectorAll("text")].map(place),
  numbers: [...chart.querySelectorAll("text[text-anchor=middle]")].map((one) => +one.textContent),
};
"""


@pytest.mark.parametrize("width", [1280, 360])
def test_the_chart_fills_its_card_and_nothing_is_cut_off_or_too_small(
    registry: Registry,
    make_release: MakeRelease,
    evaluation: Path,
    model: Path,
    tmp_path: Path,
    browser: Browser,
    width: int,
) -> None:
    files = (evaluation / "evaluation.json", model / "model.json")
    published(registry, make_release, *files, count=9, run="digits-2026-11-28-22-45-12-123456")
    for version in registry.versions():
        file = tmp_path / "registry" / "digits" / str(version) / "model.json"
        config = {"learning_rate": version / 7, "hidden": "512,256,128", "optimizer": "momentum"}
        file.write_text(json.dumps({"config": {name: f"{config[name]}" for name in config}}))
    (tmp_path / "page.html").write_text(render(registry), encoding="utf-8")
    browser.emulate(width)
    browser.driver.get((tmp_path / "page.html").as_uri())
    seen = browser.driver.execute_script(PLACES)
    assert seen["page"] <= width
    assert width < 1000 or seen["hidden"] == [0] * len(seen["hidden"])
    left, _, right, _ = seen["card"]
    labels, (start, _, end, _) = seen["labels"], seen["grid"]
    assert start - left < 90 and right - end < 40
    assert all(left < one[0] and one[2] < right and one[3] - one[1] >= 12 for one in labels)
    for one, other in combinations(labels, 2):
        assert one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
    assert seen["numbers"] == [2, 4, 6, 8]


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
