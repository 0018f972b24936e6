"""Which causes of an alarm are named rightly: ``python -m bench.causes``.

A model is trained on MNIST. Batches of the test split are drawn at random, each is changed in one
way after another, and watch says what probably happened.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

from collections import Counter
from collections.abc import Callable

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from bench import mnist
from bench.drift import coarse, letters, noise, without_a_class
from bench.trained import trained
from components.config import Evaluate, Watch
from components.shared.causes import BLANK, COPIES, NEVER_SEEN, TRIED, attempts
from components.shared.predictions import Reference
from components.shared.profile import Profile
from components.shared.records import Images, Labels
from components.watch.diagnosis import ONE_CLASS, find_cause
from components.watch.figures import figures

Answers = Callable[[Images], npt.NDArray[np.float32]]
Change = Callable[[Images, Labels, np.random.Generator], Images]


def moved(images: Images, chance: np.random.Generator) -> Images:
    """Moved by two to five pixels to one of the sides."""
    by, side = int(chance.integers(2, 6)), int(chance.integers(4))
    padded = np.pad(images, ((0, 0), (by, by), (by, by)))
    down, right = [(0, by), (2 * by, by), (by, 0), (by, 2 * by)][side]
    return padded[:, down : down + images.shape[1], right : right + images.shape[2]]


def stretched(images: Images, chance: np.random.Generator) -> Images:
    """Half of the contrast, or so, or brighter by some sixty grey values."""
    if chance.random() < 0.5:
        return (images * chance.uniform(0.35, 0.6)).astype(np.uint8)
    return np.minimum(images.astype(np.int16) + chance.integers(40, 90), 255).astype(np.uint8)


def strokes(images: Images, thicker: bool) -> Images:
    """Strokes a pixel thicker or thinner."""
    turned = images if thicker else 255 - images
    rows = np.maximum(turned[:, :-1], turned[:, 1:])
    both = np.maximum(rows[:, :, :-1], rows[:, :, 1:])
    changed = np.pad(both, ((0, 0), (0, 1), (0, 1)), "edge")
    return changed if thicker else 255 - changed


def dots(images: Images, chance: np.random.Generator) -> Images:
    """Every tenth pixel black or white."""
    hit = chance.random(images.shape) < 0.1
    return np.where(hit, 255 * chance.integers(0, 2, images.shape), images).astype(np.uint8)


def some(images: Images, others: Images, share: float) -> Images:
    """Another image in the place of this share of them, here and there."""
    chosen = np.random.default_rng(0).random(len(images)) < share
    return np.where(chosen[:, None, None], others, images)


def larger(images: Images) -> Images:
    """Enlarged by a third, about the middle."""
    return np.stack(
        [np.asarray(Image.fromarray(i).resize((36, 36)).crop((4, 4, 32, 32))) for i in images]
    )


def of_one_class(images: Images, labels: Labels, chance: np.random.Generator) -> Images:
    """Images of one class alone."""
    return images[labels == chance.integers(10)]


# What is to be named, and the change that is made; nothing for what is not simple.
CHANGES: dict[str, tuple[str, Change]] = {
    "inverted": ("inverted", lambda i, *_: 255 - i),
    "inverted, three in ten": (
        "inverted images among others",
        lambda i, *_: some(i, 255 - i, 0.3),
    ),
    "transposed": ("transposed", lambda i, *_: i.transpose(0, 2, 1)),
    "mirrored": ("mirrored left to right", lambda i, *_: i[:, :, ::-1]),
    "upside down": ("mirrored top to bottom", lambda i, *_: i[:, ::-1]),
    "turned left": ("turned by 90 degrees to the left", lambda i, *_: np.rot90(i, 1, (1, 2))),
    "turned right": ("turned by 90 degrees to the right", lambda i, *_: np.rot90(i, -1, (1, 2))),
    "shifted by two to five pixels": ("shifted", lambda i, _, chance: moved(i, chance)),
    "less contrast, or brighter": (
        "another brightness or contrast",
        lambda i, _, chance: stretched(i, chance),
    ),
    "thicker strokes": ("thicker strokes", lambda i, *_: strokes(i, True)),
    "thinner strokes": ("thinner strokes", lambda i, *_: strokes(i, False)),
    "black and white dots": ("noise", lambda i, _, chance: dots(i, chance)),
    "noise, deviation 64": ("noise", lambda i, labels, _: noise(i, labels)),
    "blank, three in ten": (BLANK, lambda i, *_: some(i, np.zeros_like(i), 0.3)),
    "one class alone": (ONE_CLASS, of_one_class),
    "copies of one, six in ten": (
        COPIES,
        lambda i, *_: some(i, np.broadcast_to(i[0], i.shape), 0.6),
    ),
    "letters, one in four": (NEVER_SEEN, lambda i, *_: some(i, letters(len(i)), 0.25)),
    "letters alone": ("", lambda i, *_: letters(len(i))),
    "half the resolution": ("", lambda i, labels, _: coarse(i, labels)),
    "enlarged by a third": ("", lambda i, *_: larger(i)),
    "one class missing": ("", lambda i, labels, _: without_a_class(i, labels)),
}


def named(images: Images, answers: Answers, reference: Reference) -> str | None:
    """What watch names; None where there is no alarm."""
    images = np.ascontiguousarray(images)
    probabilities = answers(images)
    came = Profile.of(images, probabilities, reference.texture)
    if not any(figure.too_far for figure in figures(Watch(), came, reference)):
        return None
    some = slice(None, None, -(-len(images) // TRIED))  # as predict takes them
    undone = {}
    for attempt in attempts(images[some], probabilities[some], reference):
        found = answers(attempt.images) if attempt.probabilities is None else attempt.probabilities
        undone[attempt.cause] = Profile.of(attempt.images, found, reference.texture)
    return find_cause(Watch(), came, undone, reference)[0]


def table(answers: Answers, reference: Reference, draws: int, size: int) -> None:
    """Prints a line a change."""
    images, labels = mnist.read("t10k")
    print("| what was done | named rightly | nothing named | wrongly | no alarm |")
    print("| --- | --- | --- | --- | --- |")
    for name, (right, change) in CHANGES.items():
        chance, counts = np.random.default_rng(0), Counter[str | None]()
        for _ in range(draws):
            rows = chance.choice(len(images), size, replace=False)
            counts[named(change(images[rows], labels[rows], chance), answers, reference)] += 1
        rightly, silent = counts.pop(right, 0), counts.pop(None, 0)
        nothing = counts.pop("", 0)
        wrongly = ", ".join(f"{wrong}: {count}" for wrong, count in counts.items()) or "0"
        print(f"| {name} | {rightly} | {nothing} | {wrongly} | {silent} |", flush=True)


@click.command()
@click.option("--draws", default=100, show_default=True, help="Batches of each change.")
@click.option("--size", default=500, show_default=True, help="Images of a batch.")
def main(draws: int, size: int) -> None:
    """Draw batches, change each, and count what is named."""
    from components.evaluate.evaluate import evaluate
    from components.scoring.classifier import classifier, load

    with trained() as (examples, model):
        evaluate(Evaluate(), examples, model, model.parent / "evaluation")
        reference = Reference.read(model.parent / "evaluation")
        answers = classifier(load(model / "saved_model", (28, 28), 10), "the model")
        table(answers, reference, draws, size)


if __name__ == "__main__":
    main()
