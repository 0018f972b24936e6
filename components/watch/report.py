"""``drift.html``: what came in beside what the model was trained on, as one page."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from components.shared import pages
from components.shared.environment import RUN_ID, RUN_PAGE
from components.shared.predictions import Drift, LeastSure, Predictions, Reference
from components.shared.profile import Profile, as_image
from components.watch import histograms, pictures

FILE = "drift.html"
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


class Means(NamedTuple):
    """Both mean images and their difference, as data URIs."""

    came: str
    train: str
    difference: str
    brightest: float  # grey values by which a place is brighter than in training at most
    darkest: float  # the same, darker


def write(path: Path, drift: Drift, predictions: Predictions, reference: Reference) -> None:
    """Renders the page of a night.

    Args:
        path: The file to write.
        drift: What was decided, and why.
        predictions: What came in, and what the model said of it.
        reference: What the model was trained on.
    """
    came, train, test = predictions.profile, reference.train, reference.test
    classes = _classes(reference.class_names, came, test)
    page = pages.render(
        "components.watch",
        ".",
        "drift.html.j2",
        drift=drift,
        predictions=predictions,
        reference=reference,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        run=os.environ.get(RUN_ID, ""),
        run_page=os.environ.get(RUN_PAGE, ""),
        figures=list(zip(drift.figures, drift.verdicts, strict=True)),
        samples=[("What came in", _samples(came)), ("Training split", _samples(train))],
        means=_means(came, train),
        ink=histograms.ink(came, train),
        confidence=histograms.confidence(came, test),
        classes=classes,
        shown=min(len(classes), CLASSES),
        largest_share=max(*came.class_shares, *test.class_shares) or 1.0,
        unsure=[_unsure(found, predictions) for found in predictions.least_sure],
    )
    path.write_text(page, encoding="utf-8")


def _samples(profile: Profile) -> list[str]:
    return [pictures.grey(image) for image in profile.decoded_samples()]


def _means(came: Profile, train: Profile) -> Means:
    change = came.mean_image - train.mean_image
    return Means(
        pictures.mean(came.mean_image),
        pictures.mean(train.mean_image),
        pictures.difference(change),
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
    return Unsure(found, predictions.class_names[found.predicted], pictures.grey(image))
