"""What all commands share: arguments and their checks, errors that a user can mend."""

import argparse
import math
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from fastmlp.programs._streams import naming_stdout


class CommandError(Exception):
    """What a user can mend: told in one line, without a traceback."""


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


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, more: str = ".", epilog: str = ""
) -> argparse.ArgumentParser:
    """Add a command to those of argparse; what it does is its help, and with `more` its description."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + more, epilog=epilog or None
    )
    command.set_defaults(run=run)
    return command


# ---- how files are read ----


def _header(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"must be yes or no, not {text!r}")
    return text == "yes"


def _separator(text: str) -> str:
    mark = "\t" if text in ("tab", "\\t") else text
    if len(mark) != 1 or mark in '\r\n"':
        raise argparse.ArgumentTypeError(f"must be one character, or tab, not {text!r}")
    return mark


def add_format(command: argparse.ArgumentParser) -> None:
    """Add how files are read and written."""
    add = command.add_argument
    add("--force", action="store_true", help="overwrite files that are there")
    add("--separator", type=_separator, default=",", metavar="CHARACTER", help="of cells, or tab; default: a comma")
    add(
        "--header",
        type=_header,
        metavar="{yes,no}",
        help="whether line 1 names the columns, which otherwise are called 1, 2, ...; default: yes, without numbers",
    )


def option(name: str, value: object) -> str:
    """How an argument of `tables.read` is given on the command line, for its errors."""
    text = f"'{value}'"
    if isinstance(value, bool):
        text = "yes" if value else "no"
    if value == "\t":
        text = "tab"
    return f"--{name} {text}"
