"""How a run ended, in one sentence, from what became of its steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self

from components.shared.outcome import Outcome

FAILED = ("Failed", "Error")
# What Kubernetes says of a pod that its limit of time has ended.
DEADLINE = "longer than the specified deadline"
# The steps that decide what came of a run, and what their success says where their outcome is lost.
LOST = {
    "evaluate": "not blessed and not published, why",
    "push": "published, where",
    "predict": "predicted, how many images",
    "watch": "predicted, whether anything moved",
    "retrain": "what came in has moved, whether a training was started",
}

State = Literal["succeeded", "not blessed", "alarm", "failed", "timed out", "terminated", "unknown"]


@dataclass(frozen=True)
class StepState:
    """What became of one step."""

    name: str
    phase: str  # as Argo has it: Succeeded, Failed, Error, Running, Pending, Skipped, Omitted
    reason: str = ""  # what the cluster says of a failure, as "OOMKilled (exit code 1)"
    outcome: Outcome | None = None  # what it says itself; None where it said nothing, or it is lost

    @property
    def why(self) -> str:
        """Why it failed: its own word, else the cluster's."""
        if self.outcome and self.outcome.result == "failed":
            return self.outcome.message
        return self.reason or "no reason is known; see its log"


@dataclass(frozen=True)
class RunSummary:
    """How a run ended."""

    state: State
    sentence: str  # for people
    step: StepState | None = None  # the one that failed or was interrupted

    @property
    def succeeded(self) -> bool:
        """Whether all steps that were to run did."""
        return self.state in ("succeeded", "not blessed", "alarm")

    @classmethod
    def of(cls, steps: Iterable[StepState], terminated: bool = False) -> Self:
        """Says how a run ended.

        Args:
            steps: Those that started, in the pipeline's order.
            terminated: Whether somebody ended the run.
        """
        steps = list(steps)
        broken = next((step for step in steps if step.phase in FAILED), None)
        if terminated:
            running = broken or next((s for s in steps if s.phase == "Running"), None)
            during = f" during {running.name}" if running else ""
            return cls("terminated", f"Run terminated{during}", running)
        if broken and DEADLINE in broken.reason:
            sentence = f"Run timed out: {broken.name} took longer than it may"
            return cls("timed out", sentence, broken)
        if broken:
            return cls("failed", f"Run failed: {broken.name}: {broken.why}", broken)
        decisive = [step for step in steps if step.name in LOST and step.phase == "Succeeded"]
        if decisive:
            return cls(*_success(decisive[-1], decisive[0]))
        started = ", ".join(f"{s.name} {s.phase.lower()}" for s in steps) or "no step"
        return cls("unknown", f"Run over, and it is not known how: {started}")


def _success(last: StepState, first: StepState) -> tuple[State, str]:
    """Returns state and sentence of a run whose last step was this, and its first to decide."""
    if not last.outcome:
        state: State = "not blessed" if last.name == "evaluate" else "succeeded"
        lost = f"{LOST[last.name]} is not known, see the log of {last.name}"
        return state, f"Run succeeded: {lost}"
    reason = last.outcome.message.partition(": ")[2]
    match last.outcome.result:
        case "not blessed":
            return "not blessed", (
                f"Run succeeded, but the model is not blessed and not published: {reason}"
            )
        case "blessed":
            return "succeeded", f"Run succeeded: {_within(last.outcome)}; not to be published"
        case "alarm":
            return "alarm", f"Run succeeded, but what came in has moved: {reason}"
        case "quiet":
            predicted = _within(first.outcome) if first.outcome else "predicted"
            return "succeeded", f"Run succeeded: {predicted}, nothing moved"
    precision = last.outcome.precision_at_1
    figure = "" if precision is None else f", test precision@1 {precision:.4f}"
    return "succeeded", f"Run succeeded: {_within(last.outcome)}{figure}"


def _within(outcome: Outcome) -> str:
    """Returns a step's message as it stands within a sentence."""
    return outcome.message[:1].lower() + outcome.message[1:]
