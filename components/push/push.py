"""Push: publishes a blessed model as the next version of a registry, whole or not at all."""

import shutil
from pathlib import Path

from components.push.registry import Registry
from components.shared.errors import StepError
from components.shared.manifests import Evaluation, Model
from components.shared.storage import sha256_of_directory
from pipeline.config import Push


def push(config: Push, model: Path, evaluation: Path) -> Path:
    """Publishes a model and makes it the champion.

    Args:
        config: Where to and under which name.
        model: The directory that train wrote.
        evaluation: The directory that evaluate wrote for this model.

    Returns:
        The directory of the version.

    Raises:
        StepError: The model is not blessed, or is not the one that was evaluated.
    """
    manifest = Model.read(model)
    judged = Evaluation.read(evaluation)
    if not judged.blessed:
        failed = "; ".join(verdict.reason for verdict in judged.verdicts if not verdict.passed)
        raise StepError(f"{evaluation}: not blessed ({failed}), so the model is not published")
    found = sha256_of_directory(model / "saved_model")
    if found != judged.model_sha256:
        raise StepError(
            f"{model}: sha256 {found}, but {judged.model_sha256} was evaluated in {evaluation}; "
            "evaluate this model first"
        )
    registry = Registry(Path(config.destination) / config.model_name)
    with registry.new_version() as directory:
        shutil.copytree(model / "saved_model", directory, dirs_exist_ok=True)
        manifest.write(directory)
        judged.write(directory)
    version = registry.latest()
    registry.promote(version)
    published = registry.root / str(version)
    print(f"Published {config.model_name} version {version} to {published}", flush=True)
    return published
