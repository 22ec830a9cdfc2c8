"""What notebooks show: tables of HTML."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

# Epochs that a table shows at its beginning and its end, where there are more than both.
_FIRST, _LAST = 3, 7


def table(header: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str] | None, sides: str) -> str:
    """A table, whose cells are text.

    Parameters
    ----------
    header : sequence of str
    rows : iterable of sequence of str
    total : sequence of str or None
        The last row.
    sides : str
        Where the text of each column is, "<" or ">".

    Returns
    -------
    str
    """

    def row(cells: Sequence[str], kind: str = "td") -> str:
        style = {"<": "text-align: left; white-space: pre", ">": "text-align: right; white-space: pre"}
        return "<tr>" + "".join(
            f'<{kind} style="{style[side]}">{escape(cell)}</{kind}>' for cell, side in zip(cells, sides, strict=True)
        ) + "</tr>"  # fmt: skip

    foot = f"<tfoot>{row(total, 'th')}</tfoot>" if total else ""
    return f"<table><thead>{row(header, 'th')}</thead><tbody>{''.join(map(row, rows))}</tbody>{foot}</table>"


def history(history: Any) -> str:
    """The numbers of a training, and its curves where matplotlib is there.

    Parameters
    ----------
    history : History

    Returns
    -------
    str
    """
    told = f"<div>{escape(repr(history))}</div>"
    if not history.epoch:
        return told
    rows = [
        (f"{epoch + 1}", *(f"{values[i]:.4g}" for values in history.values()))
        for i, epoch in enumerate(history.epoch)
    ]  # fmt: skip
    if len(rows) > _FIRST + _LAST:
        rows[_FIRST:-_LAST] = [("...",) * len(rows[0])]
    return table(("epoch", *history), rows, None, ">" * len(rows[0])) + told + _image(history)


def _image(history: Any) -> str:
    import base64
    import io

    try:
        from matplotlib.figure import Figure  # not by way of pyplot: no window, whatever the backend
    except ImportError:
        return ""
    from fastmlp import _curves

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    _curves.of_history(history, figure.subplots())
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    image = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="losses and metrics over the epochs" src="data:image/png;base64,{image}">'
