"""Delivery: GitHub's workflow and GitLab's are the same commands, and each is one that is there."""

import re
import shlex

import pytest
import yaml

from tests.conftest import ROOT
from tests.test_docs import commands, known
from tests.test_makefile import make

PAGE = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
TEXT = (ROOT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
GITHUB = yaml.safe_load(TEXT)["jobs"]
GITLAB = yaml.safe_load(re.findall(r"```yaml\n(stages:.*?)```", PAGE, re.DOTALL)[0])
JOBS = ("images", "staging", "production")


def of_github(job: str) -> list[str]:
    lines = [step["run"] for step in GITHUB[job]["steps"] if "run" in step]
    text = re.sub(r"\$\{\{ \w+\.(\w+) \}\}", r"$\1", "\n".join(lines))
    return text.replace("${GITHUB_REF_NAME#v}", "VERSION").splitlines()


def of_gitlab(job: str) -> list[str]:
    lines = [line for line in GITLAB[job]["script"] if line.startswith("make ")]
    return [line.replace("${CI_COMMIT_TAG#v}", "VERSION") for line in lines]


@pytest.mark.parametrize("job", JOBS)
def test_both_services_run_the_same_commands(job: str) -> None:
    assert of_github(job) == of_gitlab(job) != []


def with_nested(line: str) -> list[str]:
    """A command, and those whose output it takes for a value."""
    nested = re.findall(r"\$\((make .+?)\)", line)
    return [re.sub(r"\$\(make .+?\)", "1234567", line), *nested]


@pytest.mark.parametrize(
    "line", [each for job in JOBS for line in of_github(job) for each in with_nested(line)]
)
def test_every_command_and_its_options_are_there(line: str) -> None:
    program, *arguments = shlex.split(line.replace('"$COMPILE"', "--pvc=checkpoints"))
    assert program == "make"
    for module, *rest in commands(make(*arguments)):
        options = {one.partition("=")[0] for one in rest if one.startswith("--")}
        assert options <= known(module, rest)


def test_the_page_says_of_everything_that_is_set_what_it_is() -> None:
    used = set(re.findall(r"\$\{\{ (?:vars|secrets)\.(\w+) \}\}", TEXT))
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert used == {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}


def test_jobs_wait_for_one_another_and_production_for_a_person() -> None:
    assert [GITHUB[job].get("needs") for job in JOBS] == [None, "images", "staging"]
    assert [GITHUB[job].get("environment") for job in JOBS[1:]] == ["staging", "production"]
