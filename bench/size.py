"""How much there is to read: ``python -m bench.size``, or beside a revision ``--before HEAD~20``.

Files and lines of Python by package, and the files of which a function runs while images go from
``data/mnist`` to the TFRecords and a model from there to the SavedModel. Beside each stands its
budget; a figure that is over it has a star. ``--files`` names the files of both roads, in the order
in which they are met.
"""

import contextlib
import inspect
import io
import json
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
TOP = ("components", "pipeline")
SOURCES, ALL = "components/sources", "all"
RECORDS, MODEL = "to the TFRecords", "on to the SavedModel"
BUDGETS = {SOURCES: (17, 3_900), ALL: (145, 17_500), RECORDS: (18,), MODEL: (12,)}

Sizes = dict[str, tuple[int, ...]]  # files, and lines where they count


def packages(project: Path) -> Sizes:
    """Returns the files and lines of every package, of ``pipeline`` as one, and of all."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for path in sorted(path for top in TOP for path in (project / top).rglob("*.py")):
        parts = path.relative_to(project).parts
        lines = len(path.read_text(encoding="utf-8").splitlines())
        found["/".join(parts[: 2 if parts[0] == "components" else 1])].append(lines)
        found[ALL].append(lines)
    return {name: (len(lines), sum(lines)) for name, lines in found.items()}


def roads(project: Path) -> dict[str, list[str]]:
    """Returns the files that an image passes, and those that training adds, in a new process."""
    command = [sys.executable, "-P", __file__, "--follow"]
    process = subprocess.run(
        command, cwd=project, stdout=subprocess.PIPE, check=True, env={"PYTHONPATH": "."}
    )
    ways: dict[str, list[str]] = json.loads(process.stdout)
    return ways


def follow() -> dict[str, list[str]]:
    """Runs ingest and train here, with the code of the current directory, and names its files.

    A file counts where a function of it runs, in whatever thread; what runs while a module is
    imported counts where it is a function. Beam works in this process, as it does by default.
    """
    from components.config import Ingest, Train
    from components.ingest.ingest import ingest
    from components.train.train import train_and_evaluate

    met: dict[str, None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED:  # neither module nor class
            met.setdefault(code.co_filename)

    def ours() -> list[str]:
        here = Path.cwd()
        paths = [Path(name) for name in met if name.endswith(".py")]
        return [str(p.relative_to(here)) for p in paths if p.is_relative_to(here / "components")]

    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        examples, model, logs = (Path(scratch) / name for name in ("examples", "model", "logs"))
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            ingest(Ingest(source="data/mnist"), examples)
            before = ours()
            train_and_evaluate(Train(max_steps=200), examples, model, logs)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    return {RECORDS: before, MODEL: [path for path in ours() if path not in before]}


def measure(project: Path) -> tuple[Sizes, dict[str, list[str]]]:
    """Returns the sizes of packages and roads, and the files of the roads."""
    ways = roads(project)
    return {**packages(project), **{name: (len(files),) for name, files in ways.items()}}, ways


def cells(size: tuple[int, ...], budget: tuple[int, ...] = ()) -> str:
    """Returns files and lines as two cells of a table, with a star where over the budget."""
    limits = budget or size
    marked = [f"{n:,}{'*' * (n > limit)}" for n, limit in zip(size, limits, strict=True)]
    return " | ".join([*marked, "", ""][:2])


@click.command()
@click.option("--before", help="Revision to compare with.")
@click.option("--files", is_flag=True, help="Name the files of both roads.")
@click.option("--follow", "following", is_flag=True, hidden=True)
def main(before: str | None, files: bool, following: bool) -> None:
    """Count what there is to read beside its budget, and beside another revision's."""
    if following:
        ways = follow()  # without what a step prints
        click.echo(json.dumps(ways))
        return
    old: Sizes = {}
    if before:
        from bench.local import checkout

        with checkout(before) as other:
            old, _ = measure(other)
    new, ways = measure(ROOT)
    click.echo(
        "| | files | lines | budget: files | lines |" + " before: files | lines |" * bool(old)
    )
    click.echo("| --- | ---: | ---: | ---: | ---: |" + " ---: | ---: |" * bool(old))
    last = (ALL, RECORDS, MODEL)
    for name in [*sorted({*old, *new} - {*last}), *last]:
        budget = BUDGETS.get(name, ())
        row = [name, cells(new.get(name, ()), budget), cells(budget)]
        click.echo(f"| {' | '.join([*row, *([cells(old.get(name, ()))] if old else [])])} |")
    for name, paths in ways.items():
        if files:
            click.echo(f"\n{name}:\n" + "\n".join(f"  {path}" for path in paths))


if __name__ == "__main__":
    main()
