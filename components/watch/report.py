"""``drift.html``: what came in beside what the model was trained on, as one page."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.shared import pages
from components.shared.pages.charts import LineChart, Points, line_chart
from components.shared.pages.pictures import data_uri
from components.shared.predictions import Drift, LeastSure, Predictions, Reference
from components.shared.profile import HUNDREDTHS, Profile, as_image
from components.watch.figures import PRECISION

FILE = "drift.html"
BARS = 40  # of mean grey values at most
STEP = 5  # hundredths of probability that a bar of confidence is wide
CAME = "came in"
LARGEST = 96  # pixels a side; a larger image is shown smaller
BRIGHTER, DARKER = (224, 112, 24), (60, 120, 230)  # red, green, blue: seen on white and on black
CLASSES = 20  # shown at once; of more, those that changed most, and the others on demand


class ClassRow(NamedTuple):
    """A class's share of the answers, 0 to 1."""

    name: str
    came: float
    test: float

    @property
    def change(self) -> float:
        """How far its share now lies above that on the test split."""
        return self.came - self.test


class Unsure(NamedTuple):
    """One of the least sure, as the page shows it."""

    found: LeastSure
    name: str  # of the class
    picture: str

    @property
    def file(self) -> str:
        """The name of its file, without the directories above."""
        return self.found.source.rpartition("/")[2]


class Means(NamedTuple):
    """Both mean images and their difference, as data URIs."""

    came: str
    train: str
    difference: str
    brightest: float  # grey values by which a place is brighter than in training at most
    darkest: float  # the same, darker


def write(path: Path, drift: Drift, predictions: Predictions, reference: Reference) -> None:
    """Renders the page of a run.

    Args:
        path: The file to write.
        drift: What was decided, and why.
        predictions: What came in, and what the model said of it.
        reference: What the model was trained on.
    """
    came, train, test = predictions.profile, reference.train, reference.test
    holds = {verdict.rule: verdict.passed for verdict in drift.verdicts}
    classes = _classes(reference.class_names, came, test)
    page = pages.render(
        "components.watch",
        "drift.html.j2",
        drift=drift,
        predictions=predictions,
        reference=reference,
        labels=drift.labels,
        labelled=drift.labels.window if drift.labels else predictions.labelled,
        mistaken=not holds.get(PRECISION, True),
        figures=[(one, holds[one.name]) for one in drift.figures],
        samples=[("What came in", _samples(came)), ("Training split", _samples(train))],
        means=_means(came, train),
        grey_values=_grey_values(came, train),
        confidence=_confidence(came, test),
        classes=classes,
        shown=min(len(classes), CLASSES),
        largest_share=max(*came.class_shares, *test.class_shares) or 1.0,
        unsure=[_unsure(found, predictions) for found in predictions.least_sure],
    )
    path.write_text(page, encoding="utf-8")


def _samples(profile: Profile) -> list[str]:
    return [grey(image) for image in profile.decoded_samples()]


def _means(came: Profile, train: Profile) -> Means:
    change = came.mean_image - train.mean_image
    return Means(
        _mean(came.mean_image),
        _mean(train.mean_image),
        difference(change),
        max(float(change.max()), 0.0),
        max(float(-change.min()), 0.0),
    )


def _classes(names: Sequence[str], came: Profile, test: Profile) -> list[ClassRow]:
    """The classes in order; of many, those whose share changed most come first."""
    shares = zip(names, came.class_shares, test.class_shares, strict=True)
    rows = [ClassRow(*row) for row in shares]
    return sorted(rows, key=lambda row: -abs(row.change)) if len(rows) > CLASSES else rows


def _unsure(found: LeastSure, predictions: Predictions) -> Unsure:
    image = as_image(found.image, predictions.profile.image_shape)
    return Unsure(found, predictions.class_names[found.predicted], grey(image))


def _grey_values(came: Profile, train: Profile) -> LineChart | None:
    """Lays out the shares of images by mean grey value, from the darkest to the brightest."""
    held = np.flatnonzero(np.add(came.ink, train.ink))
    first, last = int(held[0]), int(held[-1]) + 1
    step = -(-(last - first) // BARS)
    edges = [*range(first, last, step), last + (first - last) % step]
    return line_chart(
        {
            CAME: _outline(edges, came.ink, came.images),
            "training split": _outline(edges, train.ink, train.images),
        }
    )


def _confidence(came: Profile, test: Profile) -> LineChart | None:
    """Lays out the shares of answers by probability; logarithmic, or few unsure ones would hide."""
    lowest = int(np.flatnonzero(np.add(came.confidence, test.confidence))[0])
    edges = list(range(lowest // STEP * STEP, HUNDREDTHS + 1, STEP))
    # Half an image: below what a bar can have, since none has a logarithm.
    floor = 0.5 / max(came.images, test.images)
    series = {
        CAME: _outline(edges, came.confidence, came.images),
        "test split": _outline(edges, test.confidence, test.images),
    }
    return line_chart(
        {
            name: [(edge / HUNDREDTHS, max(share, floor)) for edge, share in points]
            for name, points in series.items()
        },
        log=True,
    )


def _outline(edges: Sequence[int], counts: Sequence[int], of: int) -> Points:
    """Goes up and down the bars between the edges, from the ground to the ground."""
    points: Points = [(edges[0], 0.0)]
    for low, high in pairwise(edges):
        share = sum(counts[low:high]) / of
        points += [(low, share), (high, share)]
    return [*points, (edges[-1], 0.0)]


def grey(image: npt.NDArray[np.uint8]) -> str:
    """Returns a grey image, uint8 ``[height, width]``."""
    return _small(Image.fromarray(image))


def _mean(image: npt.NDArray[np.float64]) -> str:
    """Returns a mean image, grey values 0 to 255 ``[rows, columns]``."""
    return grey(np.clip(image.round(), 0, 255).astype(np.uint8))


def difference(image: npt.NDArray[np.float64]) -> str:
    """Returns differences ``[rows, columns]`` in two colours; the smaller, the paler."""
    largest = np.abs(image).max() or 1.0
    colours = np.where(image[..., None] > 0, BRIGHTER, DARKER)
    opacity = np.abs(image)[..., None] / largest * 255
    pixels = np.concatenate([colours, opacity], axis=-1).round().astype(np.uint8)
    return _small(Image.fromarray(pixels))


def _small(picture: Image.Image) -> str:
    picture.thumbnail((LARGEST, LARGEST))
    return data_uri(picture)
