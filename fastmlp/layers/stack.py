"""Layers in a row: blocks of them, what may stand where, and the specs that the engine reads."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fastmlp import _engine
from fastmlp._validation import (
    shown,
)

if TYPE_CHECKING:
    pass
from fastmlp.layers.activation import Activation, PReLU, slope_of
from fastmlp.layers.base import Layer
from fastmlp.layers.dense import Dense
from fastmlp.layers.dropout import Dropout
from fastmlp.layers.normalization import BatchNorm, LayerNorm


@dataclasses.dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """Samples of any rank as vectors. A model does so by itself; the layer is for those who like to see it.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.Model([fm.Flatten(), fm.Dense(10)]).build(28 * 28).n_outputs
    10
    """


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


def walk(layers: Iterable[Layer]) -> Iterator[Layer]:
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
            yield from walk(layer.layers)
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
    """For each layer of `walk` the activation that its outputs go through next, None where it is none.

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


def specs(layers: Iterable[Layer], n_inputs: int) -> list[Any]:
    """What the engine computes for a stack of layers.

    Parameters
    ----------
    layers : iterable of Layer
    n_inputs : int

    Returns
    -------
    list of _engine.LayerSpec
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
            spec = _engine.LayerSpec(width, layer.activation or "identity", layer.slope, layer.use_bias)
            found.append(spec._replace(l1=layer.l1, l2=layer.l2, max_norm=layer.max_norm or 0.0))
        elif isinstance(layer, Activation):
            if not (mergeable and found[-1].activation == "identity"):
                found.append(_engine.LayerSpec(width, kind="activation"))
            alpha = slope_of(layer.activation, layer.alpha)
            found[-1] = found[-1]._replace(activation=layer.activation, alpha=alpha)
        elif isinstance(layer, Dropout):
            if not mergeable:
                found.append(_engine.LayerSpec(width, kind="activation"))
            found[-1] = found[-1]._replace(dropout=layer.rate)
        elif isinstance(layer, LayerNorm):
            found.append(_engine.LayerSpec(width, kind="layer_norm", epsilon=layer.epsilon))
        elif isinstance(layer, BatchNorm):
            found.append(_engine.LayerSpec(width, kind="batch_norm", epsilon=layer.epsilon, momentum=layer.momentum))
        elif isinstance(layer, PReLU):
            found.append(_engine.LayerSpec(width, kind="prelu"))
        elif isinstance(layer, Residual):
            before = len(found) - 1
            width = _append(found, list(layer.layers), width, before)
            if len(found) - 1 == before:  # nothing but Flatten, but the engine takes stack and skip for two things
                found.append(_engine.LayerSpec(width, kind="activation"))
            found.append(_engine.LayerSpec(width, kind="add", source=before))
        if isinstance(layer, Dense | LayerNorm | BatchNorm | PReLU):
            found[-1] = found[-1]._replace(rate=layer.learning_rate_factor, frozen=not layer.trainable)
    return width
