"""Random programs: a model of any layers, loss, optimizer and options, data of any kind, and what must hold of them.

`programs` is a Hypothesis strategy of `Program`, and `check` raises AssertionError where a program is not what the twin
in plain NumPy computes, or breaks one of the promises of the manual. Shared by test_random_programs.py and
reliability/random_programs.py.
"""

import contextlib
import copy
import dataclasses
import math
import pickle
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TOLERANCES
from hypothesis import strategies as st

import fastmlp as fm
from fastmlp import _engine, layers, reference

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 23, 31, 32, 33, 37, 47, 48, 49, 63, 64, 65, 67, 101, 129]
ROWS = [1, 2, 3, 5, 7, 8, 13, 16, 17, 29, 31, 32, 33, 48, 63, 64, 65, 71, 97, 128, 129]
X_DTYPES = ["float16", "float32", "float64", ">f4", ">f8", "int8", "int16", "int32", "int64", ">i4", "uint8", "uint16",
            "uint32", "uint64", "bool"]  # fmt: skip
LAYOUTS = ["C", "F", "rows reversed", "columns reversed", "both reversed", "every second row", "every third column",
           "transposed", "read-only", "unaligned", "deeper", "list", "window"]  # fmt: skip
MOST_STEPS = 9  # for which the tolerance of a training holds


@dataclasses.dataclass(frozen=True)
class Program:
    """What one case does; its repr says all that is needed to repeat it."""

    layers: Any
    loss: Any
    optimizer: Any
    dtype: str
    n_inputs: int
    n_samples: int
    batch_size: int
    epochs: int
    shuffle: bool
    preprocessing: Any
    sample_weight: bool
    class_weight: bool
    kind_of_y: str
    x_dtype: str
    x_layout: str
    y_layout: str
    threads: tuple[int, int]
    way: str
    wrong: str
    validation: bool
    seed: int


# ---- the strategy ----


def some(draw, value, default=None, often=4):
    """The default, or now and then something else."""
    return draw(value) if draw(st.integers(0, often)) == 0 else default


def activations(draw):
    name = draw(st.sampled_from(list(_engine.activations)))
    return name, some(draw, st.sampled_from([0.0, 0.2, 1.5]), often=2) if name in layers.DEFAULT_ALPHA else None


def training(draw):
    """Options of all layers with weights."""
    return {
        "trainable": draw(st.integers(0, 9)) > 0,
        "learning_rate_factor": some(draw, st.sampled_from([0.0, 0.5, 2.0]), 1.0, 6),
    }


def dense(draw, units, last=False):
    name, alpha = ("identity", None) if last else activations(draw)
    use_bias = draw(st.integers(0, 4)) > 0
    return fm.Dense(
        units, name, alpha, use_bias, some(draw, st.sampled_from(INITIALIZERS)),
        some(draw, st.sampled_from(["ones", "normal", "uniform"])) if use_bias else None,
        l1=some(draw, st.just(0.01), 0.0), l2=some(draw, st.just(0.02), 0.0), max_norm=some(draw, st.just(0.8)),
        **training(draw),
    )  # fmt: skip


INITIALIZERS = [
    "glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "orthogonal",
    "normal", "truncated_normal", "uniform", "ones",
]  # fmt: skip


def one_layer(draw, width, depth=0):
    """A layer behind one of a width, and the width behind it."""
    kind = draw(st.sampled_from(["Dense"] * 4 + ["Activation", "Flatten", "Dropout", "LayerNorm", "BatchNorm", "PReLU"]
                                + ["Residual"] * (2 if depth < 2 else 0)))  # fmt: skip
    if kind == "Dense":
        units = draw(st.sampled_from(SIZES))
        return dense(draw, units), units
    if kind == "Activation":
        return fm.Activation(*activations(draw)), width
    if kind == "Flatten":
        return fm.Flatten(), width
    if kind == "Dropout":
        return fm.Dropout(draw(st.sampled_from([0.0, 0.1, 0.5, 0.9]))), width
    if kind == "LayerNorm":
        return fm.LayerNorm(draw(st.sampled_from([1e-3, 0.1])), **training(draw)), width
    if kind == "BatchNorm":
        momentum = draw(st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
        return fm.BatchNorm(momentum, draw(st.sampled_from([1e-3, 0.1])), **training(draw)), width
    if kind == "PReLU":
        return fm.PReLU(draw(st.sampled_from([0.25, 0.0, -0.1, 1.0])), **training(draw)), width
    inner, before = [], width
    for _ in range(draw(st.integers(1, 2))):
        layer, width = one_layer(draw, width, depth + 1)
        inner.append(layer)
    if width != before:
        inner.append(dense(draw, before))
    return fm.Residual(inner), before


LEVELS = st.sampled_from([0.1, 0.5, 0.8])


def loss_of(draw, kind, n_outputs):
    """A loss with options."""

    def each(number):
        return some(draw, st.tuples(*[number] * n_outputs), draw(number), 2)

    factors, outputs = st.sampled_from([0.3, 1.0, 2.5]), st.sampled_from(["mean", "sum"])
    smoothing = some(draw, st.sampled_from([0.1, 0.5]), 0.0, 1)
    gamma = draw(st.sampled_from([0.0, 0.7, 2.0, 3.0]))
    if kind == "softmax_cross_entropy":
        return fm.losses.SoftmaxCrossEntropy(smoothing)
    if kind == "binary_cross_entropy":
        return fm.losses.BinaryCrossEntropy(draw(outputs), smoothing, each(factors))
    if kind == "focal":
        return fm.losses.Focal(gamma, None if draw(st.booleans()) else each(factors))
    if kind == "binary_focal":
        return fm.losses.BinaryFocal(gamma, None if draw(st.booleans()) else each(LEVELS), draw(outputs))
    if kind == "huber":
        return fm.losses.Huber(draw(factors))
    if kind == "quantile":
        return fm.losses.Quantile(each(LEVELS))
    if kind == "custom":
        return fm.losses.Custom(mean_squares)
    return fm.losses.BY_NAME[kind]()


def mean_squares(scores, targets):
    """A loss of one's own: MeanSquaredError again."""
    error = scores - targets
    return (error * error).mean(), 2 * error / error.size


def schedule(draw, rate):
    s = fm.schedules
    steps = draw(st.integers(2, 7))
    return draw(
        st.sampled_from([
            s.Constant(rate), s.StepDecay(rate, steps, 0.5), s.MultiStep(rate, (1, steps), 0.5),
            s.Exponential(rate, steps, 0.9), s.InverseScaling(rate, 0.5, steps, 2.0),
            s.Polynomial(rate, steps, rate / 9, 2.0, cycle=True), s.CosineRestarts(rate, steps, 2.0, 0.8, 0.1),
            s.OneCycle(rate, steps + 1), s.Warmup(steps, s.Exponential(rate, 2, 0.5)),
        ])
    )  # fmt: skip


def optimizer_of(draw):
    """An optimizer with options, of rates small enough that few programs diverge."""
    kind = draw(st.sampled_from(["SGD", "SGD", "RMSprop", "Adagrad", "Adam", "AdamW", "Nadam", "Lion"]))
    rate = draw(st.sampled_from([0.0, 1e-4, 1e-3, 0.01, 0.05]))
    betas = {"beta_1": draw(st.sampled_from([0.0, 0.5, 0.9])), "beta_2": draw(st.sampled_from([0.0, 0.9, 0.999]))}
    epsilon, flag = {"epsilon": draw(st.sampled_from([1e-7, 1e-3, 0.1]))}, draw(st.booleans())
    own: dict[str, Any] = {
        "SGD": {"momentum": 0.9, "nesterov": draw(st.booleans())} if flag else {},
        # centred with rho=0 the step is divided by the rounding of g**2 - g**2
        "RMSprop": epsilon | {"rho": betas["beta_2"], "centered": flag and betas["beta_2"] > 0,
                              "epsilon_in_root": draw(st.booleans())},
        "Adagrad": epsilon | {"initial_accumulator_value": draw(LEVELS), "epsilon_in_root": flag},
        "Adam": betas | epsilon | {"amsgrad": flag, "bias_correction": draw(st.integers(0, 3)) > 0},
        "AdamW": betas | epsilon | {"amsgrad": flag, "weight_decay": draw(st.sampled_from([0.0, 0.004, 0.5]))},
        "Nadam": betas | epsilon,
        "Lion": betas,
    }[kind]  # fmt: skip
    shared = {
        "weight_decay": some(draw, st.just(0.3), 0.0),
        "l2": some(draw, st.just(0.05), 0.0),
        "decay_biases": draw(st.booleans()),
        "gradient_accumulation_steps": some(draw, st.integers(1, 4)),
        "use_ema": draw(st.integers(0, 3)) == 0,
        "ema_momentum": draw(st.sampled_from([0.0, 0.7, 0.99])),
    }
    clip = draw(st.sampled_from([None, None, None, "global_clipnorm", "clipvalue"]))
    shared |= {} if clip is None else {clip: draw(st.sampled_from([0.01, 0.5]))}
    learning_rate = some(draw, st.just(None), rate) if rate else rate
    return getattr(fm, kind)(schedule(draw, rate) if learning_rate is None else learning_rate, **(shared | own))


WRONG = [
    "NaN in X", "infinity in X", "a column too many", "rows of y", "text", "complex", "None", "batch_size", "epochs",
    "negative weight", "NaN in y", "too large", "initial_epoch", "weights", "gradients", "validation",
]  # fmt: skip
WAYS = ["fit", "callbacks", "batches", "train_on_batch", "gradients"]
LOSSES = [*fm.losses.BY_NAME, "custom"]


@st.composite
def programs(draw):
    """Programs, small enough that one takes some 50 ms."""
    kind = draw(st.sampled_from(LOSSES))
    n_inputs, n_outputs = draw(st.sampled_from(SIZES)), draw(st.sampled_from(SIZES[:14]))
    n_outputs = max(2, n_outputs) if kind in ("softmax_cross_entropy", "focal") else n_outputs
    n_outputs += n_outputs % 2 if kind == "gaussian_nll" else 0
    loss = loss_of(draw, kind, n_outputs)
    stack, width = [], n_inputs
    for _ in range(draw(st.integers(0, 4))):
        layer, width = one_layer(draw, width)
        stack.append(layer)
    plain = loss.link != "identity" or kind == "gaussian_nll"
    stack.append(dense(draw, n_outputs, plain or draw(st.booleans())))
    stack += some(
        draw, st.sampled_from([[fm.Dropout(0.3)], [fm.LayerNorm()], [fm.BatchNorm(0.5)], [fm.PReLU()]]), [], 6
    )
    n_samples, batch_size = draw(st.sampled_from(ROWS)), draw(st.sampled_from([*ROWS, 1000]))
    batch_size = max(batch_size, -(-n_samples // MOST_STEPS))
    steps = -(-n_samples // batch_size)
    x_dtype = draw(st.sampled_from(X_DTYPES))
    weighted = kind != "custom"
    classes = kind in ("softmax_cross_entropy", "focal") or (
        n_outputs == 1 and kind in ("binary_cross_entropy", "binary_focal", "hinge")
    )
    return Program(
        tuple(stack), loss, optimizer_of(draw), draw(st.sampled_from(["float32", "float64"])), n_inputs, n_samples,
        batch_size, draw(st.integers(1, max(1, min(3, MOST_STEPS // steps)))), draw(st.booleans()),
        some(draw, st.sampled_from([fm.Standardize(), fm.Whiten("pca", 0.1), fm.Whiten("zca", 1.0)])),
        weighted and draw(st.integers(0, 2)) == 0, weighted and classes and draw(st.integers(0, 3)) == 0,
        draw(st.sampled_from(["labels", "rows", "probabilities", "int64", "float64", "bool", ">f4", "column"])),
        x_dtype, draw(st.sampled_from(LAYOUTS)), draw(st.sampled_from(LAYOUTS)),
        (draw(st.integers(1, 4)), draw(st.integers(1, 4))), draw(st.sampled_from(WAYS)), draw(st.sampled_from(WRONG)),
        draw(st.integers(0, 3)) == 0, draw(st.integers(0, 2**64 - 1)),
    )  # fmt: skip


# ---- data ----


def laid_out(array, layout):
    """The same numbers, otherwise in memory."""
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "rows reversed":
        return array[::-1].copy()[::-1]
    if layout in ("columns reversed", "both reversed") and array.ndim == 2:
        turned = array[:, ::-1] if layout == "columns reversed" else array[::-1, ::-1]
        return turned.copy()[:, ::-1] if layout == "columns reversed" else turned.copy()[::-1, ::-1]
    if layout == "every second row":
        return array.repeat(2, axis=0)[::2]
    if layout == "every third column" and array.ndim == 2:
        return array.repeat(3, axis=1)[:, 1::3]
    if layout == "transposed":
        return array.T.copy().T
    if layout == "read-only":
        array = array.copy()
        array.flags.writeable = False
    if layout == "unaligned":
        return np.frombuffer(b"x" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)
    if layout == "deeper" and array.ndim == 2 and array.shape[1] % 2 == 0:
        return array.reshape(len(array), 2, -1)
    if layout == "list":
        return array.tolist()
    if layout == "window" and array.ndim == 2:
        larger = np.full((len(array) + 2, array.shape[1] + 3), 1, array.dtype)
        larger[1:-1, 2:-1] = array
        return larger[1:-1, 2:-1]
    return array


def data_of(program, n_outputs, rng):
    """X and y as plain arrays."""
    dtype = np.dtype(program.x_dtype)
    shape = program.n_samples, program.n_inputs
    X = rng.standard_normal(shape) if dtype.kind == "f" else rng.integers(0, 2 if dtype.kind == "b" else 5, shape)
    if dtype.kind == "i":
        X = X - 2
    kind, n = program.kind_of_y, program.n_samples
    if program.loss.link == "softmax":
        labels = rng.integers(0, n_outputs, n)
        if kind == "probabilities":
            return X.astype(dtype), rng.dirichlet(np.ones(n_outputs), n)
        if kind == "rows":
            return X.astype(dtype), np.eye(n_outputs)[labels]
        return X.astype(dtype), {"float64": labels.astype(float), "column": labels[:, None]}.get(kind, labels)
    shape = n, program.loss.n_targets(n_outputs)
    y = rng.standard_normal(shape)
    if isinstance(program.loss, fm.losses.Hinge):
        y = rng.choice([-1, 1] if kind in ("rows", ">f4") else [0, 1], shape)
    elif program.loss.has_accuracy:
        y = rng.random(shape) if kind == "probabilities" else rng.integers(0, 2, shape)
    elif isinstance(program.loss, fm.losses.Poisson):
        y = rng.poisson(2.0, shape)
    if program.loss.has_accuracy and kind != "probabilities" and (y >= 0).all() and kind in ("int64", "bool", "labels"):
        y = y.astype("int64" if kind == "labels" else kind)
    elif kind in (">f4", "float64", "rows"):
        y = y.astype("float64" if kind == "rows" else kind)
    if y.shape[1] == 1 and kind != "column" and not isinstance(program.loss, fm.losses.Custom):
        y = y[:, 0]
    return X.astype(dtype), y


# ---- the twin ----


def twin_of(model, dtype, spread=None):
    """The twin of a model, in a dtype; with a generator its weights are off by roundings."""

    def rounded(array):
        array = array.astype(np.float64)
        if spread is not None:
            array = array * (1 + 2 * np.finfo(model.dtype).eps * spread.uniform(-1, 1, array.shape))
        return array.astype(dtype)

    arrays, found = iter(model.weights), []
    for spec in layers.specs(model.layers, model.n_inputs):
        none = np.zeros(0, dtype)
        mine = (
            [rounded(a) for a in next(arrays)]
            if spec.kind in ("dense", "layer_norm", "batch_norm", "prelu")
            else [none, none]
        )
        w, b, *running = mine if len(mine) > 1 else (*mine, np.zeros_like(mine[0]))
        found.append(reference.Layer(w, b, *spec[1:], *running))
    loss = model.loss
    kernel = "squared_error" if isinstance(loss, fm.losses.Custom) else None
    scale = 1 / model.n_outputs if kernel else loss.row_scale(model.n_outputs)
    return lambda targets: reference.Network(
        found, kernel or loss.kernel(targets), scale, seed=model.seed, options=loss.options(model.n_outputs)
    )


def arrays_of(twin):
    """The arrays of a twin as Model.weights has them."""
    kinds = {
        "batch_norm": ("w", "b", "mean", "variance"),
        "prelu": ("w",),
        "dense": ("w", "b"),
        "layer_norm": ("w", "b"),
    }
    return [[getattr(layer, name) for name in kinds[layer.kind]] for layer in twin.layers if layer.kind in kinds]


def scaled(model, X, spread=None):
    """Samples as the first layer sees them, in float64; with a generator off by roundings of the dtype, which are those
    of the terms and not of their sum."""
    if model.preprocessing is None:
        X = X.astype(model.dtype).astype(np.float64)
        size = np.abs(X)
    else:
        mean, scale, matrix = model.preprocessing.scaling(model.statistics)
        X = (X.astype(np.float64) - mean) * scale
        size = np.abs(X)
        X, size = (X, size) if matrix is None else (X @ matrix, size @ np.abs(matrix))
    return X if spread is None else X + 2 * np.finfo(model.dtype).eps * size * spread.uniform(-1, 1, X.shape)


@contextlib.contextmanager
def noise(spread, dtype):
    """Losses and derivatives off by roundings of the dtype, as far as the tolerances of their kernels allow: below 1
    in a target's or probability's units, below 0.1 in a derivative's, only the absolute error is small."""
    eps = float(np.finfo(dtype).eps)

    def off(array, scale):
        return array + eps * scale * spread.uniform(-1, 1, np.shape(array))

    def of_loss(function):
        def noisy(scores, targets, row_scale=1.0, gradient_scale=1.0, **options):
            losses, right, dscores = function(scores, targets, row_scale, gradient_scale, **options)
            return losses, right, off(dscores, gradient_scale + np.abs(dscores)).astype(dscores.dtype)

        return noisy

    def of_activation(function):
        def noisy(z, alpha=0.0):
            y, d = function(z, alpha)
            return y, np.where((d == 0) | (d == 1), d, off(d, np.maximum(np.abs(d), 0.1))).astype(d.dtype)

        return noisy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference.network, "LOSSES", {name: of_loss(f) for name, f in reference.LOSSES.items()})
        twins = {name: of_activation(f) for name, f in reference.ACTIVATIONS.items()}
        patch.setattr(reference.network, "ACTIVATIONS", twins)
        yield


class Expected:
    """What a twin says of a program, by name: float64 arrays."""

    def __init__(self, program, model, X, targets, weights, dtype="float64", spread=None):
        twin = twin_of(model, dtype, spread)(targets)
        optimizer = program.optimizer
        X = scaled(model, X, spread).astype(dtype)
        if weights is not None:
            weights = weights[:, 0].astype(dtype)
        with np.errstate(all="ignore"):
            first = copy.deepcopy(twin)
            rows = slice(program.batch_size)
            loss, self.right_first, gradients = first.loss_and_gradients(
                X[rows], targets[rows], None if weights is None else weights[rows]
            )
            self.found = {"loss of a batch": loss}
            wanted = iter(model._core.weighted)
            for i, (layer, pair) in enumerate(zip(first.layers, gradients, strict=True)):
                if layer.kind in ("dense", "layer_norm", "batch_norm", "prelu"):
                    for gradient, has in zip(pair, next(wanted).has_gradient, strict=False):
                        self.found[f"gradient {i} {len(self.found)}"] = gradient * has
            twin.set_optimizer(optimizer.kernel)
            steps = -(-len(X) // program.batch_size)
            rates = optimizer.rates(0, steps * program.epochs)
            losses, right = twin.fit(
                X, targets, program.batch_size, rates, optimizer.hyper(), program.shuffle, model.seed, weights
            )
            self.finished = len(losses) == steps * program.epochs and np.isfinite(losses).all()
            self.finished = self.finished and all(np.isfinite(a).all() for pair in arrays_of(twin) for a in pair)
            if not self.finished:
                return
            of_batch = np.full(steps, program.batch_size)
            of_batch[-1] = len(X) - (steps - 1) * program.batch_size
            self.found["history"] = losses.reshape(-1, steps) @ of_batch / len(X)
            self.right = right.reshape(-1, steps).sum(axis=1)
            for i, arrays in enumerate(arrays_of(twin)):
                for j, array in enumerate(arrays):
                    self.found[f"weights {i} {j}"] = array
            if optimizer.use_ema:
                twin.layers = [
                    layer._replace(w=w, b=b) for layer, (w, b) in zip(twin.layers, twin.average, strict=True)
                ]
            self.found["predictions"] = twin.predict(X, model.loss.link)
            loss, self.right_evaluated = twin.evaluate(X, targets, weights)
            self.found["evaluation"] = loss


def compare(program, found, expected, others):
    """Whether arrays are the twin's; where one is not, how far `others`, twins of slightly other weights, differ from
    it tells what rounding can do to this program."""
    unit = getattr(TOLERANCES["training"], program.dtype) * np.finfo(program.dtype).eps
    largest = max(
        (float(np.abs(a).max(initial=0)) for name, a in expected.items() if name.startswith("weights")), default=0
    )
    wrong = []
    for name, array in expected.items():
        scale = max(float(np.abs(array).max(initial=0)), 1e-3)
        scale = scale + largest if name.startswith("weights") else max(scale, 1.0)
        limit = float(unit) * scale  # not in float32, where numbers near the largest make it infinite
        if not np.abs(found[name] - array).max(initial=0) <= limit:
            wrong.append((name, limit))
    if not wrong:
        return False
    spreads = list(others())
    for name, limit in wrong:
        spread = max(float(np.abs(other[name] - expected[name]).max(initial=0)) for other in spreads)
        off = float(np.abs(found[name] - expected[name]).max(initial=0))
        assert off <= limit + 8 * spread, f"{name}: off by {off:.3g}, rounding explains {limit:.3g} + 8 * {spread:.3g}"
    return True


# ---- what must hold ----

outcomes: Counter[str] = Counter()


def bits(model):
    """All that training changes, as bytes and numbers."""
    state = model._core.__getstate__()
    training = state["training"]
    arrays = [a for pair in state["weights"] for a in pair]
    arrays += [a for name in sorted(training["states"]) for pair in training["states"][name] for a in pair]
    counts = {name: value for name, value in training.items() if name != "states"}
    return [a.tobytes() for a in arrays], counts, {n: a.tobytes() for n, a in model._core.statistics.items()}


def made(program, n_threads):
    """The model of a program, its weights moved from where a factor or a summand would not show."""
    model = fm.Model(
        program.layers, program.loss, program.optimizer, seed=program.seed, n_inputs=program.n_inputs,
        dtype=program.dtype, n_threads=n_threads, preprocessing=program.preprocessing,
    )  # fmt: skip
    rng = np.random.default_rng(program.seed)
    model.weights = [
        tuple(
            a if isinstance(layer, fm.Dense) and not layer.use_bias and j else a + 0.1 * rng.random(a.shape)
            for j, a in enumerate(arrays)
        )
        for layer, arrays in zip(model._core.weighted, model.weights, strict=True)
    ]
    return model


def check(program):
    """Run a program in several ways that promise the same bits, and compare it with the twin."""
    rng = np.random.default_rng(program.seed)
    model = made(program, program.threads[0])
    plain_X, plain_y = data_of(program, model.n_outputs, rng)
    X = laid_out(plain_X, program.x_layout)
    y = laid_out(plain_y, program.y_layout) if not isinstance(program.loss, fm.losses.Custom) else plain_y
    options: dict[str, Any] = {"batch_size": program.batch_size, "shuffle": program.shuffle, "verbose": 0}
    given = rng.choice([0.0, 0.5, 1.0, 3.0], program.n_samples) if program.sample_weight else None
    if given is not None:  # zeros alone are refused, also in a single batch
        given[:: program.batch_size] += 1.0
    by_class = {0: 0.5, 1: 2.0} if program.class_weight else None
    options |= {"sample_weight": given, "class_weight": by_class}
    if program.validation:
        options["validation_data"] = (X, y)

    targets = model.loss.targets(plain_y, program.n_samples, model.n_outputs, model.dtype)
    weights = model._core.sample_weights(given, targets, by_class)
    if program.preprocessing is not None:
        model.adapt(X)
    start = copy.deepcopy(model)
    refused(program, model, X, y)
    rows = slice(program.batch_size)
    batch_weight = None if weights is None else weights[rows, 0]
    first = copy.deepcopy(model)
    loss, gradients = first.loss_and_gradients(plain_X[rows], plain_y[rows], batch_weight)
    try:
        with np.errstate(all="ignore"):
            history = model.fit(X, y, epochs=program.epochs, **options)
    except fm.DivergedError:
        outcomes["diverged"] += 1
        expected = Expected(program, start, plain_X, targets, weights, program.dtype)
        big = 1e-3 * float(np.finfo(program.dtype).max)
        values = [np.abs(a).max(initial=0) for a in expected.found.values()]
        assert not expected.finished or max(values) > math.sqrt(big), "diverged, but the twin did not"
        return
    same_bits(program, start, model, history, plain_X, plain_y, options)
    predictions, evaluated = model.predict(X), model.evaluate(X, y, None if weights is None else weights[:, 0])
    shapes(model, plain_X, predictions, evaluated)
    if program.validation and by_class is None and given is None:
        assert history["val_loss"][-1] == evaluated["loss"]

    expected = Expected(program, start, plain_X, targets, weights)
    assert expected.finished, "the twin diverged"
    found = {"loss of a batch": loss, "history": np.array(history["loss"])}
    names = [name for name in expected.found if name.startswith("gradient")]
    flat = [a for arrays in gradients for a in arrays]
    found |= dict(zip(names, flat, strict=True))
    found |= {f"weights {i} {j}": a for i, arrays in enumerate(model.weights) for j, a in enumerate(arrays)}
    found |= {"predictions": predictions, "evaluation": evaluated["loss"]}

    def others():
        for i in range(12):
            spread = np.random.default_rng(i)
            with noise(spread, program.dtype):
                other = Expected(
                    program, start, plain_X, targets, weights, "float64" if i % 3 else program.dtype, spread
                )
            if other.finished:
                yield other.found

    needed = compare(program, found, expected.found, others)
    outcomes["within the tolerance" if not needed else "within what rounding does to this program"] += 1
    if "accuracy" in history.history and not needed:
        exact = [model.loss.accuracy(n, program.n_samples, model.n_outputs) for n in expected.right]
        near = 3 / program.n_samples  # rows in which rounding decides; hinge and untrained ties have many
        if history["accuracy"] != exact:
            outcomes["other accuracy"] += 1
            assert np.abs(np.subtract(history["accuracy"], exact)).max() <= near


def shapes(model, X, predictions, evaluated):
    """Shapes and dtypes of what the model returns; a row is predicted as it is among others."""
    assert predictions.shape == (len(X), model.n_outputs)
    assert predictions.dtype == model.dtype
    assert model.scores(X).shape == predictions.shape
    assert set(evaluated) == {"loss", "accuracy"} if model.loss.has_accuracy else {"loss"}
    assert all(type(value) is float for value in evaluated.values())
    assert model.predict(X[-1:]).tobytes() == predictions[-1:].tobytes()


def same_bits(program, start, model, history, X, y, options):
    """Another number of threads, plain data, other ways of training, and a file or a pickle in the middle."""
    expected = bits(model)

    def again(n_threads):
        other = copy.deepcopy(start)
        other.n_threads = n_threads
        return other

    plain = again(program.threads[1])
    options = {name: value for name, value in options.items() if name != "validation_data"}
    cast = X.astype(program.dtype) if program.preprocessing is None else np.ascontiguousarray(X)
    assert plain.fit(cast, y, epochs=program.epochs, **options)["loss"] == history["loss"]
    assert bits(plain) == expected, "another number of threads, or plain data"
    assert plain.predict(X).tobytes() == model.predict(X).tobytes()

    halves = again(None)
    halves.fit(X, y, epochs=1, **options)
    if program.seed % 2:
        halves = pickle.loads(pickle.dumps(halves))
    else:
        with tempfile.TemporaryDirectory() as folder:
            halves.save(Path(folder) / "net")
            loss = program.loss if isinstance(program.loss, fm.losses.Custom) else None
            halves = fm.load(Path(folder) / "net", loss=loss)
    if program.epochs > 1:
        halves.fit(X, y, epochs=program.epochs, initial_epoch=1, **options)
    assert bits(halves) == expected, "saved, or pickled, in the middle"
    assert halves.predict(X).tobytes() == model.predict(X).tobytes()

    if program.way == "callbacks":
        other = again(program.threads[1])
        other.fit(X, y, epochs=program.epochs, callbacks=[fm.Callback()], **options)
        assert bits(other) == expected, "with a callback"
    elif program.way != "fit" and not program.shuffle:
        other, size = again(program.threads[1]), program.batch_size
        targets = other.loss.targets(y, len(X), other.n_outputs, other.dtype)
        weights = other._core.sample_weights(options["sample_weight"], targets, options["class_weight"])
        parts = [slice(i, i + size) for i in range(0, len(X), size)]
        batches = [(X[p], y[p]) + (() if weights is None else (weights[p, 0],)) for p in parts]
        penalised = any(getattr(layer, "l1", 0) or getattr(layer, "l2", 0) for layer in layers.walk(program.layers))
        uneven = program.optimizer.gradient_accumulation_steps not in (None, 1) and len(X) % size != 0
        if program.way == "batches":
            other.fit(batches, epochs=program.epochs, verbose=0)
        for batch in batches * program.epochs if program.way != "batches" else ():
            # A step adds all penalties in one rounding, and weighs by rows what it accumulates.
            if program.way == "train_on_batch" or penalised or uneven:
                other.train_on_batch(*batch)
            else:
                other.apply_gradients(other.loss_and_gradients(*batch)[1])
        assert bits(other)[0] == expected[0], program.way


def refused(program, model, X, y):
    """A mistake is refused by ValueError or TypeError, and has changed nothing."""
    before, wrong = bits(model), program.wrong
    shape = program.n_samples, program.n_inputs
    good, many = np.asarray(X).reshape(shape).astype(float), {"verbose": 0}
    bad: Any = good.copy()
    bad[-1, -1] = {"infinity in X": np.inf, "too large": 1e300}.get(wrong, np.nan)
    if wrong in ("NaN in X", "infinity in X") or (wrong == "too large" and program.dtype == "float32"):
        uses = [lambda: model.fit(bad, y, **many), lambda: model.predict(bad), lambda: model.train_on_batch(bad, y)]
    elif wrong == "a column too many":
        bad = np.hstack([good, good[:, :1]])
        uses = [lambda: model.fit(bad, y, **many), lambda: model.scores(bad), lambda: model.evaluate(bad, y)]
    elif wrong == "rows of y":
        uses = [lambda: model.fit(good, y[:-1], **many), lambda: model.evaluate(np.vstack([good, good]), y)]
    elif wrong in ("text", "complex", "None"):
        bad = {"text": good.astype(str), "complex": good + 1j, "None": None}[wrong]
        uses = [lambda: model.fit(bad, y, **many), lambda: model.predict(bad), lambda: model.loss_and_gradients(bad, y)]
    elif wrong in ("batch_size", "epochs", "initial_epoch"):
        bad = (
            {wrong: (0, -1, 1.5, "2", None)[program.seed % 5]} if wrong != "initial_epoch" else {wrong: 2, "epochs": 1}
        )
        uses = [lambda: model.fit(good, y, **bad, **many)]
    elif wrong == "negative weight":
        bad = -np.ones(len(good))
        uses = [lambda: model.fit(good, y, sample_weight=bad, **many), lambda: model.evaluate(good, y, bad)]
    elif wrong == "NaN in y":
        bad = np.full(np.shape(y), np.nan)
        uses = [lambda: model.fit(good, bad, **many), lambda: model.train_on_batch(good, bad)]
        if isinstance(program.loss, fm.losses.Custom):
            uses = []  # takes any targets
    elif wrong == "weights":
        bad = [tuple(a * np.nan for a in arrays) for arrays in model.weights]
        uses = [lambda: setattr(model, "weights", bad), lambda: setattr(model, "weights", bad[:-1])]
    elif wrong == "gradients":
        bad = [tuple(a[:-1] for a in arrays) for arrays in model.weights]
        uses = [lambda: model.apply_gradients(bad)]
    elif wrong == "validation":
        bad = (good[:, :-1], y)
        uses = [lambda: model.fit(good, y, validation_data=bad, **many)]
    else:
        uses = []
    for use in uses:
        with pytest.raises((ValueError, TypeError)):
            use()
        assert bits(model) == before, f"{wrong} changed the model"
