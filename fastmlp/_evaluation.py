"""What a model says of data as it is: predictions, and losses and metrics of arrays or of iterables of batches."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from fastmlp import _engine, _targets, losses, metrics, preprocessing
from fastmlp._iterables import check_pair, is_batches
from fastmlp._quiet import quiet
from fastmlp._validation import Array, check_some_weight, is_by_number, samples
from fastmlp.core import Core

# What is evaluated after an epoch: arrays as the engine reads them, or batches of such.
Validation: TypeAlias = "tuple[Array | None, ...] | Batches | None"


def forward(core: Core, X: npt.ArrayLike, link: str) -> Array:
    """Predictions by the link of a loss, scores by "identity": in the units of the targets.

    Parameters
    ----------
    core : Core
    X : array_like of shape (n_samples, ...)
    link : str

    Returns
    -------
    ndarray of shape (n_samples, n_outputs)
    """
    array = samples("X", X, core.built_network().n_inputs, core.dtype)
    out = _targets.restored(outputs(core, array, link), core.target_statistics)
    if core.preprocessing is not None:
        check_range(core, array, out)
    return out


def outputs(core: Core, X: Array, link: str, subset: Array | None = None) -> Array:
    """What the network says of samples, or of some rows of them."""
    n = len(X) if subset is None else len(subset)
    out = np.empty((n, core.n_outputs), core.dtype)
    core.with_run(lambda run: run.predict(out, link), n, "prediction", X, subset=subset)
    return out


def _in_units(core: Core, X: Array, subset: Array | None = None) -> Array:
    """What metrics are of: predictions in the units of the targets, unrounded."""
    return _targets.in_units(outputs(core, X, core.loss.link, subset), core.target_statistics)


@quiet
def check_range(core: Core, X: Array, found: Any, subset: Array | None = None) -> None:
    """ValueError where what was found of X is not finite because scaled inputs are not."""
    if core.preprocessing is not None and not math.isfinite(np.sum(found)):
        rows = X if subset is None else X[subset]
        preprocessing.check_range(core.preprocessing, core.statistics, rows, core.dtype)


def evaluate(
    core: Core, X: Array, targets: Array, weights: Array | None = None, subset: Array | None = None
) -> dict[str, float]:
    """Loss and metrics of samples, or of some rows of them, as the engine reads them."""
    logs = evaluate_loss(core, X, targets, weights, subset)
    check_range(core, X, logs["loss"], subset)
    if core.metrics:
        targets = targets if subset is None else targets[subset]
        logs |= metrics.evaluated(core.metrics, core.loss, targets, _in_units(core, X, subset))
    return logs


def evaluate_loss(
    core: Core, X: Array, targets: Array, weights: Array | None, subset: Array | None = None
) -> dict[str, float]:
    """Loss, and the accuracy of a classification."""
    n = len(X) if subset is None else len(subset)
    if isinstance(core.loss, losses.Custom):
        chosen = slice(None) if subset is None else subset
        scores = _targets.restored(outputs(core, X, "identity", subset), core.target_statistics)
        loss = core.loss(scores, targets[chosen])[0] + core.network.penalty()
        return core.logs(float(loss), 0, n)
    loss, right = core.with_run(_engine.Run.evaluate, n, "prediction", X, targets, weights, subset=subset)
    return core.logs(loss, right, n)


def validation_of(core: Core, validation_data: Any, n_inputs: int) -> Validation:
    """Validation data as the engine reads them."""
    if validation_data is None:
        return None
    if is_batches(validation_data, n_inputs):
        if isinstance(validation_data, Iterator):
            raise TypeError(
                f"validation_data is a {type(validation_data).__name__}, which the first epoch would use up; give "
                "a list of batches, or an object whose __iter__ begins anew"
            )
        found = Batches(core, validation_data, "validation_data", n_inputs)
        next(iter(found))  # whether it suits, before anything has changed
        return found
    if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
        many = f" of {len(validation_data)}" if isinstance(validation_data, tuple | list) else ""
        raise TypeError(
            f"validation_data must be a pair (X, y) or (X, y, sample_weight), not "
            f"{type(validation_data).__name__}{many}"
        )
    X, y, weight = (*validation_data, None)[:3]
    X, targets = core.data(X, y, ("validation_data[0]", "validation_data[1]"), n_inputs)
    return X, targets, core.sample_weights(weight, targets, name="validation_data[2]")


def validate(core: Core, validation: Any) -> dict[str, float]:
    """Loss and metrics on what `validation_of` made of validation data."""
    return validation.evaluate() if isinstance(validation, Batches) else evaluate(core, *validation)


class Batches:
    """Batches (X, y) or (X, y, sample_weight) to evaluate a model on.

    Parameters
    ----------
    core : Core
    batches : iterable, or object with a length and items by number
    name : str
        Of the argument, for an error.
    n_inputs : int
        Columns of X.
    steps : int or None, default None
        How many batches to read; None: all.
    """

    def __init__(self, core: Core, batches: Any, name: str, n_inputs: int, steps: int | None = None) -> None:
        self.core, self.batches, self.name, self.n_inputs, self.steps = core, batches, name, n_inputs, steps

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
        X, targets = self.core.data(X, y, (f"X of {name}", f"y of {name}"), self.n_inputs)
        return X, targets, self.core.sample_weights(weight, targets, name=f"sample_weight of {name}", some=False)

    def evaluate(self) -> dict[str, float]:
        """Loss and metrics over all samples: of each batch by its rows, metrics of all predictions together."""
        core, n_rows = self.core, 0
        heaviest: list[float] = []  # weight of each batch
        sums: dict[str, float] = {}
        every: list[tuple[Array, Array]] = []
        for X, targets, weights in self:
            logs = evaluate_loss(core, X, targets, weights, None)
            check_range(core, X, logs["loss"])
            heaviest.append(1.0 if weights is None else weights.max())
            for name, value in logs.items():
                sums[name] = sums.get(name, 0.0) + value * len(X)
            n_rows += len(X)
            if core.metrics:
                every.append((targets, _in_units(core, X)))
        check_some_weight(f"sample_weight of {self.name}", np.array(heaviest), core.dtype)
        found = {name: value / n_rows for name, value in sums.items()}
        if every:
            if len({targets.ndim for targets, _ in every}) > 1:
                raise ValueError(f"{self.name} mixes labels and rows of probabilities; metrics want one of them")
            targets, predictions = (np.concatenate(arrays) for arrays in zip(*every, strict=True))
            found |= metrics.evaluated(core.metrics, core.loss, targets, predictions)
        return found
