"""The directory of a run and the link to the latest."""

from pathlib import Path

import pytest

from components.shared.errors import StepError
from pipeline.local.runs import Run, point_latest
from pipeline.pipelines import MNIST


def test_a_run_says_what_it_is_from_the_start(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "runs", MNIST, {"max_steps": 7})
    assert Run.read(tmp_path / "runs" / run.name) == run
    assert run.outcome == "unfinished" and run.parameters == {"max_steps": 7}


def test_a_runs_file_has_no_secrets(tmp_path: Path) -> None:
    given = {"source": "https://me:secret@example.com/", "webhook": "https://hooks/secret"}
    run = Run.begin(tmp_path, MNIST, given)
    assert "secret" not in (tmp_path / run.name / Run.FILE).read_text()


@pytest.mark.parametrize(
    ("name", "content"), [("runs", "a file"), ("runs/latest", "a file"), ("runs/latest/x", "")]
)
def test_where_no_run_can_be_one_line_says_so(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StepError, match=r"runs.*; .*name another directory with --runs"):
        Run.begin(tmp_path / "runs", MNIST, {})
    assert sorted(tmp_path.rglob("*")) == before


def test_latest_moves_where_it_is_wanted_and_never_is_nothing(tmp_path: Path) -> None:
    one, two = (tmp_path / Run.begin(tmp_path, MNIST, {}).name for _ in range(2))
    point_latest(one, MNIST.latest, anyhow=False)
    assert (tmp_path / "latest").resolve() == one
    point_latest(two, MNIST.latest, anyhow=False)
    assert (tmp_path / "latest").resolve() == one
    point_latest(two, MNIST.latest, anyhow=True)
    assert (tmp_path / "latest").readlink() == Path(two.name)
    assert {path.name for path in tmp_path.iterdir()} == {one.name, two.name, "latest"}
