"""Which files an address names: a directory, a glob, a pattern of days."""

import re
from datetime import UTC, date, datetime, timedelta

from pyarrow import fs

from components.shared.errors import StepError

DATE = "{date}"  # in an address: a day, as 2026-11-23
_TOKENS = {
    "**/": "(?:.*/)?",
    "*": "[^/]*",
    "?": "[^/]",
    DATE: r"(?P<date>\d{4}-\d{2}-\d{2})",
}
_NO_DATA = {
    "_SUCCESS",
    "_temporary",
    "_metadata",
    "_common_metadata",
    "_delta_log",
    "__MACOSX",
    "Thumbs.db",
    "desktop.ini",
}
_TOKEN = re.compile("|".join(map(re.escape, _TOKENS)))


def is_pattern(address: str) -> bool:
    """Whether an address names files by a pattern."""
    return _TOKEN.search(address) is not None


def root_of(address: str) -> str:
    """The directory above all that a pattern names; of an address that is none, itself."""
    token = _TOKEN.search(address)
    return address[: token.start()].rpartition("/")[0] if token else address


def select(
    filesystem: fs.FileSystem, path: str, days: tuple[date, date] | None
) -> tuple[str, list[fs.FileInfo]]:
    """Lists the files that a pattern names, or that lie in the directories it names.

    Hidden files, and what Spark, macOS and Windows leave beside data, are none of them.

    Args:
        filesystem: Where to look.
        path: With ``*``, ``?``, ``**/`` and ``{date}``; all dates in a path are the same day.
        days: The first and the last day to take, for a path with ``{date}``.

    Returns:
        The directory above all of them, and the files in the order of their paths.

    Raises:
        StepError: A file's name is not UTF-8.
    """
    root = root_of(path)
    selector = fs.FileSelector(root or "/", recursive=True, allow_not_found=True)
    try:
        files = [
            info
            for info in filesystem.get_file_info(selector)
            if info.is_file and not is_no_data(info.path[len(root) :])
        ]
    except UnicodeDecodeError as error:
        name = bytes(error.object).decode("utf-8", "backslashreplace")
        raise StepError(f"{name}: a name that is not UTF-8; rename it") from None
    files.sort(key=lambda info: info.path)
    for pattern in (path, f"{path.rstrip('/')}/**/*"):
        matches = re.compile(_regex(pattern)).fullmatch
        found = [
            info
            for info in files
            if (match := matches(info.path)) and (days is None or _within(match["date"], days))
        ]
        if found:
            return root, found
    return root, []


def is_no_data(below: str) -> bool:
    """Whether a path, from where the user looks, is hidden or of what systems leave behind."""
    parts = [part for part in below.split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part in _NO_DATA for part in parts)


def days_until(span: int, until: str) -> tuple[date, date]:
    """Returns the first and the last day of a span.

    Args:
        span: How many days; 0, and more than the calendar has, is all.
        until: The last day, or a time in it, as in ISO 8601; empty is today (UTC).

    Raises:
        StepError: ``until`` is no such time.
    """
    try:
        time = datetime.fromisoformat(until) if until else datetime.now(UTC)
        last = time.astimezone(UTC).date() if time.tzinfo else time.date()
    except (ValueError, OverflowError):
        raise StepError(
            f"--until {until}: expected a day or a time, as 2026-11-23 or 2026-11-23T03:00:00Z"
        ) from None
    if not 0 < span <= last.toordinal():
        return date.min, last
    return last - timedelta(days=span - 1), last


def _regex(path: str) -> str:
    """The regular expression of a pattern; a second ``{date}`` must be the same day."""
    parts, end = [], 0
    for token in _TOKEN.finditer(path):
        parts += [re.escape(path[end : token.start()]), _TOKENS[token[0]]]
        end = token.end()
    text = "".join([*parts, re.escape(path[end:])])
    head, group, tail = text.partition(_TOKENS[DATE])
    return head + group + tail.replace(_TOKENS[DATE], "(?P=date)")


def _within(found: str, days: tuple[date, date]) -> bool:
    try:
        return days[0] <= date.fromisoformat(found) <= days[1]
    except ValueError:  # looks like a day and is none: 2026-02-30
        return False
