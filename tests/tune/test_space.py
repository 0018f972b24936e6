"""What a search may try: how it is written, and that train takes all of it."""

import pytest
from pydantic import ValidationError

from components.config import Tune
from components.space import Choice, Span, parse
from tests.conftest import Command


def test_spans_and_choices_are_read_by_the_options_names() -> None:
    text = "learning_rate=1e-3..1:log --batch-size=50..200:50 hidden=64,32|128 shift=0..2"
    assert parse(text) == {
        "learning_rate": Span("1e-3", "1", log=True, step=""),
        "batch_size": Span("50", "200", log=False, step="50"),
        "hidden": Choice(("64,32", "128")),
        "shift": Span("0", "2", log=False, step=""),
    }


@pytest.mark.parametrize("name", sorted(set(Tune.__pydantic_fields__) - {"search"}))  # type: ignore[attr-defined]
def test_no_other_option_is_changed_by_what_is_searched(name: str) -> None:
    assert getattr(Tune(search="seed=1|2"), name) == getattr(Tune(), name)


@pytest.mark.parametrize(
    ("search", "problem"),
    [
        ("", "nothing to try"),
        ("learning_rate", "expected name=low..high"),
        ("learning_rate=1..0.1", "the lower first"),
        ("learning_rate=a..b", "expected two numbers"),
        ("learning_rate=0.1..1:many", "expected two numbers, then maybe :log"),
        ("learning_rate=0.1..1:-1", "a step above 0"),
        ("momentum=0..0.5:log", ":log with numbers above 0"),
        ("decay=cosine", "several different values"),
        ("decay=cosine|cosine", "several different values"),
        ("decay=cosine|", "several different values"),
        ("seed=1|2 seed=3|4", "seed twice"),
        ("rate=0.1..1", "rate: train has no such option"),
        ("trials=1..3", "trials: train has no such option"),
        ("learning_rate=0..1", "learning_rate=0: should be greater than 0"),
        ("shift=0..4", "shift=4: should be less than or equal to 3"),
        ("hidden=64|64;32", "hidden=64;32: String should match pattern"),
        ("decay=cosine|steps", "decay=steps: should be 'linear', 'cosine' or 'none'"),
        ("max_steps=1.5..3", "max_steps=1.5: should be a valid integer"),
    ],
)
def test_what_cannot_be_searched_is_said_before_anything_is_done(search: str, problem: str) -> None:
    with pytest.raises(ValidationError) as error:
        Tune(search=search)
    (first,) = error.value.errors()
    assert first["loc"] == ("search",) and problem in first["msg"]


def test_the_command_line_takes_several_and_names_what_is_wrong(command: Command) -> None:
    step = ("components.tune", "--examples", "none", "--model", "none", "--study", "none")
    options = ("--search", "shift=0..2", "--search", "learning_rate=0..1")
    said = command(*step, *options, expect=2).stderr
    assert "--search: learning_rate=0: should be greater than 0" in said
    assert "shift=0..2 learning_rate=0..1" in said
