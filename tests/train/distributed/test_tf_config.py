"""TF_CONFIG from a pod's index, driving a real run."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from components.shared.manifests import Model
from components.train.distributed.tf_config import tf_config
from tests.conftest import ROOT


def test_every_pod_names_the_same_workers_and_itself() -> None:
    configs = [json.loads(tf_config("mnist-1", 3, index)) for index in range(3)]
    workers = [f"mnist-1-node-0-{index}.mnist-1:2222" for index in range(3)]
    assert all(config["cluster"] == {"worker": workers} for config in configs)
    tasks = [config["task"] for config in configs]
    assert tasks == [{"type": "worker", "index": index} for index in range(3)]


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_the_job_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 2"):
        tf_config("mnist-1", 3, index)


def test_four_processes_train_together(examples: Path, tmp_path: Path) -> None:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()

    def loopback(config: str) -> str:
        """Puts an address of this machine in place of each pod's."""
        return re.sub(
            r"mnist-1-node-0-(\d)\.mnist-1:2222", lambda m: f"127.0.0.1:{ports[int(m[1])]}", config
        )

    paths = ["--examples", examples, "--model", tmp_path / "model", "--logs", tmp_path / "logs"]
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "components.train", *map(str, paths), "--max-steps=100"],
            cwd=ROOT,
            env={**os.environ, "TF_CONFIG": loopback(tf_config("mnist-1", 4, index))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(4)
    ]
    printed = [worker.communicate(timeout=280)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, printed
    assert Model.read(tmp_path / "model").step == 100
    assert ["Step 100: " in text for text in printed] == [True, False, False, False]
