"""Tables in CSV files, as the commands of programs.py read and write them: by Python's csv, in UTF-8.

Columns are found by their names, or by their positions from 1 where they have none. What is wrong with a file is a
`CommandError` that names the file, the line, the column and the remedy.
"""

import contextlib
import csv
import dataclasses
import difflib
import io
import math
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from fastmlp import files
from fastmlp._arguments import CommandError
from fastmlp._engine import LARGEST
from fastmlp._validation import Array

# A target of whole numbers is taken for classes where there are at most so many different ones.
_MOST_CLASSES = 20
# Names that an error lists.
_MOST_NAMES = 8


@dataclasses.dataclass(frozen=True)
class Table:
    """A file that was read: the names of its columns, and the text of its rows.

    Attributes
    ----------
    name : str
        Of the file, for errors.
    columns : tuple of str
    unnamed : tuple of str
        Those without a name, called by their positions.
    has_header : bool
        Whether the file names its columns.
    separator : str
        Of cells.
    text : str
    n_rows : int
    """

    name: str
    columns: tuple[str, ...]
    unnamed: tuple[str, ...]
    has_header: bool
    separator: str
    text: str = dataclasses.field(repr=False)
    n_rows: int

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line on which each row begins, from 1, and its cells.

        Lines without any character are passed over; where there is only one column they are refused, as they may be
        missing values.
        """
        named = not self.has_header
        for line, cells in _lines(self.name, self.text, self.separator):
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
                raise CommandError(
                    f"{self.name}, line {line}: {counted(len(cells), 'cell')}, but the first line has "
                    f"{len(self.columns)}; mend the line (a cell that holds a {self.separator!r} must stand in quotes)"
                )
            yield line, cells

    def position(self, column: str) -> int:
        """Where a column is, from 0."""
        if column not in self.columns:
            self.lacks([column])
        return self.columns.index(column)

    def lacks(self, missing: Sequence[str]) -> NoReturn:
        """Say which columns are missing."""
        what = f"no column {missing[0]!r}" if len(missing) == 1 else f"no columns {listed(missing)}"
        similar = difflib.get_close_matches(missing[0], self.columns, n=1)
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
        ndarray of shape (n_rows, len(columns)), float64
        """
        known = {column: place for place, column in enumerate(self.columns)}
        places = [known[column] if column in known else self.position(column) for column in columns]
        largest, loose = LARGEST["float32"], "_" in self.text  # Python reads 1_000 as a number
        found = array("d")
        for line, cells in self.rows():
            try:
                row = [float(cells[place]) for place in places]
            except ValueError:
                row = [math.nan]
            if not all(-largest <= value <= largest for value in row) or (loose and any("_" in c for c in cells)):
                for place in places:
                    wrong = _wrong_number(cells[place])
                    if wrong is not None:
                        self.refuse(line, self.columns[place], wrong, remedy)
            found.extend(row)
        return np.frombuffer(found, np.float64).reshape(self.n_rows, len(places))

    def texts(self, column: str, remedy: str) -> tuple[list[str], list[int]]:
        """The cells of a column without the blanks around them, none missing, and their lines."""
        place = self.position(column)
        found, lines = [], []
        for line, cells in self.rows():
            text = cells[place].strip()
            if text.lower() in ("", "nan"):
                self.refuse(line, column, "the value is missing", remedy)
            found.append(text)
            lines.append(line)
        return found, lines

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
    content = Path(path).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CommandError(
            f"{path}, line {line}: the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8 (a "
            "spreadsheet program calls it 'CSV UTF-8')"
        ) from None
    lines = (cells for _, cells in _lines(path, text, separator) if cells)
    first = next(lines, [])
    if not first:
        raise CommandError(f"{path} is empty; give a file with a line of names and a line for each row")
    positions = columns = [str(position) for position in range(1, len(first) + 1)]
    names = [""] * len(first)
    if header is not False:
        names = [cell.strip() for cell in first]
        if header is None and 2 * sum(parsed(name) is not None for name in names) >= len(names):
            raise CommandError(
                f"{path}, line 1: {next(name for name in names if parsed(name) is not None)!r} is a number, where the "
                "names of the columns are expected; give --header no for a file without names, or --header yes"
            )
        columns = [name or position for name, position in zip(names, positions, strict=True)]
        seen: set[str] = set()
        for name in columns:
            if name in seen:
                raise CommandError(f"{path}, line 1: two columns are called {name!r}; give them different names")
            seen.add(name)
    n_rows = sum(1 for _ in lines) + (header is False)
    if n_rows == 0:
        raise CommandError(f"{path} holds the names of its columns, but no row")
    unnamed = tuple(position for name, position in zip(names, positions, strict=True) if not name)
    return Table(path, tuple(columns), unnamed, header is not False, separator, text, n_rows)


def _lines(name: str, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The line on which each row begins, from 1, and its cells, of an empty line none."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise CommandError(f"{name}, line {line}: {error}; is a quote missing, or is this no CSV file?") from None
        yield line, cells
        line = reader.line_num + 1


def parsed(text: str) -> float | None:
    """A number, which may be infinite or NaN, or None where a text is none."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _wrong_number(text: str) -> str | None:
    value = parsed(text)
    if not text.strip() or (value is not None and math.isnan(value)):
        return "the value is missing"
    if value is None:
        comma = "; a decimal point is expected" if parsed(text.replace(",", ".", 1)) is not None else ""
        return f"{text.strip()!r} is not a number{comma}"
    if abs(value) > LARGEST["float32"]:
        return f"{text.strip()!r} is infinite or too large for float32"
    return None


# ---- targets ----


def is_classification(texts: Sequence[str]) -> tuple[bool, str]:
    """Whether a target holds classes, and why."""
    values = [parsed(text) for text in texts]
    if None in values:
        return True, "the target is text"
    different = set(values)
    if len(different) > _MOST_CLASSES or not all(value is not None and value.is_integer() for value in different):
        return False, "the target is a number"
    return True, f"the target is one of {len(different)} whole numbers"


def refuse_mixed(table: Table, column: str, texts: Sequence[str], lines: Sequence[int]) -> None:
    """Refuse a target of numbers with a few cells that are none: it is not taken for text because of them.

    Raises
    ------
    CommandError
        Where most cells are numbers, but not all.
    """
    wrong = [i for i, text in enumerate(texts) if parsed(text) is None]
    n_numbers = len(texts) - len(wrong)
    if wrong and n_numbers > len(wrong):
        others = "1 other is" if n_numbers == 1 else f"{n_numbers:,} others are"
        table.refuse(
            lines[wrong[0]],
            column,
            f"{_wrong_number(texts[wrong[0]])}, though {others}",
            "leave the line out, or give --task classification",
        )


def class_names(texts: Sequence[str]) -> tuple[str, ...]:
    """The classes of a target: texts in alphabetical order, or numbers in theirs, written in one way."""
    values = [parsed(text) for text in texts]
    if None in values:
        return tuple(sorted(set(texts)))
    return tuple(_written(value) for value in sorted({value for value in values if value is not None}))


def labels(table: Table, column: str, classes: Sequence[str], remedy: str) -> Array:
    """The positions of a target's cells among the classes.

    Returns
    -------
    ndarray of shape (n_rows,), int64
    """
    texts, lines = table.texts(column, remedy)
    numeric = None not in map(parsed, classes)
    places = {name: place for place, name in enumerate(classes)}
    found = np.empty(len(texts), np.int64)
    for i, text in enumerate(texts):
        value = parsed(text) if numeric else None
        name = text if value is None else _written(value)
        if name not in places:
            table.refuse(lines[i], column, f"{text!r} is none of the classes {listed(classes)}", remedy)
        found[i] = places[name]
    return found


def _written(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


# ---- writing ----


@contextlib.contextmanager
def writing(path: Path, separator: str = ",") -> Iterator[Any]:
    """A csv writer whose file is there, whole, in the end, or not at all."""
    with files.replacing(path) as temporary, writing_new(temporary, separator) as writer:
        yield writer


@contextlib.contextmanager
def writing_new(path: Path, separator: str = ",") -> Iterator[Any]:
    """A csv writer of a new file, which is on the disk in the end."""
    with open(path, "x", newline="", encoding="utf-8") as file:
        yield csv.writer(file, delimiter=separator, lineterminator="\n")
        file.flush()
        os.fsync(file.fileno())


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
    """
    found = [files.writable(path) for path in paths]
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


def counted(n: int, what: str) -> str:
    """A number of things: "1 row", "2 rows"."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
