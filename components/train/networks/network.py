"""What training knows of a network: its variables, and the logits of images."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.config import Train
from components.shared.errors import StepError
from components.shared.records import ImageShape

Tensors = list[Any]  # of tf.Tensor, or tf.Variable in its place; mlp keeps lists of them in it
# (values of weights, values of extra, images, whether this is a step of training)
# -> (logits, new values of extra).
Logits = Callable[[Tensors, Tensors, tf.Tensor, bool], tuple[tf.Tensor, Tensors]]


UNCHANGED = (0.0, 255.0)  # mean and standard deviation that leave grey values 0 to 1


@dataclass(frozen=True)
class Network:
    """A network at step 0; a file in this folder has a function ``create`` that returns one.

    ``logits`` gets images of float32 or bfloat16 ``[batch, height, width]``, in whose type matrices
    are multiplied, and returns float32 ``[batch, classes]``. Of a network that was opened, it gets
    the images themselves, uint8, and makes numbers of them first, see :func:`of_greys`.
    """

    weights: list[tf.Variable]  # what the optimizer changes, drawn by the configuration's seed
    logits: Logits
    extra: list[tf.Variable] = field(default_factory=list)  # moving averages, a dropout's seed
    xla_on_cpu: bool = True  # whether XLA makes its steps faster on a CPU, as was measured
    scale: float = 1.0  # what standardized images are multiplied by
    # How the compiled loop holds the weights, and back.
    to_loop: Callable[[Tensors], Tensors] = lambda weights: weights
    from_loop: Callable[[Tensors], Tensors] = lambda weights: weights


def on_gpu() -> bool:
    """Whether there is a GPU to train on."""
    return bool(tf.config.list_physical_devices("GPU"))


def of_greys(
    logits: Logits, mean: float = 0.0, stddev: float = 255.0, precision: str = "float32"
) -> Logits:
    """Has a network take uint8 images, of which ``(image - mean) / stddev`` are its inputs.

    Args:
        logits: Of the inputs.
        mean: Grey value that is 0.
        stddev: Difference of grey values that is 1.
        precision: The type, ``float32`` or ``bfloat16``, of the inputs in training.
    """

    def of_images(
        weights: Tensors, extra: Tensors, images: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, Tensors]:
        inputs = (tf.cast(images, tf.float32) - mean) / stddev
        if training:
            inputs = tf.cast(inputs, precision)
        return logits(weights, extra, inputs, training)

    return of_images


def open_network(
    config: Train,
    image_shape: ImageShape,
    classes: int,
    statistics: tuple[float, float] = UNCHANGED,
) -> Network:
    """Creates the network that ``--network`` names.

    Args:
        config: Names it.
        image_shape: Height and width of the images.
        classes: How many there are.
        statistics: Mean and standard deviation of the training split's grey values, by which
            ``--standardize`` has inputs standardized.

    Raises:
        StepError: There is none of that name, or it cannot be built.
    """
    place, _, function = config.network.rpartition(":")
    name = "keras_model" if place else config.network
    module = importlib.import_module(f"components.train.networks.{name}")
    arguments = [_function(place, function)] if place else []
    network: Network = module.create(config, image_shape, classes, *arguments)
    mean, stddev = UNCHANGED
    if config.standardize:
        mean, stddev = statistics[0], max(1.0, statistics[1]) / network.scale
    return replace(network, logits=of_greys(network.logits, mean, stddev, config.precision))


def _function(place: str, name: str) -> Callable[..., Any]:
    """Returns a function of a Python file or of a module.

    Raises:
        StepError: There is no such file, module or function.
    """
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            assert spec and spec.loader
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(spec.name, module)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
        found: Callable[..., Any] = getattr(module, name)
    except (ImportError, OSError, AttributeError) as error:
        raise StepError(
            f"--network {place}:{name}: cannot be imported ({error}); expected "
            "path/to/file.py:function or module:function"
        ) from None
    return found
