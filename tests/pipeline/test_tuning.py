"""The pipeline of a search, on a cluster: what it is compiled to, submitted and scheduled."""

from pathlib import Path

import pytest

from tests.pipeline.conftest import Cli
from tests.pipeline.remote.fake_kfp import FakeKfp
from tests.pipeline.test_cluster import Compiled

REGISTRY = ("-p", "destination=gs://bucket/registry")


@pytest.fixture
def pipeline(cli: Cli, tmp_path: Path) -> Compiled:
    """Compiled with what a cluster can be asked for, images by digest among it."""
    digest = "@sha256:" + "0" * 64
    names = ("ingest", "train", "train-gpu", "evaluate", "push")
    images = ", ".join(f'"{name}": "registry/{name}{digest}"' for name in names)
    (tmp_path / "images.json").write_text(f"{{{images}}}")
    options = ("--images", tmp_path / "images.json", "--pvc", "shared", "--gpus", 2)
    cli("compile", "--pipeline", "tune", "--output", tmp_path / "tune.yaml", *options)
    return Compiled(tmp_path / "tune.yaml")


def test_a_search_has_the_image_and_the_resources_of_a_training(pipeline: Compiled) -> None:
    container, pod = pipeline.container("tune"), pipeline.pod("tune")
    assert container.image.partition("@")[0] == "registry/train-gpu"
    assert container.resources.resource_cpu_request == "4"
    assert container.resources.accelerator.resource_count == "2"
    assert [one.key for one in pod.tolerations] == ["nvidia.com/gpu"]
    assert pod.active_deadline_seconds == 86_400
    assert [mount.mount_path for mount in pod.pvc_mount] == ["/workspace"]
    variables = {variable.name: variable.value for variable in container.env}
    assert variables["RUN_VOLUME"] == "/workspace"  # where a retried pod finds the study
    assert pipeline.task("tune").caching_options.enable_cache


def test_several_nodes_are_refused(cli: Cli, tmp_path: Path) -> None:
    options = ("--nodes", 2, "--pvc", "shared", "--output", tmp_path / "tune.yaml")
    said = cli("compile", "--pipeline", "tune", *options, expect=1).stderr
    assert "only train takes several" in said and not list(tmp_path.iterdir())


def test_it_is_submitted_and_scheduled_under_its_own_name(kfp_server: FakeKfp, cli: Cli) -> None:
    which = ("--pipeline", "tune", "--host", kfp_server.url, *REGISTRY)
    search = "learning_rate=0.1..1:log hidden=64,32|128,32"
    cli("submit", *which, "-p", "trials=5", "-p", f"search={search}")
    (run,) = kfp_server.runs
    parameters = run["runtime_config"]["parameters"]
    assert parameters == {"destination": "gs://bucket/registry", "trials": 5, "search": search}
    cli("schedule", *which, "--cron", "0 0 4 * * *")
    assert kfp_server.recurring[0]["display_name"] == "tune-schedule"


def test_what_cannot_be_searched_is_not_submitted(kfp_server: FakeKfp, cli: Cli) -> None:
    which = ("--pipeline", "tune", "--host", kfp_server.url, *REGISTRY)
    said = cli("submit", *which, "-p", "search=learning_rate=0..1", expect=2).stderr
    assert "learning_rate=0: should be greater than 0" in " ".join(said.split())
    assert not kfp_server.runs
