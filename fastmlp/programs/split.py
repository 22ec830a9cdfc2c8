"""`fastmlp split` divides a file into one to train on and one to test with."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp import tables
from fastmlp._validation import counted
from fastmlp.programs._arguments import add_command, add_format, integer, number
from fastmlp.programs._classes import classes_of, counts, task_of
from fastmlp.programs._examples import held_out
from fastmlp.programs._files import outputs, table_of
from fastmlp.programs._streams import say
from fastmlp.tables.classes import labels, one_number


def run(options: argparse.Namespace) -> int:
    """Divide a file into one to train on and one to test with; of each class the share.

    Parameters
    ----------
    options : argparse.Namespace
        file, target, test, seed, task, out, force, separator, header.

    Returns
    -------
    int
        Exit code.
    """
    stem = Path(options.file).stem
    names = options.out or [f"{stem}-train.csv", f"{stem}-test.csv"]
    paths = outputs(names, [options.file], options.force)
    table = table_of(options.file, options)
    cells, why = task_of(options.task, table, options.target)
    classes = () if cells is None else classes_of(table, options.target, cells)
    strata = np.zeros(table.n_rows, np.int64) if cells is None else labels(cells, classes)[0]
    is_held = held_out(strata, options.test, options.seed, "--test")
    with tables.writing_all(paths, table.separator) as (train, test):
        if table.has_header:
            for writer in (train, test):
                writer.writerow(table.spelled)
        for (_, row), held in zip(table.rows(), is_held.tolist(), strict=True):
            (test if held else train).writerow(row)
    drawn = "each class gives its share" if classes else "rows are drawn whatever their target"
    say(f"{options.file}: {counted(table.n_rows, 'row')}; {why}: {drawn}")
    for alike in one_number(classes):
        say(f"classes that are one number, kept apart: {tables.listed(alike)}")
    for name, rows in zip(names, (~is_held, is_held), strict=True):
        of = f": {counts(classes, strata[rows])}" if classes else ""
        say(f"saved {name}, {counted(int(rows.sum()), 'row')}{of}")
        absent = [classes[place] for place in sorted({*range(len(classes))}.difference(strata[rows].tolist()))]
        if absent:
            say(f"warning: {name} has no row of {tables.listed(absent)}")
    return 0


def _share(text: str) -> float:
    value = number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 1, not {text}")
    return value


def add(commands: Any) -> None:
    """Add the command to those of argparse."""
    text = "divide a CSV file into one to train on and one to test with"
    command = add_command(commands, "split", run, text, ", by classes.")
    command.add_argument("file", metavar="FILE", help="CSV file")
    command.add_argument("--target", required=True, metavar="COLUMN", help="whose classes give a share each")
    command.add_argument("--test", type=_share, default=0.2, metavar="SHARE", help="of the test file; default: 0.2")
    command.add_argument("--seed", type=integer(0, 2**64), default=0, metavar="N", help="of the drawing; default: 0")
    command.add_argument("--task", choices=("classification", "regression"), help="default: what the target looks like")
    command.add_argument(
        "--out", nargs=2, metavar=("TRAIN", "TEST"), help="default: FILE-train.csv, FILE-test.csv in this folder"
    )
    add_format(command)
