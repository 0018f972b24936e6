"""The KFP face of evaluate."""

from kfp import dsl

from pipeline.cluster import image


@dsl.component(base_image=image("evaluate"), packages_to_install=[], install_kfp_package=False)
def evaluate(
    examples: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    min_precision: float,
) -> bool:
    """Scores the model on all splits and returns whether it is blessed."""
    import shutil
    from pathlib import Path

    from components.evaluate.evaluate import evaluate
    from components.shared.command_line import reported
    from pipeline.config import Evaluate

    given = locals()
    output = Path(evaluation.path)
    with reported():
        config = Evaluate.pick(given)
        result = evaluate(config, Path(examples.path), Path(model.path), output)
    for split, figures in result.splits.items():
        metrics.log_metric(f"{split}_precision_at_1", figures.precision_at_1)
    shutil.copy(output / "report.html", report.path)
    return result.blessed
