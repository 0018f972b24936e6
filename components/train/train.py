"""Training: from a dataset to a SavedModel, exactly resumable at every checkpoint."""

from pathlib import Path

from components.config import Train
from components.shared.errors import StepError
from components.shared.manifests import Dataset, Model
from components.train.cluster import Cluster
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
    if cluster.chief:
        claim(logs, config, dataset.fingerprint)

    # Only now, since it costs seconds: a wrong configuration is told at once.
    from components.shared.examples import blaming_shards
    from components.train.fit import fit

    with blaming_shards(dataset, examples):
        return fit(config, cluster, dataset, examples, output, logs)


def _check(config: Train, dataset: Dataset, cluster: Cluster) -> None:
    train = dataset.splits["train"]
    if train.records < config.batch_size:
        raise StepError(
            f"the training split has {train.records} records, expected at least one batch of "
            f"{config.batch_size}; lower --batch-size"
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
