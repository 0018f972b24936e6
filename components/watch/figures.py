"""How far what came in lies from the training data, how far chance alone goes, and the verdicts."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from components.config import Watch
from components.shared.evaluation import Verdict
from components.shared.predictions import DriftFigure, Labelled, Predictions, Reference
from components.shared.profile import HUNDREDTHS, Profile

BINS = 10  # of the mean grey value: each holds a tenth of the training split
SMOOTHING = 0.5  # images that every bin is taken to hold more, so that none is empty
RARE = 0.001  # how often chance may go beyond what is said of it

PRECISION = "max_precision_loss"
WHAT = {
    "max_ink_psi": "mean grey values lie {:.3f} (population stability index) from the training "
    "split's",
    "max_pixel_distance": "the mean image lies {:.1f} grey values from the training split's",
    "max_texture_distance": "texture lies {:.2f} standard deviations from the training split's",
    "max_unusual": "the share of unusual textures lies {:.4f} above that on the test split",
    "max_class_change": "{what} of the answers, {:.3f} from its share of those on the test split",
    "max_low_confidence": "the share of unsure answers lies {:.4f} above that on the test split",
    PRECISION: "precision@1 where labels came lies {:.4f} below that on the test split",
}


def figures(config: Watch, came: Profile, reference: Reference) -> list[DriftFigure]:
    """Compares the images with the training split, and the answers with those on the test split.

    Returns:
        A figure a rule; none of a rule for which ``came`` or ``reference`` has nothing to compare.
    """
    train, test = reference.train, reference.test
    shares = grey_value_shares(came, train)
    noise = 1 / came.images + 1 / train.images
    degrees = len(shares[0]) - 1
    changes = np.subtract(came.class_shares, test.class_shares)
    most = int(np.abs(changes).argmax())
    rare = RARE / (2 * len(changes))  # there are so many ways to be an exception
    low = [_below(profile, config.low_confidence) for profile in (came, test)]
    return [
        DriftFigure(
            name="max_ink_psi",
            value=psi(*shares),
            bound=config.max_ink_psi,
            chance=chi_square(degrees) * noise,
        ),
        DriftFigure(
            name="max_pixel_distance",
            value=float(np.sqrt(np.square(came.mean_image - train.mean_image).mean())),
            bound=config.max_pixel_distance,
            # Images may differ in few ways, such as how bright they are: in one, on the safe side.
            chance=math.sqrt(reference.pixel_variance * noise * chi_square(1)),
        ),
        *_texture_figures(config, came, reference),
        DriftFigure(
            name="max_class_change",
            value=abs(float(changes[most])),
            bound=config.max_class_change,
            chance=share_by_chance(test.predicted[most], test.images, came.images, rare)[
                int(changes[most] > 0)
            ],
        ),
        DriftFigure(
            name="max_low_confidence",
            value=max(0.0, low[0] / came.images - low[1] / test.images),
            bound=config.max_low_confidence,
            chance=share_by_chance(low[1], test.images, came.images, RARE)[1],
        ),
    ]


def _texture_figures(config: Watch, came: Profile, reference: Reference) -> list[DriftFigure]:
    texture, train, test = reference.texture, reference.train, reference.test
    if not texture or not came.sampled:
        return []
    return [
        DriftFigure(
            name="max_texture_distance",
            value=float(texture.distances(came.mean_texture)[0]),
            bound=config.max_texture_distance,
            # A mean of images lies nearer than they do by the root of their number; one image lies
            # farther than this in one of a thousand cases.
            chance=texture.of_999_permille * math.sqrt(1 / came.sampled + 1 / train.sampled),
        ),
        DriftFigure(
            name="max_unusual",
            value=max(0.0, came.unusual / came.sampled - test.unusual / test.sampled),
            bound=config.max_unusual,
            chance=share_by_chance(test.unusual, test.sampled, came.sampled, RARE)[1],
        ),
    ]


def precision_figures(
    config: Watch, labelled: Labelled | None, reference: Reference
) -> list[DriftFigure]:
    """Compares precision@1 with what the test split promised; none where either is not known."""
    promised = reference.promised
    if not labelled or not promised:
        return []
    chance = share_by_chance(promised.correct, promised.images, labelled.images, RARE)[0]
    return [
        DriftFigure(
            name=PRECISION,
            value=max(0.0, promised.precision_at_1 - labelled.precision_at_1),
            bound=config.max_precision_loss,
            chance=chance,
        )
    ]


def grey_value_shares(
    came: Profile, train: Profile
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the shares of images in bins of mean grey value that each hold a tenth of ``train``.

    Fewer bins where many images have the same value.
    """
    reached = np.cumsum(train.ink) / max(1, train.images)
    edges = np.unique(np.searchsorted(reached, np.arange(1, BINS) / BINS) + 1)
    edges = np.concatenate([[0], edges[edges < len(train.ink)]])
    ours, theirs = (np.add.reduceat(profile.ink, edges) + SMOOTHING for profile in (came, train))
    return ours / ours.sum(), theirs / theirs.sum()


def psi(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    """Returns the population stability index of two distributions."""
    return float(((ours - theirs) * np.log(ours / theirs)).sum())


def chi_square(degrees: int) -> float:
    """Returns the value that chi-square exceeds in one of a thousand cases.

    Source: Wilson and Hilferty, "The distribution of chi-square", 1931.
    """
    if not degrees:
        return 0.0
    spread = 2 / (9 * degrees)
    cube = 1 - spread + NormalDist().inv_cdf(1 - RARE) * math.sqrt(spread)
    return float(degrees * cube**3)


def share_by_chance(hits: int, of: int, images: int, rare: float) -> tuple[float, float]:
    """How far a share among so many images may lie below and above ``hits`` in ``of``, by chance.

    Farther to one side it lies at most as often as ``rare`` says. Exact however few images
    there are: the predictive distribution of the binomial, with the prior of Jeffreys.

    Source: https://en.wikipedia.org/wiki/Beta-binomial_distribution
    """
    one, other = hits + 0.5, of - hits + 0.5
    share = one / (one + other)
    deviation = math.sqrt(images * share * (1 - share) * (1 + (images - 1) / (of + 2)))
    # Far enough on both sides that what lies beyond is much rarer than rare.
    low = max(0, int(images * share - 12 * deviation) - 30)
    high = min(images, int(images * share + 12 * deviation) + 30)
    count = np.arange(low, high, dtype=np.float64)
    ratios = np.log((images - count) * (count + one))
    ratios -= np.log((count + 1) * (images - count - 1 + other))
    logarithms = np.concatenate([[0.0], np.cumsum(ratios)])
    chances = np.exp(logarithms - logarithms.max())
    chances /= chances.sum()
    least = low + int(np.searchsorted(np.cumsum(chances), rare))
    most = high - int(np.searchsorted(np.cumsum(chances[::-1]), rare))
    return hits / of - least / images, most / images - hits / of


def _below(profile: Profile, confidence: float) -> int:
    """How many answers are less sure than this, which is a number of hundredths."""
    unsure: Sequence[int] = profile.confidence[: round(confidence * HUNDREDTHS)]
    return sum(unsure)


def judge(
    figures: Sequence[DriftFigure],
    predictions: Predictions,
    reference: Reference,
    labelled: Labelled | None = None,
) -> list[Verdict]:
    """Judges figure by figure: one fails that is above its bound, and above what chance gives.

    A rule without a figure holds, and says why there is none; that on precision@1 is left out where
    no labels came.
    """
    compared = {figure.name for figure in figures}
    rules = [rule for rule in WHAT if labelled or rule != PRECISION]
    return [
        *(_judge(figure, predictions, reference, labelled) for figure in figures),
        *(
            Verdict(
                rule=rule,
                passed=True,
                reason=f"not compared: {_older(rule, reference)} before there was this",
            )
            for rule in rules
            if rule not in compared
        ),
    ]


def _older(rule: str, reference: Reference) -> str:
    """What is too old for a rule's figure."""
    known = reference.texture and rule != PRECISION
    return "the images were predicted" if known else "the champion was published"


def _judge(
    figure: DriftFigure, predictions: Predictions, reference: Reference, labelled: Labelled | None
) -> Verdict:
    moved = WHAT[figure.name].format(figure.value, what=_class(predictions, reference))
    if figure.value <= figure.bound:
        reason = f"{moved}, at most {figure.bound:g}"
        return Verdict(rule=figure.name, passed=True, reason=reason)
    reason = f"{moved}, above {figure.bound:g}"
    if not figure.too_far:
        counted = labelled if labelled and figure.name == PRECISION else predictions.profile
        reason += f", but {counted.images:,} images reach {figure.chance:.2g} by chance"
    return Verdict(rule=figure.name, passed=not figure.too_far, reason=reason)


def _class(predictions: Predictions, reference: Reference) -> str:
    """The class whose share has changed most, and its share now."""
    ours, theirs = predictions.profile.class_shares, reference.test.class_shares
    changes = [abs(one - other) for one, other in zip(ours, theirs, strict=True)]
    most = changes.index(max(changes))
    return f"{reference.class_names[most]!r} is {ours[most]:.3f}"
