"""How often watch calls for somebody, with and without a reason: ``python -m bench.drift``.

A model is trained on MNIST and scores the test split, as it is and changed. Batches are drawn from
the answers at random, without replacement. Of batches of what the model was trained for, the share
that is called an alarm is that of false alarms; of the changed ones it should be all.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from bench.trained import trained
from components.config import Evaluate, Watch
from components.shared.predictions import DriftFigure, Reference
from components.shared.profile import Profile
from components.shared.records import Images, Labels
from components.shared.texture import Texture
from components.watch.figures import figures

SIZES = (200, 1_000, 5_000)  # images of a batch
DEFAULT = 1_000  # the batch that the defaults of the bounds are for
FASHION = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
BATCHES = 50  # of each change and size


class Answered(NamedTuple):
    """Images and what the model says of them."""

    images: Images
    probabilities: npt.NDArray[np.float32]

    def batch(self, size: int, chance: np.random.Generator, texture: Texture | None) -> Profile:
        """Draws a batch."""
        rows = chance.choice(len(self.images), min(size, len(self.images)), replace=False)
        return Profile.of(self.images[rows], self.probabilities[rows], texture)


def noise(images: Images, _: Labels) -> Images:
    """Noise of a deviation of 64 grey values on every image."""
    drawn = np.random.default_rng(0).normal(0, 64, images.shape)
    return np.clip(images + drawn, 0, 255).astype(np.uint8)


def shifted(images: Images, _: Labels) -> Images:
    """Every image moved by four pixels to the right."""
    return np.pad(images, ((0, 0), (0, 0), (4, 0)))[:, :, :-4]


def without_a_class(images: Images, labels: Labels) -> Images:
    """No image of a 4."""
    return images[labels != 4]


def fashion(_: Images, __: Labels) -> Images:
    """Fashion-MNIST's test split (Debian's package dataset-fashion-mnist)."""
    import gzip

    with gzip.open(FASHION) as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)


def coarse(images: Images, _: Labels) -> Images:
    """Every image in half its resolution, shown in the size that it had."""
    count, height, width = images.shape
    blocks = images.reshape(count, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    return blocks.repeat(2, axis=1).repeat(2, axis=2).astype(np.uint8)


def letters(count: int) -> Images:
    """Capital letters in the font that Pillow brings, a little turned and moved."""
    chance = np.random.default_rng(0)
    font = ImageFont.load_default(size=24)
    drawn = np.empty((count, 28, 28), np.uint8)
    for image in drawn:
        picture = Image.new("L", (28, 28))
        place = tuple(14 + chance.integers(-2, 3, 2))
        letter = "ABEFGHKMNPRTWXY"[chance.integers(15)]
        ImageDraw.Draw(picture).text(place, letter, fill=255, font=font, anchor="mm")
        image[:] = np.asarray(picture.rotate(chance.uniform(-15, 15), Image.Resampling.BILINEAR))
    return drawn


def one_in_ten(others: Images, images: Images) -> Images:
    """Puts another image in the place of every tenth."""
    mixed = images.copy()
    mixed[::10] = others[: len(mixed[::10])]
    return mixed


CHANGES: dict[str, Callable[[Images, Labels], Images]] = {
    "as it is": lambda images, _: images,
    "inverted": lambda images, _: 255 - images,
    "shifted by 4 pixels": shifted,
    "noise, deviation 64": noise,
    "Fashion-MNIST": fashion,
    "one class missing": without_a_class,
    "half the resolution": coarse,
    "letters, one in ten": lambda images, _: one_in_ten(letters(len(images) // 10 + 1), images),
    "Fashion-MNIST, one in ten": lambda images, labels: one_in_ten(fashion(images, labels), images),
    "transposed": lambda images, _: images.transpose(0, 2, 1).copy(),
}


def answered(examples: Path, model: Path) -> Iterator[tuple[str, Answered]]:
    """Yields what came in, by what was changed."""
    from components.evaluate.scoring import read
    from components.scoring.classifier import classifier, load
    from components.shared.manifests import Dataset

    batches = list(read(Dataset.read(examples), examples, "test"))
    images, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    classify = classifier(load(model / "saved_model", (28, 28), 10), "the model")
    for name, change in CHANGES.items():
        if "Fashion" in name and not FASHION.exists():
            continue
        changed = change(images, labels)
        yield name, Answered(changed, classify(changed))


def fired(came: Profile, reference: Reference) -> list[DriftFigure]:
    """Returns the figures that break their rule."""
    return [figure for figure in figures(Watch(), came, reference) if figure.too_far]


def row(name: str, came: Answered, reference: Reference, batches: int) -> str:
    """Draws batches of every size, and returns their line of the table."""
    chance = np.random.default_rng(0)
    cells, by_rule = [], ""
    for size in SIZES:
        drawn = (came.batch(size, chance, reference.texture) for _ in range(batches))
        found = [fired(profile, reference) for profile in drawn]
        cells.append(f"{sum(map(bool, found)) / batches:.2%}")
        if size == DEFAULT:
            counts = Counter(figure.name for broken in found for figure in broken)
            by_rule = ", ".join(f"`{rule}` {n / batches:.0%}" for rule, n in sorted(counts.items()))
    return f"| {' | '.join([name, *cells, by_rule])} |"


@click.command()
@click.option("--quiet", default=2_000, show_default=True, help="Batches without a change.")
def main(quiet: int) -> None:
    """Draw batches and print how many are called an alarm."""
    from components.evaluate.evaluate import evaluate

    with trained() as (examples, model):
        evaluate(Evaluate(), examples, model, model.parent / "evaluation")
        reference = Reference.read(model.parent / "evaluation")
        sets = dict(answered(examples, model))
    sizes = [f"{size:,} images" for size in SIZES]
    heads = ["what came in", *sizes, f"by which rule, at {DEFAULT:,}"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for name, came in sets.items():
        batches = quiet if name == "as it is" else BATCHES
        print(row(name, came, reference, batches), flush=True)


if __name__ == "__main__":
    main()
