"""What TensorFlow says of a disk, in the project's words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from components.shared.errors import StepError


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Has TensorFlow write for the block.

    Args:
        place: Where to, for messages.

    Raises:
        StepError: It cannot.
    """
    try:
        yield
    except tf.errors.OpError as error:
        # "{{node …}} /where/it/writes/part-0; No space left on device [Op:SaveV2]"
        text = str(error.message).strip().splitlines()[0].partition(" [Op:")[0]
        reason = text.rpartition("; ")[2].lower()
        raise StepError(
            f"{place}: TensorFlow cannot write there: {reason}; make room or name another place, "
            "and start again to go on from the last checkpoint"
        ) from None
