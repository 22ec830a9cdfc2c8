"""Files of text, and their rows by Python's csv, without a change of any cell."""

import codecs
import contextlib
import csv
import dataclasses
import io
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NoReturn

from fastmlp.tables.base import TableError

_END_OF_LINE = re.compile(rb"\r\n|\r|\n")
# How much of a file is looked at at a time, in bytes.
_PART = 1 << 20


class Source:
    """A file that is read again and again, from its begin, and never held in memory, but for its numbers.

    What cannot be read twice, a pipe, is held.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    name : str
    size : int
        In bytes.
    is_held : bool
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self._content: bytes | None = None
        with open(path, "rb") as file:
            self._seen = _seen(file)
            self.size = self._seen[0]
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                self._content = file.read()
                self.size = len(self._content)
        self.is_held = self._content is not None

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The file from its begin; `TableError` where it has changed since it was first read."""
        with io.BytesIO(self._content) if self._content is not None else open(self.name, "rb") as file:
            yield file
        self.check()

    def check(self) -> None:
        """See that the file is what it was; `TableError` where it has changed."""
        if self._content is None:
            with open(self.name, "rb") as file:
                if _seen(file) != self._seen:
                    raise TableError(f"{self.name} has changed while it was read; start again")

    def parts(self, begin: int = 0) -> Iterator[tuple[bytes, bytes, bytes]]:
        """One part after another, with the byte before and the byte behind it; at the ends these are ends of lines."""
        with self.opened() as file:
            file.seek(begin)
            before, part = b"\n", file.read(_PART)
            while part:
                following = file.read(_PART)
                yield before, part, following[:1] or b"\n"
                before, part = part[-1:], following


def _seen(file: BinaryIO) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev


@dataclasses.dataclass(frozen=True)
class Text:
    """A file of which each character can be read.

    Attributes
    ----------
    source : Source
    has_mark : bool
        Whether it begins with the mark of UTF-8.
    has_underscore : bool
    has_blanks : bool
        Whether there is a quote behind a blank.
    """

    source: Source
    has_mark: bool
    has_underscore: bool
    has_blanks: bool


def text(path: str) -> Text:
    """Look whether a file is text.

    Raises
    ------
    TableError
        Where it is not UTF-8, or holds the character NUL, which no text has.
    OSError
    """
    source = Source(path)
    has_mark = has_underscore = has_blanks = is_first = False
    decoder = codecs.getincrementaldecoder("utf-8")()
    pending = b""
    for before, part, _ in source.parts():
        if not is_first:
            is_first, has_mark = True, part.startswith(codecs.BOM_UTF8)
        nul = part.find(b"\0")
        try:
            if pending or not part.isascii():
                decoder.decode(part)
                pending = decoder.getstate()[0]
        except UnicodeDecodeError:
            _refuse_bytes(source)
        if nul >= 0:
            _refuse_bytes(source)
        has_underscore = has_underscore or b"_" in part
        if b'"' in part:  # one byte is found ten times as fast as two
            has_blanks = has_blanks or any(blank + b'"' in before + part for blank in (b" ", b"\t"))
    if pending:
        _refuse_bytes(source)
    return Text(source, has_mark, has_underscore, has_blanks)


def _refuse_bytes(source: Source) -> NoReturn:
    with source.opened() as file:
        content = file.read()
    wrong = content.find(b"\0")
    why = (
        f"{source.name}, line {{}}: a NUL character, which no text holds; save the file as UTF-8 (is this no CSV file?)"
    )
    try:
        content.decode()
    except UnicodeDecodeError as error:
        if wrong < 0 or error.start < wrong:
            wrong = error.start
            why = (
                f"{source.name}, line {{}}: the byte 0x{content[wrong]:02x} is not UTF-8; save the file as UTF-8 (a "
                "spreadsheet program calls it 'CSV UTF-8')"
            )
    raise TableError(why.format(1 + sum(1 for _ in _END_OF_LINE.finditer(content, 0, wrong)))) from None


@contextlib.contextmanager
def _lines(text: Text) -> Iterator[Iterator[str]]:
    """The lines of a text, each with its end."""
    with text.source.opened() as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as lines:
        yield lines


def offset(text: Text, n_lines: int) -> int:
    """Where the text after so many lines begins, in bytes."""
    with _lines(text) as lines:
        return 3 * text.has_mark + sum(len(line.encode()) for line in itertools.islice(lines, n_lines))


def ended_by_return(text: Text, first: int, last: int) -> int:
    """The line of a row, as an editor counts, where a lone carriage return begins or ends it though lines end
    otherwise; else 0."""
    n_ends, line = 0, 0
    with _lines(text) as lines:
        for number, content in enumerate(lines, 1):
            if content.endswith("\r") and number in (first - 1, last) and not line:
                line = n_ends + 1
            n_ends += content.endswith("\n")
            if n_ends and number >= last:
                break
    return line if n_ends else 0


def records(text: Text, separator: str) -> Iterator[tuple[int, int, list[str]]]:
    """The lines on which each row begins and ends, from 1, and its cells, of an empty line none.

    Cells are what the file holds, with their blanks, but for those before a quote, which are left out.
    """
    blanks = " \t".replace(separator, "")
    with _lines(text) as whole:
        lines = _without_blanks(whole, separator, blanks) if text.has_blanks else whole
        reader = csv.reader(lines, delimiter=separator, strict=True)
        line = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise TableError(
                    f"{text.source.name}, line {line}: {error}; is a quote missing, or is this no CSV file?"
                ) from None
            yield line, reader.line_num, cells
            line = reader.line_num + 1


def _without_blanks(lines: Iterable[str], separator: str, blanks: str) -> Iterator[str]:
    """Lines without the blanks between a separator, or the begin of a row, and a quote.

    csv leaves out all blanks behind a separator, or none.
    """
    opening, closing = re.compile(f'[{blanks}]*"'), re.compile(r'(?:[^"]|"")*"(?!")')
    inside = False
    for line in lines:
        kept, place = [], 0
        while place < len(line):
            found = (closing if inside else opening).match(line, place)
            if found is None and inside:
                break
            if found is not None:
                kept.append(found[0] if inside else '"')
                place, inside = found.end(), not inside
                if inside:
                    continue
            end = line.find(separator, place) + 1 or len(line)
            kept.append(line[place:end])
            place = end
        yield "".join([*kept, line[place:]])
