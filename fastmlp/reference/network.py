"""The whole training, step for step as the engine does it: gather a batch, forward, loss, gradients, update."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import numpy as np

from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.base import Array, Pair, by_name
from fastmlp.reference.dense import dense_bias_gradient, dense_forward, dense_input_gradient, dense_weight_gradient
from fastmlp.reference.layers import (
    batch_norm,
    batch_norm_input_gradient,
    batch_norm_weight_gradient,
    batch_statistics,
    dropout,
    layer_norm,
    layer_norm_input_gradient,
    layer_norm_weight_gradient,
    prelu,
    prelu_input_gradient,
    prelu_weight_gradient,
    running_average,
)
from fastmlp.reference.losses import (
    focal,
    focal_labels,
    scale_rows,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_labels,
)
from fastmlp.reference.optimizers import (
    N_STATES,
    NEUTRAL,
    NO_OPTIONS,
    OPTIMIZERS,
    Powers,
    hyper_of_step,
    max_norm,
    penalty,
    prepare_gradient,
)
from fastmlp.reference.output_losses import (
    absolute_error,
    binary_cross_entropy,
    binary_focal,
    exp,
    gaussian_nll,
    hinge,
    huber,
    log_cosh,
    poisson,
    quantile,
    squared_error,
)
from fastmlp.reference.random import shuffle
from fastmlp.reference.rows import add, gather, sum

LOSSES = by_name(
    *(softmax_cross_entropy, softmax_cross_entropy_labels, binary_cross_entropy, focal, focal_labels, binary_focal),
    *(hinge, squared_error, absolute_error, huber, log_cosh, quantile, poisson, gaussian_nll),
)


class Layer(NamedTuple):
    """One layer: a dense one has w (n_in, n_out), b (n_out,), its activation and the alpha of that; is b trained?

    Of the other kinds "layer_norm" and "batch_norm" have gamma (n,) in the place of w and beta in that of b, "prelu"
    the slopes in the place of w, "activation" and "add" neither. "add" adds the outputs of layer `source`, or with -1
    the inputs. Any layer may have an activation, and behind it a dropout of some rate. rate is a factor of the learning
    rate; l1 sum |w| + l2 sum w^2 is added to the loss, max_norm (0: none) limits the columns of w; frozen: not trained,
    "batch_norm" then always takes its running statistics.
    """

    w: Array
    b: Array
    activation: str = "identity"
    alpha: float = 0.0
    use_bias: bool = True
    kind: str = "dense"
    dropout: float = 0.0
    epsilon: float = 0.0
    momentum: float = 0.0
    source: int = -1
    rate: float = 1.0
    l1: float = 0.0
    l2: float = 0.0
    max_norm: float = 0.0
    frozen: bool = False
    mean: Array | None = None
    variance: Array | None = None


class Network:
    """A stack of dense layers in training: the twin of the engine's Network and Run.

    Parameters
    ----------
    layers : iterable of Layer, or of tuples (w, b, activation, alpha, use_bias)
        All arrays of one dtype, in which everything is computed.
    loss : str
        One of LOSSES.
    row_scale : float, default 1.0
        Factor of each row's loss: 1 / n_outputs makes a mean of a sum.
    seed : int, default 0
        Of the masks of dropout.
    options : dict, optional
        Those of the loss.
    """

    def __init__(
        self,
        layers: Iterable[Any],
        loss: str = "squared_error",
        row_scale: float = 1.0,
        seed: int = 0,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.layers = [Layer(*layer) for layer in layers]
        self.seed, self.step = seed, 0
        self.loss, self.row_scale, self.options = loss, row_scale, options or {}
        self.epoch = self.batch = 0
        self.set_optimizer("sgd")

    def set_optimizer(self, name: str) -> None:
        """Start afresh with one of OPTIMIZERS: states zero, step 0. The shuffles go on."""
        self.optimizer, self.step = name, 0
        self.powers: Powers = (1.0, 1.0, 1.0, 1.0)
        self.states = [[(np.zeros_like(a),) * N_STATES[name] for a in layer[:2]] for layer in self.layers]
        self.pending: list[tuple[list[Pair], int]] = []  # gradients that wait for an update, and of how many rows
        self.average = [layer[:2] for layer in self.layers]
        self.updates = 0

    def forward(self, x: Array, training: bool = False) -> tuple[Array, list[Array], list[Array]]:
        """Scores (rows, n_outputs), each layer's input, and the derivative of each layer's activation and dropout.

        In training batches are normalised by their own statistics, and dropout draws the masks of this step.
        """
        inputs, derivatives = [x], []
        for i, layer in enumerate(self.layers):
            z = self.apply_layer(layer, inputs, training)
            y, derivative = ACTIVATIONS[layer.activation](z, layer.alpha)
            if layer.dropout and training:
                y, derivative = dropout(y, derivative, self.seed, i, self.step, layer.dropout)
            inputs.append(y)
            derivatives.append(derivative)
        return inputs[-1], inputs[:-1], derivatives

    def apply_layer(self, layer: Layer, inputs: list[Array], training: bool) -> Array:
        """What goes into a layer's activation, from the inputs of all layers up to it."""
        x = inputs[-1]
        if layer.kind == "dense":
            return dense_forward(x, layer.w, layer.b)
        if layer.kind == "layer_norm":
            return layer_norm(x, layer.w, layer.b, layer.epsilon)[0]
        if layer.kind == "batch_norm":
            return batch_norm(x, *self.statistics(layer, x, training), layer.epsilon, layer.w, layer.b)
        if layer.kind == "prelu":
            return prelu(x, layer.w)
        return add(x, inputs[layer.source + 1]) if layer.kind == "add" else x

    def statistics(self, layer: Layer, x: Array, training: bool = True) -> Pair:
        """Mean and variance that a batch normalisation takes: of the batch in training, unless it is frozen."""
        if training and not layer.frozen:
            return batch_statistics(x)
        return cast(Array, layer.mean), cast(Array, layer.variance)

    def predict(self, x: Array, link: str = "identity") -> Array:
        """Link of the scores (rows, n_outputs); link: "softmax", "exp" or one of ACTIVATIONS."""
        scores = self.forward(x)[0]
        if link in ("softmax", "exp"):
            return softmax(scores) if link == "softmax" else exp(scores)
        return cast(Array, ACTIVATIONS[link](scores)[0])

    def evaluate(self, x: Array, targets: Array, weights: Array | None = None) -> tuple[float, int]:
        """Mean loss of the rows, times their weights where there are some, with the layers' penalties, and how many
        predictions are right."""
        losses, right, _ = LOSSES[self.loss](self.forward(x)[0], targets, self.row_scale, **self.options)
        if weights is not None:
            losses, _ = scale_rows(weights, losses)
        return sum(losses) / len(x) + self.penalties(), right

    def penalties(self) -> float:
        """Of all layers together."""
        return math.fsum(penalty(layer.w, layer.l1, 2 * layer.l2) for layer in self.layers if not layer.frozen)

    def loss_and_gradients(
        self, x: Array, targets: Array, weights: Array | None = None
    ) -> tuple[float, int, list[Pair]]:
        """Mean loss of one batch with penalties, right predictions, and the gradients [(dw, db), ...] of that loss."""
        scores, inputs, derivatives = self.forward(x, training=True)
        losses, right, dscores = LOSSES[self.loss](
            scores, targets, self.row_scale, self.row_scale / len(x), **self.options
        )
        if weights is not None:
            losses, dscores = cast(Pair, scale_rows(weights, losses, dscores))
        gradients, dy = [], {len(self.layers) - 1: dscores}  # of the outputs of each layer, -1: of the inputs
        for i in range(len(self.layers) - 1, -1, -1):
            dz = dy[i] * derivatives[i]
            gradients.append(self.weight_gradients(self.layers[i], inputs[i], dz))
            if self.layers[i].kind == "add":
                dy[self.layers[i].source] = dz + dy.get(self.layers[i].source, 0)
            if i > 0:
                dy[i - 1] = self.input_gradient(self.layers[i], inputs[i], dz, gradients[-1]) + dy.get(i - 1, 0)
        for i, (layer, (dw, db)) in enumerate(zip(self.layers, gradients[::-1], strict=True)):
            if not layer.frozen:
                factors = NEUTRAL | {"l1": layer.l1, "l2": 2 * layer.l2}
                gradients[len(gradients) - 1 - i] = prepare_gradient(dw, layer.w, factors), db
        return sum(losses) / len(x) + self.penalties(), right, gradients[::-1]

    def weight_gradients(self, layer: Layer, x: Array, dz: Array) -> Pair:
        """(dw, db) of a layer with input x, from the gradient of what goes into its activation."""
        if layer.kind == "dense":
            db = dense_bias_gradient(dz) if layer.use_bias else np.zeros_like(layer.b)
            return dense_weight_gradient(x, dz), db
        if layer.kind == "layer_norm":
            return layer_norm_weight_gradient(dz, x, *layer_norm(x, layer.w, layer.b, layer.epsilon)[1:])
        if layer.kind == "batch_norm":
            return batch_norm_weight_gradient(dz, x, *self.statistics(layer, x), layer.epsilon)
        dw = prelu_weight_gradient(dz, x) if layer.kind == "prelu" else np.zeros_like(layer.w)
        return dw, np.zeros_like(layer.b)

    def input_gradient(self, layer: Layer, x: Array, dz: Array, pair: Pair) -> Array:
        """The gradient of a layer's input x, from that of what goes into its activation and its weight gradients."""
        if layer.kind == "dense":
            return dense_input_gradient(dz, layer.w)
        if layer.kind == "layer_norm":
            return layer_norm_input_gradient(dz, x, layer.w, *layer_norm(x, layer.w, layer.b, layer.epsilon)[1:])
        if layer.kind == "batch_norm":
            sums = (np.zeros_like(layer.w),) * 2 if layer.frozen else pair  # mean and variance are then constants
            return batch_norm_input_gradient(dz, x, *self.statistics(layer, x), layer.epsilon, layer.w, *sums)
        return prelu_input_gradient(dz, x, layer.w) if layer.kind == "prelu" else dz

    def follow_statistics(self, x: Array) -> None:
        """The running statistics of batch normalisation after a step on the batch x, which of one row has no
        variance."""
        if len(x) == 1:
            return
        inputs = self.forward(x, training=True)[1]
        for i, layer in enumerate(self.layers):
            if layer.kind == "batch_norm" and not layer.frozen:
                mean, variance = batch_statistics(inputs[i])
                self.layers[i] = layer._replace(
                    mean=running_average(mean, cast(Array, layer.mean), layer.momentum),
                    variance=running_average(variance, cast(Array, layer.variance), layer.momentum),
                )

    def apply_gradients(self, gradients: list[Pair], hyper: dict[str, Any], rate: float, rows: int = 1) -> None:
        """One step of the optimizer; hyper as from fastmlp.optimizers, its "options" included. The gradients of several
        steps that make one update are averaged over their rows."""
        options = NO_OPTIONS | hyper.get("options", {})
        self.step += 1
        self.pending.append((gradients, rows))
        if len(self.pending) < options["accumulation"]:
            return
        constants, self.powers = hyper_of_step(hyper, rate, self.powers)
        weights = [rows / self.pending[0][1] for _, rows in self.pending]
        constants["share"] = 1 / math.fsum(weights)
        ready = {}  # by layer and array
        for i, layer in enumerate(self.layers):
            for j in (0, 1) if not layer.frozen else ():
                decays = options["decay_biases"] or (layer.kind == "dense" and j == 0)
                own = constants | {"rate": rate * layer.rate, "clip_value": options["clip_value"]}
                own |= {name: options[name] if decays else 0.0 for name in ("l2", "weight_decay")}
                total = np.sum(
                    [weight * each[i][j] for (each, _), weight in zip(self.pending, weights, strict=True)], axis=0
                )
                ready[i, j] = prepare_gradient(total, layer[:2][j], own), own
        norm = math.sqrt(math.fsum(penalty(g, 0, 2) for g, _ in ready.values()))
        scale = options["clip_norm"] / norm if norm > options["clip_norm"] > 0 else 1.0
        for (i, j), (g, own) in ready.items():
            update = OPTIMIZERS[self.optimizer]
            w, self.states[i][j] = update(g, self.layers[i][j], self.states[i][j], own | {"gradient_scale": scale})
            if j == 0 and self.layers[i].max_norm > 0:
                w = max_norm(w, self.layers[i].max_norm)
            self.layers[i] = self.layers[i]._replace(**{"wb"[j]: w})
        self.follow_average(options["average_momentum"] if self.updates else 0.0)
        self.pending, self.updates = [], self.updates + 1

    def follow_average(self, momentum: float) -> None:
        """The moving average of the weights after an update."""
        self.average = [
            (running_average(layer.w, w, momentum), running_average(layer.b, b, momentum))
            for layer, (w, b) in zip(self.layers, self.average, strict=True)
        ]

    def train_step(
        self, x: Array, targets: Array, hyper: dict[str, Any], rate: float, weights: Array | None = None
    ) -> tuple[float, int]:
        """One update on one batch, unless its loss is not finite; mean loss and right predictions before the update."""
        loss, right, gradients = self.loss_and_gradients(x, targets, weights)
        if math.isfinite(loss):
            self.follow_statistics(x)
            self.apply_gradients(gradients, hyper, rate, len(x))
        return loss, right

    def fit(
        self, x: Array, targets: Array, batch_rows: int, rates: Iterable[float], hyper: dict[str, Any] | None = None,
        shuffled: bool = False, seed: int = 0, weights: Array | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        """One training step for each rate, up to the first whose loss is not finite: that one changes nothing.

        An epoch over x (n_samples, n_inputs) and targets (n_samples, n_outputs), or labels (n_samples,), and the
        weights of the samples (n_samples,), has
        ceil(n_samples / batch_rows) steps, the last with what is left. hyper holds the constants of the optimizer;
        shuffled epochs take the order shuffle(n_samples, seed, number of the epoch). Calls go on where the last ended.
        Returns (losses, right), one entry for each step that was begun.
        """
        steps = []
        for rate in rates:
            order = shuffle(len(x), seed, self.epoch) if shuffled else np.arange(len(x))
            rows = order[self.batch * batch_rows : (self.batch + 1) * batch_rows]
            batch_weights = None if weights is None else weights[rows]
            batch = gather(x, self.layers[0].w.dtype, rows)
            steps.append(self.train_step(batch, targets[rows], hyper or {}, rate, batch_weights))
            if not math.isfinite(steps[-1][0]):
                break
            self.batch += 1
            if self.batch * batch_rows >= len(x):
                self.batch, self.epoch = 0, self.epoch + 1
        return np.array([loss for loss, _ in steps]), np.array([right for _, right in steps])
