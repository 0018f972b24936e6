"""The manifests for production: KServe's follows its schema, the other one hangs together."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from components.registry.registry import Registry, Release
from components.registry.state import Validation
from tests.conftest import ROOT, Command
from tests.services import unavailable

DEPLOY = ROOT / "deploy" / "serving"
SCHEMA = ROOT / "build" / "kserve" / "serving.kserve.io_inferenceservices.yaml"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    """KServe's own schema of an InferenceService, unknown fields refused."""
    if not SCHEMA.exists():
        unavailable("KServe's schema", "kserve-schema")
    definition = yaml.load(SCHEMA.read_text(), yaml.CSafeLoader)
    [version] = [v for v in definition["spec"]["versions"] if v["name"] == "v1beta1"]
    return Draft202012Validator(_strict(version["schema"]["openAPIV3Schema"]))


def _strict(schema: Any) -> Any:
    """Closes every object, as kubectl does, and turns Kubernetes' extensions into plain schema."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {name: _strict(part) for name, part in schema.items()}
    properties = schema.get("properties")
    if isinstance(properties, dict) and "type" in schema and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def inference_service() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load((DEPLOY / "kserve.yaml").read_text())
    # The API server's own part, which the schema leaves to it.
    service["metadata"] = {}
    return service


def test_the_inference_service_follows_kserves_schema(validator: Draft202012Validator) -> None:
    assert [error.message for error in validator.iter_errors(inference_service())] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "predictor", "storageURIs"), [{"uri": "gs://b"}]),
        (("spec", "predictor", "minReplicas"), "one"),
        (("spec", "predictor", "model", "modelFormat"), "tensorflow"),
    ],
)
def test_the_schema_would_find_a_mistake(
    validator: Draft202012Validator, path: tuple[str, ...], value: object
) -> None:
    service = inference_service()
    part = service
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    assert list(validator.iter_errors(service))


def test_tensorflow_serving_s_parts_refer_to_each_other() -> None:
    documents = yaml.safe_load_all((DEPLOY / "tensorflow-serving.yaml").read_text())
    parts = {document["kind"]: document for document in documents}
    pod = parts["Deployment"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert parts["Service"]["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    names = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in parts["Service"]["spec"]["ports"]} <= names
    [volume] = pod["spec"]["volumes"]
    assert volume["configMap"]["name"] == parts["ConfigMap"]["metadata"]["name"]
    [mount] = container["volumeMounts"]
    [file] = parts["ConfigMap"]["data"]
    assert f"--model_config_file={mount['mountPath']}/{file}" in container["args"]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """One with a champion."""
    registry = Registry.open(str(tmp_path), "digits")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    registry.promote(
        registry.publish(
            Release(
                run_id="a",
                model_sha256="a",
                precision_at_1=1,
                validation=Validation(samples=0, largest_difference=0, latency_ms={}, size_bytes=0),
                files={"saved_model.pb": tmp_path / "saved_model.pb"},
            )
        )
    )
    return registry


def test_the_config_map_is_what_the_registry_writes(
    registry: Registry, tmp_path: Path, command: Command
) -> None:
    printed = command("components.registry", "serving-config", "--destination", tmp_path).stdout
    documents = yaml.safe_load_all((DEPLOY / "tensorflow-serving.yaml").read_text())
    shipped = next(documents)["data"]["models.config"]
    assert printed.replace(str(tmp_path), "gs://BUCKET/registry") == shipped


BASE = ("--base-path", "gs://BUCKET/registry/digits")


def test_the_inference_service_is_what_the_registry_writes(
    registry: Registry, tmp_path: Path, command: Command
) -> None:
    kserve = ("components.registry", "serving-config", "--format", "kserve")
    printed = command(*kserve, "--destination", tmp_path, *BASE).stdout
    shipped = (DEPLOY / "kserve.yaml").read_text()
    assert printed == shipped[shipped.index("apiVersion") :]
    # KServe sees no directory of this machine.
    refused = command(*kserve, "--destination", tmp_path, expect=1).stderr
    assert "which KServe does not see; give --base-path" in refused


def test_a_promotion_and_a_rollback_change_what_is_applied(
    registry: Registry, tmp_path: Path, command: Command, validator: Draft202012Validator
) -> None:
    """The job that follows the champion, but for kubectl."""
    role, binding, job = yaml.safe_load_all((DEPLOY / "follow-champion.yaml").read_text())
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert binding["subjects"][0]["name"] == pod["serviceAccountName"]
    [champion], [apply] = pod["initContainers"], pod["containers"]
    words, _, file = champion["command"][2].partition(" > ")
    assert file in apply["command"]
    assert champion["volumeMounts"] == apply["volumeMounts"]
    arguments = words.replace("gs://BUCKET/registry", str(tmp_path)).split()[2:]

    def served() -> str:
        service = yaml.safe_load(command(*arguments, *BASE).stdout)
        service["metadata"] = {}
        assert [error.message for error in validator.iter_errors(service)] == []
        [storage] = service["spec"]["predictor"]["storageUris"]
        assert storage["uri"] == f"gs://BUCKET/registry/digits/{storage['mountPath'][-1]}/"
        return str(storage["mountPath"])

    (tmp_path / "saved_model.pb").write_bytes(b"other")
    release = Release(
        run_id="b",
        model_sha256="b",
        precision_at_1=1,
        validation=Validation(samples=0, largest_difference=0, latency_ms={}, size_bytes=0),
        files={"saved_model.pb": tmp_path / "saved_model.pb"},
    )
    registry.promote(registry.publish(release))
    assert served() == "/mnt/models/2"
    registry.rollback()
    assert served() == "/mnt/models/1"


def test_tensorflow_serving_is_not_sent_to_s3(
    registry: Registry, tmp_path: Path, command: Command
) -> None:
    arguments = ("--destination", tmp_path, "--base-path", "s3://BUCKET/registry/digits")
    refused = command("components.registry", "serving-config", *arguments, expect=1).stderr
    assert "TensorFlow Serving reads no s3://; take --format kserve" in refused
