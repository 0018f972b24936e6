"""What imports of steps take beside another revision: ``python -m bench.imports --before HEAD~20``.

Each in a process of its own, in turns, as a pod pays them: the packages are the same, the project's
files are each revision's own. Bytecode lies compiled, as after set-up and in an image.
"""

import statistics
import subprocess
import sys
from pathlib import Path

import click

from bench.local import ROOT, checkout

# What a step imports before it works, as its component does.
STEPS = {
    "ingest": "components.ingest.ingest",
    "train": "components.train.fit",
    "evaluate": "components.evaluate.evaluate",
    "push": "components.push.push",
    "a registry's fresh process": "components.registry.probe",
}
TIMED = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"


def seconds(project: Path, module: str) -> float:
    """Returns what an import takes in a new process."""
    command = [sys.executable, "-c", TIMED.format(module)]
    process = subprocess.run(
        command, cwd=project, capture_output=True, text=True, check=True, env={"PYTHONPATH": "."}
    )
    return float(process.stdout.splitlines()[-1])


@click.command()
@click.option("--before", default="HEAD~1", show_default=True, help="Revision to compare with.")
@click.option("--rounds", default=5, show_default=True, help="Imports of each; the median counts.")
def main(before: str, rounds: int) -> None:
    """Measure every step's imports beside another revision's, in turns."""
    print("| step | before, s | now, s | now to before |\n| --- | --- | --- | --- |")
    with checkout(before) as other:
        for step, module in STEPS.items():
            taken: dict[Path, list[float]] = {other: [], ROOT: []}
            for turn in range(rounds + 1):
                for project, found in taken.items():
                    one = seconds(project, module)
                    if turn:  # the first compiles
                        found.append(one)
            old, new = (statistics.median(found) for found in taken.values())
            print(f"| {step} | {old:.2f} | {new:.2f} | {new / old:.2f} |", flush=True)


if __name__ == "__main__":
    main()
