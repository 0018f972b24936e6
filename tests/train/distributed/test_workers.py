"""Several workers on loopback, each a process, end where one does."""

import signal
from pathlib import Path

import numpy as np
import pytest

from components.config import Ingest
from components.ingest.ingest import ingest
from components.shared.manifests import Dataset, Model
from tests.train.conftest import Start, assert_same_weights, finish, free_addresses, read_until

OPTIONS = {"max_steps": 120, "log_every": 20, "checkpoint_every": 60, "batch_size": 100}


def train_together(start: Start, directory: Path, workers: int, **options: object) -> str:
    """Runs all workers to their end; returns what the chief printed."""
    addresses = free_addresses(workers)
    processes = [
        start(directory, workers=addresses, index=index, **{**OPTIONS, **options})
        for index in range(workers)
    ]
    outputs = [finish(process) for process in processes]
    return outputs[0]


def final_loss(output: str) -> float:
    """The mean loss of the last five status lines."""
    lines = [line for line in output.splitlines() if line.startswith("Step ")]
    return float(np.mean([float(line.split("loss = ")[1].split()[0]) for line in lines[-5:]]))


@pytest.mark.parametrize(("workers", "data_path"), [(2, "resident"), (4, "streaming")])
def test_workers_end_with_the_loss_of_one_process_at_the_same_global_batch(
    start: Start, tmp_path: Path, workers: int, data_path: str
) -> None:
    together = train_together(start, tmp_path / "many", workers, data_path=data_path)
    alone = finish(start(tmp_path / "one", data_path=data_path, **OPTIONS))
    # Each worker draws from its own shards, so the batches differ and the losses only agree
    # statistically: within 0.1 nats at a loss of about 0.4.
    assert abs(final_loss(together) - final_loss(alone)) < 0.1
    scores = [Model.read(tmp_path / run / "model").scores["test"] for run in ("many", "one")]
    assert abs(scores[0].precision - scores[1].precision) < 0.03


def test_only_the_chief_writes(start: Start, tmp_path: Path) -> None:
    addresses = free_addresses(2)
    chief = start(tmp_path / "chief", workers=addresses, index=0, **OPTIONS)
    other = start(tmp_path / "other", workers=addresses, index=1, **OPTIONS)
    assert "Step 120: loss = " in finish(chief)
    assert "Step " not in finish(other)
    assert (tmp_path / "chief/model/model.json").exists()
    assert not list((tmp_path / "other").glob("**/*.*"))


def test_lost_worker_ends_the_run_and_a_restart_goes_on(start: Start, tmp_path: Path) -> None:
    options = {**OPTIONS, "max_steps": 300}
    addresses = free_addresses(2)
    chief, other = (start(workers=addresses, index=index, **options) for index in range(2))
    read_until(chief, "Test Data Eval:")
    other.kill()
    assert finish(chief, expect=1).splitlines()[-1].startswith("error: a worker was lost: ")

    again = train_together(start, tmp_path, 2, **options)
    assert f"Going on from {tmp_path / 'logs'}/ckpt-" in again
    train_together(start, tmp_path / "unbroken", 2, **options)
    assert_same_weights(tmp_path / "logs", tmp_path / "unbroken/logs")


def test_worker_that_hangs_ends_the_run(start: Start) -> None:
    options = {**OPTIONS, "max_steps": 100_000, "checkpoint_every": 100_000, "worker_timeout": 20}
    addresses = free_addresses(2)
    chief, other = (start(workers=addresses, index=index, **options) for index in range(2))
    read_until(chief, "Step ")
    other.send_signal(signal.SIGSTOP)
    assert finish(chief, expect=1).splitlines()[-1].startswith("error: a worker was lost: ")


def test_worker_that_never_appears_ends_the_run_with_its_name(start: Start) -> None:
    addresses = free_addresses(2)
    output = finish(start(workers=addresses, index=0, worker_timeout=3, **OPTIONS), expect=1)
    assert output.splitlines()[-1] == (
        f"error: worker {addresses[1]} did not appear within 3 s (--worker-timeout)"
    )


def test_there_may_be_more_workers_than_shards(
    start: Start, tmp_path: Path, small_source: Path
) -> None:
    """Records are dealt, not shards, so that every worker has its part."""
    examples = tmp_path / "examples"
    ingest(Ingest(source=str(small_source), validation_size=500, shard_size=2_000), examples)
    assert [s.records for s in Dataset.read(examples).splits["train"].shards] == [2_000, 2_000]
    options = {"examples": examples, "batch_size": 300, "max_steps": 40, "log_every": 20}
    assert "Step 40: loss = " in train_together(start, tmp_path, 3, **options)
