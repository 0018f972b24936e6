"""What the default learning rate reaches on data of other sizes, greys and classes.

Beside it the best of a short search around it, and what inputs that are not standardized reach.
Every run is the train step with its defaults but for the rate, and short: ``make bench-rates``.
"""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from string import ascii_letters, digits
from typing import NamedTuple

import numpy as np

from bench.mnist import read
from components.config import Ingest, Train
from components.ingest.ingest import ingest
from components.shared.records import Images, Labels
from components.train.train import train_and_evaluate

FACTORS = tuple(map(float, os.environ.get("FACTORS", "0.5 2").split()))  # of the rate
STEPS = int(os.environ.get("STEPS", "300"))  # a short run, which forgives less


class Data(NamedTuple):
    """Images, uint8 ``[n, height, width]``, and their labels."""

    images: Images
    labels: Labels


def small() -> Data:
    """8 x 8 digits."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return Data((images * 255 / 16).astype(np.uint8).reshape(-1, 8, 8), labels.astype(np.int32))


def mnist() -> Data:
    """MNIST."""
    images, labels = (
        np.concatenate(part) for part in zip(read("train"), read("t10k"), strict=True)
    )
    return Data(images, labels.astype(np.int32))


def inverted() -> Data:
    """MNIST, dark on light."""
    images, labels = mnist()
    return Data(255 - images, labels)


def uneven() -> Data:
    """64 x 48, light, five uneven classes."""
    from PIL import Image

    generator = np.random.default_rng(0)
    images, labels = mnist()
    wanted = dict(enumerate((4_000, 2_000, 1_000, 500, 250)))
    rows = np.concatenate([np.flatnonzero(labels == k)[:n] for k, n in wanted.items()])
    pages = np.empty((len(rows), 64, 48), np.uint8)
    for page, image in zip(pages, images[rows], strict=True):
        top, left = generator.integers(0, (21, 9))
        paper = generator.normal(generator.uniform(195, 225), 6, page.shape)
        enlarged = np.asarray(Image.fromarray(image).resize((40, 44)), np.float32)
        paper[top : top + 44, left : left + 40] -= 0.6 * enlarged
        page[:] = paper.clip(0, 255)
    return Data(pages, labels[rows])


def letters() -> Data:
    """100 x 60, 62 classes."""
    from matplotlib import font_manager
    from PIL import Image, ImageDraw, ImageFont

    generator = np.random.default_rng(0)
    names = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono", "STIXGeneral", "cmr10", "cmss10")
    files = [font_manager.findfont(name) for name in names]
    images, labels = [], []
    for label, letter in enumerate(digits + ascii_letters):
        for _ in range(200):
            font = ImageFont.truetype(str(generator.choice(files)), int(generator.integers(50, 65)))
            picture = Image.new("L", (60, 100))
            place = tuple(np.array([30, 70]) + generator.integers(-4, 5, 2))
            ImageDraw.Draw(picture).text(place, letter, 255, font, anchor="ms")
            turned = picture.rotate(generator.uniform(-10, 10), Image.Resampling.BILINEAR)
            images.append(np.asarray(turned))
            labels.append(label)
    return Data(np.stack(images), np.array(labels, np.int32))


DATA = (small, mnist, inverted, uneven, letters)


def reached(examples: Path, directory: Path, **options: object) -> float:
    """Trains, and returns precision@1 on test; of a loss that is not finite, 0."""
    from components.shared.errors import StepError

    with contextlib.redirect_stdout(io.StringIO()):
        try:
            config = Train(max_steps=STEPS, **options)  # type: ignore[arg-type]
            model = train_and_evaluate(config, examples, directory / "model", directory / "logs")
        except StepError:
            return 0.0
    assert model
    return model.scores["test"].precision


def measure(make: Callable[[], Data], scratch: Path) -> dict[str, float]:
    """Returns what is reached, by factor of the default rate, and "as they are"."""
    source, examples = scratch / "images.npz", scratch / "examples"
    images, labels = make()
    order = np.random.default_rng(1).permutation(len(labels))
    np.savez(source, x=images[order], y=labels[order])
    classes = str(int(labels.max()) + 1)
    with contextlib.redirect_stdout(io.StringIO()):
        ingest(Ingest(source=str(source), class_names=classes), examples)
    found = {"as they are": reached(examples, scratch / "off", standardize=False)}
    for factor in (1.0, *FACTORS):
        rate = Train().learning_rate * factor
        found[f"{factor:g}"] = reached(examples, scratch / str(factor), learning_rate=rate)
    return found


def main() -> None:
    """Measures and prints the table."""
    print("| images | default rate | best rate of the search | not standardized | all rates |")
    print("| --- | --- | --- | --- | --- |")
    for make in DATA:
        with tempfile.TemporaryDirectory() as scratch:
            found = measure(make, Path(scratch))
        off = found.pop("as they are")
        best = max(found, key=lambda factor: found[factor])
        name = (make.__doc__ or "").rstrip(".")
        print(
            f"| {name} | {found['1']:.4f} | {found[best]:.4f}, at {best} times the default "
            f"| {off:.4f} | {json.dumps(found)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
