"""The KFP face of train."""

from kfp import dsl

from components.config import image


@dsl.component(base_image=image("train"), packages_to_install=[], install_kfp_package=False)
def train(
    examples: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    logs: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    checkpoints: str,
    network: str,
    hidden: str,
    standardize: bool,
    batch_size: int,
    max_steps: int,
    learning_rate: float,
    decay: str,
    warmup_steps: int,
    optimizer: str,
    momentum: float,
    weight_decay: float,
    average: float,
    label_smoothing: float,
    patience: int,
    shift: int,
    shift_each: str,
    affine: float,
    elastic: float,
    seed: int,
    log_every: int,
    checkpoint_every: int,
    checkpoint_seconds: float,
    keep_checkpoints: int,
    precision: str,
    xla: bool,
    restart: bool,
    worker_timeout: int,
    data_path: str,
    resident_mib: int,
) -> None:
    """Trains the network and writes a SavedModel, going on from the checkpoints it finds."""
    import os
    from pathlib import Path

    from components.config import Train
    from components.shared.command_line import exit_on_error
    from components.shared.environment import TRAINJOB_SETTINGS, run_directory
    from components.train.train import report_trained, train_and_evaluate

    given = locals()
    directory = Path(checkpoints or run_directory("train") or logs.path)
    with exit_on_error(step="train"):
        config = Train.pick(given)
        if not (settings := os.environ.get(TRAINJOB_SETTINGS)):
            manifest = train_and_evaluate(config, Path(examples.path), Path(model.path), directory)
        else:
            from components.train.distributed.trainjob import launch

            manifest = launch(settings, config, Path(examples.path), Path(model.path), directory)
            report_trained(manifest)
    logs.metadata["directory"] = str(directory)
    if manifest:
        validation = manifest.scores["validation"]
        metrics.log_metric("validation_loss", validation.loss or 0.0)
        metrics.log_metric("validation_precision_at_1", validation.precision)
        metrics.log_metric("seconds", manifest.seconds)
        metrics.log_metric("steps_per_second", manifest.steps_per_second)
        model.metadata["step"] = manifest.step
        model.metadata["dataset_fingerprint"] = manifest.dataset_fingerprint
