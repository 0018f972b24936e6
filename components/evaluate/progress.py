"""Seeing that an evaluation goes on: a model that never answers would keep it for ever."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from components.shared.errors import StepError

Result = TypeVar("Result")


class Progress:
    """The time since something was last done.

    Args:
        name: Of the model, for the message.
        seconds: How long nothing may be done.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._last = time.monotonic()

    def made(self) -> None:
        """Takes note that something was done."""
        self._last = time.monotonic()

    def watch(self, work: Callable[[], Result]) -> Result:
        """Does work that says again and again that something was done.

        TensorFlow cannot be interrupted, so the work has a thread of its own, which is left behind;
        an executor's thread would keep the process from ending.

        Raises:
            StepError: Nothing was done for too long.
        """
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                future.set_exception(error)

        self.made()
        threading.Thread(target=run, daemon=True).start()
        while not wait([future], min(1.0, self._seconds)).done:
            if time.monotonic() - self._last > self._seconds:
                raise StepError(
                    f"{self._name}: no answer within {self._seconds:g} s (--model-timeout); train "
                    "it anew, or give it longer"
                )
        return future.result()
