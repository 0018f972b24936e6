"""Predict: what a published model says of new images, in files that say which images and model."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pyarrow import fs

from components.config import Predict
from components.predict import incoming
from components.predict.predict import predict
from components.registry.registry import Registry
from components.scoring.classifier import classifier, load
from components.shared.errors import StepError
from components.shared.predictions import Predictions
from components.sources.filesystem import open_directory, read
from tests.conftest import MNIST, Command, Outcomes, publish
from tests.idx_files import Array, encode_idx, read_mnist
from tests.ingest.conftest import MakeBucket, png, write_parquet

COUNT = 300
Night = tuple[Array, Array]


@pytest.fixture(scope="module")
def night() -> Night:
    """Digits that came in, and what they are."""
    return read_mnist(MNIST, "t10k", COUNT)


@pytest.fixture(scope="module")
def answers(published: Path, night: Night) -> np.ndarray:
    """What the champion says of them."""
    model = load(published / "digits" / "1", (28, 28), 10)
    return classifier(model, "it")(night[0])


def _read(output: Path) -> pa.Table:
    found = Predictions.read(output)
    for file in found.files:
        data = (output / file.file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)
    return pa.concat_tables(pq.read_table(output / file.file) for file in found.files)


def _idx(directory: Path, night: Night) -> str:
    (directory / "incoming-images-idx3-ubyte").write_bytes(encode_idx(night[0]))
    return str(directory)


def _pictures(directory: Path, night: Night) -> str:
    for number, image in enumerate(night[0]):
        (directory / f"{number:04}.png").write_bytes(png(image))
    return str(directory)


def _columns(directory: Path, night: Night) -> str:
    write_parquet(directory / "night.parquet", *night, "png")
    table = pq.read_table(directory / "night.parquet").drop_columns(["label"])
    pq.write_table(table, directory / "night.parquet")
    return str(directory)


def _array(directory: Path, night: Night) -> str:
    np.savez(directory / "night.npz", x=night[0])
    return str(directory)


@pytest.mark.parametrize("write", [_idx, _pictures, _columns, _array])
def test_images_without_labels(
    write: Callable[[Path, Night], str],
    night: Night,
    answers: np.ndarray,
    published: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "night").mkdir()
    source = write(tmp_path / "night", night)
    config = Predict(source=source, destination=str(published), shard_size=100)
    found = predict(config, tmp_path / "out")
    assert found is not None
    assert found.labelled is None
    rows = _read(tmp_path / "out").to_pylist()
    assert "label" not in rows[0]
    said = {row["image_hash"]: row for row in rows}
    for image, expected in zip(night[0], answers, strict=True):
        row = said[hashlib.sha256(image.tobytes()).hexdigest()[:32]]
        np.testing.assert_allclose(row["probabilities"], expected, atol=1e-6)
        assert row["predicted"] == expected.argmax()
        assert row["class_name"] == str(expected.argmax())
        assert row["version"] == 1
    assert len({(row["source"], row["position"]) for row in rows}) == COUNT


def test_a_row_says_where_its_image_is(night: Night, published: Path, tmp_path: Path) -> None:
    source = _pictures(tmp_path, night)
    predict(Predict(source=source, destination=str(published)), tmp_path / "out")
    for row in _read(tmp_path / "out").slice(0, 9).to_pylist():
        pixels = np.asarray(Image.open(row["source"])).tobytes()
        assert hashlib.sha256(pixels).hexdigest().startswith(row["image_hash"])
    source = _idx(tmp_path, night)
    config = Predict(source=f"{source}/*-ubyte", destination=str(published), shard_size=70)
    predict(config, tmp_path / "out")
    for row in _read(tmp_path / "out").to_pylist():
        pixels = night[0][row["position"]].tobytes()
        assert row["source"] == f"{source}/incoming-images-idx3-ubyte"
        assert hashlib.sha256(pixels).hexdigest().startswith(row["image_hash"])


def test_the_manifest_adds_up(
    small_source: Path,
    published: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    outcomes: Outcomes,
) -> None:
    config = Predict(source=str(small_source), destination=str(published), shard_size=999)
    found = predict(config, tmp_path / "out")
    table = _read(tmp_path / "out")
    assert found == Predictions.read(tmp_path / "out")
    predicted, label = (table[name].to_numpy() for name in ("predicted", "label"))
    sure = np.array(table["probabilities"].to_pylist()).max(axis=1)
    assert found is not None
    assert found.metrics["read"] == found.metrics["written"] == len(table) == 5_500
    shares = np.bincount(predicted, minlength=10) / len(predicted)
    assert list(found.class_shares.values()) == pytest.approx(shares.tolist())
    assert found.mean_confidence == pytest.approx(sure.mean())
    assert [image.probability for image in found.least_sure] == pytest.approx(sorted(sure)[:24])
    assert found.labelled is not None
    assert found.labelled.correct == (predicted == label).sum()
    low, high = found.labelled.interval
    assert low < found.labelled.precision_at_1 < high
    assert (found.version, found.registry, found.profile.images) == (1, str(published), 5_500)
    assert capsys.readouterr().out.endswith(
        f"Predicted 5,500 images of {small_source} with version 1 of digits\n"
    )
    reported = outcomes("predict")
    assert reported and (reported.result, reported.version) == ("predicted", 1)


def test_folders_are_labels_where_the_model_has_such_classes(
    night: Night, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = night
    for number in np.flatnonzero(labels >= 7):
        folder = tmp_path / "night" / str(labels[number])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(png(images[number]))
    config = Predict(source=str(tmp_path / "night"), destination=str(published))
    found = predict(config, tmp_path / "out")
    table = _read(tmp_path / "out")
    folders = [int(Path(source).parent.name) for source in table["source"].to_pylist()]
    assert table["label"].to_pylist() == folders
    assert found is not None
    assert found.labelled is not None
    (tmp_path / "night" / "9").rename(tmp_path / "night" / "unsorted")
    found = predict(config, tmp_path / "out")
    assert found is not None
    assert found.labelled is None
    printed = capsys.readouterr().out
    assert "Labels: none, and none are needed (" in printed
    assert "class 'unsorted' is none of the model's" in printed


def test_a_version_by_its_number(model: Path, small_source: Path, tmp_path: Path) -> None:
    registry = Registry.open(str(tmp_path / "registry"), "digits")
    publish(model, tmp_path / "registry")
    shutil.copytree(model, tmp_path / "other")
    (tmp_path / "other" / "saved_model" / "more").write_text("another model, by its sum")
    publish(tmp_path / "other", tmp_path / "registry")
    assert registry.in_use() == 2
    for version, expected in ((0, 2), (1, 1)):
        source, destination = str(small_source), str(tmp_path / "registry")
        config = Predict(source=source, destination=destination, version=version)
        found = predict(config, tmp_path / "out")
        assert found is not None
        assert found.version == expected
        assert set(_read(tmp_path / "out")["version"].to_pylist()) == {expected}


def test_a_champion_that_changes_meanwhile_changes_nothing(
    model: Path, small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(model, tmp_path / "registry")
    shutil.copytree(model, tmp_path / "other")
    (tmp_path / "other" / "saved_model" / "more").write_text("another model, by its sum")

    def changed(config: Predict) -> bool:
        publish(tmp_path / "other", tmp_path / "registry")
        return incoming.is_empty(config)

    monkeypatch.setattr("components.predict.predict.is_empty", changed)
    config = Predict(source=str(small_source), destination=str(tmp_path / "registry"))
    found = predict(config, tmp_path / "out")
    assert Registry.open(str(tmp_path / "registry"), "digits").in_use() == 2
    assert found is not None
    assert found.version == 1
    assert set(_read(tmp_path / "out")["version"].to_pylist()) == {1}


def test_an_empty_day(
    published: Path, tmp_path: Path, command: Command, outcomes: Outcomes
) -> None:
    (tmp_path / "days" / "2026-11-23").mkdir(parents=True)
    (tmp_path / "days" / "2026-11-23" / "a.png").write_bytes(png(np.zeros((28, 28), np.uint8)))
    (tmp_path / "empty").mkdir()
    output = tmp_path / "out"
    predict = ["components.predict", "--destination", published, "--output", output]
    day = [*predict, "--source", tmp_path / "days" / "{date}", "--span", 1, "--until"]
    for arguments in ((*day, "2026-11-24"), (*predict, "--source", tmp_path / "empty")):
        found = command(*arguments)
        assert found.stdout.startswith("Nothing new: no images in ")
        reported = outcomes("predict")
        assert reported and reported.result == "nothing new"
        assert reported.message == found.stdout.strip()
        assert not output.exists()
    assert f"no images in {tmp_path}/days/2026-11-24\n" in command(*day, "2026-11-24").stdout
    command(*day, "2026-11-23")
    assert Predictions.read(output).source == f"{tmp_path}/days/2026-11-23"
    reported = outcomes("predict")
    assert reported and reported.source == f"{tmp_path}/days/2026-11-23"
    whole = (output / Predictions.FILE).read_bytes()
    command(*day, "2026-11-24")
    assert (output / Predictions.FILE).read_bytes() == whole


@pytest.mark.parametrize(
    ("span", "days"),
    [(1, "2026-11-23"), (2, "(2026-11-22 to 2026-11-23)"), (0, "(up to 2026-11-23)")],
)
def test_whatever_names_the_images_has_the_days_in_it(
    published: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    outcomes: Outcomes,
    span: int,
    days: str,
) -> None:
    (tmp_path / "2026-11-23").mkdir()
    (tmp_path / "2026-11-23" / "a.png").write_bytes(png(np.zeros((28, 28), np.uint8)))
    source, until = f"{tmp_path}/{{date}}/*.png", "2026-11-23"
    config = Predict(source=source, span=span, until=until, destination=str(published))
    found = predict(config, tmp_path / "out")
    assert found and found.source == f"{tmp_path}/{days}/*.png"
    assert f"images of {found.source} with version 1" in capsys.readouterr().out
    reported = outcomes("predict")
    assert reported and reported.source == found.source
    (tmp_path / "2026-11-23" / "a.png").write_bytes(png(np.zeros((9, 9), np.uint8)))
    with pytest.raises(StepError, match=re.escape(f"{found.source}: images of 9 x 9 pixels")):
        predict(config, tmp_path / "again")


def _nowhere(directory: Path) -> str:
    return str(directory / "nowhere" / "{date}")


def _other_size(directory: Path) -> str:
    np.savez(directory / "night.npz", x=np.zeros((9, 20, 31), np.uint8))
    return str(directory / "night.npz")


def _damaged(directory: Path) -> str:
    (directory / "a.png").write_bytes(png(np.zeros((28, 28), np.uint8)))
    (directory / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    return str(directory)


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (_nowhere, "not found, expected a directory or a file with images"),
        (_other_size, "images of 20 x 31 pixels, but the model takes 28 x 28; --resize 28x28"),
        (_damaged, "1 of 2 records unusable, expected at most the share 0 of --max-rejected"),
    ],
)
def test_what_cannot_be_predicted_is_told_in_one_line(
    write: Callable[[Path], str], told: str, published: Path, tmp_path: Path
) -> None:
    (tmp_path / "night").mkdir()
    config = Predict(source=write(tmp_path / "night"), destination=str(published))
    with pytest.raises(StepError) as error:
        predict(config, tmp_path / "out")
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["night"]


def test_rejected_records_are_counted_and_kept(published: Path, tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    source = _damaged(tmp_path / "night")
    config = Predict(source=source, destination=str(published), max_rejected=0.5)
    found = predict(config, tmp_path / "out")
    assert found is not None
    assert (found.metrics["read"], found.metrics["rejected"], found.profile.images) == (2, 1, 1)
    assert found.rejected[0].where == f"{source}/b.png"
    lines = [path.read_text() for path in sorted((tmp_path / "out" / "rejected").iterdir())]
    assert json.loads("".join(lines))["where"] == f"{source}/b.png"


def test_no_champion(tmp_path: Path, small_source: Path) -> None:
    config = Predict(source=str(small_source), destination=str(tmp_path / "registry"))
    with pytest.raises(StepError, match="no champion yet; publish a model, or name a version"):
        predict(config, tmp_path / "out")


def test_a_model_that_gives_no_probabilities(tmp_path: Path, model: Path) -> None:
    """The error comes from a worker, and is one line here all the same."""
    import tensorflow as tf

    class Broken(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 28, 28], tf.uint8, name="images")])
        def answer(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": tf.fill([tf.shape(images)[0], 10], float("nan"))}

    broken = Broken()
    shutil.copytree(model, tmp_path / "broken")
    shutil.rmtree(tmp_path / "broken" / "saved_model")
    tf.saved_model.save(
        broken, str(tmp_path / "broken" / "saved_model"), {"serving_default": broken.answer}
    )
    publish(tmp_path / "broken", tmp_path / "registry")
    config = Predict(source="fake://300", destination=str(tmp_path / "registry"))
    with pytest.raises(StepError, match=r"gives \[nan, .*expected probabilities"):
        predict(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_from_a_bucket_to_a_bucket(
    make_bucket: MakeBucket,
    model: Path,
    evaluation: Path,
    night: Night,
    published: Path,
    tmp_path: Path,
) -> None:
    bucket = make_bucket("team")
    publish(model, f"{bucket}/registry", evaluation)
    (tmp_path / "night").mkdir()
    source = _idx(tmp_path / "night", night)
    here = Predict(source=source, destination=str(published), shard_size=100)
    there = Predict(source=source, destination=f"{bucket}/registry", shard_size=100)
    predict(here, tmp_path / "out")
    predict(there, f"{bucket}/out")
    directory = open_directory(f"{bucket}/out")
    found = directory.get_file_info(fs.FileSelector("", recursive=True))
    files = {info.path: read(directory, info.path) for info in found if info.is_file}
    assert files.keys() == {path.name for path in (tmp_path / "out").iterdir()}
    for name in files.keys() - {Predictions.FILE}:
        assert files[name] == (tmp_path / "out" / name).read_bytes()
