"""Parameters in a file, one an environment."""

import json
from pathlib import Path

import pytest
import yaml

from pipeline.pipelines import MNIST, PIPELINES
from tests.conftest import ROOT
from tests.pipeline.conftest import Cli
from tests.pipeline.remote.fake_kfp import FakeKfp

ENVIRONMENTS = sorted((ROOT / "deploy" / "environments").glob("*.yaml"))
TEXT = f"""
{MNIST.name}:
  max_steps: 20
  learning_rate: 1e-1
  xla: false
  destination: gs://bucket/registry
"""
OTHER = """
  destination: gs://bucket/registry
  source: gs://bucket/in/{date}
"""
OTHERS = [name for name in PIPELINES if name != MNIST.name]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT + "".join(f"{name}:{OTHER}" for name in OTHERS))
    return path


def test_they_are_sent_in_their_types(kfp_server: FakeKfp, cli: Cli, file: Path) -> None:
    cli("submit", "--params", file, "--host", kfp_server.url)
    (run,) = kfp_server.runs
    assert run["runtime_config"]["parameters"] == {
        "max_steps": 20,
        "learning_rate": 0.1,
        "xla": False,
        "destination": "gs://bucket/registry",
    }


@pytest.mark.parametrize("first", ["-p", "--params"])
def test_what_is_given_beside_them_goes_before(cli: Cli, file: Path, first: str) -> None:
    options = [("-p", "max_steps=30"), ("--params", str(file))]
    options.sort(key=lambda option: option[0] != first)
    dry = cli("submit", "--host", "h", "--dry-run", *(word for pair in options for word in pair))
    assert json.loads(dry.stdout)["parameters"]["max_steps"] == 30


def test_a_pipeline_takes_its_own_part(cli: Cli, file: Path) -> None:
    for pipeline in OTHERS:
        options = ("--pipeline", pipeline, "--host", "h", "--dry-run")
        for arguments in (("--params", file, *options), (*options, "--params", file)):
            sent = json.loads(cli("submit", *arguments).stdout)["parameters"]
            assert set(sent) == {"destination", "source"}


def test_a_schedule_takes_them_too(kfp_server: FakeKfp, cli: Cli, file: Path) -> None:
    cli("schedule", "--host", kfp_server.url, "--cron", "0 0 3 * * *", "--params", file)
    (job,) = kfp_server.recurring
    assert job["runtime_config"]["parameters"]["max_steps"] == 20


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{MNIST.name}: {{max_step: 20}}", "no parameter max_step;"),
        (f"{MNIST.name}: {{max_steps: many}}", "--max-steps: should be a valid integer"),
        (
            f"{MNIST.name}: {{max_steps: [20]}}",
            f"expected under '{MNIST.name}:' a line a parameter",
        ),
        ("{}", f"expected under '{MNIST.name}:' a line a parameter"),
        (f"{MNIST.name}:", f"expected under '{MNIST.name}:' a line a parameter"),
        ("max_steps: 20", f"expected the parts '{MNIST.name}:'"),
        ("", f"expected the parts '{MNIST.name}:'"),
        (f"{MNIST.name}: {{", "not YAML: while parsing"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_before_anything_is_sent(
    kfp_server: FakeKfp, cli: Cli, file: Path, text: str, reason: str
) -> None:
    file.write_text(text)
    result = cli("submit", "--host", kfp_server.url, "--params", file, expect=2)
    assert reason in " ".join(result.stderr.split())
    assert not kfp_server.runs


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.stem)
def test_the_pipelines_of_an_environment_take_their_parts(cli: Cli, environment: Path) -> None:
    for pipeline in yaml.safe_load(environment.read_text()):
        which = ("--pipeline", pipeline, "--file", ROOT / PIPELINES[pipeline].file)
        arguments = (*which, "--params", environment, "--cron", "0 0 3 * * *")
        sent = json.loads(cli("schedule", "--host", "h", "--dry-run", *arguments).stdout)
        assert sent["parameters"]["destination"].startswith("gs://")


def test_there_is_an_environment_to_try_one_to_check_and_one_to_serve() -> None:
    assert {path.stem for path in ENVIRONMENTS} == {"dev", "staging", "production"}
