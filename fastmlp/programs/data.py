"""`fastmlp data` writes a data set of the package as CSV."""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

from fastmlp import datasets, tables
from fastmlp._validation import Array, counted
from fastmlp.programs._arguments import add_command
from fastmlp.programs._files import outputs
from fastmlp.programs._streams import say


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set of the package, as a table: its target comes first."""

    target: str
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    load: Callable[[], tuple[Array, Array]]
    source: str


DATA_SETS = {
    "breast-cancer": DataSet(
        "diagnosis",
        datasets.BREAST_CANCER_FEATURES,
        datasets.BREAST_CANCER_CLASSES,
        datasets.load_breast_cancer,
        "W. Wolberg et al. (1993), Breast Cancer Wisconsin (Diagnostic), https://doi.org/10.24432/C5DW2B, CC BY 4.0",
    ),
    "digits": DataSet(
        "digit",
        tuple(f"row {i} column {j}" for i in range(1, 9) for j in range(1, 9)),
        tuple("0123456789"),
        datasets.load_digits,
        "E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, https://doi.org/10.24432/C50P49, "
        "CC BY 4.0",
    ),
}


def run(options: argparse.Namespace) -> int:
    """Write a data set of the package as a CSV file.

    Parameters
    ----------
    options : argparse.Namespace
        name, out, force.

    Returns
    -------
    int
        Exit code.
    """
    found = DATA_SETS[options.name]
    out = options.out or f"{options.name.replace('-', '_')}.csv"
    (path,) = outputs([out], [], options.force)
    X, y = found.load()
    with tables.writing(path) as writer:
        writer.writerow([found.target, *found.columns])
        writer.writerows([found.classes[label], *row] for label, row in zip(y, X.tolist(), strict=True))
    say(f"{counted(len(X), 'row')}, {counted(X.shape[1], 'column')} and the target {found.target!r}: {found.source}")
    say(f"saved {out}")
    return 0


def add(commands: Any) -> None:
    """Add the command to those of argparse."""
    command = add_command(commands, "data", run, "write a data set of the package as a CSV file")
    command.add_argument("name", choices=tuple(DATA_SETS), help="which")
    command.add_argument("--out", metavar="FILE", help="default: breast_cancer.csv, or digits.csv")
    command.add_argument("--force", action="store_true", help="overwrite a file that is there")
