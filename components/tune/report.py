"""``tuning.html``: every trial of a search, what its settings reached, and which of them matter."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from components.config import Train, Tune
from components.shared import pages
from components.shared.command_line import argument
from components.shared.manifests import Dataset
from components.shared.pages.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis
from components.shared.storage import write_text
from components.space import Span
from components.tune.study import REASON, complete, default_of, text_of, typed

FILE = "tuning.html"
FEWEST = 5  # trials that came to different ends, for a word on what matters
SPREAD = 6  # times the distance from the best to the median that the scale shows below the best
STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class Choices(NamedTuple):
    """An axis of values without an order."""

    values: Sequence[Any]
    start: float
    end: float

    def position(self, value: Any) -> float:
        """Returns where a value lies, in user units."""
        share = (list(self.values).index(value) + 0.5) / len(self.values)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Returns all values, as positions and labels."""
        return [(self.position(value), str(value)) for value in self.values]


class Dot(NamedTuple):
    """A trial in a chart."""

    x: float
    y: float
    kind: str  # its state, or best
    title: str


@dataclass(frozen=True)
class Scatter:
    """Trials over two axes."""

    x: Axis | Choices
    y: Axis
    dots: list[Dot]
    best: str = ""  # the best so far, as SVG's polyline has points
    width: int = WIDTH
    height: int = HEIGHT


class Row(NamedTuple):
    """A trial as the table has it."""

    number: int
    state: str
    value: float | None
    step: int | None
    seconds: float
    settings: dict[str, Any]
    remark: str


def write(path: Path, config: Tune, study: optuna.Study, dataset: Dataset, sentence: str) -> None:
    """Renders the page of a search that is over.

    Args:
        path: The file to write.
        config: What was searched.
        study: What came of it.
        dataset: On which data.
        sentence: The same in a line.
    """
    trials = study.get_trials(deepcopy=False)
    best = study.best_trial
    default = default_of(trials, config)
    page = pages.render(
        "components.tune",
        "tuning.html.j2",
        config=config,
        sentence=sentence,
        best=best,
        default=default,
        command=_command(config, best),
        settings=text_of(best.params),
        dataset=dataset,
        rows=sorted(
            (_row(trial, best, default) for trial in trials), key=lambda row: -(row.value or 0)
        ),
        states={name: sum(t.state == state for t in trials) for state, name in STATES.items()},
        over_time=_over_time(trials, best),
        parameters={name: _parameter(name, config, trials, best) for name in config.space},
        importance=_importance(study),
        pruned=_pruned(trials),
    )
    write_text(path, page)


def _command(config: Tune, best: FrozenTrial) -> str:
    """Returns the command that trains the best settings once more."""
    changed = Train.changed({**vars(config), **best.params})
    arguments = [argument(name, value) for name, value in changed.items()]
    return shlex.join(["python", "-m", "pipeline", "local", *arguments])


def _row(trial: FrozenTrial, best: FrozenTrial, default: FrozenTrial | None) -> Row:
    remarks = {best.number: "the best"}
    if default:
        remarks[default.number] = ", ".join(
            filter(None, [remarks.get(default.number), "train's own settings"])
        )
    remark = trial.user_attrs.get(REASON, "") or remarks.get(trial.number, "")
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    state = STATES.get(trial.state, trial.state.name.lower())
    return Row(
        trial.number, state, trial.value, trial.last_step, seconds, dict(trial.params), remark
    )


def _precision_axis(trials: Sequence[FrozenTrial]) -> Axis:
    values = sorted(trial.value for trial in trials if trial.value is not None)
    best, median = values[-1], values[len(values) // 2]
    low = max(values[0], best - SPREAD * max(best - median, 0.001))
    margin = 0.08 * (best - low) + 1e-4
    return Axis(low - margin, min(best + margin, 1.0), HEIGHT - BOTTOM, TOP)


def _dots(
    trials: Sequence[FrozenTrial], best: FrozenTrial, x: Iterator[float], y: Axis
) -> list[Dot]:
    found = []
    for trial, position in zip(trials, x, strict=True):
        if trial.value is not None:
            kind = "best" if trial.number == best.number else STATES[trial.state]
            title = f"trial {trial.number}, {kind}: {trial.value:.4f}, {text_of(trial.params)}"
            found.append(Dot(position, y.position(trial.value), kind, title))
    return found


def _over_time(trials: Sequence[FrozenTrial], best: FrozenTrial) -> Scatter:
    """Lays out what trials reached over their numbers, and the best so far as a line."""
    x, y = Axis(0, max(len(trials) - 1, 1), LEFT, WIDTH - RIGHT), _precision_axis(trials)
    points, so_far = [], None
    for trial in complete(trials):
        if so_far is None or (trial.value or 0) > so_far:
            if so_far is not None:
                points.append((trial.number, so_far))
            so_far = trial.value
            points.append((trial.number, so_far or 0.0))
    points.append((len(trials) - 1, so_far or 0.0))
    line = " ".join(f"{x.position(number)},{y.position(value)}" for number, value in points)
    return Scatter(x, y, _dots(trials, best, (x.position(t.number) for t in trials), y), line)


def _parameter(
    name: str, config: Tune, trials: Sequence[FrozenTrial], best: FrozenTrial
) -> Scatter:
    """Lays out what trials reached over a parameter's values."""
    values, y = dict(typed(config))[name], _precision_axis(trials)
    x: Axis | Choices
    if isinstance(values, Span):
        x = Axis(float(values.low), float(values.high), LEFT, WIDTH - RIGHT, values.log)
    else:
        x = Choices(values, LEFT, WIDTH - RIGHT)
    trials = [trial for trial in trials if name in trial.params]
    return Scatter(x, y, _dots(trials, best, (x.position(t.params[name]) for t in trials), y))


def _importance(study: optuna.Study) -> dict[str, float]:
    """Returns what part of the differences each parameter explains, 0 to 1; {} where too few ended.

    Source: Watanabe et al., "PED-ANOVA", 2023, as Optuna has it.
    """
    values = {trial.value for trial in complete(study.get_trials(deepcopy=False))}
    if len(values) < FEWEST:
        return {}
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def _pruned(trials: Sequence[FrozenTrial]) -> dict[int, int]:
    """Returns how many trials ended early, by the step at which they did."""
    steps = sorted(t.last_step or 0 for t in trials if t.state == TrialState.PRUNED)
    return {step: steps.count(step) for step in dict.fromkeys(steps)}
