"""The compiled train step, run by its own container's command as pods run it, and killed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.config import Train
from components.shared.manifests import Model
from tests.conftest import ROOT

SETTINGS = {"max_steps": 300, "checkpoint_every": 100, "log_every": 25, "xla": False}


class Pod:
    """An attempt of the step: outputs of its own, the volume shared with the other attempts."""

    def __init__(self, directory: Path, examples: Path, volume: Path, run_id: str) -> None:
        self.model = directory / "model"
        outputs = {name: self._artifact(directory / name) for name in ("model", "logs", "metrics")}
        parameters: dict[str, Any] = {
            name: field.default
            for name, field in Train.__pydantic_fields__.items()  # type: ignore[attr-defined]
        }
        executor_input = {
            "inputs": {
                "parameterValues": {**parameters, **SETTINGS, "checkpoints": ""},
                "artifacts": {"examples": self._artifact(examples)},
            },
            "outputs": {"artifacts": outputs, "outputFile": str(directory / "output.json")},
        }
        spec = next(yaml.safe_load_all((ROOT / "pipeline.yaml").read_text()))
        container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
        arguments = [
            json.dumps(executor_input) if argument == "{{$}}" else argument
            for argument in container["args"]
        ]
        self._output = directory / "output.json"
        self.process = subprocess.Popen(
            [*container["command"], *arguments],
            cwd=directory.parent,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "RUN_VOLUME": str(volume),
                "RUN_ID": run_id,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    @staticmethod
    def _artifact(path: Path) -> dict:
        title = "system.Metrics" if path.name == "metrics" else "system.Artifact"
        kind = {"schemaTitle": title, "schemaVersion": "0.0.1"}
        return {"artifacts": [{"name": path.name, "type": kind, "uri": str(path), "metadata": {}}]}

    def finish(self) -> str:
        """Lets it end well and returns what it printed."""
        printed, _ = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, printed
        return printed

    def kill_after(self, text: str) -> None:
        """Kills it, and all it started, as soon as it has printed a text."""
        assert self.process.stdout is not None
        with self.process:
            assert any(text in line for line in self.process.stdout), "it ended before"
            os.killpg(self.process.pid, signal.SIGKILL)

    @property
    def metrics(self) -> dict[str, float]:
        """What KFP's page shows of it."""
        artifacts = json.loads(self._output.read_text())["artifacts"]
        return artifacts["metrics"]["artifacts"][0]["metadata"]

    @property
    def weights(self) -> dict[str, str]:
        """The sha256 of the model's weights, by file."""
        files = (self.model / "saved_model" / "variables").iterdir()
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """What outlives pods."""
    return tmp_path / "volume"


def test_a_retried_pod_goes_on_and_ends_with_the_same_weights(
    tmp_path: Path, examples: Path, volume: Path
) -> None:
    whole = Pod(tmp_path / "whole", examples, volume, "run-1")
    whole.finish()

    killed = Pod(tmp_path / "killed", examples, volume, "run-2")
    killed.kill_after("Step 125: ")
    assert not killed.model.exists()
    retried = Pod(tmp_path / "retried", examples, volume, "run-2")
    printed = retried.finish()

    assert f"Going on from {volume}/run-2/train" in printed
    assert "Step 25: " not in printed
    assert retried.weights == whole.weights

    manifest = Model.read(retried.model)
    assert retried.metrics == {
        "validation_loss": manifest.scores["validation"].loss,
        "validation_precision_at_1": manifest.scores["validation"].precision,
        "seconds": manifest.seconds,
        "steps_per_second": manifest.steps_per_second,
    }
    assert min(retried.metrics.values()) > 0
