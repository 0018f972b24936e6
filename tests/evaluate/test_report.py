"""The pages as text: what shows where, for cases that the browser test does not have."""

import base64
import shutil
from pathlib import Path

import pytest

from components.evaluate.evaluate import evaluate
from components.shared.manifests import Dataset, Evaluation
from components.shared.pages.charts import line_chart, moving_mean, thin
from tests.evaluate.conftest import LENIENT


@pytest.fixture(scope="module")
def beside_champion(examples: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation in a run, with a champion, without a history, of a source of a nasty name."""
    root = tmp_path_factory.mktemp("nasty")
    data = shutil.copytree(examples, root / "examples")
    manifest = Dataset.read(data)
    manifest.model_copy(update={"source": "<script>alert(1)</script>"}).write(data)
    bare = shutil.copytree(model, root / "model", ignore=shutil.ignore_patterns("*.jsonl", "*.png"))
    champion = shutil.copytree(model / "saved_model", root / "5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUN_ID", "mnist-1")
        patch.setenv("RUN_PAGE", "../../index.html")
        evaluate(LENIENT, data, bare, root / "evaluation", champion, "digits")
    return root / "evaluation"


def test_the_champion_stands_beside_the_model(beside_champion: Path) -> None:
    champion = Evaluation.read(beside_champion).champion
    assert champion is not None
    page = (beside_champion / "report.html").read_text()
    row = page.split('<th scope="row">version 5</th>')[1].split("</tr>")[0]
    assert f"<td>{champion.test.correct:,}</td>" in row
    assert f"<b>{champion.test.precision_at_1:.4f}</b>" in row
    assert "no champion was named" not in page


def test_in_a_run_model_and_run_are_named_and_led_to(
    beside_champion: Path, evaluation: Path
) -> None:
    page = (beside_champion / "report.html").read_text()
    assert "model digits <code>" in page
    assert '<a href="../../index.html"><code>mnist-1</code></a>' in page
    for file in ("evaluation.json", "predictions.parquet", "model_card.md"):
        assert f'<a href="{file}">' in page and (beside_champion / file).is_file()
    card = (beside_champion / "model_card.md").read_text()
    assert card.startswith("# Model card: digits\n\n**") and "\n- Run: mnist-1\n" in card
    assert "<a href=" not in (evaluation / "report.html").read_text()
    assert (evaluation / "model_card.md").read_text().startswith("# Model card\n\n**")


def test_without_a_champion_the_report_says_so(evaluation: Path) -> None:
    assert "Not compared: no champion was named" in (evaluation / "report.html").read_text()


def test_it_shows_what_the_network_was_shown_where_that_is_kept(
    beside_champion: Path, evaluation: Path, model: Path
) -> None:
    png = base64.b64encode((model / "shown.png").read_bytes()).decode()
    page = (evaluation / "report.html").read_text()
    assert f'<img class="shown" src="data:image/png;base64,{png}"' in page
    assert "What the network was shown" in page
    assert "What the network was shown" not in (beside_champion / "report.html").read_text()


def test_without_a_history_the_report_says_so(beside_champion: Path, evaluation: Path) -> None:
    assert "without a training history" in (beside_champion / "report.html").read_text()
    assert "without a training history" not in (evaluation / "report.html").read_text()


def test_what_comes_from_outside_is_escaped(beside_champion: Path) -> None:
    page = (beside_champion / "report.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


def test_the_model_card_has_every_split_and_every_rule(evaluation: Path) -> None:
    card = (evaluation / "model_card.md").read_text()
    assert "A network with hidden layers of 128, 32 units (ReLU)" in card
    result = Evaluation.read(evaluation)
    for name, split in result.splits.items():
        assert f"| {name} | {split.examples:,} | {split.correct:,} |" in card
    for verdict in result.verdicts:
        assert f"| {verdict.rule} | holds | {verdict.reason} |" in card


def test_a_line_chart_keeps_its_lines_within_the_axes() -> None:
    chart = line_chart({"loss": [(0, 2.3), (100, 0.1), (200, 0.0)]}, log=True)
    assert chart is not None
    for point in chart.lines[0].points.split():
        x, y = map(float, point.split(","))
        assert chart.x.start <= x <= chart.x.end
        assert chart.y.end <= y <= chart.y.start
    assert chart.lines[0].last == 0.0


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(0.96, 0.98, ["0.96", "0.965", "0.97", "0.975", "0.98"]), (0, 3, ["0", "1", "2", "3"])],
)
def test_ticks_are_round(low: float, high: float, labels: list[str]) -> None:
    chart = line_chart({"line": [(0, low), (1, high)]})
    assert chart is not None
    assert [label for _, label in chart.y.ticks()] == labels


def test_a_line_that_does_not_move_has_a_chart() -> None:
    chart = line_chart({"flat": [(1, 1.0), (2, 1.0)]})
    assert chart is not None
    assert chart.y.ticks()


def test_a_single_point_is_no_line() -> None:
    assert line_chart({"point": [(1, 1.0)]}) is None


def test_moving_mean_and_thinning() -> None:
    points = [(float(i), float(i)) for i in range(10)]
    assert moving_mean(points, 3)[:4] == [(0, 0), (1, 0.5), (2, 1), (3, 2)]
    assert thin(points, 5) == [(1, 1), (3, 3), (5, 5), (7, 7), (9, 9)]
    assert thin(points, 10) == points
