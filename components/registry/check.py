"""Whether a store keeps what a registry needs, tried on the store itself in a model of its own.

A registry is right as long as its store is: one that takes a condition and ignores it loses a
champion, and nobody sees it. The model for this is Elasticsearch's repository analysis.
"""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import uuid4

from components.registry.bucket_storage import BucketStorage
from components.registry.local_storage import LocalStorage
from components.registry.open_storage import open_storage
from components.registry.storage import SERVABLE, Conflict, Digest, Part, Storage
from components.shared.errors import StepError

WRITERS, WRITES = 4, 5  # at once, and by each
WAIT = 0.5  # seconds for which a second lock has to be kept waiting


class Finding(NamedTuple):
    """What was found of one promise."""

    promise: str
    problem: str  # what breaks it; empty where it holds


def check_store(destination: str) -> list[Finding]:
    """Tries every promise, whatever comes of the others, and removes what it has written.

    Args:
        destination: The registry: a directory, or an address in a bucket.

    Raises:
        StepError: The store cannot be written at all.
    """
    storage = open_storage(destination, f"check-{uuid4().hex}")
    promises: dict[str, Callable[[Storage], str]] = {
        "what was written is listed and read at once": _listed_after_write,
        "a file is created only where there is none": _create_only,
        "a stale compare-and-swap is refused": _stale_swap,
        "what is held meanwhile is not removed": _conditional_removal,
        f"of {WRITERS} writers at once each succeeds in its turn": _writers_at_once,
    }
    try:
        storage.replace("first.json", b"{}", storage.read("first.json").generation)
        return [Finding(promise, _try(check, storage)) for promise, check in promises.items()]
    finally:
        with suppress(StepError):
            _remove_all(storage)


def _try(check: Callable[[Storage], str], storage: Storage) -> str:
    try:
        return check(storage)
    except Conflict:
        return "a write was refused though its condition held"
    except StepError as error:
        return str(error)


def _listed_after_write(storage: Storage) -> str:
    with TemporaryDirectory() as scratch:
        parts = {}
        for name in (SERVABLE, "variables/part-0"):
            path = Path(scratch) / Path(name).name
            path.write_bytes(name.encode() * 1_000)
            with path.open("rb") as file:
                parts[name] = Part(path, Digest.of(file))
        storage.publish(1, parts)
    if storage.versions() != [1] or storage.files(1) != sorted(parts):
        return f"listed {storage.versions()} with {storage.files(1)}, expected [1] with two files"
    for name, part in parts.items():
        with storage.open(f"1/{name}") as file:
            if Digest.of(file) != part.digest:
                return f"{name} was read with other content than was written"
    return ""


def _create_only(storage: Storage) -> str:
    absent = storage.read("created.json").generation
    storage.replace("created.json", b"1", absent)
    with suppress(Conflict):
        storage.replace("created.json", b"2", absent)
        return "a second creation replaced the first"
    return "" if storage.read("created.json").data == b"1" else "a refused creation was written"


def _stale_swap(storage: Storage) -> str:
    for content in (b"1", b"2"):
        stale = storage.read("swapped.json").generation
        storage.replace("swapped.json", content, stale)
    with suppress(Conflict):
        storage.replace("swapped.json", b"3", stale)
        return "a file was replaced on the strength of an earlier look"
    return "" if storage.read("swapped.json").data == b"2" else "a refused write was written"


def _conditional_removal(storage: Storage) -> str:
    if not isinstance(storage, BucketStorage):
        return _exclusive_lock(storage)
    if storage.remove(1, lambda: storage.hold(1)) or not storage.contains(1):
        return "a version was removed though it was held in that moment"
    if not storage.remove(1, lambda: True) or storage.taken_numbers() != [1]:
        return "a version was not removed, or its number is free again"
    return ""


def _exclusive_lock(storage: Storage) -> str:
    """In a directory, a removal looks under the lock: nobody else may hold it meanwhile."""
    entered, leave = threading.Event(), threading.Event()

    def hold_lock() -> None:
        def wait() -> bool:
            entered.set()
            leave.wait(10 * WAIT)
            return False

        storage.remove(1, wait)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(hold_lock)
        entered.wait(10 * WAIT)
        second = pool.submit(storage.hold, 1)
        with suppress(TimeoutError):
            second.result(WAIT)
            return "two processes hold the lock of the directory (flock) at once"
        leave.set()
        first.result()
    return ""


def _writers_at_once(storage: Storage) -> str:
    def count(_: int) -> None:
        written = 0
        while written < WRITES:
            with suppress(Conflict):
                data, generation = storage.read("counted.json")
                storage.replace("counted.json", str(int(data or 0) + 1).encode(), generation)
                written += 1

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(count, range(WRITERS)))
    counted = int(storage.read("counted.json").data or 0)
    expected = WRITERS * WRITES
    return "" if counted == expected else f"{counted} of {expected} writes are left"


def _remove_all(storage: Storage) -> None:
    if isinstance(storage, LocalStorage):
        shutil.rmtree(storage.root, ignore_errors=True)
    elif isinstance(storage, BucketStorage):
        for name in storage.bucket.list():
            storage.bucket.delete(name)
