"""The KFP face of predict."""

from kfp import dsl

from components.config import image


@dsl.component(base_image=image("predict"), packages_to_install=[], install_kfp_package=False)
def predict(
    predictions: dsl.Output[dsl.Dataset],
    source: str,
    class_names: str,
    image_column: str,
    label_column: str,
    grey: bool,
    resize: str,
    shape: str,
    transpose: bool,
    span: int,
    until: str,
    shard_size: int,
    max_rejected: float,
    cache: str,
    destination: str,
    model_name: str,
    version: int,
) -> int:
    """Has a published model say what every image shows; returns how many there were."""
    from components.config import Predict
    from components.predict.predict import predict
    from components.shared.command_line import exit_on_error

    given = locals()
    with exit_on_error(step="predict"):
        found = predict(Predict.pick(given), predictions.path)
    if found is None:
        return 0
    predictions.metadata["version"] = found.version
    predictions.metadata["images"] = found.profile.images
    return found.profile.images
