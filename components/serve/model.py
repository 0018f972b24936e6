"""The model that is served: the registry's champion, whichever that is at the moment."""

import base64
import threading
import time
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

import tensorflow as tf

from components.registry.registry import Registry
from components.serve.pixels import BadRequest, pixels
from components.shared.errors import StepError, errors_as_step_error, explain, printable
from components.shared.manifests import Model
from components.shared.records import ImageShape

SIGNATURE = "serving_default"
PAUSE = 30.0  # seconds between two attempts to load a version that does not load


class Loaded(NamedTuple):
    """A version in memory."""

    version: int
    model: tf.Module
    image_shape: ImageShape
    class_names: list[str]

    @classmethod
    def of(cls, version: int, directory: Path) -> Self:
        """Loads a version from the directory of its SavedModel."""
        model = tf.saved_model.load(str(directory))
        signature = model.signatures[SIGNATURE]
        height, width = signature.structured_input_signature[1]["images"].shape[1:]
        classes = signature.structured_outputs["probabilities"].shape[1]
        names = Model.class_names_in(directory) or [str(label) for label in range(classes)]
        return cls(version, model, (height, width), names)


class ServedModel:
    """The champion of a registry, loaded anew when it changes.

    Args:
        registry: Where it comes from.

    Raises:
        StepError: There is no champion, or it does not load.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._broken, self._next_try = 0, 0.0  # a version that did not load; when it is tried anew
        self.current = self._load(self._champion())

    def refresh(self) -> bool:
        """Loads the champion if it is another one now; returns whether it is."""
        version = self._champion()
        waits = version == self._broken and time.monotonic() < self._next_try
        if version == self.current.version or waits:
            return False
        started = time.monotonic()
        try:
            self.current = self._load(version)
        except Exception:
            # Most of the time is left to what is served.
            self._broken, self._next_try = version, 2 * time.monotonic() - started + PAUSE
            raise
        return True

    def keep_fresh(self, seconds: float, stop: threading.Event) -> None:
        """Refreshes again and again; where that fails the model in memory stays, with one warning.

        Args:
            seconds: Between two looks.
            stop: Ends it.
        """
        last_warning = ""
        while not stop.wait(seconds):
            try:
                if self.refresh():
                    print(f"Serving version {self.current.version}", flush=True)
                    last_warning = ""
            except Exception as error:  # noqa: BLE001 - else no later champion would be served
                warning = printable(f"version {self.current.version} stays: {explain(error)}")
                if warning != last_warning:
                    print(f"warning: {warning}", flush=True)
                last_warning = warning

    def _champion(self) -> int:
        champion = self._registry.champion()
        if champion is None:
            raise StepError(f"{self._registry.location}: there is no champion any more")
        return champion.version

    def _load(self, version: int) -> Loaded:
        with TemporaryDirectory() as cache:
            directory = self._registry.fetch(version, Path(cache))
            with errors_as_step_error(directory, "does not load", "roll back or promote another"):
                return Loaded.of(version, directory)


def predict(loaded: Loaded, signature: str, values: Any) -> dict[str, Any]:
    """Asks a model.

    Args:
        loaded: The model.
        signature: ``serving_default`` or ``examples``.
        values: The decoded JSON of the batch: images as nested lists of 0 to 255, ``[n][height]
            [width]``, or for ``examples`` serialized Examples as ``{"b64": …}``.

    Returns:
        The outputs by name, each a list of ``n``, and ``class_name``: that of ``class``.

    Raises:
        BadRequest: The values are anything else.
    """
    signatures, shape = loaded.model.signatures, loaded.image_shape
    if signature not in signatures:
        known = ", ".join(sorted(signatures))
        raise BadRequest(f"signature_name {signature!r} is not known, expected one of: {known}")
    if not isinstance(values, list) or not values:
        raise BadRequest("expected a batch: a list with at least one element")
    if signature == "examples":
        inputs = {"examples": tf.constant([_decode(value) for value in values])}
    else:
        inputs = {"images": tf.constant(pixels(values, shape))}
    try:
        outputs = signatures[signature](**inputs)
    except (tf.errors.OpError, UnicodeDecodeError):  # the latter of the bytes in its own message
        raise BadRequest(
            f"examples: expected tf.train.Example records with image ({prod(shape)} bytes)"
        ) from None
    answer = {name: output.numpy().tolist() for name, output in outputs.items()}
    return answer | {"class_name": [loaded.class_names[label] for label in answer["class"]]}


def _decode(value: Any) -> bytes:
    if not isinstance(value, dict) or set(value) != {"b64"} or not isinstance(value["b64"], str):
        raise BadRequest('examples: expected serialized Examples as {"b64": "…"}')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except ValueError as error:
        raise BadRequest(f"examples: not base64 ({error})") from None
