"""The model that is served: the registry's champion, whichever that is at the moment."""

import base64
import binascii
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from components.registry.registry import Registry
from components.shared.errors import StepError
from components.shared.records import IMAGE_SHAPE


class Loaded(NamedTuple):
    """A version in memory."""

    version: int
    model: tf.Module


class BadRequest(Exception):  # noqa: N818 - what HTTP calls it
    """A request that cannot be answered; the message says why."""


class ServedModel:
    """The champion of a registry, loaded anew when it changes.

    Args:
        registry: Where it comes from.

    Raises:
        StepError: There is no champion, or it does not load.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.current = self._load(self._champion())

    def refresh(self) -> bool:
        """Loads the champion if it is another one now; returns whether it is."""
        version = self._champion()
        if version == self.current.version:
            return False
        self.current = self._load(version)
        return True

    def keep_fresh(self, seconds: float, stop: threading.Event) -> None:
        """Refreshes again and again; where that fails the model in memory stays."""
        while not stop.wait(seconds):
            try:
                if self.refresh():
                    print(f"Serving version {self.current.version}", flush=True)
            except StepError as error:
                print(f"warning: version {self.current.version} stays: {error}", flush=True)

    def _champion(self) -> int:
        champion = self._registry.champion()
        if champion is None:
            raise StepError(f"{self._registry.where}: there is no champion any more")
        return champion.version

    def _load(self, version: int) -> Loaded:
        with TemporaryDirectory() as cache:
            directory = self._registry.fetch(version, Path(cache))
            try:
                return Loaded(version, tf.saved_model.load(str(directory)))
            except (OSError, ValueError, LookupError, tf.errors.OpError) as error:
                reason = str(error).splitlines()[0]
                raise StepError(f"{directory}: does not load ({reason}); verify it") from None


def predict(model: tf.Module, signature: str, values: Any) -> dict[str, Any]:
    """Asks a model.

    Args:
        model: A SavedModel with the signatures of this project.
        signature: ``serving_default`` or ``examples``.
        values: The decoded JSON of the batch: images as nested lists of 0 to 255, ``[n][28][28]``,
            or for ``examples`` serialized Examples as ``{"b64": …}``.

    Returns:
        The outputs by name, each a list of ``n``.

    Raises:
        BadRequest: The values are none of this.
    """
    if signature not in model.signatures:
        known = ", ".join(sorted(model.signatures))
        raise BadRequest(f"signature_name {signature!r} is not known, expected one of: {known}")
    if not isinstance(values, list) or not values:
        raise BadRequest("expected a batch: a list with at least one element")
    if signature == "examples":
        inputs = {"examples": tf.constant([_decode(value) for value in values])}
    else:
        inputs = {"images": tf.constant(_images(values))}
    try:
        outputs = model.signatures[signature](**inputs)
    except tf.errors.InvalidArgumentError:
        raise BadRequest(
            "examples: expected tf.train.Example records with image (784 bytes) and label (0 to 9)"
        ) from None
    return {name: output.numpy().tolist() for name, output in outputs.items()}


def _images(values: list[Any]) -> np.ndarray:
    try:
        images = np.asarray(values)
    except (ValueError, OverflowError):
        raise BadRequest("images: the rows are not all of one length") from None
    if images.ndim != 3 or images.shape[1:] != IMAGE_SHAPE:
        raise BadRequest(f"images: shape {list(images.shape)}, expected [batch, 28, 28]")
    if images.dtype.kind not in "iu" or images.min() < 0 or images.max() > 255:
        raise BadRequest("images: expected whole numbers from 0 to 255")
    return images.astype(np.uint8)


def _decode(value: Any) -> bytes:
    if not isinstance(value, dict) or set(value) != {"b64"} or not isinstance(value["b64"], str):
        raise BadRequest('examples: expected serialized Examples as {"b64": "…"}')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except binascii.Error as error:
        raise BadRequest(f"examples: not base64 ({error})") from None
