"""How far what came in lies from what the model was trained on, and how far chance alone goes."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from components.config import Watch
from components.shared.predictions import DriftFigure, Reference
from components.shared.profile import HUNDREDTHS, Profile

BINS = 10  # of mean ink: each holds a tenth of the training split
SMOOTHING = 0.5  # images that every bin is taken to hold more, so that none is empty
RARE = 0.001  # how often chance may go beyond what is said of it


def figures(config: Watch, came: Profile, reference: Reference) -> list[DriftFigure]:
    """Compares the images with the training split, and the answers with those on the test split."""
    train, test = reference.train, reference.test
    shares = ink_shares(came, train)
    noise = 1 / came.images + 1 / train.images
    degrees = len(shares[0]) - 1
    by_chance = chi_square(degrees) * noise
    low = [_below(profile, config.low_confidence) for profile in (came, test)]
    return [
        DriftFigure(
            name="max_ink_psi", value=psi(*shares), bound=config.max_ink_psi, chance=by_chance
        ),
        DriftFigure(
            name="max_ink_js",
            value=js(*shares),
            bound=config.max_ink_js,
            # To the second order, it is so much of the other.
            chance=by_chance / (8 * math.log(2)),
        ),
        DriftFigure(
            name="max_pixel_distance",
            value=float(np.sqrt(np.square(came.mean_image - train.mean_image).mean())),
            bound=config.max_pixel_distance,
            # Images may differ in few ways, such as how bright they are: in one, on the safe side.
            chance=math.sqrt(reference.pixel_variance * noise * chi_square(1)),
        ),
        DriftFigure(
            name="max_class_change",
            value=max(
                abs(ours - theirs)
                for ours, theirs in zip(came.class_shares, test.class_shares, strict=True)
            ),
            bound=config.max_class_change,
            chance=max(
                _share_by_chance(share, came.images, test.images, len(test.predicted))
                for share in test.class_shares
            ),
        ),
        DriftFigure(
            name="max_low_confidence",
            value=max(0.0, low[0] - low[1]),
            bound=config.max_low_confidence,
            chance=_share_by_chance(low[1], came.images, test.images, 1),
        ),
    ]


def ink_shares(
    came: Profile, train: Profile
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the shares of images in bins of mean ink that each hold a tenth of ``train``.

    Fewer bins where many images have the same ink.
    """
    reached = np.cumsum(train.ink) / max(1, train.images)
    edges = np.unique(np.searchsorted(reached, np.arange(1, BINS) / BINS) + 1)
    edges = np.concatenate([[0], edges[edges < len(train.ink)]])
    ours, theirs = (np.add.reduceat(profile.ink, edges) + SMOOTHING for profile in (came, train))
    return ours / ours.sum(), theirs / theirs.sum()


def psi(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    """Returns the population stability index of two distributions."""
    return float(((ours - theirs) * np.log(ours / theirs)).sum())


def js(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    """Returns the Jensen-Shannon divergence of two distributions, in bits, 0 to 1."""
    middle = (ours + theirs) / 2
    parts = [(one * np.log2(one / middle)).sum() for one in (ours, theirs)]
    return float(sum(parts) / 2)


def chi_square(degrees: int) -> float:
    """Returns the value that chi-square exceeds in one of a thousand cases.

    Source: Wilson and Hilferty, "The distribution of chi-square", 1931.
    """
    if not degrees:
        return 0.0
    spread = 2 / (9 * degrees)
    cube = 1 - spread + NormalDist().inv_cdf(1 - RARE) * math.sqrt(spread)
    return float(degrees * cube**3)


def _share_by_chance(share: float, ours: int, theirs: int, of: int) -> float:
    """How far two samples' shares may lie apart, as the most of so many shares, by chance."""
    share = max(share, 1 / theirs)  # of what was not seen there, there may be some
    deviation = math.sqrt(share * (1 - share) * (1 / ours + 1 / theirs))
    return NormalDist().inv_cdf(1 - RARE / (2 * of)) * deviation


def _below(profile: Profile, confidence: float) -> float:
    """The share of answers less sure than this, which is a number of hundredths."""
    unsure: Sequence[int] = profile.confidence[: round(confidence * HUNDREDTHS)]
    return sum(unsure) / max(1, profile.images)
