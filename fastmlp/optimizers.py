"""Optimizers: how weights follow their gradients. Each names the C kernel (csrc/kernels/optimizers.inc.h) that applies
it to a tile of weights while the tile's gradient is still in the cache, and the constants that the kernel reads.

Conventions: g is the gradient of the mean loss of a batch, w a weight, t counts updates from 1. A learning rate is a
number, or a schedule from `fastmlp.schedules`. The options that all optimizers share are in `Optimizer`.
"""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from fastmlp._names import resolved
from fastmlp._validation import (
    Array,
    OtherNames,
    bounded_integer,
    finite_number,
    flag,
    keep,
    plain_array,
    scalar,
    shown,
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

    other_names: ClassVar[dict[str, str]] = {
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
                f"{self.learning_rate!r} gives the rates {rates} for {n} steps from {first}; they must be {n} finite "
                "numbers, at least 0"
            )
        return rates

    def rate(self, step: int) -> float:
        """Learning rate of one step, counted from 0."""
        return float(self.rates(step, 1)[0] if isinstance(self.learning_rate, Schedule) else self.learning_rate)

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        raise NotImplementedError

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


@dataclasses.dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent.

    Without momentum ``w -= learning_rate * g``; with it ``m = momentum * m + learning_rate * g; w -= m``, and with
    Nesterov's ``w -= momentum * m + learning_rate * g`` after the same update of m [1]_.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.01
        At least 0.
    momentum : float, default 0.0
        In [0, 1).
    nesterov : bool, default False
        Look ahead; needs a momentum.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning",
       ICML 2013, equations 3 and 4.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.SGD(0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9)
    """

    learning_rate: float | Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, momentum=finite_number("momentum", self.momentum, at_least=0, below=1))
        keep(self, nesterov=flag("nesterov", self.nesterov))
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum above 0, for example momentum=0.9")

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "sgd" if self.momentum == 0 else "nesterov" if self.nesterov else "momentum"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"momentum": self.momentum}


@dataclasses.dataclass(frozen=True, repr=False)
class RMSprop(Optimizer):
    """RMSprop [1]_: ``v = rho * v + (1 - rho) * g**2; w -= learning_rate * g / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        At least 0.
    rho : float, default 0.9
        In [0, 1).
    epsilon : float, default 1e-7
        Above 0.
    epsilon_in_root : bool, default False
        Divide by ``sqrt(v + epsilon)`` instead: the field has both conventions.
    centered : bool, default False
        Divide by an estimate of the standard deviation [2]_: ``m = rho * m + (1 - rho) * g``, and ``v - m**2`` in the
        place of v below the root.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Tieleman, Hinton, "Lecture 6.5: rmsprop", Neural Networks for Machine Learning, 2012.
    .. [2] Graves, "Generating sequences with recurrent neural networks", 2013, arXiv:1308.0850, equations 38 to 41.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.RMSprop(rho=0.95).rho
    0.95
    """

    other_names: ClassVar[dict[str, str]] = {"alpha": "rho", "decay_rate": "rho", "momentum": "it has none here"}

    learning_rate: float | Schedule = 0.001
    rho: float = 0.9
    epsilon: float = 1e-7
    epsilon_in_root: bool = False
    centered: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, rho=finite_number("rho", self.rho, at_least=0, below=1))
        keep(self, epsilon=finite_number("epsilon", self.epsilon, above=0))
        keep(self, epsilon_in_root=flag("epsilon_in_root", self.epsilon_in_root))
        keep(self, centered=flag("centered", self.centered))

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "rmsprop_centered" if self.centered else "rmsprop"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel."""
        inside = self.epsilon if self.epsilon_in_root else 0.0
        return {"beta_2": self.rho, "epsilon": self.epsilon - inside, "epsilon_in_root": inside}


@dataclasses.dataclass(frozen=True, repr=False)
class Adagrad(Optimizer):
    """Adagrad [1]_: ``v = v + g**2; w -= learning_rate * g / (sqrt(initial_accumulator_value + v) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        At least 0.
    initial_accumulator_value : float, default 0.1
        At least 0.
    epsilon : float, default 1e-7
        Above 0.
    epsilon_in_root : bool, default False
        Divide by ``sqrt(initial_accumulator_value + v + epsilon)`` instead, as Keras does.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12
       (2011), figure 1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Adagrad(0.01).initial_accumulator_value
    0.1
    """

    learning_rate: float | Schedule = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7
    epsilon_in_root: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        start = finite_number("initial_accumulator_value", self.initial_accumulator_value, at_least=0)
        keep(self, initial_accumulator_value=start)
        keep(self, epsilon=finite_number("epsilon", self.epsilon, above=0))
        keep(self, epsilon_in_root=flag("epsilon_in_root", self.epsilon_in_root))

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "adagrad"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel, whose v starts at zero."""
        inside = self.epsilon if self.epsilon_in_root else 0.0
        return {"epsilon": self.epsilon - inside, "epsilon_in_root": self.initial_accumulator_value + inside}


@dataclasses.dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Adam [1]_, algorithm 1.

    ``m = beta_1 * m + (1 - beta_1) * g; v = beta_2 * v + (1 - beta_2) * g**2;
    w -= learning_rate * m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)``

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        At least 0.
    beta_1, beta_2 : float, default 0.9 and 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        Above 0.
    bias_correction : bool, default True
        Without it the two divisions by ``1 - beta**t`` are left out, as some texts write Adam.
    amsgrad : bool, default False
        The largest v so far in the place of v in the denominator [2]_.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Kingma, Ba, "Adam: a method for stochastic optimization", ICLR 2015, arXiv:1412.6980.
    .. [2] Reddi, Kale, Kumar, "On the convergence of Adam and beyond", ICLR 2018, arXiv:1904.09237, algorithm 2.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Adam(3e-4).learning_rate
    0.0003
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    bias_correction: bool = True
    amsgrad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, beta_1=finite_number("beta_1", self.beta_1, at_least=0, below=1))
        keep(self, beta_2=finite_number("beta_2", self.beta_2, at_least=0, below=1))
        keep(self, epsilon=finite_number("epsilon", self.epsilon, above=0))
        keep(self, bias_correction=flag("bias_correction", self.bias_correction))
        keep(self, amsgrad=flag("amsgrad", self.amsgrad))

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "amsgrad" if self.amsgrad else "adam"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {
            "momentum": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "bias_correction": self.bias_correction,
        }


@dataclasses.dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay [1]_: before each step of Adam ``w *= 1 - learning_rate * weight_decay``.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, bias_correction, amsgrad
        As for `Adam`.
    weight_decay : float, default 0.004
        At least 0; biases decay too, unless ``decay_biases=False``.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    References
    ----------
    .. [1] Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, arXiv:1711.05101, algorithm 2.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.AdamW(weight_decay=0.01).weight_decay
    0.01
    """

    weight_decay: float = dataclasses.field(default=0.004, kw_only=True)


@dataclasses.dataclass(frozen=True, repr=False)
class Nadam(Optimizer):
    """Adam with Nesterov's look ahead [1]_, and its schedule of the momentum, ``u_t = beta_1 * (1 - 0.5 * 0.96**t)``.

    m and v as in `Adam`, with U_t the product of u_1 ... u_t:
    ``m_hat = u_(t+1) * m / (1 - U_(t+1)) + (1 - u_t) * g / (1 - U_t);
    w -= learning_rate * m_hat / (sqrt(v / (1 - beta_2**t)) + epsilon)``. As Keras; PyTorch's NAdam is the same with
    ``momentum_decay=1``.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        At least 0.
    beta_1, beta_2 : float, default 0.9 and 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        Above 0.
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop, algorithm 2.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Nadam(beta_1=0.8).beta_1
    0.8
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, beta_1=finite_number("beta_1", self.beta_1, at_least=0, below=1))
        keep(self, beta_2=finite_number("beta_2", self.beta_2, at_least=0, below=1))
        keep(self, epsilon=finite_number("epsilon", self.epsilon, above=0))

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "nadam"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"momentum": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon, "momentum_schedule": True}


@dataclasses.dataclass(frozen=True, repr=False)
class Lion(Optimizer):
    """Lion [1]_: ``w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * g); m = beta_2 * m + (1 - beta_2) * g``.

    All weights move by the same amount: its learning rate is three to ten times smaller than Adam's.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
        At least 0.
    beta_1, beta_2 : float, default 0.9 and 0.99
        In [0, 1).
    **options
        Of all optimizers: see `fastmlp.optimizers.Optimizer`.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023, arXiv:2302.06675, algorithm 2.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Lion(1e-4, weight_decay=1.0)
    Lion(learning_rate=0.0001, weight_decay=1.0)
    """

    learning_rate: float | Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, beta_1=finite_number("beta_1", self.beta_1, at_least=0, below=1))
        keep(self, beta_2=finite_number("beta_2", self.beta_2, at_least=0, below=1))

    @property
    def kernel(self) -> str:
        """Name of the C kernel."""
        return "lion"

    def constants(self) -> dict[str, Any]:
        """Constants of the kernel."""
        return {"momentum": self.beta_1, "beta_2": self.beta_2}


@dataclasses.dataclass(frozen=True, repr=False)
class LBFGS(Optimizer):
    """Full-batch L-BFGS [1]_, scipy's (extra "lbfgs"), which chooses its own steps: for small data and small networks.

    `Model.fit` on arrays, without ``epochs``, makes one minimisation of the mean loss over all samples. Each iteration
    is an epoch to callbacks and history; ``history.stopped`` is "converged" where the tolerance is reached or no step
    is found that makes the loss smaller, which rounding in float32 soon does, and "epochs done" after max_iterations. A
    second `fit` goes on from the weights, but the curvature is forgotten: the bits are not those of one long fit. There
    are no steps on batches, and none of the options of other optimizers; penalties are arguments of `Dense`. A dropout
    keeps the same mask.

    Parameters
    ----------
    max_iterations : int, default 100
        At least 1.
    tolerance : float, default 1e-5
        Largest element of the gradient at which the minimisation is done, at least 0.
    memory : int, default 10
        Pairs of steps and changes of the gradient that are kept.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming 45
       (1989), algorithm 2.1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.LBFGS(max_iterations=50)
    LBFGS(max_iterations=50)
    """

    other_names: ClassVar[dict[str, str]] = {
        "max_iter": "max_iterations", "maxiter": "max_iterations", "tol": "tolerance", "tolerance_grad": "tolerance",
        "gtol": "tolerance", "history_size": "memory", "maxcor": "memory",
        **dict.fromkeys(("learning_rate", "lr"), "the minimisation chooses its own steps"),
    }  # fmt: skip

    max_iterations: int = 100
    tolerance: float = 1e-5
    memory: int = 10
    learning_rate: float | Schedule = dataclasses.field(default=1.0, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, max_iterations=bounded_integer("max_iterations", self.max_iterations))
        keep(self, tolerance=finite_number("tolerance", self.tolerance, at_least=0))
        keep(self, memory=bounded_integer("memory", self.memory))
        unused = (self.decay_biases, self.ema_momentum) != (Optimizer.decay_biases, Optimizer.ema_momentum)
        if unused or self._chosen_options() is not None:
            raise ValueError(
                "LBFGS has none of the options of other optimizers; leave them out: penalties are arguments of Dense"
            )

    @property
    def kernel(self) -> str:
        """That of SGD, which is never called."""
        return "sgd"

    def hyper(self) -> dict[str, Any]:
        """Refused: there are no steps."""
        raise ValueError("LBFGS has no steps on batches; call fit with arrays, or choose another optimizer")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer."""
        return {"max_iterations": self.max_iterations, "tolerance": self.tolerance, "memory": self.memory}


BY_NAME: dict[str, type[Optimizer]] = {
    "sgd": SGD, "rmsprop": RMSprop, "adagrad": Adagrad, "adam": Adam, "adamw": AdamW, "nadam": Nadam, "lion": Lion,
    "lbfgs": LBFGS,
}  # fmt: skip


def get(optimizer: "str | Optimizer") -> Optimizer:
    """An optimizer from its name or from itself.

    Parameters
    ----------
    optimizer : {"sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam", "lion", "lbfgs"} or Optimizer

    Returns
    -------
    Optimizer
    """
    optimizer = scalar("optimizer", optimizer)
    if isinstance(optimizer, Optimizer) and type(optimizer) is not Optimizer:
        return optimizer
    if isinstance(optimizer, str):
        return BY_NAME[resolved("optimizer", optimizer, BY_NAME)]()
    raise TypeError(f"optimizer must be a name or an optimizer such as fastmlp.Adam(), not {shown(optimizer)}")
