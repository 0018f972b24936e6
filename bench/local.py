"""The time of ``make local`` beside another revision's: ``python -m bench.local --before main~20``.

Whole runs with the default settings, in turns: each revision's into new directories, and once more
into the same, as when the command is typed again. A step's share is the time from where it is shown
to run to where the next one is: what a person waits for it. The time before the first is "start".
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
RUNNING = ": running"
COLUMNS = ("before", "now", "before, again", "now, again")
Shares = dict[str, float]  # seconds, by step


@contextlib.contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Yields a directory with the project as it was at a revision."""
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "before"
        subprocess.run([*git, "add", "--quiet", "--detach", path, revision], check=True)
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", path], check=True)


def measure(project: Path, directory: Path) -> Shares:
    """Runs a project's pipeline once, into a directory, and returns the seconds of every step."""
    moments = {"start": time.perf_counter()}
    options = {
        "--source": ROOT / "data" / "mnist",
        "--runs": directory / "runs",
        "--destination": directory / "registry",
    }
    command = [sys.executable, "-m", "pipeline", "local"]
    for option, value in options.items():
        command += [option, str(value)]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in map(str.rstrip, process.stdout):
            if line.endswith(RUNNING):
                moments[line.removesuffix(RUNNING)] = time.perf_counter()
    if process.returncode:
        raise click.ClickException(f"a run in {project} ended with {process.returncode}")
    *starts, end = [*moments.values(), time.perf_counter()]
    ends = [*starts[1:], end]
    return {name: b - a for name, a, b in zip(moments, starts, ends, strict=True)}


def median(runs: list[Shares]) -> Shares:
    """Returns the run whose total is the median."""
    return sorted(runs, key=lambda run: sum(run.values()))[len(runs) // 2]


@click.command()
@click.option("--before", default="HEAD~1", show_default=True, help="Revision to compare with.")
@click.option("--rounds", default=5, show_default=True, help="Runs of each; the median counts.")
def main(before: str, rounds: int) -> None:
    """Measure a whole local run beside another revision's, in turns."""
    taken: dict[str, list[Shares]] = {column: [] for column in COLUMNS}
    with checkout(before) as other:
        for number in range(rounds):
            with contextlib.ExitStack() as scratch:
                places = {
                    name: (project, Path(scratch.enter_context(tempfile.TemporaryDirectory())))
                    for name, project in (("before", other), ("now", ROOT))
                }
                for column in COLUMNS:
                    taken[column].append(measure(*places[column.partition(",")[0]]))
                    total = sum(taken[column][-1].values())
                    click.echo(f"round {number + 1}, {column}: {total:.1f} s", err=True)
    totals = {
        column: statistics.median(sum(run.values()) for run in runs)
        for column, runs in taken.items()
    }
    shares = {column: median(runs) for column, runs in taken.items()}
    click.echo(f"| part | {' | '.join(COLUMNS)} |\n| --- |{' --- |' * len(COLUMNS)}")
    for step in shares["now"]:
        cells = (f"{shares[name].get(step, 0) / totals['before']:.1%}" for name in COLUMNS)
        click.echo(f"| {step} | {' | '.join(cells)} |")
    cells = (f"{totals[name] / totals['before']:.1%}" for name in COLUMNS)
    click.echo(f"| whole run | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
