"""What is wrong with an option is told by its name before anything starts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from components.config import Ingest, Options, Run, Train
from components.shared.command_line import build, flag, step_command


def configurations(base: type[Options] = Options) -> Iterator[type[Options]]:
    """Yields those of every step, and of what serves."""
    for config in base.__subclasses__():
        if config.__module__ == Options.__module__:  # and not what a test of others imported
            yield from (config, *configurations(config))


NUMBERS = [
    (config, name, field.annotation)
    for config in configurations()
    for name, field in config.__pydantic_fields__.items()  # type: ignore[attr-defined]
    if field.annotation in (int, float)
]


@pytest.mark.parametrize(("config", "name", "kind"), NUMBERS)
def test_no_number_is_without_bounds(config: Any, name: str, kind: type) -> None:
    """``--seed 1e20`` is refused, not handed to TensorFlow; nor is infinity."""
    for value in (1e20, -1e20, float("inf"), float("nan")):
        if kind is int and value == value and abs(value) < 1e21:
            value = int(value)
        try:
            built = build(config, {name: value})
        except click.BadParameter as error:
            assert error.param_hint == flag(name)
        else:
            assert kind is float and getattr(built, name) == 1e20


def test_no_secret_is_told_with_a_wrong_option() -> None:
    with pytest.raises(click.BadParameter) as refused:
        build(Run, {"webhook": "hooks.example.com/services/hunter2"})
    assert "hunter2" not in refused.value.message
    with pytest.raises(click.BadParameter) as refused:
        build(Ingest, {"span": "https://user:hunter2@host/x?sig=hunter2"})
    assert "hunter2" not in refused.value.message and "https://host/x" in refused.value.message


@pytest.fixture
def told() -> tuple[click.Command, list[Any]]:
    """A step's command line, and what it is called with."""
    called: list[Any] = []

    @step_command(Ingest)
    @click.option("--output", type=click.Path())
    def main(config: Ingest, output: str) -> None:
        called.append((config.source, output))

    return main, called


def test_a_tilde_is_the_home_directory(
    told: tuple[click.Command, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    main, called = told
    monkeypatch.setenv("HOME", "/home/me")
    CliRunner().invoke(main, ["--source=~/digits", "--output=~"], catch_exceptions=False)
    CliRunner().invoke(main, ["--source=a/~/b", "--output=~a"], catch_exceptions=False)
    assert called == [("/home/me/digits", "/home/me"), ("a/~/b", "~a")]


def test_without_a_home_directory_a_tilde_is_wrong_usage(
    told: tuple[click.Command, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    main, called = told
    result = CliRunner().invoke(main, ["--source=~/digits"])
    assert result.exit_code == 2 and "this user has no home directory" in result.stderr
    assert not called


def test_every_default_is_within_bounds() -> None:
    for config in configurations():
        config()
    assert Train(seed=(1 << 31) - 1).seed == (1 << 31) - 1
