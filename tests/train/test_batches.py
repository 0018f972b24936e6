"""Every example once an epoch, the same blocks from any step on, images moved over zeros."""

import dataclasses
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config import Train
from components.shared.manifests import Dataset, Shard
from components.shared.shards import Shards
from components.train import batches as batches_module
from components.train.batches import (
    Block,
    Resident,
    Share,
    Streaming,
    cut,
    end_of_block,
    lay_out,
    line_length,
    shifts_from,
)

# A batch size that leaves some of the 4,000 records over in each epoch.
CONFIG = Train(max_steps=60, batch_size=150, log_every=7, shift=0, seed=5)
STEPS_AN_EPOCH = 4_000 // 150


@pytest.fixture(scope="module")
def share(examples: Path) -> Share:
    dataset = Dataset.read(examples)
    return Share.of(Shards.of(dataset, examples, "train"), CONFIG.batch_size)


@pytest.fixture(scope="module", params=[Resident, Streaming])
def batches(request: pytest.FixtureRequest, share: Share) -> Resident | Streaming:
    return request.param(CONFIG, share)


def visited(block: Block) -> list[bytes]:
    """The examples of a block in the order of the batches, as bytes."""
    images, labels = block.images.numpy(), block.labels.numpy()
    rows = block.order.numpy().reshape(-1)
    return [images[row].tobytes() + bytes([labels[row]]) for row in rows]


def test_blocks_end_at_status_lines_and_at_the_last_step(batches: Resident | Streaming) -> None:
    sizes = [block.order.shape[0] for block in batches.blocks(0)]
    assert sizes == [7] * 8 + [4]


def test_an_epoch_visits_each_example_at_most_once(batches: Resident | Streaming) -> None:
    seen = [example for block in batches.blocks(0) for example in visited(block)]
    size = STEPS_AN_EPOCH * CONFIG.batch_size
    first, second = seen[:size], seen[size : 2 * size]
    distinct = Counter(first)
    assert sum(distinct.values()) == size
    # MNIST's first digits hold no two equal images.
    assert max(distinct.values()) == 1
    assert first != second
    assert len(set(first) | set(second)) > size


def test_images_and_labels_are_those_of_the_source(share: Share, small_source: Path) -> None:
    block = next(Streaming(CONFIG, share).blocks(0))
    resident = next(Resident(CONFIG, share).blocks(0))
    pairs = {
        image.tobytes(): int(label)
        for image, label in zip(resident.images.numpy(), resident.labels.numpy(), strict=True)
    }
    for image, label in zip(block.images.numpy(), block.labels.numpy(), strict=True):
        assert pairs[image.tobytes()] == label


@settings(max_examples=15, deadline=None)
@given(step=st.integers(0, 59))
def test_going_on_gives_the_blocks_an_unbroken_run_would_see(
    batches: Resident | Streaming, step: int
) -> None:
    start = step // CONFIG.log_every * CONFIG.log_every
    unbroken = list(batches.blocks(0))[start // CONFIG.log_every :]
    for expected, block in zip(unbroken, batches.blocks(start), strict=True):
        assert visited(block) == visited(expected)
        np.testing.assert_array_equal(block.shifts, expected.shifts)


def test_another_seed_gives_another_order(share: Share) -> None:
    for kind in (Resident, Streaming):
        one, other = (
            next(kind(Train(max_steps=60, seed=seed), share).blocks(0)) for seed in (1, 2)
        )
        assert visited(one) != visited(other)


def test_streaming_holds_a_block_and_not_the_split(share: Share) -> None:
    block = next(Streaming(CONFIG, share).blocks(0))
    assert len(block.images) == CONFIG.log_every * CONFIG.batch_size


@given(step=st.integers(0, 10_000), every=st.integers(1, 500), last=st.integers(1, 10_000))
def test_a_block_is_never_empty_and_never_passes_the_last_step(
    step: int, every: int, last: int
) -> None:
    config = Train(max_steps=last, log_every=every)
    end = end_of_block(config, step)
    assert end <= last
    assert end > step or step >= last
    assert end % every == 0 or end == last


@pytest.mark.parametrize("shape", [(28, 28), (3, 7), (7, 3), (1, 1)])
@pytest.mark.parametrize("radius", [0, 1, 2, 3])
@pytest.mark.parametrize("xla", [True, False])
def test_shifted_images_are_cut_as_from_images_with_a_border(
    xla: bool, radius: int, shape: tuple[int, int]
) -> None:
    @tf.function(jit_compile=xla)
    def shifted(rows: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
        return cut(lines, rows, shifts, shape, radius, xla)

    height, width = shape
    images = np.random.default_rng(3).integers(256, size=(8, *shape), dtype=np.uint8)
    lines = lay_out(tf.constant(images), radius)
    bordered = np.pad(images, [(0, 0), (radius, radius), (radius, radius)])
    number = (2 * radius + 1) ** 2
    rows, shifts = np.arange(3 * number) % 8, np.arange(3 * number) % number
    expected = [
        bordered[row, top : top + height, left : left + width]
        for row, (top, left) in zip(rows, (divmod(s, 2 * radius + 1) for s in shifts), strict=True)
    ]
    given = tf.constant(rows, tf.int32), tf.constant(shifts, tf.int32)
    np.testing.assert_array_equal(shifted(*given), expected)


def test_an_image_is_held_between_margins_of_background() -> None:
    lines = lay_out(tf.ones([2, 28, 28], tf.uint8), radius=2).numpy()
    assert lines.shape == (2, line_length((28, 28), 2))
    assert lines.sum() == 2 * 784
    np.testing.assert_array_equal(lines[:, 58:-58], 1)


@pytest.mark.parametrize("each", ["image", "batch"])
def test_the_seed_says_which_of_the_shifts_are_drawn(
    share: Share, each: Literal["image", "batch"]
) -> None:
    def drawn(seed: int, radius: int = 1) -> npt.NDArray[np.int32]:
        return shifts_from(Train(shift=radius, shift_each=each, seed=seed), share, 0)(500)

    assert drawn(4).shape == (500, share.batch_size)
    assert sorted(set(drawn(4)[:, 7].tolist())) == list(range(9))
    assert (drawn(4) == drawn(4)[:, :1]).all() == (each == "batch")
    np.testing.assert_array_equal(drawn(4), drawn(4))
    assert (drawn(4) != drawn(5)).any()
    assert not drawn(4, radius=0).any()


def test_workers_shift_images_in_other_ways_and_batches_alike(share: Share) -> None:
    other = dataclasses.replace(share, worker=1)
    for each in ("image", "batch"):
        config = Train(shift_each=each)
        one, two = (shifts_from(config, worker, 0)(50) for worker in (share, other))
        assert (one == two).all() == (each == "batch")


@given(
    each=st.sampled_from(["image", "batch"]),
    radius=st.integers(0, 3),
    step=st.integers(0, 3_000),
    sizes=st.lists(st.integers(1, 700), max_size=20),
)
def test_shifts_are_those_drawn_at_once_however_they_are_cut(
    share: Share, each: Literal["image", "batch"], radius: int, step: int, sizes: list[int]
) -> None:
    config, share = Train(shift=radius, shift_each=each), dataclasses.replace(share, batch_size=3)
    at_once = shifts_from(config, share, 0)(20_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches_module, "DRAWS", 128)
        draw = shifts_from(config, share, step)
    for size in sizes:
        np.testing.assert_array_equal(draw(size), at_once[step : step + size])
        step += size


@pytest.mark.parametrize("kind", [Resident, Streaming])
def test_memory_does_not_grow_with_the_number_of_steps(
    share: Share, kind: type[Resident] | type[Streaming]
) -> None:
    def peak(steps: int) -> int:
        tracemalloc.start()
        try:
            next(iter(kind(Train(max_steps=steps), share).blocks(steps // 2)))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(20_000_000) < peak(2_000_000) + (1 << 20)


# Of 400 records, as MNIST's shards are uneven, and with one that has none.
SIZES = st.lists(st.integers(0, 60), min_size=1, max_size=9).filter(lambda s: sum(s) >= 24)


@given(sizes=SIZES, workers=st.integers(1, 6), part=st.integers(1, 4))
def test_workers_see_every_record_equally_often(sizes: list[int], workers: int, part: int) -> None:
    shards = [
        Shard(file=f"shard-{i}", records=size, bytes=0, sha256="0" * 64)
        for i, size in enumerate(sizes)
    ]
    split = Shards(Path(), shards, (2, 2), 10)
    shares = [Share.of(split, part * workers, index, workers) for index in range(workers)]
    dealt = [
        (chunk.shard.file, chunk.start + row)
        for share in shares
        for chunk in share.chunks
        for row in range(chunk.records)
    ]
    assert sorted(dealt) == sorted((s.file, row) for s in shards for row in range(s.records))
    assert len({share.steps_an_epoch for share in shares}) == 1
    for share in shares:
        # The rest that an epoch leaves out, another at random every time, is less than a batch.
        assert 0 <= share.records - share.steps_an_epoch * part <= part
        assert {chunk.shard.file for chunk in share.chunks} == {
            shard.file for shard in share.shards.shards
        }
