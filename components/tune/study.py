"""The study: which settings were tried and what they reached, in Optuna's journal.

The journal is one file to which every change is a line, so that a search that is killed goes on
with all that was written, and Optuna's dashboard opens it.
"""

import dataclasses
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from components.config import Train, Tune
from components.shared.errors import StepError
from components.space import Choice, Span

JOURNAL = "journal.log"
NAME = "tune"
TRIALS = "trials"  # in the study's directory, a directory a trial
IDENTITY = "identity"  # the study's attribute that says what is searched on which data
REASON = "reason"  # a failed trial's attribute
FACTOR = 4  # of the trials that come as far, the best one in so many goes on
FIRST = (
    32  # of the steps, the part after which that is decided first, and then FACTOR times as many
)
# Options that a search may be continued with otherwise: what its trials are does not change.
CHANGEABLE = ("trials", "sampler", "pruner", "parallel", "restart", "checkpoint_every", "log_every")


class _NoLock(JournalFileOpenLock):
    """None: the search has its directory locked, and Optuna's own hides what a full disk says."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def open_study(directory: Path, config: Tune, dataset: str) -> optuna.Study:
    """Opens a search's study, new or as far as it came.

    Args:
        directory: Holds it; nobody else writes there.
        config: What is searched.
        dataset: The fingerprint of the data.

    Raises:
        StepError: What is there is of another search or of other data.
        OSError: It cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    settings = {k: v for k, v in dataclasses.asdict(config).items() if k not in CHANGEABLE}
    identity = {**settings, "dataset": dataset}
    study = _load(directory, config)
    found = study.user_attrs.get(IDENTITY, identity)
    differing = [name for name in identity if found.get(name) != identity[name]]
    if differing and not config.restart:
        differences = [f"{n} {found.get(n)!r} there, {identity[n]!r} here" for n in differing]
        raise StepError(
            f"{directory}: holds another search ({'; '.join(differences)}); name another "
            "directory, or discard it with --restart"
        )
    if differing:
        (directory / JOURNAL).unlink()
        shutil.rmtree(directory / TRIALS, ignore_errors=True)
        study = _load(directory, config)
    if not study.get_trials(deepcopy=False) and (default := _default(config)):
        study.enqueue_trial(default)
    study.set_user_attr(IDENTITY, identity)
    return study


def _load(directory: Path, config: Tune) -> optuna.Study:
    journal = directory / JOURNAL
    _mend(journal)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal), _NoLock(str(journal)))),
        study_name=NAME,
        direction="maximize",
        pruner=_pruner(config),
        load_if_exists=True,
    )
    # A search that goes on must not draw once more what it drew when it began.
    seed = config.seed + len(study.get_trials(deepcopy=False))
    study.sampler = _sampler(config, seed)
    return study


def _mend(journal: Path) -> None:
    """Removes what a killed search leaves, half of a line."""
    if journal.exists():
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)


def _sampler(config: Tune, seed: int) -> optuna.samplers.BaseSampler:
    if config.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    # What is being trained counts as bad meanwhile: or all would try nearly the same side by side.
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def _pruner(config: Tune) -> optuna.pruners.BasePruner:
    if config.pruner == "none":
        return optuna.pruners.NopPruner()
    if config.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=4)
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=evaluation_steps(config), reduction_factor=FACTOR
    )


def evaluation_steps(config: Tune) -> int:
    """Returns the steps from one evaluation of a trial to the next: those to the first rung."""
    return max(config.log_every, config.max_steps // FIRST)


def _default(config: Tune) -> dict[str, Any]:
    """Returns train's own settings of what is searched; none where they are not among it."""
    found = {name: getattr(config, name) for name in config.space}
    inside = all(_holds(values, found[name]) for name, values in typed(config))
    return found if inside else {}


def _holds(values: tuple[Any, ...] | Span, value: Any) -> bool:
    if not isinstance(values, Span):
        return value in values
    low, high = float(values.low), float(values.high)
    steps = (value - low) / float(values.step or 1)
    return low <= value <= high and (not values.step or abs(steps - round(steps)) < 1e-9)


def typed(config: Tune) -> Iterator[tuple[str, tuple[Any, ...] | Span]]:
    """Yields what is searched; of a choice, the values as train has them."""
    for name, values in config.space.items():
        if isinstance(values, Choice):
            yield name, tuple(getattr(config.trial({name: each}), name) for each in values.values)
        else:
            yield name, values


def settings(trial: optuna.Trial, config: Tune) -> dict[str, Any]:
    """Returns a trial's settings of what is searched, drawn where it has none yet."""
    chosen: dict[str, Any] = {}
    for name, values in typed(config):
        if not isinstance(values, Span):
            chosen[name] = trial.suggest_categorical(name, values)
        elif type(getattr(Train, name)) is int:
            low, high, step = int(values.low), int(values.high), int(values.step or 1)
            chosen[name] = trial.suggest_int(name, low, high, step=step, log=values.log)
        else:
            low_, high_ = float(values.low), float(values.high)
            step_ = float(values.step) if values.step else None
            chosen[name] = trial.suggest_float(name, low_, high_, step=step_, log=values.log)
    return chosen


def interrupted(study: optuna.Study) -> list[optuna.Trial]:
    """Returns the trials that were being trained when the search ended."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [optuna.Trial(study, trial._trial_id) for trial in running]


def begun(study: optuna.Study) -> int:
    """Returns how many trials were begun, the finished ones among them."""
    trials = study.get_trials(deepcopy=False)
    return sum(trial.state != TrialState.WAITING for trial in trials)


def is_default(trial: FrozenTrial | optuna.Trial, config: Tune) -> bool:
    """Whether a trial has train's own settings."""
    return bool(default := _default(config)) and trial.params == default


def complete(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Returns the trials that came to their end."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def default_of(trials: Sequence[FrozenTrial], config: Tune) -> FrozenTrial | None:
    """Returns the trial with train's own settings, None where it did not come to its end."""
    return next((trial for trial in complete(trials) if is_default(trial, config)), None)


def text_of(settings: dict[str, Any]) -> str:
    """Returns settings as people read them."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in settings.items()
    )
