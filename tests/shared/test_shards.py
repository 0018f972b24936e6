"""Shards are read as they were written, or refused by name."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.shared.errors import StepError
from components.shared.manifests import Shard
from components.shared.records import encode, record_length
from components.shared.shards import Chunk, Examples, Shards

SHAPE = (3, 5)
LENGTH = record_length(SHAPE)


def draw(records: int, seed: int = 0) -> Examples:
    generator = np.random.default_rng(seed)
    images = generator.integers(256, size=(records, *SHAPE), dtype=np.uint8)
    return Examples(images, generator.integers(4, size=records, dtype=np.int32))


def write(directory: Path, examples: Examples, sizes: Sequence[int]) -> Shards:
    """Writes examples as shards of so many records each."""
    shards = []
    cuts = [0, *itertools.accumulate(sizes)]
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        data = encode(examples.images[start:stop], examples.labels[start:stop].astype(np.uint8))
        (directory / str(number)).write_bytes(data)
        shards.append(
            Shard(
                file=str(number),
                records=stop - start,
                bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
            )
        )
    return Shards(directory, shards, SHAPE, classes=4)


def assert_equal(found: Sequence[Examples], expected: Examples) -> None:
    images, labels = map(np.concatenate, zip(*found, strict=True))
    np.testing.assert_array_equal(images, expected.images)
    np.testing.assert_array_equal(labels, expected.labels)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 9), max_size=5).filter(any), batch=st.integers(1, 12))
def test_batches_are_all_records_in_order_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], batch: int
) -> None:
    examples = draw(sum(sizes))
    shards = write(tmp_path_factory.mktemp("shards"), examples, sizes)
    found = list(shards.batches(batch))
    assert all(len(some.labels) == batch for some in found[:-1])
    assert_equal(found, examples)


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 9), max_size=5).filter(any), size=st.integers(1, 12))
def test_chunks_are_all_records_and_are_read_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], size: int
) -> None:
    examples = draw(sum(sizes))
    shards = write(tmp_path_factory.mktemp("shards"), examples, sizes)
    chunks = shards.chunks(size)
    assert max(chunk.records for chunk in chunks) <= size
    assert_equal([shards.read(chunks)], examples)
    assert_equal([shards.read([chunk]) for chunk in reversed(chunks)][::-1], examples)


def test_a_file_is_not_read_before_it_is_asked_for(tmp_path: Path) -> None:
    shards = write(tmp_path, draw(6), [2, 2, 2])
    batches = shards.batches(2)
    next(batches)
    (tmp_path / "2").write_bytes(bytes(2 * LENGTH))
    with pytest.raises(StepError, match=f"{tmp_path}/2: "):
        list(batches)


def flip(data: bytes) -> bytes:
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


def others(data: bytes) -> bytes:
    examples = draw(len(data) // LENGTH, seed=1)
    return encode(examples.images, examples.labels.astype(np.uint8))


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda data: data[:-1], "bytes, dataset.json says"),
        (lambda data: data[:-LENGTH], "bytes, dataset.json says"),
        (lambda data: data + data[:LENGTH], "bytes, dataset.json says"),
        (lambda _: b"", "0 bytes, dataset.json says"),
        (flip, "damaged or of another dataset, its sha256 is"),
        (others, "damaged or of another dataset, its sha256 is"),
    ],
    ids=["cut", "a record less", "a record more", "empty", "a bit", "other records"],
)
@pytest.mark.parametrize("read", [Shards.check, lambda shards: list(shards.batches(2))])
def test_a_shard_that_is_another_is_named(
    tmp_path: Path,
    read: Callable[[Shards], object],
    damage: Callable[[bytes], bytes],
    expected: str,
) -> None:
    shards = write(tmp_path, draw(9), [3, 3, 3])
    path = tmp_path / "1"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StepError, match=f"{path}: .*{expected}.*; run ingest again"):
        read(shards)


@pytest.mark.parametrize("read", [Shards.check, lambda shards: list(shards.batches(2))])
def test_a_missing_shard_is_named(tmp_path: Path, read: Callable[[Shards], object]) -> None:
    shards = write(tmp_path, draw(9), [3, 3, 3])
    (tmp_path / "2").unlink()
    with pytest.raises(StepError, match=f"{tmp_path}/2: not found; run ingest again"):
        read(shards)


def test_records_of_another_length_than_the_images_have_are_refused(tmp_path: Path) -> None:
    written = write(tmp_path, draw(3), [3])
    shards = Shards(tmp_path, written.shards, (5, 5), classes=4)
    with pytest.raises(StepError, match=f"3 records in {3 * LENGTH} bytes, expected {LENGTH + 10}"):
        shards.check()


def test_a_label_that_is_no_class_is_refused(tmp_path: Path) -> None:
    written = write(tmp_path, draw(9), [9])
    shards = Shards(tmp_path, written.shards, SHAPE, classes=2)
    with pytest.raises(StepError, match=r"a record has the label 2, dataset\.json names 2 classes"):
        list(shards.batches(9))


def test_a_shard_cut_short_after_the_check_gives_no_images(tmp_path: Path) -> None:
    shards = write(tmp_path, draw(3), [3])
    (tmp_path / "0").write_bytes(b"")
    with pytest.raises(StepError, match="records of another form than ingest writes"):
        shards.read([Chunk(shards.shards[0], 0, 3)])
