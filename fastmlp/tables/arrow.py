"""Numbers in text, many at once, read by pyarrow (the extra "tables"). The only place that imports it.

What it makes arrays by in Python, `to_numpy` or a cast, imports pandas, or a library for computing: 50 MB of memory.
"""

import numpy as np

from fastmlp._validation import Array

# Threads of pyarrow share a text in so many blocks.
_BLOCKS = 4


def is_there() -> bool:
    """Whether pyarrow is installed."""
    try:
        import pyarrow.csv  # noqa: F401  (asked for alone)
    except ImportError:
        return False
    return True


def numbers(text: bytes, n: int) -> Array | None:
    """Some numbers, each on a line; None where pyarrow reads one as none, or others are as many.

    Returns
    -------
    ndarray of shape (n,), float64, or None
    """
    import pyarrow
    from pyarrow import csv

    try:
        table = csv.read_csv(
            pyarrow.BufferReader(text),
            csv.ReadOptions(column_names=["number"], block_size=len(text) // _BLOCKS + 1),
            csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(check_utf8=False, column_types={"number": pyarrow.float64()}, null_values=[]),
            pyarrow.system_memory_pool(),  # pyarrow's own keeps what it has had
        )
    except pyarrow.ArrowInvalid:
        return None
    parts = [
        np.frombuffer(part.buffers()[1], np.float64, len(part), 8 * part.offset) for part in table.column(0).chunks
    ]
    found = np.concatenate(parts) if len(parts) != 1 else parts[0]
    return found if len(found) == n else None
