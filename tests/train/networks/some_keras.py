"""A Keras model as a team may have one: with batch normalization and dropout."""

from typing import Any

import keras


def build(image_shape: tuple[int, int], classes: int) -> Any:
    """Returns it, of images with a channel, answering with logits."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((*image_shape, 1)),
            layers.Flatten(),
            layers.Dense(32, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.3),
            layers.Dense(classes),
        ]
    )


def probabilities(image_shape: tuple[int, int], classes: int) -> Any:
    """Returns a model that answers with probabilities."""
    dense = keras.layers.Dense(classes, "softmax")
    return keras.Sequential([keras.layers.Input(image_shape), keras.layers.Flatten(), dense])


def too_few(image_shape: tuple[int, int], classes: int) -> Any:
    """Returns a model of fewer classes."""
    dense = keras.layers.Dense(classes - 1)
    return keras.Sequential([keras.layers.Input(image_shape), keras.layers.Flatten(), dense])


def nothing(image_shape: tuple[int, int], classes: int) -> str:
    """Returns what is not a model."""
    return "model"
