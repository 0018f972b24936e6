"""The rules by which a model may go out."""

from components.shared.manifests import SplitEvaluation, Verdict
from pipeline.config import Evaluate


def judge(config: Evaluate, splits: dict[str, SplitEvaluation]) -> list[Verdict]:
    """Judges a model by its figures, rule by rule."""
    return [_min_precision(config, splits["test"])]


def _min_precision(config: Evaluate, test: SplitEvaluation) -> Verdict:
    passed = test.precision_at_1 >= config.min_precision
    return Verdict(
        rule="min_precision",
        passed=passed,
        reason=f"test precision@1 {test.precision_at_1:.4f} is "
        f"{'at least' if passed else 'below'} {config.min_precision:g}",
    )
