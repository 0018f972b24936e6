"""Steps fit in a small machine's memory, however much data there is."""

import sys
from pathlib import Path

import pytest

from bench.memory import LIMIT, evaluate, imports, peak, train
from components.config import Ingest
from components.ingest.ingest import ingest

LITTLE, MUCH = 60_000, 300_000  # images
HELD = (MUCH - LITTLE) * 28 * 28 >> 20  # MiB more, if a step held the pixels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Examples directories by their number of images."""
    directories = {size: tmp_path_factory.mktemp("examples") / "made-up" for size in (LITTLE, MUCH)}
    for size, directory in directories.items():
        ingest(Ingest(source=f"fake://{size}"), directory)
    return {size: str(directory) for size, directory in directories.items()}


def test_streaming_takes_no_more_memory_for_more_data(made_up: dict[int, str]) -> None:
    # Several evaluations, since these read all splits.
    options = {"data_path": "streaming", "max_steps": 1_100, "checkpoint_every": 370}
    little, much = (peak(train, examples=made_up[size], **options) for size in (LITTLE, MUCH))
    assert much - little < HELD / 2


def test_in_memory_takes_less_than_a_gib_above_tensorflow(made_up: dict[int, str]) -> None:
    taken = peak(train, examples=made_up[LITTLE], data_path="resident", max_steps=1_100)
    assert taken - peak(imports) < LIMIT


def test_evaluation_takes_no_more_memory_for_more_data(
    made_up: dict[int, str], model: Path
) -> None:
    little, much = (
        peak(evaluate, examples=made_up[size], model=str(model)) for size in (LITTLE, MUCH)
    )
    assert much - little < HELD / 2
