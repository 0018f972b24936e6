"""The rules by which a model may go out."""

from collections.abc import Sequence

from components.config import Evaluate
from components.shared.evaluation import Comparison, Serving, SplitEvaluation, Verdict
from components.shared.significance import mcnemar

SIGNIFICANT = 0.05  # a p-value below this is not put down to chance
NAMED = 5  # classes named in a line


def judge(
    config: Evaluate,
    splits: dict[str, SplitEvaluation],
    champion: Comparison | None,
    serving: Serving,
    registry: str = "",
) -> list[Verdict]:
    """Judges a model by its figures, rule by rule.

    Args:
        config: The rules' bounds.
        splits: The model's figures by split.
        champion: Those of the champion beside it; None where there is none to compare with.
        serving: How the SavedModel answers.
        registry: Where a champion was looked for; empty: nowhere.
    """
    return [
        _every_class(splits),
        _majority_baseline(splits["test"]),
        _min_precision(config, splits["test"]),
        _max_share_change(config, splits["test"], champion),
        _max_regression(config, splits["test"], champion, registry),
        _min_class_recall(config, splits["test"]),
        _max_gap(config, splits["train"], splits["test"]),
        _max_latency(config, serving),
        _signatures(serving),
    ]


def enumerate_names(names: Sequence[str]) -> str:
    """Returns names with commas between, the first few of many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _chance(p_value: float) -> str:
    return f"McNemar p {f'= {p_value:.2g}' if p_value else '< 1e-300'}"


def _every_class(splits: dict[str, SplitEvaluation]) -> Verdict:
    """Nothing is known of a class without test examples, or to be hoped of one never trained on."""
    rule = "every_class"
    for split in ("test", "train"):
        classes = splits[split].classes
        missing = [one.name for one in classes if not one.examples]
        if missing:
            reason = (
                f"{len(missing)} of {len(classes)} classes have no {split} example: "
                f"{enumerate_names(missing)}; look at the labels, name the classes that there are "
                "(--class-names), or bring more images"
            )
            return Verdict(rule=rule, passed=False, reason=reason)
    return Verdict(rule=rule, passed=True, reason="every class has test and training examples")


def _majority_baseline(test: SplitEvaluation) -> Verdict:
    """Compares with whoever answers the most frequent class every time, as with a champion."""
    place = test.most_frequent
    most, hits = test.classes[place], test.confusion[place][place]
    gained, lost = test.correct - hits, most.examples - hits
    p_value = mcnemar(gained, lost)
    passed = gained > lost and p_value < SIGNIFICANT
    return Verdict(
        rule="majority_baseline",
        passed=passed,
        reason=f"test precision@1 {test.precision_at_1:.4f} is {'' if passed else 'not '}above "
        f"{test.majority_baseline:.4f}, what answering {most.name} every time gives, beyond chance "
        f"({_chance(p_value)})",
    )


def _min_precision(config: Evaluate, test: SplitEvaluation) -> Verdict:
    passed = test.precision_at_1 >= config.min_precision
    return Verdict(
        rule="min_precision",
        passed=passed,
        reason=f"test precision@1 {test.precision_at_1:.4f} is "
        f"{'at least' if passed else 'below'} {config.min_precision:g}",
    )


def _max_share_change(
    config: Evaluate, test: SplitEvaluation, champion: Comparison | None
) -> Verdict:
    """Among other classes, a higher precision@1 is not the sign of a better model."""
    rule = "max_share_change"
    if champion is None:
        return Verdict(rule=rule, passed=True, reason="no champion's test split to compare with")
    if champion.class_shares is None:
        reason = f"not known of the test split that {champion.name} was published with"
        return Verdict(rule=rule, passed=True, reason=reason)
    pairs = zip(test.class_shares, champion.class_shares, strict=True)
    changes = [abs(ours - theirs) for ours, theirs in pairs]
    place = max(range(len(changes)), key=changes.__getitem__)
    shares = (
        f"class {test.classes[place].name} makes up {test.class_shares[place]:.4f} of the test "
        f"split, {champion.class_shares[place]:.4f} of that of {champion.name}"
    )
    if changes[place] <= config.max_share_change:
        return Verdict(
            rule=rule, passed=True, reason=f"{shares}, within {config.max_share_change:g}"
        )
    reason = (
        f"{shares}, more than {config.max_share_change:g} apart, so precision@1 does not compare "
        f"them (balanced accuracy: {test.balanced_accuracy:.4f}, {champion.name} "
        f"{champion.test.balanced_accuracy:.4f}); look at the labels"
    )
    return Verdict(rule=rule, passed=False, reason=reason)


def _max_regression(
    config: Evaluate, test: SplitEvaluation, champion: Comparison | None, registry: str
) -> Verdict:
    rule = "max_regression"
    if champion is None:
        reason = "not compared: no champion was named (--champion, or --destination to find it)"
        if config.no_champion:
            reason = "judged for itself, without the champion"
        elif registry:
            reason = f"no champion yet in {registry} to compare with"
        return Verdict(rule=rule, passed=True, reason=reason)
    loss = champion.test.precision_at_1 - test.precision_at_1
    theirs = f"{champion.name}'s {champion.test.precision_at_1:.4f}"
    if loss <= 0:
        reason = f"test precision@1 {test.precision_at_1:.4f} is not below {theirs}"
        return Verdict(rule=rule, passed=True, reason=reason)
    chance = _chance(champion.p_value)
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
    low, high = weakest.recall_interval or (0.0, 1.0)
    return Verdict(
        rule="min_class_recall",
        passed=passed,
        reason=f"the weakest class, {weakest.name}, is recognized in {weakest.recall:.4f} of the "
        f"cases ({low:.4f} to {high:.4f}), {'at least' if passed else 'below'} "
        f"{config.min_class_recall:g}",
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
    agree = "both signatures agree, one image at a time and in batches, and refuse other shapes"
    return Verdict(rule="signatures", passed=not serving.problem, reason=serving.problem or agree)
