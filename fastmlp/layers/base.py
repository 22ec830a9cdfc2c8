"""What all layers have in common."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from fastmlp._validation import (
    Array,
    OtherNames,
    finite_number,
    flag,
)

if TYPE_CHECKING:
    pass


def check_training(layer: Any) -> None:
    """The two options that all layers with weights have."""
    object.__setattr__(layer, "trainable", flag("trainable", layer.trainable))
    factor = finite_number("learning_rate_factor", layer.learning_rate_factor, at_least=0)
    object.__setattr__(layer, "learning_rate_factor", factor)


@dataclasses.dataclass(frozen=True, repr=False)
class Layer(OtherNames):
    """Base of all layers. Those without other word have as many outputs as inputs."""

    _other_names: ClassVar[dict[str, str]] = {
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
