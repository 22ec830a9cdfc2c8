"""`fastmlp bench` compares with other libraries, and with what the machine can do."""

import argparse
from typing import Any

from fastmlp.programs._arguments import CommandError, add_command, integer


def run(options: argparse.Namespace) -> int:
    """Measure, by `fastmlp.bench.command`.

    Parameters
    ----------
    options : argparse.Namespace
        quick, peers, workloads, rounds, out, silent.

    Returns
    -------
    int
        Exit code.
    """
    from fastmlp.bench import command

    try:
        return command.run(options)
    except ValueError as error:
        raise CommandError(str(error)) from None


def add(commands: Any) -> None:
    """Add the command to those of argparse."""
    text = "time training and prediction beside the other libraries that are installed, and beside this machine's peak"
    add = add_command(commands, "bench", run, text).add_argument
    add(
        "--quick",
        action="store_true",
        help="fewer sizes and turns, no Adam beside the peers",
    )
    add("--peers", nargs="+", metavar="NAME", help="only these, for example torch 'jax scan'; default: all")
    add(
        "--workloads",
        nargs="+",
        metavar="TEXT",
        help="only those whose name holds this, as b32; default: all",
    )
    add("--rounds", type=integer(3, 10**4), metavar="N", help="turns of each comparison; default: 15, --quick 5")
    add("--out", metavar="FOLDER", default="fastmlp-bench", help="for report, JSON and pictures; default: %(default)s")
    add("--silent", action="store_true", help="no lines of progress")
