"""A table that was read: its columns by name or position, as numbers or as spellings of classes."""

import dataclasses
import difflib
import functools
import itertools
import math
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NoReturn

import numpy as np

from fastmlp._engine import LARGEST
from fastmlp._validation import Array, counted
from fastmlp.tables import plain, source
from fastmlp.tables.base import TableError, argument, listed, normal
from fastmlp.tables.numbers import wrong_number

# So many numbers are put into an array at a time.
_AT_A_TIME = 1 << 14


@dataclasses.dataclass(frozen=True)
class Cells:
    """The cells of a column, none missing.

    Attributes
    ----------
    spellings : tuple of str
        The different ones, without the blanks around them, in the order in which they come.
    codes : ndarray of shape (n_rows,), int64
        Position of each row's cell among the spellings.
    """

    spellings: tuple[str, ...]
    codes: Array


class _Spellings:
    """Gives each spelling its code; those that NFC makes one are one."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._by_cell: dict[str, int] = {}
        self._by_name: dict[str, int] = {}

    def code(self, cell: str) -> int:
        """From 0, or -1 where a value is missing."""
        code = self._by_cell.get(cell)
        if code is None:
            text = cell.strip()
            if text.lower() in ("", "nan", "+nan", "-nan"):
                return -1
            code = self._by_name.setdefault(normal(text), len(self.found))
            if code == len(self.found):
                self.found.append(text)
            self._by_cell[cell] = code
        return code


@dataclasses.dataclass(frozen=True)
class Table:
    """A file that was read: the names of its columns, and the text of its rows.

    Attributes
    ----------
    name : str
        Of the file, for errors.
    columns : tuple of str
        In NFC.
    spelled : tuple of str
        The names as they stand in the file, without the blanks around them; empty where there are none.
    unnamed : tuple of str
        Those without a name, called by their positions.
    has_header : bool
        Whether the file names its columns.
    separator : str
        Of cells.
    text : Text
    n_rows : int
    fast : plain.Reader or None
    argument : function
        How the caller gives an argument of `read`, by its name and value, for errors.
    """

    name: str
    columns: tuple[str, ...]
    spelled: tuple[str, ...]
    unnamed: tuple[str, ...]
    has_header: bool
    separator: str
    text: source.Text = dataclasses.field(repr=False)
    n_rows: int
    fast: plain.Reader | None = dataclasses.field(repr=False)
    argument: Callable[[str, object], str] = dataclasses.field(default=argument, repr=False)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line on which each row begins, from 1, and its cells.

        Lines without any character are passed over; where there is only one column they are refused, as they may be
        missing values.
        """
        named, n_rows = not self.has_header, 0
        for line, end, cells in source.records(self.text, self.separator):
            if not cells and len(self.columns) == 1:
                raise TableError(
                    f"{self.name}, line {line} is empty: in a file of one column it may be a missing value; mend the "
                    "line, or leave it out"
                )
            if not cells:
                continue
            if not named:
                named = True
                continue
            if len(cells) != len(self.columns):
                middle = source.ended_by_return(self.text, line, end)
                if middle:
                    raise TableError(
                        f"{self.name}: a carriage return ends line {middle} in the middle; remove it, or put the cell "
                        "into quotes"
                    )
                raise TableError(
                    f"{self.name}, line {line}: {counted(len(cells), 'cell')}, but the first line has "
                    f"{len(self.columns)}; mend the line (a cell that holds a {self.separator!r} must stand in quotes)"
                )
            n_rows += 1
            if n_rows > self.n_rows:
                self.text.source.check()
            yield line, cells

    @functools.cached_property
    def places(self) -> dict[str, int]:
        """Where each column is, from 0."""
        return {column: place for place, column in enumerate(self.columns)}

    def position(self, column: str, used: Collection[str] = ()) -> int:
        """Where a column is, from 0; an error suggests none that is used."""
        place = self.places.get(normal(column))
        if place is None:
            self.lacks([column], used)
        return place

    def lacks(self, missing: Sequence[str], used: Collection[str] = ()) -> NoReturn:
        """Say which columns are missing, and suggest one that is not used."""
        what = f"no column {missing[0]!r}" if len(missing) == 1 else f"no columns {listed(missing)}"
        known = {normal(name) for name in used}
        free = [name for name in self.columns if name not in known]
        similar = difflib.get_close_matches(normal(missing[0]), free, n=1)
        remedy = f" (did you mean {similar[0]!r}?)" if similar else ""
        other = next((mark for mark in ";\t|," if mark in self.columns[0]), None) if len(self.columns) == 1 else None
        if other is not None:
            remedy = f" (are its cells separated by {other!r}? Then give {self.argument('separator', other)})"
        if not self.has_header:
            remedy = f" (by {self.argument('header', False)} columns are called by their numbers)"
        raise TableError(f"{self.name} has {what}{remedy}, but {listed(self.columns)}")

    def numbers(self, columns: Sequence[str], remedy: str) -> Array:
        """Columns of numbers, all finite, none missing.

        Parameters
        ----------
        columns : sequence of str
        remedy : str
            What to do about a cell that is no number, besides mending it; "{column}" stands for the column.

        Returns
        -------
        ndarray of shape (n_rows, len(columns)), float32 or float64
            float32 where that holds each of them as it is.
        """
        places = [self.position(column) for column in columns]
        fast = self._fast_numbers(places)
        if fast is not None:
            return fast
        largest, loose = LARGEST["float32"], self.text.has_underscore  # Python reads 1_000 as a number
        found, part = plain.Numbers(self.n_rows, len(places)), array("d")
        for line, cells in self.rows():
            try:
                row = [float(cells[place]) for place in places]
            except ValueError:
                row = [math.nan]
            if not all(-largest <= value <= largest for value in row) or (loose and any("_" in c for c in cells)):
                for place in places:
                    wrong = wrong_number(cells[place])
                    if wrong is not None:
                        self.refuse(line, self.columns[place], wrong, remedy)
            part.extend(row)
            if len(part) >= _AT_A_TIME:
                found.add(np.frombuffer(part))
                part = array("d")
        if part:
            found.add(np.frombuffer(part))
        return found.all()

    def bulk_numbers(self, column: str) -> Array | None:
        """A column of numbers where they can be had at little cost, or None.

        Returns
        -------
        ndarray of shape (n_rows,), float32 or float64, or None
        """
        found = self._fast_numbers([self.position(column)])
        return None if found is None else found[:, 0]

    def _fast_numbers(self, places: Sequence[int]) -> Array | None:
        return self.fast.numbers(places, self.n_rows, LARGEST["float32"]) if self.fast and places else None

    def cells(self, column: str, remedy: str) -> Cells:
        """The cells of a column, none missing."""
        place, spellings = self.position(column), _Spellings()
        codes = None if self.fast is None else self.fast.codes(place, spellings.code, self.n_rows)
        if codes is None or codes.min() < 0:
            spellings, found = _Spellings(), array("q")
            for line, cells in self.rows():
                found.append(spellings.code(cells[place]))
                if found[-1] < 0:
                    self.refuse(line, self.columns[place], "the value is missing", remedy)
            codes = np.frombuffer(found, np.int64)
        return Cells(tuple(spellings.found), codes)

    def line(self, row: int) -> int:
        """The line on which a row begins, both from 1 and from 0."""
        return next(itertools.islice(self.rows(), row, None))[0]

    def refuse(self, line: int, column: str, wrong: str, remedy: str) -> NoReturn:
        """Say what is wrong with a cell."""
        remedy = remedy.replace("{column}", _quoted(column))
        raise TableError(f"{self.name}, line {line}, column {column!r}: {wrong}; mend it, or {remedy}")


def _quoted(column: str) -> str:
    return f'"{column}"' if " " in column else column
