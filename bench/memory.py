"""How much memory training and evaluation take, and whether they take more as the data grows.

Every figure is the peak of a process of its own. Run it with ``make bench-memory``; Linux only.
``python -m bench.memory --steps`` prints what each step takes on MNIST, its processes together.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.shared.command_line import flag

ROOT = Path(__file__).resolve().parent.parent
SIZES = (70_000, 700_000, 7_000_000)  # images, made up
LIMIT = 1_024  # MiB above TensorFlow's import, of training in memory
GROWTH = 1.2  # of a peak, from the least data to the most


def imports() -> None:
    """Imports TensorFlow, as the steps do."""
    import tensorflow  # noqa: F401


def train(examples: str, **options: Any) -> None:
    """Trains, and leaves nothing behind."""
    from components.config import Train
    from components.train.train import train_and_evaluate

    with tempfile.TemporaryDirectory() as scratch:
        output, logs = Path(scratch) / "model", Path(scratch) / "logs"
        train_and_evaluate(Train(**options), Path(examples), output, logs)


def evaluate(examples: str, model: str) -> None:
    """Evaluates a model, and leaves nothing behind."""
    from components.config import Evaluate
    from components.evaluate import evaluate as step

    with tempfile.TemporaryDirectory() as scratch:
        step.evaluate(Evaluate(), Path(examples), Path(model), Path(scratch) / "evaluation")


RUNS: dict[str, Callable[..., None]] = {run.__name__: run for run in (imports, train, evaluate)}


def high_water(process: int | str = "self") -> int:
    """Returns the most memory that a process has held, in MiB.

    Not getrusage, whose maximum begins with what the parent held when it forked.
    """
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def peak(run: Callable[..., None], **arguments: Any) -> int:
    """Returns the peak memory in MiB of one of the runs above, in a process of its own."""
    command = [sys.executable, "-m", "bench.memory", run.__name__, json.dumps(arguments)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(process.stdout.splitlines()[-1])


def _one(name: str, arguments: str) -> None:
    RUNS[name](**json.loads(arguments))
    print(high_water())


def _step(name: str, **options: object) -> None:
    command = [sys.executable, "-m", f"components.{name}"]
    for option, value in options.items():
        command += [flag(option), str(value)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def _measure(directory: Path, imported: int) -> dict[str, list[int]]:
    """Prints a line a run, and returns the peaks of each way, from the least data to the most."""
    peaks: dict[str, list[int]] = {}
    model = directory / "model"
    for size in SIZES:
        examples = directory / str(size)
        _step("ingest", source=f"fake://{size}", output=examples)
        ways: dict[str, tuple[Callable[..., None], dict[str, str]]] = {
            "train, streaming": (train, {"data_path": "streaming"}),
            "evaluate": (evaluate, {"model": str(model)}),
        }
        if size == SIZES[0]:
            _step("train", examples=examples, model=model, logs=directory / "logs", max_steps=500)
            ways = {"train, resident": (train, {"data_path": "resident"}), **ways}
        for way, (run, options) in ways.items():
            taken = peak(run, examples=str(examples), **options)
            peaks.setdefault(way, []).append(taken)
            print(f"{way:<18}{size:>12,}{taken:>10,}{taken - imported:>18,}", flush=True)
    return peaks


def _resident(process: int) -> int:
    """Returns what a process and those below it hold now, in MiB; pages they share count once."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # gone meanwhile
            continue
        children[parent].append(int(stat.parent.name))
    family, total = [process], 0
    for one in family:
        family += children[one]
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(rollup.partition("Pss:")[2].split()[0])
    return total >> 10


def _peak_of(*arguments: object) -> int:
    """Runs ``python -m <arguments>`` and returns the most that its processes held together.

    What they hold together is looked at again and again; what the largest of them held at its most
    is known from Linux, whatever was missed between two looks.
    """
    command = [sys.executable, "-m", *map(str, arguments)]
    most = ended = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not ended:
            most = max(most, _resident(process.pid))
            time.sleep(0.02)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments[0]} ended with {process.returncode}")
    return max(most, usage.ru_maxrss >> 10)


def steps() -> None:
    """Prints what every step takes with its default settings, and a whole run."""
    source = ROOT / "data" / "mnist"
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        examples, model, evaluation = at / "examples", at / "model", at / "evaluation"
        registry, predictions = at / "registry", at / "predictions"
        commands: dict[str, tuple[object, ...]] = {
            "ingest": ("--source", source, "--output", examples),
            "train": ("--examples", examples, "--model", model, "--logs", at / "logs"),
            "evaluate": ("--examples", examples, "--model", model, "--output", evaluation),
            "push": ("--model", model, "--evaluation", evaluation, "--destination", registry),
            "predict": ("--source", source, "--destination", registry, "--output", predictions),
            "watch": ("--predictions", predictions, "--output", at / "watch"),
        }
        print("| step | peak, MiB |\n| --- | ---: |")
        for step, arguments in commands.items():
            print(f"| {step} | {_peak_of(f'components.{step}', *arguments):,} |", flush=True)
        places = ("--runs", at / "runs", "--destination", at / "published")
        whole = _peak_of("pipeline", "local", "--source", source, *places)
        print(f"| `make local`, whole | {whole:,} |")


def main() -> None:
    """Measures default runs, prints the table, and fails where a limit is missed."""
    imported = peak(imports)
    print(f"TensorFlow's import: {imported:,} MiB\n")
    print(f"{'':<18}{'images':>12}{'peak MiB':>10}{'above the import':>18}")
    with tempfile.TemporaryDirectory() as scratch:
        peaks = _measure(Path(scratch), imported)
    fits = peaks["train, resident"][0] - imported < LIMIT
    flat = all(max(taken) < GROWTH * taken[0] for taken in peaks.values())
    sys.exit(not (fits and flat))


if __name__ == "__main__":
    if sys.argv[1:] == ["--steps"]:
        steps()
    elif len(sys.argv) > 1:
        _one(*sys.argv[1:])
    else:
        main()
