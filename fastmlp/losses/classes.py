"""Losses of a classification: over classes, whose scores softmax turns into probabilities, and over sides, 0 or 1."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from fastmlp import _engine
from fastmlp._engine import LARGEST
from fastmlp._validation import (
    Array,
    all_finite,
    choice,
    counted,
    finite_number,
    numeric_array,
)
from fastmlp.losses.base import Loss, Numbers, check_numbers, for_outputs, numbers_of, set_field

# How far a row of probabilities may be from 1 in sum: float32 arithmetic over thousands of classes stays below it.
_SUM_TOLERANCE = 1e-3


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
                    f"{name}[{wrong[0]}] is no distribution over {counted(n_outputs, 'class')}: it sums to "
                    f"{sums[wrong[0]]:g}, its smallest entry is {rows[wrong[0]].min():g}; give integer labels, "
                    "one-hot rows or probabilities"
                )
            return rows
        if len(array) != n_samples:
            raise ValueError(f"{name} has shape {np.shape(y)}, but X holds {counted(n_samples, 'sample')}")
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
