"""`fastmlp info` says what is installed here."""

import argparse
from typing import Any

import fastmlp
from fastmlp.programs._arguments import add_command
from fastmlp.programs._streams import naming_stdout


def run(options: argparse.Namespace) -> int:
    """Print what is installed here.

    Parameters
    ----------
    options : argparse.Namespace
        Nothing is read from it.

    Returns
    -------
    int
        Exit code 0.
    """
    with naming_stdout():
        fastmlp.show_config()
    return 0


def add(commands: Any) -> None:
    """Add the command to those of argparse."""
    text = "print version, instruction sets and threads: what a report of a problem should hold"
    add_command(commands, "info", run, text)
