"""Runs a Beam job over the ranges of a source, on whatever runner."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from components.jobs import processes
from components.shared.errors import StepError, explain, is_about_a_file
from components.sources.source import Range, Source

# From so many records on, two worker processes make up for the seconds that they take to start.
WORTH_PROCESSES = 2_000_000
RANGE_BYTES = 64 << 20  # pixels that a worker holds at once
NAMESPACE = "records"  # of the Beam counters
COUNTERS = ("read", "written", "rejected", "bytes")


def ranges_of(source: Source, size: int) -> list[Range]:
    """Cuts a source into ranges: smaller than asked for where large images would take memory."""
    return source.ranges(min(size, max(1, RANGE_BYTES // prod(source.image_shape))))


def counters() -> Mapping[str, Any]:
    """Returns the counters of a job, for what works on its ranges to raise."""
    return {name: Metrics.counter(NAMESPACE, name) for name in COUNTERS}


def run(
    work: beam.PTransform, ranges: Sequence[Range], beam_arguments: Sequence[str]
) -> dict[str, int]:
    """Runs a job to its end and returns its counters.

    Args:
        work: What becomes of the ranges.
        ranges: They.
        beam_arguments: Beam's own flags, handed to the runner unchanged.

    Raises:
        StepError: The runner failed, whatever it is; Beam has no exception of its own for it.
    """
    flags = _flags(sum(part.stop - part.start for part in ranges), beam_arguments)
    try:
        with processes.watched():
            pipeline = _pipeline(PipelineOptions(flags))
            _ = pipeline | "Ranges" >> beam.Create(ranges, reshuffle=True) | work
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
    found = {counter.key.metric.name: counter.result for counter in query["counters"]}
    return {name: found.get(name, 0) for name in COUNTERS}


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
