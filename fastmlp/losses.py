"""Losses, all on raw scores. Each says which targets it takes, which C kernel (csrc/kernels/losses.inc.h and
output_losses.inc.h) computes it with its gradient, and which link turns scores into predictions.

A model's loss is the mean over the samples of a batch of the loss of a sample, in nats for the cross-entropies.
Targets of a sample may be given for every output, of shape (n, n_outputs); for one output also of shape (n,).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from fastmlp import _engine
from fastmlp._engine import LARGEST
from fastmlp._loss import Loss as Loss  # mypy takes that for a name of this module, too
from fastmlp._loss import Numbers, check_numbers, for_outputs, numbers_of, set_field
from fastmlp._names import resolved
from fastmlp._validation import (
    Array,
    all_finite,
    choice,
    counted,
    finite_number,
    numeric_array,
    plain_array,
    scalar,
    shown,
)

# How far a row of probabilities may be from 1 in sum: float32 arithmetic over thousands of classes stays below it.
_SUM_TOLERANCE = 1e-3
# Constants must not vanish in float32.
_SMALLEST = float(np.finfo(np.float32).tiny)


# ---- classes ----


@dataclasses.dataclass(frozen=True, repr=False)
class _OfClasses(Loss):
    """One class of several, by the softmax of the scores."""

    link = "softmax"
    has_accuracy = True
    # The loss for a single output.
    of_two: ClassVar[str] = "binary_cross_entropy"

    def classes(self, targets: Array, n_outputs: int) -> tuple[Array, int]:
        """The label, or the first of the most probable classes."""
        return (targets if targets.ndim == 1 else targets.argmax(axis=1)), n_outputs

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """At least two outputs, no activation."""
        super().check_outputs(n_outputs, activation)
        if n_outputs < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 outputs, one for each class; for a single output use "
                f"loss='{self.of_two}'"
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
                f"{name} holds the label {low if low < 0 else high}, but a model with "
                f"{counted(n_outputs, 'output')} takes labels 0 to {n_outputs - 1}"
            )
        return array.astype(np.int32)


@dataclasses.dataclass(frozen=True, repr=False)
class SoftmaxCrossEntropy(_OfClasses):
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

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        set_field(self, "label_smoothing", finite_number("label_smoothing", self.label_smoothing, at_least=0, below=1))

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"label_smoothing": self.label_smoothing}

    def kernel(self, targets: Array) -> str:
        """Labels and rows of probabilities have a kernel each."""
        return "softmax_cross_entropy_labels" if targets.ndim == 1 else "softmax_cross_entropy"


@dataclasses.dataclass(frozen=True, repr=False)
class _OfSides(Loss):
    """Every output on one of two sides by itself; of one output the accuracy is that of the samples."""

    link = "sigmoid"
    has_accuracy = True

    def classes(self, targets: Array, n_outputs: int) -> tuple[Array, int]:
        """Of a single output 0 or 1."""
        if n_outputs > 1:
            return super().classes(targets, n_outputs)
        return (targets[:, 0] > 0.5).astype(np.int32), 2

    def accuracy(self, right: int, n_samples: int, n_outputs: int) -> float:
        """Share of right outputs."""
        return right / (n_samples * n_outputs)


@dataclasses.dataclass(frozen=True, repr=False)
class BinaryCrossEntropy(_OfSides):
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

    bounds = (0.0, 1.0)
    outputs: str = "mean"
    label_smoothing: float = 0.0
    positive_weight: Numbers = 1.0

    def __post_init__(self) -> None:
        set_field(self, "outputs", choice("outputs", self.outputs, ("mean", "sum")))
        set_field(self, "label_smoothing", finite_number("label_smoothing", self.label_smoothing, at_least=0, below=1))
        weights = numbers_of("positive_weight", self.positive_weight, above=0, at_most=LARGEST["float32"])
        set_field(self, "positive_weight", weights)

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """As many weights as outputs, no activation."""
        super().check_outputs(n_outputs, activation)
        check_numbers("positive_weight", self.positive_weight, n_outputs)

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel."""
        weight = None if self.positive_weight == 1 else for_outputs("positive_weight", self.positive_weight, n_outputs)
        return {"label_smoothing": self.label_smoothing} | ({} if weight is None else {"positive_weight": weight})

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return "binary_cross_entropy"

    def row_scale(self, n_outputs: int) -> float:
        """1, or 1 / n_outputs for the mean."""
        return 1.0 if self.outputs == "sum" else 1.0 / n_outputs


@dataclasses.dataclass(frozen=True, repr=False)
class Focal(_OfClasses):
    """Focal loss of one class of several: ``-sum_j alpha_j t_j (1 - p_j)**gamma log(p_j)``.

    p is the softmax of the scores. Samples that are classified well count little [1]_. Targets are those of
    `SoftmaxCrossEntropy`.

    Parameters
    ----------
    gamma : float, default 2.0
        At least 0, which is the cross-entropy.
    alpha : float, tuple of float or None, default None
        Weights of the classes, at least 0; one number is that of all. None is 1.

    References
    ----------
    .. [1] Lin, Goyal, Girshick, He, Dollár, "Focal loss for dense object detection", ICCV 2017, arXiv:1708.02002,
       equation 5.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.Focal(alpha=(1, 2, 2)).alpha
    (1.0, 2.0, 2.0)
    """

    of_two = "binary_focal"
    gamma: float = 2.0
    alpha: Numbers | None = None

    def __post_init__(self) -> None:
        set_field(self, "gamma", finite_number("gamma", self.gamma, at_least=0, at_most=LARGEST["float32"]))
        if self.alpha is not None:
            set_field(self, "alpha", numbers_of("alpha", self.alpha, at_least=0, at_most=LARGEST["float32"]))

    def kernel(self, targets: Array) -> str:
        """Labels and rows of probabilities have a kernel each."""
        return "focal_labels" if targets.ndim == 1 else "focal"

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """At least two outputs, as many weights, no activation."""
        super().check_outputs(n_outputs, activation)
        check_numbers("alpha", self.alpha, n_outputs)

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel."""
        alpha = {} if self.alpha is None else {"alpha": for_outputs("alpha", self.alpha, n_outputs)}
        return {"gamma": self.gamma, **alpha}


@dataclasses.dataclass(frozen=True, repr=False)
class BinaryFocal(_OfSides):
    """Focal loss of every output on its own: of a target 1 ``-alpha (1 - s)**gamma log(s)``.

    s is the sigmoid of the score. Of a target 0 it is ``-(1 - alpha) s**gamma log(1 - s)`` [1]_; one between 0 and 1
    mixes the two.

    Parameters
    ----------
    gamma : float, default 2.0
        At least 0, which is the binary cross-entropy.
    alpha : float, tuple of float or None, default None
        In (0, 1), the weight of positive targets, beside 1 - alpha of negative ones; a tuple has one for each output.
        None weights both with 1.
    outputs : {"mean", "sum"}, default "mean"
        How the outputs of a sample make its loss.

    Notes
    -----
    Targets lie in [0, 1]. The accuracy is the share of single outputs on the right side of 0.5.

    References
    ----------
    .. [1] Lin, Goyal, Girshick, He, Dollár, "Focal loss for dense object detection", ICCV 2017, arXiv:1708.02002,
       equation 5.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.BinaryFocal(alpha=0.25).gamma
    2.0
    """

    bounds = (0.0, 1.0)
    gamma: float = 2.0
    alpha: Numbers | None = None
    outputs: str = "mean"

    def __post_init__(self) -> None:
        set_field(self, "outputs", choice("outputs", self.outputs, ("mean", "sum")))
        set_field(self, "gamma", finite_number("gamma", self.gamma, at_least=0, at_most=LARGEST["float32"]))
        if self.alpha is not None:
            set_field(self, "alpha", numbers_of("alpha", self.alpha, above=0, below=1))

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return "binary_focal"

    def row_scale(self, n_outputs: int) -> float:
        """1, or 1 / n_outputs for the mean."""
        return 1.0 if self.outputs == "sum" else 1.0 / n_outputs

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """As many weights as outputs, no activation."""
        super().check_outputs(n_outputs, activation)
        check_numbers("alpha", self.alpha, n_outputs)

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel."""
        alpha = {} if self.alpha is None else {"alpha": for_outputs("alpha", self.alpha, n_outputs)}
        return {"gamma": self.gamma, **alpha}


@dataclasses.dataclass(frozen=True, repr=False)
class Hinge(_OfSides):
    """Hinge loss of every output on its own, mean over the outputs: ``max(0, 1 - t z)``.

    Targets are -1 and 1; where all are 0 or 1, 0 stands for -1, as in Keras. `Model.predict` gives the scores, whose
    sign is the prediction; the accuracy is the share of right signs, 0 counted as negative. For ``class_weight`` the
    class of -1 is 0.

    Examples
    --------
    >>> import fastmlp as fm
    >>> model = fm.Model([fm.Dense(1)], loss="hinge")
    """

    link = "identity"
    bounds = (-1.0, 1.0)

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return "hinge"

    def row_scale(self, n_outputs: int) -> float:
        """1 / n_outputs."""
        return 1.0 / n_outputs

    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: str, name: str = "y") -> Array:
        """Targets -1 and 1."""
        array = super().targets(y, n_samples, n_outputs, dtype, name)
        upper, lower, zero = array == 1, array == -1, array == 0
        if (upper | lower).all():
            return array
        if not (upper | zero).all():
            wrong = array[~(upper | lower | zero)]
            found = wrong[0] if len(wrong) else "-1 and 0"
            raise ValueError(f"{name} holds {found}, but Hinge takes targets -1 and 1, or 0 and 1")
        return np.where(upper, 1, -1).astype(dtype)


# ---- numbers ----


@dataclasses.dataclass(frozen=True, repr=False)
class _Regression(Loss):
    """The mean over the outputs of what a kernel gives for each."""

    kernel_name: ClassVar[str]

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return self.kernel_name

    def row_scale(self, n_outputs: int) -> float:
        """1 / n_outputs."""
        return 1.0 / n_outputs


@dataclasses.dataclass(frozen=True, repr=False)
class MeanSquaredError(_Regression):
    """Squared error, mean over the outputs: ``mean_j (z_j - t_j)**2``.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.MeanSquaredError().row_scale(4)
    0.25
    """

    kernel_name = "squared_error"


@dataclasses.dataclass(frozen=True, repr=False)
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


@dataclasses.dataclass(frozen=True, repr=False)
class MeanAbsoluteError(_Regression):
    """Absolute error, mean over the outputs: ``mean_j abs(z_j - t_j)``; its derivative where they are equal is 0.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.MeanAbsoluteError().row_scale(4)
    0.25
    """

    kernel_name = "absolute_error"


@dataclasses.dataclass(frozen=True, repr=False)
class Huber(_Regression):
    """Huber's loss [1]_ of ``e = z - t``, mean over the outputs: ``e**2 / 2`` up to delta, its tangent from there.

    Parameters
    ----------
    delta : float, default 1.0
        Above 0: from ``abs(e) = delta`` on the loss is ``delta * (abs(e) - delta / 2)``.

    References
    ----------
    .. [1] Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.Huber(0.5).delta
    0.5
    """

    kernel_name = "huber"
    delta: float = 1.0

    def __post_init__(self) -> None:
        set_field(self, "delta", finite_number("delta", self.delta, at_least=_SMALLEST, at_most=LARGEST["float32"]))

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"delta": self.delta}


@dataclasses.dataclass(frozen=True, repr=False)
class LogCosh(_Regression):
    """Logarithm of the hyperbolic cosine, mean over the outputs: ``log(cosh(z - t))``, a smooth Huber loss.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.LogCosh().kernel_name
    'log_cosh'
    """

    kernel_name = "log_cosh"


@dataclasses.dataclass(frozen=True, repr=False)
class Poisson(_Regression):
    """Poisson regression on the logarithms z of rates, mean over the outputs: ``exp(z) - t z``.

    The negative log-likelihood without its term ``log(t!)``, which no weight changes. `Model.predict` gives the rates
    ``exp(z)``; targets are at least 0.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.losses.Poisson().link
    'exp'
    """

    link = "exp"
    kernel_name = "poisson"
    bounds = (0.0, math.inf)


@dataclasses.dataclass(frozen=True, repr=False)
class Quantile(_Regression):
    """Quantile regression, mean over the outputs: ``max(q (t - z), (q - 1) (t - z))`` for the quantile q [1]_.

    Parameters
    ----------
    levels : float or tuple of float, default 0.5
        In (0, 1). A number: the quantile that every output predicts of a target of its own, so y has shape
        (n, n_outputs). A tuple: the quantiles of a single target, one for each output of the model, and y has shape
        (n,) or (n, 1).

    References
    ----------
    .. [1] Koenker, Bassett, "Regression quantiles", Econometrica 46, 1978, equation 2.1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> model = fm.Model([fm.Dense(16, "tanh"), fm.Dense(3)], loss=fm.losses.Quantile((0.1, 0.5, 0.9)))
    """

    kernel_name = "quantile"
    levels: Numbers = 0.5

    def __post_init__(self) -> None:
        set_field(self, "levels", numbers_of("levels", self.levels, above=0, below=1))

    def n_targets(self, n_outputs: int) -> int:
        """One, of which there are several quantiles, or one for each output."""
        return 1 if isinstance(self.levels, tuple) else n_outputs

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """An output for each level."""
        super().check_outputs(n_outputs, activation)
        check_numbers("levels", self.levels, n_outputs)

    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: str, name: str = "y") -> Array:
        """A single target is that of every level, without a copy."""
        array = super().targets(y, n_samples, n_outputs, dtype, name)
        return np.broadcast_to(array, (n_samples, n_outputs))

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"levels": for_outputs("levels", self.levels, n_outputs)}


@dataclasses.dataclass(frozen=True, repr=False)
class GaussianNLL(Loss):
    """Normal distribution with predicted variance: ``(s + (z - t)**2 * exp(-s)) / 2``, mean over the targets [1]_.

    For m targets the model has 2m outputs: first the means z, then the logarithms s of the variances. `Model.predict`
    gives both as they are, the variances as ``np.exp(out[:, m:])``. The constant ``log(2 pi) / 2`` is left out, as in
    PyTorch. The loss has no lower bound where targets are hit exactly.

    References
    ----------
    .. [1] Nix, Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994.

    Examples
    --------
    >>> import fastmlp as fm
    >>> model = fm.Model([fm.Dense(16, "tanh"), fm.Dense(2)], loss="gaussian_nll", n_inputs=3)
    """

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel."""
        return "gaussian_nll"

    def row_scale(self, n_outputs: int) -> float:
        """1 / m."""
        return 2.0 / n_outputs

    def n_targets(self, n_outputs: int) -> int:
        """Half as many as outputs."""
        return n_outputs // 2

    def check_outputs(self, n_outputs: int, activation: str) -> None:
        """Means and variances, of one activation: none."""
        if n_outputs % 2:
            raise ValueError(
                f"GaussianNLL needs a mean and a variance for each target: an even number of outputs, not {n_outputs}"
            )
        if activation != "identity":
            raise ValueError(
                f"GaussianNLL takes means and logarithms of variances: the last layer must have no activation, not "
                f"{activation!r}"
            )


# ---- others ----


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
    "focal": Focal,
    "binary_focal": BinaryFocal,
    "hinge": Hinge,
    "mean_squared_error": MeanSquaredError,
    "half_squared_error": HalfSquaredError,
    "mean_absolute_error": MeanAbsoluteError,
    "huber": Huber,
    "log_cosh": LogCosh,
    "quantile": Quantile,
    "poisson": Poisson,
    "gaussian_nll": GaussianNLL,
}


def get(loss: "str | Loss | Callable[..., Any]") -> Loss:
    """A loss from its name or from itself.

    Parameters
    ----------
    loss : str or Loss
        A name in `BY_NAME`, or an object; or a function, for `Custom`.

    Returns
    -------
    Loss
    """
    loss = scalar("loss", loss)
    if isinstance(loss, Loss) and type(loss) is not Loss:
        return loss
    if callable(loss) and not isinstance(loss, type | Loss):
        return Custom(loss)
    if isinstance(loss, str):
        return BY_NAME[resolved("loss", loss, BY_NAME)]()
    raise TypeError(f"loss must be a name or a loss such as fastmlp.losses.BinaryCrossEntropy(), not {shown(loss)}")
