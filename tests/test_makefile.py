"""The Makefile: what it lists, and that no variable given to it is ignored in silence."""

import os
import re
import subprocess

import pytest

from pipeline.pipelines import MNIST, PIPELINES
from tests.conftest import ROOT

# As a person types it, whatever make these tests are run by.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
}


def make(*arguments: str, expect: int = 0) -> str:
    """Runs make without doing anything, and returns what it said."""
    process = subprocess.run(
        ["make", "--dry-run", *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == expect, process.stderr
    return process.stdout + process.stderr


def test_make_alone_lists_what_there_is_with_the_first_two_commands_first() -> None:
    listed = subprocess.check_output(["make"], cwd=ROOT, env=ENVIRONMENT, text=True)
    targets = re.findall(r"^  make ([a-z-]+)", listed, re.MULTILINE)
    assert targets[:2] == ["local", "test"]
    phony = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(targets) == set(" ".join(phony).split()) - {"help"}


def test_a_variable_is_an_option_of_the_program() -> None:
    said = make("local", "SOURCE=it's here", "MAX_STEPS=20", "ARGS=--debug")
    assert r"-m pipeline local   --source='it'\''s here' --max-steps='20' --debug" in said


def test_all_pipelines_are_compiled_unless_one_is_named() -> None:
    def compiled(*variables: str) -> list[str]:
        return re.findall(r"compile --pipeline (\w+)", make("compile", *variables))

    assert compiled() == compiled("GPU=4") == list(PIPELINES)
    assert compiled("PIPELINE=another") == ["another"]
    assert compiled("OUTPUT=build/pipeline.yaml") == [MNIST.name]


@pytest.mark.parametrize(
    ("target", "variable"), [("test", "SOURCE=x"), ("lint", "TESTS=x"), ("bench-memory", "PEERS=x")]
)
def test_a_variable_that_a_target_does_not_know_is_refused_by_name(
    target: str, variable: str
) -> None:
    name = variable.partition("=")[0]
    said = make(target, variable, expect=2)
    assert f"{target}: no variable {name}, expected one of VENV" in said


def test_a_directory_may_have_a_space() -> None:
    said = make("tensorboard", "LOGS=my logs", "VENV=my venv")
    assert "'my venv/bin'/tensorboard --logdir 'my logs'" in said
    assert "VENV='my venv' " in said and 'touch "my venv/installed-' in said
    assert "rm -rf 'my venv' build" in make("clean", "VENV=my venv")


def test_clean_keeps_runs_and_published_models() -> None:
    removed = make("clean").split()
    assert not {"runs", "registry"} & set(removed)
    assert "'.venv'" in removed
    assert make("clean-registry") == "rm -rf registry\n"


def test_every_target_that_the_docs_name_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        named = re.findall(r"(?:^|`|&& )make ([a-z][a-z-]+)", page.read_text(), re.MULTILINE)
        assert set(named) <= targets, page.name
