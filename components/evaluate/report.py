"""``report.html`` and ``model_card.md``: the evaluation for people, and the model for its users.

Source of the card's sections: Mitchell et al., "Model Cards for Model Reporting", 2019.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from components.evaluate.mistakes import confusion_matrix, most_confused
from components.shared import pages
from components.shared.evaluation import ClassFigures, Mistake
from components.shared.history import HISTORY, SHOWN, Row, read_history
from components.shared.manifests import SPLITS, Dataset, Evaluation, Model
from components.shared.pages.charts import (
    LineChart,
    Points,
    line_chart,
    moving_mean,
    square_chart,
    thin,
)
from components.shared.pages.pictures import grey, png_uri

FILE = "report.html"
MODEL_CARD = "model_card.md"
POINTS = 400  # of a learning curve at most
WINDOW = 10  # status lines that the loss is averaged over


class Pictures(NamedTuple):
    """The images that the report shows, uint8 ``[height, width]`` each."""

    mistakes: list[npt.NDArray[np.uint8]]  # as in the evaluation
    original: npt.NDArray[np.uint8]  # a test image
    changes: list[npt.NDArray[np.uint8]]  # the same, one for each of the robustness slices


def write(
    path: Path,
    evaluation: Evaluation,
    model: Model,
    dataset: Dataset,
    model_directory: Path,
    pictures: Pictures,
    name: str = "",
) -> None:
    """Renders the report of an evaluation.

    Args:
        path: The file to write.
        evaluation: What to report.
        model: The manifest of the model.
        dataset: The manifest of what it was scored on.
        model_directory: Where the model's training history lies, and the images it was shown.
        pictures: The images to show.
        name: The model's; empty: not known.
    """
    test = evaluation.splits["test"]
    history = read_history(model_directory / HISTORY)
    shown = model_directory / SHOWN
    page = pages.render(
        __package__ or "",
        "report.html.j2",
        evaluation=evaluation,
        name=name,
        model=model,
        dataset=dataset,
        mistakes=list(zip(evaluation.mistakes, map(grey, pictures.mistakes), strict=True)),
        mistakes_file=_one_file(evaluation.mistakes),
        original=grey(pictures.original),
        changes=list(zip(evaluation.robustness, map(grey, pictures.changes), strict=True)),
        shown=png_uri(shown.read_bytes()) if shown.exists() else None,
        loss=_loss_chart(history),
        precision=_precision_chart(history),
        square=square_chart(),
        confusion=confusion_matrix(test),
        confused=most_confused(test),
        bar_low=_bar_low(test.classes),
    )
    path.write_text(page, encoding="utf-8")


def write_model_card(
    path: Path, evaluation: Evaluation, model: Model, dataset: Dataset, name: str = ""
) -> None:
    """Renders the card of a model that was evaluated; its name may not be known."""
    card = pages.render(
        __package__ or "",
        "model_card.md.j2",
        evaluation=evaluation,
        model=model,
        dataset=dataset,
        name=name,
    )
    path.write_text(card, encoding="utf-8")


def _one_file(mistakes: list[Mistake]) -> str:
    """The file that all mistakes were read in; empty where there are several, or none is known."""
    files = {mistake.where.rpartition(", record ")[0] for mistake in mistakes}
    return files.pop() if len(files) == 1 else ""


def _bar_low(classes: list[ClassFigures]) -> float:
    """Returns where the classes' bars start: close enough below the weakest to tell them apart."""
    weakest = min(one.recall for one in classes if one.examples)
    return 0.9 if weakest > 0.92 else 0.5 if weakest > 0.55 else 0.0


def _series(history: list[Row], name: str) -> Points:
    return [(row["step"], row[name]) for row in history if name in row]


def _loss_chart(history: list[Row]) -> LineChart | None:
    losses = _series(history, "loss") + _series(history, "loss/batch")  # "loss" up to 0.2.0
    mean = moving_mean(losses, WINDOW)
    lines = {"of one batch": thin(losses, POINTS), "moving mean": thin(mean, POINTS)}
    if validation := _series(history, "loss/validation"):
        lines["of the validation split"] = thin(validation, POINTS)
    return line_chart(lines, log=True)


def _precision_chart(history: list[Row]) -> LineChart | None:
    return line_chart(
        {split: thin(_series(history, f"precision_at_1/{split}"), POINTS) for split in SPLITS}
    )
