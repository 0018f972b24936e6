"""Training: from a dataset to a SavedModel, exactly resumable at every checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from components.config import Train
from components.shared.errors import StepError
from components.shared.manifests import Dataset, Model
from components.shared.outcome import Outcome, report_outcome
from components.shared.storage import atomic_directory
from components.train.distributed.cluster import Cluster
from components.train.identity import claim


def train_and_evaluate(config: Train, examples: Path, output: Path, logs: Path) -> Model | None:
    """Trains the network, with an evaluation on all splits at each checkpoint.

    Args:
        config: How to train.
        examples: The directory that ingest wrote.
        output: The model directory; it appears whole or not at all.
        logs: Directory of the checkpoints and TensorBoard events, the same for all workers. A run
            started again with the same one goes on where it stopped.

    Returns:
        The manifest, also in ``output``; None on a worker that is not the chief.

    Raises:
        StepError: The data, the workers or the checkpoints do not fit the configuration, or the
            loss is not finite.
    """
    dataset = Dataset.read(examples)
    cluster = Cluster.from_environment()
    _check(config, dataset, cluster)
    with _chiefs(config, dataset, output, logs) if cluster.chief else nullcontext(output) as model:
        # Only now, since it costs seconds: a wrong configuration is told at once.
        from components.train.fit import fit

        trained = fit(config, cluster, dataset, examples, model, logs)
    if trained:
        report_trained(trained)
    return trained


def report_trained(model: Model) -> None:
    """Reports what came of training."""
    precision = model.scores["test"].precision
    message = f"Trained {model.step:,} steps: test precision@1 {precision:.4f}"
    report_outcome(Outcome(step="train", result="done", message=message, precision_at_1=precision))


@contextmanager
def _chiefs(config: Train, dataset: Dataset, output: Path, logs: Path) -> Iterator[Path]:
    """Keeps other runs off the directories that the chief writes; yields where the model goes."""
    if output.resolve() in (logs.resolve(), *logs.resolve().parents):
        raise StepError(f"{logs}: lies in {output}, which is replaced; name another --logs")
    data = {
        "dataset": dataset.fingerprint,
        "image_shape": list(dataset.image_shape),
        "classes": len(dataset.class_names),
    }
    with atomic_directory(output, Model.FILE) as model, claim(logs, config, data):
        try:
            yield model
        except OSError as error:  # without a name it is of a file that was open all the time
            if error.errno and not error.filename:
                raise OSError(error.errno, error.strerror, str(logs)) from None
            raise


def _check(config: Train, dataset: Dataset, cluster: Cluster) -> None:
    for name, split in dataset.splits.items():
        if not split.records:
            raise StepError(
                f"the {name} split has no records, expected some; run ingest on more, or with "
                "another --validation-share and --test-share"
            )
    train = dataset.splits["train"]
    if train.records < config.batch_size:
        raise StepError(
            f"the training split has {train.records} records, expected at least one batch of "
            f"{config.batch_size}; lower --batch-size"
        )
    if config.shift >= min(dataset.image_shape):
        size = " x ".join(map(str, dataset.image_shape))
        raise StepError(
            f"a shift of {config.shift} pixels, but images of {size}, expected a smaller shift "
            "than the images; lower --shift"
        )
    if cluster.size > len(train.shards):
        raise StepError(
            f"{cluster.size} workers, but the training split has {len(train.shards)} shards, "
            "expected at least one each; lower ingest's --shard-size"
        )
    if config.batch_size % cluster.size:
        raise StepError(
            f"batch size {config.batch_size} for {cluster.size} workers, expected a multiple of "
            "their number; change --batch-size"
        )
