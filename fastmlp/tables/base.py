"""What all of this room share: its error, how names are compared and listed, how a caller's arguments are called."""

import unicodedata
from collections.abc import Sequence

# Names that an error lists.
_MOST_NAMES = 8


class TableError(ValueError):
    """What is wrong with a table, where it is, and the remedy."""


def argument(name: str, value: object) -> str:
    """How an argument of `read` is given in Python, for errors."""
    return f"{name}={value!r}"


def normal(text: str) -> str:
    """A name or a class as it is compared."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def listed(names: Sequence[str]) -> str:
    """Names in quotes, at most so many."""
    more = f", ... ({len(names)})" if len(names) > _MOST_NAMES else ""
    return ", ".join(map(repr, names[:_MOST_NAMES])) + more
