"""The lock files of the images."""

import re
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from tests.conftest import ROOT

STEPS = ("ingest", "train", "evaluate", "push", "predict")
REQUIREMENTS = ROOT / "requirements-dev.lock"  # of the local environment, tests and lints included
RUNNING = ROOT / "requirements.lock"  # what `make local` installs
EXTRAS = {"push": ("push", "export")}  # where an image holds more than the extra of its name


def lock_file(name: str) -> Path:
    """Returns the lock file of an image, or of a layer."""
    return ROOT / "docker" / f"{name}.lock"


def pins(path: Path) -> dict[str, set[str]]:
    """Returns what a lock file holds: requirement and hashes."""
    found: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if pin := re.match(r"[a-z0-9].*?(?= \\$)", line):
            hashes = found.setdefault(_without_marker(pin[0]), set())
        elif digest := re.match(r" +--hash=(\S+)", line):
            hashes.add(digest[1])
    return found


def _without_marker(pin: str) -> str:
    """Drops marker and extra: they tell for whom a package is there, and not which it is."""
    return re.sub(r"\[.*?\]", "", pin.split(";")[0]).strip()


def packages(path: Path) -> dict[str, str]:
    """Returns the packages, with their versions, that a lock file has for this machine."""
    lines = path.read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line.rstrip(" \\")) for line in lines if re.match("[a-z0-9]", line)]
    return {
        requirement.name: str(requirement.specifier).removeprefix("==")
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"})
    }


def project() -> Any:
    """Returns pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
