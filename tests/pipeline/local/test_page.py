"""The page of a run."""

from pathlib import Path

from pipeline.local import page
from pipeline.local.runs import Run, Step
from pipeline.pipelines import MNIST


def test_page_tells_what_came_of_a_run_and_links_what_is_there(tmp_path: Path) -> None:
    run = Run.begin(tmp_path, MNIST, {"source": "fake://<3>", "max_steps": 7})
    directory = tmp_path / run.name
    (directory / "train/model").mkdir(parents=True)
    failed = Step(seconds=1.25, exit_code=1, result="error: <no> class")
    page.write(directory, run.end(directory, "failed", {"train": failed}))
    written = (directory / "index.html").read_text(encoding="utf-8")
    assert run.name in written and "Failed" in written
    assert "fake://&lt;3&gt;" in written and "error: &lt;no&gt; class" in written
    assert 'href="train/model/"' in written and 'href="train/log.txt"' in written
    assert "report.html" not in written  # is not there
    assert "http" not in written and "src=" not in written


def test_page_leads_to_the_version_where_that_is_on_disk(tmp_path: Path) -> None:
    version = tmp_path / "the registry/digits/3"
    version.mkdir(parents=True)
    run = Run.begin(tmp_path / "runs", MNIST, {})
    directory = tmp_path / "runs" / run.name
    for published, link in ((str(version), True), ("gs://bucket/digits/3", False)):
        page.write(directory, run.model_copy(update={"published": published}))
        written = (directory / "index.html").read_text(encoding="utf-8")
        assert f"<code>{published}</code>" in written
        assert ('href="../../the%20registry/digits/3/"' in written) is link
