"""The KFP face of watch."""

from kfp import dsl

from components.config import image


@dsl.component(base_image=image("predict"), packages_to_install=[], install_kfp_package=False)
def watch(
    predictions: dsl.Input[dsl.Dataset],
    drift: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    max_ink_psi: float,
    max_pixel_distance: float,
    max_texture_distance: float,
    max_unusual: float,
    max_class_change: float,
    low_confidence: float,
    max_low_confidence: float,
    max_precision_loss: float,
) -> bool:
    """Compares what came in with what the model was trained on; returns whether all is quiet."""
    import shutil
    from pathlib import Path

    from components.config import Watch
    from components.shared.command_line import exit_on_error
    from components.watch.watch import REPORT, watch

    given = locals()
    with exit_on_error(step="watch"):
        found = watch(Watch.pick(given), Path(predictions.path), Path(drift.path))
        shutil.copy(Path(drift.path) / REPORT, report.path)
    return found.quiet
