"""What the steps leave in a directory, to compare one run's with another's.

What may differ from one time to the next is derived, not listed: the manifests' figures that are
measured in time, by the unit in their names, and such figures in texts for people.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from components.shared.manifests import Dataset, Evaluation, Manifest, Model
from components.shared.predictions import Drift, Predictions

MANIFESTS: dict[str, type[Manifest]] = {
    kind.FILE: kind for kind in (Dataset, Model, Evaluation, Predictions, Drift)
}
TIMED = re.compile(r"(^|_)(seconds?|ms)$")  # a field
TIMES = re.compile(r"[\d.e+-]+ (ms|s)\b|\d{4}-\d\d-\d\d \d\d:\d\d UTC")  # in a text
TEXTS = (".html", ".md")
# TensorFlow writes a random number into the one; of the other, each attempt writes its own.
OF_AN_ATTEMPT = re.compile(r"fingerprint\.pb|events\.out\.tfevents\..*")


def contents(directory: Path, without_times: bool) -> dict[str, Any]:
    """Returns what lies in a directory by name, leftovers of runs included.

    Args:
        directory: Which.
        without_times: Leaves out what differs between two that do the same.
    """
    found: dict[str, Any] = {}
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        if path.is_dir():
            found[name] = "a directory"
        elif not without_times:
            found[name] = path.read_bytes()
        elif path.name in MANIFESTS:
            found[name] = timeless(MANIFESTS[path.name].read(path.parent))
        elif path.suffix in TEXTS:
            found[name] = timeless(path.read_text(encoding="utf-8"))
        elif not OF_AN_ATTEMPT.fullmatch(path.name):
            found[name] = path.read_bytes()
    return found


def timeless(value: Any) -> Any:
    """Returns a manifest, or a part of one, without the figures that are measured in time."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {name: timeless(getattr(value, name)) for name in fields if not TIMED.search(name)}
    if isinstance(value, Mapping):
        return {name: timeless(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [timeless(one) for one in value]
    return TIMES.sub("", value) if isinstance(value, str) else value
