"""The KFP face of tune."""

from kfp import dsl

from components.config import image


@dsl.component(base_image=image("train"), packages_to_install=[], install_kfp_package=False)
def tune(
    examples: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    study: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
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
    search: str,
    trials: int,
    sampler: str,
    pruner: str,
    parallel: int,
) -> None:
    """Searches for the best settings on validation, going on from the trials it finds."""
    import shutil
    from pathlib import Path

    from components.config import Tune
    from components.shared.command_line import exit_on_error
    from components.shared.environment import run_directory
    from components.tune.report import FILE
    from components.tune.tune import tune

    given = locals()
    directory = Path(checkpoints or run_directory("tune") or study.path)
    with exit_on_error(step="tune"):
        found = tune(Tune.pick(given), Path(examples.path), Path(model.path), directory)
        shutil.copy(directory / FILE, report.path)
    study.metadata["directory"] = str(directory)
    model.metadata["step"] = found.model.step
    model.metadata["dataset_fingerprint"] = found.model.dataset_fingerprint
    validation = found.model.scores["validation"]
    metrics.log_metric("validation_loss", validation.loss or 0.0)
    metrics.log_metric("validation_precision_at_1", validation.precision)
    metrics.log_metric("trials", found.trials)
    metrics.log_metric("pruned", found.pruned)
    if found.default:
        metrics.log_metric("default_validation_precision_at_1", found.default.value)
