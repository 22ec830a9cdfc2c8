"""Losses, all on raw scores. Each says which targets it takes, which C kernel (csrc/kernels/losses.inc.h) computes it
with its gradient, and which link turns scores into predictions.

A model's loss is the mean over the samples of a batch of the loss of a sample, in nats for the cross-entropies.
Targets of a sample may be given for every output, of shape (n, n_outputs); for one output also of shape (n,).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fastmlp import _engine
from fastmlp._engine import LARGEST
from fastmlp._validation import Array, all_finite, choice, engine_dtype, finite_number, numeric_array

# How far a row of probabilities may be from 1 in sum: float32 arithmetic over thousands of classes stays below it.
_SUM_TOLERANCE = 1e-3


Numbers = float | tuple[float, ...]
_set = object.__setattr__  # of a frozen dataclass, in its __post_init__


def _numbers(name: str, value: Any, **bounds: float) -> Numbers:
    """A number, or a tuple of some, within bounds."""
    if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1 and len(value):
        return tuple(finite_number(f"{name}[{i}]", number, **bounds) for i, number in enumerate(value))
    return finite_number(name, value, **bounds)


def _for_outputs(name: str, value: Numbers, n_outputs: int) -> tuple[float, ...]:
    """One number for each output."""
    numbers = value if isinstance(value, tuple) else (value,) * n_outputs
    if len(numbers) != n_outputs:
        raise ValueError(f"{name} holds {len(numbers)} numbers, but the model has {n_outputs} outputs; give one or all")
    return numbers


@dataclasses.dataclass(frozen=True)
class Loss:
    """Base of all losses.

    To add one: a kernel and its line in csrc/fastmlp.h, its twin in _reference.py, and a subclass here with a line in
    BY_NAME.
    """

    # Turns scores into predictions: "identity", "softmax", or an activation.
    link: ClassVar[str] = "identity"
    # Whether the kernel counts right predictions.
    has_accuracy: ClassVar[bool] = False
    # Where targets lie; None: any finite number.
    bounds: ClassVar[tuple[float, float] | None] = None

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel for such targets."""
        raise NotImplementedError

    def row_scale(self, n_outputs: int) -> float:
        """Factor from the kernel's sum over outputs to the loss of a sample."""
        return 1.0

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel, by the names of fm_loss_options in csrc/fastmlp.h."""
        return {}

    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: str, name: str = "y") -> Array:
        """Targets as the kernel reads them, checked; no copy where that can be."""
        low, high = self.bounds or (-LARGEST[dtype], LARGEST[dtype])
        if _engine.is_plain_matrix(y, n_outputs, low, high) and len(y) == n_samples:
            plain: Array = y
            return plain
        array = numeric_array(name, y)
        if array.ndim == 1 and n_outputs == 1:
            array = array.reshape(-1, 1)
        if array.shape[:1] != (n_samples,):
            raise ValueError(f"{name} has shape {np.shape(y)}, but X holds {n_samples} samples")
        if array.ndim != 2:
            array = array.reshape(n_samples, -1)
        if array.shape[1] != n_outputs:
            labels = np.ndim(y) == 1 and array.dtype.kind in "iu"
            raise ValueError(
                f"{name} of shape {np.shape(y)} does not fit the model's {n_outputs} outputs: {type(self).__name__} "
                f"wants shape ({n_samples}, {n_outputs})"
                + (" (class labels belong to softmax_cross_entropy)" if labels else "")
            )
        all_finite(name, array, dtype)
        array = engine_dtype(array, dtype)
        if self.bounds is not None:
            least, most = array.min(), array.max()
            if least < low or most > high:
                raise ValueError(
                    f"{name} holds {least if least < low else most}, but {type(self).__name__} takes targets in "
                    f"[{low:g}, {high:g}]"
                )
        return array

    def classes(self, targets: Array, n_outputs: int) -> tuple[Array, int]:
        """The class of each sample from its checked targets, and how many classes there are; for class_weight."""
        raise ValueError(
            f"class_weight needs one class for each sample, which {type(self).__name__} with {n_outputs} outputs has "
            "not; give sample_weight"
        )

    def strata(self, targets: Array) -> Array:
        """The class of each sample, by which a split is stratified; all the same where there are none."""
        if targets.ndim == 1:
            return targets
        if self.link == "softmax":
            return np.asarray(targets.argmax(axis=1))
        if self.has_accuracy and targets.shape[1] == 1 and (targets == np.floor(targets)).all():
            return targets[:, 0]
        return np.zeros(len(targets), np.uint8)

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """Whether the last layer suits the loss."""
        if self.link != "identity" and activation != "identity":
            raise ValueError(
                f"{type(self).__name__} takes raw scores: the last layer must have no activation, not {activation!r}; "
                "predict returns probabilities all the same"
            )

    def accuracy(self, right: int, n_samples: int, n_outputs: int) -> float:
        """Share of right predictions."""
        return right / n_samples

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal loss."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """Softmax with cross-entropy for one class of several: ``log(sum_j exp(z_j)) - sum_j t_j z_j``.

    Targets: integer labels of shape (n,) in [0, n_outputs), one-hot rows, or rows of probabilities that sum to 1.

    Parameters
    ----------
    label_smoothing : float, default 0.0
        In [0, 1): ``(1 - label_smoothing) * t + label_smoothing / n_outputs`` in place of t [1]_.

    References
    ----------
    .. [1] Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception architecture for computer vision",
       CVPR 2016, arXiv:1512.00567, section 7.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.SoftmaxCrossEntropy(label_smoothing=0.1).link
    'softmax'
    """

    link = "softmax"
    has_accuracy = True
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _set(self, "label_smoothing", finite_number("label_smoothing", self.label_smoothing, at_least=0, below=1))

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"label_smoothing": self.label_smoothing}

    def kernel(self, targets: Array) -> str:
        """Labels and rows of probabilities have a kernel each."""
        return "softmax_cross_entropy_labels" if targets.ndim == 1 else "softmax_cross_entropy"

    def classes(self, targets: Array, n_outputs: int) -> tuple[Array, int]:
        """The label, or the first of the most probable classes."""
        return (targets if targets.ndim == 1 else targets.argmax(axis=1)), n_outputs

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """At least two outputs, no activation."""
        super().check_outputs(n_outputs, activation)
        if n_outputs < 2:
            raise ValueError(
                "softmax_cross_entropy needs at least 2 outputs, one for each class; for a single output use "
                "loss='binary_cross_entropy'"
            )

    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: str, name: str = "y") -> Array:
        """Labels as int32, or rows of probabilities."""
        labels = _engine.plain_labels(y, n_samples, n_outputs)
        if labels is not None:
            return labels
        array = numeric_array(name, y)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1:
            rows = super().targets(array, n_samples, n_outputs, dtype, name)
            sums = rows.sum(axis=1, dtype=np.float64)
            wrong = np.flatnonzero(~(np.abs(sums - 1) <= _SUM_TOLERANCE) | (rows.min(axis=1) < 0))
            if len(wrong):
                raise ValueError(
                    f"{name}[{wrong[0]}] is no distribution over {n_outputs} classes: it sums to {sums[wrong[0]]:g}, "
                    f"its smallest entry is {rows[wrong[0]].min():g}; give integer labels, one-hot rows or "
                    "probabilities"
                )
            return rows
        if len(array) != n_samples:
            raise ValueError(f"{name} has shape {np.shape(y)}, but X holds {n_samples} samples")
        all_finite(name, array, dtype)
        fractional = array != np.floor(array) if array.dtype.kind == "f" else np.zeros(0)
        if fractional.any():
            raise ValueError(
                f"{name} holds {array[fractional][0]}, which is no class label; a regression takes "
                "loss='mean_squared_error'"
            )
        low, high = array.min(), array.max()
        if low < 0 or high >= n_outputs:
            raise ValueError(
                f"{name} holds the label {low if low < 0 else high}, but a model with {n_outputs} outputs takes labels "
                f"0 to {n_outputs - 1}"
            )
        return array.astype(np.int32)


@dataclasses.dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """Sigmoid with cross-entropy for every output on its own: ``log(1 + exp(z)) - t z``.

    With a positive weight p it is ``-p * t * log(sigmoid(z)) - (1 - t) * log(1 - sigmoid(z))``.

    Parameters
    ----------
    outputs : {"mean", "sum"}, default "mean"
        How the outputs of a sample make its loss.
    label_smoothing : float, default 0.0
        In [0, 1): ``(1 - label_smoothing) * t + label_smoothing / 2`` in place of t.
    positive_weight : float or tuple of float, default 1.0
        Above 0; a tuple has one for each output. The number of negative samples over that of positive ones balances
        the two.

    Notes
    -----
    Targets lie in [0, 1]. The accuracy is the share of single outputs on the right side of 0.5.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.BinaryCrossEntropy(outputs="sum").row_scale(3)
    1.0
    """

    link = "sigmoid"
    has_accuracy = True
    bounds = (0.0, 1.0)
    outputs: str = "mean"
    label_smoothing: float = 0.0
    positive_weight: Numbers = 1.0

    def __post_init__(self) -> None:
        choice("outputs", self.outputs, ("mean", "sum"))
        _set(self, "label_smoothing", finite_number("label_smoothing", self.label_smoothing, at_least=0, below=1))
        _set(self, "positive_weight", _numbers("positive_weight", self.positive_weight, above=0))

    def classes(self, targets: Array, n_outputs: int) -> tuple[Array, int]:
        """Of a single output 0 or 1."""
        if n_outputs > 1:
            return super().classes(targets, n_outputs)
        return (targets[:, 0] > 0.5).astype(np.int32), 2

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """As many weights as outputs, no activation."""
        super().check_outputs(n_outputs, activation)
        _for_outputs("positive_weight", self.positive_weight, n_outputs)

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel."""
        weight = None if self.positive_weight == 1 else _for_outputs("positive_weight", self.positive_weight, n_outputs)
        return {"label_smoothing": self.label_smoothing} | ({} if weight is None else {"positive_weight": weight})

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return "binary_cross_entropy"

    def row_scale(self, n_outputs: int) -> float:
        """1, or 1 / n_outputs for the mean."""
        return 1.0 if self.outputs == "sum" else 1.0 / n_outputs

    def accuracy(self, right: int, n_samples: int, n_outputs: int) -> float:
        """Share of right outputs."""
        return right / (n_samples * n_outputs)


@dataclasses.dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Squared error, mean over the outputs: ``mean_j (z_j - t_j)**2``.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.MeanSquaredError().row_scale(4)
    0.25
    """

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return "squared_error"

    def row_scale(self, n_outputs: int) -> float:
        """1 / n_outputs."""
        return 1.0 / n_outputs


@dataclasses.dataclass(frozen=True)
class HalfSquaredError(Loss):
    """Half the squared error, summed over the outputs: ``0.5 * sum_j (z_j - t_j)**2``; its gradient is ``z - t``.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.HalfSquaredError().row_scale(4)
    0.5
    """

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return "squared_error"

    def row_scale(self, n_outputs: int) -> float:
        """One half."""
        return 0.5


@dataclasses.dataclass(frozen=True)
class Custom(Loss):
    """A loss of one's own, from a Python function; `Model` makes one of any callable.

    Parameters
    ----------
    function : callable
        ``function(scores, targets)`` gives ``(loss, dscores)``: a number, the mean loss of a batch, and its derivative
        by the scores, of their shape. Scores are an array of shape (n, n_outputs) and of the model's dtype, targets the
        rows ``y[batch]`` of what was passed to `fit`, whatever they hold. It is called in every step, in the middle of
        the compiled code: the rest of the step runs without the GIL.

    Raises
    ------
    TypeError
        Where the function is not callable, or gives anything else.
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

    def __call__(self, scores: Array, targets: Array) -> tuple[float, Array]:
        """The function's results, checked."""
        found = self.function(scores, targets)
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(f"the loss {self.function!r} must return (loss, dscores), not {type(found).__name__}")
        loss, dscores = found[0], numeric_array("dscores", found[1])
        if np.ndim(loss) != 0:
            raise ValueError(f"the loss {self.function!r} must return one number, not shape {np.shape(loss)}")
        if dscores.shape != scores.shape:
            raise ValueError(f"the loss {self.function!r} gave dscores of shape {dscores.shape}, not {scores.shape}")
        if not np.isfinite(loss):
            return float(loss), np.zeros_like(scores)
        all_finite("dscores", dscores, scores.dtype.name)
        return float(loss), np.ascontiguousarray(dscores, scores.dtype)

    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: str, name: str = "y") -> Array:
        """Anything with a row for each sample."""
        array = np.asarray(y)
        if array.shape[:1] != (n_samples,):
            raise ValueError(f"{name} has shape {array.shape}, but X holds {n_samples} samples")
        return array

    def strata(self, targets: Array) -> Array:
        """None that anybody knows of."""
        return np.zeros(len(targets), np.uint8)

    def get_config(self) -> dict[str, Any]:
        """Nothing that a file could hold."""
        return {}


BY_NAME: dict[str, type[Loss]] = {
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "mean_squared_error": MeanSquaredError,
    "half_squared_error": HalfSquaredError,
}


def get(loss: "str | Loss | Callable[..., Any]") -> Loss:
    """A loss from its name or from itself.

    Parameters
    ----------
    loss : {"softmax_cross_entropy", "binary_cross_entropy", "mean_squared_error", "half_squared_error"} or Loss
        Or a function, for `Custom`.

    Returns
    -------
    Loss
    """
    if isinstance(loss, Loss) and type(loss) is not Loss:
        return loss
    if callable(loss) and not isinstance(loss, type | Loss):
        return Custom(loss)
    if isinstance(loss, str) and loss in BY_NAME:
        return BY_NAME[loss]()
    if isinstance(loss, str):
        raise ValueError(f"loss {loss!r} is unknown; choose {', '.join(map(repr, BY_NAME))}")
    raise TypeError(f"loss must be a name or a loss such as fastmlp.losses.BinaryCrossEntropy(), not {loss!r}")
