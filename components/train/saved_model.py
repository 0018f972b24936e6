"""The SavedModel: the trained network with the signatures it is served by."""

from pathlib import Path

import tensorflow as tf

from components.shared.examples import parse
from components.shared.records import IMAGE_SHAPE
from components.train.model import Weights, inference, normalize


class Classifier(tf.Module):
    """The network as it is served."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.weights = [tf.Variable(weight, trainable=False) for weight in weights]

    @tf.function(input_signature=[tf.TensorSpec([None, *IMAGE_SHAPE], tf.uint8, "images")])
    def serving_default(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies uint8 images ``[batch, 28, 28]``."""
        logits = inference(self.weights, normalize(images))
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class": tf.argmax(logits, axis=1),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies serialized ``tf.train.Example`` records ``[batch]``."""
        images, _ = parse(examples)
        return self.serving_default(images)


def export(weights: Weights, directory: Path) -> None:
    """Writes a SavedModel with the signatures ``serving_default`` and ``examples``."""
    classifier = Classifier(weights)
    tf.saved_model.save(
        classifier,
        str(directory),
        signatures={
            "serving_default": classifier.serving_default,
            "examples": classifier.examples,
        },
    )
