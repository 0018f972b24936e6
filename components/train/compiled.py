"""Compiled loops that are kept: XLA takes as long for one as a short training for its steps.

TensorFlow can keep what it compiles in a directory, where it finds it by all that was compiled; a
damaged file there ends a training. So each training has such a directory for itself, and a store
that outlives it, in which a file's name ends with the sum of its content.
"""

import contextlib
import hashlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from components.shared.process import cores

FLAGS = "TF_XLA_FLAGS"
CACHE = "--tf_xla_persistent_cache"
KEPT = 20  # loops of this machine, the newest; the default's takes a megabyte
# What a loop depends on, besides what TensorFlow finds it by, the machine and the versions.
VARIABLES = (FLAGS, "XLA_FLAGS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
CPU = Path("/proc/cpuinfo")  # of Linux; "model name" and "flags" are the same in all its parts


@contextmanager
def shared_loops(store: Path | None = None) -> Iterator[None]:
    """Has TensorFlow share compiled loops for the block, which begins before it compiles any.

    The processes share them that are forked in the block, and with a store, those that come later.
    Whoever takes a loop logs an error first, as TensorFlow tries to read it as text.

    Args:
        store: A directory, made where it is missing. A loop that cannot be read there, or written,
            is compiled anew.
    """
    with TemporaryDirectory(prefix="loops-") as scratch:
        directory, place = Path(scratch), store and store / _machine()
        taken = _take(place, directory) if place else set()
        before = os.environ.get(FLAGS, "")
        os.environ[FLAGS] = f"{before} {CACHE}_device_types=CPU {CACHE}_directory='{scratch}'"
        try:
            yield
        finally:
            os.environ[FLAGS] = before
            if place:
                with contextlib.suppress(OSError):
                    _keep(directory, place, taken)


def _machine() -> str:
    """Identifies what compiled code is for: the CPU, its cores, TensorFlow, and its settings."""
    parts = [platform.machine(), str(cores()), *_tensorflow()]
    parts += [os.environ.get(name, "") for name in VARIABLES]
    with contextlib.suppress(OSError):
        lines = CPU.read_text(encoding="utf-8").splitlines()
        parts += sorted({line for line in lines if line.startswith(("model name", "flags"))})
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _tensorflow() -> list[str]:
    """Returns the names and versions of the distributions that TensorFlow is from, unimported."""
    spec = find_spec("tensorflow")
    assert spec and spec.origin
    packages = Path(spec.origin).parents[1]
    return sorted(path.name for path in packages.glob("tensorflow*.dist-info"))


def _take(place: Path, directory: Path) -> set[str]:
    """Copies what a store has into TensorFlow's directory; returns the names there."""
    taken = set()
    for path in place.glob("*.pb.*"):
        name, _, digest = path.name.rpartition(".")
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == digest:
                partial = directory / f"{name}.partial"  # or half a one would be found there
                partial.write_bytes(content)
                partial.rename(directory / name)
                taken.add(name)
    return taken


def _keep(directory: Path, place: Path, taken: set[str]) -> None:
    """Copies into a store what TensorFlow has compiled anew, and removes the oldest there."""
    for path in directory.glob("*.pb"):
        if path.name not in taken:
            place.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            (place / f"{path.name}.{digest}").write_bytes(content)
    oldest = sorted(place.glob("*.pb.*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in oldest[KEPT:]:
        path.unlink(missing_ok=True)
