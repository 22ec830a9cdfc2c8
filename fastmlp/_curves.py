"""Curves of trainings: of their epochs, and of a search for a learning rate."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastmlp._figures import COLOURS, axes
from fastmlp._quiet import quiet

# Of the learning rate and its scale; and where that begins, a share of the width, where a third one is needed.
GREY, SCALE_AT = "0.35", 0.84


@quiet
def of_history(history: Any, ax: Any = None, names: Sequence[str] | None = None) -> Any:
    """Draw a `fastmlp.History`: see `fastmlp.plotting.history`."""
    if not history.epoch:
        raise ValueError("this history holds no epoch to draw")
    names = _names(history, names)
    groups = {
        "loss": [name for name in names if name == "loss"],
        "metric": [name for name in names if name not in ("loss", "learning_rate")],
        "learning rate": [name for name in names if name == "learning_rate"],
    }
    ax = axes(ax)
    ax.set_xlabel("epoch")
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    curves: list[Any] = []
    scales: list[Any] = []
    colours = iter(itertools.cycle(COLOURS))
    for kind, group in groups.items():
        if not group:
            continue
        own = ax if not scales else ax.twinx()
        scales.append(own)
        own.set_ylabel(group[0].replace("_", " ") if len(group) == 1 else kind)
        for name in group:
            is_rate = name == "learning_rate"
            colour = GREY if is_rate else next(colours)
            for prefix, style, label in (("", "-", "training"), ("val_", "--", "validation")):
                values = history.history.get(prefix + name, [])
                if values:
                    label = name.replace("_", " ") + ("" if is_rate else f", {label}")
                    style = ":" if is_rate else style
                    marker = None if len(history.epoch) > 1 else "D" if prefix else "o"
                    epochs = [epoch + 1 for epoch in history.epoch]
                    curves += own.plot(epochs, values, style, color=colour, label=label, marker=marker)
    if groups["learning rate"]:
        rates = [rate for rate in history["learning_rate"] if rate == rate]
        if min(rates, default=0) > 0:
            scales[-1].set_yscale("log")
    if len(history.epoch) == 1:  # beside each other, as the scale of each axis puts its points at the same heights
        for i, curve in enumerate(curves):
            curve.set_xdata([history.epoch[0] + 1 + 0.1 * (i - (len(curves) - 1) / 2)])
        ax.set_xlim(history.epoch[0] + 0.25, history.epoch[0] + 1.75)
    if len(scales) > 2:
        _scale_within(ax, scales[-1])
    _legend_within(ax, scales, curves, SCALE_AT if len(scales) > 2 else 1.0)
    return ax


def _names(history: Any, names: Any) -> Sequence[str]:
    """What is to be drawn, without "val_"."""
    recorded = dict.fromkeys(name.removeprefix("val_") for name in history.history)
    if names is None:
        names = list(recorded)
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, Sequence):
        raise TypeError(f"names must be a list such as ['loss'], not {names!r}")
    for name in names:
        if name not in recorded:
            raise ValueError(f"{name!r} was not recorded; there are {', '.join(map(repr, recorded))}")
    return names


def _scale_within(ax: Any, own: Any) -> None:
    """Put the scale of a third axis within the frame, right of all curves: outside there is no place for it."""
    low, high = ax.get_xlim()
    ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
    ax.set_xlim(low, low + (high - low) / SCALE_AT)
    ax.set_xticks(ticks)
    own.spines["right"].set(position=("axes", SCALE_AT), color=GREY)
    own.tick_params(axis="y", which="both", colors=GREY, labelsize="small")
    own.yaxis.label.set(color=GREY, fontsize="small")


def _legend_within(ax: Any, scales: Sequence[Any], curves: Sequence[Any], width: float = 1.0) -> None:
    """A legend above all curves of some axes in one place, there where it hides least of them; in this share of the
    width, from the left."""
    if len(scales) > 1:  # `ax`, which has the legend, goes before the others, and the first of those has the ground
        ax.set_zorder(max(own.get_zorder() for own in scales) + 1)
        ax.patch.set_visible(False)
        scales[1].patch.set_visible(True)
    points = []
    for curve in curves:
        xy = curve.axes.transData.transform(np.column_stack(curve.get_data()).astype(float))
        steps = np.linspace(0, 1, 20)[:, None, None]
        points.append(((1 - steps) * xy[:-1] + steps * xy[1:]).reshape(-1, 2) if len(xy) > 1 else xy)
    within = ax.transAxes.inverted().transform(np.concatenate(points))
    look = {"handles": curves, "fontsize": "small", "framealpha": 0.8, "borderaxespad": 0}
    box = ax.legend(loc="center", **look).get_window_extent()
    size, margin = np.array([box.width, box.height]) / ax.bbox.size, 0.02
    free = np.array([width, 1.0]) - size - 2 * margin
    corners = [(margin + x * free[0], margin + y * free[1]) for y in np.linspace(1, 0, 9) for x in np.linspace(1, 0, 7)]

    def hidden(corner: tuple[float, float]) -> int:
        return int(((within >= np.array(corner) - margin) & (within <= corner + size + margin)).all(1).sum())

    ax.legend(loc=min(corners, key=hidden), **look)


@quiet
def of_rate_sweep(sweep: Any, ax: Any = None) -> Any:
    """Draw a `RateSweep`: see `fastmlp.plotting.rate_sweep`."""
    ax = axes(ax)
    ax.plot(sweep.rates, sweep.losses, ".", color="0.7", markersize=4, label="batches")
    ax.plot(sweep.rates, sweep.smoothed, color=COLOURS[0], label="means")
    if sweep.suggestion is not None:
        label = f"suggestion: {sweep.suggestion:.2g}"
        ax.axvline(sweep.suggestion, color=COLOURS[1], linestyle="--", label=label)
    low, first, high = float(sweep.smoothed.min()), float(sweep.smoothed[0]), float(sweep.smoothed.max())
    above = 0.3 * (first - low) or 1.0
    ax.set_ylim(low - above / 3, min(high, first + above) + above / 3)  # what diverges would hide the descent
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("loss")
    ax.legend(fontsize="small", framealpha=0.8)
    return ax
