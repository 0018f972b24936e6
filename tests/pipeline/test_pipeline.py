"""The compiled pipeline: fresh, and with every field of config.py as a parameter.

A field is a parameter of the pipeline by itself. That it also stands in its step's component.py,
whose source KFP embeds, is held here.
"""

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.pipelines import PIPELINES, Pipeline
from tests.conftest import ROOT
from tests.pipeline.conftest import Cli

EACH = pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES.keys())
STEPS = [step for pipeline in PIPELINES.values() for step in pipeline.steps]
TYPES = {int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", bool: "BOOLEAN", str: "STRING"}


@EACH
def test_the_committed_pipeline_is_fresh(cli: Cli, tmp_path: Path, pipeline: Pipeline) -> None:
    cli("compile", "--pipeline", pipeline.name, "--output", tmp_path / pipeline.file)
    fresh = (tmp_path / pipeline.file).read_text()
    assert (ROOT / pipeline.file).read_text() == fresh, "run 'make compile' and commit it"


def test_a_pipeline_has_its_own_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("compile").output == "Wrote pipeline.yaml\n"
    for pipeline in PIPELINES.values():
        said = cli("compile", "--pipeline", pipeline.name).output
        assert said == f"Wrote {pipeline.file}\n"
        assert (tmp_path / pipeline.file).read_text() == (ROOT / pipeline.file).read_text()


def signature(path: str, name: str) -> dict[str, str]:
    """Returns the parameters of a function, as ``{"seed": "int"}``, unimported."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    [function] = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    return {
        argument.arg: ast.unparse(argument.annotation or ast.Constant(None))
        for argument in function.args.args
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
    if lines := differing(path, step, has, expected):
        pytest.fail("\n".join(lines), pytrace=False)


def test_a_missing_parameter_is_named_in_one_line() -> None:
    """So that who adds a field knows where else its name has to stand."""
    has = {"seed": "int", "shift": "str"}
    assert differing("a/component.py", "a", has, {"seed": "int", "shift": "int", "new": "str"}) == [
        "a/component.py: a() has shift: str, expected shift: int",
        "a/component.py: a() lacks new: str",
    ]


@EACH
def test_every_field_is_compiled_with_its_type_and_default(pipeline: Pipeline) -> None:
    spec = next(yaml.safe_load_all((ROOT / pipeline.file).read_text()))
    compiled = spec["root"]["inputDefinitions"]["parameters"]
    assert {
        name: (each["parameterType"], each["defaultValue"]) for name, each in compiled.items()
    } == {
        name: (TYPES[type(field.default)], field.default) for name, field in pipeline.fields.items()
    }


@EACH
def test_field_names_are_unique_over_the_steps(pipeline: Pipeline) -> None:
    names = [name for config in pipeline.parameters for name in config.names()]
    assert len(names) == len(set(names))
