"""What TensorFlow Serving asks a version when it loads it, so that nobody's first request waits.

Written byte by byte, since push does without TensorFlow: ``PredictionLog`` messages in a TFRecord
file. Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from pathlib import Path

import numpy as np

from components.shared.records import examples, message, number, record

FILE = "assets.extra/tf_serving_warmup_requests"  # where it looks, in a SavedModel
BATCHES = (1, 100)  # images of a request to each signature
DT_UINT8, DT_STRING = 4, 7  # of tensorflow.DataType


def warm_up_requests(samples: Path, model_name: str) -> bytes:
    """Encodes requests to both signatures, with images that evaluate saw.

    Args:
        samples: The file that evaluate wrote: ``images``, uint8 ``[n, height, width]``.
        model_name: The name under which the model is asked.
    """
    with np.load(samples, allow_pickle=False) as file:
        images = file["images"]
    requests = []
    for batch in BATCHES:
        part = images[:batch]
        serialized = examples(part, np.zeros(len(part), np.uint8))
        inputs = {
            "serving_default": ("images", _tensor(DT_UINT8, part.shape, 4, [part.tobytes()])),
            "examples": ("examples", _tensor(DT_STRING, (len(part),), 8, serialized)),
        }
        for signature, (name, tensor) in inputs.items():
            specification = message(1, model_name.encode()) + message(3, signature.encode())
            entry = message(1, name.encode()) + message(2, tensor)
            request = message(1, specification) + message(2, entry)
            requests.append(record(message(6, message(1, request))))  # predict_log, its request
    return b"".join(requests)


def _tensor(dtype: int, shape: tuple[int, ...], field: int, values: list[bytes]) -> bytes:
    """Encodes a ``TensorProto``, its values in ``tensor_content``, 4, or ``string_val``, 8."""
    dimensions = b"".join(message(2, number(1, size)) for size in shape)
    content = b"".join(message(field, value) for value in values)
    return number(1, dtype) + message(2, dimensions) + content
