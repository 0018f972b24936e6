"""How a run ended, in one sentence, from what became of its steps."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

FAILED = ("Failed", "Error")
# What Kubernetes says of a pod that its limit of time has ended.
DEADLINE = "longer than the specified deadline"
ERROR, PUBLISHED, NOT_BLESSED = "error: ", "Published ", "Not blessed: "
PREDICTED, NOTHING_NEW = "Predicted ", "Nothing new: "
QUIET, ALARM = "Quiet: ", "Alarm: "
PRECISION = re.compile(r"^Blessed: .*(test precision@1 [\d.]+)")

State = Literal["succeeded", "not blessed", "alarm", "failed", "timed out", "terminated", "unknown"]


@dataclass(frozen=True)
class Step:
    """What became of one step."""

    name: str
    phase: str  # as Argo has it: Succeeded, Failed, Error, Running, Pending, Skipped, Omitted
    reason: str = ""  # what the cluster says of a failure, as "OOMKilled (exit code 137)"
    log: Sequence[str] = ()  # the last lines of its last attempt, as far as they are wanted

    def line(self, start: str) -> str:
        """Returns the rest of the last line that starts like this; empty where none does."""
        found = (line.removeprefix(start) for line in reversed(self.log) if line.startswith(start))
        return next(found, "").strip()

    @property
    def why(self) -> str:
        """Why it failed: its own word, else the cluster's."""
        return self.line(ERROR) or self.reason or "no reason is known; see its log"


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: State
    sentence: str  # for people
    step: Step | None = None  # the one that failed or was interrupted

    @property
    def succeeded(self) -> bool:
        """Whether all steps that were to run did."""
        return self.state in ("succeeded", "not blessed", "alarm")


def outcome(steps: Iterable[Step], terminated: bool = False) -> Outcome:
    """Tells how a run ended.

    Args:
        steps: Those that started, in the pipeline's order.
        terminated: Whether somebody ended the run.
    """
    by_name = {step.name: step for step in steps}
    broken = next((step for step in by_name.values() if step.phase in FAILED), None)
    if terminated:
        running = broken or next((s for s in by_name.values() if s.phase == "Running"), None)
        during = f" during {running.name}" if running else ""
        return Outcome("terminated", f"Run terminated{during}", running)
    if broken and DEADLINE in broken.reason:
        return Outcome("timed out", f"Run timed out: {broken.name} took longer than it may", broken)
    if broken:
        return Outcome("failed", f"Run failed: {broken.name}: {broken.why}", broken)
    if pushed := _done(by_name, "push"):
        published = pushed.line(PUBLISHED)
        scored = [m[1] for line in by_name["evaluate"].log if (m := PRECISION.match(line))]
        told = ", ".join([f"published {published}" if published else "published", *scored[-1:]])
        return Outcome("succeeded", f"Run succeeded: {told}")
    if evaluated := _done(by_name, "evaluate"):
        why = evaluated.line(NOT_BLESSED)
        told = "Run succeeded, but the model is not blessed and not published"
        return Outcome("not blessed", f"{told}: {why}" if why else told)
    if predicted := _done(by_name, "predict"):
        return _night(predicted, by_name.get("watch"))
    started = ", ".join(f"{s.name} {s.phase.lower()}" for s in by_name.values()) or "no step"
    return Outcome("unknown", f"Run over, and it is not known how: {started}")


def _night(predicted: Step, watched: Step | None) -> Outcome:
    """Tells what came of a night's images."""
    if nothing := predicted.line(NOTHING_NEW):
        return Outcome("succeeded", f"Run succeeded: nothing new: {nothing}")
    images = predicted.line(PREDICTED) or "the images"
    if watched and (alarm := watched.line(ALARM)):
        return Outcome("alarm", f"Run succeeded, but what came in has moved: {alarm}")
    told = f"Run succeeded: predicted {images}"
    if watched and watched.line(QUIET):
        return Outcome("succeeded", f"{told}, nothing moved")
    # Where its log is gone, its success says that it looked, and not what it saw.
    unknown = "; whether anything moved is not known, see the log of watch" if watched else ""
    return Outcome("succeeded", f"{told}{unknown}")


def _done(steps: dict[str, Step], name: str) -> Step | None:
    step = steps.get(name)
    return step if step and step.phase == "Succeeded" else None
