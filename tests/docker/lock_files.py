"""What is locked: for this machine, and for each image as its build reads it from uv.lock."""

import os
import re
import subprocess
import tempfile
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from uv import find_uv_bin

from tests.conftest import ROOT

IMAGES = tuple(subprocess.check_output([ROOT / "docker/targets.sh"], text=True).split())
STEPS = tuple(image for image in IMAGES if image != "train-gpu")  # those of make test-containers
Pins = dict[str, set[str]]  # requirement, and its hashes


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs uv in the project, with no index but the default one."""
    return subprocess.run(
        [find_uv_bin(), *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("UV_")},
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def _images() -> dict[str, str]:
    search = f"{Path(find_uv_bin()).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as directory:
        command = [str(ROOT / "docker" / "locks.sh"), directory]
        subprocess.run(command, env={**os.environ, "PATH": search}, check=True)
        return {path.stem: path.read_text("utf-8") for path in Path(directory).iterdir()}


def lock_of(image: str) -> str:
    """Returns what an image, or a layer, installs, as its build writes it."""
    return _images()[image]


def running() -> str:
    """Returns what ``make local`` installs: the first part of requirements.txt."""
    return developing().partition("# Tests")[0]


def developing() -> str:
    """Returns all that ``make test`` installs."""
    return (ROOT / "requirements.txt").read_text(encoding="utf-8")


def uv_lock() -> Any:
    """Returns uv.lock."""
    return tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))


def pins(text: str) -> Pins:
    """Returns what a file of requirements holds: requirement and hashes."""
    found: Pins = {}
    for line in text.splitlines():
        if pin := re.match(r"[a-z0-9].*?(?= \\$)", line):
            hashes = found.setdefault(pin[0].split(" ; ")[0], set())
        elif digest := re.match(r" +--hash=(\S+)", line):
            hashes.add(digest[1])
    return found


def packages(text: str, python: str = "3.11.9") -> dict[str, str]:
    """Returns the packages, with their versions, that a file of requirements has for a Python."""
    lines = [line.rstrip(" \\") for line in text.splitlines() if re.match("[a-z0-9]", line)]
    version = {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python}
    return {
        requirement.name: str(requirement.specifier).removeprefix("==")
        for requirement in map(Requirement, lines)
        if requirement.marker is None or requirement.marker.evaluate(version)
    }
