"""Every example once an epoch, and the same blocks from any step on."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.config import Train
from components.shared.manifests import Dataset
from components.shared.shards import Shards
from components.train.batches import Block, Resident, Share, Streaming, end_of_block

# A batch size that leaves some of the 4,000 records over in each epoch.
CONFIG = Train(max_steps=60, batch_size=150, log_every=7, shift=0, seed=5)
STEPS_AN_EPOCH = 4_000 // 150


@pytest.fixture(scope="module")
def share(examples: Path) -> Share:
    dataset = Dataset.read(examples)
    return Share(Shards.of(dataset, examples, "train"), CONFIG.batch_size, worker=0)


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
