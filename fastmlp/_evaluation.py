"""What an evaluation takes beside arrays: an iterable of batches, which are read one after the other."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmlp import metrics
from fastmlp._validation import Array, check_some_weight, is_by_number
from fastmlp.batches import check_pair, is_iterable

if TYPE_CHECKING:
    from fastmlp.model import Model


def is_batches(data: Any, n_inputs: int) -> bool:
    """Whether validation_data are batches, not arrays: a tuple, or a list of two or three, is (X, y) or (X, y, weight)
    unless each of its items is a batch in a tuple, whose X has rows."""
    if isinstance(data, tuple) or (isinstance(data, list) and len(data) in (2, 3)):
        return len(data) > 0 and all(_is_batch(item, n_inputs) for item in data)
    return is_iterable(data) and not isinstance(data, str | bytes | dict)


def _is_batch(item: Any, n_inputs: int) -> bool:
    if not isinstance(item, tuple) or len(item) not in (2, 3):
        return False
    X = item[0]
    if hasattr(X, "__array__"):  # of one input rows may be numbers
        return np.ndim(X) >= (2 if n_inputs > 1 else 1)
    return isinstance(X, list | tuple) and len(X) > 0 and (isinstance(X[0], list | tuple) or np.ndim(X[0]) > 0)


class Batches:
    """Batches (X, y) or (X, y, sample_weight) to evaluate a model on.

    Parameters
    ----------
    model : Model
    batches : iterable, or object with a length and items by number
    name : str
        Of the argument, for an error.
    n_inputs : int
        Columns of X.
    steps : int or None, default None
        How many batches to read; None: all.
    """

    def __init__(self, model: "Model", batches: Any, name: str, n_inputs: int, steps: int | None = None) -> None:
        self.model, self.batches, self.name, self.n_inputs, self.steps = model, batches, name, n_inputs, steps

    def __iter__(self) -> Iterator[tuple[Array, Array, Array | None]]:
        """Each as the engine reads it."""
        given: Iterable[Any] = self.batches
        if is_by_number(self.batches):
            given = (self.batches[i] for i in range(len(self.batches)))
        i = 0
        for i, batch in enumerate(given, 1):
            yield self._checked(f"batch {i - 1} of {self.name}", batch)
            if i == self.steps:
                return
        if i == 0:
            raise ValueError(f"{self.name} holds no batch: the {type(self.batches).__name__} is empty")
        if self.steps is not None:
            raise ValueError(f"{self.name} ended after {i} of steps={self.steps} batches; ask for fewer")

    def _checked(self, name: str, batch: Any) -> tuple[Array, Array, Array | None]:
        check_pair(name, batch)
        X, y, weight = (*batch, None)[:3]
        X, targets = self.model._data(X, y, (f"X of {name}", f"y of {name}"), self.n_inputs)
        return X, targets, self.model._sample_weights(weight, targets, name=f"sample_weight of {name}", some=False)

    def evaluate(self) -> dict[str, float]:
        """Loss and metrics over all samples: of each batch by its rows, metrics of all predictions together."""
        model, n_rows = self.model, 0
        heaviest: list[float] = []  # weight of each batch
        sums: dict[str, float] = {}
        every: list[tuple[Array, Array]] = []
        for X, targets, weights in self:
            logs = model._evaluate_loss(X, targets, weights, None)
            model._check_range(X, logs["loss"])
            heaviest.append(1.0 if weights is None else weights.max())
            for name, value in logs.items():
                sums[name] = sums.get(name, 0.0) + value * len(X)
            n_rows += len(X)
            if model.metrics:
                every.append((targets, model._outputs(X, model.loss.link, in_units=True)))
        check_some_weight(f"sample_weight of {self.name}", np.array(heaviest), model.dtype)
        found = {name: value / n_rows for name, value in sums.items()}
        if every:
            if len({targets.ndim for targets, _ in every}) > 1:
                raise ValueError(f"{self.name} mixes labels and rows of probabilities; metrics want one of them")
            targets, predictions = (np.concatenate(arrays) for arrays in zip(*every, strict=True))
            found |= metrics.evaluated(model.metrics, model.loss, targets, predictions)
        return found
