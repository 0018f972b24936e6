"""What could come in on six days: digits without labels, a day changed, a day without any.

python -m bench.nights out/nights    then docs/predict.md watches them
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from PIL import Image

from bench.causes import CHANGES
from bench.mnist import read
from components.shared.command_line import exit_on_error
from components.shared.records import Images
from components.shared.storage import atomic_directory


class Day(NamedTuple):
    """What comes in on a day."""

    date: str
    empty: bool = False
    changed: bool = False


DAYS = (
    Day("2026-11-20"),
    Day("2026-11-21"),
    Day("2026-11-22"),
    Day("2026-11-23", changed=True),
    Day("2026-11-24"),
    Day("2026-11-25", empty=True),
)
FOURTH = 3  # the day that is changed


def invert(images: Images) -> Images:
    """What happens to a day where nothing else is said."""
    return 255 - images


def write(
    directory: Path, images: Images, a_day: int, change: Callable[[Images], Images] = invert
) -> None:
    """Writes a directory of pictures a day.

    Args:
        directory: Where to; it is there.
        images: uint8 ``[n, height, width]``; each is of one day at most.
        a_day: How many come in on a day, at most.
        change: What happens to one of the days.
    """
    for number, day in enumerate(DAYS):
        place = directory / day.date
        place.mkdir()
        digits = images[number :: len(DAYS)][: 0 if day.empty else a_day]
        for index, image in enumerate(change(digits) if day.changed else digits):
            Image.fromarray(image).save(place / f"{index:06}.png")


@click.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--images", default=1_000, show_default=True, help="How many a day, at most.")
@click.option(
    "--change",
    type=click.Choice(list(CHANGES)),
    default="inverted",
    show_default=True,
    help="What happens to the fourth day.",
)
def main(output: Path, images: int, change: str) -> None:
    """Write six days of MNIST's test digits, a directory of pictures each."""
    digits, labels = read("t10k")
    of_the_day = labels[FOURTH :: len(DAYS)][:images]
    with exit_on_error(), atomic_directory(output, marker=DAYS[0].date) as directory:
        write(
            directory,
            digits,
            images,
            lambda came: CHANGES[change][1](came, of_the_day, np.random.default_rng(0)),
        )
    click.echo(f"Wrote {', '.join(day.date for day in DAYS)} to {output}")


if __name__ == "__main__":
    main()
