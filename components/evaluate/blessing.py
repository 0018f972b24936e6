"""The rules by which a model may go out."""

from components.config import Evaluate
from components.shared.evaluation import Comparison, Serving, SplitEvaluation, Verdict

SIGNIFICANT = 0.05  # a p-value below this is not put down to chance


def judge(
    config: Evaluate,
    splits: dict[str, SplitEvaluation],
    champion: Comparison | None,
    serving: Serving,
) -> list[Verdict]:
    """Judges a model by its figures, rule by rule."""
    return [
        _min_precision(config, splits["test"]),
        _max_regression(config, splits["test"], champion),
        _min_class_recall(config, splits["test"]),
        _max_gap(config, splits["train"], splits["test"]),
        _max_latency(config, serving),
        _signatures(serving),
    ]


def _min_precision(config: Evaluate, test: SplitEvaluation) -> Verdict:
    passed = test.precision_at_1 >= config.min_precision
    return Verdict(
        rule="min_precision",
        passed=passed,
        reason=f"test precision@1 {test.precision_at_1:.4f} is "
        f"{'at least' if passed else 'below'} {config.min_precision:g}",
    )


def _max_regression(
    config: Evaluate, test: SplitEvaluation, champion: Comparison | None
) -> Verdict:
    rule = "max_regression"
    if champion is None:
        alone = "judged for itself, without the champion" if config.no_champion else ""
        reason = alone or "no champion yet to compare with"
        return Verdict(rule=rule, passed=True, reason=reason)
    loss = champion.test.precision_at_1 - test.precision_at_1
    theirs = f"{champion.name}'s {champion.test.precision_at_1:.4f}"
    if loss <= 0:
        reason = f"test precision@1 {test.precision_at_1:.4f} is not below {theirs}"
        return Verdict(rule=rule, passed=True, reason=reason)
    chance = f"McNemar p = {champion.p_value:.2g}"
    reason = f"test precision@1 {test.precision_at_1:.4f} is {loss:.4f} below {theirs}, "
    if loss <= config.max_regression:
        return Verdict(
            rule=rule, passed=True, reason=f"{reason}within {config.max_regression:g} ({chance})"
        )
    if champion.p_value >= SIGNIFICANT:
        return Verdict(rule=rule, passed=True, reason=f"{reason}which may be chance ({chance})")
    return Verdict(
        rule=rule,
        passed=False,
        reason=f"{reason}more than {config.max_regression:g} and beyond chance ({chance})",
    )


def _min_class_recall(config: Evaluate, test: SplitEvaluation) -> Verdict:
    weakest = min((one for one in test.classes if one.examples), key=lambda one: one.recall)
    passed = weakest.recall >= config.min_class_recall
    return Verdict(
        rule="min_class_recall",
        passed=passed,
        reason=f"the weakest class, {weakest.name}, is recognized in {weakest.recall:.4f} of the "
        f"cases, {'at least' if passed else 'below'} {config.min_class_recall:g}",
    )


def _max_gap(config: Evaluate, train: SplitEvaluation, test: SplitEvaluation) -> Verdict:
    gap = train.precision_at_1 - test.precision_at_1
    passed = gap <= config.max_gap
    return Verdict(
        rule="max_gap",
        passed=passed,
        reason=f"test precision@1 is {abs(gap):.4f} {'below' if gap >= 0 else 'above'} that on "
        f"train, {'within' if passed else 'more than'} {config.max_gap:g}",
    )


def _max_latency(config: Evaluate, serving: Serving) -> Verdict:
    passed = serving.latency_ms <= config.max_latency_ms
    return Verdict(
        rule="max_latency_ms",
        passed=passed,
        reason=f"one image takes {serving.latency_ms:.2g} ms, "
        f"{'at most' if passed else 'more than'} {config.max_latency_ms:g} ms",
    )


def _signatures(serving: Serving) -> Verdict:
    agree = "both signatures agree, one image at a time and in batches"
    return Verdict(rule="signatures", passed=not serving.problem, reason=serving.problem or agree)
