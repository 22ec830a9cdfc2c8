"""The pictures of index.md, how_it_works.md and of examples that did not run, drawn when the manual is built.

``python docs/drawings.py`` draws them alone.
"""

import itertools
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

import fastmlp as fm

ONE, TWO, GREY, DARK = "#4c78a8", "#f58518", "#dddddd", "#444444"
PANELS = ("#4c78a8", "#72b7b2", "#eeca3b")


def box(ax, x, y, width, height, text="", color="white", size=9, **options):
    """A rectangle with a text in its middle."""
    ax.add_patch(Rectangle((x, y), width, height, facecolor=color, edgecolor=DARK, linewidth=0.8, **options))
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", size=size)


def empty(width, height, **options):
    """A figure without axes."""
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained", **options)
    for ax in np.atleast_1d(axes).flat:
        ax.set_axis_off()
    return figure, axes


def panels():
    """A matrix of 4 rows and 40 columns, and the same in memory."""
    figure, (left, right) = empty(10, 3.6, nrows=1, ncols=2, width_ratios=(1, 1.5))
    for panel, (color, width) in enumerate(zip(PANELS, (16, 16, 8), strict=True)):
        for row in range(4):
            box(left, 16 * panel, 3 - row, width, 1, f"{4 * panel + row}", color)
        left.text(16 * panel + width / 2, 4.2, f"{16 * panel} to {16 * panel + width - 1}", ha="center", size=9)
    for row in range(4):
        left.text(-1, 3.5 - row, f"row {row}", ha="right", va="center", size=9)
        left.add_patch(Rectangle((40, 3 - row), 8, 1, facecolor="white", edgecolor=GREY, hatch="////"))
    left.text(45.2, 4.2, "padding", ha="center", size=9, color=DARK)
    left.set(xlim=(-9, 50), ylim=(-0.5, 5.4))
    left.set_title("A float32 matrix, (4, 40): a box is one line\nof 16 numbers, 64 bytes", size=10)
    for panel, color in enumerate(PANELS):
        for row in range(4):
            x, y, whole = 4 * panel + row, 2.4, panel < 2
            if not whole:
                right.add_patch(Rectangle((x + 0.5, y), 0.5, 1, facecolor="white", edgecolor=GREY, hatch="////"))
            box(right, x, y, 1 if whole else 0.5, 1, f"{4 * panel + row}", color)
        right.text(4 * panel + 2, 3.7, f"panel {panel}", ha="center", size=9)
    right.annotate("", (12.2, 2.1), (0, 2.1), arrowprops={"arrowstyle": "->", "color": DARK})
    right.text(6, 1.6, "addresses: a product walks forward, line after line", ha="center", size=9)
    for i, (name, n) in enumerate((("AVX-512", 1), ("AVX2", 2), ("NEON, SSE2", 4))):
        y = 0.75 - 0.55 * i
        right.text(3.8, y + 0.22, f"a line with {name}:", ha="right", va="center", size=9)
        for part in range(n):
            box(right, 4 + part * 4 / n, y, 4 / n, 0.42, f"{64 // n} bytes", "white", (8, 8, 8, 6)[n - 1])
        right.text(8.2, y + 0.22, f"{n} register{'s' if n > 1 else ''}", va="center", size=9)
    right.set(xlim=(-0.2, 12.4), ylim=(-0.5, 4.4))
    right.set_title("The same in memory: panel after panel, row after row", size=10)
    return figure


def phases():
    """A step on two threads, over time."""
    figure, ax = empty(10, 3.4)
    work = ("gather", "forward", "loss", "backward")
    widths = (0.7, 1.5, 0.5, 1.4)
    for thread, (color, y) in enumerate(((ONE, 1.2), (TWO, 0))):
        ax.text(-0.2, y + 0.45, f"thread {thread}", ha="right", va="center", size=10)
        x = 0.0
        for name, width in zip(work, widths, strict=True):
            box(ax, x, y, width, 0.9, name, color + "66")
            x += width
        ax.text(x / 2, y + 0.97, f"block {thread} of the rows", ha="center", va="bottom", size=8.5)
        for tile in range(4):
            box(ax, 4.7 + 1.1 * tile, y, 1.1, 0.9, "gradient,\nupdate", color + "66", 8)
        ax.text(
            6.9, y + 0.97, f"tiles {4 * thread} to {4 * thread + 3} of the weights", ha="center", va="bottom", size=8.5
        )
    for x in (4.4, 9.4):
        ax.plot([x, x], [-0.15, 2.45], color=DARK, linewidth=3)
        ax.text(x, -0.25, "barrier", ha="center", va="top", size=9)
    ax.text(2.05, 2.75, "phase 1: every row from the inputs to the loss and back", ha="center", size=10)
    ax.text(6.9, 2.75, "phase 2: every weight", ha="center", size=10)
    ax.text(9.6, 1.1, "next\nstep", va="center", size=9)
    ax.annotate("", (9.9, -0.75), (0, -0.75), arrowprops={"arrowstyle": "->", "color": DARK})
    ax.text(9.95, -0.75, "time", va="center", size=9)
    ax.set(xlim=(-1.1, 10.5), ylim=(-0.95, 3.05))
    return figure


def sharing():
    """What two threads share in phase 1: rows of a large batch, panels of a small one."""
    figure, axes = empty(10, 3.3, nrows=1, ncols=2)
    for ax, title, by_rows in zip(
        axes, ("32 rows for each thread or more: by rows", "fewer: by panels"), (True, False), strict=True
    ):
        for layer, x in enumerate((0, 3, 6)):
            for i in range(4):
                first = i < 2
                color = (ONE if first else TWO) + "66"
                if by_rows:
                    box(ax, x, 3 - i, 2, 1, "", color)
                else:
                    box(ax, x + 0.5 * i, 0, 0.5, 4, "", color)
            ax.text(x + 1, -0.35, f"layer {layer}", ha="center", va="top", size=9)
            if layer < 2 and not by_rows:
                ax.plot([x + 2.5] * 2, [-0.1, 4.1], color=DARK, linewidth=3)
                ax.text(x + 2.5, 4.2, "barrier", ha="center", size=8.5)
            elif layer < 2:
                for y in (1, 3):
                    ax.annotate("", (x + 2.95, y), (x + 2.05, y), arrowprops={"arrowstyle": "->", "color": DARK})
        ax.text(-0.2, 2, "rows of\nthe batch", ha="right", va="center", size=9)
        ax.set(xlim=(-1.6, 8.2), ylim=(-0.9, 4.7))
        ax.set_title(title, size=10)
    handles = [Rectangle((0, 0), 1, 1, facecolor=color + "66", edgecolor=DARK) for color in (ONE, TWO)]
    figure.legend(handles, ["thread 0", "thread 1"], loc="outside lower center", ncols=2, frameon=False)
    return figure


def sums():
    """A weight's gradient over eight rows of a shard: one chain whoever computes it, or parts that are put together."""
    figure, axes = empty(10, 3.6, nrows=1, ncols=2)
    for ax, title in zip(
        axes, ("Here: a thread for each weight", "Elsewhere: a thread for each part of the sum"), strict=True
    ):
        for row in range(8):
            ax.text(row + 0.5, 4.35, f"row {row}", ha="center", size=8)
        ax.set(xlim=(-1.7, 9.6), ylim=(-0.6, 4.8))
        ax.set_title(title, size=10)
    here, elsewhere = axes
    for i, color in enumerate((ONE, ONE, TWO, TWO)):
        y = 3.3 - i
        for row in range(8):
            box(here, row + 0.08, y, 0.84, 0.7, "+", color + "66")
        here.annotate("", (9.0, y + 0.35), (8.0, y + 0.35), arrowprops={"arrowstyle": "->", "color": DARK})
        here.text(-0.1, y + 0.35, f"weight {i}", ha="right", va="center", size=9)
        here.text(9.05, y + 0.35, "dw", va="center", size=9)
    here.text(4, -0.25, "one order, for any number of threads", ha="center", size=9)
    for y, n in ((3.0, 2), (1.0, 4)):
        each = 8 // n
        for row in range(8):
            color = (ONE, TWO, "#72b7b2", "#b279a2")[row // each]
            box(elsewhere, row + 0.08, y, 0.84, 0.7, "+", color + "66")
        for part in range(n):
            elsewhere.annotate(
                "", (8.7, y - 0.35), ((part + 0.5) * each, y - 0.03),
                arrowprops={"arrowstyle": "->", "color": DARK, "linewidth": 0.7},
            )  # fmt: skip
        elsewhere.text(-0.1, y + 0.35, f"{n} threads", ha="right", va="center", size=9)
        elsewhere.text(8.8, y - 0.35, "dw", va="center", size=9)
    elsewhere.text(4, -0.25, "other orders, other roundings", ha="center", size=9)
    return figure


def not_run():
    """In the gallery, for an example that did not run."""
    figure, ax = empty(4, 2.8)
    layers = [[(x, y - n / 2) for y in range(n)] for x, n in ((0, 3), (1.6, 5), (3.2, 2))]
    for left, right in itertools.pairwise(layers):
        for a, b in itertools.product(left, right):
            ax.plot(*zip(a, b, strict=True), color=GREY, linewidth=1, zorder=0)
    for (x, y), color in zip(itertools.chain(*layers), [ONE] * 3 + [PANELS[1]] * 5 + [TWO] * 2, strict=True):
        ax.add_patch(plt.Circle((x, y), 0.24, facecolor=color, edgecolor="white"))
    ax.text(1.6, -3.4, "not run when this was built", ha="center", size=11, color=DARK)
    ax.set(xlim=(-0.6, 3.8), ylim=(-3.7, 2.1))
    return figure


def result():
    """Two spirals: the loss over the epochs, and what the network then says of the plane."""
    rng = np.random.default_rng(0)
    turn, y = np.sqrt(rng.uniform(0.02, 1, 600)), np.arange(600) % 2
    angle = 2 * np.pi * turn + np.pi * y
    X = np.stack([turn * np.cos(angle), turn * np.sin(angle)], axis=1) + rng.normal(0, 0.03, (600, 2))
    layers = [fm.Dense(64, "relu"), fm.Dense(64, "relu"), fm.Dense(2)]
    model = fm.Model(layers, "softmax_cross_entropy", fm.Adam(0.003), preprocessing="standardize")
    history = model.fit(X[:400], y[:400], epochs=50, validation_data=(X[400:], y[400:]), verbose=0)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", width_ratios=(1.5, 1))
    fm.plotting.history(history, ax=left, names=["loss"])
    fm.plotting.decision_boundary(model, X[400:], y[400:], ax=right)
    return figure


def draw(folder):
    """All of them into a folder; files that are newer than this one stay."""
    folder.mkdir(exist_ok=True)
    for picture in (panels, phases, sharing, sums, not_run, result):
        path = folder / f"{picture.__name__}.png"
        if path.exists() and path.stat().st_mtime > Path(__file__).stat().st_mtime:
            continue
        figure = picture()
        figure.savefig(path, dpi=150)
        plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).resolve().parent / "drawings")
