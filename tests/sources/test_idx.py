"""IDX files under the names in the wild."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from components.shared.manifests import Dataset
from components.sources.arrays import parse_sums
from components.sources.filesystem import open_directory
from components.sources.open_source import open_source
from tests.idx_files import encode_idx, write_source
from tests.ingest.conftest import digits, write_parquet
from tests.ingest.test_ingest import read

TRAIN, TEST = digits(40), digits(20, seed=1)
SMALL: dict[str, Any] = {"validation_size": 10}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """What the files under MNIST's own names give."""
    directory = tmp_path_factory.mktemp("own")
    source = write_source(directory / "source", TRAIN, TEST)
    return ingest(Ingest(source=str(source), **SMALL), directory / "out")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source", TRAIN, TEST)


def _dots(source: Path) -> None:
    """As some unpackers name them: train-images.idx3-ubyte."""
    for file in source.iterdir():
        file.rename(source / file.name.replace("-idx", ".idx"))


def _kaggle(source: Path) -> None:
    """As in Kaggle's archive: each file in a directory of its name, and beside it once more."""
    for file in list(source.iterdir()):
        content = file.read_bytes()
        file.unlink()
        file.mkdir()
        (file / file.name).write_bytes(content)
        (source / file.name.replace("-idx", ".idx")).write_bytes(content)


def _raw(source: Path) -> None:
    """As torchvision leaves them, packed and unpacked."""
    for file in list(source.iterdir()):
        target = source / "MNIST" / "raw" / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
        target.with_name(f"{file.name}.gz").write_bytes(gzip.compress(target.read_bytes()))


def _lying(source: Path) -> None:
    """Gzip without the suffix, and the suffix without gzip."""
    for prefix in ("train", "t10k"):
        images = source / f"{prefix}-images-idx3-ubyte"
        images.write_bytes(gzip.compress(images.read_bytes()))
        labels = source / f"{prefix}-labels-idx1-ubyte"
        labels.rename(source / f"{labels.name}.gz")


def _qmnist(source: Path) -> None:
    """QMNIST: labels are the first of eight columns of 32 bits."""
    for prefix, name, labels in (("train", "train", TRAIN[1]), ("t10k", "test", TEST[1])):
        images = source / f"{prefix}-images-idx3-ubyte"
        (source / f"qmnist-{name}-images-idx3-ubyte").write_bytes(images.read_bytes())
        images.unlink()
        (source / f"{prefix}-labels-idx1-ubyte").unlink()
        columns = np.zeros((len(labels), 8), ">i4")
        columns[:, 0], columns[:, 1:] = labels, 1234
        header = b"\0\0\x0c\x02" + len(labels).to_bytes(4, "big") + (8).to_bytes(4, "big")
        packed = gzip.compress(header + columns.tobytes())
        (source / f"qmnist-{name}-labels-idx2-int.gz").write_bytes(packed)


def _among_others(source: Path) -> None:
    """Hidden, temporary and foreign files beside them."""
    write_parquet(source / ".cache" / "old.parquet", *digits(30), "binary")
    (source / "._train-images-idx3-ubyte").write_bytes(b"\0\5\26\7")
    (source / "_SUCCESS").touch()
    (source / "__MACOSX").mkdir()
    (source / "__MACOSX" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    (source / "README.md").write_text("# MNIST, in four files\n")


NAMES = (_dots, _kaggle, _raw, _lying, _qmnist, _among_others)


@pytest.mark.parametrize("change", NAMES, ids=lambda change: change.__name__.strip("_"))
def test_files_are_found_under_their_other_names(
    change: Callable[[Path], None], source: Path, expected: Dataset, tmp_path: Path
) -> None:
    change(source)
    dataset = ingest(Ingest(source=str(source), **SMALL), tmp_path / "out")
    assert dataset.fingerprint == expected.fingerprint
    assert dataset.splits_from == (
        "train and test are those that the source names, validation is the first 10 records of "
        "train"
    )


@pytest.mark.parametrize("own_transpose", [False, True])
def test_emnist_is_transposed_and_its_classes_are_those_of_its_mapping(
    own_transpose: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """EMNIST letters: labels from 1 on, each a capital and a small letter."""
    source = tmp_path / "gzip"
    source.mkdir()
    for name, (images, labels) in (("train", TRAIN), ("test", TEST)):
        stored = np.ascontiguousarray(images.swapaxes(1, 2))
        labels = labels + 1
        for part, array in (("images-idx3", stored), ("labels-idx1", labels)):
            path = source / f"emnist-letters-{name}-{part}-ubyte.gz"
            path.write_bytes(gzip.compress(encode_idx(array)))
    lines = [f"{n + 1} {ord('A') + n} {ord('a') + n}" for n in range(26)]
    (source / "emnist-letters-mapping.txt").write_text("\n".join(lines) + "\n")
    config = Ingest(source=str(source), transpose=own_transpose, **SMALL)
    dataset = ingest(config, tmp_path / "out")
    assert dataset.class_names == [f"{chr(65 + n)}{chr(97 + n)}" for n in range(26)]
    images, labels = read(tmp_path / "out", "test")
    assert np.array_equal(images, TEST[0])
    assert np.array_equal(labels, TEST[1])
    assert ("EMNIST stores images by columns" in capsys.readouterr().out) is not own_transpose


def test_several_data_sets_in_a_directory_are_told_apart(tmp_path: Path) -> None:
    source = tmp_path / "gzip"
    source.mkdir()
    for data_set in ("balanced", "digits"):
        for name, (images, labels) in (("train", TRAIN), ("test", TEST)):
            for part, array in (("images-idx3", images), ("labels-idx1", labels)):
                (source / f"emnist-{data_set}-{name}-{part}-ubyte").write_bytes(encode_idx(array))
    with pytest.raises(StepError, match=r"2 data sets.*name one by a pattern, as '.*balanced-\*'"):
        ingest(Ingest(source=str(source), **SMALL), tmp_path / "out")
    dataset = ingest(Ingest(source=f"{source}/emnist-digits-*", **SMALL), tmp_path / "out")
    assert dataset.metrics["read"] == 60


def test_any_pair_is_named_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "scans").write_bytes(encode_idx(TRAIN[0]))
    (tmp_path / "what-they-are").write_bytes(encode_idx(TRAIN[1]))
    source = f"{tmp_path}/scans, {tmp_path}/what-they-are"
    dataset = ingest(Ingest(source=source), tmp_path / "out")
    assert dataset.metrics["written"] == 40
    assert "since the source names none" in dataset.splits_from


def test_days_of_idx_files(source: Path, tmp_path: Path) -> None:
    for day, seed in (("2026-11-22", 5), ("2026-11-24", 6)):
        write_source(tmp_path / "days" / day, digits(30, seed), digits(10, seed + 2))
    source.rename(tmp_path / "days" / "2026-11-23")
    config = Ingest(source=f"{tmp_path}/days/{{date}}", span=2, until="2026-11-23", **SMALL)
    dataset = ingest(config, tmp_path / "out")
    counts = {name: split.records for name, split in dataset.splits.items()}
    assert counts == {"train": 60, "validation": 10, "test": 30}


def test_idx_files_beside_another_kind_are_refused_naming_both(
    source: Path, tmp_path: Path
) -> None:
    write_parquet(source / "more" / "a.parquet", *digits(30), "binary")
    with pytest.raises(StepError) as caught:
        ingest(Ingest(source=str(source), **SMALL), tmp_path / "out")
    assert "IDX (t10k-images-idx3-ubyte) and Parquet (more/a.parquet)" in str(caught.value)


def test_fashion_is_named_as_such(source: Path, tmp_path: Path) -> None:
    fashion = source.rename(tmp_path / "fashion-mnist")
    dataset = ingest(Ingest(source=str(fashion), **SMALL), tmp_path / "out")
    assert dataset.class_names[9] == "Ankle boot"


@pytest.mark.parametrize("asked", ["a,b,c,d,e,f,g,h,i,ten", "names.txt"])
def test_classes_are_named_by_the_user(asked: str, source: Path, tmp_path: Path) -> None:
    names = [*"abcdefghi", "ten"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    asked = asked if "," in asked else str(tmp_path / asked)
    config = Ingest(source=str(source), class_names=asked, **SMALL)
    assert ingest(config, tmp_path / "out").class_names == names


def test_more_classes_are_numbered_on_demand(tmp_path: Path) -> None:
    labels = (np.arange(40) % 12).astype(np.uint8)
    source = write_source(tmp_path / "source", (TRAIN[0], labels), TEST)
    with pytest.raises(StepError, match="label 10, expected 0 to 9"):
        ingest(Ingest(source=str(source), **SMALL), tmp_path / "out")
    config = Ingest(source=str(source), class_names="12", **SMALL)
    assert ingest(config, tmp_path / "out").class_names == [str(n) for n in range(12)]


def _sums(source: Path, line: str, ending: str = "") -> None:
    kind = "SHA256" if "sha256" in line else "MD5"
    found = {
        file.name: {
            "md5": hashlib.md5(file.read_bytes()).hexdigest(),
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in sorted(source.iterdir())
    }
    lines = [line.format(name=name, **sums) + "\n" for name, sums in found.items()]
    (source / f"{kind}SUMS").write_text("".join(lines) + ending)


@pytest.mark.parametrize(
    "line",
    [
        "{md5}  {name}",
        "{md5} *./{name}",
        "MD5 ({name}) = {md5}",
        "# sums\n{md5}  {name}\r",
        "{sha256}  {name}",
        "SHA256 (./{name}) = {sha256}",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_published_sums_are_checked_in_every_form(line: str, packed: bool, tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", TRAIN, TEST, packed)
    _sums(source, line, f"{'0' * 32}  a file of another data set\n")
    ingest(Ingest(source=str(source), **SMALL), tmp_path / "out")
    path = source / f"t10k-labels-idx1-ubyte{'.gz' if packed else ''}"
    content = encode_idx((TEST[1] + 1) % 10)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(StepError, match=r"t10k-labels.*: (MD5|SHA256) of the .*fetch it again"):
        ingest(Ingest(source=str(source), **SMALL), tmp_path / "out")


@pytest.mark.fuzz
@given(st.text())
def test_any_text_has_sums_or_none(text: str) -> None:
    for name, found in parse_sums(text).items():
        assert name and len(found) in (32, 64) and int(found, 16) >= 0


def test_a_page_in_place_of_the_sums_is_told(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "MD5SUMS").write_text("<!doctype html><title>Not here</title>")
    ingest(Ingest(source=str(source), **SMALL), tmp_path / "out")
    assert "no sums in it; nothing is checked against it" in capsys.readouterr().out


def test_a_gzip_that_goes_on_behind_its_array_is_refused_before_it_is_unpacked(
    source: Path, tmp_path: Path
) -> None:
    path = source / "t10k-images-idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes() + bytes(1 << 28), 1))
    work = tmp_path / "work"
    work.mkdir()
    with pytest.raises(StepError, match="more than 15696 bytes unpacked, expected 15696"):
        open_source(Ingest(source=str(source), **SMALL), open_directory(str(work)))
    assert sum(file.stat().st_size for file in work.iterdir()) < 1 << 20


@pytest.mark.parametrize("packed", [False, True])
def test_only_packed_files_are_written_anew(packed: bool, tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", TRAIN, TEST, packed)
    work = tmp_path / "work"
    work.mkdir()

    opened = open_source(Ingest(source=str(source), **SMALL), open_directory(str(work)))

    part = opened.ranges(40)[0]
    np.testing.assert_array_equal(opened.read(part).images, TRAIN[0][part.start : part.stop])
    assert len(list(work.iterdir())) == (4 if packed else 0)
