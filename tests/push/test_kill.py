"""A push killed at any moment leaves the old champion or the new one, whole, and loses nothing.

``KILLS`` moments on each storage; ``make kill-push`` takes thirty.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from onnxruntime import InferenceSession

from components.registry.registry import Registry
from tests.conftest import ROOT, Command
from tests.registry.conftest import MakeRelease
from tests.registry.publisher import write_release

KILLS = int(os.environ.get("KILLS", "4"))


def start(*arguments: object, until: str) -> subprocess.Popen[str]:
    """Starts a module and returns once it has printed a line that starts so."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(until):
            return process
    raise AssertionError(f"exit code {process.wait()} before {until!r}")


def finish(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    process.stdout.read()
    assert process.wait() == 0


def assert_sound(registry: Registry) -> int:
    """Checks what holds at any time and returns the champion."""
    assert {version: registry.verify(version) for version in registry.versions()} == {
        version: [] for version in registry.versions()
    }
    champion = registry.champion()
    assert champion is not None
    assert champion.version in registry.versions()
    return champion.version


def test_a_push_killed_at_random_moments(
    registry: Registry, destination: str, make_release: MakeRelease, tmp_path: Path
) -> None:
    first = make_release("first", files=20, size=100_000)
    process = start(
        "tests.registry.publisher", destination, write_release(first, tmp_path / "r"), until="ready"
    )
    began = time.perf_counter()
    finish(process)
    takes = time.perf_counter() - began
    moments = random.Random(0)
    found_partial = 0
    for number in range(KILLS):
        before = assert_sound(registry)
        release = make_release(f"run-{number}", files=20, size=100_000)
        prepared = write_release(release, tmp_path / "r")
        process = start("tests.registry.publisher", destination, prepared, until="ready")
        time.sleep(takes * moments.random())  # the moment itself is what is tried
        process.kill()
        process.wait()

        published = [v for v in registry.versions() if v > before]
        assert assert_sound(registry) in (before, *published)
        assert len(published) <= 1
        found_partial += bool(registry.storage.leftovers())

        finish(start("tests.registry.publisher", destination, prepared, until="ready"))
        assert len([v for v in registry.versions() if v > before]) == 1
        assert assert_sound(registry) == registry.versions()[-1] > before
    registry.remove(*registry.removable(keep=1_000, grace=0))
    assert registry.storage.leftovers() == {}
    assert len(registry.versions()) == 1 + KILLS
    print(f"{KILLS} kills within {takes:.2f} s, {found_partial} left something to clear up")


@pytest.mark.parametrize("destination", ["bucket"], indirect=True)
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
