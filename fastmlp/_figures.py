"""What all pictures share."""

from typing import Any

# Okabe and Ito, "Color universal design", 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")

# Of the samples of each class, so that colours are not all that tells them apart.
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")


def colour_bar(ax: Any, image: Any, label: str, **options: Any) -> None:
    """The scale of an image beside it."""
    bar = ax.figure.colorbar(image, ax=ax, label=label, fraction=0.045, pad=0.02, **options)
    bar.outline.set_visible(False)
