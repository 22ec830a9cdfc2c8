"""Tables in plain CSV files, for large ones: where cells begin and end is found for many rows at a time.

Only files of which it is known that Python's csv makes the same cells of them: every quote begins or ends a cell or
stands twice within one, no line ends with a carriage return alone. Of all others, and wherever a cell is no number or a
row has too few cells or too many, there is no result here: table.py then reads by Python's csv, which also knows the
line of what is wrong. The numbers of many cells at once are read by pyarrow where it is there (arrow.py), else by
Python.
"""

import codecs
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fastmlp._validation import Array
from fastmlp.tables import arrow
from fastmlp.tables.source import Source, Text

# Smaller files are read by Python's csv, in a tenth of a second.
LEAST_BYTES = 1 << 20
# Smaller files are read without pyarrow: it takes 30 MB of memory, and a tenth of a second to be imported.
LEAST_BYTES_OF_PYARROW = 1 << 23
# How much of a file is looked at at a time, in bytes, at least: the caches hold what is found out about it.
_PART = 1 << 18
# Longest cell that Python's csv reads, in characters: its field_size_limit.
_LONGEST = 131_072
_NEWLINE, _RETURN, _QUOTE = b'\n\r"'


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads columns of a table, called by their places from 0.

    Attributes
    ----------
    source : Source
    begin : int
        Where the rows begin.
    separator : bytes
    n_columns : int
    parsed : function
        Of the text of some numbers, each on a line, and of their number: float64 of shape (n,), or None.
    first_row : int
        Its length in bytes.
    is_quoted : bool
        Whether some cells are.
    n_lines : int or None
        How many rows there are where each is a line.
    """

    source: Source
    begin: int
    separator: bytes
    n_columns: int
    parsed: Callable[[bytes, int], Array | None]
    first_row: int
    is_quoted: bool
    n_lines: int | None

    def n_rows(self) -> int | None:
        """How many rows there are; None where not all of them have as many cells as there are columns."""
        if self.n_lines is not None:
            return self.n_lines  # where lines have too few cells, or too many, those who read them find it out
        n_rows = 0
        for _, begins, _ in self._grids():
            if begins is None:
                return None
            n_rows += len(begins)
        return n_rows

    def numbers(self, places: Sequence[int], n_rows: int, largest: float) -> Array | None:
        """Columns of numbers, at least one; None where a cell is none, or larger.

        Returns
        -------
        ndarray of shape (n_rows, len(places)), float32 or float64 (`Numbers`), or None
        """
        wanted = np.unique(places)
        order = None if np.array_equal(wanted, places) else np.searchsorted(wanted, places)
        gaps = np.flatnonzero(np.diff(wanted) > 1)  # neighbours are cut out in one piece
        first, last = wanted[[0, *(gaps + 1)]], wanted[[*gaps, -1]]
        lines = bytes.maketrans(self.separator, b"\n")
        found = Numbers(n_rows, len(places))
        for rows, begins, ends in self._grids():
            if begins is None or found.n_rows + len(begins) > n_rows:
                return None
            view = memoryview(rows)
            pieces = zip(begins[:, first].ravel().tolist(), ends[:, last].ravel().tolist(), strict=True)
            text = b"\n".join([view[begin:end] for begin, end in pieces]).translate(lines)
            n = len(begins) * len(wanted)
            if self.is_quoted and b'"' in text:
                if b'""' in text or text.count(b"\n") != n - 1:  # of a separator or an end of a line within quotes
                    return None
                text = text.replace(b'"', b"")
            part = self.parsed(text, n)
            if part is None or not (part.min(initial=0) >= -largest and part.max(initial=0) <= largest):  # of NaN, too
                return None
            found.add(part if order is None else part.reshape(-1, len(wanted))[:, order].ravel())
        return found.all() if found.n_rows == n_rows else None

    def codes(self, place: int, code: Callable[[str], int], n_rows: int) -> Array | None:
        """What `code` makes of each cell of a column; it is called once for each spelling in a part of the file.

        Returns
        -------
        ndarray of shape (n_rows,), int64, or None
        """
        found, at = np.empty(n_rows, np.int64), 0
        for rows, begins, ends in self._grids():
            if begins is None or at + len(begins) > n_rows:
                return None
            pieces = zip(begins[:, place].tolist(), ends[:, place].tolist(), strict=True)
            cells = [rows[begin:end] for begin, end in pieces]
            codes = {cell: code(_text(cell)) for cell in dict.fromkeys(cells)}
            found[at : at + len(cells)] = [codes[cell] for cell in cells]
            at += len(cells)
        return found if at == n_rows else None

    def _grids(self) -> Iterator[tuple[bytes, Array | None, Array]]:
        """Some rows, and where their cells begin and end: two of shape (n_rows, n_columns), int64.

        None where not all rows have as many cells as there are columns.
        """
        is_end = bytes(mark in (*self.separator, _NEWLINE) for mark in range(256))
        for rows in self._lines():
            marks = np.frombuffer(rows.translate(is_end), bool)
            values = np.frombuffer(rows, np.uint8)
            if self.is_quoted and b'"' in rows:
                marks = marks & (np.bitwise_xor.accumulate((values == _QUOTE).view(np.uint8)) == 0)
            ends = np.flatnonzero(marks)
            begins = np.empty_like(ends)
            begins[:1], begins[1:] = 0, ends[:-1] + 1
            n_lines = int(np.count_nonzero(values[ends] == _NEWLINE)) if self.is_quoted else rows.count(b"\n")
            if self.n_columns == 1 or not self._are_rows(values, ends, n_lines):
                is_line = values[ends] == _NEWLINE
                is_empty = is_line & ((begins == ends) | ((begins == ends - 1) & (values[begins] == _RETURN)))
                is_empty[1:] &= is_line[:-1]
                begins, ends = begins[~is_empty], ends[~is_empty]
                n_empty = int(np.count_nonzero(is_empty))
                # An empty line of a single column may be a missing value.
                if not self._are_rows(values, ends, n_lines - n_empty) or (self.n_columns == 1 and n_empty):
                    yield rows, None, ends
                    return
                if not len(ends):
                    continue
            yield rows, begins.reshape(-1, self.n_columns), ends.reshape(-1, self.n_columns)

    def _are_rows(self, values: Array, ends: Array, n_lines: int) -> bool:
        """Whether the ends of cells are those of lines where each row ends, and only there."""
        last = ends[self.n_columns - 1 :: self.n_columns]
        return len(ends) == n_lines * self.n_columns and bool((values[last] == _NEWLINE).all())

    def _lines(self) -> Iterator[bytes]:
        """Whole rows, some at a time; each ends a line."""
        size = max(_PART, self.first_row)
        with self.source.opened() as file:
            file.seek(self.begin)
            rest = b""
            while part := file.read(size):
                rest += part
                end = rest.rfind(b"\n") + 1
                n_quotes = rest.count(b'"', 0, end) if self.is_quoted else 0
                while n_quotes % 2:  # within a cell
                    before = rest.rfind(b"\n", 0, end - 1) + 1
                    n_quotes -= rest.count(b'"', before, end)
                    end = before
                if end:
                    yield rest[:end]
                    rest = rest[end:]
        if rest:
            yield rest + b"\n"


class Numbers:
    """The numbers of a table, row by row: as float32 where that holds each as it is, else as float64.

    Whole numbers and such are as often as not most of a table, and take less memory than their text. All lie in one
    piece of memory for float64. As long as they are float32 they fill only its first half, and the system gives no
    memory for what was not written.

    Parameters
    ----------
    n_rows, n_columns : int
    """

    def __init__(self, n_rows: int, n_columns: int) -> None:
        self._shape = n_rows, n_columns
        self._found = np.empty(n_rows * n_columns)
        self._is_single = True
        self._n = 0

    @property
    def n_rows(self) -> int:
        """How many rows there are so far."""
        return self._n // max(1, self._shape[1])

    def add(self, numbers: Array) -> None:
        """Numbers of the next rows, float64 of shape (n,), none too large for float32."""
        end = self._n + len(numbers)
        if self._is_single:
            singles = numbers.astype(np.float32)
            if (singles == numbers).all():
                self._found.view(np.float32)[self._n : end] = singles
                self._n = end
                return
            self._widen()
        self._found[self._n : end] = numbers
        self._n = end

    def _widen(self) -> None:
        """From the last one to the first: what is written over has been read."""
        self._is_single = False
        singles = self._found.view(np.float32)
        for begin in reversed(range(0, self._n, _PART)):
            part = slice(begin, min(begin + _PART, self._n))
            self._found[part] = singles[part].copy()

    def all(self) -> Array:
        """Of shape (n_rows, n_columns)."""
        if not self._is_single:
            return self._found.reshape(self._shape)
        return self._found.view(np.float32)[: len(self._found)].reshape(self._shape)


def reader(text: Text, begin: int, separator: str, n_columns: int) -> Reader | None:
    """What reads a table; None of files for Python's csv.

    Parameters
    ----------
    text : Text
    begin : int
        Where the rows begin.
    separator : str
    n_columns : int
    """
    source = text.source
    if source.size < LEAST_BYTES or source.is_held or not separator.isascii():
        return None
    looked = _look(source, begin, separator.encode())
    if looked is None:
        return None
    is_large = source.size >= LEAST_BYTES_OF_PYARROW and arrow.is_there()
    parsed = arrow.numbers if is_large else _numbers
    return Reader(source, begin, separator.encode(), n_columns, parsed, *looked)


def _numbers(text: bytes, n: int) -> Array | None:
    """Some numbers, each on a line, read by Python; None where one is none, or others are as many."""
    cells = text.split(b"\n")
    if len(cells) != n or b"_" in text:  # Python reads 1_000 as a number
        return None
    try:
        return np.fromiter(map(float, cells), np.float64, n)
    except ValueError:
        return None


def _text(cell: bytes) -> str:
    """What a cell holds, as Python's csv reads it."""
    if cell.endswith(b"\r"):  # of the end of a line
        cell = cell[:-1]
    if cell.startswith(b'"'):
        cell = cell[1:-1].replace(b'""', b'"')
    return cell.decode()


def _look(source: Source, begin: int, mark: bytes) -> tuple[int, bool, int | None] | None:
    """The length of the first row, whether some cells are quoted, how many lines there are where all are rows.

    None where the rows are for Python's csv.
    """
    is_end = np.zeros(256, bool)
    is_end[[mark[0], *b"\r\n"]] = True
    at, first_row, n_lines, are_rows = 0, 0, 0, True
    n_quotes, edges = 0, np.empty(0, np.int64)  # where a cell in quotes began that has not ended
    window = _LONGEST // 2  # each has an end of a cell, or a cell may be too long
    for before, part, behind in source.parts(begin):
        if at == 0 and part.startswith(codecs.BOM_UTF8):
            return None
        has_returns = b"\r" in part
        if has_returns and part.count(b"\r") != (part + behind).count(b"\r\n"):
            return None
        for place in range(0, len(part) - window, window):
            if part.find(mark, place, place + window) < 0 and part.find(b"\n", place, place + window) < 0:
                return None
        if not first_row and b"\n" in part:
            first_row = at + part.index(b"\n") + 1
        n_lines += part.count(b"\n")
        are_rows = are_rows and b"\n\n" not in before + part
        are_rows = are_rows and not (has_returns and b"\n\r\n" in before + part + behind)
        if b'"' in part:
            values = np.frombuffer(before + part + behind, np.uint8)
            places = np.flatnonzero(values[1:-1] == ord('"'))
            is_first = (n_quotes + np.arange(len(places))) % 2 == 0
            beside = np.where(is_first, values[places], values[places + 2])
            # The second of two quotes within a cell is a first one again, as if a cell began anew.
            if not (is_end[beside] | (beside == ord('"'))).all():
                return None
            edges = np.concatenate([edges, at + places[is_end[beside]]])
            n_pairs = len(edges) // 2
            if (edges[1 : 2 * n_pairs : 2] - edges[: 2 * n_pairs : 2] > _LONGEST).any():
                return None
            edges, n_quotes = edges[2 * n_pairs :], n_quotes + len(places)
        at += len(part)
        n_unended = part[-1:] != b"\n"
    if at == 0 or n_quotes % 2:
        return None
    return first_row or at, n_quotes > 0, n_lines + n_unended if are_rows and not n_quotes else None
