"""The three pictures of `fastmlp bench`."""

import functools
import textwrap
from pathlib import Path
from typing import Any

from fastmlp import _figures
from fastmlp.bench.measure import Result


def draw(result: Result, folder: Path) -> None:
    """Write ratios.png, roofline.png and threads.png.

    Parameters
    ----------
    result : dict
        Of `fastmlp.bench.command.measure`.
    folder : path

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    for plot in (ratios, roofline, threads):
        _figures.save(functools.partial(plot, result), folder / f"{plot.__name__}.png", size=(8, 4.8))


def _finish(ax: Any, title: str, x: str, y: str) -> Any:
    """Names of the picture and its axes, grid and legend."""
    ax.set_title(title, fontsize=10)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(alpha=0.3)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(ncols=2, fontsize="small", frameon=False)
    return ax


def ratios(result: Result, ax: Any) -> Any:
    """How many times as fast as each peer, by workload, with the quartiles of the rounds.

    Parameters
    ----------
    result : dict
    ax : matplotlib Axes

    Returns
    -------
    matplotlib Axes
    """
    rows = result["training"]
    labels = list(dict.fromkeys(row["workload"] for row in rows))
    names = list(dict.fromkeys(row["peer"] for row in rows))
    for i, name in enumerate(names):
        own = [row for row in rows if row["peer"] == name]
        low, middle, high = zip(*(row["times_as_fast"] for row in own), strict=True)
        shift = 0.6 * (i - (len(names) - 1) / 2) / max(1, len(names))
        at = [labels.index(row["workload"]) + shift for row in own]
        error = [[m - q for m, q in zip(middle, low, strict=True)], [q - m for m, q in zip(middle, high, strict=True)]]
        ax.errorbar(at, middle, yerr=error, fmt="osD^vP*X"[i % 8], markersize=5, linewidth=1, label=name)
    ax.axhline(1, color="black", linewidth=1)
    ax.set_yscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000]
    limits = ax.get_ylim()
    ax.set_yticks(ticks, [str(tick) for tick in ticks])
    ax.set_ylim(limits)
    ax.minorticks_off()
    ax.set_xticks(range(len(labels)), [textwrap.fill(label, 13) for label in labels], fontsize=7)
    title = "One SGD step: fastmlp beside each peer (above 1: fastmlp is faster)"
    return _finish(ax, title, "", "times as fast as the peer")


def roofline(result: Result, ax: Any) -> Any:
    """Share of the multiply-add peak of all threads in a whole training step, by batch size.

    Parameters
    ----------
    result : dict
    ax : matplotlib Axes

    Returns
    -------
    matplotlib Axes
    """
    for network in dict.fromkeys(row["workload"].split()[0] for row in result["shares"]):
        rows = [row for row in result["shares"] if row["workload"].split()[0] == network]
        batches = [row["batch"] for row in rows]
        low, middle, high = ([100 * row["share"][i] for row in rows] for i in range(3))
        (line,) = ax.plot(batches, middle, "o-", markersize=4, label=network)
        ax.fill_between(batches, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        roof = [100 * row["roof"] for row in rows]
        ax.plot(batches, roof, ":", color=line.get_color(), label=f"{network}, what memory traffic allows")
    ax.axhline(100, color="black", linewidth=1)
    ax.set_xscale("log", base=2)
    batches = sorted({row["batch"] for row in result["shares"]})
    ax.set_xticks(batches, [str(batch) for batch in batches])
    ax.set_ylim(0)
    title = "How much of the machine a whole SGD step uses"
    return _finish(ax, title, "rows of a batch", "% of the peak of multiply-adds, all threads")


def threads(result: Result, ax: Any) -> Any:
    """Speed on several threads over the speed on one, by the operations of a step.

    Parameters
    ----------
    result : dict
    ax : matplotlib Axes

    Returns
    -------
    matplotlib Axes
    """
    rows = sorted(result["threads"], key=lambda row: row["operations"])
    operations = [row["operations"] for row in rows]
    for name in (name for name in rows[0]["us"] if name != "1"):
        speeds = [1 / row["ratio"][name][1] for row in rows]
        label = "as many as fastmlp chooses" if name == "chosen" else f"{name} threads"
        ax.plot(operations, speeds, "k--" if name == "chosen" else "o-", markersize=4, linewidth=1, label=label)
    ax.axhline(1, color="black", linewidth=1)
    ax.set_xscale("log")
    ax.set_ylim(0)
    title = "What more threads bring to a step"
    return _finish(ax, title, "floating-point operations of a step", "times as fast as one thread")
