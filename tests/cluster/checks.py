"""What is promised of an installation, each promise with what was seen."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from components.shared.errors import StepError
from pipeline.remote import schedules
from pipeline.remote.cron import next_times
from tests.cluster.installation import ENDLESS, Installation, SkippedError

EVERY_MINUTE = "0 * * * * *"
TOO_LARGE = 1_000_000_000  # examples a batch

# Takes what the row is told through; a check tells of each promise that held.
Hold = Callable[[str, str], None]


def success(at: Installation, hold: Hold) -> None:
    """A whole run, and what comes after it: a model that is not blessed, from cached training."""
    ended = at.wait(at.submit("success"))
    assert ended.state == "succeeded", ended.sentence
    hold("compile, submit, push; summary and webhook", ended.sentence)
    run_id = at.submit("not-blessed", min_precision=1.0)
    ended = at.wait(run_id)
    assert ended.state == "not blessed", ended.sentence
    hold("not blessed: push is skipped, and told so", ended.sentence)
    train = at.package.spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]["train"]
    if not train.get("cachingOptions", {}).get("enableCache"):
        raise SkippedError("caching: the images are not named by digest (--images)")
    assert not at.pods(run_id, "train"), "the same training ran once more"
    hold("caching", "the same training was not repeated")


def failure(at: Installation, hold: Hold) -> None:
    """A step that fails: training, by a batch that no data set fills."""
    ended = at.wait(at.submit("failure", batch_size=TOO_LARGE))
    assert ended.state == "failed" and ": train: the training split" in ended.sentence, (
        ended.sentence
    )
    hold("a failing step: reason in summary and webhook", ended.sentence)


def termination(at: Installation, hold: Hold) -> None:
    """A run that is terminated while it trains."""
    run_id = at.submit("termination", **ENDLESS)
    at.training(run_id)
    at.terminate(run_id)
    ended = at.wait(run_id)
    assert ended.state == "terminated", ended.sentence
    hold("terminated", ended.sentence)


def schedule(at: Installation, hold: Hold) -> None:
    """A schedule: the time in ``until``, a deletion with a running run, a pause."""
    asked = at.request("schedule", **ENDLESS)
    schedules.create(at.connection, asked, EVERY_MINUTE)
    client = at.connection.open()
    (found,) = schedules.named(at.connection, asked.name)
    run = at.until(lambda: schedules.unfinished(at.connection, client, found), "a run is due")[0]
    at.runs.append(run.run_id)
    at.training(run.run_id)
    log = "\n".join(at.log(run.run_id, "ingest"))
    given = re.search(r'"until": "([^"]*)"', log)
    due = datetime.fromisoformat(given[1]) if given else datetime.min.replace(tzinfo=UTC)
    assert due == next_times(EVERY_MINUTE, 1, due - timedelta(seconds=1))[0], f"until: {given}"
    hold("a schedule's run reads up to its own time", f"until {due.isoformat()}")
    try:
        schedules.delete(at.connection, asked.name, False, False, at.poll)
    except StepError as refused:
        hold("a schedule with a running run is not deleted", str(refused).partition(": ")[2])
    else:
        raise AssertionError("a schedule was deleted under its running run")
    schedules.switch(at.connection, asked.name, "pause")
    at.terminate(run.run_id)
    schedules.delete(at.connection, asked.name, True, False, at.poll)
    assert not schedules.named(at.connection, asked.name)
    hold("pause, and deletion once the run is over", "the schedule is gone")


def resumption(at: Installation, hold: Hold) -> None:
    """A training pod that is deleted: the next goes on from its checkpoint."""
    if not at.package.volumes("train"):
        raise SkippedError("a deleted training pod goes on: there is no volume (--pvc)")
    at.kubectl("auth", "can-i", "delete", "pods")
    run_id = at.submit("resumption", **{**ENDLESS, "max_steps": 2_000_000})
    first = at.training(run_id)
    at.until(lambda: _step(at, run_id) > 200, "some steps")
    at.kubectl("delete", "pod", first, "--wait=false")
    at.until(lambda: len(at.pods(run_id, "train")) > 1, "a second attempt")
    at.training(run_id)
    going_on = [line for line in at.log(run_id, "train") if line.startswith("Going on from ")]
    assert going_on, "the second attempt started anew"
    hold("a deleted training pod goes on", going_on[0])
    at.terminate(run_id)


def _step(at: Installation, run_id: str) -> int:
    found = re.findall(r"^Step (\d+):", "\n".join(at.log(run_id, "train")), re.MULTILINE)
    return int(found[-1]) if found else 0


CHECKS = (success, failure, termination, schedule, resumption)
