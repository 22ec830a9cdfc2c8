"""Layers: what a model is made of. They hold no weights; `Model.build` gives those to the engine."""

import dataclasses

from fastmlp import _engine, initializers
from fastmlp._validation import bounded_integer, choice, finite_number

# The activations with a parameter, and its default.
DEFAULT_ALPHA = {"leaky_relu": 0.01, "elu": 1.0}


# What other libraries call some of them: an error says so.
OTHER_NAMES = {"linear": "identity", "swish": "silu", "logistic": "sigmoid", "gelu_erf": "gelu"}


@dataclasses.dataclass(frozen=True)
class Dense:
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
    initializer : str or None, default None
        A name from `fastmlp.initializers` for W; b starts at zero. None follows the activation: "lecun_uniform" for
        selu, "glorot_uniform" for identity, tanh, sigmoid, hard_sigmoid and hard_tanh, "he_uniform" for the rest.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of its range or of the wrong type.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Dense(512, "relu").activation
    'relu'
    """

    units: int
    activation: str | None = None
    alpha: float | None = None
    use_bias: bool = True
    initializer: str | None = None

    def __post_init__(self) -> None:
        bounded_integer("units", self.units)
        if self.units > 2**31:
            raise ValueError(f"units must be at most 2**31, not {self.units}")
        activation = "identity" if self.activation is None else self.activation
        if activation == "softmax":
            raise ValueError(
                "'softmax' is no activation here: losses take raw scores. Leave the last layer without activation; "
                "loss='softmax_cross_entropy' includes the softmax and predict returns probabilities"
            )
        if activation in OTHER_NAMES:
            raise ValueError(f"activation {activation!r} is called {OTHER_NAMES[activation]!r} here")
        choice("activation", activation, tuple(_engine.activations))
        object.__setattr__(self, "activation", activation)
        object.__setattr__(self, "units", int(self.units))
        if self.alpha is not None:
            if activation not in DEFAULT_ALPHA:
                raise ValueError(f"alpha={self.alpha!r} has no meaning for activation {activation!r}; leave it out")
            object.__setattr__(self, "alpha", finite_number("alpha", self.alpha, at_least=0))
        if not isinstance(self.use_bias, bool):
            raise TypeError(f"use_bias must be True or False, not {self.use_bias!r}")
        if self.initializer is not None:
            choice("initializer", self.initializer, tuple(initializers.BY_NAME))

    @property
    def slope(self) -> float:
        """The activation's parameter as the kernel wants it; 0 where it has none."""
        return DEFAULT_ALPHA.get(self.activation or "", 0.0) if self.alpha is None else self.alpha

    @property
    def chosen_initializer(self) -> str:
        """The initializer's name, by the activation where none was given."""
        return self.initializer or initializers.default(self.activation or "identity")
