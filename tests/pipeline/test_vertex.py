"""What is compiled for Vertex AI, as its own client takes it."""

import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.pipelines import PIPELINES
from tests.pipeline.conftest import Cli
from tests.services import ROOT, unavailable

CLIENT = ROOT / "build" / "vertex" / "bin" / "python"
# The client makes the job that it would post; a value that is not of its parameter's type, or of no
# parameter, ends it there.
READ = """
import sys
from google.auth.credentials import AnonymousCredentials
from google.cloud.aiplatform import PipelineJob

for path, parameter in zip(sys.argv[1::2], sys.argv[2::2]):
    PipelineJob(
        display_name="job",
        template_path=path,
        pipeline_root="gs://bucket/root",
        parameter_values={parameter: "gs://bucket/images"},
        project="project",
        location="europe-west4",
        credentials=AnonymousCredentials(),
    )
    print("taken")
"""


def test_the_clients_loader_takes_every_pipeline(cli: Cli, tmp_path: Path) -> None:
    if not CLIENT.exists():
        unavailable("Vertex AI's client", "vertex-client")
    arguments: list[str] = []
    for pipeline in PIPELINES:
        output = tmp_path / f"{pipeline}.yaml"
        cli("compile", "--pipeline", pipeline, "--platform", "vertex", "--output", output)
        arguments += [str(output), "source"]
    read = subprocess.run(
        [CLIENT, "-c", READ, *arguments], capture_output=True, text=True, check=False
    )
    assert read.stdout == "taken\n" * len(PIPELINES), read.stderr


def test_it_is_one_document_and_what_is_missing_is_named(cli: Cli, tmp_path: Path) -> None:
    output = tmp_path / "pipeline.yaml"
    printed = cli("compile", "--platform", "vertex", "--output", output)
    assert printed.stdout.startswith(
        "Left out, as Vertex AI has none of it: "
        "activeDeadlineSeconds, fieldPathAsEnv, imagePullPolicy\n"
    )
    [spec] = yaml.safe_load_all(output.read_text())
    assert spec["deploymentSpec"]["executors"].keys() == {
        f"exec-{step}" for step in ("ingest", "train", "evaluate", "push", "summary")
    }


def test_accelerators_have_their_names_there(cli: Cli, tmp_path: Path) -> None:
    output = tmp_path / "pipeline.yaml"
    options = ("--platform", "vertex", "--gpus", 2, "--gpu-type", "NVIDIA_TESLA_T4")
    cli("compile", *options, "--output", output)
    spec = yaml.safe_load(output.read_text())
    resources = spec["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
    assert resources["accelerator"]["type"] == "NVIDIA_TESLA_T4"
    assert resources["accelerator"]["count"] == "2"


@pytest.mark.parametrize(
    "options",
    [
        ("--pvc", "shared"),
        ("--gcs-secret", "key"),
        ("--webhook-secret", "hook"),
        ("--pull-secret", "login"),
        ("--ttl", 60),
        ("--gpus", 1),
    ],
)
def test_what_it_has_nothing_for_is_refused(cli: Cli, tmp_path: Path, options: tuple) -> None:
    output = tmp_path / "pipeline.yaml"
    refused = cli("compile", "--platform", "vertex", *options, "--output", output, expect=1)
    assert refused.stderr.startswith("error: --") and refused.stderr.count("\n") == 1
    assert "Vertex AI" in refused.stderr and not output.exists()
