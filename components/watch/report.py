"""``drift.html``: what came in beside what the model was trained on, as one page."""

from datetime import UTC, datetime
from pathlib import Path

from components.shared import pages
from components.shared.predictions import Drift, Predictions, Reference

FILE = "drift.html"


def write(path: Path, drift: Drift, predictions: Predictions, reference: Reference) -> None:
    """Renders the page of a night.

    Args:
        path: The file to write.
        drift: What was decided, and why.
        predictions: What came in, and what the model said of it.
        reference: What the model was trained on.
    """
    page = pages.render(
        "components.watch",
        ".",
        "drift.html.j2",
        drift=drift,
        predictions=predictions,
        reference=reference,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )
    path.write_text(page, encoding="utf-8")
