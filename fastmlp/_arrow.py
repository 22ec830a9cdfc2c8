"""Tables read by pyarrow (the extra "tables"): for large files, in bulk.

Only files of which it and Python's csv are known to make the same cells: every quote begins or ends a cell or stands
twice within one, no line ends with a carriage return alone. Of all others, and wherever pyarrow refuses something,
there is no result here: tables.py then reads by Python's csv, which also knows the line of what is wrong. The only
place that imports pyarrow.
"""

import codecs
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastmlp._csv import Source, Text
from fastmlp._validation import Array

# Of a smaller file Python's csv has read all before pyarrow is imported.
LEAST_BYTES = 1 << 20
# Each part of a file costs some 20 microseconds for each of its columns: it should have rows enough, and a table with
# fewer rows is read by Python's csv in less time.
LEAST_ROWS = 256
# How much of a file becomes arrays at a time, in bytes, at least.
_PART = 1 << 20
# Longest cell that Python's csv reads, in characters: its field_size_limit.
_LONGEST = 131_072


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads columns of a table, called by their places from 0.

    Attributes
    ----------
    source : Source
    begin : int
        Where the rows begin.
    separator : str
    n_columns : int
    first_row : int
        Its length in bytes.
    is_quoted : bool
        Whether some cells are.
    n_lines : int or None
        How many rows there are where each is a line.
    """

    source: Source
    begin: int
    separator: str
    n_columns: int
    first_row: int
    is_quoted: bool
    n_lines: int | None

    def n_rows(self) -> int | None:
        """How many rows there are; None where not all of them have as many cells as there are columns."""
        if self.n_lines is not None and self.n_columns > 1:
            return self.n_lines  # where lines have too few cells, or too many, those who read them find it out

        def count(batch: Any) -> int | None:
            # In a table of one column an empty line counts here, but not for Python's csv.
            return None if self.n_columns == 1 and batch.column(0).index("").as_py() >= 0 else batch.num_rows

        counts = self._parts([0], count)
        return None if counts is None or None in counts else sum(counts)

    def numbers(self, places: Sequence[int], n_rows: int, largest: float) -> Array | None:
        """Columns of numbers; None where a cell is none, or larger.

        Returns
        -------
        ndarray of shape (n_rows, len(places)), float64, or None
        """
        found = np.empty((n_rows, len(places)))
        at = 0

        def keep(batch: Any) -> bool:
            nonlocal at
            part = found[at : at + batch.num_rows]
            at += batch.num_rows
            for j, column in enumerate(batch.columns):
                part[:, j] = column.to_numpy()
            return bool(part.min(initial=0) >= -largest and part.max(initial=0) <= largest)  # of NaN, too

        kept = self._parts(places, keep, are_numbers=True)
        return found if kept is not None and all(kept) else None

    def codes(self, place: int, code: Callable[[str], int], n_rows: int) -> Array | None:
        """What `code` makes of each cell of a column; it is called once for each spelling in a part of the file.

        Returns
        -------
        ndarray of shape (n_rows,), int64, or None
        """
        found = np.empty(n_rows, np.int64)
        at = 0

        def keep(batch: Any) -> None:
            nonlocal at
            cells = batch.column(0).dictionary_encode()
            codes = np.array([code(text) for text in cells.dictionary.to_pylist()], np.int64)
            found[at : at + len(cells)] = codes[cells.indices.to_numpy()]
            at += len(cells)

        return None if self._parts([place], keep) is None else found

    def _parts(self, places: Sequence[int], use: Callable[[Any], Any], are_numbers: bool = False) -> list[Any] | None:
        """What `use` makes of each part of the table; None where pyarrow refuses one."""
        import pyarrow
        from pyarrow import csv

        names = [str(place) for place in range(self.n_columns)]
        wanted = [names[place] for place in places]
        size = max(_PART, min(LEAST_ROWS * self.first_row, self.source.size // 6))
        of_block = csv.ReadOptions(column_names=names, block_size=2**31 - 1, use_threads=False)
        of_lines = csv.ParseOptions(
            delimiter=self.separator,
            quote_char='"' if self.is_quoted else False,
            newlines_in_values=self.is_quoted,
            ignore_empty_lines=self.n_columns > 1,  # else they may be missing values
        )
        kind = pyarrow.float64() if are_numbers else pyarrow.string()
        of_cells = csv.ConvertOptions(
            check_utf8=False, column_types=dict.fromkeys(wanted, kind), include_columns=wanted, null_values=[]
        )
        found = []
        try:
            for lines in self._lines(size):
                table = csv.read_csv(pyarrow.BufferReader(lines), of_block, of_lines, of_cells)
                found += [use(batch) for batch in table.to_batches()]
        except pyarrow.ArrowInvalid:
            return None
        return found

    def _lines(self, size: int) -> Iterator[bytes]:
        """Whole rows of about so many bytes.

        pyarrow's own reader of parts reads as many ahead as fit into the memory of another table.
        """
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
            yield rest


def reader(text: Text, begin: int, separator: str, n_columns: int) -> Reader | None:
    """What reads a table; None without pyarrow, and of files for Python's csv.

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
    if looked is None or source.size - begin < LEAST_ROWS * looked[0] or not _is_there():
        return None
    return Reader(source, begin, separator, n_columns, *looked)


def _is_there() -> bool:
    try:
        import pyarrow.csv  # noqa: F401  (asked for alone)
    except ImportError:
        return False
    return True


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
