"""Exports of a SavedModel for where TensorFlow is not: LiteRT and ONNX, each run once to check it.

A process of its own, for its imports: ``python -m components.push.export SAVED_MODEL SAMPLES FILE``
writes ``FILE`` in the format of its suffix.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.registry.validation import TOLERANCE
from components.shared.command_line import exit_on_error
from components.shared.errors import StepError
from components.shared.process import end_with_parent

SIGNATURE = "serving_default"
OPSET = 17  # of ONNX: old enough for every runtime in use, new enough for the operations here


def main(saved_model: Path, samples: Path, output: Path) -> None:
    """Exports a model and compares its answers to those evaluate saw of the SavedModel.

    Raises:
        StepError: They differ; the file is not to be used.
    """
    with np.load(samples, allow_pickle=False) as file:
        images, expected = file["images"], file["probabilities"]
    convert, run = FORMATS[output.suffix]
    output.write_bytes(convert(saved_model))
    difference = float(np.abs(run(output, images) - expected).max())
    if not difference <= TOLERANCE:
        raise StepError(
            f"{output.name}: answers differ by up to {difference:.3g} from the SavedModel's, "
            f"expected at most {TOLERANCE:g}; publish without --export"
        )


def _to_litert(saved_model: Path) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(saved_model), signature_keys=[SIGNATURE]
    )
    return converter.convert()


def _run_litert(path: Path, images: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner(SIGNATURE)
    return runner(images=images)["probabilities"]


def _to_onnx(saved_model: Path) -> bytes:
    import tf2onnx

    loaded = tf.saved_model.load(str(saved_model))
    images = loaded.signatures[SIGNATURE].structured_input_signature[1]["images"]
    inputs = [tf.TensorSpec(images.shape, images.dtype, "images")]
    # The converter takes a Python function; a loaded signature has no source of its own.
    function = tf.function(
        lambda images: loaded.signatures[SIGNATURE](images=images), input_signature=inputs
    )
    model, _ = tf2onnx.convert.from_function(function, input_signature=inputs, opset=OPSET)
    return model.SerializeToString()


def _run_onnx(path: Path, images: np.ndarray) -> np.ndarray:
    from onnxruntime import InferenceSession

    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["probabilities"], {"images": images})[0])


FORMATS = {".tflite": (_to_litert, _run_litert), ".onnx": (_to_onnx, _run_onnx)}

if __name__ == "__main__":
    end_with_parent()
    with exit_on_error():
        main(*map(Path, sys.argv[1:4]))
