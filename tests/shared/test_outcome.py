"""What came of a step, as data: written once, where whoever reports on the run reads it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.shared import outcome
from components.shared.command_line import exit_on_error
from components.shared.environment import IN_CLUSTER, OUTCOMES
from components.shared.errors import StepError
from components.shared.outcome import Outcome, report_outcome

PUBLISHED = Outcome(
    step="push",
    result="published",
    message="Published digits version 3 to registry/digits/3",
    precision_at_1=0.989,
    version=3,
    address="registry/digits/3",
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for outcomes that a runner on this machine names."""
    monkeypatch.setenv(OUTCOMES, str(tmp_path))
    return tmp_path


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The termination message of the container that this runs in."""
    message = tmp_path / "termination-log"
    message.touch()
    monkeypatch.delenv(OUTCOMES, raising=False)
    monkeypatch.setenv(IN_CLUSTER, "10.0.0.1")
    monkeypatch.setattr(outcome, "TERMINATION_MESSAGE", message)
    return message


def test_a_runner_reads_what_the_step_wrote(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_outcome(PUBLISHED)
    assert Outcome.read(run, "push") == PUBLISHED
    assert Outcome.read(run, "watch") is None
    assert capsys.readouterr().out == f"{PUBLISHED.message}\n"


def test_in_a_pod_it_is_the_containers_termination_message(pod: Path) -> None:
    report_outcome(PUBLISHED)
    assert Outcome.parse(pod.read_bytes()) == PUBLISHED


@given(st.text(min_size=1, max_size=5_000))
def test_a_termination_message_is_never_cut(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        written: list[str] = []
        patch.delenv(OUTCOMES, raising=False)
        patch.setenv(IN_CLUSTER, "10.0.0.1")
        patch.setattr(outcome, "TERMINATION_MESSAGE", Path("/dev/null"))
        patch.setattr(Path, "write_text", lambda _, message, encoding: written.append(message))
        report_outcome(Outcome(step="train", result="failed", message=text))
    assert len(written[0].encode()) < 4_096
    found = Outcome.parse(written[0])
    assert found and found.message.isprintable()


def test_by_hand_it_is_only_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(OUTCOMES, raising=False)
    monkeypatch.delenv(IN_CLUSTER, raising=False)
    monkeypatch.setattr(outcome, "TERMINATION_MESSAGE", tmp_path / "termination-log")
    report_outcome(PUBLISHED)
    assert capsys.readouterr().out == f"{PUBLISHED.message}\n" and not list(tmp_path.iterdir())


def test_no_secret_of_an_address_is_in_it(run: Path) -> None:
    address = "https://user:hunter2@host/digits?sig=hunter2"
    report_outcome(PUBLISHED.model_copy(update={"message": f"to {address}", "address": address}))
    assert "hunter2" not in (run / "push.json").read_text()


def test_what_cannot_be_written_is_a_warning(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(OUTCOMES, str(run / "missing"))
    report_outcome(PUBLISHED)
    assert "warning: the step's outcome cannot be written (No such" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "[]", '{"step": "push"}', "signal: killed"])
def test_another_text_is_no_outcome(text: str) -> None:
    assert Outcome.parse(text) is None


def test_a_later_releases_fields_are_left_out() -> None:
    later = json.dumps({**PUBLISHED.model_dump(), "colour": "green"})
    assert Outcome.parse(later) == PUBLISHED


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StepError("the loss is nan"), "the loss is nan"),
        (FileNotFoundError(2, "No such file or directory", "/data"), "/data: no such file or"),
        (KeyError("evaluate"), "KeyError: 'evaluate'"),
    ],
)
def test_whatever_ends_a_step_is_its_outcome(run: Path, error: Exception, message: str) -> None:
    with pytest.raises((SystemExit, KeyError)), exit_on_error(step="train"):
        raise error
    found = Outcome.read(run, "train")
    assert found and found.result == "failed" and found.message.startswith(message)


def test_a_command_that_is_not_a_step_has_none(run: Path) -> None:
    with pytest.raises(SystemExit), exit_on_error():
        raise StepError("no")
    assert not list(run.iterdir())
