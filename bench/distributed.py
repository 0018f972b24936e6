"""What several workers gain, and where they lose it: ``python -m bench.distributed``.

One, two and four processes on this machine train as in production, each held to one core, two to a
core where there are fewer; Linux only. What is not spent on a worker's own part of a batch goes
into reducing gradients, waiting for the others and leaving the compiled loop for it: its share of
the time is told from what that part takes a process that trains alone.
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKERS = (1, 2, 4)
BATCHES = {100: 200, 1_000: 100, 10_000: 20}  # steps to measure, by examples of a global batch
BLOCK = 10  # steps of a compiled call


def step_seconds(examples: Path, batch_size: int) -> float:
    """Trains in this process, as the worker that TF_CONFIG makes it.

    Returns:
        Median seconds of a step, in blocks of ten, the first of which compiles and does not count.
    """
    from bench.accuracy import PLAIN
    from components.config import Train
    from components.shared.manifests import Dataset
    from components.shared.shards import Shards
    from components.train.batches import Share, open_batches
    from components.train.distributed.cluster import Cluster
    from components.train.distributed.devices import open_strategy
    from components.train.loop import compile_steps
    from components.train.model import State
    from components.train.networks.network import open_network

    cluster, dataset = Cluster.from_environment(), Dataset.read(examples)
    steps = BLOCK + BATCHES.get(batch_size, min(BATCHES.values()))
    config = Train(**{**PLAIN, "max_steps": steps, "batch_size": batch_size, "log_every": BLOCK})
    strategy = open_strategy(cluster, config.worker_timeout)
    with strategy.scope():
        network = open_network(config, dataset.image_shape, len(dataset.class_names))
        state = State.initial(config, network)
    train = compile_steps(config, dataset.image_shape, state, strategy)
    seconds = []
    split = Shards.of(dataset, examples, "train")
    share = Share.of(split, batch_size, cluster.index, cluster.size)
    for block in open_batches(config, share).blocks(0):
        start = time.perf_counter()
        float(train(block)["loss"])
        seconds.append((time.perf_counter() - start) / BLOCK)
    return statistics.median(seconds[1:])


def free_addresses(number: int) -> list[str]:
    """Returns loopback addresses that nothing listens on."""
    with contextlib.ExitStack() as sockets:
        bound = [
            sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)
        ]
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in bound]


def measure(examples: Path, workers: int, batch_size: int) -> float:
    """Returns the median seconds of a step of so many workers, as the first of them has it."""
    addresses = free_addresses(workers)
    cores = sorted(os.sched_getaffinity(0))
    processes = []
    for index in range(workers):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        core = cores[index % len(cores)]
        processes.append(
            subprocess.Popen(
                [
                    *("taskset", "-c", str(core), sys.executable, "-m", "bench.distributed"),
                    *(str(examples), str(batch_size)),
                ],
                env={**os.environ, **({"TF_CONFIG": json.dumps(task)} if workers > 1 else {})},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("error: a worker failed, see above")
    return float(outputs[0].splitlines()[-1])


def main() -> None:
    """Measures every number of workers with every batch, and prints the table."""
    from components.config import Ingest
    from components.ingest.ingest import ingest

    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores")
    print(f"{'batch':>7}{'workers':>9}{'steps/s':>10}{'to one':>8}{'not computing':>15}")
    with tempfile.TemporaryDirectory() as directory:
        examples = Path(directory) / "examples"
        ingest(Ingest(source="fake://60000", shard_size=4_096), examples)
        for batch_size in BATCHES:
            alone = measure(examples, 1, batch_size)
            for workers in WORKERS:
                seconds = measure(examples, workers, batch_size) if workers > 1 else alone
                own = measure(examples, 1, batch_size // workers) if workers > 1 else alone
                own *= max(1, workers / cores)
                print(
                    f"{batch_size:>7,}{workers:>9}{1 / seconds:>10,.1f}{alone / seconds:>8.2f}"
                    f"{max(0.0, 1 - own / seconds):>14.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(step_seconds(Path(sys.argv[1]), int(sys.argv[2])))
    else:
        main()
