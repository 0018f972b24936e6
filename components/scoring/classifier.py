"""A SavedModel as a function from images to the probabilities of their classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.shared.errors import StepError, errors_as_step_error
from components.shared.records import ImageShape

BATCH = 5_000  # images at a time: so many that a call's own cost does not count
TOLERANCE = 1e-3  # by which probabilities may miss a sum of 1

Probabilities = npt.NDArray[np.float32]  # [batch, classes]
Classifier = Callable[[npt.NDArray[np.uint8] | tf.Tensor], Probabilities]


def load(directory: Path, image_shape: ImageShape, classes: int) -> tf.Module:
    """Loads a SavedModel that classifies images.

    Args:
        directory: Of the SavedModel.
        image_shape: Height and width of the images it must take.
        classes: How many classes it must tell apart.

    Raises:
        StepError: The directory is no SavedModel, or its ``serving_default`` has another signature.
    """
    with errors_as_step_error(directory, "does not load", "run train first"):
        loaded = tf.saved_model.load(str(directory))
    if "serving_default" not in loaded.signatures:
        found = ", ".join(loaded.signatures) or "none"
        raise StepError(f"{directory}: signatures {found}, expected serving_default among them")
    signature = loaded.signatures["serving_default"]
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    _check_tensor(directory, "input", inputs, "images", [None, *image_shape], tf.uint8)
    _check_tensor(directory, "output", outputs, "probabilities", [None, classes], tf.float32)
    return loaded


def _check_tensor(
    directory: Path,
    kind: str,
    tensors: dict[str, tf.TensorSpec],
    name: str,
    shape: list[int | None],
    dtype: tf.DType,
) -> None:
    found = tensors.get(name)
    if found is not None and found.dtype == dtype and found.shape.is_compatible_with(shape):
        return
    told = ", ".join(f"{n}: {t.dtype.name} {t.shape.as_list()}" for n, t in tensors.items())
    raise StepError(
        f"{directory}: serving_default has the {kind} {told or 'none'}, "
        f"expected {name}: {dtype.name} {shape}"
    )


def classifier(model: tf.Module, name: str) -> Classifier:
    """Returns the function from images, uint8 ``[batch, height, width]``, to probabilities.

    The function raises a StepError where what the model gives is no distribution over the classes.

    Args:
        model: As :func:`load` gives it.
        name: What to call the model in an error.
    """
    signature = model.signatures["serving_default"]

    def classify(images: npt.NDArray[np.uint8] | tf.Tensor) -> Probabilities:
        # A reference to the model, since the signature alone does not keep its variables alive.
        _ = model
        with errors_as_step_error(name, "does not answer", "train it anew"):
            probabilities = signature(images=tf.convert_to_tensor(images))["probabilities"].numpy()
        off = np.abs(probabilities.sum(axis=1) - 1)
        if not (probabilities.min() >= 0 and off.max() <= TOLERANCE):  # so that NaN is off too
            raise StepError(
                f"{name}: gives {_list(probabilities[off.argmax()])} for an image, expected "
                "probabilities of the classes that sum to 1; train it anew"
            )
        return probabilities

    return classify


def _list(probabilities: npt.NDArray[np.float32]) -> str:
    more = f", … {len(probabilities) - 10} more" if len(probabilities) > 10 else ""
    return "[" + ", ".join(f"{p:.3g}" for p in probabilities[:10]) + more + "]"
