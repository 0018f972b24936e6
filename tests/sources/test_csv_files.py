"""CSV of pixels, as Kaggle has MNIST; written by pandas and by the standard library."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from components.sources import files
from tests.ingest.conftest import Array, dataset_digest, digits, fuzz, read_all
from tests.ingest.test_ingest import read

IMAGES, LABELS = digits(600)


def frame(images: Array = IMAGES, labels: Array = LABELS) -> pd.DataFrame:
    """As Kaggle's digit recognizer: label, pixel0, pixel1 and so on."""
    pixels = {f"pixel{n}": column for n, column in enumerate(images.reshape(len(images), -1).T)}
    return pd.DataFrame({"label": labels, **pixels})


def _kaggle(path: Path) -> None:
    frame().to_csv(path, index=False)


def _no_header(path: Path) -> None:
    frame().to_csv(path, index=False, header=False)


def _label_last(path: Path) -> None:
    frame()[[*frame().columns[1:], "label"]].to_csv(path, index=False)


def _rows_and_columns(path: Path) -> None:
    """As Joseph Redmon's, with a header: label, 1x1, 1x2 and so on."""
    names = ["label"] + [f"{n // 28 + 1}x{n % 28 + 1}" for n in range(784)]
    frame().set_axis(names, axis=1).to_csv(path, index=False)


def _packed(path: Path) -> None:
    frame().to_csv(path, index=False, compression="gzip")


def _windows(path: Path) -> None:
    """With a mark of the byte order, two characters a line end, a quoted header, blank lines."""
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(frame().columns)
        csv.writer(file).writerows(frame().to_numpy().tolist())
        file.write("\r\n\r\n")


def _with_an_index(path: Path) -> None:
    frame().to_csv(path, index_label="id")


FORMS = (_kaggle, _no_header, _label_last, _rows_and_columns, _packed, _windows, _with_an_index)


@pytest.mark.parametrize("write", FORMS, ids=lambda write: write.__name__.strip("_"))
def test_every_form_gives_the_same_records(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "digits")
    config = Ingest(source=str(tmp_path / "digits"), shard_size=190)
    source, records = read_all(config, tmp_path)
    assert source.image_shape == (28, 28)
    assert "since the source names none" in source.splits_from
    assert np.array_equal(records.images, IMAGES)
    assert np.array_equal(records.labels, LABELS)
    assert not records.unreadable


def test_files_named_after_splits_are_the_splits(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    frame().to_csv(source / "mnist_train.csv", index=False)
    frame(*digits(80, seed=1)).to_csv(source / "mnist_test.csv", index=False)
    config = Ingest(source=str(source), validation_size=100)
    dataset = ingest(config, tmp_path / "out")
    assert [split.records for split in dataset.splits.values()] == [500, 100, 80]
    assert np.array_equal(read(tmp_path / "out", "validation")[0], IMAGES[:100])


def test_kaggles_folder_is_read_without_what_has_no_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame().to_csv(tmp_path / "train.csv", index=False)
    frame().drop(columns="label").to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n2,0\n")
    config = Ingest(source=f"{tmp_path}/*.csv")
    source, records = read_all(config, tmp_path)
    assert len(records.images) == 600
    assert "since the source names train only" in source.splits_from
    printed = capsys.readouterr().out
    assert "test.csv: columns pixel0, pixel1, " in printed
    assert "sample_submission.csv: columns ImageId, Label, and none is label" in printed


def test_without_labels_every_column_is_a_pixel(tmp_path: Path) -> None:
    frame().drop(columns="label").to_csv(tmp_path / "test.csv", index=False)
    _, records = read_all(Ingest(source=str(tmp_path / "test.csv")), tmp_path, labelled=False)
    assert np.array_equal(records.images, IMAGES)
    assert set(records.labels.tolist()) == {-1}


def test_another_shape_and_classes_by_name(tmp_path: Path) -> None:
    images = IMAGES[:30, :10, :6]
    names = np.array(["eel", "cat", "dog"])
    table = frame(images, LABELS[:30])
    table.columns = ["what", *[f"{n // 6}x{n % 6}" for n in range(60)]]
    table["what"] = names[np.arange(30) % 3]
    table.to_csv(tmp_path / "a.csv", index=False)
    config = Ingest(source=str(tmp_path / "a.csv"), label_column="what", class_names="cat,dog,eel")
    source, records = read_all(config, tmp_path)
    assert source.image_shape == (10, 6)
    assert records.labels.tolist() == [2, 0, 1] * 10
    assert np.array_equal(records.images, images)


def test_bad_rows_are_rejected_each_with_its_reason(tmp_path: Path) -> None:
    rows = frame().astype(object).to_numpy().tolist()
    rows[3][5] = "256"
    rows[4][5] = "-1"
    rows[260][0] = ""
    rows[261][5] = ""
    rows[262][5] = "1.5"
    rows[263] = rows[263][:700]
    rows[264] = []
    rows[265][0] = "seven"
    text = "\n".join(",".join(map(str, row)) for row in rows)
    (tmp_path / "a.csv").write_text(text)  # the last line has no end
    _, records = read_all(Ingest(source=str(tmp_path / "a.csv")), tmp_path)
    assert {record.position: record.reason for record in records.unreadable} == {
        3: "pixel '256', expected a whole number, 0 to 255",
        4: "pixel '-1', expected a whole number, 0 to 255",
        260: "no label",
        261: "pixel '', expected a whole number, 0 to 255",
        262: "pixel '1.5', expected a whole number, 0 to 255",
        263: "wrong size: 700 cells, expected 785",
        264: "wrong size: 1 cells, expected 785",
        265: "label 'seven', expected a class's name or number",
    }
    readable = np.ones(600, bool)
    readable[[record.position for record in records.unreadable]] = False
    assert np.array_equal(records.images, IMAGES[readable])
    assert np.array_equal(records.labels, LABELS[readable])


def test_the_same_bytes_whatever_the_shards_and_workers(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "a.csv", index=False)
    config = Ingest(source=str(tmp_path / "a.csv"), shard_size=70)
    ingest(config, tmp_path / "one")
    many = ("--direct_num_workers=4", "--direct_running_mode=multi_threading")
    ingest(config, tmp_path / "many", many)
    assert dataset_digest(tmp_path / "one") == dataset_digest(tmp_path / "many")


def by_place(images: Array = IMAGES) -> pd.DataFrame:
    names = [f"{n // 28 + 1}x{n % 28 + 1}" for n in range(784)]
    table = pd.DataFrame(images.reshape(len(images), -1), columns=names)
    table.insert(0, "label", LABELS)
    return table


@fuzz
@given(
    table=st.sampled_from([frame(IMAGES[:30], LABELS[:30]), by_place()[:30]]),
    order=st.permutations(range(785)) | st.sampled_from(["by name", "backwards"]),
    index=st.sampled_from(["", "Unnamed: 0", "id", "index"]),
)
def test_columns_in_any_order_give_the_same_images(
    table: pd.DataFrame, order: list[int] | str, index: str, tmp_path: Path
) -> None:
    names = list(table.columns)
    if isinstance(order, str):
        names = sorted(names) if order == "by name" else names[::-1]
    else:
        names = [names[place] for place in order]
    some = {"index": True, "index_label": index} if index else {"index": False}
    table[names].to_csv(tmp_path / "a.csv", **some)
    _, records = read_all(Ingest(source=str(tmp_path / "a.csv")), tmp_path)
    assert np.array_equal(records.images, IMAGES[:30])
    assert np.array_equal(records.labels, LABELS[:30])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="pixel100"), "columns pixel0 to pixel783 are 783; expected all"),
        (lambda t: t.rename(columns={"pixel783": "pixel900"}), "pixel0 to pixel900 are 784"),
        (lambda t: t.rename(columns={"pixel783": "pixel5"}), "two columns pixel5"),
        (
            lambda t: t.rename(columns=lambda n: n.replace("pixel0", "label")),
            "2 columns are called",
        ),
        (
            lambda t: t.rename(columns={f"pixel{n}": f"b{n}" for n in range(392)}),
            r"pixels (pixel|b)…",
        ),
        (
            lambda t: t.rename(columns={f"pixel{n}": f"pixel{n + 5}" for n in range(784)}),
            "from 0 or 1",
        ),
    ],
)
def test_columns_that_do_not_say_the_image_are_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], message: str, tmp_path: Path
) -> None:
    change(frame().head(20)).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(StepError, match=message):
        ingest(Ingest(source=str(tmp_path / "a.csv")), tmp_path / "out")


@pytest.mark.parametrize("side", [2, 8, 15, 28])
@pytest.mark.parametrize("first", [0, 1])
def test_a_first_line_that_counts_is_a_header(
    side: int, first: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = IMAGES[:40, :side, :side]
    table = pd.DataFrame(np.column_stack([LABELS[:40], images.reshape(40, -1)]))
    table.columns = range(first, first + side * side + 1)
    table.to_csv(tmp_path / "a.csv", index=False)
    _, records = read_all(Ingest(source=str(tmp_path / "a.csv")), tmp_path)
    assert np.array_equal(records.images, images)
    assert np.array_equal(records.labels, LABELS[:40])
    assert "is taken for a header" in capsys.readouterr().out


@pytest.mark.parametrize("place", [0, 1, 400, 784, -1, -2, -785])
@pytest.mark.parametrize("counted", [False, True])
def test_the_label_without_a_header_is_where_one_says(
    place: int, counted: bool, tmp_path: Path
) -> None:
    table = np.insert(IMAGES.reshape(600, -1), place % 785, LABELS, axis=1)
    pd.DataFrame(table).to_csv(tmp_path / "a.csv", index=False, header=counted)
    config = Ingest(source=str(tmp_path / "a.csv"), label_column=str(place))
    _, records = read_all(config, tmp_path)
    assert np.array_equal(records.images, IMAGES)
    assert np.array_equal(records.labels, LABELS)
    with pytest.raises(StepError, match="785 columns, and none at 785"):
        read_all(Ingest(source=str(tmp_path / "a.csv"), label_column="785"), tmp_path)


@pytest.mark.parametrize(
    ("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")]
)
@pytest.mark.parametrize("header", [True, False])
def test_other_separators_are_named(
    separator: str, name: str, header: bool, tmp_path: Path
) -> None:
    frame().head(9).to_csv(tmp_path / "a.csv", index=False, sep=separator, header=header)
    with pytest.raises(
        StepError, match=f"a.csv: cells separated by {name}, expected commas"
    ) as one:
        ingest(Ingest(source=str(tmp_path)), tmp_path / "out")
    assert len(str(one.value)) < 200


def _quoted(path: Path) -> str:
    frame().head(9).astype(str).to_csv(path, index=False, quoting=csv.QUOTE_ALL)
    return "a quotation mark at byte"


def _no_square(path: Path) -> str:
    frame(IMAGES[:, :27]).to_csv(path, index=False)
    return "756 pixels a line, expected a square's, or columns named 1x1, 1x2, …"


def _no_pixels(path: Path) -> str:
    path.write_text("file,label\na.png,3\n")
    return "columns file, label; expected a column a pixel"


def _no_label(path: Path) -> str:
    frame().drop(columns="label").to_csv(path, index=False)
    return "and none is label; --label-column names another"


def _carriage_returns(path: Path) -> str:
    path.write_bytes(b"label,p0,p1,p2,p3\r1,2,3,4,5\r")
    return "its first line is not CSV (new-line character seen"


def _only_a_header(path: Path) -> str:
    frame().head(0).to_csv(path, index=False)
    return "no records in 1 files, expected some"


def _bomb(path: Path) -> str:
    path.write_bytes(gzip.compress(b"1,2,3,4,5\n" + b"0,0,0,0,0\n" * 200_000))
    return "a gzip that unpacks to more than 200 times its"


BAD = (_quoted, _no_square, _no_pixels, _no_label, _carriage_returns, _only_a_header, _bomb)


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__.strip("_"))
def test_a_bad_file_is_one_line(
    spoil: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ALWAYS", 1 << 20)
    message = spoil(tmp_path / "a.csv")
    with pytest.raises(StepError) as caught:
        read_all(Ingest(source=str(tmp_path / "a.csv")), tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path / "a.csv") in str(caught.value)
