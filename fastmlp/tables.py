"""Tables in CSV files, as the commands of programs.py read them, in UTF-8: in bulk where the file is large and plain
(_plain.py), else by Python's csv (_csv.py); the result is the same, and so is what is said of errors.

Columns are found by their names, or by their positions from 1 where they have none. Names and classes are compared in
Unicode's form NFC: an accent may be a character of its own or not. A cell is text until a number is asked for. What is
wrong with a file is a `CommandError` that names the file, the line, the column and the remedy.
"""

import dataclasses
import difflib
import functools
import itertools
import math
import os
import re
import stat
import unicodedata
from array import array
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from fastmlp import _csv, _plain, _writing
from fastmlp._arguments import CommandError
from fastmlp._csv import writing as writing
from fastmlp._csv import writing_all as writing_all
from fastmlp._csv import writing_new as writing_new
from fastmlp._engine import LARGEST
from fastmlp._validation import Array, counted

# Names that an error lists.
_MOST_NAMES = 8
# Minuses, apostrophes and blanks of other keyboards, and what they stand for here.
_ALIKE = str.maketrans({
    **dict.fromkeys("\u2212\u2012\u2013\ufe63\uff0d", "-"), **dict.fromkeys("\u2019\u02bc\u00b4`", "'"),
    **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
})  # fmt: skip
# Groups of three digits after one of one to three, by one mark, and a fraction; by points there are two or more.
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([ '_])\d{3}(?:\1\d{3})*(?:[.,]\d*)?|(?:\.\d{3}){2,}(?:,\d*)?)")
# So many numbers are put into an array at a time.
_AT_A_TIME = 1 << 14


def normal(text: str) -> str:
    """A name or a class as it is compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


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
    fast : _plain.Reader or None
    """

    name: str
    columns: tuple[str, ...]
    spelled: tuple[str, ...]
    unnamed: tuple[str, ...]
    has_header: bool
    separator: str
    text: _csv.Text = dataclasses.field(repr=False)
    n_rows: int
    fast: _plain.Reader | None = dataclasses.field(repr=False)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line on which each row begins, from 1, and its cells.

        Lines without any character are passed over; where there is only one column they are refused, as they may be
        missing values.
        """
        named, n_rows = not self.has_header, 0
        for line, end, cells in _csv.records(self.text, self.separator):
            if not cells and len(self.columns) == 1:
                raise CommandError(
                    f"{self.name}, line {line} is empty: in a file of one column it may be a missing value; mend the "
                    "line, or leave it out"
                )
            if not cells:
                continue
            if not named:
                named = True
                continue
            if len(cells) != len(self.columns):
                middle = _csv.ended_by_return(self.text, line, end)
                if middle:
                    raise CommandError(
                        f"{self.name}: a carriage return ends line {middle} in the middle; remove it, or put the cell "
                        "into quotes"
                    )
                raise CommandError(
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
            remedy = f" (are its cells separated by {other!r}? Then give --separator {_spelled(other)})"
        if not self.has_header:
            remedy = " (by --header no columns are called by their numbers)"
        raise CommandError(f"{self.name} has {what}{remedy}, but {listed(self.columns)}")

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
        found, part = _plain.Numbers(self.n_rows, len(places)), array("d")
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
        raise CommandError(f"{self.name}, line {line}, column {column!r}: {wrong}; mend it, or {remedy}")


def read(path: str, separator: str = ",", header: bool | None = None) -> Table:
    """Read a table.

    Parameters
    ----------
    path : str
    separator : str, default ","
        One character.
    header : bool or None, default None
        Whether the first line names the columns; None: it must, and numbers in it are refused.

    Returns
    -------
    Table
        With at least one row.

    Raises
    ------
    CommandError
        Where the file is empty, not UTF-8, or its names are numbers or not different from each other.
    OSError
    """
    text = _csv.text(path)
    records = (record for record in _csv.records(text, separator) if record[2])
    _, n_lines, first = next(records, (0, 0, []))
    if not first:
        raise CommandError(f"{path} is empty; give a file with a line of names and a line for each row")
    names = spelled = [""] * len(first)
    if header is not False:
        spelled = [cell.strip() for cell in first]
        names = [normal(name) for name in spelled]
        if header is None and 2 * sum(parsed(name) is not None for name in names) >= len(names):
            raise CommandError(
                f"{path}, line 1: {next(name for name in names if parsed(name) is not None)!r} is a number, where the "
                "names of the columns are expected; give --header no for a file without names, or --header yes"
            )
    columns = tuple(name or str(position) for position, name in enumerate(names, 1))
    seen: set[str] = set()
    for name in columns:
        if name in seen:
            raise CommandError(f"{path}, line 1: two columns are called {name!r}; give them different names")
        seen.add(name)
    begin = _csv.offset(text, 0 if header is False else n_lines)
    fast = _plain.reader(text, begin, separator, len(first))
    n_rows = None if fast is None else fast.n_rows()
    if n_rows is None:
        fast, n_rows = None, sum(1 for _ in records) + (header is False)
    if n_rows == 0:
        raise CommandError(f"{path} holds the names of its columns, but no row")
    return Table(
        path,
        columns,
        tuple(spelled) if header is not False else (),
        tuple(column for name, column in zip(names, columns, strict=True) if not name),
        header is not False,
        separator,
        text,
        n_rows,
        fast,
    )


def parsed(text: str) -> float | None:
    """A number, which may be infinite or NaN, or None where a text is none."""
    first = text[:1]
    if first.isalpha() and first not in "iInN":  # what an exception would take longer to say, of thousands of names
        return None
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def wrong_number(text: str) -> str | None:
    """What is wrong with a cell that should be a finite number, or None."""
    value = parsed(text)
    if not text.strip() or (value is not None and math.isnan(value)):
        return "the value is missing"
    if value is None:
        meant, expected = without_marks(text.strip()), "a decimal point is expected, and no comma"
        if meant and not without_commas(text.strip()):
            expected = "digits and a decimal point are expected, without marks, and '-' as the minus"
        remedy = f"; {expected}: write {meant}" if meant else ""
        return f"{text.strip()!r} is not a number{remedy}"
    if abs(value) > LARGEST["float32"]:
        return f"{text.strip()!r} is infinite or too large for float32"
    return None


def without_marks(text: str) -> str:
    """How to write a text that is a number but for its commas, other marks of groups of three digits, signs of a unit
    (per cent, a currency) or another minus, for an error; empty where it is a number, or none at all."""
    if text[:1].isalpha() or not any(mark.isdecimal() for mark in text) or parsed(text) is not None:
        return ""
    bare = text.translate(_ALIKE).strip()
    sign, bare = (bare[:1], bare[1:]) if bare[:1] in ("+", "-") else ("", bare)
    while bare and (_is_unit(bare[0]) or _is_unit(bare[-1])):
        bare = bare[1:] if _is_unit(bare[0]) else bare[:-1]
    if not sign and bare[:1] in ("+", "-"):
        sign, bare = bare[:1], bare[1:].strip()
    if _GROUPED.fullmatch(bare):
        whole, point, rest = bare.partition(",") if bare.count(".") > 1 else re.split(r"([.,]|$)", bare, maxsplit=1)
        bare = re.sub("[ '_.]", "", whole) + point + rest
    if not bare[:1].isdecimal() and bare[:1] not in (".", ","):
        return ""
    return sign + bare if parsed(sign + bare) is not None else without_commas(sign + bare)


def _is_unit(mark: str) -> bool:
    return mark in " %\u2030\u00b0" or unicodedata.category(mark) == "Sc"


def without_commas(text: str) -> str:
    """How to write a text that is a number but for its commas, for an error; empty where it is none."""
    if "," not in text:
        return ""
    whole, _, rest = text.rpartition(",")
    grouped, decimal = text.replace(",", ""), f"{whole.replace('.', '')}.{rest}"
    if parsed(grouped) is None and parsed(decimal) is None:
        return ""
    if text.count(",") > 1 or "." in rest:
        return grouped if parsed(grouped) is not None else ""
    if "." in whole:
        return decimal if parsed(decimal) is not None else ""
    if re.match(r"[+-]?[1-9]\d{0,2},\d{3}(?!\d)", text) is None:  # groups have three digits
        return decimal
    return f"{decimal} where the comma is meant for one, {grouped} where it groups thousands"


# ---- writing ----


def targets(paths: Sequence[str], inputs: Sequence[str], force: bool) -> list[Path]:
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


# ---- words ----


def listed(names: Sequence[str]) -> str:
    """Names in quotes, at most so many."""
    more = f", ... ({len(names)})" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + more


def _quoted(column: str) -> str:
    return f'"{column}"' if " " in column else column


def _spelled(separator: str) -> str:
    return "tab" if separator == "\t" else f"'{separator}'"
