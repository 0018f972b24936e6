"""Whatever a manifest holds, reading it gives one that can be used, or one line."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import VERSION, Train
from components.ingest.statistics import find_anomalies
from components.shared.errors import StepError
from components.shared.manifests import SPLITS, Dataset, Evaluation, Manifest, Model
from components.shared.predictions import Drift, Predictions, Reference
from components.train.distributed.cluster import Cluster
from components.train.train import _check
from pipeline.local.record import RunRecord
from tests.conftest import Command

Json = Any
SHA256 = "0" * 64


def _split(name: str) -> dict[str, Json]:
    return {
        "records": 3,
        "rejected": 0,
        "wrong_size": 0,
        "labels": [2, 1],
        "pixel_mean": 33.3,
        "pixel_stddev": 78.6,
        "duplicates": 0,
        "shards": [
            {
                "file": f"{name}/{shard}",
                "records": count,
                "bytes": 9,
                "sha256": SHA256,
                "read_from": {"file": f".places/{name}-{shard}", "sha256": SHA256},
            }
            for shard, count in (("a", 1), ("b", 2))
        ],
    }


DATASET: dict[str, Json] = {
    "image_shape": [28, 28],
    "class_names": ["0", "1"],
    "splits_from": "named",
    "source": "fake://9",
    "source_fingerprint": SHA256,
    "metrics": {"read": 9},
    "splits": {name: _split(name) for name in SPLITS},
    "duplicates": {"train,test": 1},
    "anomalies": [{"kind": "leak", "split": "train", "message": "some"}],
    "rejected": [{"split": "train", "where": "file, record 3", "reason": "no label"}],
}
MODEL: dict[str, Json] = {
    "config": {"hidden": "128,32"},
    "step": 100,
    "image_shape": [28, 28],
    "class_names": ["0", "1"],
    "dataset_fingerprint": SHA256,
    "versions": {"python": "3.11"},
    "scores": {name: {"examples": 9, "correct": 8} for name in SPLITS},
}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.sampled_from(["", "x", "../../etc/passwd", "/etc/passwd", "a//b", ".", "\0", "\ud800"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@st.composite
def changed(draw: st.DrawFn, manifest: dict[str, Json]) -> dict[str, Json]:
    """A manifest with a value somewhere replaced or removed."""
    root: dict[str, Json] = copy.deepcopy(manifest)
    place: Json = root
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
            if draw(st.booleans()):
                del place[key]
            else:
                place[key] = draw(values)
            return root
        place = inner


def _use(kind: type[Manifest], manifest: Manifest) -> None:
    """Does what the steps do with a manifest before their work."""
    assert kind.parse(manifest.text.encode(), "again") == manifest
    if isinstance(manifest, Model):
        assert all(0 <= manifest.scores[name].precision <= 1 for name in SPLITS)
    if isinstance(manifest, Dataset):
        assert len(manifest.fingerprint) == 64
        for name in SPLITS:
            places = [shard.read_from for shard in manifest.splits[name].shards if shard.read_from]
            files = [f"/data/{place.file}" for place in places if place.file]
            for file in [*manifest.files(Path("/data"), name), *files]:
                assert os.path.normpath(file).startswith("/data/")
        find_anomalies(manifest, manifest, 0.1)
        _check(Train(batch_size=1), manifest, Cluster(("here",), 0))


@pytest.mark.fuzz
@pytest.mark.parametrize(("kind", "manifest"), [(Dataset, DATASET), (Model, MODEL)])
def test_a_changed_manifest_is_usable_or_refused(
    kind: type[Manifest], manifest: dict[str, Json]
) -> None:
    _use(kind, kind.parse(json.dumps(manifest).encode(), "file"))

    @given(changed(manifest))
    def check(found: dict[str, Json]) -> None:
        try:
            _use(kind, kind.parse(json.dumps(found).encode(), "file"))
        except StepError as error:
            assert str(error).isprintable()

    check()


@pytest.mark.fuzz
@given(st.binary(max_size=50))
def test_any_bytes_are_refused(text: bytes) -> None:
    for kind in (Dataset, Model, Evaluation):
        with pytest.raises(StepError, match=r"^file: ") as refused:
            kind.parse(text, "file")
        assert str(refused.value).isprintable()


def test_no_more_is_right_than_there_is() -> None:
    scores = MODEL["scores"] | {"test": {"examples": 1, "correct": 8}}
    with pytest.raises(StepError, match=r"file: scores\.test: .*8 of 1 examples correct"):
        Model.parse(json.dumps(MODEL | {"scores": scores}).encode(), "file")


def test_unknown_fields_of_the_same_format_are_left_alone() -> None:
    later = DATASET | {"format": 1, "written_by": "9.0.0", "field_of_a_later_release": [1]}
    assert Dataset.parse(json.dumps(later).encode(), "file") == Dataset.model_validate(DATASET)


def test_a_file_without_a_number_is_of_the_first_format() -> None:
    written = json.loads(Dataset.model_validate(DATASET).text)
    assert written["format"] == 1
    assert written["written_by"] == VERSION


@pytest.mark.parametrize(
    "kind", [Dataset, Model, Evaluation, Reference, Predictions, Drift, RunRecord]
)
@pytest.mark.parametrize("release", ["9.1.0", None, "a\nb", "9" * 100])
def test_a_higher_format_is_refused_by_the_release_that_reads_it(
    kind: type[Manifest], release: str | None
) -> None:
    text = json.dumps({"format": 2, "written_by": release}).encode()
    with pytest.raises(StepError) as refused:
        kind.parse(text, "file")
    newer = release if release and release.isprintable() else "not known"
    assert str(refused.value) == (
        f"file: format 2, written by version {newer[:40]}, this is version {VERSION}, which reads "
        f"up to 1; use images of version {newer[:40]} or newer"
    )


@pytest.mark.parametrize("number", [0, -1, "1", 1.5, None, True])
def test_a_format_is_a_whole_number(number: Json) -> None:
    with pytest.raises(StepError, match=r"file: the file: .*expected a whole number from 1"):
        Dataset.parse(json.dumps(DATASET | {"format": number}).encode(), "file")


def test_depth_is_no_way_in() -> None:
    for text in (b"[" * 100_000, b'{"splits":' * 100_000):
        with pytest.raises(StepError):
            Dataset.parse(text, "file")


@pytest.mark.parametrize(
    "file", ["../other/x", "/etc/passwd", "a/../../b", "..", ".", "", "./x", "a//b", "x\n"]
)
def test_a_shard_lies_inside(file: str) -> None:
    found = copy.deepcopy(DATASET)
    found["splits"]["test"]["shards"][0]["file"] = file
    with pytest.raises(StepError, match=r"splits.test.shards.0.file: .* not a path inside"):
        Dataset.parse(json.dumps(found).encode(), "dataset.json")


def _without(name: str) -> Callable[[dict[str, Json]], object]:
    return lambda found: found["splits"].pop(name)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda found: found.pop("splits"), "splits: Field required"),
        (_without("train"), "validation, test, expected train, validation, test"),
        (lambda found: found["splits"]["test"].update(records=7), "splits.test: .*7 records, but"),
        (lambda found: found["splits"]["test"]["shards"].pop(), "splits.test: .*1 in shards"),
        (lambda found: found.update(class_names=["0", "1", "2"]), "counts 2 labels, expected 3"),
    ],
)
def test_what_does_not_add_up_is_told(
    change: Callable[[dict[str, Json]], object], told: str
) -> None:
    found = copy.deepcopy(DATASET)
    change(found)
    with pytest.raises(StepError, match=told):
        Dataset.parse(json.dumps(found).encode(), "dataset.json")


def test_what_nobody_judged_is_not_blessed(evaluation: Path) -> None:
    found = json.loads((evaluation / Evaluation.FILE).read_bytes()) | {"verdicts": []}
    with pytest.raises(StepError, match="verdicts"):
        Evaluation.parse(json.dumps(found).encode(), "evaluation.json")


@pytest.mark.fuzz
def test_a_changed_evaluation_is_usable_or_refused(evaluation: Path) -> None:
    manifest = json.loads((evaluation / Evaluation.FILE).read_bytes())

    @given(changed(manifest))
    def check(found: dict[str, Json]) -> None:
        try:
            read = Evaluation.parse(json.dumps(found).encode(), "file")
        except StepError as error:
            assert str(error).isprintable()
        else:
            assert isinstance(read.blessed, bool) and "test" in read.splits

    check()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / Dataset.FILE)
    with pytest.raises(StepError, match="is not a file"):
        Dataset.read(tmp_path)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_an_empty_split_is_told_before_training(
    command: Command, tmp_path: Path, split: str
) -> None:
    found = copy.deepcopy(DATASET)
    found["splits"][split] |= {"records": 0, "labels": [0, 0], "shards": []}
    (tmp_path / Dataset.FILE).write_text(json.dumps(found))
    arguments = ("--model", tmp_path / "model", "--logs", tmp_path / "logs", "--batch-size", "1")
    told = command("components.train", "--examples", tmp_path, *arguments, expect=1).stderr
    assert told.startswith(f"error: the {split} split has no records, expected some; run ingest")
    assert not (tmp_path / "logs").exists()
