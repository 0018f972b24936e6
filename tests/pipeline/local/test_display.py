"""What a person sees of a run."""

import io
from pathlib import Path

import pytest

from components.shared.evaluation import Verdict
from components.shared.predictions import Advice, Diagnosis, Drift
from pipeline.local.display import Display


class Terminal(io.StringIO):
    """An output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def show(output: io.StringIO, debug: bool = False) -> str:
    display = Display(output, max_steps=200, debug=debug)
    with display.step("train"):
        display.line("Step 100: loss = 0.94 (0.0004 sec)")
        display.line("Test Data Eval:")
        display.line("Traceback (most recent call last):")
        display.line("ValueError: [red] is no colour here")
    return output.getvalue()


def test_log_gets_plain_lines_with_the_steps_name() -> None:
    shown = show(io.StringIO())
    assert shown.splitlines() == [
        "train: running",
        "   train | Step 100: loss = 0.94 (0.0004 sec)",
        "   train | Test Data Eval:",
    ]


def test_log_gets_a_status_line_a_minute_and_the_one_before_anything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = iter([0.0, 20.0, 59.0, 61.0, 80.0, 90.0])
    monkeypatch.setattr("pipeline.local.display.time.monotonic", lambda: next(seconds))
    output = io.StringIO()
    display = Display(output, max_steps=600, debug=False)
    with display.step("train"):
        for step in range(100, 700, 100):
            display.line(f"Step {step}: loss = 0.94 (0.0004 sec)")
        display.line("Test Data Eval:")
    steps = [line.split()[3] for line in output.getvalue().splitlines() if "Step" in line]
    assert steps == ["100:", "400:", "600:"]


def test_terminal_gets_a_progress_bar_that_status_lines_move() -> None:
    shown = show(Terminal())
    assert "━" in shown
    assert "train | Test Data Eval:" in shown


def test_terminal_gets_an_evaluation_under_its_step() -> None:
    lines = [line for line in show(Terminal()).splitlines() if "train | " in line]
    assert [line.partition("train | ")[2] for line in lines] == [
        "Step 100: loss = 0.94 (0.0004 sec)",
        "Test Data Eval:",
    ]


def test_terminal_gets_a_long_line_with_name_and_indentation_before_each_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    output = Terminal()
    display = Display(output, max_steps=1, debug=False)
    with display.step("evaluate"):
        display.line("  pass min_recall: " + "the weakest class is recognized " * 4)
    parts = [line for line in output.getvalue().splitlines() if "weakest" in line]
    assert len(parts) > 1
    assert all("evaluate |   " in part for part in parts)


def test_traceback_is_shown_only_in_debug() -> None:
    assert "ValueError" not in show(io.StringIO())
    assert "ValueError: [red] is no colour here" in show(io.StringIO(), debug=True)


def _drift(diagnosis: Diagnosis | None) -> Drift:
    reasons = ["the ink [of] all", "a class"]
    verdicts = [Verdict(rule=one, passed=diagnosis is None, reason=one) for one in reasons]
    return Drift(
        verdicts=verdicts, figures=[], images=1, source="in", registry="registry",
        model_name="digits", version=1, diagnosis=diagnosis,
    )  # fmt: skip


def test_an_alarm_says_what_happened_what_moved_and_what_to_do() -> None:
    output = io.StringIO()
    long = "make predict SOURCE=" + "d" * 90
    advice = [Advice(text="look"), Advice(text="run [it] again", command=long)]
    found = Diagnosis(cause="x", sentence="probably [x]", trainable=False, advice=advice)
    Display(output, 1, debug=False).drift("Alarm: the ink", _drift(found))
    assert output.getvalue().splitlines() == [
        "Alarm:       probably [x]",
        "             the ink [of] all",
        "             a class",
        "What to do:  look",
        "             run [it] again",
        f"             {long}",
    ]


def test_a_quiet_night_is_its_last_line() -> None:
    output = io.StringIO()
    Display(output, 1, debug=False).drift("Quiet: all 5 rules hold", _drift(None))
    assert output.getvalue() == "Quiet: all 5 rules hold\n"


def test_failure_names_step_error_and_log() -> None:
    output = io.StringIO()
    Display(output, 1, debug=False).failure("train", "error: no [data]", Path("runs/log.txt"))
    assert output.getvalue().splitlines() == ["train failed: no [data]", "Log: runs/log.txt"]
