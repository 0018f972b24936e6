"""Watch: from predictions to the decision whether somebody should look."""

from pathlib import Path

from components.config import Watch
from components.shared.errors import StepError, log_line
from components.shared.outcome import Outcome, report_outcome
from components.shared.predictions import Drift, Predictions, Reference
from components.shared.storage import atomic_directory
from components.watch import report
from components.watch.diagnosis import diagnose
from components.watch.figures import figures, judge

REPORT = report.FILE


def watch(config: Watch, predictions: Path, output: Path) -> Drift:
    """Compares what came in with what the model that scored it was trained on.

    Args:
        config: The bounds of the rules.
        predictions: The directory that predict wrote.
        output: The directory to write; it appears whole or not at all.

    Returns:
        The manifest, also in ``output``.

    Raises:
        StepError: The predictions are none, or are of a model that came without its reference.
    """
    found = Predictions.read(predictions)
    if not (predictions / Reference.FILE).is_file():
        raise StepError(
            f"{predictions}: no {Reference.FILE}: version {found.version} of {found.model_name} "
            "was published without what it was trained on; train and publish another"
        )
    reference = Reference.read(predictions)
    _check(predictions, found, reference)
    drift = compare(config, found, reference)
    with atomic_directory(output, Drift.FILE) as directory:
        drift.write(directory)
        report.write(directory / report.FILE, drift, found, reference)
    for verdict in drift.verdicts:
        log_line(f"  {verdict}")
    result = "quiet" if drift.quiet else "alarm"
    report_outcome(
        Outcome(step="watch", result=result, message=summary(drift), version=drift.version)
    )
    return drift


def compare(config: Watch, found: Predictions, reference: Reference) -> Drift:
    """Returns how far what came in lies from what the model was trained on, and the verdicts."""
    moved = figures(config, found.profile, reference)
    drift = Drift(
        verdicts=judge(moved, found, reference),
        figures=moved,
        images=found.profile.images,
        source=found.source,
        registry=found.registry,
        model_name=found.model_name,
        version=found.version,
    )
    if drift.quiet:
        return drift
    return drift.model_copy(update={"diagnosis": diagnose(config, found, reference)})


def _check(predictions: Path, found: Predictions, reference: Reference) -> None:
    """Sees that there is something to compare, and that it is to be compared with this."""
    if not found.profile.images:
        raise StepError(f"{predictions}: no images, expected some to compare")
    if found.model_sha256 != reference.model_sha256 or found.class_names != reference.class_names:
        raise StepError(f"{predictions / Reference.FILE}: is of another model; predict anew")
    if found.profile.image_shape != reference.train.image_shape:
        raise StepError(f"{predictions}: images of another size than the model was trained on")


def summary(drift: Drift) -> str:
    """Returns the decision and why, in one line."""
    if not drift.diagnosis:
        return f"Quiet: all {len(drift.verdicts)} rules hold for {drift.images:,} images"
    failed = [verdict for verdict in drift.verdicts if not verdict.passed]
    others = ", ".join(verdict.rule for verdict in failed[1:])
    also = f" (also {others})" if others else ""
    probably, moved = drift.diagnosis.sentence, f"{failed[0].reason}{also}"
    return f"Alarm: {drift.source}: {probably}; {moved}; what to do: {drift.diagnosis.to_do}"
