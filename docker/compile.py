"""Compiles what has no bytecode yet in an image, where a read-only file system takes none later.

The bytecode names the hash of its source instead of its time, so that it holds whatever time a
layer gives its files.
"""

import py_compile
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import cache_from_source
from pathlib import Path


def compile_file(path: Path) -> None:
    """Compiles a file; one that cannot be, as a template or a test of syntax, stays as it is."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(path), quiet=2, invalidation_mode=mode)


def sources(directory: Path) -> Iterator[Path]:
    """Yields the files below a directory that have no bytecode."""
    for path in sorted(directory.rglob("*.py")):
        if not Path(cache_from_source(str(path))).exists():
            yield path


if __name__ == "__main__":
    with ProcessPoolExecutor() as pool:
        list(pool.map(compile_file, sources(Path(sys.argv[1])), chunksize=64))
