"""The pipeline of what came in, on a cluster: what it is compiled to, submitted and scheduled."""

from pathlib import Path

import pytest

from pipeline.local.processes import Command, Processes
from pipeline.pipelines import PREDICT
from tests.conftest import ROOT
from tests.pipeline.conftest import Cli
from tests.pipeline.remote.fake_kfp import FakeKfp
from tests.pipeline.test_cluster import Compiled

STEPS = ("predict", "watch", "retrain", "summary")
NIGHTLY = "0 0 4 * * *"
REGISTRY = ("-p", "destination=gs://bucket/registry")


@pytest.fixture
def pipeline(cli: Cli, tmp_path: Path) -> Compiled:
    """Compiled with what a cluster can be asked for, images by digest among it."""
    digest = "@sha256:" + "0" * 64
    images = tmp_path / "images.json"
    images.write_text(f'{{"predict": "registry/predict{digest}", "push": "registry/push{digest}"}}')
    options = ("--images", images, "--pvc", "shared", "--memory", "3Gi")
    cli("compile", "--pipeline", "predict", "--output", tmp_path / "predict.yaml", *options)
    return Compiled(tmp_path / "predict.yaml")


def test_all_but_the_summary_share_an_image_and_none_is_cached(pipeline: Compiled) -> None:
    images = [pipeline.container(step).image.partition("@")[0] for step in STEPS]
    assert images == [*["registry/predict"] * 3, "registry/push"]
    assert not any(pipeline.task(step).caching_options.enable_cache for step in STEPS)


def test_they_get_what_other_steps_get(pipeline: Compiled) -> None:
    for step in STEPS[:-1]:
        assert pipeline.container(step).resources.resource_memory_limit == "3Gi"
        assert pipeline.task(step).retry_policy.max_retry_count == 2
        pod = pipeline.pod(step)
        assert pod.active_deadline_seconds == 3_600
        assert [mount.mount_path for mount in pod.pvc_mount] == ["/workspace"]
        assert [variable.name for variable in pod.field_path_as_env] == ["RUN_ID"]


def test_watch_waits_for_images_and_the_summary_for_all(pipeline: Compiled) -> None:
    condition = pipeline.spec.components["comp-exit-handler-1"].dag.tasks["condition-2"]
    assert "int(inputs.parameter_values['pipelinechannel--predict-Output']) > 0" in (
        condition.trigger_policy.condition
    )
    assert pipeline.spec.root.dag.tasks["summary"].trigger_policy.strategy == 2  # whatever happened


def test_an_alarm_trains_only_where_that_is_asked_for(pipeline: Compiled) -> None:
    components = pipeline.spec.components
    asked = components["comp-condition-2"].dag.tasks["condition-3"].trigger_policy.condition
    assert asked == "inputs.parameter_values['pipelinechannel--retrain'] != ''"
    alarm = components["comp-condition-3"].dag.tasks["condition-4"].trigger_policy.condition
    assert alarm == "inputs.parameter_values['pipelinechannel--watch-Output'] == false"
    assert list(components["comp-condition-4"].dag.tasks) == ["retrain"]


def test_it_is_submitted_under_its_own_name(kfp_server: FakeKfp, cli: Cli) -> None:
    cli("submit", "--pipeline", "predict", "--host", kfp_server.url, *REGISTRY, "-p", "version=3")
    (run,) = kfp_server.runs
    parameters = run["runtime_config"]["parameters"]
    assert parameters == {"destination": "gs://bucket/registry", "version": 3}
    assert run["display_name"].startswith("predict 20")
    assert [found["display_name"] for found in kfp_server.experiments] == ["predict"]


def test_each_run_of_its_schedule_reads_up_to_its_own_time(kfp_server: FakeKfp, cli: Cli) -> None:
    arguments = ("schedule", "--pipeline", "predict", "--host", kfp_server.url, *REGISTRY)
    cli(*arguments, "--cron", NIGHTLY)
    (schedule,) = kfp_server.recurring
    assert schedule["display_name"] == "predict-schedule"
    run = kfp_server.start(schedule, "2026-11-25T04:00:00Z")
    assert run["inputs"]["predict"]["until"] == "2026-11-25T04:00:00Z"


@pytest.mark.parametrize("command", [("submit",), ("schedule", "--cron", NIGHTLY)])
@pytest.mark.parametrize("given", [(), ("-p", "destination=registry")])
def test_a_registry_within_a_pod_is_refused(
    kfp_server: FakeKfp, cli: Cli, command: tuple[str, ...], given: tuple[str, ...]
) -> None:
    arguments = (*command, "--pipeline", "predict", "--host", kfp_server.url, *given)
    shown = cli(*arguments, expect=2).stderr
    assert "where no model is published" in shown
    assert "-p destination=gs://bucket/registry" in shown
    assert not kfp_server.runs and not kfp_server.recurring


def test_a_registry_may_lie_on_the_volume(kfp_server: FakeKfp, cli: Cli, tmp_path: Path) -> None:
    which, package = ("--pipeline", "predict"), tmp_path / "predict.yaml"
    cli("compile", *which, "--output", package, "--pvc", "shared", "--pvc-path", "/data")
    arguments = ("submit", *which, "--host", kfp_server.url, "--file", package, "-p")
    cli(*arguments, "destination=/data/registry")
    assert "/data/registry" in cli(*arguments, "destination=/elsewhere", expect=2).stderr


def test_another_pipelines_parameter_is_none_of_its_own(kfp_server: FakeKfp, cli: Cli) -> None:
    arguments = ("submit", "--pipeline", "predict", "--host", kfp_server.url, *REGISTRY)
    shown = cli(*arguments, "-p", "max_steps=20", expect=2).stderr
    assert "no parameter max_steps; 'python -m pipeline predict --help'" in " ".join(shown.split())


def test_a_file_of_the_other_pipeline_is_refused(kfp_server: FakeKfp, cli: Cli) -> None:
    file = ROOT / "predict.yaml"
    shown = cli("submit", "--host", kfp_server.url, "--file", file, expect=2).stderr
    assert "holds the pipeline predict; add --pipeline predict" in shown
    assert not kfp_server.runs


def test_waiting_shows_both_steps(kfp_server: FakeKfp, cli: Cli) -> None:
    kfp_server.states = [
        {"predict": "RUNNING"},
        {"predict": "SUCCEEDED", "watch": "RUNNING"},
        {"predict": "SUCCEEDED", "watch": "SUCCEEDED"},
    ]
    arguments = ("submit", "--pipeline", "predict", "--host", kfp_server.url, *REGISTRY)
    shown = cli(*arguments, "--wait", "--poll", "0.01").stdout.splitlines()
    assert shown[1:-1] == [
        " predict | running",
        " predict | succeeded",
        "   watch | running",
        "   watch | succeeded",
    ]
    assert shown[-1].startswith("Run succeeded: predicted")


def test_help_of_predict_has_its_options_in_groups(cli: Cli) -> None:
    shown = cli("predict", "--help").output
    places = [shown.index(f"{title}:") for title in ("Used first", "Predict", "Watch")]
    assert places == sorted(places)
    assert shown.index("--max-ink-psi") > places[2] > shown.index("--resize") > places[1]
    assert shown.index("--source") < places[1]


ASKS = """
def {name}(expected: str):
    import sys
    missing = [module for module in expected.split() if module not in sys.modules]
    print("missing", *missing)
    print("tensorflow", "tensorflow" in sys.modules)
"""


def test_the_steps_of_a_night_have_their_imports_done_and_watch_without_tensorflow(
    tmp_path: Path,
) -> None:
    shown: dict[str, list[str]] = {}
    with Processes(PREDICT.preimports, PREDICT.forked) as processes:
        for name, modules in PREDICT.preimports.items():
            executor_input = {
                "inputs": {"parameterValues": {"expected": " ".join(modules)}},
                "outputs": {"outputFile": str(tmp_path / name / "output.json")},
            }
            lines: list[str] = []
            command = Command(name, ASKS.format(name=name), executor_input, {})
            assert processes.run(command, lines.extend) == 0, lines
            shown[name] = [line.strip() for line in lines]
    assert "missing" in shown["predict"] and "tensorflow True" in shown["predict"]
    assert "missing" in shown["watch"] and "tensorflow False" in shown["watch"]
