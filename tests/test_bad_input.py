"""What users get wrong: every mistake is a ValueError or TypeError that shows the value, and changes nothing.

Each line of the tables is one mistake: what it is, the call, and what the message must hold. `Scene` trains a model
first, so that weights, optimizer state and the order of the epochs all have something to lose.
"""

import datetime
import decimal
import fractions
import re

import numpy as np
import pytest

import fastmlp as fm

NAN, INF = float("nan"), float("inf")


class Scene:
    """A trained classifier (5 inputs, 3 classes), two regressions and a binary classifier, with data for each."""

    def __init__(self):
        rng = np.random.default_rng(1)
        self.X = rng.standard_normal((40, 5))
        self.y = rng.integers(0, 3, 40)
        self.t = rng.standard_normal((40, 2))
        hidden = fm.Dense(7, "tanh")
        self.model = fm.Model([hidden, fm.Dense(3)], "softmax_cross_entropy", "adam")
        self.double = fm.Model([hidden, fm.Dense(3)], "softmax_cross_entropy", "adam", dtype="float64")
        self.regression = fm.Model([hidden, fm.Dense(2)], "mean_squared_error", fm.SGD(0.01, momentum=0.9))
        self.single = fm.Model([hidden, fm.Dense(1)], "half_squared_error")
        self.binary = fm.Model([hidden, fm.Dense(1)], "binary_cross_entropy", "rmsprop")
        self.new = fm.Model([hidden, fm.Dense(3)], "softmax_cross_entropy")
        self.data = [
            (self.model, self.y), (self.double, self.y), (self.regression, self.t), (self.single, self.t[:, 0]),
            (self.binary, self.y > 0),
        ]  # fmt: skip
        for model, y in self.data:
            model.fit(self.X, y, batch_size=7, epochs=2, verbose=0)

    def models(self):
        return [self.new, *(model for model, _ in self.data)]

    def state(self):
        """Everything that must not change, as bytes."""
        return [repr([model.built, model.seed, model.layers, model.loss, model.optimizer, model.stop_training,
                      *(np.asarray(a).tobytes() for a in arrays_of(model))]) for model in self.models()]  # fmt: skip

    def put(self, value, at=(3, 2)):
        """X with one number in it."""
        X = self.X.copy()
        X[at] = value
        return X


def arrays_of(model):
    """Weights, optimizer states, counts."""
    if not model.built:
        return []
    state = model._core.__getstate__()
    pairs = [*state["weights"], *(pair for pairs in state["training"]["states"].values() for pair in pairs)]
    counts = [state["training"][name] for name in ("step", "updates", "pending", "epoch", "powers")]
    return [*(array for pair in pairs for array in pair), *counts]


def changed(pairs, layer, part, array):
    """Weights with one array in place of another."""
    pairs = [list(pair) for pair in pairs]
    pairs[layer][part] = array
    return pairs


# ---- wrong samples: for every entry point that takes X ----

X_MISTAKES = {
    "NaN": (lambda s: s.put(NAN), ValueError, ["nan", "(3, 2)"]),
    "infinity": (lambda s: s.put(INF), ValueError, ["inf", "(3, 2)"]),
    "minus infinity, last": (lambda s: s.put(-INF, (39, 4)), ValueError, ["-inf", "(39, 4)"]),
    "NaN in float16": (lambda s: s.put(NAN).astype(np.float16), ValueError, ["nan", "(3, 2)"]),
    "NaN in a list": (lambda s: s.put(NAN).tolist(), ValueError, ["nan", "(3, 2)"]),
    "two infinities": (lambda s: np.where(s.put(1) > 1, INF, -INF), ValueError, ["inf"]),
    "too large for float32": (lambda s: s.put(1e300), ValueError, ["1e+300", "(3, 2)", "float32"]),
    "a column too many": (lambda s: np.ones((40, 6)), ValueError, ["6", "5", "(40, 6)"]),
    "a column too few": (lambda s: s.X[:, :4], ValueError, ["4", "5", "(40, 4)"]),
    "images of another size": (lambda s: np.ones((40, 2, 3)), ValueError, ["(40, 2, 3)", "5"]),
    "one sample without its axis": (lambda s: s.X[0], ValueError, ["(5,)", "[None, :]"]),
    "a number": (lambda s: 3.5, ValueError, ["3.5"]),
    "no samples": (lambda s: s.X[:0], ValueError, ["(0, 5)"]),
    "no columns": (lambda s: s.X[:, :0], ValueError, ["(40, 0)"]),
    "an empty list": (lambda s: [], ValueError, ["(0,)"]),
    "None": (lambda s: None, TypeError, ["None"]),
    "text": (lambda s: "digits.csv", TypeError, ["digits.csv"]),
    "bytes": (lambda s: b"\x01\x02", TypeError, ["x01"]),
    "text in numbers' place": (lambda s: s.X.astype(str), TypeError, ["<U", str(Scene().X[0, 0])[:6]]),
    "objects": (lambda s: s.X.astype(object), TypeError, ["object", "0.345"]),
    "decimals": (lambda s: [[decimal.Decimal(1)] * 5] * 40, TypeError, ["Decimal"]),
    "missing values as None": (lambda s: [[1.0, None, 2.0, 3.0, 4.0]] * 40, TypeError, ["object"]),
    "complex": (lambda s: s.X + 1j, TypeError, ["complex128"]),
    "dates": (lambda s: np.full((40, 5), datetime.date(2020, 1, 2), "M8[D]"), TypeError, ["datetime64", "2020-01-02"]),
    "durations": (lambda s: np.ones((40, 5), "m8[s]"), TypeError, ["timedelta64"]),
    "a structured array": (lambda s: np.zeros(40, [("a", "f4")] * 1), TypeError, ["'a'"]),
    "ragged rows": (lambda s: [[1.0] * 5] * 39 + [[1.0] * 4], ValueError, ["inhomogeneous", "(40,)"]),
    "a dictionary": (lambda s: {"a": 1}, TypeError, ["{'a': 1}"]),
    "a set": (lambda s: {1.0}, TypeError, ["{1.0}"]),
    "a generator": (lambda s: (row for row in s.X), TypeError, ["generator"]),
    "a class": (lambda s: float, TypeError, ["float"]),
}

X_ENTRIES = {
    "fit": lambda s, X: s.model.fit(X, s.y, verbose=0),
    "train_on_batch": lambda s, X: s.model.train_on_batch(X, s.y),
    "loss_and_gradients": lambda s, X: s.model.loss_and_gradients(X, s.y),
    "evaluate": lambda s, X: s.model.evaluate(X, s.y),
    "predict": lambda s, X: s.model.predict(X),
    "scores": lambda s, X: s.model.scores(X),
    "validation_data": lambda s, X: s.model.fit(s.X, s.y, validation_data=(X, s.y), verbose=0),
    "validation_data of a new model": lambda s, X: s.new.fit(s.X, s.y, validation_data=(X, s.y), verbose=0),
    "gradcheck": lambda s, X: fm.gradcheck.check(s.model, X, s.y),
}

# Of these a new model knows nothing yet, so X alone is no mistake.
TAKEN_FROM_X = {"a column too many", "a column too few", "images of another size", "one sample without its axis"}

# ---- wrong targets: for every entry point that takes y ----

Y_MISTAKES = {
    "a label too large": ("model", lambda s: np.where(s.y == 2, 3, s.y), ValueError, ["label 3", "0 to 2"]),
    "a huge label": ("model", lambda s: np.full(40, 2**63, np.uint64), ValueError, [str(2**63)]),
    "a negative label": ("model", lambda s: s.y - 1, ValueError, ["-1", "0 to 2"]),
    "half a label": ("model", lambda s: np.where(s.y == 1, 0.5, s.y), ValueError, ["0.5"]),
    "a NaN label": ("model", lambda s: np.where(s.y == 1, NAN, s.y), ValueError, ["nan"]),
    "an infinite label": ("model", lambda s: np.where(s.y == 1, INF, s.y), ValueError, ["inf"]),
    "labels as text": ("model", lambda s: np.array(["cat", "dog"] * 20), TypeError, ["cat"]),
    "labels as objects": ("model", lambda s: s.y.astype(object), TypeError, ["object"]),
    "complex labels": ("model", lambda s: s.y + 0j, TypeError, ["complex128"]),
    "no labels": ("model", lambda s: None, TypeError, ["None"]),
    "one label": ("model", lambda s: 1, ValueError, ["()", "40"]),
    "a label too few": ("model", lambda s: s.y[:-1], ValueError, ["(39,)", "40"]),
    "empty labels": ("model", lambda s: s.y[:0], ValueError, ["(0,)", "40"]),
    "labels in a row": ("model", lambda s: s.y[None], ValueError, ["(1, 40)", "40"]),
    "a class too many": ("model", lambda s: np.eye(4)[s.y], ValueError, ["(40, 4)", "3"]),
    "rows that are no distribution": ("model", lambda s: np.eye(3)[s.y] * 2, ValueError, ["2"]),
    "a negative probability": ("model", lambda s: np.tile([1.5, -0.5, 0], (40, 1)), ValueError, ["-0.5"]),
    "NaN in one-hot rows": ("model", lambda s: np.eye(3)[s.y] * NAN, ValueError, ["nan"]),
    "a regression's target": ("model", lambda s: s.X[:, 0], ValueError, [str(Scene().X[0, 0])[:6]]),
    "integers for probabilities": ("model", lambda s: np.full((40, 3), 5), ValueError, ["15"]),
    "labels for a regression": ("regression", lambda s: s.y, ValueError, ["(40,)", "2", "softmax_cross_entropy"]),
    "one column for two": ("regression", lambda s: s.t[:, :1], ValueError, ["(40, 1)", "(40, 2)"]),
    "three columns for two": ("regression", lambda s: np.ones((40, 3)), ValueError, ["(40, 3)", "(40, 2)"]),
    "transposed targets": ("regression", lambda s: s.t.T, ValueError, ["(2, 40)", "40"]),
    "NaN in a target": ("regression", lambda s: np.where(s.t > 1, NAN, s.t), ValueError, ["nan"]),
    "infinity in a target": ("regression", lambda s: np.where(s.t > 1, -INF, s.t), ValueError, ["-inf"]),
    "a target beyond float32": ("regression", lambda s: s.t * 1e60, ValueError, ["e+", "float32"]),
    "text for a target": ("regression", lambda s: "y", TypeError, ["'y'"]),
    "ragged targets": ("regression", lambda s: [[1, 2]] * 39 + [[1]], ValueError, ["inhomogeneous"]),
    "two columns for one": ("single", lambda s: s.t, ValueError, ["(40, 2)", "(40, 1)"]),
    "labels 1 and 2": ("binary", lambda s: 1 + (s.y > 0), ValueError, ["2", "[0, 1]"]),
    "labels -1 and 1": ("binary", lambda s: np.sign(s.t[:, 0]), ValueError, ["-1", "[0, 1]"]),
    "probabilities above 1": ("binary", lambda s: np.full((40, 1), 1.01), ValueError, ["1.01"]),
    "a NaN probability": ("binary", lambda s: np.full(40, NAN), ValueError, ["nan"]),
    "one-hot rows for one output": ("binary", lambda s: np.eye(2)[s.y % 2], ValueError, ["(40, 2)", "(40, 1)"]),
}

Y_ENTRIES = {
    "fit": lambda s, model, y: model.fit(s.X, y, verbose=0),
    "train_on_batch": lambda s, model, y: model.train_on_batch(s.X, y),
    "loss_and_gradients": lambda s, model, y: model.loss_and_gradients(s.X, y),
    "evaluate": lambda s, model, y: model.evaluate(s.X, y),
    "validation_data": lambda s, model, y: model.fit(
        s.X, dict((id(m), good) for m, good in s.data)[id(model)], validation_data=(s.X, y), verbose=0
    ),
}

# ---- wrong weights and gradients ----

PAIRS_MISTAKES = {
    "None": (lambda w: None, TypeError, ["NoneType"]),
    "an array": (lambda w: w[0][0], TypeError, ["ndarray"]),
    "text": (lambda w: "weights", TypeError, ["str"]),
    "a dictionary": (lambda w: {0: w[0]}, TypeError, ["dict"]),
    "a generator": (lambda w: (pair for pair in w), TypeError, ["generator"]),
    "a layer too few": (lambda w: w[:1], ValueError, ["1", "2"]),
    "a layer too many": (lambda w: [*w, w[0]], ValueError, ["3", "2"]),
    "nothing": (lambda w: [], ValueError, ["0", "2"]),
    "weights without bias": (lambda w: [pair[:1] for pair in w], ValueError, ["1", "(W, b)"]),
    "flat list": (lambda w: [w[0][0], w[0][1]], TypeError, ["ndarray"]),
    "numbers for pairs": (lambda w: [1.5, 2.5], TypeError, ["float"]),
    "text for pairs": (lambda w: ["ab", "cd"], TypeError, ["str"]),
    "transposed W": (lambda w: changed(w, 0, 0, w[0][0].T), ValueError, ["(7, 5)", "(5, 7)"]),
    "b as a row": (lambda w: changed(w, 1, 1, w[1][1][None]), ValueError, ["(1, 3)", "(3,)"]),
    "W as a number": (lambda w: changed(w, 0, 0, 0.0), ValueError, ["()", "(5, 7)"]),
    "NaN in W": (lambda w: changed(w, 1, 0, w[1][0] * NAN), ValueError, ["nan", "[1][0]", "(0, 0)"]),
    "infinity in b": (lambda w: changed(w, 0, 1, np.full(7, INF)), ValueError, ["inf", "[0][1]"]),
    "W beyond float32": (lambda w: changed(w, 0, 0, np.full((5, 7), 1e39)), ValueError, ["1e+39", "float32"]),
    "objects in W": (lambda w: changed(w, 0, 0, w[0][0].astype(object)), TypeError, ["object"]),
    "text in b": (lambda w: changed(w, 0, 1, ["a"] * 7), TypeError, ["'a'"]),
    "complex W": (lambda w: changed(w, 0, 0, w[0][0] * 1j), TypeError, ["complex"]),
    "None in place of b": (lambda w: changed(w, 0, 1, None), TypeError, ["None"]),
    "ragged W": (lambda w: changed(w, 0, 0, [[1.0] * 7] * 4 + [[1.0]]), ValueError, ["inhomogeneous"]),
}

# ---- wrong arguments of fit ----

FIT_MISTAKES = {
    "epochs of zero": ({"epochs": 0}, ValueError, ["epochs", "0"]),
    "negative epochs": ({"epochs": -3}, ValueError, ["epochs", "-3"]),
    "half an epoch": ({"epochs": 0.5}, TypeError, ["epochs", "0.5"]),
    "epochs as text": ({"epochs": "10"}, TypeError, ["epochs", "'10'"]),
    "epochs as a bool": ({"epochs": True}, TypeError, ["epochs", "True"]),
    "no epochs": ({"epochs": None}, TypeError, ["epochs", "None"]),
    "endless epochs": ({"epochs": 10**30}, ValueError, ["epochs", str(10**30)]),
    "a batch of zero": ({"batch_size": 0}, ValueError, ["batch_size", "0"]),
    "a negative batch": ({"batch_size": -1}, ValueError, ["batch_size", "-1"]),
    "a fractional batch": ({"batch_size": 32.0}, TypeError, ["batch_size", "32.0"]),
    "a NaN batch": ({"batch_size": NAN}, TypeError, ["batch_size", "nan"]),
    "no batch": ({"batch_size": None}, TypeError, ["batch_size", "None"]),
    "verbose 3": ({"verbose": 3}, ValueError, ["verbose", "3"]),
    "verbose as text": ({"verbose": "loud"}, ValueError, ["verbose", "'loud'"]),
    "verbose as an array": ({"verbose": np.ones(2)}, ValueError, ["verbose", "[1., 1.]"]),
    "shuffle as text": ({"shuffle": "no"}, TypeError, ["shuffle", "'no'"]),
    "shuffle as a number": ({"shuffle": 2}, TypeError, ["shuffle", "2"]),
    "callbacks by their class": ({"callbacks": [fm.Callback]}, TypeError, ["class Callback", "Callback(...)"]),
    "callbacks as a number": ({"callbacks": 7}, TypeError, ["callbacks", "7"]),
    "a class for a callback": ({"callbacks": [fm.Callback]}, TypeError, ["callbacks", "class"]),
    "a function for a callback": ({"callbacks": [fm.Callback(), print]}, TypeError, ["callbacks", "print"]),
    "validation without targets": ({"validation_data": np.ones((4, 5))}, TypeError, ["validation_data", "ndarray"]),
    "validation of four": ({"validation_data": (1, 2, 3, 4)}, TypeError, ["validation_data", "4"]),
    "validation weights too few": (
        {"validation_data": (np.ones((4, 5)), [0, 1, 2, 0], [1, 2])},
        ValueError,
        ["validation_data[2]", "(2,)", "4"],
    ),
    "weights too few": ({"sample_weight": np.ones(39)}, ValueError, ["sample_weight", "(39,)", "40"]),
    "a matrix of weights": ({"sample_weight": np.ones((40, 2))}, ValueError, ["sample_weight", "(40, 2)"]),
    "one weight": ({"sample_weight": 2.0}, ValueError, ["sample_weight", "()"]),
    "a negative weight": (
        {"sample_weight": np.where(np.arange(40) == 7, -0.5, 1)},
        ValueError,
        ["sample_weight", "-0.5", "index 7"],
    ),
    "a NaN weight": (
        {"sample_weight": np.where(np.arange(40) == 7, NAN, 1)},
        ValueError,
        ["sample_weight", "nan", "7"],
    ),
    "an infinite weight": ({"sample_weight": np.full(40, INF)}, ValueError, ["sample_weight", "inf"]),
    "a weight beyond float32": (
        {"sample_weight": np.full(40, 1e39)},
        ValueError,
        ["sample_weight", "1e+39", "float32"],
    ),
    "weights as text": ({"sample_weight": "balanced"}, TypeError, ["sample_weight", "balanced"]),
    "class weights as a list": ({"class_weight": [1, 2, 3]}, TypeError, ["class_weight", "[1, 2, 3]"]),
    "class weights as text": ({"class_weight": "balanced"}, TypeError, ["class_weight", "'balanced'"]),
    "a class that is not there": ({"class_weight": {3: 1.0}}, ValueError, ["class_weight", "3", "0 to 2"]),
    "a class by name": ({"class_weight": {"cat": 1.0}}, ValueError, ["class_weight", "'cat'"]),
    "a negative class weight": ({"class_weight": {1: -1.0}}, ValueError, ["class_weight[1]", "-1.0"]),
    "a class weight as text": ({"class_weight": {1: "2"}}, TypeError, ["class_weight[1]", "'2'"]),
    "a product of weights beyond float32": (
        {"class_weight": {0: 1e30}, "sample_weight": np.full(40, 1e30)},
        ValueError,
        ["class_weight", "e+60"],
    ),
    "validation as a number": ({"validation_data": 0.2}, TypeError, ["validation_data", "float"]),
}


@pytest.fixture(scope="module")
def shared():
    """One scene for all: no test may leave a mark on it, as the state is compared after each."""
    return Scene()


def refused(shared, call, error, shown):
    """The call fails as it should, and nothing has changed."""
    before = shared.state()
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error  # no subclass: a UnicodeDecodeError is a ValueError too
    message = str(caught.value)
    for text in shown:
        assert text in message, f"{text!r} is not in: {message}"
    assert shared.state() == before


@pytest.mark.parametrize("entry", X_ENTRIES)
@pytest.mark.parametrize("mistake", X_MISTAKES)
def test_wrong_samples_are_refused(mistake, entry, shared):
    make, error, shown = X_MISTAKES[mistake]
    if (mistake, entry) == ("too large for float32", "gradcheck"):
        return  # which computes in float64
    refused(shared, lambda: X_ENTRIES[entry](shared, make(shared)), error, shown)


@pytest.mark.parametrize("mistake", [name for name in X_MISTAKES if name not in TAKEN_FROM_X])
def test_wrong_samples_do_not_build_a_new_model(mistake, shared):
    make, error, shown = X_MISTAKES[mistake]
    for call in (shared.new.fit, shared.new.train_on_batch, shared.new.loss_and_gradients):
        refused(shared, lambda call=call: call(make(shared), shared.y), error, shown)
    assert not shared.new.built


@pytest.mark.parametrize("entry", Y_ENTRIES)
@pytest.mark.parametrize("mistake", Y_MISTAKES)
def test_wrong_targets_are_refused(mistake, entry, shared):
    model, make, error, shown = Y_MISTAKES[mistake]
    refused(shared, lambda: Y_ENTRIES[entry](shared, getattr(shared, model), make(shared)), error, shown)


@pytest.mark.parametrize("mistake", Y_MISTAKES)
def test_wrong_targets_do_not_build_a_new_model(mistake, shared):
    model, make, error, _ = Y_MISTAKES[mistake]
    if model == "model":
        refused(shared, lambda: shared.new.fit(shared.X, make(shared), verbose=0), error, [])
        assert not shared.new.built


@pytest.mark.parametrize("entry", ["weights", "apply_gradients"])
@pytest.mark.parametrize("mistake", PAIRS_MISTAKES)
def test_wrong_weights_and_gradients_are_refused(mistake, entry, shared):
    make, error, shown = PAIRS_MISTAKES[mistake]

    def call():
        pairs = make(shared.model.weights)
        if entry == "weights":
            shared.model.weights = pairs
        else:
            shared.model.apply_gradients(pairs)

    refused(shared, call, error, shown)


@pytest.mark.parametrize("mistake", FIT_MISTAKES)
def test_wrong_arguments_of_fit_are_refused(mistake, shared):
    options, error, shown = FIT_MISTAKES[mistake]
    for model in (shared.model, shared.new):
        refused(shared, lambda model=model: model.fit(shared.X, shared.y, **{"verbose": 0} | options), error, shown)


# ---- wrong models ----

DENSE = [fm.Dense(3)]
CONSTRUCTORS = {
    "no layers": (lambda: fm.Model([]), ValueError, ["empty"]),
    "a layer without its list": (lambda: fm.Model(fm.Dense(3)), TypeError, ["Dense(3)"]),
    "a set of layers": (lambda: fm.Model({fm.Dense(3)}), TypeError, ["Dense(3)"]),
    "None for layers": (lambda: fm.Model(None), TypeError, ["None"]),
    "text for layers": (lambda: fm.Model("relu"), TypeError, ["'relu'"]),
    "a number for a layer": (lambda: fm.Model([512, 10]), TypeError, ["512"]),
    "a list in the list": (lambda: fm.Model([[fm.Dense(3)]]), TypeError, ["Dense(3)"]),
    "the class for a layer": (lambda: fm.Model([fm.Dense]), TypeError, ["Dense"]),
    "an unknown loss": (lambda: fm.Model(DENSE, "msse"), ValueError, ["'msse'", "mean_squared_error"]),
    "another library's loss": (lambda: fm.Model(DENSE, "l2"), ValueError, ["'l2'", "'mean_squared_error'"]),
    "another library's optimizer": (lambda: fm.Model(DENSE, optimizer="AMSGrad"), ValueError, ["amsgrad=True"]),
    "another library's clipping": (lambda: fm.Adam(clipnorm=1.0), TypeError, ["clipnorm", "global_clipnorm"]),
    "no loss": (lambda: fm.Model(DENSE, None), TypeError, ["None"]),
    "a number for a loss": (lambda: fm.Model(DENSE, 3), TypeError, ["3"]),
    "a class for a loss": (lambda: fm.Model(DENSE, fm.losses.MeanSquaredError), TypeError, ["MeanSquaredError"]),
    "an unknown optimizer": (lambda: fm.Model(DENSE, optimizer="tiger"), ValueError, ["'tiger'", "adam"]),
    "no optimizer": (lambda: fm.Model(DENSE, optimizer=None), TypeError, ["None"]),
    "a class for an optimizer": (lambda: fm.Model(DENSE, optimizer=fm.Adam), TypeError, ["Adam"]),
    "the base of optimizers": (lambda: fm.Model(DENSE, optimizer=fm.optimizers.Optimizer()), TypeError, ["Optimizer"]),
    "softmax of one": (lambda: fm.Model([fm.Dense(1)], "softmax_cross_entropy"), ValueError, ["at least 2"]),
    "relu before softmax": (
        lambda: fm.Model([fm.Dense(3, "relu")], "softmax_cross_entropy"), ValueError, ["'relu'", "raw scores"]),
    "sigmoid twice": (lambda: fm.Model([fm.Dense(3, "sigmoid")], "binary_cross_entropy"), ValueError, ["'sigmoid'"]),
    "a negative seed": (lambda: fm.Model(DENSE, seed=-1), ValueError, ["seed", "-1"]),
    "a seed of 65 bits": (lambda: fm.Model(DENSE, seed=2**64), ValueError, ["seed", f"not {2**64}"]),
    "a fractional seed": (lambda: fm.Model(DENSE, seed=1.5), TypeError, ["seed", "1.5"]),
    "a bool for a seed": (lambda: fm.Model(DENSE, seed=True), TypeError, ["seed", "True"]),
    "text for a seed": (lambda: fm.Model(DENSE, seed="0"), TypeError, ["seed", "'0'"]),
    "no inputs": (lambda: fm.Model(DENSE, n_inputs=0), ValueError, ["n_inputs", "0"]),
    "negative inputs": (lambda: fm.Model(DENSE, n_inputs=-4), ValueError, ["n_inputs", "-4"]),
    "fractional inputs": (lambda: fm.Model(DENSE, n_inputs=4.0), TypeError, ["n_inputs", "4.0"]),
    "a shape for inputs": (lambda: fm.Model(DENSE, n_inputs=(28, 28)), TypeError, ["n_inputs", "(28, 28)"]),
    "huge inputs": (lambda: fm.Model(DENSE, n_inputs=2**62), ValueError, ["n_inputs", str(2**62)]),
    "weights beyond memory": (
        lambda: fm.Model([fm.Dense(2**31 - 1), fm.Dense(3)], n_inputs=2**30), ValueError, [str(2**30), str(2**31 - 1)]),
    "half precision": (lambda: fm.Model(DENSE, dtype="float16"), ValueError, ["dtype", "float16"]),
    "integers": (lambda: fm.Model(DENSE, dtype=int), ValueError, ["dtype", "int64"]),
    "no dtype": (lambda: fm.Model(DENSE, dtype=None), ValueError, ["dtype", "None"]),
    "an unknown dtype": (lambda: fm.Model(DENSE, dtype="single precision"), ValueError, ["'single precision'"]),
    "no threads": (lambda: fm.Model(DENSE, n_threads=0), ValueError, ["n_threads", "0"]),
    "negative threads": (lambda: fm.Model(DENSE, n_threads=-1), ValueError, ["n_threads", "-1"]),
    "too many threads": (lambda: fm.Model(DENSE, n_threads=10**6), ValueError, ["n_threads", "1000000"]),
    "a bool for threads": (lambda: fm.Model(DENSE, n_threads=True), TypeError, ["n_threads", "True"]),
    "a layer of no units": (lambda: fm.Dense(0), ValueError, ["units", "0"]),
    "negative units": (lambda: fm.Dense(-5), ValueError, ["units", "-5"]),
    "fractional units": (lambda: fm.Dense(2.5), TypeError, ["units", "2.5"]),
    "units as text": (lambda: fm.Dense("10"), TypeError, ["units", "'10'"]),
    "units as a bool": (lambda: fm.Dense(True), TypeError, ["units", "True"]),
    "units of None": (lambda: fm.Dense(None), TypeError, ["units", "None"]),
    "huge units": (lambda: fm.Dense(2**40), ValueError, ["units", str(2**40)]),
    "an unknown activation": (lambda: fm.Dense(3, "rellu"), ValueError, ["'rellu'", "'relu'"]),
    "a function for an activation": (lambda: fm.Dense(3, np.tanh), TypeError, ["tanh"]),
    "softmax as an activation": (lambda: fm.Dense(3, "softmax"), ValueError, ["'softmax'", "raw scores"]),
    "alpha for relu": (lambda: fm.Dense(3, "relu", alpha=0.1), ValueError, ["alpha", "0.1", "'relu'"]),
    "a negative alpha": (lambda: fm.Dense(3, "elu", alpha=-1.0), ValueError, ["alpha", "-1.0"]),
    "a NaN alpha": (lambda: fm.Dense(3, "elu", alpha=NAN), ValueError, ["alpha", "nan"]),
    "alpha as text": (lambda: fm.Dense(3, "elu", alpha="1"), TypeError, ["alpha", "'1'"]),
    "use_bias as a number": (lambda: fm.Dense(3, use_bias=1), TypeError, ["use_bias", "1"]),
    "an unknown initializer": (lambda: fm.Dense(3, initializer="xavier"), ValueError, ["'xavier'", "'he_uniform'"]),
    "an initializer of None's type": (lambda: fm.Dense(3, initializer=0), TypeError, ["initializer", "0"]),
    "a negative rate": (lambda: fm.SGD(-0.1), ValueError, ["learning_rate", "-0.1"]),
    "an infinite rate": (lambda: fm.Adam(INF), ValueError, ["learning_rate", "inf"]),
    "a NaN rate": (lambda: fm.RMSprop(NAN), ValueError, ["learning_rate", "nan"]),
    "a rate as text": (lambda: fm.AdamW("1e-3"), TypeError, ["learning_rate", "'1e-3'"]),
    "a rate as a bool": (lambda: fm.SGD(True), TypeError, ["learning_rate", "True"]),
    "a complex rate": (lambda: fm.SGD(1j), TypeError, ["learning_rate", "1j"]),
    "no rate": (lambda: fm.SGD(None), TypeError, ["learning_rate", "None"]),
    "a rate beyond floats": (lambda: fm.SGD(10**400), ValueError, ["learning_rate"]),
    "a fraction beyond floats": (lambda: fm.SGD(fractions.Fraction(10**400)), ValueError, ["learning_rate"]),
    "momentum of 1": (lambda: fm.SGD(0.1, momentum=1.0), ValueError, ["momentum", "1.0"]),
    "negative momentum": (lambda: fm.SGD(0.1, momentum=-0.5), ValueError, ["momentum", "-0.5"]),
    "nesterov without momentum": (lambda: fm.SGD(0.1, nesterov=True), ValueError, ["nesterov", "momentum"]),
    "nesterov as a number": (lambda: fm.SGD(0.1, 0.9, nesterov=1), TypeError, ["nesterov", "1"]),
    "rho of 1": (lambda: fm.RMSprop(rho=1), ValueError, ["rho", "1"]),
    "epsilon of 0": (lambda: fm.RMSprop(epsilon=0.0), ValueError, ["epsilon", "0.0"]),
    "epsilon_in_root as text": (lambda: fm.RMSprop(epsilon_in_root="yes"), TypeError, ["'yes'"]),
    "beta_1 of 1": (lambda: fm.Adam(beta_1=1.0), ValueError, ["beta_1", "1.0"]),
    "beta_2 above 1": (lambda: fm.Adam(beta_2=1.5), ValueError, ["beta_2", "1.5"]),
    "Adam's negative epsilon": (lambda: fm.Adam(epsilon=-1e-8), ValueError, ["epsilon", "-1e-08"]),
    "bias_correction of None": (lambda: fm.Adam(bias_correction=None), TypeError, ["bias_correction", "None"]),
    "negative decay": (lambda: fm.AdamW(weight_decay=-0.01), ValueError, ["weight_decay", "-0.01"]),
    "unknown outputs": (lambda: fm.losses.BinaryCrossEntropy(outputs="max"), ValueError, ["'max'", "'mean'", "'sum'"]),
    "focal, negative gamma": (lambda: fm.losses.Focal(-1.0), ValueError, ["gamma", "-1.0"]),
    "focal, too many weights": (
        lambda: fm.Model([fm.Dense(3)], fm.losses.Focal(alpha=(1, 2))), ValueError, ["alpha", "2 numbers", "3 outp"]),
    "focal of one output": (lambda: fm.Model([fm.Dense(1)], "focal"), ValueError, ["at least 2", "'binary_focal'"]),
    "binary focal, alpha of 1": (lambda: fm.losses.BinaryFocal(alpha=1.0), ValueError, ["alpha", "1.0"]),
    "binary focal, alpha as text": (lambda: fm.losses.BinaryFocal(alpha="no"), TypeError, ["alpha", "'no'"]),
    "delta of 0": (lambda: fm.losses.Huber(0), ValueError, ["delta", "0"]),
    "delta of infinity": (lambda: fm.losses.Huber(INF), ValueError, ["delta", "inf"]),
    "a level of 1": (lambda: fm.losses.Quantile(1.0), ValueError, ["levels", "1.0"]),
    "a level of 0 among others": (lambda: fm.losses.Quantile((0.5, 0)), ValueError, ["levels[1]", "0"]),
    "levels for other outputs": (
        lambda: fm.Model([fm.Dense(3)], fm.losses.Quantile((0.1, 0.9))), ValueError, ["levels", "2 numbers", "3 out"]),
    "an odd number of outputs": (lambda: fm.Model([fm.Dense(3)], "gaussian_nll"), ValueError, ["even", "3"]),
    "activated variances": (
        lambda: fm.Model([fm.Dense(2, "relu")], "gaussian_nll"), ValueError, ["no activation", "'relu'"]),
    "activated rates": (lambda: fm.Model([fm.Dense(2, "softplus")], "poisson"), ValueError, ["rates", "'softplus'"]),
    "outputs of None": (lambda: fm.losses.BinaryCrossEntropy(outputs=None), TypeError, ["None"]),
    "smoothing of 1": (lambda: fm.losses.SoftmaxCrossEntropy(1.0), ValueError, ["label_smoothing", "1.0"]),
    "negative smoothing": (
        lambda: fm.losses.BinaryCrossEntropy(label_smoothing=-0.1), ValueError, ["label_smoothing", "-0.1"]),
    "smoothing as text": (lambda: fm.losses.SoftmaxCrossEntropy("0.1"), TypeError, ["label_smoothing", "'0.1'"]),
    "a positive weight of 0": (
        lambda: fm.losses.BinaryCrossEntropy(positive_weight=0), ValueError, ["positive_weight", "0"]),
    "a NaN among positive weights": (
        lambda: fm.losses.BinaryCrossEntropy(positive_weight=[1, NAN]), ValueError, ["positive_weight[1]", "nan"]),
    "no positive weights": (
        lambda: fm.losses.BinaryCrossEntropy(positive_weight=[]), TypeError, ["positive_weight", "[]"]),
    "too many positive weights": (
        lambda: fm.Model([fm.Dense(3)], fm.losses.BinaryCrossEntropy(positive_weight=(1, 2))), ValueError,
        ["positive_weight", "2 numbers", "3 outputs"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", CONSTRUCTORS)
def test_wrong_models_are_refused(mistake):
    make, error, shown = CONSTRUCTORS[mistake]
    with pytest.raises(error) as caught:
        make()
    assert type(caught.value) is error
    for text in shown:
        assert text in str(caught.value), f"{text!r} is not in: {caught.value}"


# ---- single cases ----


@pytest.mark.parametrize(("loss", "n_outputs", "y", "shown"), [
    ("poisson", 2, -np.ones((40, 2)), ["-1", "Poisson", "at least 0"]),
    ("hinge", 1, np.linspace(-1, 1, 40), ["Hinge", "-1 and 1", "-0.9"]),
    ("hinge", 1, np.arange(40), ["39", "Hinge"]),
    ("hinge", 1, np.arange(40) % 3 - 1, ["-1", "Hinge"]),
    ("gaussian_nll", 4, np.ones((40, 4)), ["(40, 4)", "(40, 2)", "GaussianNLL"]),
    (fm.losses.Quantile((0.1, 0.5, 0.9)), 3, np.ones((40, 3)), ["(40, 3)", "(40, 1)", "Quantile"]),
    (fm.losses.Quantile(0.1), 3, np.ones(40), ["(40,)", "(40, 3)", "Quantile"]),
    ("focal", 3, np.full(40, 3), ["label 3", "0 to 2"]),
    ("binary_focal", 1, np.full(40, 1.5), ["1.5", "[0, 1]"]),
])  # fmt: skip
def test_targets_that_a_loss_does_not_take(loss, n_outputs, y, shown, shared):
    model = fm.Model([fm.Dense(n_outputs)], loss, n_inputs=5)
    before = model.weights[0][0].tobytes()
    for call in (lambda: model.fit(shared.X, y, verbose=0), lambda: model.evaluate(shared.X, y)):
        with pytest.raises(ValueError, match=re.escape(shown[0])) as caught:
            call()
        for text in shown:
            assert text in str(caught.value)
    assert model.weights[0][0].tobytes() == before


def test_class_weight_needs_classes(shared):
    for model, y in ((shared.regression, shared.t), (shared.single, shared.t[:, 0])):
        refused(
            shared, lambda model=model, y=y: model.fit(shared.X, y, class_weight={0: 2.0}, verbose=0), ValueError,
            ["class_weight", "sample_weight", type(model.loss).__name__],
        )  # fmt: skip
    several = fm.Model([fm.Dense(3)], "binary_cross_entropy")
    refused(
        shared, lambda: several.fit(shared.X, np.eye(3)[shared.y], class_weight={0: 2.0}, verbose=0), ValueError,
        ["class_weight", "3 outputs"],
    )  # fmt: skip


def test_a_loss_of_ones_own_takes_no_weights():
    model = fm.Model([fm.Dense(1)], lambda scores, targets: (0.0, 0 * scores), n_inputs=2)
    X, y = np.ones((4, 2)), np.ones((4, 1))
    for weights in ({"sample_weight": np.ones(4)}, {"class_weight": {0: 1.0}}):
        with pytest.raises(ValueError, match="loss for each sample"):
            model.fit(X, y, verbose=0, **weights)
    with pytest.raises(ValueError, match="loss for each sample"):
        model.evaluate(X, y, np.ones(4))


def test_weights_of_batches_come_with_the_batches(shared):
    data = [(shared.X, shared.y)]
    refused(shared, lambda: shared.model.fit(data, sample_weight=np.ones(40), verbose=0), ValueError, ["X, y, sample"])
    data = [(shared.X, shared.y, -np.ones(40))]
    refused(shared, lambda: shared.model.fit(data, verbose=0), ValueError, ["sample_weight of batch 0", "-1.0"])


def test_a_model_without_weights_says_so(shared, tmp_path):
    calls = [
        lambda: shared.new.predict(shared.X), lambda: shared.new.scores(shared.X), lambda: shared.new.weights,
        lambda: shared.new.evaluate(shared.X, shared.y), lambda: shared.new.save(tmp_path / "new.safetensors"),
        lambda: shared.new.apply_gradients([]), lambda: setattr(shared.new, "weights", []),
    ]  # fmt: skip
    for call in calls:
        refused(shared, call, ValueError, ["no weights"])
    assert not list(tmp_path.iterdir())


def test_build_with_another_width_is_refused(shared):
    refused(shared, lambda: shared.model.build(6), ValueError, ["5", "6"])
    refused(shared, lambda: shared.model.build("5"), TypeError, ["'5'"])
    refused(shared, lambda: shared.new.build(-1), ValueError, ["-1"])
    assert shared.model.build(5) is shared.model


def test_a_bias_that_a_layer_does_not_use_must_stay_zero():
    model = fm.Model([fm.Dense(2, use_bias=False)], n_inputs=1)
    before = model.weights[0][0].tobytes()
    with pytest.raises(ValueError, match=r"0\.5.*use_bias=False"):
        model.weights = [([[3.0, 4.0]], [0.0, 0.5])]
    assert model.weights[0][0].tobytes() == before


def test_another_loss_or_optimizer_is_refused_too(shared):
    refused(shared, lambda: setattr(shared.model, "optimizer", "tiger"), ValueError, ["'tiger'"])
    refused(shared, lambda: setattr(shared.model, "optimizer", 0.1), TypeError, ["0.1"])
    refused(shared, lambda: setattr(shared.model, "optimizer", fm.optimizers.Optimizer()), TypeError, ["Optimizer"])
    refused(shared, lambda: setattr(shared.model, "loss", "mean_squared_error"), AttributeError, ["loss"])


def test_numbers_beyond_float32_suit_float64(shared):
    X = shared.put(1e300)
    assert np.isfinite(shared.double.predict(X)).all()
    assert np.isfinite(shared.model.predict(shared.put(3.4e38))).all()


def test_large_arrays_are_searched_to_the_end(shared):
    """Checks go through the data in parts of some megabytes."""
    X = np.zeros((300_000, 5))
    X[-1, -1] = NAN
    refused(shared, lambda: shared.model.predict(X), ValueError, ["nan", "(299999, 4)"])
    X[-1, -1] = 1e39
    refused(shared, lambda: shared.model.predict(X), ValueError, ["1e+39", "(299999, 4)"])
    y = np.zeros(300_000)
    y[-2] = INF
    X[-1, -1] = 0
    refused(shared, lambda: shared.model.evaluate(X, y), ValueError, ["inf", "299998"])
    X[:] = 3e38  # finite, though their sum in float32 is not
    assert np.isfinite(shared.model.predict(X.astype(np.float32)[:1000])).all()


def test_after_all_this_every_model_still_trains():
    scene, untouched = Scene(), Scene()
    for make, error, _ in X_MISTAKES.values():
        with pytest.raises(error):
            scene.model.fit(make(scene), scene.y, verbose=0)
    for name, make, error, _ in Y_MISTAKES.values():
        with pytest.raises(error):
            getattr(scene, name).fit(scene.X, make(scene), verbose=0)
    for scene_ in (scene, untouched):
        for model, y in scene_.data:
            model.fit(scene_.X, y, batch_size=7, epochs=3, verbose=0)
    assert scene.state() == untouched.state()
