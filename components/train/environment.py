"""What the cluster tells training by its environment.

These are no parameters: those are part of the backend's cache key, and a run's own name in it would
never be found again.
"""

import os
from pathlib import Path

from components.shared.code import RUN_ID

VOLUME = "RUN_VOLUME"  # the mounted volume
TRAINJOB = "TRAINJOB_SETTINGS"  # how to train on several nodes, as JSON


def run_directory(step: str) -> str:
    """Returns, within a step, the directory that every attempt of this run finds; "" if none."""
    volume, run = os.environ.get(VOLUME), os.environ.get(RUN_ID)
    return str(Path(volume) / run / step) if volume and run else ""
