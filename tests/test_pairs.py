"""Two features at once: every pair of FEATURES in one training, against the twin in plain NumPy.

A feature of its own is tested where it lives; here is what goes wrong where two of them meet. A feature edits a `Case`:
its layers, optimizer, loss, data, and how they are handed to `fit`. Two of the same kind, two optimizers for example,
exclude each other, and UNSUITED names what the library refuses.
"""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import programs_strategy
import pytest
from conftest import TOLERANCES

import fastmlp as fm
from fastmlp._split import split

N, N_INPUTS, BATCH, EPOCHS = 53, 6, 16, 2  # four steps an epoch, the last of five samples


@dataclasses.dataclass
class Case:
    """A training: made plain, then edited by features."""

    folder: Path
    rng: Any
    X: Any
    y: Any
    first: dict[str, Any] = dataclasses.field(default_factory=dict)  # options of the two dense layers
    last: dict[str, Any] = dataclasses.field(default_factory=dict)
    between: list[Any] = dataclasses.field(default_factory=list)
    n_outputs: int = 3
    loss: Any = "softmax_cross_entropy"
    optimizer: Any = fm.SGD
    learning_rate: Any = 0.05
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    model: dict[str, Any] = dataclasses.field(default_factory=lambda: {"dtype": "float64", "n_threads": 1})
    fit: dict[str, Any] = dataclasses.field(default_factory=lambda: {"shuffle": True})
    batch_size: int = BATCH
    hand_over: Callable[[Any], Any] = np.asarray  # how X reaches fit
    as_batches: bool = False
    resumed: bool = False
    slack: float = 1.0  # factor of the tolerance

    def build(self):
        layers = [fm.Dense(5, "tanh", **self.first), *self.between, fm.Dense(self.n_outputs, **self.last)]
        optimizer = self.optimizer(self.learning_rate, **self.options)
        return fm.Model(layers, self.loss, optimizer, seed=7, n_inputs=N_INPUTS, **self.model)


def plain(folder):
    rng = np.random.default_rng(0)
    return Case(folder, rng, rng.standard_normal((N, N_INPUTS)), rng.integers(0, 3, N))


# ---- features: name -> (kind, edit) ----

FEATURES: dict[str, tuple[str, Callable[[Case], None]]] = {}


def feature(kind, name):
    def register(edit):
        FEATURES[name] = kind, edit
        return edit

    return register


def layer(name, make):
    FEATURES[name] = name, lambda case: case.between.append(make())


layer("BatchNorm", lambda: fm.BatchNorm(0.5))
layer("LayerNorm", fm.LayerNorm)
layer("PReLU", fm.PReLU)
layer("Dropout", lambda: fm.Dropout(0.3))
layer("Residual", lambda: fm.Residual([fm.Dense(5, "silu")]))
layer("frozen BatchNorm", lambda: fm.BatchNorm(0.5, trainable=False))
layer("frozen PReLU", lambda: fm.PReLU(trainable=False))


def dense_option(name, where, **options):
    FEATURES[name] = name, lambda case: getattr(case, where).update(options)


dense_option("frozen layer", "first", trainable=False)
dense_option("no bias", "last", use_bias=False)
dense_option("rate of a layer", "last", learning_rate_factor=0.5)
dense_option("penalties", "first", l1=0.01, l2=0.02)
dense_option("max_norm", "last", max_norm=0.7)


def optimizer(name, make, rate=0.01, **options):
    def edit(case):
        case.optimizer = make
        case.learning_rate = rate if case.learning_rate == 0.05 else case.learning_rate
        case.options |= options

    FEATURES[name] = "optimizer", edit


optimizer("Nesterov", fm.SGD, 0.05, momentum=0.9, nesterov=True)
optimizer("centred RMSprop", fm.RMSprop, centered=True, epsilon=1e-3)
optimizer("Adagrad", fm.Adagrad)
optimizer("AMSGrad", fm.Adam, amsgrad=True, epsilon=1e-3)
optimizer("Nadam", fm.Nadam, epsilon=1e-3)


def optimizer_option(name, kind=None, **options):
    FEATURES[name] = kind or name, lambda case: case.options.update(options)


optimizer_option("accumulated gradients", gradient_accumulation_steps=3)
optimizer_option("clipped norm", "clipping", global_clipnorm=0.05)
optimizer_option("clipped values", "clipping", clipvalue=0.01)
optimizer_option("weight decay", weight_decay=0.3)
optimizer_option("L2 of all", l2=0.05, decay_biases=True)
optimizer_option("average", use_ema=True, ema_momentum=0.7)


@feature("schedule", "schedule")
def with_schedule(case):
    case.learning_rate = fm.schedules.Warmup(2, fm.schedules.Exponential(0.02, 2, 0.5))


def loss(name, made, n_outputs=3, targets=None):
    def edit(case):
        case.loss, case.n_outputs = made, n_outputs
        case.y = case.y if targets is None else targets(case.rng)

    FEATURES[name] = "loss", edit


loss("probabilities", "softmax_cross_entropy", 3, lambda rng: rng.dirichlet(np.ones(3), N))
loss("label smoothing", fm.losses.SoftmaxCrossEntropy(0.1))
loss("focal", fm.losses.Focal(1.5, (0.3, 1.0, 2.5)))
loss("binary", fm.losses.BinaryCrossEntropy(positive_weight=2.0), 1, lambda rng: rng.integers(0, 2, N))
loss("regression", "mean_squared_error", 3, lambda rng: rng.standard_normal((N, 3)))
loss("predicted variance", "gaussian_nll", 4, lambda rng: rng.standard_normal((N, 2)))
loss("rates", "poisson", 2, lambda rng: rng.poisson(2.0, (N, 2)))
loss("loss of one's own", fm.losses.Custom(programs_strategy.mean_squares), 3, lambda rng: rng.standard_normal((N, 3)))


@feature("loss", "targets in units")
def with_targets(case):
    case.loss, case.model["targets"] = "huber", "standardize"
    case.y = 40 + np.array([0.3, 7.0, 900.0]) * case.rng.standard_normal((N, 3))


@feature("offset", "offset")
def with_offset(case):
    case.X = case.X + np.array([1e4, 0, -300, 0, 1, 0])  # deviation 1
    case.slack = 100.0  # a rounding of 1e4 is 1e4 times one of the deviation; measured 17 with BatchNorm
    case.first["initializer"] = fm.initializers.Normal(stddev=1e-4)  # or every tanh would be at its end


@feature("constant", "constant columns")
def with_constants(case):
    case.X[:, 2:] = case.X[0, 2:]


@feature("repeated", "repeated rows")
def with_repeated_rows(case):
    case.X[5:] = case.X[np.arange(5, N) % 5]


@feature("reading", "uint8")
def with_uint8(case):
    case.X = case.rng.integers(0, 4, case.X.shape).astype(np.uint8)


@feature("reading", "float32 data")
def with_float32_data(case):
    case.X = case.X.astype(np.float32)


@feature("layout", "strided")
def with_strides(case):
    case.hand_over = lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, 1::3]


@feature("layout", "memory map")
def with_map(case):
    def hand_over(X):
        np.save(case.folder / "X.npy", X)
        return np.load(case.folder / "X.npy", mmap_mode="r")

    case.hand_over = hand_over


@feature("layout", "images")
def with_images(case):
    case.hand_over = lambda X: np.asfortranarray(X).reshape(len(X), 2, 3)


@feature("sample_weight", "sample_weight")
def with_sample_weight(case):
    case.fit["sample_weight"] = case.rng.choice([0.0, 0.5, 1.0, 3.0], N)


@feature("class_weight", "class_weight")
def with_class_weight(case):
    case.fit["class_weight"] = {0: 0.5, 1: 2.0}


@feature("validation", "validation_split")
def with_split(case):
    case.fit["validation_split"] = 0.25


@feature("validation", "validation_data")
def with_validation(case):
    case.fit["validation_data"] = case.X[:20], case.y[:20]


@feature("iterable", "batches")
def with_batches(case):
    case.as_batches, case.fit["shuffle"] = True, False


@feature("order", "data order")
def with_order(case):
    case.fit["shuffle"] = False


@feature("callbacks", "callback")
def with_callback(case):
    case.fit["callbacks"] = [fm.Callback()]


class EveryBatch(fm.Callback):
    """Makes each step a chunk of its own, and counts them."""

    begun = ended = 0

    def on_train_batch_begin(self, batch):
        self.begun += 1

    def on_train_batch_end(self, batch, logs):
        self.ended += 1


@feature("callbacks", "callback of batches")
def with_callback_of_batches(case):
    case.fit["callbacks"] = [EveryBatch()]


@feature("resumed", "resumed from a file")
def with_file(case):
    case.resumed = True


@feature("preprocessing", "Standardize")
def with_standardize(case):
    case.model["preprocessing"] = "standardize"


@feature("preprocessing", "Whiten")
def with_whiten(case):
    case.model["preprocessing"] = fm.Whiten("zca", 0.1)


@feature("threads", "three threads")
def with_threads(case):
    case.model["n_threads"] = 3


@feature("dtype", "float32")
def with_float32(case):
    case.model["dtype"] = "float32"


@feature("batch_size", "last batch of one row")
def with_a_row_left(case):
    case.batch_size = 13


@feature("batch_size", "one batch")
def with_one_batch(case):
    case.batch_size = 1000


CLASSES = {"probabilities", "label smoothing", "focal", "binary"}
LOSSES = {name for name, (kind, _) in FEATURES.items() if kind == "loss"}
UNSUITED = {
    **{frozenset(pair): "a loss of one's own has no loss of a sample"
       for pair in itertools.product(["loss of one's own"], ["sample_weight", "class_weight"])},
    **{frozenset(pair): "no classes" for pair in itertools.product(LOSSES - CLASSES, ["class_weight"])},
    frozenset({"batches", "validation_split"}): "takes its share of arrays",
}  # fmt: skip

PAIRS = [
    (a, b)
    for a, b in itertools.combinations(FEATURES, 2)
    if FEATURES[a][0] != FEATURES[b][0] and frozenset({a, b}) not in UNSUITED
]


# ---- the two trainings ----


def trained(case):
    """The model of a case after its epochs, the model as it was before, and what fit recorded."""
    model = case.build()
    size = min(case.batch_size, N)
    X, y, options = case.hand_over(case.X), case.y, {"epochs": EPOCHS, "verbose": 0, **case.fit}
    weights = options.get("sample_weight")
    if case.as_batches and (model.preprocessing is not None or model.targets is not None):
        model.adapt(X, None if model.targets is None else y)
    start = case.build()
    data: tuple[Any, ...] = X, y
    if case.as_batches:
        options.pop("sample_weight", None)
        parts = [slice(i, i + size) for i in range(0, N, size)]
        data = ([(X[p], y[p]) if weights is None else (X[p], y[p], weights[p]) for p in parts],)
    else:
        options["batch_size"] = size
    if not case.resumed:
        history = model.fit(*data, **options)
        return model, start, history
    model.fit(*data, **options | {"epochs": 1})
    model.save(case.folder / "half.safetensors")
    own = case.loss if isinstance(case.loss, fm.losses.Custom) else None
    model = fm.load(case.folder / "half.safetensors", loss=own)
    history = model.fit(*data, **options, initial_epoch=1)
    return model, start, history


def expected(case, model, start):
    """The twin after the same training, and its losses by step, with the rows of each."""
    targets = model.loss.targets(case.y, N, model.n_outputs, "float64")
    given = case.fit.get("sample_weight")
    weights = model._core.sample_weights(given, targets, case.fit.get("class_weight"))
    weights = None if weights is None else weights[:, 0].astype(np.float64)
    rows = np.arange(N)
    if case.fit.get("validation_split"):
        rows, _ = split(model.loss.strata(targets), case.fit["validation_split"], model.seed)
    if model.targets is not None:
        counted = None if weights is None or case.as_batches else weights[rows]  # `adapt` in `trained` has none
        mean, scale = mean_and_scale(targets[rows], counted)
        targets = (targets - mean) / scale
    X = programs_strategy.scaled(model, case.X)
    twin = programs_strategy.twin_of(start, "float64")(targets)
    twin.set_optimizer(model.optimizer.kernel)
    size = min(case.batch_size, len(rows))
    of_batch = np.full(-(-len(rows) // size), size)
    of_batch[-1] = len(rows) - (len(of_batch) - 1) * size
    losses, _ = twin.fit(
        X[rows], targets[rows], size, model.optimizer.rates(0, len(of_batch) * EPOCHS), model.optimizer.hyper(),
        case.fit["shuffle"], model.seed, None if weights is None else weights[rows],
    )  # fmt: skip
    return twin, losses.reshape(EPOCHS, -1) @ of_batch / len(rows), X, targets


def mean_and_scale(y, weights):
    """What targets="standardize" learns of targets, each counted by its weight."""
    mean = np.average(y, axis=0, weights=weights)
    return mean, np.sqrt(np.average((y - mean) ** 2, axis=0, weights=weights))


def held_out(case, model, targets):
    """Rows that are evaluated after every epoch, and their weights."""
    if "validation_data" in case.fit:
        return np.arange(20), None
    _, rows = split(model.loss.strata(targets), case.fit["validation_split"], model.seed)
    return rows, case.fit["sample_weight"][rows] if "sample_weight" in case.fit else None


def close(case, found, wanted, name):
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    dtype = case.model["dtype"]
    limit = getattr(TOLERANCES["training"], dtype) * float(np.finfo(dtype).eps) * scale * case.slack
    assert found.shape == wanted.shape, name
    assert np.abs(found - wanted).max(initial=0) <= limit, (name, found, wanted)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all pairs, each of which writes what it reads."""
    return tmp_path_factory.mktemp("pairs")


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_two_features_at_once(pair, folder):
    case = plain(folder)
    for name in pair:
        FEATURES[name][1](case)
    model, start, history = trained(case)
    twin, losses, X, targets = expected(case, model, start)
    close(case, history["loss"], losses, "history")
    for i, (arrays, others) in enumerate(zip(model.weights, programs_strategy.arrays_of(twin), strict=True)):
        for array, other in zip(arrays, others, strict=True):
            close(case, array, other, f"weights {i}")
    if model.optimizer.use_ema:
        twin.layers = [layer._replace(w=w, b=b) for layer, (w, b) in zip(twin.layers, twin.average, strict=True)]
    predictions = model.predict(case.hand_over(case.X))
    if model.targets is not None:
        weights, rows = case.fit.get("sample_weight"), slice(None)
        if case.fit.get("validation_split"):
            rows, _ = split(model.loss.strata(case.y), case.fit["validation_split"], model.seed)
        if case.as_batches:
            weights = None  # those of `adapt` in `trained`
        mean, scale = mean_and_scale(case.y[rows], None if weights is None else weights[rows])
        predictions = (predictions - mean) / scale
    close(case, predictions, twin.predict(X, model.loss.link), "predictions")
    for callback in case.fit.get("callbacks", ()):
        if isinstance(callback, EveryBatch):
            assert callback.begun == callback.ended == model._core.network.step
    if "validation_data" in case.fit or "validation_split" in case.fit:
        rows, weights = held_out(case, model, targets)
        close(case, history["val_loss"][-1], twin.evaluate(X[rows], targets[rows], weights)[0], "val_loss")
