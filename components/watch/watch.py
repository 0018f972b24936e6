"""Watch: from predictions to the decision whether somebody should look."""

from collections.abc import Sequence
from pathlib import Path

from components.config import Watch
from components.shared.errors import log_line
from components.shared.outcome import Outcome, report_outcome
from components.shared.predictions import Drift, LaterLabels, Predictions, Reference
from components.shared.storage import atomic_directory
from components.watch import report
from components.watch.days import Day, read_day, within
from components.watch.diagnosis import diagnose
from components.watch.figures import figures, judge, precision_figures

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
    return _watch(config, read_day(predictions), output)


def watch_labels(
    config: Watch, predictions: Sequence[Path], labels: str, window: int, output: Path
) -> Drift:
    """Watches the newest of several days, and holds the answers of all against labels.

    Args:
        config: The bounds of the rules.
        predictions: The directories that predict wrote.
        labels: A source of labelled images, those that came in among them.
        window: Days up to the newest that count.
        output: As for :func:`watch`.

    Returns:
        The manifest, also in ``output``.

    Raises:
        StepError: As of :func:`watch`; or the labels cannot be read, or are of none of the images.
    """
    from components.watch.labels import compare_labels, log_labels  # what reads a source

    days = within([read_day(directory) for directory in predictions], window)
    later = compare_labels(labels, days)
    log_labels(later)
    return _watch(config, days[-1], output, later)


def _watch(config: Watch, day: Day, output: Path, labels: LaterLabels | None = None) -> Drift:
    drift = compare(config, day.found, day.reference, labels)
    with atomic_directory(output, Drift.FILE) as directory:
        drift.write(directory)
        report.write(directory / report.FILE, drift, day.found, day.reference)
    for verdict in drift.verdicts:
        log_line(f"  {verdict}")
    result = "quiet" if drift.quiet else "alarm"
    report_outcome(
        Outcome(step="watch", result=result, message=drift.line(), version=drift.version)
    )
    return drift


def compare(
    config: Watch, found: Predictions, reference: Reference, labels: LaterLabels | None = None
) -> Drift:
    """Returns how far what came in lies from what the model was trained on, and the verdicts."""
    labelled = labels.window if labels else found.labelled
    moved = [
        *figures(config, found.profile, reference),
        *precision_figures(config, labelled, reference),
    ]
    drift = Drift(
        verdicts=judge(moved, found, reference, labelled),
        figures=moved,
        images=found.profile.images,
        source=found.source,
        registry=found.registry,
        model_name=found.model_name,
        version=found.version,
        labels=labels,
    )
    if drift.quiet:
        return drift
    diagnosis = diagnose(config, found, reference, moved, labels.source if labels else "")
    return drift.model_copy(update={"diagnosis": diagnosis})
