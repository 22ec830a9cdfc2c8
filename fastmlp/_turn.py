"""Who may change a model: one call at a time."""

import contextlib
import threading
from collections.abc import Iterator

_BUSY = "this model is being trained by another call; wait for it, or train a copy"


class Turn:
    """``with turn:`` around all that changes a model; RuntimeError where another call is at it.

    A callback may change the model in the middle of `fit`, between two steps: ``with turn.of_callback():``.
    """

    __slots__ = ("_lock", "_taken")

    def __init__(self) -> None:
        self._lock, self._taken = threading.RLock(), False

    def __enter__(self) -> None:
        if not self._lock.acquire(False):
            raise RuntimeError(_BUSY)
        if self._taken:  # by this very thread
            self._lock.release()
            raise RuntimeError(_BUSY)
        self._taken = True

    def __exit__(self, *_: object) -> None:
        self._taken = False
        self._lock.release()

    @contextlib.contextmanager
    def of_callback(self) -> Iterator[None]:
        """Also within the turn of the same thread."""
        if not self._lock.acquire(False):
            raise RuntimeError(_BUSY)
        before, self._taken = self._taken, True
        try:
            yield
        finally:
            self._taken = before
            self._lock.release()
