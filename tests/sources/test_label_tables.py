"""Pictures whose labels are in a table, or in a file beside each."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.config import Ingest, Reading
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from tests.ingest.conftest import digits, png, read_all

IMAGES, LABELS = digits(40)
NAMES = np.array(["cat", "dog", "eel"])[LABELS % 3]
# What each table looks like; {file} is a name with its type, {stem} one without.
TABLES = {
    "metadata.csv": ("file_name,label", "{file},{label}"),
    "labels.csv": ("id,breed", "{stem},{label}"),
    "train.csv": ("", "{file},{label}"),
    "a.tsv": ("label\timage\twhat", "{label}\t{file}\tdigit"),
    "b.csv": ("image;label", "./{file};{label}"),
    "c.csv": ("file_name,text,label,width", "{file},a sentence,{label},28"),
    "_classes.csv": ("filename, cat, dog, eel", "{file}, {hot}"),
    "metadata.jsonl": ("", '{{"file_name": "{file}", "label": "{label}", "id": {number}}}'),
}


def lines(table: str, prefix: str = "") -> str:
    header, row = TABLES[table]
    rows = [
        row.format(
            file=f"{prefix}{number:03}x.png",
            stem=f"{number:03}x",
            label=name,
            number=number,
            hot=", ".join("01"[name == one] for one in ("cat", "dog", "eel")),
        )
        for number, name in enumerate(NAMES)
    ]
    return "\n".join([*([header] if header else []), *rows]) + "\n"


def labels_of(records: object, source: object) -> dict[bytes, str]:
    names = source.class_names  # type: ignore[attr-defined]
    pairs = zip(records.images, records.labels, strict=True)  # type: ignore[attr-defined]
    return {image.tobytes(): names[label] for image, label in pairs}


EXPECTED = {image.tobytes(): str(name) for image, name in zip(IMAGES, NAMES, strict=True)}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("place", ["beside", "above", "in a zip"])
def test_labels_from_a_table(table: str, place: str, tmp_path: Path) -> None:
    folder = "images/" if place == "above" else ""
    files = {f"{folder}{n:03}x.png": png(image) for n, image in enumerate(IMAGES)}
    files[table] = lines(table).encode()
    files["notes.csv"] = b"a,b\n1,2\n"
    if place == "in a zip":
        with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        source = str(tmp_path / "in.zip")
    else:
        for name, content in files.items():
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        source = str(tmp_path / "in")
    opened, records = read_all(Ingest(source=source), tmp_path)
    assert opened.class_names == ("cat", "dog", "eel")
    assert labels_of(records, opened) == EXPECTED
    given = Ingest(source=source, class_names="eel,dog,cat,fox")
    again, records = read_all(given, tmp_path)
    assert again.class_names == ("eel", "dog", "cat", "fox")
    assert labels_of(records, again) == EXPECTED


def test_a_table_a_split_and_a_column_of_splits(tmp_path: Path) -> None:
    for way in ("folders", "column"):
        rows = {"train": ["file_name,label,split"], "eval": ["file_name,label,split"]}
        for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
            split = "eval" if number < 10 else "train"
            folder = tmp_path / way / (split if way == "folders" else "")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.png").write_bytes(png(image))
            column = split if way == "column" else split[:0]
            rows[split].append(f"{number}.png,{label},{column}")
        if way == "folders":
            for split, found in rows.items():
                text = "\n".join(line.rpartition(",")[0] for line in found)
                (tmp_path / way / split / "metadata.csv").write_text(text)
        else:
            text = "\n".join([*rows["train"], *rows["eval"][1:]])
            (tmp_path / way / "metadata.csv").write_text(text)
        config = Ingest(source=str(tmp_path / way), validation_size=5)
        dataset = ingest(config, tmp_path / f"{way}-out")
        assert [split.records for split in dataset.splits.values()] == [25, 5, 10]


def test_other_labels_give_another_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, image in enumerate(IMAGES):
        (tmp_path / "in" / f"{number:03}x.png").write_bytes(png(image))
    (tmp_path / "in" / "labels.csv").write_text(lines("labels.csv"))
    before, _ = read_all(Ingest(source=str(tmp_path / "in")), tmp_path)
    (tmp_path / "in" / "labels.csv").write_text(lines("labels.csv").replace("cat", "cow"))
    same, _ = read_all(Ingest(source=str(tmp_path / "in")), tmp_path)
    assert same.fingerprint == before.fingerprint  # the same classes under another name
    (tmp_path / "in" / "labels.csv").write_text(lines("labels.csv").replace("x,cat", "x,eel", 1))
    other, _ = read_all(Ingest(source=str(tmp_path / "in")), tmp_path)
    assert other.fingerprint != before.fingerprint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lines("metadata.csv") + "900x.png,cat\n", "names 1 files that are not there: 900x.png"),
        (lines("metadata.csv") + "000x.png,eel\n", "000x.png has two labels"),
        ("width,height\n28,28\n", "is in no folder, expected a folder a class, or beside them"),
        ("file_name,width,height\n000x.png,28,28\n", "is in no folder, expected a folder a class"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, image in enumerate(IMAGES):
        (tmp_path / "in" / f"{number:03}x.png").write_bytes(png(image))
    (tmp_path / "in" / "metadata.csv").write_text(text)
    with pytest.raises(StepError, match=message):
        ingest(Ingest(source=str(tmp_path / "in")), tmp_path / "out")


def test_pictures_without_a_label_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, image in enumerate(IMAGES):
        path = tmp_path / "in" / ("test" if number > 30 else "train") / f"{number:03}x.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
    text = "".join(line + "\n" for line in lines("labels.csv").splitlines()[:32])
    (tmp_path / "in" / "labels.csv").write_text(text)
    _, records = read_all(Ingest(source=str(tmp_path / "in")), tmp_path)
    assert len(records.images) == 31
    printed = capsys.readouterr().out
    assert "Left out, since no label is given for them: test/031x.png, " in printed
    assert "and 6 more" in printed


def tarred(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as packed:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("folder", ["", "some/"])
def test_webdataset(folder: str, tmp_path: Path) -> None:
    for split, rows in (("train", range(30)), ("val", range(30, 40))):
        files: dict[str, bytes] = {}
        for number in rows:
            key = f"{folder}{number:06}"
            files |= {f"{key}.png": png(IMAGES[number]), f"{key}.cls": b"%d\n" % LABELS[number]}
            files[f"{key}.json"] = b"{}"
        tarred(tmp_path / f"digits-{split}-000000.tar", files)
    config = Ingest(source=f"{tmp_path}/*.tar", validation_size=5)
    dataset = ingest(config, tmp_path / "out")
    assert [split.records for split in dataset.splits.values()] == [25, 5, 10]
    assert dataset.class_names == list("0123456789")


@pytest.mark.parametrize("name", ["labels.xlsx", "a/notes.docx", "model.keras", "weights.pt"])
@pytest.mark.parametrize("with_zip", [False, True])
def test_a_zip_of_something_else_is_left_out_and_named(
    name: str, with_zip: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, image in enumerate(IMAGES):
        path = tmp_path / "in" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
    with zipfile.ZipFile(tmp_path / "in" / name, "w") as packed:
        packed.writestr("[Content_Types].xml", "<x/>")
        packed.writestr("data.pkl", b"\x80\x02.")
    (tmp_path / "in" / "sizes.csv").write_text("file,width,height\n0.png,28,28\n")
    if with_zip:  # which may hold the pictures that are meant
        with zipfile.ZipFile(tmp_path / "in" / "more.zip", "w") as packed:
            packed.writestr("a/1.png", png(IMAGES[0]))
        with pytest.raises(StepError, match=r"holds pictures .* and zip \(more.zip\)"):
            read_all(Ingest(source=str(tmp_path / "in")), tmp_path)
        return
    _, records = read_all(Ingest(source=str(tmp_path / "in")), tmp_path)
    assert len(records.images) == 40
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("rows", [7, 40])
def test_streams_of_arrow(rows: int, tmp_path: Path) -> None:
    metadata = {
        "huggingface": json.dumps({"info": {"features": {"label": {"names": list("abcdefghij")}}}})
    }
    for split in ("train", "test"):
        (tmp_path / "in" / split).mkdir(parents=True)
        packed = pa.array([{"bytes": png(image), "path": None} for image in IMAGES])
        table = pa.table({"image": packed, "label": pa.array(LABELS.astype(int))})
        table = table.replace_schema_metadata(metadata)
        path = tmp_path / "in" / split / "data-00000-of-00001.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, rows)
        (tmp_path / "in" / split / "dataset_info.json").write_text("{}")
    config = Ingest(source=str(tmp_path / "in"), validation_size=5, shard_size=11)
    source, records = read_all(config, tmp_path)
    assert source.class_names == tuple("abcdefghij")
    assert np.array_equal(records.images, np.concatenate([IMAGES, IMAGES]))
    assert np.array_equal(records.labels, np.concatenate([LABELS, LABELS]))
    whole = path.read_bytes()
    for damaged in (whole[:-2_000], whole.replace(b"image", b"\x80mage")):
        path.write_bytes(damaged)
        with pytest.raises(StepError, match="expected a stream of Arrow that is whole"):
            ingest(config, tmp_path / "out")


@pytest.mark.parametrize("packed", [False, True])
def test_arrays_in_files_of_their_own(packed: bool, tmp_path: Path) -> None:
    import gzip

    (tmp_path / "in").mkdir()
    for name, array in (
        ("x_train", IMAGES),
        ("y_train", LABELS),
        ("X_test", IMAGES[::-1]),
        ("y_test", LABELS[::-1]),
    ):
        content = io.BytesIO()
        np.save(content, array)
        data = gzip.compress(content.getvalue()) if packed else content.getvalue()
        (tmp_path / "in" / f"{name}.npy{'.gz' if packed else ''}").write_bytes(data)
    config = Ingest(source=str(tmp_path / "in"), validation_size=5)
    source, records = read_all(config, tmp_path)
    assert [part.split for part in source.ranges(1_000)] == ["validation", "train", "test"]
    assert np.array_equal(records.images, np.concatenate([IMAGES, IMAGES[::-1]]))


def kaggle(directory: Path) -> None:
    directory.mkdir()
    header = ",".join(f"pixel{n}" for n in range(784))
    pixels = IMAGES.reshape(40, -1).tolist()
    text = [header, *(",".join(map(str, row)) for row in pixels[:15])]
    (directory / "test.csv").write_text("\n".join(text))
    rows = zip(LABELS[15:], pixels[15:], strict=True)
    text = [f"label,{header}", *(",".join(map(str, [label, *row])) for label, row in rows)]
    (directory / "train.csv").write_text("\n".join(text))


def test_what_needs_no_labels_reads_what_has_labels_and_what_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle(tmp_path / "in")
    _, records = read_all(Reading(source=str(tmp_path / "in")), tmp_path)  # type: ignore[arg-type]
    assert np.array_equal(records.images, IMAGES)
    assert records.labels.tolist() == [-1] * 15 + LABELS[15:].tolist()
    _, records = read_all(Ingest(source=str(tmp_path / "in")), tmp_path)
    assert len(records.images) == 25
    assert capsys.readouterr().out.count("Left out") == 1
