"""Seeing that an evaluation goes on: a model that never answers would keep it for ever."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

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

        TensorFlow cannot be interrupted, so the work has a thread of its own, which is left behind.

        Raises:
            StepError: Nothing was done for too long.
        """
        running = _Work(work)
        self.made()
        running.start()
        while not running.done.wait(min(1.0, self._seconds)):
            if time.monotonic() - self._last > self._seconds:
                raise StepError(
                    f"{self._name}: no answer within {self._seconds:g} s (--model-timeout); train "
                    "it anew, or give it longer"
                )
        return running.result()


class _Work(threading.Thread, Generic[Result]):
    def __init__(self, work: Callable[[], Result]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._outcome: list[Result] = []
        self._error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self._outcome.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error
        finally:
            self.done.set()

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._outcome[0]
