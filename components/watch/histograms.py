"""Two histograms over one another, as outlines of a chart."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from components.shared.pages.charts import LineChart, Points, line_chart
from components.shared.profile import HUNDREDTHS, Profile

BARS = 40  # of mean ink at most
STEP = 5  # hundredths of probability that a bar of confidence is wide
CAME = "came in"


def ink(came: Profile, train: Profile) -> LineChart | None:
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


def confidence(came: Profile, test: Profile) -> LineChart | None:
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
