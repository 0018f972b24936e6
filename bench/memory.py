"""How much memory training takes, and whether streaming takes more as its data grows.

Every figure is the peak of a process of its own. Run it with ``make bench-memory``; Linux only.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from components.train.train import train_and_evaluate
from pipeline.config import Train

SIZES = (70_000, 700_000, 7_000_000)  # images, made up
LIMIT = 1_024  # MiB above TensorFlow's import, in memory
GROWTH = 1.1  # of streaming's peak, from the least data to the most


def peak(examples: Path | None = None, **options: Any) -> int:
    """Returns the peak memory of a training run in MiB; without examples, of TensorFlow's import.

    Args:
        examples: The directory that ingest wrote.
        options: Fields of :class:`pipeline.config.Train`.
    """
    command = [sys.executable, "-m", "bench.memory", str(examples or ""), json.dumps(options)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(process.stdout.splitlines()[-1])


def _run(examples: str, options: dict[str, Any]) -> None:
    import tensorflow  # noqa: F401

    if examples:
        with tempfile.TemporaryDirectory() as scratch:
            output = Path(scratch)
            train_and_evaluate(Train(**options), Path(examples), output / "model", output / "logs")
    # Not getrusage, whose maximum begins with what the parent held when it forked.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) >> 10)


def _ingest(images: int, examples: Path) -> None:
    command = [sys.executable, "-m", "components.ingest", "--source", f"fake://{images}"]
    subprocess.run([*command, "--output", examples], stdout=subprocess.DEVNULL, check=True)


def main() -> None:
    """Measures default runs, prints the table, and fails where a limit is missed."""
    imported = peak()
    print(f"TensorFlow's import: {imported:,} MiB\n")
    print(f"{'data path':<12}{'images':>12}{'peak MiB':>10}{'above the import':>18}")
    peaks: dict[str, list[int]] = {"resident": [], "streaming": []}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as scratch:
            examples = Path(scratch) / "examples"
            _ingest(size, examples)
            for data_path in ("resident", "streaming") if size == SIZES[0] else ("streaming",):
                taken = peak(examples, data_path=data_path)
                peaks[data_path].append(taken)
                print(f"{data_path:<12}{size:>12,}{taken:>10,}{taken - imported:>18,}", flush=True)
    fits = peaks["resident"][0] - imported < LIMIT
    flat = peaks["streaming"][-1] < GROWTH * peaks["streaming"][0]
    sys.exit(not (fits and flat))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _run(sys.argv[1], json.loads(sys.argv[2]))
    else:
        main()
