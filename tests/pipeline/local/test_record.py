"""The directory of a run, its page, and the link to the latest."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from components.config import Ingest, Train
from components.shared.errors import StepError
from pipeline.local.record import (
    RunRecord,
    StepRecord,
    earlier_dataset,
    point_latest,
    read_runs,
    write_page,
)
from pipeline.pipelines import MNIST, PREDICT

OTHER = replace(MNIST, name="other", steps=(Ingest,))


def test_a_run_says_what_it_is_from_the_start(tmp_path: Path) -> None:
    run = RunRecord.begin(tmp_path / "runs", MNIST, {"max_steps": 7})
    assert RunRecord.read(tmp_path / "runs" / run.name) == run
    assert run.outcome == "unfinished" and run.parameters == {"max_steps": 7}


def test_the_newest_run_that_read_such_a_source_so_has_its_dataset(tmp_path: Path) -> None:
    reading = {"source": "data", "cache": "here", "resize": "8x8"}
    runs = [RunRecord.begin(tmp_path, MNIST, reading) for _ in range(2)]
    others = [
        RunRecord.begin(tmp_path, MNIST, {**reading, "resize": "9x9"}),
        RunRecord.begin(tmp_path, MNIST, reading).model_copy(update={"ingest_code": "older"}),
    ]
    for age, run in enumerate([*runs, *others]):
        examples = tmp_path / run.name / "ingest/examples"
        examples.mkdir(parents=True)
        (examples / "dataset.json").write_text("{}")
        run.write(tmp_path / run.name)
        os.utime(tmp_path / run.name, (age, age))
    unfinished = RunRecord.begin(tmp_path, MNIST, reading)
    point_latest(tmp_path / others[0].name, MNIST.latest, replace=True)
    taken = earlier_dataset(tmp_path, {**reading, "cache": "there", "max_steps": 3})
    assert taken == str(tmp_path / runs[1].name / "ingest/examples")
    assert unfinished.ingest_code == runs[0].ingest_code != ""
    assert earlier_dataset(tmp_path, {**reading, "source": "elsewhere"}) == ""


def test_a_run_is_named_for_the_model_it_trains_and_knows_its_pipeline(tmp_path: Path) -> None:
    trained, other = (
        RunRecord.begin(tmp_path, pipeline, {"model_name": "parts"}) for pipeline in (MNIST, OTHER)
    )
    assert trained.name.startswith("parts-2") and trained.pipeline == MNIST.name
    assert other.name.startswith("other-2") and other.pipeline == "other"


@pytest.mark.parametrize("pipeline", ["mnist", "predict"])
def test_a_run_of_an_older_release_is_known_by_its_name(tmp_path: Path, pipeline: str) -> None:
    write_older(tmp_path, f"{pipeline}-2026-11-25-02-22-38-526813")
    ((_, found),) = read_runs(tmp_path)
    assert found.pipeline == pipeline


def write_older(runs: Path, name: str) -> None:
    """Leaves a run as releases up to 0.2.0 did, which named it for its pipeline alone."""
    run = RunRecord.begin(runs, MNIST, {})
    (runs / run.name).rename(runs / name)
    path = runs / name / RunRecord.FILE
    found = json.loads(path.read_text())
    del found["pipeline"]
    path.write_text(json.dumps(found | {"name": name}))


def test_what_cannot_be_read_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunRecord.begin(tmp_path, MNIST, {})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / RunRecord.FILE).write_text("{")
    assert [path.name for path, _ in read_runs(tmp_path)] == [run.name]
    assert capsys.readouterr().err == ""
    assert [path.name for path, _ in read_runs(tmp_path, warn=True)] == [run.name]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {tmp_path}/broken/run.json: ")


def test_a_runs_file_has_no_secrets(tmp_path: Path) -> None:
    given = {"source": "https://me:secret@example.com/", "webhook": "https://hooks/secret"}
    run = RunRecord.begin(tmp_path, MNIST, given)
    assert "secret" not in (tmp_path / run.name / RunRecord.FILE).read_text()


@pytest.mark.parametrize(
    ("name", "content"), [("runs", "a file"), ("runs/latest", "a file"), ("runs/latest/x", "")]
)
def test_where_no_run_can_be_one_line_says_so(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StepError, match=r"runs.*; .*name another directory with --runs"):
        RunRecord.begin(tmp_path / "runs", MNIST, {})
    assert sorted(tmp_path.rglob("*")) == before


def test_latest_moves_where_it_is_wanted_and_never_is_nothing(tmp_path: Path) -> None:
    one, two = (tmp_path / RunRecord.begin(tmp_path, MNIST, {}).name for _ in range(2))
    point_latest(one, MNIST.latest, replace=False)
    assert (tmp_path / "latest").resolve() == one
    point_latest(two, MNIST.latest, replace=False)
    assert (tmp_path / "latest").resolve() == one
    point_latest(two, MNIST.latest, replace=True)
    assert (tmp_path / "latest").readlink() == Path(two.name)
    assert {path.name for path in tmp_path.iterdir()} == {one.name, two.name, "latest"}


def test_page_tells_what_came_of_a_run_and_links_what_is_there(tmp_path: Path) -> None:
    run = RunRecord.begin(tmp_path, MNIST, {"source": "fake://<3>", "max_steps": 7})
    directory = tmp_path / run.name
    (directory / "train/model").mkdir(parents=True)
    failed = StepRecord(seconds=1.25, exit_code=1, result="error: <no> class")
    write_page(directory, run.end(directory, "failed", {"train": failed}))
    written = (directory / "index.html").read_text(encoding="utf-8")
    assert run.name in written and "Failed" in written
    assert "fake://&lt;3&gt;" in written and "error: &lt;no&gt; class" in written
    assert 'href="train/model/"' in written and 'href="train/log.txt"' in written
    assert "report.html" not in written  # is not there
    assert "http" not in written and "src=" not in written


def test_page_leads_to_the_version_where_that_is_on_disk(tmp_path: Path) -> None:
    version = tmp_path / "the registry/digits/3"
    version.mkdir(parents=True)
    run = RunRecord.begin(tmp_path / "runs", MNIST, {})
    directory = tmp_path / "runs" / run.name
    for published, link in ((str(version), True), ("gs://bucket/digits/3", False)):
        write_page(directory, run.model_copy(update={"published": published}))
        written = (directory / "index.html").read_text(encoding="utf-8")
        assert f"<code>{published}</code>" in written
        assert ('href="../../the%20registry/digits/3/"' in written) is link


def test_page_names_the_day_whose_images_were_predicted(tmp_path: Path) -> None:
    given = {"source": "in/{date}", "span": 1, "until": "2026-11-23"}
    run = RunRecord.begin(tmp_path, PREDICT, given)
    write_page(tmp_path / run.name, run)
    written = (tmp_path / run.name / "index.html").read_text(encoding="utf-8")
    assert "in/2026-11-23" in written.partition('id="steps-title"')[0]


def test_page_says_first_what_was_changed_from_the_defaults(tmp_path: Path) -> None:
    given = {
        "source": "data/mnist",
        "max_steps": 7,
        "seed": 0,
        "learning_rate": Train.learning_rate,
    }
    run = RunRecord.begin(tmp_path, MNIST, given)
    write_page(tmp_path / run.name, run)
    written = (tmp_path / run.name / "index.html").read_text(encoding="utf-8")
    changed, *folded = written.split('id="parameters-title"')[1].split("<details>")
    assert re.findall("<dt>(.*?)</dt>", changed) == ["max_steps"]
    assert [re.findall("<dt>(.*?)</dt>", part) for part in folded] == [
        ["source"],
        ["seed", "learning_rate"],
    ]
    assert "train: 2 as by default" in folded[1]


def test_page_names_the_run_before_of_the_same_pipeline(tmp_path: Path) -> None:
    first, other, second = (
        RunRecord.begin(tmp_path, pipeline, {"model_name": model})
        for pipeline, model in ((MNIST, "other"), (OTHER, "digits"), (MNIST, "digits"))
    )
    for run in (first, second):
        write_page(tmp_path / run.name, run)
    pages = [(tmp_path / run.name / "index.html").read_text() for run in (first, second)]
    assert "python -m pipeline runs" not in pages[0]
    assert f"python -m pipeline runs {first.name} {second.name}" in pages[1]
    assert other.name not in pages[1]
