"""The KFP face of evaluate."""

from kfp import dsl

from components.config import image


@dsl.component(base_image=image("evaluate"), packages_to_install=[], install_kfp_package=False)
def evaluate(
    examples: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    classification: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    model_card: dsl.Output[dsl.Markdown],
    destination: str,
    model_name: str,
    no_push: bool,
    min_precision: float,
    max_regression: float,
    max_share_change: float,
    no_champion: bool,
    min_class_recall: float,
    max_gap: float,
    max_latency_ms: float,
    model_timeout: int,
) -> bool:
    """Scores the model on all splits and returns whether it is to be published."""
    import shutil
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from components.config import Evaluate
    from components.evaluate.evaluate import evaluate
    from components.registry.registry import champion_saved_model
    from components.shared.command_line import exit_on_error

    given = locals()
    output = Path(evaluation.path)
    with exit_on_error(step="evaluate"), TemporaryDirectory() as cache:
        config = Evaluate.pick(given)
        champion = None
        if not no_champion:
            champion = champion_saved_model(destination, model_name, Path(cache))
        result = evaluate(
            config,
            Path(examples.path),
            Path(model.path),
            output,
            champion,
            model_name,
            destination,
        )
        shutil.copy(output / "report.html", report.path)
        shutil.copy(output / "model_card.md", model_card.path)
    for split, figures in result.splits.items():
        metrics.log_metric(f"{split}_precision_at_1", figures.precision_at_1)
        metrics.log_metric(f"{split}_log_loss", figures.log_loss)
    test = result.splits["test"]
    metrics.log_metric("test_calibration_error", test.calibration_error)
    metrics.log_metric("test_balanced_accuracy", test.balanced_accuracy)
    metrics.log_metric("test_macro_f1", test.macro_f1)
    classification.log_confusion_matrix([one.name for one in test.classes], test.confusion)
    classification.log_roc_curve(
        result.roc.false_positive_rate, result.roc.true_positive_rate, result.roc.thresholds
    )
    return result.blessed and not no_push
