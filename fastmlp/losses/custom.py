"""A loss of one's own."""

import dataclasses
from typing import Any

import numpy as np

from fastmlp._validation import (
    Array,
    all_finite,
    counted,
    numeric_array,
    plain_array,
    positional_names,
)
from fastmlp.losses.base import Loss

# Names that parameters have in the order of Keras: its losses take the targets first.
_NAMES_OF_TARGETS = {"y_true", "true", "truth", "target", "targets", "label", "labels"}
_NAMES_OF_SCORES = {"y_pred", "y_hat", "pred", "preds", "prediction", "predictions", "predicted", "score", "scores",
                    "y_score", "logit", "logits", "output", "outputs"}  # fmt: skip


@dataclasses.dataclass(frozen=True, repr=False)
class Custom(Loss):
    """A loss of one's own, from a Python function; `Model` makes one of any callable.

    Parameters
    ----------
    function : callable
        ``function(scores, targets)`` gives ``(loss, dscores)``: a number, the mean loss of a batch, and its derivative
        by the scores, of their shape. Scores are an array of shape (n, n_outputs) and of the model's dtype, targets the
        rows ``y[batch]`` of what was passed to `fit`, whatever they hold but masked values. A y of shape (n,) stays so:
        for one output give ``y[:, None]``, or ``scores - targets`` has shape (n, n). It is called in every step, in the
        middle of the compiled code: the rest of the step runs without the GIL. It may read the model; that it changes,
        copies or saves it is refused with a RuntimeError.

    Raises
    ------
    TypeError
        Where the function is not callable, or gives anything else, or where its parameters have the names of the other
        order, ``(y_true, y_pred)`` for example, which is Keras's.
    ValueError
        Where dscores have another shape, or hold NaN or infinity though the loss does not.

    Notes
    -----
    `predict` gives raw scores. A file holds no code: `fastmlp.load` asks for the function again, as ``loss=``.

    Examples
    --------
    >>> import fastmlp as fm
    >>> def cubic(scores, targets):
    ...     error = scores - targets
    ...     return abs(error**3).mean(), 3 * error * abs(error) / error.size
    >>> model = fm.Model([fm.Dense(8, "tanh"), fm.Dense(1)], loss=cubic)
    """

    function: Any

    def __post_init__(self) -> None:
        if not callable(self.function) or isinstance(self.function, type):
            raise TypeError(f"function must be a function of scores and targets, not {self.function!r}")
        first, second = [*positional_names(self.function), "", ""][:2]
        if first in _NAMES_OF_TARGETS or second in _NAMES_OF_SCORES:
            raise TypeError(
                f"the loss {getattr(self.function, '__name__', self.function)!r} takes ({first}, {second}), but is "
                "called with (scores, targets), in this order; exchange the two, or rename them where they are right"
            )

    def __call__(self, scores: Array, targets: Array) -> tuple[float, Array]:
        """The function's results, checked."""
        name = f"the loss {getattr(self.function, '__name__', self.function)!r}"
        found = self.function(scores, targets)
        if not isinstance(found, tuple) or len(found) != 2:
            given = f"a tuple of {len(found)}" if isinstance(found, tuple) else type(found).__name__
            raise TypeError(f"{name} must return (loss, dscores), not {given}")
        loss, dscores = found[0], numeric_array(f"dscores of {name}", found[1])
        if np.ndim(loss) != 0:
            raise ValueError(f"{name} must return one number, not shape {np.shape(loss)}")
        if plain_array(f"the number that {name} returns", loss).dtype.kind not in "fiub":
            raise TypeError(f"{name} must return a real number, not {loss!r}")
        if dscores.shape != scores.shape:
            column = targets.ndim == 1 and scores.shape[1] == 1
            hint = f"; targets have shape {targets.shape}: give y[:, None]" if column else ""
            raise ValueError(f"{name} gave dscores of shape {dscores.shape}, not {scores.shape} as the scores{hint}")
        if not np.isfinite(loss):
            return float(loss), np.zeros_like(scores)
        remedy = "the derivative of a finite loss must be finite, too"
        all_finite(f"dscores of {name}", dscores, scores.dtype.name, remedy)
        return float(loss), np.ascontiguousarray(dscores, scores.dtype)

    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: str, name: str = "y") -> Array:
        """Anything with a row for each sample, of which nothing is masked."""
        array = plain_array(name, y)
        if array.shape[:1] != (n_samples,):
            raise ValueError(f"{name} has shape {array.shape}, but X holds {counted(n_samples, 'sample')}")
        return array

    def strata(self, targets: Array) -> Array:
        """None that anybody knows of."""
        return np.zeros(len(targets), np.uint8)

    def get_config(self) -> dict[str, Any]:
        """Nothing that a file could hold."""
        return {}
