"""Which code this is: the project's version, and the commit it was checked out at."""

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from components.config import VERSION
from components.shared.environment import COMMIT

ROOT = Path(__file__).resolve().parent.parent.parent
DIRTY = "-dirty"  # at the end of the variable, where the tree had changes that no commit has


@dataclass(frozen=True)
class Code:
    """Where code can be found again."""

    version: str
    commit: str  # sha1 in hex; empty: not known
    dirty: bool  # whether files that git knows had changed since

    def __str__(self) -> str:
        changed = " with changes" if self.dirty else ""
        return f"{self.version} ({self.commit[:12]}{changed})" if self.commit else self.version


NOT_KNOWN = Code("", "", False)  # as of a model from before this was written down


def this_code() -> Code:
    """Returns the code that runs: as the environment says, or else git."""
    if told := os.environ.get(COMMIT):
        return Code(VERSION, told.removesuffix(DIRTY), told.endswith(DIRTY))
    # A project that lies inside another repository, as an installed one may, is not that one.
    top = _git("rev-parse", "--show-toplevel")
    if not top or Path(top) != ROOT:
        return Code(VERSION, "", False)
    return Code(
        VERSION,
        _git("rev-parse", "HEAD"),
        bool(_git("status", "--porcelain", "--untracked-files=no")),
    )


def sum_of_code(*packages: str) -> str:
    """Returns a sha256 over the Python files of some packages of components, in hex."""
    digest = hashlib.sha256()
    folders = [ROOT / "components" / package for package in packages]
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        text = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(text)}\n".encode() + text)
    return digest.hexdigest()


def _git(*arguments: str) -> str:
    """Returns what git prints; nothing where it is missing or refuses."""
    try:
        return subprocess.run(
            ["git", "--no-optional-locks", "-C", ROOT, *arguments],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
