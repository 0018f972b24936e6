"""What is promised of an installation, each promise with what was seen."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from components.shared.errors import StepError
from pipeline.remote import schedules
from pipeline.remote.client import Request
from pipeline.remote.cron import next_times
from tests.cluster.board import Seen, SkippedError, expect, holds, promises
from tests.cluster.installation import LONG, Installation

EVERY_MINUTE = "0 * * * * *"
TOO_LARGE = 1_000_000_000  # examples a batch
LONG_AGO = "2000-01-01"
LATE = 20.0  # seconds after its time that a schedule's run may start
TTL = 30  # seconds


@promises(
    "a run publishes its model",
    "its summary says what, where and how good",
    "the webhook is told of a success",
    "a model below its bound is not published, with the reason",
    "the same training is taken from the cache",
)
def publication(at: Installation) -> Iterator[Seen]:
    """A whole run, and one after it whose model is not blessed, from cached training."""
    try:
        with at.slot():
            run_id = at.submit("success")
            ended = at.wait(run_id)
        assert ended.state == "succeeded", ended.sentence
        at.published.set_result(run_id)
    finally:
        at.published.cancel()
    yield holds(ended.sentence)
    said = at.said(run_id)
    words = rf"Run succeeded: published {at.name} version \d+ to \S+/\d+, test precision@1 0\.\d+ "
    yield expect(bool(re.match(words, said)), said)
    yield at.told("success", run_id)
    with at.slot():
        run_id = at.submit("not-blessed", min_precision=1.0)
        at.wait(run_id)
    said = at.said(run_id)
    words = r"Run succeeded, but the model is not blessed and not published: .* 0\.\d+ is below 1"
    yield expect(bool(re.match(words, said)), said)
    train = at.packages["mnist"].spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["train"]
    if not train.get("cachingOptions", {}).get("enableCache"):
        raise SkippedError("the images are not named by digest (--images)")
    pods = at.pods(run_id, "train")
    yield expect(not pods, f"{len(pods)} pods trained in the second run")


@promises(
    "a step that fails says why",
    "the webhook is told of a failure",
    "--ttl removes the pods of a run that is over",
)
def failure(at: Installation) -> Iterator[Seen]:
    """A step that fails: training, by a batch that no data set fills."""
    with at.slot():
        run_id = at.submit("failure", "ttl", batch_size=TOO_LARGE)
        ended = at.wait(run_id)
    said = at.said(run_id)
    both = ": train: the training split" in ended.sentence and said.startswith(ended.sentence)
    yield expect(ended.state == "failed" and both, said)
    yield at.told("failure", run_id)
    selector = f"pipeline/runid={run_id}"

    def gone() -> bool:
        return not at.kubectl("get", "pods", "-l", selector, "-o", "name").strip()

    at.until(gone, "its pods are gone")
    yield holds(f"compiled with {TTL} s")


@promises("a run that is terminated says where it was")
def termination(at: Installation) -> Iterator[Seen]:
    """A run that is terminated while it trains."""
    with at.slot():
        run_id = at.submit("termination", **LONG)
        at.running(run_id, "train")
        at.terminate(run_id)
        ended = at.wait(run_id)
    said = at.said(run_id)
    yield expect(ended.state == "terminated" and said.startswith(ended.sentence), said)


@promises(
    "training by a schedule reads up to its own time",
    "a schedule with a running run is not deleted",
    "a paused schedule starts no run",
    "a schedule is deleted once its run is over",
)
def training_schedule(at: Installation) -> Iterator[Seen]:
    """A schedule of the training pipeline: the time in ``until``, a pause, a deletion."""
    with at.slot():
        asked = at.request("schedule", **LONG)
        run_id = _scheduled(at, asked)
        yield _reads_until(at, run_id, "ingest")
        at.running(run_id, "train")
        try:
            schedules.delete(at.connection, asked.name, False, False, at.poll)
        except StepError as refused:
            yield holds(str(refused).partition(": ")[2])
        else:
            raise AssertionError("a schedule was deleted under its running run")
        at.terminate(run_id)
        at.wait(run_id)
    yield _starts_none_while_paused(at, asked.name)
    # Not by --wait, which has as much patience as a run that somebody starts again and again.
    at.until(lambda: _deleted(at, asked.name), "the runs of the schedule are over")
    yield expect(not schedules.named(at.connection, asked.name), "no schedule of this name is left")


def _deleted(at: Installation, name: str) -> bool:
    """Deletes a schedule, unless a run of it goes on."""
    try:
        return schedules.delete(at.connection, name, False, False, at.poll) > 0
    except StepError:
        return False


def _scheduled(at: Installation, asked: Request) -> str:
    """Creates a schedule and returns its first run."""
    schedules.create(at.connection, asked, EVERY_MINUTE)
    client = at.connection.open()
    (found,) = schedules.named(at.connection, asked.name)
    # It may be over already when it is looked for.
    run = at.until(lambda: schedules.runs_of(at.connection, client, found), "a run is due")[0]
    at.runs.append(run.run_id)
    return str(run.run_id)


def _reads_until(at: Installation, run_id: str, step: str) -> Seen:
    until = at.parameter(run_id, step, "until")
    try:
        due = datetime.fromisoformat(until)
    except ValueError:
        return expect(False, f"until is {until!r}")
    on_time = due == next_times(EVERY_MINUTE, 1, due - timedelta(seconds=1))[0]
    return expect(on_time, f"until is {until}")


def _starts_none_while_paused(at: Installation, name: str) -> Seen:
    """Pauses a schedule whose first run is over, and waits for when the next would be due."""
    schedules.switch(at.connection, name, "pause")
    client = at.connection.open()
    (found,) = schedules.named(at.connection, name)
    for run in schedules.unfinished(at.connection, client, found):  # of before the pause
        at.runs.append(run.run_id)
        at.terminate(run.run_id)
        at.wait(run.run_id)
    now = datetime.now(UTC)
    due = next_times(EVERY_MINUTE, 1, now)[0]
    at.pause((due - now).total_seconds() + min(LATE, at.patience))
    started = [run.run_id for run in schedules.unfinished(at.connection, client, found)]
    at.runs += started
    return expect(not started, f"{len(started)} runs at {due:%H:%M:%S}")


@promises(
    "what came in like the training data is quiet",
    "what came in otherwise is an alarm",
    "the webhook is told of an alarm",
    "where nothing came in, that is said",
    "prediction by a schedule reads up to its own time",
)
def prediction(at: Installation) -> Iterator[Seen]:
    """The second pipeline, with the model that the first has published."""
    if not at.shared:
        raise SkippedError("--destination names no registry that all pods see")
    while not at.published.done():
        at.pause(at.poll)
    if at.published.cancelled():
        raise SkippedError("there is no model: no run has published one")
    source = str(at.given.get("source") or at.packages["predict"].default("source"))
    transposed: dict[str, Any] = {"transpose": True}
    tries = {"quiet": {}, "alarm": transposed, "empty": _nothing(source)}
    with at.slot():
        runs = {name: at.submit(name, "predict", **given) for name, given in tries.items()}
        for run_id in runs.values():
            at.wait(run_id)
    quiet, alarm, empty = (at.said(run_id) for run_id in runs.values())
    yield expect(quiet.startswith("Run succeeded: predicted ") and "nothing moved" in quiet, quiet)
    yield expect(alarm.startswith("Run succeeded, but what came in has moved: "), alarm)
    yield at.told("alarm", runs["alarm"])
    yield expect(empty.startswith("Run succeeded: nothing new: no images in "), empty)
    with at.slot():
        asked = at.request("nightly", "predict", **_nothing(source, until=None))
        run_id = _scheduled(at, asked)
        seen = _reads_until(at, run_id, "predict")
        schedules.delete(at.connection, asked.name, True, False, at.poll)
    yield seen


def _nothing(source: str, until: str | None = LONG_AGO) -> dict[str, Any]:
    """Returns what predict is asked to read where nothing has come in."""
    day: dict[str, Any] = {"source": f"{source.rstrip('/')}/{{date}}", "span": 1}
    return day | ({"until": until} if until else {})


@promises(
    "a deleted training pod goes on from its checkpoint",
    "and ends with the weights of an unbroken run",
)
def resumption(at: Installation) -> Iterator[Seen]:
    """A training pod that is deleted, beside a run that nobody disturbs."""
    if not at.packages["mnist"].volumes("train"):
        raise SkippedError("there is no volume for the checkpoints (--pvc)")
    at.kubectl("auth", "can-i", "delete", "pods")
    with at.slot():
        run_id = at.submit("resumption", **LONG)
        first = at.running(run_id, "train")
        at.until(lambda: "\nStep " in at.kubectl("logs", first, "-c", "main"), "it takes steps")
        at.pause(2 * float(LONG["checkpoint_seconds"]) * min(1.0, at.poll))
        at.kubectl("delete", "pod", first, "--wait=false")
        at.until(lambda: len(at.pods(run_id, "train")) > 1, "a second attempt")
        second = at.running(run_id, "train")
        at.until(lambda: "\nStep " in at.kubectl("logs", second, "-c", "main"), "it goes on")
        log = at.kubectl("logs", second, "-c", "main").splitlines()
        going_on = [line for line in log if line.startswith("Going on from ")]
        yield expect(bool(going_on), going_on[0] if going_on else "the second pod started anew")
        ended = at.wait(run_id)
        assert ended.state == "succeeded", ended.sentence
        # One checkpoint more is kept, so that the cache does not know it.
        unbroken = at.submit("unbroken", **LONG, keep_checkpoints=4)
        ended = at.wait(unbroken)
        assert ended.state == "succeeded", ended.sentence
    if not at.shared:
        raise SkippedError("--destination names no registry that can be read from here")
    one, other = at.weights(run_id), at.weights(unbroken)
    yield expect(one == other and bool(one), f"{len(one)} files of weights are compared")


CHECKS = (publication, failure, termination, training_schedule, prediction, resumption)
