"""Looking after a TrainJob through the Kubernetes API over HTTP."""

import dataclasses
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from kubeflow_trainer_api.models import TrainerV1alpha1TrainingRuntime as TrainingRuntime
from kubernetes import client

from components.config import Train
from components.shared.errors import StepError
from components.shared.manifests import Dataset, Model
from components.train.__main__ import main as train_command
from components.train.distributed.trainjob import RUNTIME, Settings, TrainJob, launch, manifest
from tests.conftest import ROOT
from tests.train.distributed.fake_kubernetes import FakeKubernetes, serve

SETTINGS = Settings(
    nodes=4,
    image="registry/train",
    pvc="shared",
    pvc_path="/workspace",
    cpu="4",
    memory="8Gi",
    gpus=2,
    gpu_type="nvidia.com/gpu",
    node_selector={"gpu": "l4"},
    tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    labels={"queue": "nightly"},
    annotations={"team": "vision"},
    shm="1Gi",
    timeout=60,
    commit="0123abcd",
)


@pytest.fixture
def kubernetes() -> Iterator[FakeKubernetes]:
    """A Kubernetes API in miniature."""
    with serve() as api:
        yield api


@pytest.fixture
def attempt(kubernetes: FakeKubernetes) -> Callable[[], TrainJob]:
    """A TrainJob on it; each call is another attempt of the step."""
    api = client.ApiClient(client.Configuration(host=kubernetes.url))
    return lambda: TrainJob(api, "team", manifest("mnist-1", SETTINGS, ["--max-steps=9"]), 0.01)


def test_data_goes_out_and_the_model_comes_home(
    kubernetes: FakeKubernetes,
    monkeypatch: pytest.MonkeyPatch,
    examples: Path,
    model: Path,
    tmp_path: Path,
) -> None:
    api = client.ApiClient(client.Configuration(host=kubernetes.url))
    monkeypatch.setattr("components.train.distributed.trainjob._in_cluster", lambda: (api, "team"))
    kubernetes.outcomes = [(1, "Complete")]
    volume = tmp_path / "volume" / "run-1"
    shutil.copytree(model, volume / "model")  # what the pods would have written

    settings = json.dumps(dataclasses.asdict(SETTINGS))
    training = Train(max_steps=300, xla=False)
    brought = launch(settings, training, examples, tmp_path / "model", volume)

    assert brought == Model.read(model) == Model.read(tmp_path / "model")
    (job,) = kubernetes.bodies
    assert kubernetes.deleted == [job["metadata"]["name"]]
    arguments = job["spec"]["trainer"]["args"]
    given = train_command.make_context("train", list(arguments)).params
    assert Train.pick(given) == training
    assert Dataset.read(Path(given["examples"])) == Dataset.read(examples)


def test_the_chiefs_log_is_shown_once(
    kubernetes: FakeKubernetes, attempt: Callable, capsys: pytest.CaptureFixture
) -> None:
    kubernetes.outcomes = [(4, "Complete")]
    kubernetes.logs = ["Step 1\n", "Step 1\nStep 2\n", "Step 1\nStep 2\n", "Step 1\nStep 2\nend\n"]
    attempt().run()
    assert capsys.readouterr().out.splitlines() == [
        *("Started TrainJob mnist-1", "Step 1", "Step 2", "end"),
    ]


def test_the_log_of_a_pod_that_started_again_is_shown_from_its_start(
    kubernetes: FakeKubernetes, attempt: Callable, capsys: pytest.CaptureFixture
) -> None:
    kubernetes.outcomes = [(3, "Complete")]
    kubernetes.logs = ["one\ntwo\n", "Going on\n"]
    attempt().run()
    assert capsys.readouterr().out.splitlines()[1:] == ["one", "two", "Going on"]


def test_a_failed_job_is_an_error_with_its_reason(
    kubernetes: FakeKubernetes, attempt: Callable
) -> None:
    kubernetes.outcomes = [(2, "Failed")]
    with pytest.raises(StepError, match="TrainJob mnist-1 failed: as told"):
        attempt().run()


def test_a_retried_step_adopts_the_running_job(
    kubernetes: FakeKubernetes, attempt: Callable, capsys: pytest.CaptureFixture
) -> None:
    kubernetes.answer("POST", _JOBS, {}, manifest("mnist-1", SETTINGS, []))
    attempt().run()
    assert kubernetes.created == ["mnist-1"]
    assert "Going on with TrainJob mnist-1" in capsys.readouterr().out


def test_a_retried_step_starts_a_failed_job_anew(
    kubernetes: FakeKubernetes, attempt: Callable
) -> None:
    kubernetes.outcomes = [(1, "Failed"), (1, "Complete")]
    with pytest.raises(StepError):
        attempt().run()
    attempt().run()
    assert kubernetes.created == ["mnist-1", "mnist-1"] and kubernetes.deleted == ["mnist-1"]


def test_a_cancelled_step_removes_its_job(kubernetes: FakeKubernetes, attempt: Callable) -> None:
    kubernetes.outcomes = [(10**9, "Complete")]

    def cancel() -> None:
        kubernetes.looked.wait(30)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=cancel).start()
    with pytest.raises(SystemExit):
        attempt().run()
    assert kubernetes.deleted == ["mnist-1"] and not kubernetes.jobs


def test_missing_rights_are_one_line(kubernetes: FakeKubernetes, attempt: Callable) -> None:
    kubernetes.forbidden = True
    with pytest.raises(StepError, match=r"answered 403 Forbidden; see deploy/"):
        attempt().run()


def test_the_job_asks_for_what_was_compiled() -> None:
    spec = manifest("mnist-1", SETTINGS, ["--max-steps=9"])["spec"]
    assert spec["runtimeRef"]["name"] == RUNTIME
    assert spec["trainer"]["numNodes"] == 4
    assert {"name": "PIPELINE_COMMIT", "value": "0123abcd"} in spec["trainer"]["env"]
    assert spec["trainer"]["resourcesPerNode"]["limits"] == {"memory": "8Gi", "nvidia.com/gpu": "2"}
    (job,) = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"gpu": "l4"}
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "shared"


def test_the_runtime_fits_the_crd_and_the_job() -> None:
    runtime = yaml.safe_load((ROOT / "deploy" / "training-runtime.yaml").read_text())
    assert TrainingRuntime.from_dict(runtime).to_dict() == runtime
    assert runtime["metadata"]["name"] == RUNTIME
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    assert job["name"] == container["name"] == "node"


def test_the_role_allows_what_the_step_does() -> None:
    manifests = yaml.safe_load_all((Path(ROOT) / "deploy" / "rbac.yaml").read_text())
    role, binding = (each for each in manifests if each["metadata"]["name"] == "mnist-trainjobs")
    allowed = {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert allowed == {
        *(("trainjobs", verb) for verb in ("create", "get", "delete")),
        *(("pods", "list"), ("pods/log", "get")),
    }
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


_JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainjobs"
