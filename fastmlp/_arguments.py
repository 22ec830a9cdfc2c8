"""What all commands share: arguments and their checks, lines on stdout, errors that a user can mend."""

import argparse
import math
from collections.abc import Callable
from typing import NoReturn


class CommandError(Exception):
    """What a user can mend: told in one line, without a traceback."""


def say(line: str) -> None:
    """A line on stdout at once, so that it keeps its place between the lines on stderr."""
    print(line, flush=True)


class Parser(argparse.ArgumentParser):
    """Errors in one line that starts with "fastmlp: error:", for subcommands too."""

    def error(self, message: str) -> NoReturn:
        """Print the line, exit with 2."""
        self.exit(2, f"fastmlp: error: {message} (fastmlp --help shows what there is)\n")


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
