"""Layers: what a model is made of. They hold no weights; `Model.build` gives those to the engine.

``plan`` turns a stack of them into what the engine computes: an activation and a dropout belong to the layer before
them.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastmlp import _engine
from fastmlp._names import resolved
from fastmlp._validation import (
    Array,
    OtherNames,
    bounded_integer,
    choice,
    finite_number,
    flag,
    scalar,
    shown,
)

if TYPE_CHECKING:
    pass

# The activations with a parameter, and its default.
DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0}


def checked_activation(activation: str | None) -> str:
    """The name of an activation that there is; None is "identity"."""
    name = "identity" if activation is None else scalar("activation", activation)
    if isinstance(name, str):
        return resolved("activation", name, _engine.activations)
    return choice("activation", name, tuple(_engine.activations))


def _checked_alpha(alpha: float | None, activation: str) -> float | None:
    if alpha is None:
        return None
    if activation not in DEFAULT_ALPHA:
        raise ValueError(f"alpha={alpha!r} has no meaning for activation {activation!r}; leave it out")
    return finite_number("alpha", alpha, at_least=0)


def _slope(activation: str | None, alpha: float | None) -> float:
    return DEFAULT_ALPHA.get(activation or "", 0.0) if alpha is None else alpha


def _check_training(layer: Any) -> None:
    """The two options that all layers with weights have."""
    object.__setattr__(layer, "trainable", flag("trainable", layer.trainable))
    factor = finite_number("learning_rate_factor", layer.learning_rate_factor, at_least=0)
    object.__setattr__(layer, "learning_rate_factor", factor)


@dataclasses.dataclass(frozen=True, repr=False)
class Layer(OtherNames):
    """Base of all layers. Those without other word have as many outputs as inputs."""

    other_names: ClassVar[dict[str, str]] = {
        "kernel_initializer": "initializer", "out_features": "units", "bias": "use_bias", "eps": "epsilon",
        **dict.fromkeys(("input_shape", "input_dim", "in_features"), "it is called n_inputs, an argument of Model"),
        "kernel_regularizer": "it is called l1 and l2 here", "bias_regularizer": "biases have no penalty here",
        "activity_regularizer": "activations have no penalty here", "kernel_constraint": "it is called max_norm here",
        "bias_constraint": "biases have no constraint here", "p": "rate", "negative_slope": "alpha", "init": "alpha",
        "alpha_initializer": "it is called alpha here, a number", "name": "layers have no names here",
        **dict.fromkeys(("seed", "dtype"), "it is an argument of Model here"),
        **dict.fromkeys(("normalized_shape", "num_features", "num_parameters"), "a layer finds its width by itself"),
    }  # fmt: skip

    def weight_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that the layer has; none by default."""
        return {}

    @property
    def has_gradient(self) -> list[bool]:
        """Whether each array of `weight_shapes` has a gradient: running statistics and unused biases have none."""
        return [name not in RUNNING for name in self.weight_shapes(1)]

    def initial_weights(
        self, n_in: int, dtype: str, seed: int, position: int, activation: str | None = None
    ) -> list[Array]:
        """The arrays of `weight_shapes`, at first; position counts the layers that draw theirs; activation is the one
        that follows, where the layer has none."""
        return []


# Arrays of a layer that training follows but no gradient moves.
RUNNING = ("mean", "variance")


@dataclasses.dataclass(frozen=True, repr=False)
class Dense(Layer):
    """A fully connected layer: ``activation(x @ W + b)`` with W of shape (n_in, units) and b of shape (units,).

    Parameters
    ----------
    units : int
        Number of outputs, at least 1.
    activation : str or None, default None
        {"identity", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu", "mish", "tanh", "sigmoid",
        "softplus", "hard_sigmoid", "hard_tanh"}; None is "identity". The last layer of a classifier has none: losses
        take raw scores, and `Model.predict` applies softmax or sigmoid.
    alpha : float or None, default None
        Slope below zero of "leaky_relu" (default 0.01) or scale of "elu" (default 1.0); for no other activation.
    use_bias : bool, default True
        Without a bias b is zero and stays zero.
    initializer : str, Initializer, array_like or None, default None
        Of W: a name, one of {"glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform",
        "lecun_normal", "orthogonal", "normal", "truncated_normal", "uniform", "zeros", "ones"}; an object from
        `fastmlp.initializers`; or an array of shape (n_in, units), of which a saved model keeps only what became of it.
        None follows the activation, its own or that of an `Activation` or `PReLU` behind it with nothing but
        normalisation and dropout between: "lecun_uniform" for selu, "glorot_uniform" for identity, tanh, sigmoid,
        hard_sigmoid and hard_tanh, "he_uniform" for the rest.
    bias_initializer : str, Initializer, array_like or None, default None
        Of b, the same but for "orthogonal"; an array has the shape (units,). None is "zeros".
    l1, l2 : float, default 0.0
        At least 0. ``l1 * sum(abs(W)) + l2 * sum(W**2)`` is added to the loss, as Keras does: to what `fit`,
        `train_on_batch`, `evaluate` and `loss_and_gradients` report, and to the gradient. b has no part in it.
    max_norm : float or None, default None
        Above 0: after each update the weights of each unit, a column of W, are scaled to at most this Euclidean norm
        [1]_.
    trainable : bool, default True
        False: training changes neither W and b nor the optimizer's states for them, and they have no penalty; gradients
        flow on to the layers below. `Model.loss_and_gradients` still gives theirs, `apply_gradients` ignores them.
    learning_rate_factor : float, default 1.0
        At least 0; of the optimizer's learning rate, for this layer.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of its range or of the wrong type.

    References
    ----------
    .. [1] Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: a simple way to prevent neural networks
       from overfitting", JMLR 15 (2014), section 5.1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Dense(512, "relu").activation
    'relu'
    """

    _unnamed: ClassVar[tuple[str, ...]] = ("activation",)

    units: int
    activation: str | None = None
    alpha: float | None = None
    use_bias: bool = True
    initializer: Any = None
    bias_initializer: Any = None
    _: dataclasses.KW_ONLY
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float | None = None
    trainable: bool = True
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", bounded_integer("units", self.units))
        if self.units > 2**31:
            raise ValueError(f"units must be at most 2**31, not {self.units}")
        activation = checked_activation(self.activation)
        object.__setattr__(self, "activation", activation)
        object.__setattr__(self, "alpha", _checked_alpha(self.alpha, activation))
        object.__setattr__(self, "use_bias", flag("use_bias", self.use_bias))
        if self.bias_initializer is not None and not self.use_bias:
            raise ValueError(f"bias_initializer={self.bias_initializer!r} is useless with use_bias=False; leave it out")
        for name in ("l1", "l2"):
            object.__setattr__(self, name, finite_number(name, getattr(self, name), at_least=0))
        if self.max_norm is not None:
            object.__setattr__(self, "max_norm", finite_number("max_norm", self.max_norm, above=0))
        _check_training(self)
        for name in ("initializer", "bias_initializer"):
            if getattr(self, name) is not None:
                from fastmlp import initializers  # eight dataclasses: only where they are wanted

                chosen = initializers.checked(name, getattr(self, name), self.units, name == "bias_initializer")
                object.__setattr__(self, name, chosen)

    def _is_default(self, name: str, value: Any, default: Any) -> bool:
        """Whether an argument may be left out: None is "identity"."""
        return value == "identity" if name == "activation" else super()._is_default(name, value, default)

    @property
    def slope(self) -> float:
        """The activation's parameter as the kernel wants it; 0 where it has none."""
        return _slope(self.activation, self.alpha)

    @property
    def has_gradient(self) -> list[bool]:
        """W has one, b where it is used."""
        return [True, self.use_bias]

    def weight_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        """W and b."""
        return {"W": (n_in, self.units), "b": (self.units,)}

    def initial_weights(
        self, n_in: int, dtype: str, seed: int, position: int, activation: str | None = None
    ) -> list[Array]:
        """W and b from their initializers; where W has none it follows the activation."""
        from fastmlp import initializers

        own = self.activation if self.activation != "identity" else activation or "identity"
        W_from = initializers.default(own or "identity") if self.initializer is None else self.initializer
        W = initializers.initialize(W_from, n_in, self.units, dtype, seed, position)
        b_from = "zeros" if self.bias_initializer is None else self.bias_initializer
        return [W, initializers.initialize(b_from, n_in, self.units, dtype, seed, position, bias=True)]


@dataclasses.dataclass(frozen=True, repr=False)
class Activation(Layer):
    """An activation by itself, for instance behind a normalisation: ``f(x)``.

    Parameters
    ----------
    activation : str
        A name as for `Dense`.
    alpha : float or None, default None
        As for `Dense`.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of its range or of the wrong type.

    Examples
    --------
    >>> import fastmlp as fm
    >>> stack = [fm.Dense(64), fm.BatchNorm(), fm.Activation("relu"), fm.Dense(10)]
    """

    activation: str
    alpha: float | None = None

    def __post_init__(self) -> None:
        activation = checked_activation(self.activation)
        object.__setattr__(self, "activation", activation)
        object.__setattr__(self, "alpha", _checked_alpha(self.alpha, activation))


@dataclasses.dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """Samples of any rank as vectors. A model does so by itself; the layer is for those who like to see it.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Model([fm.Flatten(), fm.Dense(10)]).build(28 * 28).n_outputs
    10
    """


# Of the rate of a dropout: masks have 16 bits (csrc/kernels/layers.inc.h).
_MASK_STEPS = 1 << 16


@dataclasses.dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """In training every element is dropped with probability ``rate``, and the others are divided by ``1 - rate`` [1]_.

    The mask is drawn by a counter-based generator from the model's seed, the layer, the step, the row in the batch and
    the column: it is the same for every number of threads. `predict` and `evaluate` drop nothing.

    Parameters
    ----------
    rate : float
        In [0, 1); masks round it to a multiple of 2**-16, of which 0 and 1 are refused unless they were meant.

    Raises
    ------
    ValueError, TypeError
        Where the rate is out of its range or no number.

    References
    ----------
    .. [1] Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout: a simple way to prevent neural networks
       from overfitting", JMLR 15 (2014); inverted, so that predictions need no factor.

    Examples
    --------
    >>> import fastmlp as fm
    >>> stack = [fm.Dropout(0.2), fm.Dense(1024, "relu"), fm.Dropout(0.5), fm.Dense(10)]
    """

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", finite_number("rate", self.rate, at_least=0, below=1))
        if self.rate and not 1 <= int(self.rate * _MASK_STEPS + 0.5) < _MASK_STEPS:
            raise ValueError(
                f"rate={self.rate!r} drops nothing, or everything: masks have {_MASK_STEPS} steps; it must be 0, or "
                f"from {1 / _MASK_STEPS:.3g} to {1 - 1 / _MASK_STEPS:.6f}"
            )


@dataclasses.dataclass(frozen=True, repr=False)
class LayerNorm(Layer):
    """Each sample normalised over its n features [1]_: ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    gamma and beta, of shape (n,), are learned and start at 1 and 0; the variance is the mean of squares.

    Parameters
    ----------
    epsilon : float, default 1e-3
        Above 0.
    trainable : bool, default True
        As for `Dense`.
    learning_rate_factor : float, default 1.0
        As for `Dense`.

    Raises
    ------
    ValueError, TypeError
        Where epsilon is out of its range or no number.

    References
    ----------
    .. [1] Ba, Kiros, Hinton, "Layer normalization", 2016, arXiv:1607.06450, equations 3 and 4.

    Examples
    --------
    >>> import fastmlp as fm
    >>> stack = [fm.Dense(64), fm.LayerNorm(), fm.Activation("relu"), fm.Dense(10)]
    """

    epsilon: float = 1e-3
    _: dataclasses.KW_ONLY
    trainable: bool = True
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", finite_number("epsilon", self.epsilon, above=0))
        _check_training(self)

    def weight_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        """gamma and beta."""
        return {"gamma": (n_in,), "beta": (n_in,)}

    def initial_weights(
        self, n_in: int, dtype: str, seed: int, position: int, activation: str | None = None
    ) -> list[Array]:
        """Ones and zeros."""
        return [np.ones(n_in, dtype), np.zeros(n_in, dtype)]


@dataclasses.dataclass(frozen=True, repr=False)
class BatchNorm(Layer):
    """Each feature normalised over the batch [1]_: ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

    gamma and beta, of shape (n,), are learned and start at 1 and 0. In training mean and variance (the mean of squares)
    are those of the batch, summed in a fixed order; after each step the running ones follow,
    ``running = momentum * running + (1 - momentum) * of_batch``, from 0 and 1, but not a batch of one row, which has no
    variance. `predict` and `evaluate` use the running
    ones.

    Parameters
    ----------
    momentum : float, default 0.99
        In [0, 1]. Of fewer than a few hundred steps choose a smaller one, or the running statistics lag behind.
    epsilon : float, default 1e-3
        Above 0.
    trainable : bool, default True
        As for `Dense`; not trained it takes its running statistics, which stay, in training too.
    learning_rate_factor : float, default 1.0
        As for `Dense`.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of its range or no number.

    References
    ----------
    .. [1] Ioffe, Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
       shift", ICML 2015, arXiv:1502.03167, algorithm 1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> stack = [fm.Dense(64, use_bias=False), fm.BatchNorm(), fm.Activation("relu"), fm.Dense(10)]
    """

    momentum: float = 0.99
    epsilon: float = 1e-3
    _: dataclasses.KW_ONLY
    trainable: bool = True
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "momentum", finite_number("momentum", self.momentum, at_least=0, at_most=1))
        object.__setattr__(self, "epsilon", finite_number("epsilon", self.epsilon, above=0))
        _check_training(self)

    def weight_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        """gamma and beta, and the running mean and variance."""
        return {"gamma": (n_in,), "beta": (n_in,), "mean": (n_in,), "variance": (n_in,)}

    def initial_weights(
        self, n_in: int, dtype: str, seed: int, position: int, activation: str | None = None
    ) -> list[Array]:
        """Ones and zeros, zeros and ones."""
        ones, zeros = np.ones(n_in, dtype), np.zeros(n_in, dtype)
        return [ones, zeros, zeros, ones]


@dataclasses.dataclass(frozen=True, repr=False)
class PReLU(Layer):
    """``x`` above 0, ``alpha * x`` elsewhere, alpha of shape (n,) learned [1]_; the derivative at 0 is alpha.

    Parameters
    ----------
    alpha : float, default 0.25
        All slopes at first.
    trainable : bool, default True
        As for `Dense`.
    learning_rate_factor : float, default 1.0
        As for `Dense`.

    Raises
    ------
    ValueError, TypeError
        Where alpha is not finite or no number.

    References
    ----------
    .. [1] He, Zhang, Ren, Sun, "Delving deep into rectifiers", ICCV 2015, arXiv:1502.01852, equation 1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> stack = [fm.Dense(64), fm.PReLU(), fm.Dense(10)]
    """

    alpha: float = 0.25
    _: dataclasses.KW_ONLY
    trainable: bool = True
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", finite_number("alpha", self.alpha))
        _check_training(self)

    def weight_shapes(self, n_in: int) -> dict[str, tuple[int, ...]]:
        """The slopes."""
        return {"alpha": (n_in,)}

    def initial_weights(
        self, n_in: int, dtype: str, seed: int, position: int, activation: str | None = None
    ) -> list[Array]:
        """All alpha."""
        return [np.full(n_in, self.alpha, dtype)]


@dataclasses.dataclass(frozen=True, repr=False)
class Residual(Layer):
    """A skip around a stack of layers: ``x + stack(x)`` [1]_. The stack has as many outputs as inputs.

    Parameters
    ----------
    layers : sequence of Layer
        At least one; further Residuals too, at most 50 deep.

    Raises
    ------
    ValueError, TypeError
        Where the stack is empty, too deep or holds anything else. That it ends as wide as it begins is checked when it
        is known.

    References
    ----------
    .. [1] He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, arXiv:1512.03385, equation 1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> block = fm.Residual([fm.LayerNorm(), fm.Dense(64, "relu"), fm.Dense(64)])
    >>> stack = [fm.Dense(64), block, block, fm.Dense(1)]
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", checked(self.layers, "a Residual"))
        if _depth(self.layers) >= _DEEPEST:  # printing, copying and saving take several calls for each
            raise ValueError(f"a Residual holds at most {_DEEPEST - 1} others one within the other; put them in a row")


# Residuals one within the other.
_DEEPEST = 50


def _depth(layers: Sequence[Layer]) -> int:
    return max((1 + _depth(layer.layers) for layer in layers if isinstance(layer, Residual)), default=0)


def checked(layers: Any, whose: str = "a model") -> tuple[Layer, ...]:
    """Layers as a tuple.

    Parameters
    ----------
    layers : sequence of Layer
    whose : str, default "a model"
        For an error.

    Returns
    -------
    tuple of Layer
    """
    if isinstance(layers, Layer | str) or not isinstance(layers, Sequence):
        raise TypeError(f"layers must be a list of layers such as [fastmlp.Dense(10)], not {layers!r}")
    for layer in layers:
        if not isinstance(layer, Layer) or type(layer) is Layer:
            raise TypeError(f"layers must hold layers such as fastmlp.Dense(10), not {shown(layer)}")
    if not layers:
        raise ValueError(f"layers is empty; {whose} needs at least one layer, for example [fastmlp.Dense(1)]")
    return tuple(layers)


def flat(layers: Iterable[Layer]) -> Iterator[Layer]:
    """All layers, those within a Residual before it.

    Parameters
    ----------
    layers : iterable of Layer

    Yields
    ------
    Layer
    """
    for layer in layers:
        if isinstance(layer, Residual):
            yield from flat(layer.layers)
        yield layer


def widths(layers: Iterable[Layer], n_inputs: int | None) -> Iterator[tuple[Layer, int | None]]:
    """All layers with the number of their inputs, None where that is not known yet.

    Parameters
    ----------
    layers : iterable of Layer
    n_inputs : int or None

    Yields
    ------
    tuple of Layer and (int or None)
    """
    width = n_inputs
    for layer in layers:
        if isinstance(layer, Residual):
            before = width
            for inner, width_of_inner in widths(layer.layers, width):
                yield inner, width_of_inner
                width = inner.units if isinstance(inner, Dense) else width_of_inner
            if None not in (before, width) and before != width:
                raise ValueError(
                    f"the layers of a Residual turn {before} features into {width}; make them as wide as their input: "
                    f"{layer!r}"
                )
        yield layer, width
        width = layer.units if isinstance(layer, Dense) else width


def activations_behind(layers: Sequence[Layer]) -> Iterator[str | None]:
    """For each layer of `flat` the activation that its outputs go through next, None where it is none.

    Parameters
    ----------
    layers : sequence of Layer

    Yields
    ------
    str or None
    """
    for i, layer in enumerate(layers):
        if isinstance(layer, Residual):
            yield from activations_behind(layer.layers)  # they end at the sum
        behind = next(
            (a for a in layers[i + 1 :] if not isinstance(a, Flatten | Dropout | LayerNorm | BatchNorm)), None
        )
        if isinstance(behind, PReLU):
            yield "leaky_relu"
        else:
            yield behind.activation if isinstance(behind, Activation) else None


def plan(layers: Iterable[Layer], n_inputs: int) -> list[Any]:
    """What the engine computes for a stack of layers.

    Parameters
    ----------
    layers : iterable of Layer
    n_inputs : int

    Returns
    -------
    list of _engine.LayerPlan
    """
    found: list[Any] = []
    _append(found, list(layers), n_inputs, -1)
    return found


def _append(found: list[Any], layers: list[Layer], width: int, source: int) -> int:
    """Plan layers behind those found; nothing may be merged into the layer `source`, which others read too."""
    for layer in layers:
        mergeable = found and len(found) - 1 > source and not found[-1].dropout
        if isinstance(layer, Dense):
            width = layer.units
            spec = _engine.LayerPlan(width, layer.activation or "identity", layer.slope, layer.use_bias)
            found.append(spec._replace(l1=layer.l1, l2=layer.l2, max_norm=layer.max_norm or 0.0))
        elif isinstance(layer, Activation):
            if not (mergeable and found[-1].activation == "identity"):
                found.append(_engine.LayerPlan(width, kind="activation"))
            alpha = _slope(layer.activation, layer.alpha)
            found[-1] = found[-1]._replace(activation=layer.activation, alpha=alpha)
        elif isinstance(layer, Dropout):
            if not mergeable:
                found.append(_engine.LayerPlan(width, kind="activation"))
            found[-1] = found[-1]._replace(dropout=layer.rate)
        elif isinstance(layer, LayerNorm):
            found.append(_engine.LayerPlan(width, kind="layer_norm", epsilon=layer.epsilon))
        elif isinstance(layer, BatchNorm):
            found.append(_engine.LayerPlan(width, kind="batch_norm", epsilon=layer.epsilon, momentum=layer.momentum))
        elif isinstance(layer, PReLU):
            found.append(_engine.LayerPlan(width, kind="prelu"))
        elif isinstance(layer, Residual):
            before = len(found) - 1
            width = _append(found, list(layer.layers), width, before)
            if len(found) - 1 == before:  # nothing but Flatten, but the engine takes stack and skip for two things
                found.append(_engine.LayerPlan(width, kind="activation"))
            found.append(_engine.LayerPlan(width, kind="add", source=before))
        if isinstance(layer, Dense | LayerNorm | BatchNorm | PReLU):
            found[-1] = found[-1]._replace(rate=layer.learning_rate_factor, frozen=not layer.trainable)
    return width
