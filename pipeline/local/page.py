"""``index.html`` of a run: what came of it, with links to all that it made."""

import os
from pathlib import Path
from urllib.parse import quote

from components.shared import pages
from components.shared.environment import RUN_INDEX
from components.shared.storage import write_text
from pipeline.local.runs import Run

MADE = {  # what there is to look at, by name
    "Report of the evaluation": "evaluate/evaluation/report.html",
    "Statistics of the dataset": "ingest/examples/statistics.html",
    "Model card": "evaluate/evaluation/model_card.md",
    "Predictions": "evaluate/evaluation/predictions.parquet",
    "Model": "train/model/",
    "What moved": "watch/drift/drift.html",
    "What the model says of each image": "predict/predictions/",
    "Checkpoints and TensorBoard's events": "train/logs/",
}


def _link(directory: Path, published: str) -> str:
    """Returns the link from a page in a directory to a version; empty where it is not on disk."""
    if not published or not Path(published).is_dir():
        return ""
    return quote(os.path.relpath(published, directory.resolve())) + "/"


def write(directory: Path, run: Run) -> None:
    """Writes the page of a run into its directory."""
    made = {name: place for name, place in MADE.items() if (directory / place).exists()}
    logs = {step: f"{step}/log.txt" for step in run.steps}
    page = pages.render(
        "pipeline.local",
        ".",
        "run.html.j2",
        run=run,
        made=made,
        logs=logs,
        version=_link(directory, run.published),
        directory=directory,
    )
    write_text(directory / RUN_INDEX, page)
