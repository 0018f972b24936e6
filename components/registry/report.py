"""A registry as one page that needs nothing but itself: what was published, and what is in use."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from components.registry.contents import Champion, Version
from components.registry.registry import ForeignVersionError, Registry
from components.shared import pages
from components.shared.errors import StepError
from components.shared.manifests import Evaluation, Model

WIDTH, HEIGHT = 480, 240  # of the chart, in user units
LEFT, RIGHT, TOP, BOTTOM = 56, 24, 14, 34  # around the plot


class _Split(BaseModel):
    interval: tuple[float, float]
    confusion: list[list[int]]


class _Judged(BaseModel):
    """What the page takes of ``evaluation.json``, which versions before this one wrote, too."""

    dataset_fingerprint: str
    splits: dict[str, _Split]

    def shares(self) -> list[float]:
        """Returns the share of every class in the training split."""
        rows = [sum(row) for row in self.splits["train"].confusion]
        return [row / max(sum(rows), 1) for row in rows]


class _Trained(BaseModel):
    """What the page takes of ``model.json``."""

    config: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A version on the page."""

    manifest: Version
    state: str  # champion, earlier champion, rolled back, or empty
    judged: _Judged | None
    options: dict[str, str]  # that training was given
    run_page: str = ""  # where the run's page is, seen from this one; empty: not known
    drift: float | None = None  # largest change of a class's share against the champion's data

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of precision@1 on the test split."""
        return self.judged.splits["test"].interval if self.judged else None


@dataclass(frozen=True)
class Mark:
    """A version in the chart, in user units."""

    row: Row
    x: float
    y: float
    low: float
    high: float


def render(registry: Registry, run_page: Callable[[str], str] = lambda _: "") -> str:
    """Renders the page of a registry.

    Args:
        registry: The registry.
        run_page: Returns where the page of a run is, seen from this one; empty: not known.

    Raises:
        StepError: It holds no version, or cannot be read.
    """
    champion = registry.champion()
    rows, foreign = [], []
    for version in registry.versions():
        try:
            rows.append(_row(registry, version, champion, run_page))
        except ForeignVersionError:
            foreign.append(version)
    if not rows:
        raise StepError(f"{registry.where}: holds no version of its own; push a model first")
    rows = _with_drift(rows)
    low, high = _bounds(rows)
    return pages.render(
        __package__ or "",
        ".",
        "registry.html.j2",
        where=registry.where,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        champion=next((row for row in rows if row.state == "champion"), None),
        rows=rows[::-1],
        foreign=foreign,
        options=_differing(rows[::-1]),
        marks=_marks(rows, low, high),
        ticks=[
            (_y(low + (high - low) * part / 4, low, high), low + (high - low) * part / 4)
            for part in range(5)
        ],
        box=(WIDTH, HEIGHT, LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM),
    )


def _row(
    registry: Registry, version: int, champion: Champion | None, run_page: Callable[[str], str]
) -> Row:
    manifest = registry.manifest(version)
    judged: _Judged | None = None
    options: dict[str, str] = {}
    # A version of another making has less on the page; pydantic's error is a ValueError, too.
    with suppress(ValueError):
        judged = _Judged.model_validate_json(_read(registry, version, Evaluation.FILE))
    with suppress(ValueError):
        trained = _Trained.model_validate_json(_read(registry, version, Model.FILE))
        options = {name: str(value) for name, value in trained.config.items()}
    page = run_page(manifest.run_id)
    return Row(manifest, _state(version, champion), judged, options, page)


def _read(registry: Registry, version: int, name: str) -> bytes:
    if name not in registry.storage.files(version):
        return b""
    with registry.storage.open(f"{version}/{name}") as file:
        return file.read()


def _differing(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Returns the options by which versions differ, with the value of each; of one version, all."""
    names = sorted({name for row in rows for name in row.options})
    values = {name: [row.options.get(name, "") for row in rows] for name in names}
    return {name: held for name, held in values.items() if len(rows) == 1 or len(set(held)) > 1}


def _state(version: int, champion: Champion | None) -> str:
    if champion is None:
        return ""
    if version == champion.version:
        return "champion"
    if version in champion.previous:
        return "earlier champion"
    return "rolled back" if champion.version < version <= champion.highest else ""


def _with_drift(rows: Sequence[Row]) -> list[Row]:
    champion = next((row for row in rows if row.state == "champion" and row.judged), None)
    found = []
    for row in rows:
        drift = None
        if champion and champion.judged and row.judged:
            pairs = zip(row.judged.shares(), champion.judged.shares(), strict=False)
            drift = max((abs(one - other) for one, other in pairs), default=0.0)
        found.append(replace(row, drift=drift))
    return found


def _bounds(rows: Sequence[Row]) -> tuple[float, float]:
    ends = [end for row in rows for end in row.interval or (row.manifest.precision_at_1,) * 2]
    margin = max(0.1 * (max(ends) - min(ends)), 0.001)
    return max(min(ends) - margin, 0.0), min(max(ends) + margin, 1.0)


def _y(value: float, low: float, high: float) -> float:
    return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - TOP), 1)


def _marks(rows: Sequence[Row], low: float, high: float) -> list[Mark]:
    step = (WIDTH - LEFT - RIGHT) / len(rows)
    marks = []
    for place, row in enumerate(rows):
        precision = row.manifest.precision_at_1
        bottom, top = row.interval or (precision, precision)
        x = round(LEFT + (place + 0.5) * step, 1)
        marks.append(Mark(row, x, *(_y(value, low, high) for value in (precision, bottom, top))))
    return marks
