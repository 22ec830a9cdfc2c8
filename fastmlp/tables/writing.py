"""CSV files that no reader can misread, each written whole or not at all."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fastmlp import _writing

# A cell in quotes means the same to every reader. Python's csv leaves a carriage return without them before 3.13; other
# readers leave blanks around a cell out, end a line at any of these, or take a mark at the begin for the file's.
_RISKY = re.compile('["\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]|^\\s|\\s$|^\\ufeff')


class Writer:
    """Writes rows of cells to a text file."""

    def __init__(self, file: Any, separator: str) -> None:
        self._file, self._separator = file, separator

    def writerow(self, cells: Iterable[Any]) -> None:
        """Write a row."""
        texts = ["" if cell is None else str(cell) for cell in cells]
        if texts == [""]:  # no empty line, which would be passed over
            self._file.write('""\n')
            return
        self._file.write(self._separator.join(map(self._quoted, texts)) + "\n")

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        """Write some rows."""
        for row in rows:
            self.writerow(row)

    def _quoted(self, text: str) -> str:
        if self._separator not in text and _RISKY.search(text) is None:
            return text
        return '"' + text.replace('"', '""') + '"'


@contextlib.contextmanager
def writing(path: Path, separator: str = ",") -> Iterator[Writer]:
    """A writer whose file is there, whole, in the end, or not at all."""
    with writing_all([path], separator) as (writer,):
        yield writer


@contextlib.contextmanager
def writing_all(paths: Sequence[Path], separator: str = ",") -> Iterator[list[Writer]]:
    """Writers whose files are there, all of them whole, in the end, or none."""
    with _writing.replacing_all(paths) as temporaries, contextlib.ExitStack() as stack:
        writers = []
        for path, temporary in zip(paths, temporaries, strict=True):
            stack.enter_context(_writing.naming(path, temporary))
            writers.append(stack.enter_context(writing_new(temporary, separator)))
        yield writers


@contextlib.contextmanager
def writing_new(path: Path, separator: str = ",") -> Iterator[Writer]:
    """A writer of a new file, which is on the disk in the end."""
    with open(path, "x", newline="", encoding="utf-8") as file:
        yield Writer(file, separator)
        file.flush()
        os.fsync(file.fileno())
