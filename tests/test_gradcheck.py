"""Every activation with every loss against finite differences in float64; and the check itself."""

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, gradcheck

TOLERANCE = 1e-6
ALPHA = {"leaky_relu": 0.2, "elu": 1.3}


def labels(rng, n, n_outputs):
    return rng.integers(0, n_outputs, n)


def one_hot(rng, n, n_outputs):
    return np.eye(n_outputs)[labels(rng, n, n_outputs)]


def distributions(rng, n, n_outputs):
    return rng.dirichlet(np.ones(n_outputs), n)


def probabilities(rng, n, n_outputs):
    return np.where(rng.random((n, n_outputs)) < 0.5, rng.integers(0, 2, (n, n_outputs)), rng.random((n, n_outputs)))


def values(rng, n, n_outputs):
    return rng.standard_normal((n, n_outputs))


# Every loss with its options and with each kind of targets it takes.
LOSSES = {
    "softmax, labels": (fm.losses.SoftmaxCrossEntropy(), labels),
    "softmax, one-hot": (fm.losses.SoftmaxCrossEntropy(), one_hot),
    "softmax, distributions": (fm.losses.SoftmaxCrossEntropy(), distributions),
    "softmax, labels smoothed": (fm.losses.SoftmaxCrossEntropy(label_smoothing=0.2), labels),
    "softmax, distributions smoothed": (fm.losses.SoftmaxCrossEntropy(label_smoothing=0.2), distributions),
    "binary, weighted": (fm.losses.BinaryCrossEntropy(positive_weight=3.0, label_smoothing=0.1), probabilities),
    "binary, mean": (fm.losses.BinaryCrossEntropy(), probabilities),
    "binary, sum": (fm.losses.BinaryCrossEntropy(outputs="sum"), probabilities),
    "focal, labels": (fm.losses.Focal(1.5, alpha=2.0), labels),
    "focal, distributions": (fm.losses.Focal(), distributions),
    "binary focal": (fm.losses.BinaryFocal(alpha=0.3), probabilities),
    "hinge": (fm.losses.Hinge(), lambda rng, n, m: rng.integers(0, 2, (n, m))),
    "mean absolute": (fm.losses.MeanAbsoluteError(), values),
    "huber": (fm.losses.Huber(0.5), values),
    "log cosh": (fm.losses.LogCosh(), values),
    "poisson": (fm.losses.Poisson(), lambda rng, n, m: rng.poisson(2.0, (n, m))),
    "quantile": (fm.losses.Quantile(0.8), values),
    "mean squared": (fm.losses.MeanSquaredError(), values),
    "half squared": (fm.losses.HalfSquaredError(), values),
}
# Inputs, widths of the layers, samples: odd; whole panels of 8; over a panel; several blocks of 128 rows and one layer.
SHAPES = [(5, (13, 7, 3), 6), (8, (16, 8), 4), (3, (35, 17), 3), (7, (2,), 300)]

every_activation = pytest.mark.parametrize("activation", _engine.activations)
every_loss = pytest.mark.parametrize("case", LOSSES)


def network(n_inputs, widths, activation, loss, seed, last=None, use_bias=True, **options):
    """A model with random biases too: those of a new one are zero."""
    hidden = [fm.Dense(width, activation, ALPHA.get(activation), use_bias) for width in widths[:-1]]
    output = fm.Dense(widths[-1], last, ALPHA.get(last), use_bias)
    model = fm.Model([*hidden, output], loss, seed=seed, n_inputs=n_inputs, dtype="float64", **options)
    rng = np.random.default_rng(seed)
    model.weights = [(W, use_bias * rng.normal(0, 0.5, b.shape)) for W, b in model.weights]
    return model


def test_every_loss_is_here():
    alone = {fm.losses.GaussianNLL}
    assert {type(loss) for loss, _ in LOSSES.values()} | alone == set(fm.losses.BY_NAME.values())


@pytest.mark.parametrize("n_outputs", [2, 6, 34])
def test_gaussian_nll_has_an_even_number_of_outputs(n_outputs):
    model = network(5, (13, n_outputs), "tanh", "gaussian_nll", 0)
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((7, 5)), values(rng, 7, n_outputs // 2)
    assert gradcheck.check(model, X, y, tolerance=TOLERANCE).n_kinks == 0


def test_several_quantiles_of_one_target():
    model = network(5, (13, 3), "tanh", fm.losses.Quantile((0.1, 0.5, 0.9)), 0)
    rng = np.random.default_rng(1)
    gradcheck.check(model, rng.standard_normal((7, 5)), rng.standard_normal(7), tolerance=TOLERANCE)


@every_loss
@every_activation
def test_gradients_are_the_slopes_of_the_loss(activation, case):
    """In one shape each, so that every activation and every loss meets all of them."""
    place = _engine.activations.index(activation)
    shape = (place + list(LOSSES).index(case)) % len(SHAPES)
    n_inputs, widths, n = SHAPES[shape]
    loss, targets = LOSSES[case]
    seed = 100 * shape + place
    rng = np.random.default_rng(seed)
    model = network(n_inputs, widths, activation, loss, seed)
    X = rng.standard_normal((n, n_inputs))
    result = gradcheck.check(model, X, targets(rng, n, widths[-1]), tolerance=TOLERANCE, max_entries=8, seed=seed)
    assert result.max_relative_error < TOLERANCE
    assert result.n_kinks == 0
    assert result.n_checked == sum(min(8, array.size) for pair in model.weights for array in pair)


@every_activation
@pytest.mark.parametrize("loss", ["mean_squared_error", "half_squared_error"])
@pytest.mark.parametrize("seed", range(2))
def test_an_activation_of_the_output_layer(seed, loss, activation):
    rng = np.random.default_rng(seed)
    model = network(4, (9, 11), "tanh", loss, seed, last=activation)
    result = gradcheck.check(model, rng.standard_normal((5, 4)), values(rng, 5, 11), max_entries=12)
    assert result.max_relative_error < TOLERANCE
    assert result.n_checked > 30


@every_activation
def test_layers_without_bias(activation):
    rng = np.random.default_rng(3)
    model = network(4, (9, 3), activation, "softmax_cross_entropy", 3, use_bias=False)
    result = gradcheck.check(model, rng.standard_normal((5, 4)), labels(rng, 5, 3), max_entries=None)
    assert set(result.by_parameter) == {(0, "W"), (1, "W")}
    assert result.n_checked == 4 * 9 + 9 * 3


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_several_threads(n_threads):
    rng = np.random.default_rng(4)
    model = network(6, (20, 18, 4), "silu", "softmax_cross_entropy", 4, n_threads=n_threads)
    for n in (3, 150):
        X, y = rng.standard_normal((n, 6)), labels(rng, n, 4)
        assert gradcheck.check(model, X, y, max_entries=6).max_relative_error < TOLERANCE


# ---- the check itself ----


class Wrong(fm.Model):
    """A model whose gradient of one weight is off by a part of itself."""

    where = (0, 0, (2, 5))
    factor = 1 + 1e-5

    def loss_and_gradients(self, X, y):
        loss, gradients = super().loss_and_gradients(X, y)
        layer, part, index = self.where
        gradients[layer][part][index] *= self.factor
        return loss, gradients


def data(n=6, n_inputs=4, n_outputs=3):
    rng = np.random.default_rng(7)
    return rng.standard_normal((n, n_inputs)), labels(rng, n, n_outputs)


def classifier(kind=fm.Model, activation="tanh", **options):
    return kind([fm.Dense(9, activation), fm.Dense(3)], "softmax_cross_entropy", **{"n_inputs": 4} | options)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ((0, 0, (2, 5)), r"layer 0, dW\[2, 5\]"),
        ((1, 1, (2,)), r"layer 1, db\[2\]"),
        ((1, 0, (8, 0)), r"layer 1, dW\[8, 0\]"),
    ],
)
@pytest.mark.parametrize("factor", [1 + 1e-5, 0.0, -1.0, np.nan, np.inf])
def test_a_wrong_gradient_is_found_and_named(where, name, factor, monkeypatch):
    monkeypatch.setattr(Wrong, "where", where)
    monkeypatch.setattr(Wrong, "factor", factor)
    with pytest.raises(gradcheck.GradientError, match=name) as caught:
        gradcheck.check(classifier(Wrong), *data(), max_entries=None)
    assert isinstance(caught.value, ValueError)
    result = caught.value.result
    assert (result.worst.layer, "Wb".index(result.worst.parameter), result.worst.index) == where
    assert not result.max_relative_error < 4e-6
    assert "1 of 75" in str(caught.value)


def test_the_tolerance_decides():
    result = gradcheck.check(classifier(Wrong), *data(), tolerance=1e-4, max_entries=None)
    assert 5e-6 < result.max_relative_error < 2e-5
    assert result.by_parameter[0, "W"] == result.max_relative_error
    assert result.by_parameter[1, "W"] < TOLERANCE


def test_a_wrong_derivative_of_relu_is_found(monkeypatch):
    """Leaving out kinks must not leave out errors: a slope below zero is no kink."""

    class Leaky(fm.Model):
        def loss_and_gradients(self, X, y):
            loss, _ = super().loss_and_gradients(X, y)
            leaky = fm.Model([fm.Dense(9, "leaky_relu"), fm.Dense(3)], self.loss, n_inputs=4, dtype=self.dtype)
            leaky.weights = self.weights
            return loss, leaky.loss_and_gradients(X, y)[1]

    with pytest.raises(gradcheck.GradientError, match="are wrong"):
        gradcheck.check(classifier(Leaky, "relu"), *data(), max_entries=None)


def test_weights_on_a_kink_are_left_out_and_counted():
    model = classifier(activation="relu", dtype="float64")
    (W, b), last = model.weights
    W = W.copy()
    W[:, 4] = 0  # unit 4 sits at 0 for every sample
    model.weights = [(W, b), last]
    result = gradcheck.check(model, *data(), max_entries=None)
    assert result.max_relative_error < TOLERANCE
    assert result.n_kinks == 4 + 1  # its weights and its bias
    assert result.n_checked == 75 - 5


def test_a_kink_close_by_is_stepped_over():
    model = fm.Model([fm.Dense(1, "relu"), fm.Dense(1)], n_inputs=1, dtype="float64")
    for near in (3e-4, -3e-4, 2e-5, -2e-5):
        model.weights = [([[1.0]], [near - 1.0]), ([[2.0]], [0.1])]
        result = gradcheck.check(model, [[1.0]], [[5.0]])
        assert result.max_relative_error < TOLERANCE
        assert (result.n_checked, result.n_kinks) == (4, 0)


def test_nothing_but_kinks_is_an_error():
    model = fm.Model([fm.Dense(1, "relu", use_bias=False)], n_inputs=1, dtype="float64")
    model.weights = [([[0.0]], [0.0])]
    with pytest.raises(ValueError, match="1 entries lie on kinks"):
        gradcheck.check(model, [[1.0]], [[5.0]])


def test_all_gradients_zero_is_fine():
    model = fm.Model([fm.Dense(2)], n_inputs=3, dtype="float64")
    assert gradcheck.check(model, np.zeros((2, 3)), np.zeros((2, 2))).max_relative_error == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_model_is_left_as_it_was(dtype):
    model = classifier(dtype=dtype, optimizer="adam")
    X, y = data()
    model.fit(X, y, epochs=3, verbose=0)
    before = [array.tobytes() for pair in model.weights for array in pair]
    result = gradcheck.check(model, X, y)
    assert result.max_relative_error < TOLERANCE  # of a float32 model too: on a copy in float64
    assert [array.tobytes() for pair in model.weights for array in pair] == before
    assert model.dtype == dtype


def test_an_unbuilt_model_is_checked_and_stays_unbuilt():
    model = classifier(n_inputs=None)
    assert gradcheck.check(model, *data()).max_relative_error < TOLERANCE
    assert not model.built


def test_max_entries_draws_from_each_parameter():
    model = classifier()
    found = [gradcheck.check(model, *data(), max_entries=5, seed=seed) for seed in (0, 0, 1)]
    assert found[0].n_checked == 5 + 5 + 5 + 3
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tolerance": 0}, ValueError, "tolerance .* not 0"),
        ({"tolerance": "small"}, TypeError, "tolerance .* 'small'"),
        ({"tolerance": float("nan")}, ValueError, "tolerance .* nan"),
        ({"max_entries": 0}, ValueError, "max_entries .* not 0"),
        ({"max_entries": 2.5}, TypeError, r"max_entries .* 2\.5"),
        ({"seed": -1}, ValueError, "seed .* -1"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        gradcheck.check(classifier(), *data(), **options)


def test_wrong_data_and_an_infinite_loss():
    with pytest.raises(ValueError, match="5 columns"):
        gradcheck.check(classifier(), np.zeros((2, 5)), [0, 1])
    model = fm.Model([fm.Dense(1)], n_inputs=1, dtype="float64")
    model.weights = [([[1e200]], [0.0])]
    with pytest.raises(ValueError, match="the loss is inf"):
        gradcheck.check(model, [[1.0]], [[0.0]])


def test_only_models_are_checked():
    with pytest.raises(TypeError, match=r"model must be a fastmlp\.Model, not int"):
        fm.gradcheck.check(3, np.ones((2, 2)), [0, 1])


def test_a_class_of_ones_own_may_pickle_as_it_wants():
    class Noted(fm.Model):
        def __getstate__(self):
            return {"note": "mine", "rest": super().__getstate__()}

        def __setstate__(self, state):
            super().__setstate__(state["rest"])

    model = Noted([fm.Dense(3, "tanh"), fm.Dense(1)])
    X = np.random.default_rng(0).standard_normal((9, 4))
    assert fm.gradcheck.check(model, X, X[:, :1]).max_relative_error < 1e-6
