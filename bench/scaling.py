"""What more images and more machines would take: ``python -m bench.scaling``.

Computed from what the other benches measured, which stands in the tables of the docs, and from the
one part of ingest that its driver does alone, which is measured here. Prints the tables of
docs/scaling.md.
"""

import re
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from components.ingest.digests import AT_ONCE, count_duplicates

DOCS = Path(__file__).resolve().parent.parent / "docs"
COUNTS = (7_000_000, 100_000_000, 1_000_000_000)  # images
MACHINES = (1, 10, 100, 1_000)
BATCHES = (100, 1_000, 10_000)  # of bench.distributed
DEVICES = (1, 2, 4, 8)


class Step(NamedTuple):
    """How long a step takes on one machine of two cores."""

    start: float  # seconds, whatever the number of images
    rate: float  # images a second
    alone: float = 0.0  # seconds an image of what one process does for all

    def seconds(self, images: int, machines: int = 1) -> float:
        """Computes the time with so many machines that share the images."""
        shared = max(0.0, 1 / self.rate - self.alone) / machines
        return self.start + images * (shared + self.alone)


def rows(page: str, heading: str) -> list[list[str]]:
    """Reads the cells of a page's table, whose head begins so."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(heading)} ?\|.*\n\|[-:| ]+\|\n((?:\|.*\n)+)", text, re.M)
    assert found, f"{page} has no table {heading!r}"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found[1].splitlines()]


def number(cell: str) -> float:
    """Reads a cell, as ``7,000,000`` or ``12 %``."""
    return float(re.sub(r"[ %,]", "", cell))


def growing(page: str, alone: float = 0.0) -> Step:
    """Takes start and rate from a table of images and seconds: what its last two rows say."""
    (images, seconds), (more, longer) = (
        (number(row[0]), number(row[1])) for row in rows(page, "images")[-2:]
    )
    rate = (more - images) / (longer - seconds)
    return Step(max(0.0, seconds - images / rate), rate, alone)


def duplicates_alone() -> float:
    """Measures how long the driver of ingest takes an image to find duplicates, in seconds."""
    generator = np.random.default_rng(0)
    digests = generator.integers(1 << 63, size=AT_ONCE, dtype=np.uint64)
    splits = np.zeros(AT_ONCE, np.intp)
    times = []
    for _ in range(5):
        start = time.process_time()
        count_duplicates(digests, splits)
        times.append(time.process_time() - start)
    return float(np.median(times)) / AT_ONCE


def measured() -> dict[str, Step]:
    """Returns what the docs have of every step that reads images."""
    step = re.search(r"A step takes some (\d+) µs", (DOCS / "training.md").read_text("utf-8"))
    assert step
    shards = next(row for row in rows("evaluation.md", "") if row[0] == "this project, from shards")
    return {
        "ingest": growing("ingest.md", duplicates_alone()),
        "train, an epoch": Step(0.0, 100 / (int(step[1]) * 1e-6)),
        "evaluate": Step(0.0, number(shards[2])),
        "predict": growing("predict.md"),
    }


def duration(seconds: float) -> str:
    """Writes a time with two digits, in the unit that fits."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def table(head: list[str], body: list[list[str]]) -> None:
    """Prints a Markdown table."""
    for row in (head, ["---"] * len(head), *body):
        print(f"| {' | '.join(row)} |")
    print()


def main() -> None:
    """Prints the tables."""
    steps = measured()
    names = [f"{count:,}" for count in COUNTS]
    table(
        ["step, on one machine", "images a second", *names],
        [
            [name, f"{step.rate:,.0f}", *(duration(step.seconds(count)) for count in COUNTS)]
            for name, step in steps.items()
        ],
    )
    spread = ("ingest", "predict")
    table(
        [f"{COUNTS[-1]:,} images, by machines", *(f"{machines:,}" for machines in MACHINES)],
        [
            [name, *(duration(steps[name].seconds(COUNTS[-1], machines)) for machines in MACHINES)]
            for name in spread
        ],
    )
    gains = {number(row[0]): number(row[1]) for row in rows("training.md", "global batch")}
    lost = {batch: max(0.0, 1 / gains[batch] - 1 / 2) for batch in BATCHES}
    # A ring passes 2·(n - 1)/n of the gradients on, whatever else a step waits for stays.
    table(
        ["training, examples a step, by machines", *(str(devices) for devices in DEVICES)],
        [
            [
                f"{batch:,}",
                *(
                    f"{1 / (1 / devices + (lost[batch] * 2 * (devices - 1) / devices)):.1f}"
                    for devices in DEVICES
                ),
            ]
            for batch in BATCHES
        ],
    )


if __name__ == "__main__":
    main()
