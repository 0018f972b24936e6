"""Training fits in a small machine's memory, however much data there is."""

import sys
from pathlib import Path

import pytest

from bench.memory import LIMIT, peak
from components.ingest.ingest import ingest
from components.shared.records import PIXELS
from pipeline.config import Ingest

LITTLE, MUCH = 60_000, 300_000  # images

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")


@pytest.fixture
def made_up(tmp_path: Path) -> dict[int, Path]:
    """Examples directories by their number of images."""
    directories = {size: tmp_path / str(size) for size in (LITTLE, MUCH)}
    for size, directory in directories.items():
        ingest(Ingest(source=f"fake://{size}"), directory)
    return directories


def test_streaming_takes_no_more_memory_for_more_data(made_up: dict[int, Path]) -> None:
    # Several evaluations, since these read all splits.
    options = {"data_path": "streaming", "max_steps": 1_100, "checkpoint_every": 110}
    little, much = (peak(made_up[size], **options) for size in (LITTLE, MUCH))
    held = (MUCH - LITTLE) * PIXELS >> 20  # MiB, if the pixels stayed in memory
    assert much - little < held / 3


def test_in_memory_takes_less_than_a_gib_above_tensorflow(made_up: dict[int, Path]) -> None:
    assert peak(made_up[LITTLE], data_path="resident", max_steps=1_100) - peak() < LIMIT
