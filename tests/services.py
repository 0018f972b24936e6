"""What some tests need besides Python, and which ``make …`` installs it."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent


def unavailable(what: str, target: str) -> NoReturn:
    """Skips a test for want of what a make target installs; in CI that is a failure."""
    reason = f"{what} is not there; install it with: make {target}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str, target: str) -> Path:
    """Returns a program that a make target installs; without it the test is skipped."""
    path = ROOT / "build" / "bin" / name
    if not path.exists():
        unavailable(name, target)
    return path


def remedy(reasons: Iterable[str]) -> str:
    """Returns one line on which targets would let how many skipped tests run, or nothing."""
    found = (re.search(r": make ([a-z-]+)$", reason) for reason in reasons)
    targets = Counter(match[1] for match in found if match)
    if not targets:
        return ""
    each = ", ".join(f"make {target} ({count})" for target, count in targets.most_common())
    return f"{targets.total()} of the skipped tests run after {each}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at the end of the tests what would let skipped ones run."""
    skipped = terminalreporter.stats.get("skipped", [])
    line = remedy(report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple))
    if line:
        terminalreporter.write_line(line, yellow=True)
