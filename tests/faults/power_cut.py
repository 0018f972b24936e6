"""What a disk may hold after the power was cut: whatever was not fsynced may be gone.

A recorded run becomes a list of operations, on the content of files and on the names in
directories. Once a file was fsynced, what was written to it before is safe; once a directory was,
the changes of its names. Of all others, any may be lost and any kept, whatever their order. What no
file system does is not assumed: half a write of a name, a rename of which one half is kept.
"""

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.system_calls import Call, Decide

Tree = dict[str, bytes | None]  # by the path of a file its content, None of a directory

_CHANGES_CONTENT = ("open", "write", "truncate")


class Event(NamedTuple):
    """A call, and what its file holds afterwards; None where that is not known or does not matter.

    Only what the process asked for: whether the call succeeded shows when it is replayed.
    """

    call: Call
    content: bytes | None = None


class Record(NamedTuple):
    """What a run did to a directory, and what that held before."""

    before: Tree
    events: list[Event]


class Recorder:
    """Records every call before another one decides on it.

    Args:
        root: The directory.
        decide: Decides.
    """

    def __init__(self, root: Path, decide: Decide) -> None:
        self._root, self._decide = root, decide
        self._before, self._events = read_tree(root), list[Event]()

    def __call__(self, call: Call) -> int:
        self._complete()
        self._events.append(Event(call))
        return self._decide(call)

    def record(self) -> Record:
        """Returns the record of a run that is over."""
        self._complete()
        return Record(self._before, self._events)

    def _complete(self) -> None:
        """Reads what the file holds that was written to last."""
        if self._events and (call := self._events[-1].call).kind in _CHANGES_CONTENT:
            path = self._root / call.path
            if path.is_file():
                self._events[-1] = Event(call, path.read_bytes())


class _Name(NamedTuple):
    """What a name in a directory leads to."""

    directory: int
    name: str
    file: int | None


class _Change(NamedTuple):
    """An operation: on the content of a file, or on names in directories, all of them or none."""

    names: tuple[_Name, ...] = ()
    file: int | None = None
    offset: int = 0
    data: bytes = b""  # what follows the offset, to the end

    def is_safe_by(self, fsynced: int | None) -> bool:
        return fsynced in (self.file, *(name.directory for name in self.names))


class Trace:
    """A recorded run as operations on files that are known by numbers, the root by 0.

    Args:
        record: What was recorded.
    """

    def __init__(self, record: Record) -> None:
        self._changes: list[_Change] = []
        self._safe_at: list[int | None] = []  # how many events make an operation safe
        self._after: list[int] = []  # by the number of events, how many operations they made
        self._directories: dict[int, dict[str, int]] = {0: {}}
        self._contents: dict[int, bytes] = {}
        for path, content in sorted(record.before.items()):
            at = self._find(path)
            assert at
            self._create(at, content)
        self._safe_at = [0] * len(self._changes)
        for number, event in enumerate(record.events):
            self._after.append(len(self._changes))
            self._replay(number, event)
        self._after.append(len(self._changes))

    def __len__(self) -> int:
        return len(self._after)

    def disks(self, moments: random.Random, subsets: int) -> Iterator[tuple[bool, Tree]]:
        """Yields what may be found on the disk, once each, and whether the run was over by then.

        At each moment that is without any one of the unsafe operations, without all since one, and
        without some.

        Args:
            moments: Draws the last.
            subsets: How many of them.
        """
        seen = set()
        for moment, count in enumerate(self._after):
            over = moment == len(self._after) - 1
            unsafe = [n for n in range(count) if not self._is_safe(n, moment)]
            losses = [unsafe[first:] for first in range(len(unsafe) + 1)]
            losses += [[number] for number in unsafe]
            losses += [
                moments.sample(unsafe, moments.randint(0, len(unsafe))) for _ in range(subsets)
            ]
            for lost in map(set, losses):
                kept = tuple(number for number in range(count) if number not in lost)
                if (over, kept) not in seen:
                    seen.add((over, kept))
                    yield over, self._tree(kept)

    def _is_safe(self, change: int, moment: int) -> bool:
        at = self._safe_at[change]
        return at is not None and at <= moment

    def _tree(self, kept: Sequence[int]) -> Tree:
        directories: dict[int, dict[str, int]] = {0: {}}
        contents: dict[int, bytes] = {}
        for change in (self._changes[number] for number in kept):
            for led in change.names:
                _apply(directories.setdefault(led.directory, {}), led)
            if change.file is not None:
                contents[change.file] = _patched(contents.get(change.file, b""), change)
        tree: Tree = {}
        todo = [("", 0)]
        for prefix, directory in todo:
            for name, file in directories.get(directory, {}).items():
                if file in self._directories:
                    tree[prefix + name] = None
                    todo.append((f"{prefix}{name}/", file))
                else:
                    tree[prefix + name] = contents.get(file, b"")
        return tree

    def _find(self, path: str) -> _Name | None:
        """Returns what a path leads to as of now, None where its directory is not there."""
        directory, rest = 0, path
        while "/" in rest:
            first, _, rest = rest.partition("/")
            found = self._directories[directory].get(first)
            if found not in self._directories:
                return None
            directory = found
        return _Name(directory, rest, self._directories[directory].get(rest))

    def _number(self) -> int:
        return 1 + max((*self._directories, *self._contents))

    def _create(self, at: _Name, content: bytes | None) -> int:
        file = self._number()
        if content is None:
            self._directories[file] = {}
        else:
            self._contents[file] = b""
        self._name(at._replace(file=file))
        if content:
            self._write(file, content)
        return file

    def _name(self, *names: _Name) -> None:
        for name in names:
            _apply(self._directories[name.directory], name)
        self._add(_Change(names))

    def _write(self, file: int, content: bytes) -> None:
        before = self._contents[file]
        offset = len(os.path.commonprefix([before, content]))  # noqa: RUF071 - of bytes
        self._contents[file] = content
        self._add(_Change(file=file, offset=offset, data=content[offset:]))

    def _add(self, change: _Change) -> None:
        self._changes.append(change)
        self._safe_at.append(None)

    def _replay(self, number: int, event: Event) -> None:
        call, content = event
        at = self._find(call.path) if call.path != "." else _Name(0, ".", 0)
        if at is None:
            return  # the call failed, as what follows does where nothing changes
        if call.kind == "fsync":
            for index, change in enumerate(self._changes):
                if self._safe_at[index] is None and change.is_safe_by(at.file):
                    self._safe_at[index] = number + 1
        elif call.kind in _CHANGES_CONTENT and content is not None:
            file = self._create(at, b"") if at.file is None else at.file
            if content != self._contents[file]:
                self._write(file, content)
        elif call.kind == "mkdir" and at.file is None:
            self._create(at, None)
        elif call.kind in ("unlink", "rmdir") and at.file and not self._directories.get(at.file):
            self._name(at._replace(file=None))
        elif call.kind == "rename" and at.file:
            to = self._find(call.target)
            if to and not self._directories.get(to.file or -1):
                self._name(at._replace(file=None), to._replace(file=at.file))
        elif call.kind == "link":
            raise NotImplementedError(call)  # nothing makes any


def _apply(names: dict[str, int], name: _Name) -> None:
    names.pop(name.name, None)
    if name.file is not None:
        names[name.name] = name.file


def _patched(content: bytes, change: _Change) -> bytes:
    """What was not kept before it is found as zeros."""
    return content[: change.offset].ljust(change.offset, b"\0") + change.data


def read_tree(root: Path) -> Tree:
    """Reads all that is in a directory."""
    return {
        path.relative_to(root).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in root.rglob("*")
    }


def write_tree(tree: Tree, root: Path) -> None:
    """Writes all of it into an empty directory."""
    for name, content in sorted(tree.items()):
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)
