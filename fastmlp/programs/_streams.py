"""The standard streams of a command: lines on stdout, and streams that are closed or broken."""

import contextlib
import os
import sys
from collections.abc import Iterator


def say(line: str) -> None:
    """A line on stdout at once, so that it keeps its place between the lines on stderr."""
    with naming_stdout():
        print(line, flush=True)


@contextlib.contextmanager
def naming_stdout() -> Iterator[None]:
    """Errors of writing there, which name no file, say where it was."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise


def open_closed_streams() -> None:
    """Give a process whose standard streams are closed (`>&-`) some that lead nowhere.

    Python has None for them; and the next files that are opened would take their numbers, which a library may write to.
    """
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    handle = os.open(os.devnull, os.O_RDWR)
    while handle <= 2:
        handle = os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(handle, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  (to the end)
    if sys.stderr is None:
        sys.stderr = open(handle, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  (to the end)


def silence_broken_streams() -> None:
    """Let what cannot be written lead nowhere, or Python would try, and tell, once more as it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                handle = os.open(os.devnull, os.O_WRONLY)
                os.dup2(handle, stream.fileno())
                os.close(handle)
