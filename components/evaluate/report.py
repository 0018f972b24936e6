"""``report.html``: the evaluation as a page that needs nothing but itself."""

import base64
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.evaluate import confusion
from components.evaluate.templates import render
from components.shared.environment import RUN_ID, RUN_PAGE
from components.shared.evaluation import ClassFigures
from components.shared.history import HISTORY, Row, read_history
from components.shared.manifests import SPLITS, Dataset, Evaluation, Model
from components.shared.pages.charts import (
    LineChart,
    Points,
    line_chart,
    moving_mean,
    square_chart,
    thin,
)

FILE = "report.html"
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
        model_directory: Where the model's training history lies.
        pictures: The images to show.
        name: The model's; empty: not known.
    """
    test = evaluation.splits["test"]
    history = read_history(model_directory / HISTORY)
    page = render(
        "report.html.j2",
        evaluation=evaluation,
        name=name,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        run=os.environ.get(RUN_ID, ""),
        run_page=os.environ.get(RUN_PAGE, ""),
        test=test,
        model=model,
        dataset=dataset,
        mistakes=list(zip(evaluation.mistakes, map(_data_uri, pictures.mistakes), strict=True)),
        original=_data_uri(pictures.original),
        changes=list(zip(evaluation.robustness, map(_data_uri, pictures.changes), strict=True)),
        loss=_loss_chart(history),
        precision=_precision_chart(history),
        square=square_chart(),
        confusion=confusion.picture(test),
        confused=confusion.most_confused(test),
        bar_low=_bar_low(test.classes),
    )
    path.write_text(page, encoding="utf-8")


def _bar_low(classes: list[ClassFigures]) -> float:
    """Returns where the classes' bars start: close enough below the weakest to tell them apart."""
    weakest = min(one.recall for one in classes if one.examples)
    return 0.9 if weakest > 0.92 else 0.5 if weakest > 0.55 else 0.0


def _data_uri(image: npt.NDArray[np.uint8]) -> str:
    png = tf.io.encode_png(image[..., None]).numpy()
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _series(history: list[Row], name: str) -> Points:
    return [(row["step"], row[name]) for row in history if name in row]


def _loss_chart(history: list[Row]) -> LineChart | None:
    losses = _series(history, "loss")
    mean = moving_mean(losses, WINDOW)
    lines = {"of one batch": thin(losses, POINTS), "moving mean": thin(mean, POINTS)}
    if validation := _series(history, "loss/validation"):
        lines["of the validation split"] = thin(validation, POINTS)
    return line_chart(lines, log=True)


def _precision_chart(history: list[Row]) -> LineChart | None:
    return line_chart(
        {split: thin(_series(history, f"precision_at_1/{split}"), POINTS) for split in SPLITS}
    )
