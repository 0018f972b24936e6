"""Published MD5 sums that lie beside files, as ``md5sum`` writes them."""

import re
from collections.abc import Sequence

from components.ingest.locate import File

FILE = "MD5SUMS"
LONGEST = 1 << 20  # bytes
_LINES = (
    re.compile(r"\\?(?P<md5>[0-9a-fA-F]{32}) [ *]?(?P<name>.+)"),
    re.compile(r"MD5 \((?P<name>.+)\) = (?P<md5>[0-9a-fA-F]{32})"),  # md5sum --tag
)


def published(beside: Sequence[File]) -> dict[str, str]:
    """The MD5 sums of a file MD5SUMS by the names it has, without the directories before them.

    Lines that are no sums, such as comments, are passed over; a file without any is told.
    """
    sums: dict[str, str] = {}
    for file in beside:
        if file.below.rpartition("/")[2] != FILE:
            continue
        text = file.head(LONGEST).decode("utf-8", errors="replace")
        found = [
            match
            for line in text.splitlines()
            if (match := next(filter(None, (p.fullmatch(line.strip()) for p in _LINES)), None))
        ]
        if not found:
            print(f"{file.name}: no MD5 sums in it; nothing is checked against it")
        sums |= {match["name"].rpartition("/")[2]: match["md5"].lower() for match in found}
    return sums
