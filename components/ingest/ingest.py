"""Ingestion: from a source to TFRecord shards, their statistics and their manifest."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.config import Ingest
from components.ingest import report
from components.ingest.reuse import take
from components.ingest.shards import SplitsReport, WriteShards
from components.ingest.statistics import find_anomalies, splits_and_duplicates
from components.jobs.output import WORK, atomic_output, make_directory
from components.jobs.ranges import Plan, first_rejected, total_counts
from components.shared.addresses import redacted
from components.shared.errors import StepError, explain, log_line
from components.shared.manifests import Dataset
from components.shared.outcome import Outcome, report_outcome
from components.sources import filesystem
from components.sources.open_source import open_source


def ingest(
    config: Ingest,
    output: Path | str,
    beam_arguments: Sequence[str] = (),
    earlier: Path | None = None,
) -> Dataset:
    """Writes a source's splits as TFRecord shards with their statistics and manifest.

    Args:
        config: What to read and how to cut it.
        output: The examples directory, also in a bucket; it appears whole or not at all.
        beam_arguments: Beam's own flags, handed to the runner unchanged.
        earlier: A dataset on the same disk that is taken where it would come out the same.

    Returns:
        The manifest, also in ``output``.

    Raises:
        StepError: The source is unusable, or more records than allowed are.
    """
    previous = _read_previous(config.previous) if config.previous else None
    with atomic_output(str(output), Dataset.FILE) as directory:
        source = open_source(config, make_directory(directory, f"{WORK}/source"))
        if earlier and not previous:
            place = Path(directory.base_path)
            taken = take(earlier, source, config.source, _options(config), place)
            if taken:
                _log(taken, "Took")
                return taken
        from components.jobs.run import run  # Beam takes seconds to import, and may not be needed

        plan = Plan.of(source, directory, config)
        reports = run(plan, WriteShards(plan, config), beam_arguments)
        dataset = _dataset(config, plan, reports)
        found = find_anomalies(dataset, previous, config.max_drift)
        dataset = dataset.model_copy(update={"anomalies": found})
        filesystem.write(directory, report.FILE, report.render(dataset, directory).encode())
        filesystem.write(directory, Dataset.FILE, dataset.text.encode())
    _log(dataset, "Wrote")
    return dataset


def _read_previous(address: str) -> Dataset:
    path = address if address.endswith(Dataset.FILE) else f"{address.rstrip('/')}/{Dataset.FILE}"
    try:
        return Dataset.parse(filesystem.read(*filesystem.open_filesystem(path)), path)
    except FileNotFoundError:
        raise StepError(f"{path}: not found, expected the {Dataset.FILE} of --previous") from None
    except OSError as error:
        raise StepError(f"--previous: {explain(error)}") from error


def _dataset(config: Ingest, plan: Plan, reports: Sequence[SplitsReport]) -> Dataset:
    source = plan.source
    splits, duplicates = splits_and_duplicates(plan, reports)
    return Dataset(
        image_shape=source.image_shape,
        class_names=list(source.class_names),
        splits_from=source.splits_from,
        source=redacted(config.source),
        options=_options(config),
        source_fingerprint=source.fingerprint,
        metrics=total_counts(reports),
        splits=splits,
        duplicates=duplicates,
        anomalies=[],
        rejected=first_rejected(reports),
    )


def _options(config: Ingest) -> dict[str, Any]:
    """The options that decide what is read and how; places of this machine are not among them."""
    changed = Ingest.changed(asdict(config))
    return {
        name: redacted(value) if isinstance(value, str) else value
        for name, value in changed.items()
        if name not in ("source", "until", "cache", "previous")
    }


def _log(dataset: Dataset, what: str) -> None:
    for anomaly in dataset.anomalies:
        log_line(f"Anomaly: {anomaly.split}, {anomaly.kind}: {anomaly.message}")
    log_line(f"Splits: {dataset.splits_from}")
    written = ", ".join(f"{name} {split.records:,}" for name, split in dataset.splits.items())
    rejected = sum(split.rejected for split in dataset.splits.values())
    message = f"{what} {written} examples; {rejected:,} rejected"
    report_outcome(Outcome(step="ingest", result="done", message=message))
