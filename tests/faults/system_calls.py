"""What a process asks the kernel to change below a directory: counted, recorded, failed, ended.

The process is forked with a seccomp filter, by which the kernel asks its parent before each such
call: whoever makes it, Python, TensorFlow's C++, a thread or a process of its own. The parent lets
it through, answers with an error, or ends the process before it. Linux on x86-64 only.
"""

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

# By their numbers on x86-64, with the places of a path's directory (-1: none) and of the path; or,
# where that is None, of an open file.
_CALLS: dict[int, tuple[str, int, int | None]] = {
    1: ("write", 0, None),
    18: ("write", 0, None),
    20: ("write", 0, None),
    296: ("write", 0, None),
    328: ("write", 0, None),
    40: ("write", 0, None),  # sendfile
    326: ("write", 2, None),  # copy_file_range
    74: ("fsync", 0, None),
    75: ("fsync", 0, None),
    76: ("truncate", -1, 0),
    77: ("truncate", 0, None),
    285: ("truncate", 0, None),  # fallocate
    2: ("open", -1, 0),
    85: ("open", -1, 0),
    257: ("open", 0, 1),
    82: ("rename", -1, 0),
    264: ("rename", 0, 1),
    316: ("rename", 0, 1),
    83: ("mkdir", -1, 0),
    258: ("mkdir", 0, 1),
    84: ("rmdir", -1, 0),
    87: ("unlink", -1, 0),
    263: ("unlink", 0, 1),
    86: ("link", -1, 0),
    265: ("link", 0, 1),
    88: ("link", -1, 1),  # symbolic
    266: ("link", 1, 2),
}
_TARGETS = {82: (-1, 1), 264: (2, 3), 316: (2, 3), 86: (-1, 1), 265: (2, 3)}
_OPEN_FLAGS = {2: 1, 257: 2}  # the place of the flags: who only reads is not asked about
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_AT_REMOVEDIR = 0x200
_AT_FDCWD = -100

_PRCTL_NO_NEW_PRIVS, _SECCOMP, _SET_FILTER, _NEW_LISTENER = 38, 317, 1, 8
_ALLOW, _ASK = 0x7FFF0000, 0x7FC00000
_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_ASKED, _ANSWERED = struct.Struct("QIIiIQ6Q"), struct.Struct("QqiI")
_LOAD, _EQUAL, _ANY_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_CONTINUE = 1

SUPPORTED = sys.platform == "linux" and os.uname().machine == "x86_64"


class Call(NamedTuple):
    """A call that changes something, before it is made."""

    kind: str  # open, write, fsync, truncate, rename, mkdir, rmdir, unlink or link
    path: str  # relative to the directory that is watched
    target: str = ""  # of a rename or a link
    truncates: bool = False  # said of an open


class Killed(Exception):  # noqa: N818 - an answer, not an error
    """The process ends before the call, as if the power were cut."""


Decide = Callable[[Call], int]  # 0 lets a call through, else an error number; may raise Killed


class Ended(NamedTuple):
    """How a process ended."""

    code: int  # its exit code; less than 0: the signal
    output: str
    errors: str


def supervise(
    work: Callable[[], object],
    root: Path,
    scratch: Path,
    decide: Decide,
    started: Callable[[int], None] = lambda process: None,
) -> Ended:
    """Forks a process that does some work, and decides on every call that changes something.

    Args:
        work: What it does; SystemExit gives its exit code.
        root: The directory below which calls count.
        scratch: A directory for what it prints.
        decide: Is asked before each of these calls.
        started: Is called with the id of the process, which leads a group of its own.
    """
    ours, its = socket.socketpair()
    printed = [scratch / "output", scratch / "errors"]
    process = os.fork()
    if not process:
        _work(work, printed, its)
    its.close()
    with ours:
        _, (listener, *_), _, _ = socket.recv_fds(ours, 1, 1)
        started(process)
        ours.sendall(b"x")
        status = _Supervisor(listener, process, root, decide).wait()
    return Ended(status, *(path.read_text("utf-8", "replace") for path in printed))


def _work(work: Callable[[], object], printed: list[Path], parent: socket.socket) -> NoReturn:
    code = 1
    try:
        os.setsid()
        for stream, path in zip((1, 2), printed, strict=True):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), stream)
        sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
        listener = _filtered()
        socket.send_fds(parent, [b"x"], [listener])
        os.close(listener)  # once nobody else has it, calls fail: whoever waits here would for ever
        parent.recv(1)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _filtered() -> int:
    """Has the kernel ask about this process's calls from now on; returns where it asks."""
    program = [(_LOAD, 0, 0, 0)]
    for number in _CALLS:
        if number in _OPEN_FLAGS:
            place = 16 + 8 * _OPEN_FLAGS[number]
            asks = [(_LOAD, 0, 0, place), (_ANY_SET, 0, 1, _CHANGES)]
            program += [(_EQUAL, 0, 4, number), *asks, (_RETURN, 0, 0, _ASK)]
            program += [(_RETURN, 0, 0, _ALLOW)]
        else:
            program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ASK)]
    program += [(_RETURN, 0, 0, _ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    described = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PRCTL_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(_SECCOMP, _SET_FILTER, _NEW_LISTENER, described)
    if listener < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "seccomp")
    return int(listener)


class _Supervisor:
    def __init__(self, listener: int, process: int, root: Path, decide: Decide) -> None:
        self._listener = listener
        self._process = process
        self._root = os.path.realpath(root)
        self._decide = decide

    def wait(self) -> int:
        """Answers until the process has ended, and returns its exit code."""
        ended = os.pidfd_open(self._process)
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(ended, select.POLLIN)
        try:
            while True:
                ready = dict(poll.poll())
                if ready.get(self._listener, 0) & select.POLLIN:
                    self._answer()
                elif ended in ready:
                    with suppress(ProcessLookupError):  # its own processes go with it
                        os.killpg(self._process, signal.SIGKILL)
                    return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        finally:
            os.close(ended)
            os.close(self._listener)

    def _answer(self) -> None:
        asked = bytearray(_ASKED.size)
        # Who asked, or who is to be answered, may have been killed meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            fcntl.ioctl(self._listener, _RECEIVE, asked)
            question, thread, _, number, _, _, *arguments = _ASKED.unpack(asked)
            refused = 0
            try:
                call = self._understand(thread, number, arguments)
                refused = self._decide(call) if call else 0
            except Killed:
                os.killpg(self._process, signal.SIGKILL)
                return
            answer = (question, 0, -refused, 0 if refused else _CONTINUE)
            fcntl.ioctl(self._listener, _ANSWER, bytearray(_ANSWERED.pack(*answer)))

    def _understand(self, thread: int, number: int, arguments: list[int]) -> Call | None:
        """Returns the call if it changes something below the root."""
        kind, place, path = _CALLS[number]
        if path is None:
            where = str(Path(f"/proc/{thread}/fd/{arguments[place] & 0xFFFFFFFF}").readlink())
            where = where.removesuffix(" (deleted)")
            to = ""
        else:
            where = self._path(thread, arguments, place, path)
            at = _TARGETS.get(number)
            to = self._path(thread, arguments, *at) if at else ""
        if number == 263 and arguments[2] & _AT_REMOVEDIR:
            kind = "rmdir"
        flags = arguments[_OPEN_FLAGS[number]] if number in _OPEN_FLAGS else 0
        truncates = kind == "open" and bool(flags & os.O_TRUNC or number == 85)
        found = [self._relative(name) for name in (where, to)]
        return Call(kind, found[0] or "", found[1] or "", truncates) if any(found) else None

    def _relative(self, path: str) -> str | None:
        if path == self._root:
            return "."
        return path.removeprefix(f"{self._root}/") if path.startswith(f"{self._root}/") else None

    def _path(self, thread: int, arguments: list[int], directory: int, place: int) -> str:
        """Returns a path that an argument points to, without links in its directory's name."""
        with Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
            memory.seek(arguments[place])
            text = memory.read(4096 - arguments[place] % 4096)
            if b"\0" not in text:
                text += memory.read(4096)
        name = os.fsdecode(text.partition(b"\0")[0])
        base = ctypes.c_int(arguments[directory]).value if directory >= 0 else _AT_FDCWD
        at = f"/proc/{thread}/cwd" if base == _AT_FDCWD else f"/proc/{thread}/fd/{base}"
        path = os.path.normpath(Path(at).readlink() / name)
        return str(Path(os.path.realpath(Path(path).parent), Path(path).name))


def fails(number: int, error: int) -> Decide:
    """Returns what fails the call of a number, from 1, with an error, or ends the process at 0."""
    count = 0

    def decide(_: Call) -> int:
        nonlocal count
        count += 1
        if count != number:
            return 0
        if not error:
            raise Killed
        return error

    return decide


def name_of(error: int) -> str:
    """Returns what a failed call met, for people."""
    return errno.errorcode[error] if error else "killed"
