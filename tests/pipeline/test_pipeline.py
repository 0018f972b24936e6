"""The compiled pipeline: fresh, and with every configuration field as a parameter."""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config import PARAMETERS, STEPS
from tests.conftest import ROOT
from tests.pipeline.conftest import Cli

CONFIGS: tuple[Any, ...] = PARAMETERS
TYPES = {int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", bool: "BOOLEAN", str: "STRING"}


@pytest.fixture(scope="module")
def spec() -> Any:
    """The committed pipeline."""
    return next(yaml.safe_load_all((ROOT / "pipeline.yaml").read_text()))


def test_the_committed_pipeline_is_fresh(cli: Cli, tmp_path: Path) -> None:
    cli("compile", "--output", tmp_path / "pipeline.yaml")
    fresh = (tmp_path / "pipeline.yaml").read_text()
    assert (ROOT / "pipeline.yaml").read_text() == fresh, "run 'make compile' and commit it"


def signature(path: str, name: str) -> dict[str, str]:
    """Returns the parameters of a function, as ``{"seed": "int = Train.seed"}``, unimported."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    [function] = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    arguments = function.args.args
    defaults = [f" = {ast.unparse(value)}" for value in function.args.defaults]
    padded = [""] * (len(arguments) - len(defaults)) + defaults
    return {
        argument.arg: ast.unparse(argument.annotation or ast.Constant(None)) + default
        for argument, default in zip(arguments, padded, strict=True)
    }


def differing(path: str, name: str, has: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Returns a line for each parameter that a function lacks, or has in another way."""
    return [
        f"{path}: {name}() has {parameter}: {has[parameter]}, expected {parameter}: {form}"
        if parameter in has
        else f"{path}: {name}() lacks {parameter}: {form}"
        for parameter, form in expected.items()
        if has.get(parameter) != form
    ]


@pytest.mark.parametrize("config", STEPS)
def test_every_field_of_a_step_is_a_parameter_of_its_component(config: Any) -> None:
    step = config.__name__.lower()
    path = f"components/{step}/component.py"
    has = signature(path, step)
    expected = {name: type(f.default).__name__ for name, f in config.__pydantic_fields__.items()}
    if told := differing(path, step, has, expected):
        pytest.fail("\n".join(told), pytrace=False)


def test_every_field_is_a_parameter_of_the_pipeline_with_its_default() -> None:
    path = "pipeline/pipeline.py"
    has = signature(path, "mnist")
    expected = {
        name: f"{type(field.default).__name__} = {config.__name__}.{name}"
        for config in CONFIGS
        for name, field in config.__pydantic_fields__.items()
    }
    told = differing(path, "mnist", has, expected)
    told += [
        f"{path}: mnist() has {name}, which is no field of config.py"
        for name in has.keys() - expected
    ]
    if told:
        pytest.fail("\n".join(told), pytrace=False)


def test_a_missing_place_is_told_in_one_line() -> None:
    """So that who adds a field knows where else its name has to stand."""
    has = {"seed": "int", "shift": "str"}
    assert differing("a/component.py", "a", has, {"seed": "int", "shift": "int", "new": "str"}) == [
        "a/component.py: a() has shift: str, expected shift: int",
        "a/component.py: a() lacks new: str",
    ]


def test_every_field_is_compiled_with_its_type_and_default(spec: Any) -> None:
    compiled = spec["root"]["inputDefinitions"]["parameters"]
    assert {
        name: (each["parameterType"], each["defaultValue"]) for name, each in compiled.items()
    } == {
        name: (TYPES[type(field.default)], field.default)
        for config in CONFIGS
        for name, field in config.__pydantic_fields__.items()
    }


def test_field_names_are_unique_over_the_steps() -> None:
    names = [name for config in CONFIGS for name in config.__pydantic_fields__]
    assert len(names) == len(set(names))
