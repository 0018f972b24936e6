"""The command line: help, wrong options, recipes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from components.config import RECIPES, Train
from pipeline.__main__ import main
from pipeline.cluster import ClusterSettings
from pipeline.pipelines import PIPELINES
from tests.pipeline.conftest import Cli

COMMANDS: dict[str, Any] = {
    **{pipeline.command: pipeline.parameters for pipeline in PIPELINES.values()},
    "compile": (ClusterSettings,),
}


def _parsed(*arguments: str) -> dict[str, Any]:
    command = main.commands["local"]
    return command.make_context("local", list(arguments)).params


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_option(cli: Cli, name: str) -> None:
    shown = " ".join(cli(name, "--help").output.split())
    for config in COMMANDS[name]:
        for field_name, field in config.__pydantic_fields__.items():
            assert "--" + field_name.replace("_", "-") in shown
            assert field.description and field.description.endswith(".")


def test_help_of_local_has_ten_options_first_and_every_option_once(cli: Cli) -> None:
    shown = cli("local", "-h").output
    assert shown == cli("local", "--help").output
    first = shown[shown.index("Used first:") : shown.index("Ingest:")]
    listed = [line.split()[0] for line in shown.splitlines() if line.startswith("  -")]
    assert sum(line.startswith("  -") for line in first.splitlines()) == 10
    assert len(listed) == len(set(listed)) == len(main.commands["local"].params) + 1
    titles = ("Used first:", "Ingest:", "Train:", "Evaluate:", "Push:", "The run itself:")
    places = [shown.index(title) for title in titles]
    assert places == sorted(places)


@pytest.mark.parametrize("name", main.commands)
def test_every_command_says_what_it_is_for(name: str) -> None:
    assert main.commands[name].help
    options = [each for each in main.commands[name].params if isinstance(each, click.Option)]
    assert options and all(option.help for option in options)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--max-steps", "0"], "--max-steps"),
        (["--max-steps", "many"], "--max-steps"),
        (["--decay", "steps"], "--decay"),
        (["--max-rejected", "2"], "--max-rejected"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_a_wrong_option_is_exit_code_2_and_starts_nothing(
    cli: Cli, tmp_path: Path, arguments: list[str], problem: str
) -> None:
    runs = tmp_path / "runs"
    assert problem in cli("local", "--runs", runs, *arguments, expect=2).stderr
    assert not runs.exists()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_sets_what_it_says(name: str) -> None:
    recipe, parsed, plain = RECIPES[name], _parsed("--recipe", name), _parsed()
    assert parsed == {**plain, **recipe}
    assert Train.pick(parsed) == Train(**recipe)
    if name == "tutorial":
        assert _parsed("--tutorial") == parsed


@pytest.mark.parametrize("recipe", [["--recipe", "best"], ["--tutorial"]], ids=" ".join)
@pytest.mark.parametrize("first", [True, False])
def test_an_explicit_option_wins_over_a_recipe(recipe: list[str], first: bool) -> None:
    explicit = ["--max-steps", "7"]
    parsed = _parsed(*(recipe + explicit if first else explicit + recipe))
    assert parsed == {**_parsed(*recipe), "max_steps": 7}


def test_help_needs_neither_kfp_nor_tensorflow(command: Any) -> None:
    process = command("pipeline", "--help")
    assert process.stdout.startswith("Usage: python -m pipeline")
    assert not {"kfp.dsl", "tensorflow", "apache_beam"} & imported_with("pipeline.__main__")


def test_a_run_here_needs_no_client_of_a_server() -> None:
    modules = imported_with("pipeline.local.run, pipeline.training, pipeline.compile")
    assert "kfp.dsl" in modules and not {"kfp.client", "kubernetes"} & modules


def imported_with(modules: str) -> set[str]:
    """Returns all that is imported with some modules, in a new interpreter."""
    code = f"import sys, json, {modules}; print(json.dumps(sorted(sys.modules)))"
    return set(json.loads(subprocess.check_output([sys.executable, "-c", code], text=True)))


@pytest.mark.parametrize("source", ["missing", "s3://bucket/digits", "fake://many"])
def test_a_source_that_is_not_there_makes_no_run(cli: Cli, tmp_path: Path, source: str) -> None:
    shown = cli("local", "--runs", tmp_path / "runs", "--source", source, expect=1).stderr
    assert shown.startswith(f"error: {source}: ") and shown.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
