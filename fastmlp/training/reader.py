"""Batches read ahead: a daemon thread takes them from an iterator and checks them while the engine computes."""

import collections
import contextlib
import math
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from fastmlp._validation import Array

# What is read ahead: at most so many batches, and none while those that wait fill so many bytes.
AHEAD_BATCHES, AHEAD_BYTES = 8, 1 << 26
# How long an error or Ctrl-C waits for the thread, which may be in the middle of a batch.
PATIENCE_SECONDS = 0.1
# Waiting looks up so often: a Ctrl-C that another thread caught does not wake the main thread, and one that came before
# a signal was set leaves the other thread without it.
WAKE_SECONDS = 0.05

Batch = tuple[Array, ...]


class Signal:
    """One thread wakes another: `set` ends its `wait`, also one that begins later.

    A lock, which is compiled: Ctrl-C can end a `threading.Condition` between taking its lock and giving it back, and
    then both threads would wait for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Let `wait` return."""
        with contextlib.suppress(RuntimeError):  # it was set
            self._lock.release()

    def wait(self, seconds: float) -> None:
        """Return after `set`, or so many seconds."""
        self._lock.acquire(timeout=seconds)


class Reader:
    """Reads an iterator ahead in a daemon thread, while there is room and never more batches than it was asked for.

    Parameters
    ----------
    iterator : Iterator
    """

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator
        self.waiting: collections.deque[Batch | BaseException | None] = collections.deque()  # None: there are no more
        self.bytes_read = self.bytes_taken = 0  # each is changed by one thread
        self.n_read = 0
        self.filled, self.room = Signal(), Signal()
        self.thread: threading.Thread | None = None
        self.stopping = False
        self.process = os.getpid()

    def start(self, many: float, check: Callable[[int, Any], Batch]) -> None:
        """Read so many batches, counted from the next that `take` gives; inf: to the end. In the thread `check` makes
        of the i-th what the engine reads."""
        self.stop(math.inf)
        self.stopping = False
        arguments = (many - len(self.waiting), check)
        self.thread = threading.Thread(target=self._read, args=arguments, name="fastmlp batches", daemon=True)
        self.thread.start()

    def stop(self, seconds: float) -> None:
        """End the thread: now, or after the batch that it is reading, for which this waits so long. What it has read
        stays for the next `start`."""
        self.stopping = True
        self.room.set()
        if self.thread is not None and self.thread.ident is not None:  # not if Ctrl-C came before it was started
            self.thread.join(None if seconds == math.inf else seconds)

    def take(self) -> Batch | None:
        """The next batch; None where there is none, and what the iterator raised where it did."""
        self.peek()
        batch = self.waiting.popleft()
        self.bytes_taken += _n_bytes(batch)
        self.room.set()
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def peek(self) -> Batch | BaseException | None:
        """What `take` will give or raise, once it is there."""
        while not self.waiting:
            if self.is_empty():
                if self.process == os.getpid():
                    raise RuntimeError("the thread that read the batches has ended before its time; call fit again")
                raise RuntimeError(
                    "the thread that read the batches is gone: this process was forked from the one in which it runs. "
                    "Call fit in the child, with an iterable made there"
                )
            self.filled.wait(WAKE_SECONDS)
        return self.waiting[0]

    def is_empty(self) -> bool:
        """Whether nothing waits, nor will."""
        dead = self.thread is None or not self.thread.is_alive()  # looked up first: its last act may be a batch
        return dead and not self.waiting

    def _read(self, many: float, check: Callable[[int, Any], Batch]) -> None:
        while many > 0 and self._has_room():
            many -= 1
            batch: Batch | BaseException | None
            try:
                batch = check(self.n_read, next(self.iterator))
            except StopIteration:
                batch = None
            except BaseException as error:  # the caller's to see, with the traceback that it has
                batch = error
            self.n_read += 1
            self.bytes_read += _n_bytes(batch)
            self.waiting.append(batch)
            self.filled.set()
            if batch is None or isinstance(batch, BaseException):
                return

    def _has_room(self) -> bool:
        """Wait for room; False where reading is to stop."""
        while (
            not self.stopping
            and self.waiting
            and (len(self.waiting) >= AHEAD_BATCHES or self.bytes_read - self.bytes_taken >= AHEAD_BYTES)
        ):
            self.room.wait(WAKE_SECONDS)
        return not self.stopping


def _n_bytes(batch: Batch | BaseException | None) -> int:
    return sum(array.nbytes for array in batch) if isinstance(batch, tuple) else 0
