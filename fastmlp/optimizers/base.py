"""What all optimizers have in common."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from fastmlp._validation import (
    Array,
    OtherNames,
    bounded_integer,
    counted,
    finite_number,
    flag,
    keep,
    plain_array,
)
from fastmlp.schedules import Schedule, plain_rate

# Names of the states that each kernel keeps; those that begin with v are never negative.
STATES: dict[str, tuple[str, ...]] = {
    "sgd": (), "momentum": ("m",), "nesterov": ("m",), "rmsprop": ("v",), "rmsprop_centered": ("m", "v"),
    "adagrad": ("v",), "adam": ("m", "v"), "amsgrad": ("m", "v", "v_max"), "nadam": ("m", "v"), "lion": ("m",),
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Optimizer(OtherNames):
    """Base of all optimizers: constants that are checked at once and never change, and the options of all.

    A step: the gradients of `gradient_accumulation_steps` batches are averaged over their rows; ``l2 * w`` (and the
    penalties of the layers) is added; then they are clipped; then ``w *= 1 - learning_rate * weight_decay``; then comes
    the optimizer's own update with the clipped gradients; then the max-norm of the layers; then the moving average.

    To add one: a kernel and its line in csrc/fastmlp.h, its twin in reference/, and a subclass here with `kernel`
    and `constants`.

    Parameters
    ----------
    learning_rate : float or Schedule
        At least 0. A layer's ``learning_rate_factor`` multiplies it.
    weight_decay : float, default 0.0
        Decoupled [1]_; at least 0.
    l2 : float, default 0.0
        ``l2 * w`` is added to the gradient, as PyTorch's optimizers do with their weight_decay; at least 0. The loss
        that is reported does not contain it, in contrast to the penalties of layers.
    decay_biases : bool, default True
        False: `weight_decay` and `l2` spare all but the weight matrices of `Dense`.
    global_clipnorm : float or None, default None
        Largest Euclidean norm of all gradients together, above 0; larger ones are scaled down [2]_.
    clipvalue : float or None, default None
        Largest size of each element of the gradients, above 0. Not together with global_clipnorm.
    gradient_accumulation_steps : int or None, default None
        So many batches make one update, from the mean of their gradients over all of their rows: a smaller batch counts
        for less. None is 1. What is left at the end of an epoch waits for the next. Batches whose gradients come by
        `Model.apply_gradients` count alike.
    use_ema : bool, default False
        Keep an exponential moving average of the weights, ``average = ema_momentum * average + (1 - ema_momentum) * w``
        after each update and simply w after the first. `Model.predict`, `scores`, `evaluate`, the validation of `fit`
        and the derivatives of predictions (`vjp`, `jvp`, `jacobian`, `input_gradients`) use the average; training,
        `loss_and_gradients` and `Model.weights` the weights; `Model.average_weights` gives it. Both are saved.
    ema_momentum : float, default 0.99
        In [0, 1). Without `use_ema` it does nothing.

    References
    ----------
    .. [1] Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101.
    .. [2] Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", ICML 2013,
       arXiv:1211.5063, algorithm 1.
    """

    _other_names: ClassVar[dict[str, str]] = {
        "lr": "learning_rate", "eps": "epsilon", "beta1": "beta_1", "beta2": "beta_2",
        "betas": "it is called beta_1 and beta_2 here",
        "clipnorm": "it is called global_clipnorm (of all gradients together) here",
        "decay": "give a schedule, fastmlp.schedules.InverseScaling for example, as learning_rate, or weight_decay",
        "params": "leave it out: the optimizer of a Model moves its weights",
    }  # fmt: skip

    learning_rate: float | Schedule = 0.01
    weight_decay: float = 0.0
    l2: float = 0.0
    decay_biases: bool = True
    global_clipnorm: float | None = None
    clipvalue: float | None = None
    gradient_accumulation_steps: int | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, Schedule) or type(self.learning_rate) is Schedule:
            keep(self, learning_rate=plain_rate("learning_rate", self.learning_rate))
        keep(self, weight_decay=finite_number("weight_decay", self.weight_decay, at_least=0))
        keep(self, l2=finite_number("l2", self.l2, at_least=0))
        keep(self, decay_biases=flag("decay_biases", self.decay_biases))
        for name in ("global_clipnorm", "clipvalue"):
            if getattr(self, name) is not None:
                keep(self, **{name: finite_number(name, getattr(self, name), above=0)})
        if self.global_clipnorm is not None and self.clipvalue is not None:
            raise ValueError(
                f"clipvalue={self.clipvalue!r} and global_clipnorm={self.global_clipnorm!r} exclude each other; choose"
            )
        if self.gradient_accumulation_steps is not None:
            steps = bounded_integer("gradient_accumulation_steps", self.gradient_accumulation_steps)
            keep(self, gradient_accumulation_steps=steps)
        keep(self, use_ema=flag("use_ema", self.use_ema))
        keep(self, ema_momentum=finite_number("ema_momentum", self.ema_momentum, at_least=0, below=1))
        object.__setattr__(self, "_options", self._chosen_options())

    def _chosen_options(self) -> dict[str, Any] | None:
        """The options by the names of the engine, None where all are off: that spares looking at each in every call."""
        options = {
            "weight_decay": self.weight_decay,
            "l2": self.l2,
            "clip_norm": self.global_clipnorm or 0.0,
            "clip_value": self.clipvalue or 0.0,
            "accumulation": self.gradient_accumulation_steps or 1,
        }
        if not self.use_ema and list(options.values()) == [0, 0, 0, 0, 1]:
            return None
        return options | {"decay_biases": self.decay_biases, "average_momentum": self.ema_momentum}

    def rates(self, first: int, n: int) -> Array:
        """Learning rates of steps first, ..., first + n - 1, counted from 0, of shape (n,), float64."""
        if not isinstance(self.learning_rate, Schedule):
            return np.full(n, float(self.learning_rate))
        given = plain_array("learning_rate", self.learning_rate.rates(first, n))
        with np.errstate(all="ignore"):
            rates = np.ascontiguousarray(given, np.float64)
            usable = rates.shape == (n,) and bool(((rates >= 0) & (rates < np.inf)).all())
        if not usable:
            raise ValueError(
                f"{self.learning_rate!r} gives the rates {rates} for {counted(n, 'step')} from {first}; they must "
                f"be {n} finite numbers, at least 0"
            )
        return rates

    def rate(self, step: int) -> float:
        """Learning rate of one step, counted from 0."""
        return float(self.rates(step, 1)[0] if isinstance(self.learning_rate, Schedule) else self.learning_rate)

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        raise NotImplementedError(
            f"{type(self).__name__} has no kernel: derive from a class of fastmlp.optimizers that has"
        )

    @property
    def kernel_states(self) -> tuple[str, ...]:
        """Names of what is kept for each weight: the states of the kernel, a moving average, a sum of gradients."""
        accumulates = (self.gradient_accumulation_steps or 1) > 1
        return STATES[self.kernel] + ("average",) * self.use_ema + ("accumulated",) * accumulates

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel, by the names of fm_hyper in csrc/fastmlp.h; the rate is given step by step."""
        return {}

    def hyper(self) -> dict[str, Any]:
        """Constants of the kernel and, where any differs from its default, "options"."""
        options: dict[str, Any] | None = getattr(self, "_options", None)
        return self.constants() if options is None else {**self.constants(), "options": options}

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer."""
        config = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if isinstance(self.learning_rate, Schedule):
            config["learning_rate"] = self.learning_rate.get_config()
        return config
