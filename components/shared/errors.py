"""Errors and other lines meant for people."""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from components.shared.addresses import redacted_text

# What to do about what the system says.
_ADVICE = {
    errno.ENOSPC: "make room there, or name a place on another disk",
    errno.EDQUOT: "make room there, or name a place on another disk",
    errno.EROFS: "name a place that can be written to",
    errno.EACCES: "give this user the right to it, or name another place",
    errno.EPERM: "give this user the right to it, or name another place",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ENOENT: "check the name",
    errno.ENOTDIR: "expected a directory where a file is; name another place",
    errno.EEXIST: "remove it, or name another place",
    errno.EISDIR: "expected a file; name another place",
    errno.ENOTEMPTY: "something else writes there; name another place",
    errno.ELOOP: "links lead in a circle; name another place",
    errno.EBUSY: "a disk is mounted there or it is in use; name a directory in it",
    errno.EMFILE: "allow more open files: ulimit -n",
    errno.EFBIG: "no file may be as large there; name another place, or see ulimit -f",
    errno.EIO: "the disk or its server fails; try again, or name another place",
}
_NUMBER = re.compile(r"\[errno (\d+)\]", re.IGNORECASE)
_QUOTED = re.compile(r"'([^']*/[^']*)'")


class StepError(Exception):
    """A step cannot go on, for a reason the user can mend.

    The message is one line: what is wrong, where, what was expected, what to do. Whatever it is
    made of, it has no control characters and no secrets of addresses.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(redacted_text(message)))


@contextmanager
def errors_as_step_error(subject: object, problem: str, advice: str) -> Iterator[None]:
    """Turns whatever goes wrong in a block into one line about what the block works on.

    A damaged model, for instance, makes TensorFlow raise exceptions of a dozen kinds, from its
    parser's to those of single operations.

    Args:
        subject: What the block works on: a model's directory, a server.
        problem: What it does not do, such as "does not load".
        advice: What to do about it.

    Raises:
        StepError: Something went wrong.
    """
    try:
        yield
    except StepError:
        raise
    except Exception as error:
        raise StepError(f"{subject}: {problem} ({explain(error)}); {advice}") from error


def printable(text: str) -> str:
    """Returns a text with blanks for what would break its line or steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def listed(names: Sequence[str], most: int = 3) -> str:
    """Returns the first of some names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def log_line(line: str) -> None:
    """Prints a line, safe to show and at once, whatever names of files or columns are in it."""
    print(printable(redacted_text(line)), flush=True)


def explain(error: BaseException) -> str:
    """Says what the system had against a file: which, why, and what to do.

    Libraries wrap what the system says in texts of their own, shutil and pyarrow among them: then
    number and file are taken from the text.

    Returns:
        One line; where the error is none of the system's, the first line of its own text.
    """
    number, line = _number(error)
    if number not in errno.errorcode:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    quoted = _QUOTED.search(line)
    where = os.fsdecode(name) if isinstance(name, str | bytes) else quoted[1] if quoted else ""
    reason = os.strerror(number).lower()
    return ": ".join(filter(None, [where, reason])) + "; " + _ADVICE.get(number, "see --debug")


def is_about_a_file(error: BaseException) -> bool:
    """Whether this is what the system has against a file, in whatever it was wrapped."""
    return _number(error)[0] in _ADVICE


def _number(error: BaseException) -> tuple[int, str]:
    """The system's number for an error, 0 if it has none, and the line of its text that tells."""
    text = str(error)
    found = next(filter(_NUMBER.search, reversed(text.splitlines())), "")
    in_text = _NUMBER.search(found)
    return getattr(error, "errno", None) or (int(in_text[1]) if in_text else 0), found
