"""Compiled loops that are kept: XLA takes as long for one as a short training for its steps.

TensorFlow can keep what it compiles in a directory, where it finds it by all that was compiled; a
damaged file there ends a training. So each training has such a directory for itself, within a store
that outlives it, where a file's name ends with the sum of its content.
"""

import contextlib
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from components.shared.process import cores

FLAGS = "TF_XLA_FLAGS"
CACHE = "--tf_xla_persistent_cache"
KEPT = 20  # loops in a store, the newest; the default's takes a megabyte
LEFT = 24 * 3600  # seconds after which a training's directory is taken for that of a killed one
# What a loop depends on, besides what TensorFlow finds it by, the machine and the version.
VARIABLES = (FLAGS, "XLA_FLAGS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
CPU = Path("/proc/cpuinfo")  # of Linux; "model name" and "flags" are the same in all its parts


@contextmanager
def shared_loops(store: Path) -> Iterator[None]:
    """Has TensorFlow share compiled loops for the block, which begins before it compiles any.

    The processes share them that are forked in the block, and those that come later. Whoever takes
    a loop logs an error first, as TensorFlow tries to read it as text.

    Args:
        store: A directory, made where it is missing. Where it cannot be, or the environment has
            flags of another kind for TensorFlow's compiler, nothing is shared. What is damaged in
            it is removed, and compiled anew.
    """
    before = os.environ.get(FLAGS)
    if before and (CACHE in before or not before.lstrip().startswith("-")):  # or a file's name
        yield
        return
    place = store / _machine()
    with contextlib.ExitStack() as stack:
        own, taken = None, set[str]()
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            directory = TemporaryDirectory(
                prefix="training-", dir=place.absolute(), ignore_cleanup_errors=True
            )
            own = Path(stack.enter_context(directory))
            taken = _take(place, own)
        if not own:
            yield
            return
        quoted = str(own).replace("\\", "\\\\").replace('"', '\\"')
        flags = f'{CACHE}_device_types=CPU {CACHE}_directory="{quoted}"'
        os.environ[FLAGS] = f"{before} {flags}" if before else flags
        try:
            yield
        finally:
            del os.environ[FLAGS]
            if before is not None:
                os.environ[FLAGS] = before
            with contextlib.suppress(OSError):
                _keep(own, place, taken)
                _prune(store)


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
    if not spec or not spec.origin:
        return []
    packages = Path(spec.origin).parents[1]
    return sorted(path.name for path in packages.glob("tensorflow*.dist-info"))


def _take(place: Path, own: Path) -> set[str]:
    """Copies what is whole in a store into a training's directory; returns the names there."""
    taken = set()
    for path in place.glob("*.pb.*"):
        name, _, digest = path.name.rpartition(".")
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() == digest:
            (own / name).write_bytes(content)
            taken.add(name)
        elif path.is_file() or path.is_symlink():
            path.unlink(missing_ok=True)
    return taken


def _keep(own: Path, place: Path, taken: set[str]) -> None:
    """Moves into a store what TensorFlow has compiled anew."""
    for path in own.glob("*.pb"):
        if path.name not in taken:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            path.rename(place / f"{path.name}.{digest}")


def _prune(store: Path) -> None:
    """Removes the oldest loops, and what killed trainings have left."""
    loops = sorted(store.glob("*/*.pb.*"), key=lambda path: path.lstat().st_mtime, reverse=True)
    for path in loops[KEPT:]:
        path.unlink(missing_ok=True)
    for path in store.glob("*/training-*"):
        if path.stat().st_mtime < time.time() - LEFT:
            shutil.rmtree(path, ignore_errors=True)
