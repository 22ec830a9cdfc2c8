"""Names: which quantities are better the larger, in one place."""

import re
from typing import Literal

# Words of a quantity of which more is better, and words beside them that do not change that.
_MORE = {"accuracy", "precision", "recall", "f1", "auc", "r2"}
_BESIDE_MORE = {
    "balanced", "binary", "categorical", "class", "k", "macro", "mean", "micro", "of", "roc", "sparse", "test", "top",
    "train", "weighted",
}  # fmt: skip
# Last words of a quantity of which less is better, and words that turn any quantity round.
_LESS = {"loss", "losses", "error", "errors", "mae", "mape", "mse", "rmse"}
_TURNED = {"inverse", "minus", "neg", "negative"}


def direction(monitor: str) -> Literal["min", "max"]:
    """Whether less or more of a logged quantity is better: the one rule of all ``mode="auto"``.

    More of a name that is made of words for good predictions alone, such as "val_top_3_accuracy", less of one that ends
    in a word for errors and has none for good predictions, such as "my_loss".

    Parameters
    ----------
    monitor : str
        As in the logs, with or without "val_".

    Returns
    -------
    {"min", "max"}

    Raises
    ------
    ValueError
        Where the name fits both rules, or none.
    """
    found = [word for word in monitor.removeprefix("val_").lower().split("_") if word]
    words = [word for word in found if not re.fullmatch(r"\d+", word)]
    more = any(word in _MORE for word in words)
    turned = any(word in _TURNED for word in words)
    less = any(word in _LESS for word in words)
    if more and all(word in _MORE | _BESIDE_MORE for word in words):
        return "max"
    if words and words[-1] in _LESS and not more and not turned:
        return "min"
    why = "fits both rules" if more and less else "fits no rule"
    raise ValueError(
        f"mode='auto' does not know whether less {monitor!r} is better: the name {why}; give mode='min' or mode='max'"
    )
