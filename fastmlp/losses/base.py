"""What all losses have in common."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from fastmlp import _engine
from fastmlp._engine import LARGEST
from fastmlp._quiet import quiet
from fastmlp._validation import Array, OtherNames, all_finite, counted, engine_dtype, finite_number, numeric_array

Numbers = float | tuple[float, ...]
set_field = object.__setattr__  # of a frozen dataclass, in its __post_init__


def numbers_of(name: str, value: Any, **bounds: float) -> Numbers:
    """A number, or a tuple of some, within bounds."""
    if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1 and len(value):
        return tuple(finite_number(f"{name}[{i}]", number, **bounds) for i, number in enumerate(value))
    return finite_number(name, value, **bounds)


def check_numbers(name: str, value: Numbers | None, n_outputs: int) -> None:
    """Whether there is one number for all outputs, or one for each; makes none, a file may speak of 2**31 outputs."""
    if isinstance(value, tuple) and len(value) != n_outputs:
        raise ValueError(
            f"{name} holds {counted(len(value), 'number')}, but the model has {counted(n_outputs, 'output')}; "
            "give one or all"
        )


def for_outputs(name: str, value: Numbers, n_outputs: int) -> tuple[float, ...]:
    """One number for each output."""
    check_numbers(name, value, n_outputs)
    return value if isinstance(value, tuple) else (value,) * n_outputs


@dataclasses.dataclass(frozen=True, repr=False)
class Loss(OtherNames):
    """Base of all losses.

    To add one: a kernel and its line in csrc/fastmlp.h, its twin in reference/, and a subclass here with a line in
    BY_NAME.
    """

    _other_names: ClassVar[dict[str, str]] = {
        "from_logits": "losses always take raw scores here", "pos_weight": "positive_weight",
        "weight": "it is called class_weight here, an argument of fit",
        **dict.fromkeys(("class_weight", "sample_weight"), "it is an argument of fit"),
        "reduction": "the loss of a batch is always the mean over its samples",
        "beta": "delta", "quantile": "levels", "q": "levels", "log_input": "scores are always logarithms of rates here",
    }  # fmt: skip

    # Turns scores into predictions: "identity", "softmax", "exp", or an activation.
    link: ClassVar[str] = "identity"
    # Whether the kernel counts right predictions.
    has_accuracy: ClassVar[bool] = False
    # Where targets lie, infinite for the largest number of the dtype; None: any finite number.
    bounds: ClassVar[tuple[float, float] | None] = None

    def kernel(self, targets: Array) -> str:
        """Name of the C kernel for such targets."""
        raise NotImplementedError(
            f"{type(self).__name__} has no kernel: give a function of scores and targets as loss instead"
        )

    def row_scale(self, n_outputs: int) -> float:
        """Factor from the kernel's sum over outputs to the loss of a sample."""
        return 1.0

    def n_targets(self, n_outputs: int) -> int:
        """How many targets a sample has."""
        return n_outputs

    def options(self, n_outputs: int) -> dict[str, Any]:
        """Constants of the kernel, by the names of fm_loss_options in csrc/fastmlp.h."""
        return {}

    @quiet
    def targets(self, y: Any, n_samples: int, n_outputs: int, dtype: str, name: str = "y") -> Array:
        """Targets as the kernel reads them, checked; no copy where that can be."""
        low, high = self.bounds or (-LARGEST[dtype], LARGEST[dtype])
        high, n_outputs = min(high, LARGEST[dtype]), self.n_targets(n_outputs)
        if _engine.is_plain_matrix(y, n_outputs, low, high) and len(y) == n_samples:
            plain: Array = y
            return plain
        array = numeric_array(name, y)
        if array.ndim == 1 and n_outputs == 1:
            array = array.reshape(-1, 1)
        if array.shape[:1] != (n_samples,):
            raise ValueError(f"{name} has shape {np.shape(y)}, but X holds {counted(n_samples, 'sample')}")
        if array.ndim != 2:
            array = array.reshape(n_samples, -1)
        if array.shape[1] != n_outputs:
            labels = np.ndim(y) == 1 and array.dtype.kind in "iu"
            raise ValueError(
                f"{name} of shape {np.shape(y)} does not fit the model's outputs: {type(self).__name__} wants shape "
                f"({n_samples}, {n_outputs})" + (" (class labels belong to softmax_cross_entropy)" if labels else "")
            )
        all_finite(name, array, dtype)
        array = engine_dtype(array, dtype)
        if self.bounds is not None:
            least, most = array.min(), array.max()
            if least < low or most > high:
                where = f"in [{low:g}, {high:g}]" if self.bounds[1] < np.inf else f"of at least {low:g}"
                raise ValueError(
                    f"{name} holds {least if least < low else most}, but {type(self).__name__} takes targets {where}"
                )
        return array

    def classes(self, targets: Array, n_outputs: int) -> tuple[Array, int]:
        """The class of each sample from its checked targets, and how many classes there are; for class_weight."""
        raise ValueError(
            f"class_weight needs one class for each sample, which {type(self).__name__} with "
            f"{counted(n_outputs, 'output')} has not; give sample_weight"
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
                f"predict returns {'rates' if self.link == 'exp' else 'probabilities'} all the same"
            )

    def accuracy(self, right: int, n_samples: int, n_outputs: int) -> float:
        """Share of right predictions."""
        return right / n_samples

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal loss."""
        return dataclasses.asdict(self)
