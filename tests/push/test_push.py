"""The step through its command line, with a model that train made and evaluate blessed."""

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from kfp import dsl

from components.config import Push, Train
from components.push import component
from components.push import push as push_module
from components.push.push import _files, push
from components.registry.registry import Registry
from components.shared.errors import StepError
from components.shared.manifests import Dataset, Evaluation, Model
from components.shared.outcome import Outcome
from components.shared.predictions import Reference
from components.shared.storage import sha256_of_saved_model
from components.train.networks.network import open_network
from components.train.saved_model import export
from tests.conftest import ROOT, Command, Outcomes
from tests.forked import run_forked
from tests.services import unavailable


@pytest.fixture
def judged(evaluation: Path, tmp_path: Path) -> Path:
    """A copy of the evaluation, to be changed."""
    return Path(shutil.copytree(evaluation, tmp_path / "evaluation"))


def edit(directory: Path, **changes: object) -> None:
    path = directory / Evaluation.FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_blessed_model_becomes_the_champion_once(
    model: Path, evaluation: Path, tmp_path: Path, command: Command, outcomes: Outcomes
) -> None:
    destination = tmp_path / "registry"
    step = ("components.push", "--model", model, "--evaluation", evaluation)
    options = (*step, "--destination", destination, "--export", "litert")
    output = command(*options).stdout
    directory = destination / "digits" / "1"
    assert "Validated in a fresh process: 100 samples on both signatures" in output
    message = f"Published digits version 1 to {directory}"
    assert output.splitlines()[-1] == message
    assert outcomes("push") == Outcome(
        step="push",
        result="published",
        message=message,
        precision_at_1=Evaluation.read(evaluation).splits["test"].precision_at_1,
        version=1,
        address=str(directory),
    )
    assert json.loads((destination / "digits" / "champion.json").read_text())["version"] == 1
    assert tf.saved_model.contains_saved_model(str(directory))
    assert Model.read(directory) == Model.read(model)
    assert Evaluation.read(directory) == Evaluation.read(evaluation)
    assert Reference.read(directory).model_sha256 == Evaluation.read(evaluation).model_sha256
    assert (directory / "model.tflite").stat().st_size > 1_000

    again = command(*options, "--run-id", "another run").stdout
    assert again.splitlines()[-1] == f"Version 1 of digits holds this model already, in {directory}"
    assert "Validated" not in again and "Published" not in again
    registry = Registry.open(str(destination), "digits")
    assert registry.versions() == [1]
    assert registry.verify(1) == []
    assert registry.manifest(1).validation.largest_difference < 1e-4


def test_kfp_gets_the_versions_figures_and_where_it_lies(
    model: Path, evaluation: Path, tmp_path: Path
) -> None:
    published, metrics = dsl.Model(), dsl.Metrics()
    address = component.push.python_func(
        model=dsl.Model(uri=str(model)),
        evaluation=dsl.Artifact(uri=str(evaluation)),
        published=published,
        metrics=metrics,
        run_id="run",
        **dataclasses.asdict(Push(destination=str(tmp_path))),
    )
    assert address == published.metadata.pop("address") == str(tmp_path / "digits" / "1")
    assert published.metadata == metrics.metadata
    names = {"version", "model_mib", "latency_ms_of_1", "latency_ms_of_100"}
    assert metrics.metadata.keys() == names
    assert metrics.metadata["version"] == 1 and min(metrics.metadata.values()) > 0


PARSE = """
import json, sys
sys.path.append(sys.argv[1])
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

model = tf.saved_model.load(sys.argv[2])
for record in tf.data.TFRecordDataset(sys.argv[2] + "/assets.extra/tf_serving_warmup_requests"):
    request = PredictionLog.FromString(record.numpy()).predict_log.request
    signature = request.model_spec.signature_name
    inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
    answer = model.signatures[signature](**inputs)["probabilities"]
    print(json.dumps([request.model_spec.name, signature, answer.shape.as_list()]))
"""


def test_a_version_answers_the_requests_that_tensorflow_serving_warms_up_with(
    model: Path, evaluation: Path, tmp_path: Path
) -> None:
    messages = ROOT / "build" / "serving"
    if not messages.exists():
        unavailable("TensorFlow Serving's messages", "serving-api")
    version = push(Push(destination=str(tmp_path), model_name="tens"), model, evaluation)
    parsed = run_forked("-c", PARSE, messages, version)
    assert parsed.returncode == 0, parsed.stderr
    assert [json.loads(line) for line in parsed.stdout.splitlines()] == [
        ["tens", signature, [batch, 10]]
        for batch in (1, 100)
        for signature in ("serving_default", "examples")
    ]
    assert Registry.open(str(tmp_path), "tens").verify(1) == []


EXPORT = """
import sys
from pathlib import Path
from components.train.networks.mlp import variables
from components.train.saved_model import export
export(variables([28 * 28, 8, 10], 0), (28, 28), Path(sys.argv[1]))
"""


def test_two_exports_of_equal_weights_are_one_model(tmp_path: Path) -> None:
    """TensorFlow's fingerprint.pb differs from one process to the next."""
    one, other = tmp_path / "one", tmp_path / "other"
    for directory in (one, other):
        assert run_forked("-c", EXPORT, directory).returncode == 0
    fingerprints = {(directory / "fingerprint.pb").read_bytes() for directory in (one, other)}
    assert len(fingerprints) == 2
    assert sha256_of_saved_model(one) == sha256_of_saved_model(other)
    for changed in ("saved_model.pb", "variables/variables.data-00000-of-00001"):
        (other / changed).write_bytes((one / changed).read_bytes() + b"x")
        assert sha256_of_saved_model(one) != sha256_of_saved_model(other)
        shutil.copy(one / changed, other / changed)


def test_a_model_trained_again_is_not_published_again(
    model: Path, evaluation: Path, tmp_path: Path
) -> None:
    again = Path(shutil.copytree(model, tmp_path / "again"))
    (again / "saved_model" / "fingerprint.pb").write_bytes(b"of another run")
    config = Push(destination=str(tmp_path / "registry"))
    first = push_module.push(config, model, evaluation, "run 1")
    assert push_module.push(config, again, evaluation, "run 2") == first
    assert Registry.open(config.destination, "digits").versions() == [1]


def test_a_version_that_is_held_becomes_the_champion_by_the_command_that_is_named(
    model: Path, evaluation: Path, tmp_path: Path, command: Command, outcomes: Outcomes
) -> None:
    destination = tmp_path / "my registry"
    registry = Registry.open(str(destination), "digits")
    options = ("components.push", "--model", model, "--evaluation", evaluation, "--hold")
    for start in ("Published digits version 1 to", "Version 1 of digits holds this model already"):
        line = command(*options, "--destination", destination).stdout.splitlines()[-1]
        assert line.startswith(start) and "; no champion yet; to promote it: " in line
        found = outcomes("push")
        assert found is not None and (found.message, found.version) == (line, 1)
        assert registry.champion() is None
    python, m, *arguments = shlex.split(line.partition("to promote it: ")[2])
    assert (python, m) == ("python", "-m")
    command(*arguments)
    assert registry.in_use() == 1


@pytest.mark.parametrize(
    ("change", "champion"),
    [
        ({"champion": None}, 1),
        ({"champion": {"model_sha256": "0" * 64}}, 1),
        ({"champion": {"model_sha256": "", "name": "version 2"}}, 1),
        ({"champion": {}}, 2),
        ({"champion": {"model_sha256": "", "name": "version 1"}}, 2),
        ({"champion": None, "no_champion": True}, 2),
    ],
    ids=["none", "another", "another of 0.2.0", "it", "it, of 0.2.0", "without, as was asked"],
)
def test_a_champion_is_replaced_by_what_was_judged_beside_it(
    change: dict[str, Any],
    champion: int,
    examples: Path,
    model: Path,
    judged: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    destination = str(tmp_path / "registry")
    registry = Registry.open(destination, "digits")
    push_module.push(Push(destination=destination), model, judged)
    other = Path(shutil.copytree(model, tmp_path / "other"))
    weights = [tf.Variable(one) for one in tf.saved_model.load(str(model / "saved_model")).weights]
    weights[-1].assign_add([1e-5] * 10)  # another model, that answers as the first does
    shutil.rmtree(other / "saved_model")
    greys = Dataset.read(examples).splits["train"]
    statistics = greys.pixel_mean, greys.pixel_stddev
    network = open_network(Train(), (28, 28), 10, statistics)
    export(weights, (28, 28), other / "saved_model", network.logits)
    sha256 = sha256_of_saved_model(other / "saved_model")
    evaluation = json.loads((judged / Evaluation.FILE).read_text())
    beside = change["champion"] is not None and {
        "name": "version 1",
        "model_sha256": registry.manifest(1).model_sha256,
        "test": evaluation["splits"]["test"],
        **dict.fromkeys(("gained", "lost", "p_value"), 0),
        **change["champion"],
    }
    config = {**evaluation["config"], "no_champion": "no_champion" in change}
    edit(judged, champion=beside or None, config=config, model_sha256=sha256)

    push_module.push(Push(destination=destination), other, judged)

    assert registry.versions() == [1, 2]
    assert registry.in_use() == champion
    last = capsys.readouterr().out.splitlines()[-1]
    assert ("version 1 stays the champion, which evaluate did not compare it with" in last) is (
        champion == 1
    )


def test_a_published_model_gets_no_other_format_but_beside_it(
    model: Path, evaluation: Path, tmp_path: Path, command: Command
) -> None:
    config = Push(destination=str(tmp_path / "registry"))
    push_module.push(config, model, evaluation)

    with pytest.raises(StepError, match=r"version 1 of digits .* without model.tflite") as refused:
        push_module.push(dataclasses.replace(config, export="litert"), model, evaluation)

    _, _, module, *places, name = str(refused.value).rpartition(": ")[2].split()
    command(module, *places, tmp_path / name)
    assert (tmp_path / name).stat().st_size > 1_000


def test_a_model_that_is_not_blessed_is_refused(
    model: Path, judged: Path, tmp_path: Path, command: Command
) -> None:
    edit(judged, verdicts=[{"rule": "min_precision", "passed": False, "reason": "0.5 is low"}])
    options = ("--model", model, "--evaluation", judged, "--destination", tmp_path / "registry")
    output = command("components.push", *options, expect=1).stderr
    assert "not blessed (0.5 is low)" in output
    assert not (tmp_path / "registry").exists()


def test_another_model_than_the_evaluated_one_is_refused(
    model: Path, judged: Path, tmp_path: Path, command: Command
) -> None:
    edit(judged, model_sha256="0" * 64)
    options = ("--model", model, "--evaluation", judged, "--destination", tmp_path / "registry")
    output = command("components.push", *options, expect=1).stderr
    assert "evaluate this model first" in output
    assert not (tmp_path / "registry").exists()


def test_answers_that_differ_from_evaluations_stop_the_push(
    model: Path, judged: Path, tmp_path: Path, command: Command
) -> None:
    with np.load(judged / "samples.npz") as samples:
        images, probabilities = samples["images"], samples["probabilities"]
    probabilities[3] = np.roll(probabilities[3], 1)
    np.savez(judged / "samples.npz", images=images, probabilities=probabilities)
    options = ("--model", model, "--evaluation", judged, "--destination", tmp_path / "registry")
    output = command("components.push", *options, expect=1).stderr
    assert "answers differ by up to" in output
    assert not (tmp_path / "registry").exists()


def test_a_link_in_the_model_is_refused(
    model: Path, judged: Path, tmp_path: Path, command: Command
) -> None:
    linked = Path(shutil.copytree(model, tmp_path / "model"))
    (linked / "saved_model" / "passwd").symlink_to("/etc/passwd")
    options = ("--model", linked, "--evaluation", judged, "--destination", tmp_path / "registry")
    assert "passwd: is a link" in command("components.push", *options, expect=1).stderr
    assert not (tmp_path / "registry").exists()


def test_what_is_judged_is_what_is_published(model: Path, judged: Path, tmp_path: Path) -> None:
    """Variables behind a link could be others by the time they are copied."""
    linked = Path(shutil.copytree(model, tmp_path / "model"))
    moved = (linked / "saved_model" / "variables").rename(tmp_path / "variables")
    (linked / "saved_model" / "variables").symlink_to(moved)
    for use in (
        lambda: sha256_of_saved_model(linked / "saved_model"),
        lambda: _files(linked, judged),
    ):
        with pytest.raises(StepError, match="variables: is a link"):
            use()


def test_an_evaluation_without_samples_says_what_to_do(
    model: Path, judged: Path, tmp_path: Path, command: Command
) -> None:
    (judged / "samples.npz").unlink()
    options = ("--model", model, "--evaluation", judged, "--destination", tmp_path / "registry")
    output = command("components.push", *options, expect=1).stderr
    assert "samples.npz: not found; evaluate the model" in output


def test_push_itself_does_without_tensorflow() -> None:
    modules = "components.push.push, components.registry.__main__, components.registry.gcs_bucket"
    script = f"import sys, {modules}; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", ["../digits", "/digits", "a/b", ".."])
def test_a_model_name_with_a_path_in_it_is_a_wrong_option(name: str, command: Command) -> None:
    options = ("--model", "m", "--evaluation", "e", "--model-name", name)
    assert "--model-name" in command("components.push", *options, expect=2).stderr


def test_an_export_whose_packages_are_not_installed_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(push_module.CONVERTERS, "onnx", ("tf2onnx", "no_such_package"))
    config = Push(destination=str(tmp_path / "registry"), export="onnx")
    with pytest.raises(StepError, match="no_such_package not installed; run 'make development'"):
        push_module.push(config, tmp_path / "model", tmp_path / "evaluation")
    assert list(tmp_path.iterdir()) == []
