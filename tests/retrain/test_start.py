"""One training after an alarm that training can mend: through the pod's component, over HTTP."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from components.config import Retrain, Watch
from components.retrain import kfp_api
from components.retrain.component import retrain
from components.shared.environment import IN_CLUSTER, OUTCOMES, RETRAINED, RUN_ID
from components.shared.predictions import Diagnosis
from components.summary import servers
from components.watch.watch import compare
from pipeline.compile import Package
from pipeline.pipelines import MNIST
from tests.conftest import ROOT, Command, Outcomes
from tests.pipeline.remote.fake_kfp import FakeKfp, serve
from tests.watch.test_figures import reference
from tests.watch.test_report import inverted, predictions

TRAINED, PREDICTED = "7c1f-trained", "9d5e-predicts"
NAME = f"letters-retrain-{PREDICTED}"


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKfp]:
    """A server with the run that trained the champion."""
    for module in (servers, kfp_api):
        monkeypatch.setattr(module, "PAUSE", 0.01)
    package = Package.read(ROOT / MNIST.file)
    trained = {
        "run_id": TRAINED,
        "display_name": "letters 2026-10-01 03:00:00",
        "created_at": "2026-10-01T03:00:00Z",
        "experiment_id": "letters",
        "service_account": "runs",
        "pipeline_spec": {"pipeline_spec": package.spec, "platform_spec": package.platforms},
        "runtime_config": {
            "parameters": {
                "max_steps": 700,
                "span": 30,
                "source": "gs://team/in/{date}",
                "checkpoints": "/workspace/letters",
                "destination": "gs://elsewhere/registry",
            }
        },
    }
    with serve() as server:
        server.runs.append(trained)
        yield server


Step = Callable[..., str]


@pytest.fixture
def step(
    kfp: FakeKfp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Step:
    """Runs the step in a pod, after an alarm, and returns what it says last."""
    monkeypatch.setenv(IN_CLUSTER, "10.0.0.1")
    monkeypatch.setenv(RUN_ID, PREDICTED)
    monkeypatch.delenv(OUTCOMES, raising=False)

    def run(pause: int = 7, sources: str = "gs://team/new", **diagnosis: Any) -> str:
        alarm(tmp_path, **diagnosis)
        retrain.python_func(
            predictions=SimpleNamespace(path=str(tmp_path)),
            drift=SimpleNamespace(path=str(tmp_path)),
            retrain=sources,
            retrain_pause=pause,
            kfp_api=kfp.url,
        )
        return capsys.readouterr().out.splitlines()[-1]

    return run


def alarm(directory: Path, run: str = TRAINED, **diagnosis: Any) -> None:
    """Writes what predict and watch leave where there is an alarm."""
    stands = reference().model_copy(update={"run": run, "options": {"max_steps": 700, "span": 30}})
    drift = compare(Watch(), predictions(inverted(), stands), stands)
    said = Diagnosis(
        **{"cause": "", "sentence": "odd", "trainable": True, "advice": [], **diagnosis}
    )
    drift.model_copy(update={"diagnosis": said}).write(directory)
    stands.write(directory)


def started(kfp: FakeKfp) -> list[dict[str, Any]]:
    """Returns the trainings that were started, but for those that were ended again."""
    return [
        run
        for run in kfp.runs
        if "-retrain-" in run["display_name"] and run.get("state") != "CANCELING"
    ]


def test_it_is_the_champions_training_again_on_these_sources(kfp: FakeKfp, step: Step) -> None:
    said = step()
    (run,), trained = started(kfp), kfp.runs[0]
    assert run["display_name"] == NAME
    assert said.endswith(f"; training {NAME} started") and said.startswith("Alarm: ")
    for name in ("pipeline_spec", "experiment_id", "service_account"):
        assert run[name] == trained[name]
    assert run["runtime_config"]["parameters"] == {
        "max_steps": 700,
        "span": 0,
        "source": "gs://team/new",
        "checkpoints": "",
        "destination": "gs://team/registry",
        "model_name": "letters",
    }


def test_sources_of_days_keep_the_span(kfp: FakeKfp, step: Step) -> None:
    step(sources="gs://team/mnist,gs://team/in/{date}")
    (run,) = started(kfp)
    assert run["runtime_config"]["parameters"]["span"] == 30


def test_a_retried_step_starts_no_second(kfp: FakeKfp, step: Step) -> None:
    step()
    for state in ("RUNNING", "SUCCEEDED", "FAILED"):
        started(kfp)[0]["state"] = state
        assert f"training {NAME} was started before" in step(pause=0)
    assert len(started(kfp)) == 1


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_answer_starts_no_second(kfp: FakeKfp, step: Step, lost: int) -> None:
    kfp.lost_answers = lost
    assert f"training {NAME} started" in step()
    assert len(started(kfp)) == 1


def test_a_lost_request_is_made_again(kfp: FakeKfp, step: Step) -> None:
    kfp.lost_requests = 2
    assert f"training {NAME} started" in step()
    assert len(started(kfp)) == 1


def test_of_two_that_came_to_be_the_first_stays(
    kfp: FakeKfp, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an attempt that was taken for dead reaches the server after all."""
    create = kfp._create_run

    def twice(body: Any) -> dict:
        create(body)
        return create(body)

    monkeypatch.setattr(kfp, "_create_run", twice)
    step()
    (run,) = started(kfp)
    assert run["run_id"] == min(r["run_id"] for r in kfp.runs if r["display_name"] == NAME)


def test_the_role_allows_what_the_step_does(
    kfp: FakeKfp, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer, create = set(), kfp.answer, kfp._create_run

    def recorded(method: str, path: str, query: dict[str, str], body: Any) -> Any:
        verb = path.partition(":")[2] or {"POST": "create"}.get(method, "list")
        asked.add("get" if method == "GET" and path.endswith(TRAINED) else verb)
        return answer(method, path, query, body)

    monkeypatch.setattr(kfp, "answer", recorded)
    monkeypatch.setattr(kfp, "_create_run", lambda body: (create(body), create(body))[0])
    step()
    manifests = yaml.safe_load_all((ROOT / "deploy" / "rbac.yaml").read_text())
    role, binding = (each for each in manifests if each["metadata"]["name"] == "mnist-retrain")
    (rule,) = role["rules"]
    assert (rule["resources"], set(rule["verbs"])) == (["runs"], asked)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_within_the_pause_of_another_none_is_started(kfp: FakeKfp, step: Step) -> None:
    step()
    earlier = started(kfp)[0]
    earlier["display_name"] = "letters-retrain-another"
    earlier["created_at"] = (datetime.now(UTC) - timedelta(days=6)).isoformat()
    said = step()
    assert "no training started: letters-retrain-another began 20" in said
    assert "the pause is 7 days; what to do: " in said
    assert len(started(kfp)) == 1
    step(pause=5)
    assert len(started(kfp)) == 2


def test_what_training_cannot_mend_starts_none(kfp: FakeKfp, step: Step) -> None:
    said = step(cause="inverted", trainable=False)
    assert "no training started: inverted is nothing that training mends" in said
    assert not started(kfp)


@pytest.mark.parametrize(
    ("run", "reason"),
    [("", "the run that trained the champion is not"), ("gone", "the run gone is not")],
)
def test_a_training_that_is_not_there_is_not_repeated(
    kfp: FakeKfp, step: Step, run: str, reason: str
) -> None:
    assert f"no training started: {reason} there to be repeated" in step(run=run)
    assert not started(kfp)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [((403, "no"), "it answered 403; deploy/rbac.yaml"), ((503, "away"), "it answered 503")],
)
def test_a_server_that_refuses_is_said_and_the_alarm_stays(
    kfp: FakeKfp, step: Step, refused: tuple[int, str], reason: str
) -> None:
    kfp.refuse = refused
    said = step()
    assert said.startswith("Alarm: ") and f"no training started: {kfp.url}: {reason}" in said


def test_a_pods_token_is_sent(
    kfp: FakeKfp, step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("of-the-pod\n")
    monkeypatch.setenv(kfp_api.TOKEN_PATH, str(tmp_path / "token"))
    kfp.token = "of-the-pod"
    assert f"training {NAME} started" in step()


def test_here_the_runner_is_left_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: Outcomes
) -> None:
    from components.retrain.start import start

    alarm(tmp_path)
    monkeypatch.setenv(RUN_ID, "predict-1")
    start(Retrain(retrain="data/new"), tmp_path, tmp_path)
    found = outcomes("retrain")
    assert found and (found.result, found.training) == ("alarm", "letters-retrain-1")
    monkeypatch.setenv(RETRAINED, "letters-retrain-0 began yesterday")
    start(Retrain(retrain="data/new"), tmp_path, tmp_path)
    found = outcomes("retrain")
    assert found and not found.training
    assert "retrain-0 began yesterday; the pause is 7 days" in found.message


def test_by_hand_nothing_is_started(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarm(tmp_path)
    for name in (RUN_ID, OUTCOMES, IN_CLUSTER):
        monkeypatch.delenv(name, raising=False)
    given = ("--predictions", tmp_path, "--drift", tmp_path, "--retrain", "data/new")
    said = command("components.retrain", *given).stdout.splitlines()[-1]
    assert "no training started: this is not a step of a run" in said
