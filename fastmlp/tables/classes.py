"""Targets of tables: whether they hold classes or numbers, and which classes.

A class is the spelling of a cell, without the blanks around it: 007 and 7, or 1E2 and 100, are two classes although
they are one number, and whole numbers of any length remain different. What is compared as numbers is so exactly.
"""

import decimal
import math
from collections.abc import Sequence

import numpy as np

from fastmlp._validation import Array
from fastmlp.tables.base import normal
from fastmlp.tables.numbers import parsed, without_marks, wrong_number
from fastmlp.tables.table import Cells, Table

# A target of whole numbers is taken for classes where there are at most so many different ones.
_MOST_CLASSES = 20

# What stands for a value that is missing; the others that are known, "" and "nan", are refused before.
_MISSING = {"na", "n/a", "<na>", "null", "none", "missing", "?", "-", "."}


# ---- classes or numbers ----


def is_continuous(values: Array) -> bool:
    """Whether numbers are no classes: some are not whole, or more are different than classes may be."""
    return bool((values != np.floor(values)).any()) or len(np.unique(values)) > _MOST_CLASSES


def is_classification(spellings: Sequence[str]) -> tuple[bool, str]:
    """Whether a target holds classes, and why.

    Parameters
    ----------
    spellings : sequence of str
        Of its cells, each once or more.
    """
    values = {_exact(text) for text in spellings}
    if None in values:
        return True, "the target is text"
    if len(values) > _MOST_CLASSES or not all(value is not None and _is_whole(value) for value in values):
        return False, "the target is a number"
    many = len(set(spellings))
    spelled = f" in {many} spellings" if many != len(values) else ""
    return True, f"the target is one of {len(values)} whole numbers{spelled}"


def _exact(text: str) -> decimal.Decimal | None:
    """The number that a text is, without rounding, or None."""
    value = parsed(text)
    if value is None or math.isnan(value):
        return None
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:  # an exponent of twenty digits
        return decimal.Decimal(value)


def _is_whole(value: decimal.Decimal) -> bool:
    return value.is_finite() and value.adjusted() < 309 and value == value.to_integral_value()


def refuse_mixed(table: Table, column: str, cells: Cells, as_classes: str) -> None:
    """Refuse a target that is meant to be numbers, but for some cells: it is not taken for text because of them.

    Parameters
    ----------
    table : Table
    column : str
    cells : Cells
        Of the column.
    as_classes : str
        How the caller says that they are classes, for the remedy.

    Raises
    ------
    TableError
        Where some cells are no numbers, and most are numbers, or are but for their commas, other marks of groups,
        signs of units or another minus; or those that are numbers can not be names of classes; or all others stand for
        missing values.
    """
    values = [parsed(text) for text in cells.spellings]
    numeric = np.array([value is not None for value in values])
    if numeric.all():
        return
    marked = np.array(
        [value is None and bool(without_marks(text)) for text, value in zip(cells.spellings, values, strict=True)]
    )
    rows = np.bincount(cells.codes, minlength=len(numeric))
    n_numbers, n_marked, n_wrong = (int(rows[which].sum()) for which in (numeric, marked, ~numeric))
    numbers = [text for text, value in zip(cells.spellings, values, strict=True) if value is not None]
    others = {text.lower() for text in cells.spellings}.difference(text.lower() for text in numbers)
    mixed = numbers and (others <= _MISSING or not is_classification(numbers)[0])
    if not mixed and n_numbers + n_marked <= n_wrong - n_marked:
        return
    row = int(np.argmax(~numeric[cells.codes]))
    wrong, remedy = wrong_number(cells.spellings[cells.codes[row]]), f"leave the line out, or {as_classes}"
    if n_numbers:
        wrong = f"{wrong}, though {'1 other is' if n_numbers == 1 else f'{n_numbers:,} others are'}"
    if marked[cells.codes[row]]:
        remedy = f"{as_classes} if it names a class"
    table.refuse(table.line(row), column, str(wrong), remedy)


# ---- which classes ----


def class_names(spellings: Sequence[str]) -> tuple[str, ...]:
    """The classes of a target: texts in alphabetical order, or numbers in theirs, as they are spelled."""
    values = [_exact(text) for text in spellings]
    if None in values:
        return tuple(sorted(set(spellings)))
    return tuple(text for _, text in sorted({(value, text) for value, text in zip(values, spellings, strict=True)
                                             if value is not None}))  # fmt: skip


def one_number(classes: Sequence[str]) -> list[tuple[str, ...]]:
    """Classes that are the same number, spelled differently."""
    found: dict[decimal.Decimal, list[str]] = {}
    for name in classes:
        value = _exact(name)
        if value is not None:
            found.setdefault(value, []).append(name)
    return [tuple(names) for names in found.values() if len(names) > 1]


def labels(cells: Cells, classes: Sequence[str]) -> tuple[Array, dict[str, str], dict[str, int]]:
    """The positions of a target's cells among the classes.

    A cell that is spelled as no class, but the same number as a single one, is of that class.

    Returns
    -------
    positions : ndarray of shape (n_rows,), int64
        -1 for a cell that is none of the classes.
    respelled : dict of str to str
        The classes of cells that are spelled differently.
    unknown : dict of str to int
        How many rows there are of each cell that is none of the classes.
    """
    places = {normal(name): place for place, name in enumerate(classes)}
    values: dict[decimal.Decimal, list[int]] = {}
    for place, name in enumerate(classes):
        value = _exact(name)
        if value is not None:
            values.setdefault(value, []).append(place)
    rows = np.bincount(cells.codes, minlength=len(cells.spellings)).tolist()
    found = np.full(len(cells.spellings), -1, np.int64)
    respelled, unknown = {}, {}
    for code, text in enumerate(cells.spellings):
        place = places.get(normal(text), -1)
        if place < 0:
            value = _exact(text)
            same = [] if value is None else values.get(value, [])
            if len(same) == 1:
                place, respelled[text] = same[0], classes[same[0]]
            else:
                unknown[text] = rows[code]
        found[code] = place
    return found[cells.codes], respelled, unknown
