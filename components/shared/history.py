"""What training leaves besides a model: ``history.jsonl``, a JSON object a line, and a picture."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HISTORY = "history.jsonl"
SHOWN = "shown.png"  # training images as they are, and moved; see train/shown.py
LARGEST = 3.5e38  # no float32, as all figures were, is larger

Row = dict[str, float]  # "step", and figures by name


def read_history(path: Path) -> list[Row]:
    """Reads the rows of a history, in order of their steps.

    Lines that are no such rows are left out with a warning: a run that was killed may leave half
    of one, a disk that failed anything.

    Raises:
        OSError: It cannot be read.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines()
    rows = rows_of(lines)
    if len(rows) < len(lines):
        left_out = len(lines) - len(rows)
        print(f"warning: {path}: {left_out} of {len(lines)} lines unreadable, left out", flush=True)
    return rows


def rows_of(lines: Iterable[bytes]) -> list[Row]:
    """Returns the rows that lines hold, in order of their steps, without lines that hold none."""
    rows: list[Row] = []
    for line in lines:
        row = _row(line)
        if row is not None and (not rows or row["step"] >= rows[-1]["step"]):
            rows.append(row)
    return rows


def text_of(row: Row) -> str:
    """Returns a row's line."""
    return json.dumps(row) + "\n"


def _row(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    return row if all(map(_is_figure, row.values())) else None


def _is_figure(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < LARGEST
