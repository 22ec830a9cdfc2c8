"""From tables to what a model learns from: inputs, targets, and rows held out."""

import argparse
import dataclasses
from collections.abc import Sequence

import numpy as np

from fastmlp import tables
from fastmlp._split import split
from fastmlp._validation import Array, counted
from fastmlp.programs._arguments import CommandError
from fastmlp.programs._classes import classes_of, counts, known_labels, task_of
from fastmlp.programs._files import table_of
from fastmlp.programs._notes import Notes, at_positions
from fastmlp.programs._streams import say
from fastmlp.tables.classes import one_number

# A model that reads its columns as they are is one of float64 where the standard deviation of one is a smaller part of
# its mean: of its differences float32 keeps three digits at the most. Preprocessing takes the mean off in float64.
_LEAST_SPREAD = 1e-4
# Columns are looked at so many numbers at a time.
_AT_A_TIME = 1 << 20

# A class with fewer rows to learn from is told of.
_FEW_ROWS = 5


def held_out(strata: Array, share: float, seed: int, option: str) -> Array:
    """Which rows to hold out, as booleans: of each stratum its share.

    Raises
    ------
    CommandError
        Where all rows would be on one side.
    """
    many = int(share * len(strata) + 0.5)
    if not 0 < many < len(strata):
        raise CommandError(
            f"{option} {share:g} of {counted(len(strata), 'row')} holds out {many}; choose it so that rows "
            f"remain on both sides{', or 0 for no validation' * (option == '--validation-split')}"
        )
    found = np.zeros(len(strata), bool)
    found[split(strata, share, seed)[1]] = True
    return found


def rare(classes: Sequence[str], learned: Array, validated: Array | None) -> list[str]:
    """What to say of classes with so few rows that little can be learned, or found out, of them.

    Parameters
    ----------
    classes : sequence of str
    learned : ndarray of int64
        Positions of the classes of the rows to learn from.
    validated : ndarray of int64 or None
        Of those for validation, where there are any.
    """

    def listed(names: list[str]) -> str:
        return ", ".join(names[:10]) + ", ..." * (len(names) > 10)

    found = []
    n_learned = np.bincount(learned, minlength=len(classes))
    few = [f"{name!r} ({n})" for name, n in zip(classes, n_learned.tolist(), strict=True) if n < _FEW_ROWS]
    if few:
        found.append(
            f"warning: fewer than {_FEW_ROWS} rows to learn from of {listed(few)}; the model may not know them"
        )
    if validated is not None:
        n_validated = np.bincount(validated, minlength=len(classes))
        none = [repr(name) for name, n in zip(classes, n_validated.tolist(), strict=True) if n == 0]
        if none:
            found.append(f"warning: no row for validation of {listed(none)}; nothing is found out about them")
    return found


@dataclasses.dataclass(frozen=True)
class Data:
    """Inputs and targets: labels, or numbers."""

    notes: Notes
    X: Array
    y: Array
    validation: tuple[Array, Array] | None
    dtype: str = "float32"


def _columns(table: tables.Table, options: argparse.Namespace) -> tuple[str, tuple[str, ...]]:
    """The column to predict, and those to learn from.

    Raises
    ------
    CommandError, TableError
    """
    target = table.columns[table.position(options.target, options.drop)]
    dropped = {table.position(name, [target, *options.drop]) for name in options.drop}
    columns = tuple(name for place, name in enumerate(table.columns) if name != target and place not in dropped)
    if table.position(target) in dropped or not columns:
        if not options.drop:
            raise CommandError(
                f"{table.name} has no column but the target {target!r}; give a file with more to learn from"
            )
        raise CommandError("--drop leaves no target, or no column to learn from; drop less")
    nameless = set(table.unnamed)
    unnamed = [name for name in columns if name in nameless]
    if table.has_header and unnamed:
        raise CommandError(
            f"{table.name}, line 1: column {unnamed[0]} has no name; give it one, or, if it only counts the rows, "
            f"leave it out by --drop {unnamed[0]}"
        )
    return target, columns


def read(options: argparse.Namespace) -> Data:
    """Read the tables, and say what they are.

    Raises
    ------
    CommandError, TableError, OSError
    """
    table = table_of(options.file, options)
    target, columns = _columns(table, options)
    cells, why = task_of(options.task, table, target)
    classes = None if cells is None else classes_of(table, target, cells)
    notes = Notes(target, columns, classes, None if table.has_header else len(table.columns))
    say(f"{table.name}: {counted(table.n_rows, 'row')}, {counted(len(columns), 'column')} and the target {target!r}")
    X, y = arrays(table, notes, "leave the column out by --drop {column}", cells)
    name = table.name
    del table, cells  # the text of a file is as large as its numbers
    if classes is None:
        say(f"regression, because of {why}" if options.task else f"regression, because {why}")
    else:
        say(f"classification, because {'of ' * bool(options.task)}{why}: {counts(classes, y)}")
        for names in one_number(classes):
            say(
                f"classes that are one number, kept apart: {tables.listed(names)}; spell them alike if they are one "
                "class"
            )

    validation = None
    if options.validation is not None:
        other = table_of(options.validation, options)
        validation = arrays(at_positions(other, notes), notes, "leave the line out")
        del other
    elif options.validation_split > 0:
        strata = np.zeros(len(y), np.int64) if classes is None else y
        held = held_out(strata, options.validation_split, options.seed, "--validation-split")
        X, y, validation = X[~held], y[~held], (X[held], y[held])
    held_rows = "none" if validation is None else f"{len(validation[1]):,}"
    say(f"{counted(len(y), 'row')} to learn from, {held_rows} for validation")
    if classes is not None:
        for line in rare(classes, y, None if validation is None else validation[1]):
            say(line)
    narrow = []
    if options.preprocessing == "none":
        narrow = [column for column, is_narrow in zip(columns, _are_narrow(X), strict=True) if is_narrow]
    if narrow:
        say(
            "the model is one of float64: without --preprocessing float32 would lose much of what the values differ in "
            f"in {tables.listed(narrow)}"
        )
    if classes is None and float(y.std()) <= 1e-12 * abs(float(y.mean())):
        raise CommandError(f"{name}: the target {target!r} is {y[0]:g} in every row; give another --target")
    return Data(notes, X, y, validation, "float64" if narrow else "float32")


def _are_narrow(X: Array) -> list[bool]:
    """Of each column, whether float32 would lose what its numbers differ in."""
    found: list[bool] = []
    step = max(1, _AT_A_TIME // len(X))
    for first in range(0, X.shape[1], step):
        part = X[:, first : first + step].astype(np.float64, copy=False)
        differ = part.min(axis=0) < part.max(axis=0)
        found += (differ & (part.std(axis=0) < _LEAST_SPREAD * np.abs(part.mean(axis=0)))).tolist()
    return found


def arrays(table: tables.Table, notes: Notes, remedy: str, cells: tables.Cells | None = None) -> tuple[Array, Array]:
    """Inputs and targets of a table; the target's cells where they have been read.

    Returns
    -------
    X : ndarray of shape (n_rows, n_columns), float32 or float64
        float32 where that holds each number as it is.
    y : ndarray of shape (n_rows,), int64 for a classification, float64 for a regression
    """
    missing = [name for name in (*notes.columns, notes.target) if name not in table.places]
    if missing:
        table.lacks(missing, (*notes.columns, notes.target))
    X = table.numbers(notes.columns, remedy)
    if notes.classes is None:
        return X, table.numbers([notes.target], "leave the line out")[:, 0].astype(np.float64)
    remedy = "leave the line out"
    cells = table.cells(notes.target, remedy) if cells is None else cells
    return X, known_labels(table, notes.target, cells, notes.classes, remedy)
