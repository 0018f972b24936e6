"""``model_card.md``: what a model is, how good it is and where it breaks, for those who use it.

Source of the sections: Mitchell et al., "Model Cards for Model Reporting", 2019.
"""

import os
from pathlib import Path

from components.evaluate.templates import render
from components.shared.environment import RUN_ID
from components.shared.manifests import Dataset, Evaluation, Model

FILE = "model_card.md"


def write(
    path: Path, evaluation: Evaluation, model: Model, dataset: Dataset, name: str = ""
) -> None:
    """Renders the card of a model that was evaluated; its name may not be known."""
    page = render(
        "model_card.md.j2",
        evaluation=evaluation,
        model=model,
        dataset=dataset,
        name=name,
        run=os.environ.get(RUN_ID, ""),
    )
    path.write_text(page, encoding="utf-8")
