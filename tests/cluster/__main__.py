"""The command line: tries what is promised, prints each row as it comes, leaves nothing behind."""

import io
import shutil
import sys
import threading
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from components.shared.command_line import build, exit_on_error, options
from components.shared.process import sigterm_exits
from pipeline.cluster import ClusterSettings
from pipeline.compile import Package, compile_to
from pipeline.pipelines import MNIST, PREDICT
from pipeline.remote.command_line import SCRATCH
from pipeline.remote.options import connection_options, read_connection
from tests.cluster.board import Board, Seen
from tests.cluster.checks import CHECKS, TTL
from tests.cluster.installation import Installation
from tests.cluster.receiver import Receiver, receiving

# So that pods of a node with two cores run side by side.
SMALL = {"cpu": "500m", "memory": "2Gi", "train_cpu": "1", "train_memory": "2Gi"}
SHARED = "://"  # a registry that all pods see has an address, or lies on the volume


@click.command()
@connection_options
@click.option("--source", default="", help="Data to train on; empty: MNIST, in the image.")
@click.option("--destination", default="", help="Registry to publish to; empty: within a pod.")
@click.option(
    "--listen",
    default="",
    metavar="HOST:PORT",
    help="Where this machine listens as the webhook; empty: at the address that it reaches the "
    "cluster from, which pods may not reach.",
)
@click.option(
    "--record",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Directory that gets what the server left of each run, in one named for its version, for "
    "tests to go through: tests/workflows.",
)
@click.option("--poll", default=5.0, show_default=True, help="Seconds between two looks.")
@click.option(
    "--patience", default=900.0, show_default=True, help="Seconds that a single step may take."
)
def main(
    source: str,
    destination: str,
    listen: str,
    record: Path | None,
    poll: float,
    patience: float,
    **values: Any,
) -> None:
    """Try on an installation what is promised of it."""
    warnings.simplefilter("ignore")  # kfp's, for all threads
    board, connection = Board.on_terminal(), read_connection(values)
    given = {"destination": destination or SCRATCH} | ({"source": source} if source else {})
    settings = build(ClusterSettings, values)
    shared = SHARED in destination or bool(settings.pvc and destination)
    # kfp prints, too, and takes standard output away for a moment: the board has its own.
    quiet = redirect_stdout(io.StringIO())
    with exit_on_error(), quiet, receiving(listen, connection.host) as receiver:
        packages = _compile(values, settings)
        at = Installation(
            connection, packages, given, shared, receiver, poll, patience, record=record
        )
        if settings.pvc:  # it may be for one pod at a time
            at.slots = threading.Semaphore(1)
        at.begin()
        for line in _needs(at, settings, receiver):
            board.say(line)
        try:
            with sigterm_exits():
                _try_all(at, board)
        finally:
            _finish(at, board)
    sys.exit(not board.all_hold)


main.params += options(ClusterSettings)
for option in main.params:
    option.default = SMALL.get(str(option.name), option.default)


def _compile(values: dict[str, Any], settings: ClusterSettings) -> dict[str, Package]:
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "pipeline.yaml"

        def compiled(pipeline: Any, cluster: ClusterSettings) -> Package:
            compile_to(str(file), cluster, pipeline)
            return Package.read(file)

        return {
            "mnist": compiled(MNIST, settings),
            "ttl": compiled(MNIST, build(ClusterSettings, {**values, "ttl": TTL})),
            "predict": compiled(PREDICT, settings),
        }


def _needs(at: Installation, settings: ClusterSettings, receiver: Receiver) -> list[str]:
    """Returns what the test takes, and what it misses here."""
    needs = {
        "predict and watch: a registry that all pods see (--destination)": at.shared,
        "caching: images by digest (--images)": bool(settings.images),
        "a deleted training pod: a volume (--pvc)": bool(settings.pvc),
        "a deleted training pod, --ttl: kubectl": shutil.which("kubectl") is not None,
        "the webhook: an address of this machine that pods reach (--listen)": receiver.named,
    }
    return [
        f"{at.name} on {at.connection.address}: some ten minutes on a node of two cores, ten runs "
        "of small pods; Ctrl-C removes what it has started",
        *(f"{'has' if there else 'lacks':>13} | {need}" for need, there in needs.items()),
    ]


def _try_all(at: Installation, board: Board) -> None:
    """Tries everything side by side, until it is through or a signal comes."""
    # Threads that a hanging connection does not keep from ending with the process.
    threads = [threading.Thread(target=board.run, args=(c, at), daemon=True) for c in CHECKS]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    except (KeyboardInterrupt, SystemExit):
        board.say("Stopped: removing what was started")
        at.stopped.set()
        for thread in threads:
            thread.join(2 * at.poll + 5)
        at.stopped.clear()
        raise


def _finish(at: Installation, board: Board) -> None:
    promise = "nothing is left behind"
    try:
        left = at.clean()
    except (KeyboardInterrupt, SystemExit):
        board.add(promise, Seen("does not hold", f"interrupted; all is named {at.name}"))
        raise
    else:
        seen = "; ".join(left) or at.name
        board.add(promise, Seen("does not hold" if left else "holds", seen))
        if at.packages["mnist"].volumes("train"):
            models = "" if at.visible else f"{at.models} and "
            stays = f"{models}the checkpoints of each run, under its id, stay there"
            board.add("nothing is left on the volume", Seen("not tried", stays))
    finally:
        board.print()


if __name__ == "__main__":
    main(prog_name="python -m tests.cluster")
