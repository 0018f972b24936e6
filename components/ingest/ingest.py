"""Ingestion: from a source to TFRecord shards, their statistics and their manifest."""

from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
from pyarrow import fs

from components.config import Ingest
from components.ingest import anomalies, digests, report
from components.ingest.shards import Note, Plan, WriteShards
from components.ingest.statistics import summarize
from components.jobs.notes import check, read_notes
from components.jobs.output import WORK, atomic_output, make_directory
from components.jobs.run import ranges_of, run
from components.shared.addresses import redacted
from components.shared.errors import StepError, log_line
from components.shared.manifests import Dataset
from components.sources import filesystem
from components.sources.open_source import open_source
from components.sources.source import Range, Source


def ingest(config: Ingest, output: Path | str, beam_arguments: Sequence[str] = ()) -> Dataset:
    """Writes a source's splits as TFRecord shards with their statistics and manifest.

    Args:
        config: What to read and how to cut it.
        output: The examples directory, also on ``gs://``; it appears whole or not at all.
        beam_arguments: Beam's own flags, handed to the runner unchanged.

    Returns:
        The manifest, also in ``output``.

    Raises:
        StepError: The source is unusable, or more records than allowed are.
    """
    previous = _read_previous(config.previous) if config.previous else None
    with atomic_output(str(output), Dataset.FILE) as directory:
        source = open_source(config, make_directory(directory, f"{WORK}/source"))
        ranges = ranges_of(source, config.shard_size)
        records = sum(part.stop - part.start for part in ranges)
        plan = Plan(
            source,
            directory,
            config.validation_share,
            config.test_share,
            digests.buckets(records),
            int(config.max_rejected * records),
        )
        counters = run("WriteShards" >> beam.ParDo(WriteShards(plan)), ranges, beam_arguments)
        notes = read_notes(directory, ranges, Note)
        written = sum(split.shard.records for note in notes for split in note.splits.values())
        check(notes, records, written, config.max_rejected)
        dataset = _dataset(config, source, directory, ranges, notes, counters)
        found = anomalies.find(dataset, previous, config.max_drift)
        dataset = dataset.model_copy(update={"anomalies": found})
        filesystem.write(directory, report.FILE, report.render(dataset, directory).encode())
        filesystem.write(directory, Dataset.FILE, dataset.text.encode())
    _tell(dataset)
    return dataset


def _read_previous(address: str) -> Dataset:
    path = address if address.endswith(Dataset.FILE) else f"{address.rstrip('/')}/{Dataset.FILE}"
    try:
        return Dataset.parse(filesystem.read(*filesystem.open_filesystem(path)), path)
    except OSError:
        raise StepError(f"{path}: not found, expected the {Dataset.FILE} of --previous") from None


def _dataset(
    config: Ingest,
    source: Source,
    directory: fs.FileSystem,
    ranges: list[Range],
    notes: list[Note],
    counters: dict[str, int],
) -> Dataset:
    outcome = summarize(source, directory, ranges, notes)
    return Dataset(
        image_shape=source.image_shape,
        class_names=list(source.class_names),
        splits_from=source.splits_from,
        source=redacted(config.source),
        source_fingerprint=source.fingerprint,
        metrics=counters,
        splits=outcome.splits,
        duplicates=outcome.duplicates,
        anomalies=[],
        rejected=outcome.rejected,
    )


def _tell(dataset: Dataset) -> None:
    for anomaly in dataset.anomalies:
        log_line(f"Anomaly: {anomaly.split}, {anomaly.kind}: {anomaly.message}")
    log_line(f"Splits: {dataset.splits_from}")
    written = ", ".join(f"{name} {split.records:,}" for name, split in dataset.splits.items())
    rejected = sum(split.rejected for split in dataset.splits.values())
    log_line(f"Wrote {written} examples; {rejected:,} rejected")
