"""A dataset that an earlier run has: taken where it would come out the same, and only there."""

import os
from pathlib import Path
from typing import Any

import pytest

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.manifests import Dataset
from tests.idx_files import write_source
from tests.ingest.conftest import dataset_digest, digits


@pytest.fixture
def config(tmp_path: Path) -> Ingest:
    """How a source of its own is read."""
    source = write_source(tmp_path / "source", digits(40), digits(20, seed=1))
    return Ingest(source=str(source), validation_size=10)


@pytest.fixture
def earlier(config: Ingest, tmp_path: Path) -> Path:
    """What an earlier run made of it."""
    ingest(config, tmp_path / "earlier")
    return tmp_path / "earlier"


def links(examples: Path) -> set[int]:
    return {path.stat().st_nlink for path in examples.rglob("*.tfrecord")}


def test_the_same_source_with_the_same_options_is_linked_and_said_in_a_line(
    config: Ingest, earlier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = ingest(config, tmp_path / "examples", earlier=earlier)
    assert taken == Dataset.read(tmp_path / "examples") == Dataset.read(earlier)
    assert links(tmp_path / "examples") == {2}
    assert dataset_digest(tmp_path / "examples") == dataset_digest(earlier)
    said = capsys.readouterr().out
    assert f"Same source, options and sums: taken from {earlier}; --fresh ingests anew\n" in said
    assert "Took train 30, validation 10, test 20 examples; 0 rejected\n" in said


def test_what_is_ingested_anew_leaves_an_earlier_dataset_that_was_taken(
    config: Ingest, earlier: Path, tmp_path: Path
) -> None:
    ingest(config, tmp_path / "examples", earlier=earlier)
    before = dataset_digest(earlier)
    write_source(Path(config.source), digits(40, seed=5), digits(20, seed=6))
    ingest(config, tmp_path / "examples", earlier=earlier)
    assert dataset_digest(earlier) == before and links(tmp_path / "examples") == {1}


@pytest.mark.parametrize("change", ["content", "options", "damage", "no manifest", "previous"])
def test_whatever_is_not_the_same_is_ingested(
    config: Ingest,
    earlier: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: str,
) -> None:
    options: dict[str, Any] = {"validation_size": 12} if change == "options" else {}
    options |= {"previous": str(earlier)} if change == "previous" else {}
    if change == "content":
        write_source(Path(config.source), digits(40, seed=7), digits(20, seed=1))
    if change == "damage":
        (shard,) = (earlier / "test").iterdir()
        os.truncate(shard, shard.stat().st_size - 1)
    if change == "no manifest":
        (earlier / Dataset.FILE).unlink()
    capsys.readouterr()
    wanted = Ingest(source=config.source, **{"validation_size": 10, **options})
    dataset = ingest(wanted, tmp_path / "examples", earlier=earlier)
    assert dataset.splits["validation"].records == wanted.validation_size
    assert links(tmp_path / "examples") == {1}
    said = capsys.readouterr().out
    assert "Wrote train" in said and "taken from" not in said
    assert ("warning: an earlier dataset is not taken: " in said) == (
        change in ("damage", "no manifest")
    )
