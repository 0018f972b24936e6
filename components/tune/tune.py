"""The search: trials side by side, the unpromising ended early, and the best as the model."""

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from components.config import Tune
from components.shared.environment import choose_kernels
from components.shared.errors import StepError, log_line
from components.shared.manifests import Dataset, Model
from components.shared.outcome import Outcome, report_outcome
from components.shared.storage import atomic_directory, locked
from components.tune import report
from components.tune.study import (
    REASON,
    TRIALS,
    begun,
    complete,
    default_of,
    evaluation_steps,
    interrupted,
    is_default,
    open_study,
    settings,
    text_of,
)
from components.tune.trials import Place, Training, places, prepared

COMPILED = "compiled"  # in the study's directory, as long as a search runs
POLL = 0.2  # seconds between two looks at what trials have reached
HOPELESS = 3  # failed trials, where none came to anything, after which the search ends


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of a search."""

    best: FrozenTrial
    default: FrozenTrial | None  # the trial with train's own settings, where it came to its end
    trials: int
    pruned: int
    failed: int
    model: Model

    @property
    def sentence(self) -> str:
        """It in a line."""
        ended = f"{self.pruned} pruned" + (f", {self.failed} failed" if self.failed else "")
        which = f"Best of {self.trials} trials ({ended}): trial {self.best.number}"
        reached = f"validation precision@1 {self.best.value:.4f}"
        if self.default and self.default.number == self.best.number:
            return f"{which}, {reached}: none is better than train's own settings"
        own = f", with train's own settings {self.default.value:.4f}" if self.default else ""
        return f"{which}, {reached}{own}: {text_of(self.best.params)}"


def tune(config: Tune, examples: Path, output: Path, directory: Path) -> Found:
    """Searches for the settings that do best on the validation split.

    Args:
        config: What is searched, and how.
        examples: The directory that ingest wrote.
        output: The model directory of the best trial; it appears whole or not at all.
        directory: The study's. A search that was started with it goes on there, and no finished
            trial is trained again.

    Raises:
        StepError: The data do not fit, the directory holds another search, or no trial came to its
            end.
    """
    dataset = Dataset.read(examples)
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / ".lock", directory):
        study = open_study(directory, config, dataset.fingerprint)
        _search(config, study, examples, directory)
        found = _found(config, study, directory)
        with atomic_directory(output, Model.FILE) as model:
            shutil.copytree(
                _of_trial(directory, found.best.number) / "model", model, dirs_exist_ok=True
            )
        report.write(directory / report.FILE, config, study, dataset, found.sentence)
    message = found.sentence
    report_outcome(Outcome(step="tune", result="done", message=message))
    return found


def _of_trial(directory: Path, number: int) -> Path:
    return directory / TRIALS / f"{number:03}"


def _search(config: Tune, study: optuna.Study, examples: Path, directory: Path) -> None:
    left = interrupted(study)
    if begun(study) >= config.trials and not left:
        return
    free = places(config)
    choose_kernels(config.network)
    log_line(f"{config.trials} trials, {len(free)} at a time, in {directory / TRIALS}")
    if done := begun(study) - len(left):
        log_line(f"{done} are finished; {len(left)} go on")
    with prepared(directory / COMPILED), _ended_in_any_case() as running:
        while True:
            while free and (left or begun(study) < config.trials):
                trial = left.pop(0) if left else study.ask()
                running.append(_start(config, trial, examples, directory, free.pop()))
            if not running:
                return
            wait([training.sentinel for training in running], timeout=POLL)
            for training in list(running):
                if _ended(config, study, training):
                    running.remove(training)
                    free.append(training.place)
                    training.tidy()
                    _check_hope(study)


def _start(
    config: Tune, trial: optuna.Trial, examples: Path, directory: Path, place: Place
) -> Training:
    chosen = config.trial(settings(trial, config))
    chosen = dataclasses.replace(
        chosen, checkpoint_every=evaluation_steps(config), keep_checkpoints=1
    )
    return Training(trial, chosen, examples, _of_trial(directory, trial.number), place)


@contextmanager
def _ended_in_any_case() -> Iterator[list[Training]]:
    running: list[Training] = []
    try:
        yield running
    finally:
        for training in running:
            training.kill()


def _ended(config: Tune, study: optuna.Study, training: Training) -> bool:
    """Hands on what a trial has reached; tells the study where it has ended, or ends it early."""
    trial, exit_code = training.trial, training.exit_code  # before the look at what it wrote
    evaluations = training.evaluations()
    known = study.get_trials(deepcopy=False)[trial.number].intermediate_values
    for step, precision in evaluations.items():
        if step in known:
            continue
        trial.report(precision, step)
        # Asked of every trial, since the others are held against what it has reached by then.
        unpromising = trial.should_prune() and not is_default(trial, config)
        if unpromising and exit_code is None and step < training.config.max_steps:
            training.kill()
            study.tell(trial, state=TrialState.PRUNED)
            _log(study, trial.number, f"pruned at step {step:,}")
            return True
    if exit_code is None:
        return False
    if exit_code == 0:
        model = Model.read(training.directory / "model")
        study.tell(trial, model.scores["validation"].precision)
        _log(study, trial.number, f"{model.step:,} steps")
    else:
        trial.set_user_attr(REASON, training.last_line)
        study.tell(trial, state=TrialState.FAIL)
        _log(study, trial.number, f"failed: {training.last_line}")
    return True


def _log(study: optuna.Study, number: int, what: str) -> None:
    trial = study.get_trials(deepcopy=False)[number]
    reached = f", {trial.value:.4f} on validation" if trial.value is not None else ""
    log_line(f"Trial {number}: {what}{reached} ({text_of(trial.params)})")


def _check_hope(study: optuna.Study) -> None:
    """Ends a search in which nothing comes to anything.

    Raises:
        StepError: It is one.
    """
    trials = study.get_trials(deepcopy=False)
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    others = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(failed) >= HOPELESS and not others:
        raise StepError(
            f"the first {len(failed)} trials failed, the last with: {failed[-1].user_attrs[REASON]}"
        )


def _found(config: Tune, study: optuna.Study, directory: Path) -> Found:
    trials = study.get_trials(deepcopy=False)
    states = [trial.state for trial in trials]
    if not complete(trials):
        reasons = [trial.user_attrs[REASON] for trial in trials if REASON in trial.user_attrs]
        raise StepError(f"no trial came to its end; the last said: {(reasons or ['nothing'])[-1]}")
    best = study.best_trial
    return Found(
        best=best,
        default=default_of(trials, config),
        trials=len(trials),
        pruned=states.count(TrialState.PRUNED),
        failed=states.count(TrialState.FAIL),
        model=Model.read(_of_trial(directory, best.number) / "model"),
    )
