"""What is told of a SavedModel that TensorFlow cannot use; without TensorFlow."""

from collections.abc import Iterator
from contextlib import contextmanager

from components.shared.errors import StepError, explain


@contextmanager
def blamed(model: object, what: str, advice: str) -> Iterator[None]:
    """Turns whatever goes wrong in a block into one line about a model.

    Of a damaged file TensorFlow says so by exceptions of a dozen kinds, from the parser of its
    format to the checks of single operations.

    Args:
        model: Its directory or name.
        what: What it does not do, such as "does not load".
        advice: What to do about it.

    Raises:
        StepError: Something went wrong.
    """
    try:
        yield
    except StepError:
        raise
    except Exception as error:
        raise StepError(f"{model}: {what} ({explain(error)}); {advice}") from error
