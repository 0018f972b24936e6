"""``drift.html``: what came in beside what the model was trained on, as one page."""

import base64
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from components.shared import pages
from components.shared.code import RUN_ID, RUN_PAGE
from components.shared.pages.charts import LineChart, Points, line_chart
from components.shared.predictions import Drift, LeastSure, Predictions, Reference
from components.shared.profile import GREYS, HUNDREDTHS, Profile
from components.watch import pictures

FILE = "drift.html"
STEP = 8  # grey values of mean ink that make a point of the chart


def write(path: Path, drift: Drift, predictions: Predictions, reference: Reference) -> None:
    """Renders the page of a night.

    Args:
        path: The file to write.
        drift: What was decided, and why.
        predictions: What came in, and what the model said of it.
        reference: What the model was trained on.
    """
    came, train = predictions.profile, reference.train
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
        samples=pictures.greys(came.decoded_samples()),
        trained_on=pictures.greys(train.decoded_samples()),
        mean=pictures.grey(came.mean_image),
        trained_mean=pictures.grey(train.mean_image),
        difference=pictures.difference(came.mean_image, train.mean_image),
        ink=_ink_chart(came, train),
        confidence=_confidence_chart(came, reference.test),
        classes=_classes(predictions, reference),
        least_sure=[(one, _picture(one, came)) for one in predictions.least_sure],
    )
    path.write_text(page, encoding="utf-8")


def _ink_chart(came: Profile, train: Profile) -> LineChart | None:
    """The share of images by their mean ink."""

    def points(profile: Profile) -> Points:
        shares = np.reshape(profile.ink, (-1, STEP)).sum(axis=1) / profile.images
        return list(zip(range(STEP // 2, GREYS, STEP), shares.tolist(), strict=True))

    return line_chart({"what came in": points(came), "training split": points(train)})


def _confidence_chart(came: Profile, test: Profile) -> LineChart | None:
    """The share of answers that are less sure than so much."""

    def points(profile: Profile) -> Points:
        below = np.cumsum([0, *profile.confidence]) / profile.images
        return [(at / HUNDREDTHS, share) for at, share in enumerate(below.tolist())]

    return line_chart({"what came in": points(came), "test split": points(test)})


def _classes(
    predictions: Predictions, reference: Reference
) -> list[tuple[str, float, float, float]]:
    """Every class with its share of the answers, that on the test split, and the change."""
    shares = zip(
        reference.class_names,
        predictions.profile.class_shares,
        reference.test.class_shares,
        strict=True,
    )
    found = [(name, ours, theirs, ours - theirs) for name, ours, theirs in shares]
    return sorted(found, key=lambda one: -abs(one[3]))


def _picture(one: LeastSure, came: Profile) -> str:
    pixels: npt.NDArray[np.uint8] = np.frombuffer(base64.b64decode(one.image), np.uint8)
    return pictures.grey(pixels.reshape(came.image_shape))
