"""Ingestion: from a source to TFRecord shards, their statistics and their manifest."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from pyarrow import fs

from components.config import Ingest
from components.ingest import anomalies, digests, processes, report
from components.ingest.output import make_directory, whole_dataset
from components.ingest.shards import COUNTERS, NAMESPACE, WORK, Note, Plan, WriteShards
from components.ingest.statistics import read_notes, summarize
from components.shared.addresses import shown
from components.shared.errors import StepError, explain, is_about_a_file, tell
from components.shared.manifests import Dataset
from components.sources import filesystem
from components.sources.open_source import open_source
from components.sources.source import Range, Source

# From so many records on, two worker processes make up for the seconds that they take to start.
WORTH_PROCESSES = 2_000_000
SHARD_BYTES = 64 << 20  # pixels that a worker holds at once


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
    with whole_dataset(str(output)) as directory:
        source = open_source(config, make_directory(directory, f"{WORK}/source"))
        ranges = source.ranges(_shard_size(config, source))
        records = sum(part.stop - part.start for part in ranges)
        plan = Plan(
            source,
            directory,
            config.validation_share,
            config.test_share,
            digests.buckets(records),
            int(config.max_rejected * records),
        )
        counters = _run(plan, ranges, _flags(records, beam_arguments))
        notes = read_notes(directory, ranges)
        _check(notes, records, config.max_rejected)
        dataset = _dataset(config, source, directory, ranges, notes, counters)
        found = anomalies.find(dataset, previous, config.max_drift)
        dataset = dataset.model_copy(update={"anomalies": found})
        filesystem.write(directory, report.FILE, report.render(dataset, directory).encode())
        filesystem.write(directory, Dataset.FILE, dataset.text.encode())
    _tell(dataset)
    return dataset


def _shard_size(config: Ingest, source: Source) -> int:
    """Records a shard: fewer than asked for where images are so large that memory would grow."""
    return min(config.shard_size, max(1, SHARD_BYTES // prod(source.image_shape)))


def _read_previous(address: str) -> Dataset:
    path = address if address.endswith(Dataset.FILE) else f"{address.rstrip('/')}/{Dataset.FILE}"
    try:
        return Dataset.parse(filesystem.read(*filesystem.open_filesystem(path)), path)
    except OSError:
        raise StepError(f"{path}: not found, expected the {Dataset.FILE} of --previous") from None


def _flags(records: int, beam_arguments: Sequence[str]) -> list[str]:
    """Beam's flags: ours, and then the user's, since the last one wins."""
    # Beam's own default runner first tries to download another one.
    flags = ["--runner=FnApiRunner"]
    if records >= WORTH_PROCESSES:
        flags += ["--direct_running_mode=multi_processing", "--direct_num_workers=0"]
    return [*flags, *beam_arguments]


def _pipeline(options: PipelineOptions) -> beam.Pipeline:
    """Returns a pipeline for Beam's options; where they ask for processes here, these are ours."""
    direct = options.view_as(DirectOptions)
    here = options.view_as(StandardOptions).runner == "FnApiRunner"
    if not here or direct.direct_running_mode != "multi_processing":
        return beam.Pipeline(options=options)
    direct.direct_running_mode = None  # or the runner would take Beam's own worker again
    return beam.Pipeline(FnApiRunner(processes.environment()), options)


def _run(plan: Plan, ranges: list[Range], flags: list[str]) -> dict[str, int]:
    """Runs the pipeline and returns its counters.

    Raises:
        StepError: The runner failed, whatever it is; Beam has no exception of its own for it.
    """
    try:
        with processes.watched():
            pipeline = _pipeline(PipelineOptions(flags))
            _ = (
                pipeline
                | "Ranges" >> beam.Create(ranges, reshuffle=True)
                | "WriteShards" >> beam.ParDo(WriteShards(plan))
            )
            result = pipeline.run()
            result.wait_until_finish()
    except StepError:
        raise
    except Exception as error:
        if is_about_a_file(error):
            raise StepError(explain(error)) from error
        reason = " ".join([type(error).__name__, *str(error).strip().splitlines()[-1:]])
        raise StepError(
            f"Beam's runner failed: {reason}; check the flags after --, or see all of the error "
            "with --debug"
        ) from error
    query = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    counters = {counter.key.metric.name: counter.result for counter in query["counters"]}
    return {name: counters.get(name, 0) for name in COUNTERS}


def _check(notes: list[Note], records: int, max_rejected: float) -> None:
    """Checks that not too many records are unusable, and that none is unaccounted for."""
    rejected = sum(split.rejected for note in notes for split in note.splits.values())
    if rejected > max_rejected * records:
        named = [record for note in notes for record in note.rejected][:3]
        first = "; ".join(f"{record.where}: {record.reason}" for record in named)
        raise StepError(
            f"{first}: {rejected:,} of {sum(note.read for note in notes):,} records unusable, "
            f"expected at most the share {max_rejected:g} of --max-rejected"
        )
    read = sum(note.read for note in notes)
    written = sum(split.shard.records for note in notes for split in note.splits.values())
    if not records == read == written + rejected:
        raise AssertionError(
            f"{records} records in the source, {read} read, {written} written, {rejected} rejected"
        )


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
        source=shown(config.source),
        source_fingerprint=source.fingerprint,
        metrics=counters,
        splits=outcome.splits,
        duplicates=outcome.duplicates,
        anomalies=[],
        rejected=outcome.rejected,
    )


def _tell(dataset: Dataset) -> None:
    for anomaly in dataset.anomalies:
        tell(f"Anomaly: {anomaly.split}, {anomaly.kind}: {anomaly.message}")
    tell(f"Splits: {dataset.splits_from}")
    written = ", ".join(f"{name} {split.records:,}" for name, split in dataset.splits.items())
    rejected = sum(split.rejected for split in dataset.splits.values())
    tell(f"Wrote {written} examples; {rejected:,} rejected")
