"""Runs a step's work on the ranges of a source, on whatever runner of Beam."""

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from components.jobs.ranges import (
    COUNTS,
    Plan,
    RangeReport,
    Report,
    Work,
    is_stopped,
    read_reports,
    write_report,
)
from components.shared.errors import StepError, explain, is_about_a_file
from components.sources.images import Records
from components.sources.source import Range


@contextmanager
def quiet_beam() -> Iterator[None]:
    """Keeps Beam, imported in the block, from warning of a BigQuery client that nobody needs."""

    def needed(record: logging.LogRecord) -> bool:
        return "apitools" not in record.getMessage()

    logging.getLogger().addFilter(needed)
    try:
        yield
    finally:
        logging.getLogger().removeFilter(needed)


with quiet_beam():
    import apache_beam as beam
    from apache_beam.metrics import Metrics
    from apache_beam.options.pipeline_options import (
        DirectOptions,
        PipelineOptions,
        StandardOptions,
    )
    from apache_beam.runners import common
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers
    from apache_beam.runners.worker import data_plane
    from apache_beam.utils.shared import Shared

    from components.jobs import processes

# From so many records on, two worker processes make up for the seconds that they take to start.
WORTH_PROCESSES = 2_000_000
NAMESPACE = "records"  # of the Beam counters


def run(plan: Plan, work: Work[Report], beam_arguments: Sequence[str]) -> list[Report]:
    """Has workers do a step's work on every range of a plan.

    Args:
        plan: The ranges, and what the workers have in common.
        work: What they do.
        beam_arguments: Beam's own flags, handed to the runner unchanged.

    Returns:
        The reports of the ranges, in order.

    Raises:
        StepError: A range could not be worked on, more records than allowed are unusable, or the
            runner failed, whatever it is; Beam has no exception of its own for it.
    """
    options = PipelineOptions(_flags(plan, beam_arguments))
    try:
        with _without_tracebacks(), _pipeline(options) as pipeline:
            ranges = pipeline | "Ranges" >> beam.Create(plan.ranges, reshuffle=True)
            _ = ranges | type(work).__name__ >> beam.ParDo(_WorkOnRanges(work))
            pipeline.run().wait_until_finish()
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
    return read_reports(plan, work.report)  # type: ignore[arg-type]


class _WorkOnRanges(beam.DoFn):
    """Does a step's work; a thread writes a range while the next is computed.

    An element is a whole range: one element an image costs more in Beam than the work itself.
    """

    def __init__(self, work: Work) -> None:
        self._work, self._shared = work, Shared()
        self._counters = {name: Metrics.counter(NAMESPACE, name) for name in COUNTS}

    def setup(self) -> None:
        """Prepares the process, once for all of its threads."""
        self._error = None
        try:
            self._work = self._shared.acquire(self._prepared)
        except StepError as error:
            self._error = error

    def _prepared(self) -> Work:
        self._work.setup()
        return self._work

    def start_bundle(self) -> None:
        """Starts the thread that writes."""
        self._thread = ThreadPoolExecutor(1)
        self._writing: list[Future[RangeReport]] = []

    def process(self, part: Range) -> None:
        """Reads a range and computes, and has the thread write it once those before are written."""
        plan = self._work.plan
        if is_stopped(plan):
            return
        try:
            if self._error:
                raise self._error
            records = plan.source.read(part)
            computed = self._work.compute(part, records)
        except StepError as error:
            write_report(plan, part, RangeReport(error=str(error)))
            return
        self._settle()
        self._writing.append(self._thread.submit(self._write, part, records, computed))

    def finish_bundle(self) -> None:
        """Waits for the last."""
        self._settle()
        self._thread.shutdown()

    def _settle(self) -> None:
        """Waits for what is being written, and counts it: a bundle's counters are its thread's."""
        while self._writing:
            for name, count in self._writing.pop().result().counts.items():
                self._counters[name].inc(count)

    def _write(self, part: Range, records: Records, computed: Any) -> RangeReport:
        report = self._work.write(part, records, computed)
        write_report(self._work.plan, part, report)
        return report


@contextmanager
def _without_tracebacks() -> Iterator[None]:
    """Keeps Beam from logging, in tracebacks, what the run ends with anyway.

    That is an error of the work itself, and that the stream to a process broke.
    """
    modules = (common, data_plane, worker_handlers)
    loggers = [logging.getLogger(module.__name__) for module in modules]
    levels = [logger.level for logger in loggers]
    original = threading.excepthook

    def unless_of_a_stream(arguments: threading.ExceptHookArgs) -> None:
        if not arguments.exc_type.__module__.startswith("grpc"):
            original(arguments)

    threading.excepthook = unless_of_a_stream
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        threading.excepthook = original
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _flags(plan: Plan, beam_arguments: Sequence[str]) -> list[str]:
    """Beam's flags: ours, and then the user's, since the last one wins."""
    # Beam's own default runner first tries to download another one.
    flags = ["--runner=FnApiRunner"]
    workers = processes.suitable(len(plan.ranges))
    if plan.records >= WORTH_PROCESSES and workers > 1:
        flags += ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    return [*flags, *beam_arguments]


@contextmanager
def _pipeline(options: PipelineOptions) -> Iterator[beam.Pipeline]:
    """Yields a pipeline for Beam's options; where they ask for processes here, these are ours."""
    direct = options.view_as(DirectOptions)
    here = options.view_as(StandardOptions).runner == "FnApiRunner"
    if not here or direct.direct_running_mode != "multi_processing":
        yield beam.Pipeline(options=options)
        return
    direct.direct_running_mode = None  # or the runner would take Beam's own worker again
    with processes.watched():
        yield beam.Pipeline(FnApiRunner(processes.environment()), options)
