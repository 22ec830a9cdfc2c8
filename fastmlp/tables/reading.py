"""From a file to a table: its names, how many rows it has, and which reader its columns are for."""

from collections.abc import Callable

from fastmlp.tables import plain, source
from fastmlp.tables.base import TableError, argument, normal
from fastmlp.tables.numbers import parsed
from fastmlp.tables.table import Table


def read(
    path: str,
    separator: str = ",",
    header: bool | None = None,
    argument: Callable[[str, object], str] = argument,
) -> Table:
    """Read a table.

    Parameters
    ----------
    path : str
    separator : str, default ","
        One character.
    header : bool or None, default None
        Whether the first line names the columns; None: it must, and numbers in it are refused.
    argument : function
        How the caller gives one of these, by its name and value, for errors; in Python by default.

    Returns
    -------
    Table
        With at least one row.

    Raises
    ------
    TableError
        Where the file is empty, not UTF-8, or its names are numbers or not different from each other.
    OSError
    """
    text = source.text(path)
    records = (record for record in source.records(text, separator) if record[2])
    _, n_lines, first = next(records, (0, 0, []))
    if not first:
        raise TableError(f"{path} is empty; give a file with a line of names and a line for each row")
    names = spelled = [""] * len(first)
    if header is not False:
        spelled = [cell.strip() for cell in first]
        names = [normal(name) for name in spelled]
        if header is None and 2 * sum(parsed(name) is not None for name in names) >= len(names):
            raise TableError(
                f"{path}, line 1: {next(name for name in names if parsed(name) is not None)!r} is a number, where the "
                f"names of the columns are expected; give {argument('header', False)} for a file without names, or "
                f"{argument('header', True)}"
            )
    columns = tuple(name or str(position) for position, name in enumerate(names, 1))
    seen: set[str] = set()
    for name in columns:
        if name in seen:
            raise TableError(f"{path}, line 1: two columns are called {name!r}; give them different names")
        seen.add(name)
    begin = source.offset(text, 0 if header is False else n_lines)
    fast = plain.reader(text, begin, separator, len(first))
    n_rows = None if fast is None else fast.n_rows()
    if n_rows is None:
        fast, n_rows = None, sum(1 for _ in records) + (header is False)
    if n_rows == 0:
        raise TableError(f"{path} holds the names of its columns, but no row")
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
        argument,
    )
