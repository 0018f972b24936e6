"""The compiled pipeline: fresh, and with every configuration field as a parameter."""

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


@pytest.mark.parametrize("config", PARAMETERS)
def test_every_field_is_a_pipeline_parameter_with_its_default(config: Any, spec: Any) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    for name, field in config.__pydantic_fields__.items():
        assert parameters[name]["defaultValue"] == field.default
        assert parameters[name]["parameterType"] == TYPES[type(field.default)]


def test_the_pipeline_has_no_other_parameters(spec: Any) -> None:
    fields = {name for config in CONFIGS for name in config.__pydantic_fields__}
    assert set(spec["root"]["inputDefinitions"]["parameters"]) == fields


def test_field_names_are_unique_over_the_steps() -> None:
    names = [name for config in CONFIGS for name in config.__pydantic_fields__]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("config", STEPS)
def test_every_field_of_a_step_reaches_its_component(config: Any, spec: Any) -> None:
    component = spec["components"][f"comp-{config.__name__.lower()}"]
    assert set(config.__pydantic_fields__) <= set(component["inputDefinitions"]["parameters"])
