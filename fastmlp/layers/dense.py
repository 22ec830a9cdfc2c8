"""The dense layer."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from fastmlp._validation import (
    Array,
    bounded_integer,
    finite_number,
    flag,
)

if TYPE_CHECKING:
    pass
from fastmlp.layers.activation import checked_activation, checked_alpha, slope_of
from fastmlp.layers.base import Layer, check_training


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
        object.__setattr__(self, "alpha", checked_alpha(self.alpha, activation))
        object.__setattr__(self, "use_bias", flag("use_bias", self.use_bias))
        if self.bias_initializer is not None and not self.use_bias:
            raise ValueError(f"bias_initializer={self.bias_initializer!r} is useless with use_bias=False; leave it out")
        for name in ("l1", "l2"):
            object.__setattr__(self, name, finite_number(name, getattr(self, name), at_least=0))
        if self.max_norm is not None:
            object.__setattr__(self, "max_norm", finite_number("max_norm", self.max_norm, above=0))
        check_training(self)
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
        return slope_of(self.activation, self.alpha)

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
