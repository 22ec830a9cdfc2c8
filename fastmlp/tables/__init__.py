"""Tables in CSV files, in UTF-8: in bulk where the file is large and plain (plain.py), else by Python's csv
(source.py); the result is the same, and so is what is said of errors.

Columns are found by their names, or by their positions from 1 where they have none. Names and classes are compared in
Unicode's form NFC: an accent may be a character of its own or not. A cell is text until a number is asked for. What is
wrong with a file is a `TableError` that names the file, the line, the column and the remedy.
"""

from fastmlp.tables.base import TableError, listed, normal
from fastmlp.tables.reading import read
from fastmlp.tables.table import Cells, Table
from fastmlp.tables.writing import writing, writing_all, writing_new

__all__ = ["Cells", "Table", "TableError", "listed", "normal", "read", "writing", "writing_all", "writing_new"]
