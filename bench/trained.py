"""What benches of scoring begin with: MNIST's examples, and a model trained on them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MNIST = Path(__file__).resolve().parent.parent / "data" / "mnist"


@contextmanager
def trained() -> Iterator[tuple[Path, Path]]:
    """Yields the examples directory and the model directory, and removes both."""
    from components.config import Ingest, Train
    from components.ingest.ingest import ingest
    from components.train.train import train_and_evaluate

    with tempfile.TemporaryDirectory() as scratch:
        examples, model = Path(scratch) / "examples", Path(scratch) / "model"
        ingest(Ingest(source=str(MNIST)), examples)
        train_and_evaluate(Train(), examples, model, Path(scratch) / "logs")
        yield examples, model
