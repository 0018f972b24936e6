"""Infra validation: a fresh process loads the model and answers, before anybody else asks it.

Source: TFX, component InfraValidator.
"""

from pathlib import Path

from pydantic import ValidationError

from components.config import Push
from components.push.fresh import run_fresh
from components.registry.state import Validation
from components.shared.errors import StepError

SAMPLES = "samples.npz"  # written by evaluate: images, and what the model said of them
TOLERANCE = 1e-4  # by which a probability may depend on batch size and machine


def validate(config: Push, saved_model: Path, samples: Path) -> Validation:
    """Loads a SavedModel in a fresh process, has it answer samples, and measures it.

    Args:
        config: The bounds.
        saved_model: The SavedModel.
        samples: The file of samples that evaluate wrote for it.

    Raises:
        StepError: It does not load, answers otherwise than before, or is too slow or too large.
    """
    if not samples.is_file():
        raise StepError(f"{samples}: not found; evaluate the model with this version first")
    output = run_fresh("components.push.probe", saved_model, samples)
    try:
        found = Validation.model_validate_json(output.splitlines()[-1])
    except (IndexError, ValidationError):
        raise StepError(f"{saved_model}: the validating process gives no figures") from None
    judge(config, saved_model, found)
    return found


def judge(config: Push, saved_model: Path, found: Validation) -> None:
    """Holds what was found against the bounds.

    Raises:
        StepError: One is exceeded.
    """
    if not found.largest_difference <= TOLERANCE:
        raise StepError(
            f"{saved_model}: answers differ by up to {found.largest_difference:.3g} from what "
            f"evaluate saw, expected at most {TOLERANCE:g}; evaluate it again"
        )
    slowest = max(found.latency_ms.values())
    if slowest > config.max_serving_ms:
        raise StepError(
            f"{saved_model}: a request takes {slowest:.1f} ms, expected at most "
            f"{config.max_serving_ms:g}; take a smaller model or raise --max-serving-ms"
        )
    mib = found.size_bytes / 2**20
    if mib > config.max_model_mib:
        raise StepError(
            f"{saved_model}: {mib:.1f} MiB, expected at most {config.max_model_mib:g}; take a "
            "smaller model or raise --max-model-mib"
        )
