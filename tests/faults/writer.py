"""Writes a directory whole or not at all: ``python -m tests.faults.writer DIRECTORY TEXT``."""

import sys
from pathlib import Path

from components.shared.command_line import exit_on_error
from components.shared.storage import atomic_directory

if __name__ == "__main__":
    with exit_on_error(), atomic_directory(Path(sys.argv[1]), "part.txt") as directory:
        (directory / "inside").mkdir()
        for part in (directory / "part.txt", directory / "inside" / "part.txt"):
            part.write_text(sys.argv[2])
