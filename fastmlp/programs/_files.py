"""Files that commands read and write."""

import argparse
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from fastmlp import _writing, tables
from fastmlp.programs._arguments import CommandError, option


def table_of(path: str, options: argparse.Namespace) -> tables.Table:
    """Read a table as separator and header of the options say.

    Raises
    ------
    TableError, OSError
    """
    return tables.read(path, options.separator, options.header, option)


def outputs(paths: Sequence[str], inputs: Sequence[str], force: bool) -> list[Path]:
    """Where to write, checked: files that can be made, each another one, none of them an input.

    Parameters
    ----------
    paths : sequence of str
    inputs : sequence of str
        Files that are read.
    force : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    CommandError, OSError
        The first one of an input that is not there.
    """
    for name in inputs:
        if name == "-" and not Path(name).exists():
            raise CommandError("there is no file '-'; /dev/stdin is the name of what a pipe gives, or write ./-")
        if not stat.S_ISFIFO(os.stat(name).st_mode):  # a pipe that is opened and closed loses what is written to it
            with open(name, "rb"):  # before a word on outputs: --force would not help
                pass
    if "-" in paths:
        raise CommandError("--out -: results go to a file, not to stdout; give its name, ./- for one of that name")
    found = [_writing.writable(path) for path in paths]
    for i, (path, target) in enumerate(zip(paths, found, strict=True)):
        if target in found[:i]:
            raise CommandError(f"{path} is named twice among the files to write; give different names")
        if target in [Path(name).resolve() for name in inputs]:
            raise CommandError(f"{path} is a file to read, which is never overwritten; give another name")
        if target.exists() and not force:
            raise CommandError(f"{path} is there already; give another name by --out, or --force to overwrite it")
    return found
