"""Published MD5 and SHA-256 sums that lie beside files, as ``md5sum`` and its kin write them."""

import re
from collections.abc import Sequence

from components.shared.errors import log_line
from components.sources.locate import File

FILES = ("MD5SUMS", "SHA256SUMS")
LONGEST = 1 << 20  # bytes
_SUM = "(?P<sum>[0-9a-fA-F]{32}|[0-9a-fA-F]{64})"
_LINES = (
    re.compile(rf"\\?{_SUM} [ *]?(?P<name>.+)"),
    re.compile(rf"(MD5|SHA256) \((?P<name>.+)\) = {_SUM}"),  # md5sum --tag
)


def published(beside: Sequence[File]) -> dict[str, str]:
    """The sums of such files by the names they have, without the directories before them.

    Lines that are no sums, such as comments, are passed over; a file without any is told.
    """
    sums: dict[str, str] = {}
    for file in beside:
        if file.below.rpartition("/")[2] not in FILES:
            continue
        text = file.head(LONGEST).decode("utf-8", errors="replace")
        found = parse(text)
        if not found:
            log_line(f"{file.name}: no sums in it; nothing is checked against it")
        sums |= found
    return sums


def parse(text: str) -> dict[str, str]:
    """Reads the lines that are sums: hexadecimal, by the name of the file."""
    lines = (line.strip() for line in text.splitlines())
    found = (next(filter(None, (form.fullmatch(line) for form in _LINES)), None) for line in lines)
    return {match["name"].rpartition("/")[2]: match["sum"].lower() for match in found if match}
