"""The command line: runs all checks side by side, prints a table, leaves nothing behind."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from pyarrow import fs
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.shared.command_line import build, exit_on_error, options
from components.shared.errors import StepError
from pipeline.cluster import ClusterSettings
from pipeline.compile import Package, compile_to
from pipeline.pipelines import MNIST
from pipeline.remote.command_line import SCRATCH
from pipeline.remote.options import connection_options, read_connection
from tests.cluster.checks import CHECKS, Hold
from tests.cluster.installation import Installation, SkippedError

Row = tuple[str, str, str]  # holds, does not hold or not tried; what; what was seen


@click.command()
@connection_options
@click.option("--source", default="", help="Data to train on; empty: MNIST, in the image.")
@click.option("--destination", default="", help="Registry to publish to; empty: within a pod.")
@click.option("--poll", default=5.0, show_default=True, help="Seconds between two looks.")
@click.option(
    "--patience", default=900.0, show_default=True, help="Seconds that a single step may take."
)
def main(source: str, destination: str, poll: float, patience: float, **values: Any) -> None:
    """Try on an installation what is promised of it."""
    given = {"destination": destination or SCRATCH} | ({"source": source} if source else {})
    with exit_on_error(), TemporaryDirectory() as scratch:
        compile_to(f"{scratch}/pipeline.yaml", build(ClusterSettings, values), MNIST)
        package = Package.read(Path(scratch) / "pipeline.yaml")
        at = Installation(read_connection(values), package, given, poll, patience)
        at.begin()
        try:
            rows = _try_all(at)
        finally:
            left = _clean(at, destination)
    _print([*rows, *left])
    sys.exit(any(state == "does not hold" for state, *_ in [*rows, *left]))


main.params += options(ClusterSettings)


def _try_all(at: Installation) -> list[Row]:
    # What kfp prints is caught by exchanging sys.stdout, and threads do not put it back in order.
    # A volume may be for one node, so that runs side by side would wait for each other.
    batch_limit = 1 if at.package.volumes("train") else len(CHECKS)
    with redirect_stdout(sys.stdout), ThreadPoolExecutor(batch_limit) as pool:
        return [row for rows in pool.map(partial(_try, at), CHECKS) for row in rows]


def _try(at: Installation, check: Callable[[Installation, Hold], None]) -> list[Row]:
    rows: list[Row] = []
    try:
        check(at, lambda what, seen: rows.append(("holds", what, seen)))
    except SkippedError as why:
        rows.append(("not tried", check.__name__, str(why)))
    except (AssertionError, StepError, ValueError, LookupError) as seen:
        rows.append(("does not hold", check.__name__, str(seen) or type(seen).__name__))
    return rows


def _clean(at: Installation, destination: str) -> list[Row]:
    try:
        at.clean()
        if "://" in destination:
            filesystem, path = fs.FileSystem.from_uri(f"{destination.rstrip('/')}/{at.name}")
            filesystem.delete_dir(path)
    except (StepError, OSError, ValueError) as error:
        return [("does not hold", "nothing is left behind", f"{at.name}: {error}")]
    return [("holds", "nothing is left behind", at.name)]


def _print(rows: list[Row]) -> None:
    table = Table("", "Promise", "Seen")
    for state, what, seen in rows:
        table.add_row(state, what, escape(seen))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main(prog_name="python -m tests.cluster")
