"""Optimizers, (g, w, states, hyper) -> (w, states), all arrays of one shape: the twin of
csrc/kernels/optimizers.inc.h."""

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from fastmlp.reference.base import Array, Pair, by_name

# hyper has the fields of fm_hyper in csrc/fastmlp.h. States, m and v, start at zero.

Hyper: TypeAlias = dict[str, float]
States: TypeAlias = tuple[Array, ...]
Update: TypeAlias = tuple[Array, States]
_Step: TypeAlias = Callable[[Array, Array, Any, Hyper], Update]


def _scaled_and_decayed(step: _Step) -> _Step:
    """Before the optimizer's own step: g = gradient_scale g, w = (1 - rate weight_decay) w.  Loshchilov, Hutter 2019"""

    @functools.wraps(step)
    def update(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
        return step(hyper["gradient_scale"] * g, w * (1 - hyper["rate"] * hyper["weight_decay"]), states, hyper)

    return update


@_scaled_and_decayed
def sgd(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """Gradient descent: w - rate g."""
    return w - hyper["rate"] * g, states


@_scaled_and_decayed
def momentum(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """m = momentum m + rate g;  w - m.  Polyak 1964, with the rate inside the velocity as in Keras"""
    m = hyper["momentum"] * states[0] + hyper["rate"] * g
    return w - m, (m,)


@_scaled_and_decayed
def nesterov(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """The same m;  w - (momentum m + rate g): the weights kept are those looked ahead.  Sutskever et al. 2013, eq. 3"""
    m = hyper["momentum"] * states[0] + hyper["rate"] * g
    return w - (hyper["momentum"] * m + hyper["rate"] * g), (m,)


@_scaled_and_decayed
def rmsprop(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """v = rho v + (1 - rho) g^2;  w - rate g / (sqrt(v) + epsilon).  rho is called beta_2.  Tieleman, Hinton 2012"""
    v = hyper["beta_2"] * states[0] + (1 - hyper["beta_2"]) * g * g
    return w - hyper["rate"] * g / (np.sqrt(v + hyper["epsilon_in_root"]) + hyper["epsilon"]), (v,)


@_scaled_and_decayed
def rmsprop_centered(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """rmsprop with v - m^2, m = rho m + (1 - rho) g, in the place of v.  Graves 2013, eq. 38 to 41"""
    m = hyper["beta_2"] * states[0] + (1 - hyper["beta_2"]) * g
    v = hyper["beta_2"] * states[1] + (1 - hyper["beta_2"]) * g * g
    root = np.sqrt(np.maximum(v - m * m, 0) + hyper["epsilon_in_root"])
    return w - hyper["rate"] * g / (root + hyper["epsilon"]), (m, v)


@_scaled_and_decayed
def adagrad(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """v = v + g^2;  w - rate g / (sqrt(v + epsilon_in_root) + epsilon).  Duchi, Hazan, Singer 2011"""
    v = states[0] + g * g
    return w - hyper["rate"] * g / (np.sqrt(v + hyper["epsilon_in_root"]) + hyper["epsilon"]), (v,)


def _moments(g: Array, states: States, hyper: Hyper) -> Pair:
    m = hyper["momentum"] * states[0] + (1 - hyper["momentum"]) * g
    return m, hyper["beta_2"] * states[1] + (1 - hyper["beta_2"]) * g * g


@_scaled_and_decayed
def adam(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """Kingma and Ba 2015, algorithm 1; correction_1 = 1 / (1 - beta_1^t), correction_2 = 1 / sqrt(1 - beta_2^t)."""
    m, v = _moments(g, states, hyper)
    step = hyper["rate"] * hyper["correction_1"] * m / (np.sqrt(v) * hyper["correction_2"] + hyper["epsilon"])
    return w - step, (m, v)


@_scaled_and_decayed
def amsgrad(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """adam with the largest v so far in the place of v.  Reddi, Kale, Kumar 2018, algorithm 2"""
    m, v = _moments(g, states, hyper)
    v_max = np.maximum(states[2], v)
    step = hyper["rate"] * hyper["correction_1"] * m / (np.sqrt(v_max) * hyper["correction_2"] + hyper["epsilon"])
    return w - step, (m, v, v_max)


@_scaled_and_decayed
def nadam(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """adam with correction_1 m + correction_g g in the place of correction_1 m.  Dozat 2016"""
    m, v = _moments(g, states, hyper)
    ahead = hyper["rate"] * (hyper["correction_1"] * m + hyper["correction_g"] * g)
    return w - ahead / (np.sqrt(v) * hyper["correction_2"] + hyper["epsilon"]), (m, v)


@_scaled_and_decayed
def lion(g: Array, w: Array, states: States, hyper: Hyper) -> Update:
    """w - rate sign(beta_1 m + (1 - beta_1) g);  m = beta_2 m + (1 - beta_2) g.  Chen et al. 2023, algorithm 2"""
    direction = np.sign(hyper["momentum"] * states[0] + (1 - hyper["momentum"]) * g)
    return w - hyper["rate"] * direction, (hyper["beta_2"] * states[0] + (1 - hyper["beta_2"]) * g,)


OPTIMIZERS = by_name(
    sgd, momentum, nesterov, rmsprop, rmsprop_centered, adagrad, adam, amsgrad, nadam, lion
)  # fmt: skip
N_STATES = {
    "sgd": 0, "momentum": 1, "nesterov": 1, "rmsprop": 1, "rmsprop_centered": 2, "adagrad": 1, "adam": 2, "amsgrad": 3,
    "nadam": 2, "lion": 1,
}  # fmt: skip


def prepare_gradient(g: Array, w: Array, hyper: Hyper) -> Array:
    """share g + l2 w + l1 sign(w), clipped to [-clip_value, clip_value] unless that is 0."""
    found = hyper["share"] * g + hyper["l2"] * w + hyper["l1"] * np.sign(w)
    limit = hyper["clip_value"] or np.inf
    return np.clip(found, -limit, limit)


def penalty(x: Array, l1: float, l2: float) -> float:
    """l1 sum |x| + l2 / 2 sum x^2, in float64."""
    e = x.astype(np.float64)
    return float(l1 * np.abs(e).sum() + l2 / 2 * (e * e).sum())


def max_norm(w: Array, limit: float) -> Array:
    """w (n_in, n_out) with every column whose norm exceeds the limit scaled to it.  Srivastava et al. 2014, 5.1"""
    norms = np.sqrt((w * w).sum(axis=0))
    over = norms > limit
    return w * np.where(over, limit / np.where(over, norms, 1), 1)


Powers: TypeAlias = tuple[float, float, float, float]
NO_OPTIONS = {
    "weight_decay": 0.0, "l2": 0.0, "clip_norm": 0.0, "clip_value": 0.0, "accumulation": 1, "decay_biases": True,
    "average_momentum": 0.0,
}  # fmt: skip
NEUTRAL = {
    "momentum": 0.0, "beta_2": 0.0, "epsilon": 0.0, "epsilon_in_root": 0.0, "correction_1": 1.0, "correction_2": 1.0,
    "correction_g": 0.0, "weight_decay": 0.0, "gradient_scale": 1.0, "share": 1.0, "l1": 0.0, "l2": 0.0,
    "clip_value": 0.0,
}  # fmt: skip


def hyper_of_step(hyper: dict[str, Any], rate: float, powers: Powers) -> tuple[Hyper, Powers]:
    """Constants of the next update, and from those of the update before, by multiplication, the powers
    (beta_1^t, beta_2^t, 0.96^t, product of u_1 ... u_t).

    Nadam's momentum grows by a schedule, u_t = beta_1 (1 - 0.96^t / 2).
    """
    constants: Hyper = NEUTRAL | {name: value for name, value in hyper.items() if name in NEUTRAL} | {"rate": rate}
    beta_1, beta_2 = constants["momentum"], constants["beta_2"]
    if hyper.get("bias_correction", False):
        powers = powers[0] * beta_1, powers[1] * beta_2, *powers[2:]
        constants.update(correction_1=1 / (1 - powers[0]), correction_2=1 / math.sqrt(1 - powers[1]))
    if hyper.get("momentum_schedule", False):
        decay = powers[2] * 0.96
        now, ahead = beta_1 * (1 - 0.5 * decay), beta_1 * (1 - 0.5 * decay * 0.96)
        powers = powers[0], powers[1] * beta_2, decay, powers[3] * now
        constants.update(
            correction_1=ahead / (1 - powers[3] * ahead), correction_2=1 / math.sqrt(1 - powers[1]),
            correction_g=(1 - now) / (1 - powers[3]),
        )  # fmt: skip
    return constants, powers
