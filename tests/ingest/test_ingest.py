"""Ingestion through its entry function and its command line."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.errors import StepError
from components.shared.manifests import Dataset
from components.shared.outcome import Outcome
from components.shared.records import decode
from tests.conftest import MNIST, TEST, TRAIN, VALIDATION, Command, Outcomes
from tests.idx_files import encode_idx, read_mnist, write_source
from tests.ingest.conftest import Array, dataset_digest, digits


def read(examples: Path, split: str) -> tuple[Array, Array]:
    """All digits of a split."""
    dataset = Dataset.read(examples)
    parts = [
        decode(Path(file).read_bytes(), dataset.image_shape)
        for file in dataset.files(examples, split)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def test_the_splits_are_the_tutorials(examples: Path) -> None:
    train = read_mnist(MNIST, "train", VALIDATION + TRAIN)
    test = read_mnist(MNIST, "t10k", TEST)
    for split, images, labels in (
        ("validation", train[0][:VALIDATION], train[1][:VALIDATION]),
        ("train", train[0][VALIDATION:], train[1][VALIDATION:]),
        ("test", *test),
    ):
        found = read(examples, split)
        assert np.array_equal(found[0], images)
        assert np.array_equal(found[1], labels)


def test_its_outcome_says_how_much_there_is(
    tiny_source: Path, tmp_path: Path, outcomes: Outcomes
) -> None:
    ingest(Ingest(source=str(tiny_source), validation_size=10), tmp_path / "examples")
    message = "Wrote train 30, validation 10, test 20 examples; 0 rejected"
    assert outcomes("ingest") == Outcome(step="ingest", result="done", message=message)


def test_plain_and_gzip_files_give_the_same_records(small_source: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    for file in small_source.iterdir():
        (packed / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), 1))
    config = Ingest(source=str(small_source), validation_size=VALIDATION, shard_size=700)
    plain = ingest(config, tmp_path / "one")
    other = ingest(replace(config, source=str(packed)), tmp_path / "two")
    of_shards = {"__all__": {"shards": {"__all__": {"read_from"}}}}
    plain_says, other_says = (
        one.model_dump(exclude={"source": True, "splits": of_shards}) for one in (plain, other)
    )
    assert plain_says == other_says


def test_a_rerun_replaces_the_dataset_with_the_same_bytes(tmp_path: Path) -> None:
    config = Ingest(source="fake://5000", shard_size=900)
    ingest(config, tmp_path / "examples")
    before = dataset_digest(tmp_path / "examples")
    ingest(config, tmp_path / "examples")
    assert dataset_digest(tmp_path / "examples") == before
    assert [path.name for path in tmp_path.iterdir()] == ["examples"]


def test_mnist_keeps_its_fingerprint(examples: Path) -> None:
    dataset = Dataset.read(examples)
    assert dataset.image_shape == (28, 28)
    assert dataset.class_names == list("0123456789")
    # Whoever changes this has every model trained before judged on what it was not trained on.
    known = "715bea91cfac44b12a9e4c497f38168909fdfd9d9d13bd7580f0f4dda246e5cb"
    assert dataset.fingerprint == known


def test_shards_hold_what_the_manifest_says(examples: Path) -> None:
    import hashlib

    dataset = Dataset.read(examples)
    for split in dataset.splits.values():
        assert split.records == sum(shard.records for shard in split.shards) == sum(split.labels)
        for shard in split.shards:
            data = (examples / shard.file).read_bytes()
            assert hashlib.sha256(data).hexdigest() == shard.sha256
            assert len(data) == shard.bytes


def test_beams_counters_are_in_the_manifest(examples: Path) -> None:
    dataset = Dataset.read(examples)
    written = TRAIN + VALIDATION + TEST
    size = sum(shard.bytes for split in dataset.splits.values() for shard in split.shards)
    assert dataset.metrics == {"read": written, "written": written, "rejected": 0, "bytes": size}


def _no_file(source: Path) -> str:
    (source / "t10k-labels-idx1-ubyte").unlink()
    return (
        "t10k-images-idx3-ubyte: no labels for it, expected t10k-labels-idx1-ubyte; "
        "there is train-labels-idx1-ubyte"
    )


def _wrong_magic(source: Path) -> str:
    path = source / "train-images-idx3-ubyte"
    path.write_bytes(b"\0\1\x08\x03" + path.read_bytes()[4:])
    return "train-images-idx3-ubyte: magic number 67587, expected 2051"


def _signed(source: Path) -> str:
    path = source / "train-images-idx3-ubyte"
    path.write_bytes(b"\0\0\x09\x03" + path.read_bytes()[4:])
    return "train-images-idx3-ubyte, record 0: pixels of int8 from -"


def _short_header(source: Path) -> str:
    (source / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08")
    return "train-labels-idx1-ubyte: 3 bytes, expected an IDX header of 8 at least"


def _cut_short(source: Path) -> str:
    path = source / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    return f"{8 + 8 + 20 * 784 - 1} bytes unpacked, expected {8 + 8 + 20 * 784} for 20 x 28 x 28"


def _cut_gzip(source: Path) -> str:
    path = source / "train-images-idx3-ubyte"
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes())[:-20])
    path.unlink()
    return "train-images-idx3-ubyte.gz: damaged gzip"


def _corrupt_gzip(source: Path) -> str:
    path = source / "train-images-idx3-ubyte"
    data = bytearray(gzip.compress(path.read_bytes()))
    data[len(data) // 2] ^= 0xFF
    path.with_suffix(".gz").write_bytes(data)
    path.unlink()
    return "train-images-idx3-ubyte.gz: damaged gzip"


def _packed_twice(source: Path) -> str:
    path = source / "train-images-idx3-ubyte"
    path.with_suffix(".gz").write_bytes(gzip.compress(gzip.compress(path.read_bytes())))
    path.unlink()
    return "train-images-idx3-ubyte.gz"


def _counts_differ(source: Path) -> str:
    (source / "train-labels-idx1-ubyte").write_bytes(encode_idx(np.zeros(39, np.uint8)))
    return "as many images as labels"


def _label_outside(source: Path) -> str:
    labels = np.zeros(20, np.uint8)
    labels[7] = 10
    (source / "t10k-labels-idx1-ubyte").write_bytes(encode_idx(labels))
    return "t10k-images-idx3-ubyte, record 7: label 10, expected 0 to 9; --class-names names more: "


def _wrong_size(source: Path) -> str:
    images = np.zeros((20, 27, 28), np.uint8)
    (source / "t10k-images-idx3-ubyte").write_bytes(encode_idx(images))
    return "images of 27 x 28 pixels, expected the 28 x 28 of"


def _wrong_sum(source: Path) -> str:
    (source / "MD5SUMS").write_text(f"{'0' * 32}  train-images-idx3-ubyte\n")
    return f"expected the published {'0' * 32}"


def _no_test_records(source: Path) -> str:
    none = np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8)
    write_source(source, digits(40), none)
    return "t10k-images-idx3-ubyte: no records, expected some for the split test"


def _too_few(source: Path) -> str:
    write_source(source, digits(1), digits(20))
    return "1 records of train, expected 2 at least"


BAD_SOURCES = (
    _no_file,
    _wrong_magic,
    _signed,
    _short_header,
    _cut_short,
    _cut_gzip,
    _corrupt_gzip,
    _packed_twice,
    _counts_differ,
    _label_outside,
    _wrong_size,
    _wrong_sum,
    _no_test_records,
    _too_few,
)


@pytest.fixture
def tiny_source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source", digits(40), digits(20, seed=1))


@pytest.mark.parametrize("spoil", BAD_SOURCES, ids=lambda spoil: spoil.__name__.strip("_"))
def test_a_bad_source_is_one_line_and_leaves_nothing(
    spoil: Callable[[Path], str], tiny_source: Path, tmp_path: Path
) -> None:
    message = spoil(tiny_source)
    config = Ingest(source=str(tiny_source), validation_size=10)
    with pytest.raises(StepError) as caught:
        ingest(config, tmp_path / "examples")
    assert message in str(caught.value)
    assert str(tiny_source) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_the_command_line_tells_a_bad_source_in_one_line(
    tiny_source: Path, tmp_path: Path, command: Command, outcomes: Outcomes
) -> None:
    message = _label_outside(tiny_source)
    output = tmp_path / "examples"
    arguments = ("--source", tiny_source, "--validation-size", 10, "--output", output)
    process = command("components.ingest", *arguments, expect=1)
    assert process.stderr.startswith("error: ")
    assert message in process.stderr
    assert process.stderr.count("\n") == 1
    assert not output.exists()
    reported = outcomes("ingest")
    assert reported and reported.result == "failed"
    assert process.stderr == f"error: {reported.message}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard-size", 0), "--shard-size"),
        (("--max-rejected", 1.5), "--max-rejected"),
        (("--no-such-option",), "--no-such-option"),
    ],
)
def test_a_wrong_option_ends_with_code_2(
    arguments: tuple, message: str, tmp_path: Path, command: Command
) -> None:
    output = tmp_path / "examples"
    process = command("components.ingest", "--output", output, *arguments, expect=2)
    assert message in process.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "nowhere: not found, expected a directory or a file with images"),
        ("ftp://host/mnist", "ftp://host/mnist: expected a path, or an address with fake://"),
        ("fake://", "fake://: expected fake:// and a number of records"),
        ("fake://0", "fake://0: expected fake:// and a number of records"),
        ("fake://many", "fake://many: expected fake:// and a number of records"),
        ("fake://9?shape=28", "fake://9?shape=28: expected fake:// and a number of records"),
        ("fake://9?shape=0x28", "fake://9?shape=0x28: expected fake:// and a number of records"),
        ("fake://9?colour=1", "fake://9?colour=1: expected fake:// and a number of records"),
        ("fake://9?shape=257x1", "fake://9?shape=257x1: images of 257 x 1 pixels, expected 1 x 1"),
        ("fake://9?classes=129", "fake://9?classes=129: 129 classes, expected 2 to 128"),
        ("fake://9?classes=1", "fake://9?classes=1: 1 classes, expected 2 to 128"),
        ("no/*.parquet", "no/*.parquet: no files; expected some to match the pattern"),
    ],
)
def test_an_address_of_nothing_is_one_line(source: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        ingest(Ingest(source=source), tmp_path / "examples")
    assert str(caught.value).startswith(message)
    assert not list(tmp_path.iterdir())


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(StepError, match=r"holds files but no dataset\.json"):
        ingest(Ingest(source="fake://100"), tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "Dear"


def test_fake_records_do_not_depend_on_how_they_are_cut(tmp_path: Path) -> None:
    large = ingest(Ingest(source="fake://3000", shard_size=3000), tmp_path / "large")
    small = ingest(Ingest(source="fake://3000", shard_size=700), tmp_path / "small")
    for split in large.splits:
        one, other = read(tmp_path / "large", split), read(tmp_path / "small", split)
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
    figures = [
        {name: s.model_dump(exclude={"shards"}) for name, s in dataset.splits.items()}
        for dataset in (large, small)
    ]
    assert figures[0] == figures[1]


def test_the_component_hands_on_the_statistics_page(tmp_path: Path) -> None:
    from kfp import dsl

    from components.ingest.component import ingest as component

    examples = dsl.Dataset(uri=str(tmp_path / "examples"))
    statistics = dsl.HTML(uri=str(tmp_path / "statistics"))
    given = {name: getattr(Ingest, name) for name in Ingest.__dataclass_fields__}
    component.python_func(
        examples=examples,
        statistics=statistics,
        destination=str(tmp_path / "registry"),
        model_name="digits",
        no_champion=False,
        **{**given, "source": "fake://500"},
    )
    assert (tmp_path / "statistics").read_text().startswith("<!doctype html>")
    assert examples.metadata["train"] == Dataset.read(tmp_path / "examples").splits["train"].records
    assert json.loads((tmp_path / "examples" / "dataset.json").read_text())["source"] == (
        "fake://500"
    )
