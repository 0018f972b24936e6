"""What benches of scoring begin with: MNIST's examples, a model trained on them, its registry."""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.mnist import MNIST


@contextmanager
def trained() -> Iterator[tuple[Path, Path]]:
    """Yields the examples directory and the model directory, and removes both."""
    from components.config import Ingest, Train
    from components.ingest.ingest import ingest
    from components.train.train import train_and_evaluate

    with tempfile.TemporaryDirectory() as scratch:
        examples, model = Path(scratch) / "examples", Path(scratch) / "model"
        with contextlib.redirect_stdout(io.StringIO()):  # what benches print is their tables
            ingest(Ingest(source=str(MNIST)), examples)
            train_and_evaluate(Train(), examples, model, Path(scratch) / "logs")
        yield examples, model


def publish(model: Path, destination: Path | str, evaluation: Path | None = None) -> None:
    """Publishes a model directory as the next version of ``digits``, and makes it the champion.

    Nobody has judged it: which model it is does not matter to who calls this. What it was trained
    on goes with it where there is an evaluation.
    """
    from components.registry.registry import Registry, Release
    from components.registry.state import Validation
    from components.shared.manifests import Evaluation, Model
    from components.shared.predictions import Reference
    from components.shared.storage import files_of, sha256_of_saved_model

    saved_model = model / "saved_model"
    files = {**files_of(saved_model), Model.FILE: model / Model.FILE}
    if evaluation:
        for name in (Reference.FILE, Evaluation.FILE):
            files[name] = evaluation / name
    sha256 = sha256_of_saved_model(saved_model)
    release = Release(
        run_id=sha256,
        model_sha256=sha256,
        precision_at_1=0.9,
        validation=Validation(samples=0, largest_difference=0, latency_ms={}, size_bytes=0),
        files=files,
    )
    registry = Registry.open(str(destination), "digits")
    registry.advance(registry.publish(release))
