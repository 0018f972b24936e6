"""The KFP face of retrain."""

from kfp import dsl

from components.config import image


@dsl.component(base_image=image("predict"), packages_to_install=[], install_kfp_package=False)
def retrain(
    predictions: dsl.Input[dsl.Dataset],
    drift: dsl.Input[dsl.Artifact],
    retrain: str,
    retrain_pause: int,
    kfp_api: str,
) -> None:
    """Starts one training after an alarm that training can mend."""
    from pathlib import Path

    from components.config import Retrain
    from components.retrain.start import start
    from components.shared.command_line import exit_on_error

    given = locals()
    with exit_on_error(step="retrain"):
        start(Retrain.pick(given), Path(predictions.path), Path(drift.path))
