"""Push: proves a blessed model in a fresh process, publishes it, and makes it the champion."""

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from components.config import Push
from components.push import warm_up
from components.registry.registry import Registry, Release
from components.registry.state import Validation, VersionManifest
from components.registry.validation import SAMPLES, run_fresh, validate
from components.shared.errors import StepError
from components.shared.manifests import Evaluation, Model
from components.shared.outcome import Outcome, report_outcome
from components.shared.predictions import Reference
from components.shared.storage import files_of, sha256_of_directory, sha256_of_saved_model

MODEL_CARD = "model_card.md"
EXPORTS = {"litert": "model.tflite", "onnx": "model.onnx"}
CONVERTERS = {"litert": ("ai_edge_litert",), "onnx": ("tf2onnx", "onnxruntime")}


def push(config: Push, model: Path, evaluation: Path, run_id: str = "") -> str:
    """Publishes a model and makes it the champion; a run's second push changes nothing.

    Args:
        config: Where to, under which name, and the bounds of the validation.
        model: The directory that train wrote.
        evaluation: The directory that evaluate wrote for this model.
        run_id: What identifies the run over its retries; empty: the model itself does.

    Returns:
        The address of the version.

    Raises:
        StepError: The model is not blessed, is not the one that was evaluated, or does not answer
            as it did then; or the registry cannot be written.
    """
    check_export(config.export)
    registry = Registry.open(config.destination, config.model_name)
    Model.read(model)
    judged = Evaluation.read(evaluation)
    sha256 = _check_judged(model, evaluation, judged)
    version = registry.published_by(run_id or sha256, sha256)
    if version is None:
        version = _publish(config, registry, model, evaluation, run_id or sha256, sha256)
        message = f"Published {config.model_name} version {version} to "
    else:
        _check_exported(config, registry.manifest(version), version, model, evaluation)
        message = f"Version {version} of {config.model_name} holds this model already, in "
    address = f"{registry.location}/{version}"
    message += address
    if config.hold:
        champion = registry.champion()
    else:
        champion = registry.advance(version, lambda other: _compared(judged, registry, other))
    if champion is None or champion.version != version:
        in_use = f"version {champion.version} stays the champion" if champion else "no champion yet"
        if champion and not (config.hold or _compared(judged, registry, champion.version)):
            in_use += ", which evaluate did not compare it with (its --destination does)"
        message += f"; {in_use}; to promote it: {registry.promotion(version)}"
    report_outcome(
        Outcome(
            step="push",
            result="published",
            message=message,
            precision_at_1=judged.splits["test"].precision_at_1,
            version=version,
            address=address,
        )
    )
    return address


def figures(config: Push, address: str) -> dict[str, float]:
    """Returns a published version's number, size in MiB and latencies in milliseconds, by name."""
    version = int(address.rpartition("/")[2])
    found = Registry.open(config.destination, config.model_name).manifest(version).validation
    latency = {f"latency_ms_of_{n}": ms for n, ms in found.latency_ms.items()}
    return {"version": version, "model_mib": found.size_bytes / 2**20, **latency}


def _compared(judged: Evaluation, registry: Registry, version: int) -> bool:
    """Whether a model was judged beside this version, or without a champion as was asked.

    Evaluations of earlier releases know the champion by its number alone.
    """
    if judged.config.get("no_champion"):
        return True
    if judged.champion is None:
        return False
    if not judged.champion.model_sha256:
        return judged.champion.name == f"version {version}"
    return judged.champion.model_sha256 == registry.manifest(version).model_sha256


def check_export(export: str) -> None:
    """Sees that what converts a model is installed, before any work is done.

    Raises:
        StepError: It is not; says how to get it.
    """
    missing = [name for name in CONVERTERS.get(export, ()) if find_spec(name) is None]
    if missing:
        raise StepError(
            f"--export {export}: {', '.join(missing)} not installed; run 'make development', or "
            "publish without --export"
        )


def _check_exported(
    config: Push, published: VersionManifest, number: int, model: Path, evaluation: Path
) -> None:
    """Sees that a version has the format that is asked for, since it gets no other."""
    exported = EXPORTS.get(config.export)
    if exported and exported not in published.files:
        command = f"python -m components.push.export {model}/saved_model {evaluation}/{SAMPLES}"
        raise StepError(
            f"version {number} of {config.model_name} holds this model already, without "
            f"{exported}, and a version does not change; convert it elsewhere: {command} {exported}"
        )


def _check_judged(model: Path, evaluation: Path, judged: Evaluation) -> str:
    """Returns the SavedModel's sha256, which is the one that was blessed."""
    if not judged.blessed:
        failed = "; ".join(verdict.reason for verdict in judged.verdicts if not verdict.passed)
        raise StepError(f"{evaluation}: not blessed ({failed}), so the model is not published")
    found = sha256_of_saved_model(model / "saved_model")
    # Releases up to 0.2.0 had TensorFlow's random fingerprint.pb in the sum.
    if judged.model_sha256 not in (found, sha256_of_directory(model / "saved_model")):
        raise StepError(
            f"{model}: sha256 {found}, but {judged.model_sha256} was evaluated in {evaluation}; "
            "evaluate this model first"
        )
    return found


def _publish(
    config: Push,
    registry: Registry,
    model: Path,
    evaluation: Path,
    run_id: str,
    sha256: str,
) -> int:
    files = _files(model, evaluation)
    saved_model, samples = model / "saved_model", evaluation / SAMPLES
    validation = validate(config, saved_model, samples)
    _log(validation)
    with TemporaryDirectory() as scratch:
        if config.export != "none":
            exported = Path(scratch) / EXPORTS[config.export]
            run_fresh("components.push.export", saved_model, samples, exported)
            files[exported.name] = exported
        files[warm_up.FILE] = Path(scratch) / "requests"
        files[warm_up.FILE].write_bytes(warm_up.warm_up_requests(samples, config.model_name))
        return registry.publish(
            Release(
                run_id=run_id,
                model_sha256=sha256,
                precision_at_1=Evaluation.read(evaluation).splits["test"].precision_at_1,
                validation=validation,
                files=files,
                code=Model.read(model).code,
            )
        )


def _files(model: Path, evaluation: Path) -> dict[str, Path]:
    """Returns what a version is made of, by name there: the SavedModel, and what is known of it."""
    files = files_of(model / "saved_model")
    files[Model.FILE] = model / Model.FILE
    files[Evaluation.FILE] = evaluation / Evaluation.FILE
    for name in (MODEL_CARD, Reference.FILE, SAMPLES):  # the last for whoever copies it
        if (evaluation / name).is_file():
            files[name] = evaluation / name
    return files


def _log(validation: Validation) -> None:
    latency = ", ".join(f"{ms:.1f} ms for {n}" for n, ms in validation.latency_ms.items())
    print(
        f"Validated in a fresh process: {validation.samples} samples on both signatures, largest "
        f"difference {validation.largest_difference:.1g}; {latency}; "
        f"{validation.size_bytes / 2**20:.2f} MiB",
        flush=True,
    )
