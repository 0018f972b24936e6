"""Processes: how many cores there are for them, and how they end in order.

They end with who started them, and by SIGTERM with time to clean up.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU, in so many
MEMORY = Path("/sys/fs/cgroup/memory.max")  # of a container: bytes
SECONDS = 0.5  # between two looks, where the system does not tell


def cores() -> int:
    """Returns how many cores this process may use, which a container has fewer of than its node."""
    ours = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
    except OSError:
        return ours
    return ours if quota == "max" else max(1, min(ours, int(quota) // int(period)))


def memory_limit() -> int:
    """Returns how many bytes of memory this process may use, which a container has a limit of."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = MEMORY.read_text(encoding="ascii").strip()
    except OSError:
        return total
    return total if limit == "max" else min(total, int(limit))


def end_with_parent(by: signal.Signals = signal.SIGTERM) -> None:
    """Has this process get a signal once its parent is gone; killed, too, it leaves none behind.

    Args:
        by: The signal.
    """
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, by)
        if os.getppid() != parent:  # gone before the system knew
            os.kill(os.getpid(), by)
    else:
        threading.Thread(target=_watch, args=(parent, by), daemon=True).start()


def _watch(parent: int, by: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os.kill(os.getpid(), by)


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Turns SIGTERM, by which a run or its pod is ended, into SystemExit."""

    def end(*_: object) -> NoReturn:
        sys.exit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
