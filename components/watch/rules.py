"""The rules by which what came in is quiet."""

from collections.abc import Sequence

from components.shared.evaluation import Verdict
from components.shared.predictions import DriftFigure, Predictions, Reference

WHAT = {
    "max_ink_psi": "mean ink lies {:.3f} (population stability index) from the training split's",
    "max_ink_js": "mean ink lies {:.4f} bits (Jensen-Shannon) from the training split's",
    "max_pixel_distance": "the mean image lies {:.1f} grey values from the training split's",
    "max_class_change": "{what} of the answers, {:.3f} from its share of those on the test split",
    "max_low_confidence": "the share of unsure answers lies {:.4f} above that on the test split",
}


def judge(
    figures: Sequence[DriftFigure], predictions: Predictions, reference: Reference
) -> list[Verdict]:
    """Judges figure by figure: one fails that is above its bound, and above what chance gives."""
    return [_judge(figure, predictions, reference) for figure in figures]


def _judge(figure: DriftFigure, predictions: Predictions, reference: Reference) -> Verdict:
    told = WHAT[figure.name].format(figure.value, what=_class(predictions, reference))
    if figure.value <= figure.bound:
        reason = f"{told}, at most {figure.bound:g}"
        return Verdict(rule=figure.name, passed=True, reason=reason)
    reason = f"{told}, above {figure.bound:g}"
    if not figure.too_far:
        images = predictions.profile.images
        reason += f", but {images:,} images reach {figure.chance:.2g} by chance"
    return Verdict(rule=figure.name, passed=not figure.too_far, reason=reason)


def _class(predictions: Predictions, reference: Reference) -> str:
    """The class whose share has changed most, and its share now."""
    ours, theirs = predictions.profile.class_shares, reference.test.class_shares
    changes = [abs(one - other) for one, other in zip(ours, theirs, strict=True)]
    most = changes.index(max(changes))
    return f"{reference.class_names[most]!r} is {ours[most]:.3f}"
