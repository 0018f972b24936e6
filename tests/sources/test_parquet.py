"""Parquet: layouts, splits by name and by content, bad rows and bad files."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from components.shared.manifests import Dataset
from tests.ingest.conftest import Array, digits, png, read_all, write_parquet
from tests.ingest.test_ingest import read


def as_set(images: Array, labels: Array) -> set[tuple[bytes, int]]:
    return {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


def membership(examples: Path) -> dict[bytes, str]:
    """To which split each image belongs."""
    return {
        image.tobytes(): split
        for split in Dataset.read(examples).splits
        for image in read(examples, split)[0]
    }


@pytest.mark.parametrize("layout", ["png", "binary", "list"])
def test_every_layout_gives_the_same_records(layout: str, tmp_path: Path) -> None:
    images, labels = digits(550)
    write_parquet(tmp_path / "source" / "a.parquet", images, labels, layout)
    dataset = ingest(Ingest(source=str(tmp_path / "source"), shard_size=200), tmp_path / "out")
    splits = [read(tmp_path / "out", split) for split in dataset.splits]
    found = np.concatenate([one[0] for one in splits]), np.concatenate([one[1] for one in splits])
    assert len(found[0]) == 550
    assert as_set(*found) == as_set(images, labels)


def test_files_named_after_splits_are_the_splits(tmp_path: Path) -> None:
    source = tmp_path / "mnist" / "data"
    train, test = digits(300), digits(120, seed=1)
    write_parquet(source / "train-00000-of-00002.parquet", train[0][:40], train[1][:40], "png")
    write_parquet(source / "train-00001-of-00002.parquet", train[0][40:], train[1][40:], "png")
    write_parquet(source / "test-00000-of-00001.parquet", *test, "png")
    config = Ingest(source=str(tmp_path / "mnist"), validation_size=60, shard_size=100)
    ingest(config, tmp_path / "out")
    for split, images, labels in (
        ("validation", train[0][:60], train[1][:60]),
        ("train", train[0][60:], train[1][60:]),
        ("test", *test),
    ):
        found = read(tmp_path / "out", split)
        assert np.array_equal(found[0], images)
        assert np.array_equal(found[1], labels)


def test_a_validation_file_is_the_validation_split(tmp_path: Path) -> None:
    for seed, (split, count) in enumerate({"train": 50, "validation": 30, "test": 20}.items()):
        write_parquet(tmp_path / "source" / f"{split}.parquet", *digits(count, seed), "binary")
    dataset = ingest(Ingest(source=str(tmp_path / "source")), tmp_path / "out")
    assert {name: split.records for name, split in dataset.splits.items()} == {
        "train": 50,
        "validation": 30,
        "test": 20,
    }


def test_a_record_stays_in_its_split_when_data_is_added(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_parquet(source / "b.parquet", *digits(700), "png")
    ingest(Ingest(source=str(source)), tmp_path / "first")
    before = membership(tmp_path / "first")
    write_parquet(source / "a.parquet", *digits(900, seed=1), "list")
    ingest(Ingest(source=str(source), shard_size=123), tmp_path / "second")
    after = membership(tmp_path / "second")
    assert len(after) == 1_600
    assert before.items() <= after.items()
    assert set(before.values()) == {"train", "validation", "test"}


def test_equal_images_are_in_one_split(tmp_path: Path) -> None:
    images, labels = digits(200)
    write_parquet(tmp_path / "source" / "a.parquet", images, labels, "png")
    write_parquet(tmp_path / "source" / "b.parquet", images, (labels + 1) % 10, "binary")
    dataset = ingest(Ingest(source=str(tmp_path / "source")), tmp_path / "out")
    assert sum(split.duplicates for split in dataset.splits.values()) == 200
    assert set(dataset.duplicates.values()) == {0}


def test_shares_of_the_splits_are_kept(tmp_path: Path) -> None:
    config = Ingest(source="fake://20000", validation_share=0.2, test_share=0.3)
    dataset = ingest(config, tmp_path / "out")
    shares = [split.records / 20_000 for split in dataset.splits.values()]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.015)


def test_a_glob_takes_what_it_names(tmp_path: Path) -> None:
    write_parquet(tmp_path / "source" / "a.parquet", *digits(50), "binary")
    write_parquet(tmp_path / "source" / "b.parquet", *digits(70, seed=1), "binary")
    dataset = ingest(Ingest(source=f"{tmp_path}/source/b*.parquet"), tmp_path / "out")
    assert dataset.metrics["read"] == 70


@pytest.mark.parametrize(
    ("span", "until", "expected"),
    [
        (0, "2026-11-03", 60),
        (2, "2026-11-03", 50),
        (1, "2026-11-03T03:00:00Z", 30),
        (2, "2026-11-04T00:30:00+01:00", 50),
        (0, "", 100),
    ],
)
def test_a_date_in_the_address_selects_days(
    span: int, until: str, expected: int, tmp_path: Path
) -> None:
    for day in (1, 2, 3, 4):
        path = tmp_path / f"2026-11-0{day}" / "digits.parquet"
        write_parquet(path, *digits(10 * day, seed=day), "binary")
    write_parquet(tmp_path / "2026-02-30" / "digits.parquet", *digits(5), "binary")
    write_parquet(tmp_path / "other" / "digits.parquet", *digits(5), "binary")
    source = f"{tmp_path}/{{date}}/*.parquet"
    dataset = ingest(Ingest(source=source, span=span, until=until), tmp_path / "out" / "examples")
    assert dataset.metrics["read"] == expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"source": "fake://10", "span": 3}, "--span 3 needs {date} in --source"),
        ({"source": "{date}/*.parquet", "until": "yesterday"}, "--until yesterday: expected a day"),
        (
            {"source": "no/{date}/*.parquet", "span": 2, "until": "2026-11-03"},
            "no files from 2026-11-02 to 2026-11-03; expected some to match the pattern",
        ),
    ],
)
def test_wrong_days_are_one_line(config: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        ingest(Ingest(**config), tmp_path / "out")
    assert message in str(caught.value)


NO_PICTURE = b"\x89PNG\r\n\x1a\nno picture"


def _bad_rows(path: Path) -> None:
    """Ten rows: five good ones, and five that are bad each in its own way."""
    images, _ = digits(10)
    packed: list[bytes | None] = [png(image) for image in images]
    labels: list[int | None] = list(range(10))
    packed[1] = png(images[1][:27])
    packed[3] = NO_PICTURE
    packed[5] = None
    labels[7] = None
    labels[8] = 11
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": data, "path": "x.png"} for data in packed], kind)
    path.parent.mkdir()
    pq.write_table(pa.table({"image": rows, "label": pa.array(labels, pa.int64())}), path)


REASONS = [
    (1, "wrong size: 27 x 28 pixels, expected 28 x 28; --resize 28x28 converts"),
    (3, "damaged picture (OSError)"),
    (5, "no image"),
    (7, "no label"),
    (8, "label 11, expected 0 to 9; --class-names names more"),
]


def test_bad_rows_are_kept_apart_with_their_reasons(tmp_path: Path) -> None:
    path = tmp_path / "source" / "a.parquet"
    _bad_rows(path)
    config = Ingest(source=str(path), max_rejected=0.5, test_share=0.3, validation_share=0.3)
    dataset = ingest(config, tmp_path / "out")
    assert dataset.metrics["read"] == 10
    assert dataset.metrics["written"] == dataset.metrics["rejected"] == 5
    assert sum(split.rejected for split in dataset.splits.values()) == 5
    named = [(record.where, record.reason) for record in dataset.rejected]
    assert named == [(f"{path}, record {i}", reason) for i, reason in REASONS]
    assert sum(anomaly.kind == "wrong size" for anomaly in dataset.anomalies) == 1
    (file,) = (tmp_path / "out" / "rejected").iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["where"], line["reason"]) for line in lines] == named
    assert [line["label"] for line in lines] == [1, 3, 5, None, 11]
    assert base64.b64decode(lines[1]["image"]) == NO_PICTURE


def test_too_many_bad_rows_stop_the_run_and_name_the_first(tmp_path: Path) -> None:
    path = tmp_path / "source" / "a.parquet"
    _bad_rows(path)
    with pytest.raises(StepError) as caught:
        ingest(Ingest(source=str(path), max_rejected=0.4), tmp_path / "out")
    index, reason = REASONS[0]
    assert str(caught.value) == (
        f"{path}, record {index}: {reason}: 5 of 10 records unusable, expected at most the share "
        "0.4 of --max-rejected"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layout", ["binary", "list"])
def test_images_of_the_wrong_size_are_rejected(layout: str, tmp_path: Path) -> None:
    images = np.zeros((10, 14, 28), np.uint8)
    write_parquet(tmp_path / "a.parquet", images, np.zeros(10, np.uint8), layout)
    with pytest.raises(StepError, match="record 0: wrong size: 392 bytes, expected a square's"):
        ingest(Ingest(source=str(tmp_path / "a.parquet")), tmp_path / "out")


def _no_columns(path: Path) -> str:
    pq.write_table(pa.table({"picture": [b""], "label": [1]}), path)
    return "columns picture, label; expected image and label"


def _text_images(path: Path) -> str:
    pq.write_table(pa.table({"image": ["seven"], "label": [7]}), path)
    return "column image is string; expected encoded images (binary, or struct<bytes"


def _text_labels(path: Path) -> str:
    pq.write_table(pa.table({"image": [bytes(784)], "label": ["7"]}), path)
    return "column label is string; expected int64"


def _no_parquet(path: Path) -> str:
    path.write_bytes(b"digits")
    return "expected a Parquet file"


def _cut_short(path: Path) -> str:
    write_parquet(path, *digits(20), "binary")
    path.write_bytes(path.read_bytes()[:-100])
    return "expected a Parquet file"


def _no_rows(path: Path) -> str:
    write_parquet(path, *digits(0), "binary")
    return "no records in 1 files, expected some"


def _damaged_pages(path: Path) -> str:
    write_parquet(path, *digits(200), "png")
    data = bytearray(path.read_bytes())
    data[4:2000] = bytes(1996)
    path.write_bytes(data)
    return "expected a Parquet file that is whole"


def _column_that_is_not_text(path: Path) -> str:
    write_parquet(path, *digits(20), "binary")
    path.write_bytes(path.read_bytes().replace(b"image", b"\x80mage"))
    return "expected a Parquet file that is whole"


BAD_FILES = (
    _no_columns,
    _text_images,
    _text_labels,
    _no_parquet,
    _cut_short,
    _no_rows,
    _damaged_pages,
    _column_that_is_not_text,
)


@pytest.mark.parametrize("spoil", BAD_FILES, ids=lambda spoil: spoil.__name__.strip("_"))
def test_a_bad_file_is_one_line_and_leaves_nothing(
    spoil: Callable[[Path], str], tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    message = spoil(path)
    with pytest.raises(StepError) as caught:
        ingest(Ingest(source=str(path)), tmp_path / "out")
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [left.name for left in tmp_path.iterdir()] == ["a.parquet"]


IMAGES, LABELS = digits(50)
NUMBERS = pa.array(LABELS.astype(np.int64))
FLAT = IMAGES.reshape(50, 784)
ENCODED = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def _encoded(kind: str, **options: object) -> list[bytes]:
    files = []
    for image in IMAGES:
        packed = io.BytesIO()
        Image.fromarray(image).save(packed, kind, **options)
        files.append(packed.getvalue())
    return files


def _array_2d() -> pa.Array:
    """As Hugging Face's Array2D: lists of lists, whose type only its own library knows."""
    return pa.array(IMAGES.tolist(), pa.list_(pa.list_(pa.uint8())))


COLUMNS: dict[str, Callable[[], pa.Array]] = {
    "png, no path": lambda: pa.array(_encoded("PNG"), pa.binary()),
    "webp": lambda: pa.array([{"bytes": one} for one in _encoded("WEBP", lossless=True)], ENCODED),
    "bmp": lambda: pa.array(_encoded("BMP"), pa.large_binary()),
    "binary view": lambda: pa.array([row.tobytes() for row in FLAT], pa.binary_view()),
    "dictionary": lambda: pa.array([row.tobytes() for row in FLAT]).dictionary_encode(),
    "Array2D": _array_2d,
    "int64": lambda: pa.array(FLAT.tolist(), pa.list_(pa.int64())),
    "int32, fixed": lambda: pa.array(FLAT.tolist(), pa.list_(pa.int32(), 784)),
    "with a channel": lambda: pa.array(
        IMAGES[..., None].tolist(), pa.large_list(pa.list_(pa.list_(pa.uint8(), 1)))
    ),
    "tensor": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(IMAGES),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_columns_of_every_type(column: str, tmp_path: Path) -> None:
    table = pa.table({"image": COLUMNS[column](), "label": NUMBERS})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=20)
    source, records = read_all(Ingest(source=str(tmp_path / "a.parquet")), tmp_path)
    assert source.image_shape == (28, 28)
    assert np.array_equal(records.images, IMAGES)
    assert np.array_equal(records.labels, LABELS)


POLARS = {
    "binary": lambda: pl.Series([row.tobytes() for row in FLAT], dtype=pl.Binary),
    "struct": lambda: pl.Series(
        [{"bytes": one, "path": None} for one in _encoded("PNG")],
        dtype=pl.Struct({"bytes": pl.Binary, "path": pl.String}),
    ),
    "array": lambda: pl.Series(FLAT, dtype=pl.Array(pl.UInt8, 784)),
    "nested": lambda: pl.Series(IMAGES, dtype=pl.Array(pl.UInt8, (28, 28))),
    "list": lambda: pl.Series(FLAT.tolist(), dtype=pl.List(pl.Int64)),
}


@pytest.mark.parametrize("column", POLARS)
def test_what_polars_writes(column: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"image": POLARS[column](), "label": LABELS})
    frame.write_parquet(tmp_path / "a.parquet")
    _, records = read_all(Ingest(source=str(tmp_path / "a.parquet")), tmp_path)
    assert np.array_equal(records.images, IMAGES)
    assert np.array_equal(records.labels, LABELS)


def test_jpeg(tmp_path: Path) -> None:
    soft = np.full((50, 28, 28), 77, np.uint8)
    packed = io.BytesIO()
    Image.fromarray(soft[0]).save(packed, "JPEG")
    column = pa.array([{"bytes": packed.getvalue()}] * 50, ENCODED)
    pq.write_table(pa.table({"image": column, "label": NUMBERS}), tmp_path / "a.parquet")
    _, records = read_all(Ingest(source=str(tmp_path / "a.parquet")), tmp_path)
    assert np.array_equal(records.images, soft)


def test_other_columns_and_the_names_in_the_metadata(tmp_path: Path) -> None:
    names = [f"class {n}" for n in range(10)]
    features = {"fine": {"names": names, "_type": "ClassLabel"}, "img": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"img": COLUMNS["webp"](), "fine": NUMBERS, "id": NUMBERS})
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    with pytest.raises(StepError, match="expected image and label; --image-column names another"):
        read_all(Ingest(source=str(tmp_path / "a.parquet")), tmp_path)
    config = Ingest(source=str(tmp_path / "a.parquet"), image_column="img", label_column="fine")
    source, records = read_all(config, tmp_path)
    assert source.class_names == tuple(names)
    assert np.array_equal(records.images, IMAGES)


def test_labels_that_are_names(tmp_path: Path) -> None:
    labels = pa.array(["dog", None, "cat", "eel", "7"] * 10).dictionary_encode()
    table = pa.table({"image": COLUMNS["int64"](), "label": labels})
    pq.write_table(table, tmp_path / "a.parquet")
    config = Ingest(source=str(tmp_path / "a.parquet"), class_names="cat,dog")
    _, records = read_all(config, tmp_path)
    assert records.labels.tolist() == [1, 0, 7] * 10
    assert [record.reason for record in records.unreadable[:2]] == [
        "no label",
        "label 'eel', expected a class's name or number",
    ]


def test_pixels_that_are_none_are_rejected_and_not_black(tmp_path: Path) -> None:
    rows: list = FLAT.tolist()
    rows[3][100], rows[4][0], rows[5][0] = None, 256, -1
    rows[6] = rows[6][:700]
    rows[7] = None
    for name, kind in (("flat", pa.list_(pa.int64())), ("fixed", pa.list_(pa.int64(), 784))):
        if name == "fixed":  # pyarrow itself reads back no missing list of a fixed size
            rows[6], rows[7] = FLAT[6].tolist(), FLAT[7].tolist()
        table = pa.table({"image": pa.array(rows, kind), "label": NUMBERS})
        pq.write_table(table, tmp_path / f"{name}.parquet")
        _, records = read_all(Ingest(source=str(tmp_path / f"{name}.parquet")), tmp_path)
        reasons = {record.position: record.reason for record in records.unreadable}
        others = {6: "wrong size: 700 bytes, expected 784", 7: "no image"}
        assert reasons == {
            3: "null among the pixels",
            4: f"pixels of {kind.value_type} from 0 to 256, expected 0 to 255; --grey converts",
            5: f"pixels of {kind.value_type} from -1 to 255, expected 0 to 255",
            **(others if name == "flat" else {}),
        }
        kept = [n for n in range(50) if n not in reasons]
        assert np.array_equal(records.images, IMAGES[kept])


def test_page_checksums_are_compared(tmp_path: Path) -> None:
    """One bit among raw pixels, which nothing else would notice."""
    path = tmp_path / "a.parquet"
    table = pa.table({"image": pa.array([row.tobytes() for row in FLAT], pa.binary(784))})
    table = table.append_column("label", NUMBERS)
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[content.index(FLAT[20].tobytes()) + 400] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        StepError, match=r"a\.parquet: .*(CRC|checksum).*expected a Parquet file that is whole"
    ):
        read_all(Ingest(source=str(path)), tmp_path)


NAMES = {
    "train/0000.parquet": "test/0000.parquet",
    "split=train/a.parquet": "split=test/a.parquet",
    "mnist_train-00000-of-00001.parquet": "mnist_test-00000-of-00001.parquet",
    "data/training.parquet": "data/testing.parquet",
    "plain_text/train-1.parquet": "plain_text/test-1.parquet",
}


@pytest.mark.parametrize("train", NAMES)
@pytest.mark.parametrize("validation", ["", "valid", "val", "dev", "validation"])
def test_splits_under_their_other_names(train: str, validation: str, tmp_path: Path) -> None:
    source = tmp_path / "test of train"  # what lies above the source says nothing
    write_parquet(source / train, *digits(60, 1), "binary")
    write_parquet(source / NAMES[train], *digits(20, 2), "binary")
    if validation:
        path = source / train.replace("training", validation).replace("train", validation)
        write_parquet(path, *digits(15, 3), "binary")
    config = Ingest(source=str(source), validation_size=10)
    source_, _ = read_all(config, tmp_path)
    counts: dict[str | None, int] = {}
    for part in source_.ranges(1_000):
        counts[part.split] = counts.get(part.split, 0) + part.stop - part.start
    taken = 0 if validation else 10
    assert counts == {"train": 60 - taken, "validation": 15 if validation else 10, "test": 20}


def test_splits_that_nobody_asked_for_are_left_out_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("train", "test", "unsupervised", "extra")):
        write_parquet(tmp_path / "s" / f"{name}-0.parquet", *digits(30, seed), "binary")
    config = Ingest(source=str(tmp_path / "s"), validation_size=10)
    source, records = read_all(config, tmp_path)
    assert len(records.images) == 60
    assert source.splits_from.endswith("; 2 files that name none are left out")
    printed = capsys.readouterr().out
    assert "Left out, since other files name the splits" in printed
    assert "extra-0.parquet" in printed
    assert "unsupervised-0.parquet" in printed


def test_a_source_that_names_one_split_is_cut_by_hash_and_told(tmp_path: Path) -> None:
    write_parquet(tmp_path / "s" / "train.parquet", *digits(30), "binary")
    source, _ = read_all(Ingest(source=str(tmp_path / "s")), tmp_path)
    assert source.splits_from == (
        "a hash of each image, by the shares of --validation-share and --test-share, since the "
        "source names train only"
    )


def test_without_labels(tmp_path: Path) -> None:
    table = pa.table({"image": COLUMNS["int64"]()})
    pq.write_table(table, tmp_path / "new.parquet")
    _, records = read_all(Ingest(source=str(tmp_path / "new.parquet")), tmp_path, labelled=False)
    assert np.array_equal(records.images, IMAGES)
    assert set(records.labels.tolist()) == {-1}


def test_classes_that_differ_among_files_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        features = {"label": {"names": [f"{name}{n}" for n in range(10)]}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        table = pa.table({"image": COLUMNS["int64"](), "label": NUMBERS})
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / f"{name}.parquet")
    with pytest.raises(StepError, match="name other classes each"):
        read_all(Ingest(source=f"{tmp_path}/*.parquet"), tmp_path)
