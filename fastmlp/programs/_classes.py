"""Targets of tables, as the commands take them: whether they are classes, and what is said of these."""

from collections.abc import Sequence

import numpy as np

from fastmlp._validation import Array
from fastmlp.programs._arguments import CommandError
from fastmlp.programs._streams import say
from fastmlp.tables import Cells, Table, listed
from fastmlp.tables.classes import class_names, is_classification, is_continuous, labels, refuse_mixed


def known_labels(table: Table, column: str, cells: Cells, classes: Sequence[str], remedy: str) -> Array:
    """The positions of a target's cells among the classes, all of which are known.

    Cells that are spelled differently are told.

    Raises
    ------
    TableError
        Where one is not.
    """
    found, respelled, unknown = labels(cells, classes)
    if unknown:
        row = int(np.argmax(found < 0))
        wrong = f"{cells.spellings[cells.codes[row]]!r} is none of the classes {listed(classes)}"
        table.refuse(table.line(row), column, wrong, remedy)
    tell_respelled(table.name, respelled)
    return found


def classes_of(table: Table, target: str, cells: Cells) -> tuple[str, ...]:
    """The classes of a target that can be learned.

    Raises
    ------
    CommandError
        Where there is only one, or one for each row.
    """
    classes = class_names(cells.spellings)
    if len(classes) == 1:
        raise CommandError(f"{table.name}: the target {target!r} is {classes[0]!r} in every row; give another one")
    if len(classes) == table.n_rows > 2:
        raise CommandError(
            f"{table.name}: the target {target!r} is different in every row ({listed(classes)}), so it names no "
            "classes; give another --target, or --task regression if it is a number"
        )
    return classes


def task_of(asked: str | None, table: Table, target: str) -> tuple[Cells | None, str]:
    """The cells of a target of classes, or None for a regression, and why it is one.

    Raises
    ------
    TableError
        Where a value is missing, or is no number though most are.
    """
    remedy = "leave the line out"
    table.position(target)
    if asked is not None:
        return table.cells(target, remedy) if asked == "classification" else None, f"--task {asked}"
    values = table.bulk_numbers(target)
    if values is not None and is_continuous(values):  # without a text for each row
        return None, "the target is a number"
    cells = table.cells(target, remedy)
    refuse_mixed(table, target, cells, "give --task classification")
    classification, why = is_classification(cells.spellings)
    return cells if classification else None, why


def tell_respelled(name: str, respelled: dict[str, str]) -> None:
    """Say which cells of a file were taken for which classes, as `labels` found them."""
    for text, found in respelled.items():
        say(f"{name}: {text!r} is taken for the class {found!r}, which is the same number")


def printable(name: str) -> str:
    """A name without characters that a terminal obeys: these as Python escapes them."""
    return name if name.isprintable() else repr(name)[1:-1]


def counts(classes: Sequence[str], positions: Array, at_most: int = 10) -> str:
    """How many rows each class has."""
    numbers = np.bincount(positions, minlength=len(classes)).tolist()
    shown = [f"{printable(name)} ({count:,})" for name, count in zip(classes, numbers, strict=True)]
    return ", ".join(shown[:at_most]) + (", ..." if len(shown) > at_most else "")
