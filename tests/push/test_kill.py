"""The step killed in a push: its next attempt publishes the same version, whole.

tests/registry/conformance/test_kill.py kills the push itself at any moment.
"""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from onnxruntime import InferenceSession

from components.registry.registry import Registry
from tests.conftest import Command
from tests.registry.conftest import assert_sound
from tests.registry.publisher import start


@pytest.mark.parametrize("destination", ["gs"], indirect=True)
def test_the_step_itself_killed_and_retried(
    registry: Registry,
    destination: str,
    model: Path,
    evaluation: Path,
    command: Command,
    tmp_path: Path,
) -> None:
    step = ("components.push", "--model", model, "--evaluation", evaluation, "--export", "onnx")
    options = (*step, "--destination", destination, "--run-id", "run-1")
    process = start(*options, until="Validated in a fresh process")
    process.kill()
    process.wait()
    assert registry.versions() in ([], [1])
    command(*options)
    assert registry.versions() == [1]
    assert assert_sound(registry) == 1
    assert registry.manifest(1).run_id == "run-1"

    directory = registry.fetch(1, tmp_path)
    assert set(tf.saved_model.load(str(directory)).signatures) == {"serving_default", "examples"}
    with np.load(evaluation / "samples.npz") as samples:
        session = InferenceSession(str(directory / "model.onnx"))
        [said] = session.run(["probabilities"], {"images": samples["images"][:7]})
        np.testing.assert_allclose(said, samples["probabilities"][:7], atol=1e-4)
