"""What all commands share: arguments and their checks, lines on stdout, errors that a user can mend."""

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn


class CommandError(Exception):
    """What a user can mend: told in one line, without a traceback."""


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


class Parser(argparse.ArgumentParser):
    """Errors in one line that starts with "fastmlp: error:", for subcommands too."""

    def error(self, message: str) -> NoReturn:
        """Print the line, exit with 2."""
        self.exit(2, f"fastmlp: error: {message} (fastmlp --help shows what there is)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Write help and version to a stdout that may have no room: argparse passes over the error of a stream that
        does not buffer, as of all with PYTHONUNBUFFERED."""
        if file is not sys.stdout:
            super()._print_message(message, file)
        else:
            with naming_stdout():
                file.write(message)


def integer(at_least: int, below: int) -> Callable[[str], int]:
    """What reads an integer within bounds."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be an integer, not {text!r}") from None
        if not at_least <= value < below:
            raise argparse.ArgumentTypeError(f"must be at least {at_least} and below {below}, not {text}")
        return value

    return parse


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number, not {text}")
    return value


# ---- the streams of a process ----


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


def end_program(error: ImportError) -> None:
    """Where `fastmlp`, or `python -m fastmlp`, imports the package that cannot be: one line instead of a traceback.

    The programs' own handling of errors is a part of what could not be imported. Returns in any other process.
    """
    program = os.path.basename((getattr(sys, "argv", None) or [""])[0]).removesuffix(".exe")
    words = sys.orig_argv
    if program == "fastmlp" or (program == "-m" and "fastmlp" in words[words.index("-m") + 1 :][:1]):
        if sys.stderr is not None:
            with contextlib.suppress(OSError):
                print(f"fastmlp: error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
