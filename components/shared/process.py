"""Processes that end in order: with who started them, and by SIGTERM with time to clean up."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)
SECONDS = 0.5  # between two looks, where the system does not tell


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
