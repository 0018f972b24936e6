"""A search through its command line: killed and continued, refused, hopeless."""

import json
import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from components.shared.command_line import flag
from components.shared.manifests import Model
from components.shared.storage import sha256_of_directory
from tests.conftest import ROOT, Command, Outcomes, with_small_files
from tests.forked import Forked

# Many kills in a longer search take minutes: make test-tune-kills.
KILLS = int(os.environ.get("KILLS", "1"))
TRIALS = int(os.environ.get("TRIALS", "4"))
SETTINGS = {
    "search": "learning_rate=0.01..0.1:log hidden=16|24",
    "hidden": "16",
    "batch_size": 100,
    "trials": TRIALS,
    "max_steps": 320,
    "log_every": 10,
    "parallel": 2,
}


def step(examples: Path, directory: Path, **options: object) -> list[str]:
    places = {"examples": examples, "model": directory / "model", "study": directory / "study"}
    given = {**places, **SETTINGS, **options}
    return ["components.tune", *(f"{flag(name)}={value}" for name, value in given.items())]


def trials_of(study: Path) -> list[FrozenTrial]:
    """The trials as anybody's Optuna reads them."""
    storage = JournalStorage(JournalFileBackend(str(study / "journal.log")))
    return optuna.load_study(study_name="tune", storage=storage).trials


def finished(study: Path) -> dict[int, str]:
    """What is known of each trial that is over, by its number."""
    over = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    return {
        t.number: f"{t.state} {t.value} {t.params}" for t in trials_of(study) if t.state in over
    }


def kill_when_trials_are_over(arguments: list[str], count: int) -> None:
    """Starts a search, and kills it with no warning once it has said so often that one is over."""
    with Forked("-m", *arguments) as process:
        said = (line for line in process.stdout if line.startswith("Trial "))
        assert all(next(said, None) for _ in range(count)), "it ended before"


def test_a_killed_search_goes_on_and_has_every_finished_trial_once(
    examples: Path, tmp_path: Path, command: Command, outcomes: Outcomes
) -> None:
    arguments, study = step(examples, tmp_path), tmp_path / "study"
    known: dict[int, str] = {}
    for _ in range(KILLS):
        kill_when_trials_are_over(arguments, TRIALS // (KILLS + 1))
        assert not (tmp_path / "model").exists()
        # A loop for each size, and for each of the trials that go on.
        loops = list((study / "compiled").rglob("*.pb"))
        assert 1 <= len(loops) <= 2 + (2 if known else 0)
        assert finished(study).items() >= known.items()
        known = finished(study)
        with (study / "journal.log").open("a") as journal:
            journal.write('{"op_code":')  # as half a line is left
    said = command(*arguments).stdout
    assert f"{len(known)} are finished; " in said
    assert finished(study).items() >= known.items()
    assert sorted(finished(study)) == list(range(TRIALS))
    again = [line for line in said.splitlines() if line.startswith("Trial ")]
    assert len(again) == TRIALS - len(known)

    trials = trials_of(study)
    best = max((t for t in trials if t.state == TrialState.COMPLETE), key=lambda t: t.value or 0)
    model = Model.read(tmp_path / "model")
    assert model.scores["validation"].precision == best.value
    assert best.params.items() <= model.config.items()
    outcome = outcomes("tune")
    assert outcome and outcome.precision_at_1 is None  # the test split is for what is chosen
    assert f"Best of {TRIALS} trials" in outcome.message
    assert f"trial {best.number}" in outcome.message
    assert trials[0].params == {"learning_rate": 0.05, "hidden": "16"}  # train's own
    assert (study / "tuning.html").is_file()
    assert not (study / "compiled").exists()

    # A trial is a training: by hand it gives the same weights.
    config = json.loads((tmp_path / "study/trials" / f"{best.number:03}/logs/run.json").read_text())
    names = ("learning_rate", "hidden", "batch_size", "max_steps", "log_every")
    options = [f"{flag(name)}={config[name]}" for name in names]
    places = ("--examples", examples, "--model", tmp_path / "hand", "--logs", tmp_path / "logs")
    command("components.train", *places, *options, environment={"TF_NUM_INTRAOP_THREADS": "1"})
    variables = [tmp_path / model / "saved_model/variables" for model in ("hand", "model")]
    assert sha256_of_directory(variables[0]) == sha256_of_directory(variables[1])

    # What is there is of that search and no other.
    other = step(examples, tmp_path, search="hidden=16|24")
    said = command(*other, expect=1).stderr
    assert f"error: {study}: holds another search (search 'learning_rate" in said


def test_a_search_in_which_nothing_comes_to_anything_ends(
    examples: Path, tmp_path: Path, command: Command
) -> None:
    said = command(*step(examples, tmp_path, batch_size=5_000, trials=20), expect=1).stderr
    assert said.startswith("error: the first ")
    assert "trials failed, the last with: the training split has 4000 records" in said
    assert not (tmp_path / "model").exists()
    assert len(trials_of(tmp_path / "study")) <= 4


def test_a_disk_that_takes_no_more_of_the_study_is_one_line(examples: Path, tmp_path: Path) -> None:
    process = with_small_files(200, tmp_path, *step(examples, tmp_path))
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ") and "file too large" in line


def test_help_imports_neither_optuna_nor_tensorflow() -> None:
    code = "import sys, components.tune.__main__, pipeline.__main__; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert not {"optuna", "tensorflow"} & set(modules)


@pytest.mark.parametrize("options", [{"trials": 0}, {"sampler": "luck"}, {"learning_rate": -1}])
def test_a_wrong_option_starts_nothing(
    tmp_path: Path, command: Command, options: dict[str, object]
) -> None:
    (name,) = options
    assert flag(name) in command(*step(tmp_path, tmp_path, **options), expect=2).stderr
    assert list(tmp_path.iterdir()) == []
