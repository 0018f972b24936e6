"""A registry as one page that needs nothing but itself: what was published, and what is in use."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BaseModel, Field

from components.registry.registry import CONNECTIONS, Registry
from components.registry.state import Champion, VersionManifest
from components.registry.storage import NotStoredError
from components.shared import pages
from components.shared.errors import StepError
from components.shared.manifests import Evaluation, Model
from components.shared.pages.charts import Axis, round_step

# Of the chart, in pixels; its width is that of the page, so x is in hundredths of the plot's.
HEIGHT, TOP, BOTTOM = 260, 14, 34
LABELS = 8  # of versions, as many as a telephone has room for

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**53)]


class _Split(BaseModel):
    interval: tuple[Share, Share]
    confusion: list[list[Count]]


class _Splits(BaseModel):
    train: _Split
    test: _Split


class _Judged(BaseModel):
    """What the page takes of ``evaluation.json``, which versions before this one wrote, too."""

    dataset_fingerprint: str
    splits: _Splits

    def shares(self) -> list[float]:
        """Returns the share of every class in the training split."""
        rows = [sum(row) for row in self.splits.train.confusion]
        return [row / max(sum(rows), 1) for row in rows]


class _Trained(BaseModel):
    """What the page takes of ``model.json``."""

    config: dict[str, Any]


@dataclass(frozen=True)
class VersionRow:
    """A version on the page."""

    version: int
    manifest: VersionManifest
    state: str  # champion, earlier champion, rolled back, or empty
    judged: _Judged | None
    options: dict[str, str]  # that training was given
    run_page: str = ""  # where the run's page is, seen from this one; empty: not known
    drift: float | None = None  # largest change of a class's share against the champion's data

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of precision@1 on the test split."""
        return self.judged.splits.test.interval if self.judged else None


def render(registry: Registry, run_page: Callable[[str], str] = lambda _: "") -> str:
    """Renders the page of a registry.

    Args:
        registry: The registry.
        run_page: Returns where the page of a run is, seen from this one; empty: not known.

    Raises:
        StepError: It holds no version, or cannot be read.
    """
    champion = registry.champion()
    manifests = registry.manifests()
    known = {
        version: found for version, found in manifests.items() if isinstance(found, VersionManifest)
    }
    if not known:
        raise StepError(f"{registry.location}: holds no version of its own; push a model first")
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        rows = list(
            pool.map(
                lambda version: _row(registry, version, known[version], champion, run_page), known
            )
        )
    rows = _with_drift(rows)
    return pages.render(
        __package__ or "",
        "registry.html.j2",
        location=registry.location,
        champion=next((row for row in rows if row.state == "champion"), None),
        rows=rows[::-1],
        foreign=[version for version in manifests if version not in known],
        options=_differing(rows[::-1]),
        x=Axis(0, len(rows), 0, 100),
        y=_precision_axis(rows),
        height=HEIGHT,
        every=int(max(1, round_step(len(rows) / LABELS))),
    )


def _row(
    registry: Registry,
    version: int,
    manifest: VersionManifest,
    champion: Champion | None,
    run_page: Callable[[str], str],
) -> VersionRow:
    judged: _Judged | None = None
    options: dict[str, str] = {}
    # A version of another making has less on the page; pydantic's error is a ValueError, too.
    with suppress(ValueError, NotStoredError):
        text = registry.read_file(version, Evaluation.FILE)
        judged = _Judged.model_validate_json(text)
    with suppress(ValueError, NotStoredError):
        text = registry.read_file(version, Model.FILE)
        trained = _Trained.model_validate_json(text)
        options = {name: str(value) for name, value in trained.config.items()}
    page = run_page(manifest.run_id)
    return VersionRow(version, manifest, _state(version, champion), judged, options, page)


def _differing(rows: Sequence[VersionRow]) -> dict[str, list[str]]:
    """Returns the options by which versions differ, with the value of each; of one version, all."""
    names = sorted({name for row in rows for name in row.options})
    values = {name: [row.options.get(name, "") for row in rows] for name in names}
    return {name: each for name, each in values.items() if len(rows) == 1 or len(set(each)) > 1}


def _state(version: int, champion: Champion | None) -> str:
    if champion is None:
        return ""
    if version == champion.version:
        return "champion"
    if version in champion.previous:
        return "earlier champion"
    return "rolled back" if champion.version < version <= champion.highest else ""


def _with_drift(rows: Sequence[VersionRow]) -> list[VersionRow]:
    champion = next((row for row in rows if row.state == "champion" and row.judged), None)
    found = []
    for row in rows:
        drift = None
        if champion and champion.judged and row.judged:
            pairs = zip(row.judged.shares(), champion.judged.shares(), strict=False)
            drift = max((abs(one - other) for one, other in pairs), default=0.0)
        found.append(replace(row, drift=drift))
    return found


def _precision_axis(rows: Sequence[VersionRow]) -> Axis:
    ends = [end for row in rows for end in row.interval or (row.manifest.precision_at_1,) * 2]
    margin = max(0.1 * (max(ends) - min(ends)), 0.001)
    low, high = max(min(ends) - margin, 0.0), min(max(ends) + margin, 1.0)
    return Axis(low, high, HEIGHT - BOTTOM, TOP)
