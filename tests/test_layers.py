"""fastmlp/layers.py through Model: against the twin, finite differences and any number of threads."""

import copy
import re

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, layers, reference

SOFTMAX = "softmax_cross_entropy"
STACKS = {
    "activation": [fm.Dense(9), fm.Activation("tanh"), fm.Activation("sigmoid"), fm.Dense(3)],
    "activation first": [fm.Activation("elu", 0.7), fm.Dense(3)],
    "flatten": [fm.Flatten(), fm.Dense(9, "tanh"), fm.Dense(3)],
    "dropout": [fm.Dropout(0.2), fm.Dense(19, "silu"), fm.Dropout(0.5), fm.Dense(17), fm.Dropout(0.3), fm.Dense(3)],
    "dropout last": [fm.Dense(9, "tanh"), fm.Dense(3), fm.Dropout(0.4)],
    "layer norm": [fm.Dense(20), fm.LayerNorm(), fm.Activation("gelu"), fm.Dense(3)],
    "layer norm first and last": [fm.LayerNorm(1e-2), fm.Dense(20, "tanh"), fm.Dense(3), fm.LayerNorm()],
    "batch norm": [fm.Dense(20, use_bias=False), fm.BatchNorm(0.8), fm.Activation("tanh"), fm.Dense(3)],
    "batch norm first and last": [fm.BatchNorm(0.8), fm.Dense(20, "tanh"), fm.Dense(3), fm.BatchNorm(0.5, 1e-2)],
    "batch norm twice": [fm.Dense(20), fm.BatchNorm(0.8), fm.BatchNorm(0.7), fm.Dropout(0.5), fm.Dense(3)],
    "prelu": [fm.PReLU(0.1), fm.Dense(20), fm.PReLU(), fm.Dense(3), fm.PReLU()],
    "batch norm frozen": [
        fm.Dense(20), fm.BatchNorm(0.8, trainable=False), fm.Activation("tanh"), fm.Dense(9),
        fm.BatchNorm(0.7, learning_rate_factor=0.3), fm.Dense(3),
    ],
    "frozen below": [
        fm.LayerNorm(trainable=False), fm.BatchNorm(0.8, trainable=False), fm.Dense(20, "tanh", trainable=False),
        fm.PReLU(trainable=False), fm.Dense(3), fm.PReLU(learning_rate_factor=0.5),
        fm.LayerNorm(learning_rate_factor=2.0),
    ],
    "residual": [fm.Dense(18, "tanh"), fm.Residual([fm.Dense(30, "silu"), fm.Dense(18)]), fm.Dense(3)],
    "residual of the inputs": [fm.Residual([fm.Dense(11, "tanh")]), fm.Activation("tanh"), fm.Dense(3)],
    "residual last": [fm.Dense(3, "tanh"), fm.Residual([fm.LayerNorm(), fm.Dense(8, "gelu"), fm.Dense(3)])],
    "residual of nothing": [
        fm.Residual([fm.Flatten()]), fm.Dense(8, "tanh"), fm.Residual([fm.Residual([fm.Flatten()])]), fm.Dense(3),
        fm.Residual([fm.Flatten()]),
    ],
    "residuals within": [
        fm.Dense(17, "sigmoid"), fm.Dropout(0.1),
        fm.Residual([fm.Residual([fm.BatchNorm(0.5), fm.Dense(17, "tanh")]), fm.Activation("tanh"), fm.PReLU()]),
        fm.Activation("softplus"), fm.Residual([fm.Activation("tanh")]), fm.Dropout(0.3), fm.Dense(3),
    ],
}  # fmt: skip


@pytest.fixture(params=list(STACKS))
def stack(request):
    """Layers for 11 inputs and 3 outputs."""
    return STACKS[request.param]


def data(n=50, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 11)), rng.integers(0, 3, n)


def model_of(stack, dtype="float64", optimizer="adam", **options):
    model = fm.Model(stack, SOFTMAX, optimizer, n_inputs=11, dtype=dtype, seed=3, **options)
    rng = np.random.default_rng(1)  # nothing at 0 or 1, where a factor or a summand would not show
    model.weights = shifted(model, lambda shape: 0.1 * rng.random(shape))
    return model


def shifted(model, by):
    """The weights plus what `by` gives for a shape; biases that are not used stay zero."""
    unused = [getattr(layer, "use_bias", True) is False for layer in model._core.weighted]
    return [
        tuple(a + by(a.shape) * (not (skip and j == 1)) for j, a in enumerate(arrays))
        for skip, arrays in zip(unused, model.weights, strict=True)
    ]


def twin_of(model):
    """The twin of a model, with its weights."""
    arrays, found = iter(model.weights), []
    for spec in layers.specs(model.layers, model.n_inputs):
        empty = np.zeros(0)
        mine = next(arrays) if spec.kind in ("dense", "layer_norm", "batch_norm", "prelu") else (empty, empty)
        w, b, *running = mine if len(mine) > 1 else (*mine, np.zeros_like(mine[0]))
        found.append(reference.Layer(w, b, *spec[1:], *running))
    return reference.Network(found, "softmax_cross_entropy_labels", seed=model.seed)


def arrays_of(twin):
    """The arrays of a twin as Model.weights has them."""
    found = []
    for layer in twin.layers:
        if layer.kind == "batch_norm":
            found.append((layer.w, layer.b, layer.mean, layer.variance))
        elif layer.kind == "prelu":
            found.append((layer.w,))
        elif layer.kind in ("dense", "layer_norm"):
            found.append((layer.w, layer.b))
    return found


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("batch_size", [50, 13, 1])
def test_training_is_the_twins(stack, batch_size, n_threads):
    X, y = data()
    model = model_of(stack, optimizer=fm.Adam(0.01, epsilon=1e-3), n_threads=n_threads)
    twin = twin_of(model)
    twin.set_optimizer("adam")
    steps = 7 if batch_size == 1 else 2 * -(-50 // batch_size)
    many = 7 if batch_size == 1 else 50
    history = model.fit(X[:many], y[:many], batch_size, 1 if batch_size == 1 else 2, shuffle=False, verbose=0)
    losses, _ = twin.fit(X[:many], y[:many], batch_size, np.full(steps, 0.01), model.optimizer.hyper())
    per_epoch = losses.reshape(len(history.epoch), -1)
    rows = np.array([batch_size] * (per_epoch.shape[1] - 1) + [many - batch_size * (per_epoch.shape[1] - 1)])
    np.testing.assert_allclose(history["loss"], per_epoch @ rows / many, rtol=1e-9)
    for i, (found, expected) in enumerate(zip(model.weights, arrays_of(twin), strict=True)):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9, err_msg=f"layer {i}")
    np.testing.assert_allclose(model.predict(X), twin.predict(X, "softmax"), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("batch_size", [200, 2 * reference.SHARD_ROWS + 5])
def test_blocks_of_rows_are_the_twins(stack, batch_size, n_threads):
    """A batch of several blocks, and of several shards: masks, statistics and gradients go on from one to the next."""
    X, y = data(batch_size + 100)
    model = model_of(stack, optimizer=fm.SGD(0.1), n_threads=n_threads)
    twin = twin_of(model)
    twin.set_optimizer("sgd")
    model.fit(X, y, batch_size, 2, shuffle=False, verbose=0)
    twin.fit(X, y, batch_size, np.full(4, 0.1), model.optimizer.hyper())
    for i, (found, expected) in enumerate(zip(model.weights, arrays_of(twin), strict=True)):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9, err_msg=f"layer {i}")


def test_gradients_are_slopes(stack):
    X, y = data(20)
    result = fm.gradcheck.check(model_of(stack), X, y, max_entries=20)
    assert result.max_relative_error < 1e-6
    assert result.n_checked > 20


def test_same_bits_for_every_number_of_threads(stack, dtype, fused_isas):
    X, y = (a.repeat(7, axis=0) for a in data(101))
    labels = y.astype(np.int32)
    found = set()
    for isa in fused_isas:
        for n_threads in (1, 2, 3, 4):
            network = _engine.Network(11, layers.specs(stack, 11), dtype, isa=isa, seed=5)
            network.set_weights(model_of(stack, dtype).weights)
            network.set_optimizer("adam")
            arrays = []
            for batch_rows in (130, 20, 600):  # shared by rows, and by panels, and of several shards
                run = _engine.Run(network, batch_rows, n_threads, True, True, "softmax_cross_entropy_labels")
                run.bind(X, labels)
                arrays.append(run.train(np.full(11, 0.01), fm.Adam().hyper(), True, 7)[0])
            run, out = _engine.Run(network, 64, n_threads, True), np.empty((len(X), 3), dtype)
            run.bind(X)
            run.predict(out, "softmax")
            arrays += [out, *(a for layer in network.get_weights() for a in layer)]
            found.add(b"".join(a.tobytes() for a in arrays))
    assert len(found) == 1


def test_saved_and_copied_models_go_on_with_the_same_bits(stack, tmp_path):
    X, y = data()
    model = model_of(stack, "float32")
    model.fit(X, y, 16, 2, verbose=0)
    model.save(tmp_path / "a")
    loaded = fm.load(tmp_path / "a")
    assert loaded.layers == model.layers
    for other in (model, loaded):
        other.fit(X, y, 16, 2, verbose=0)
    for mine, its in zip(model.weights, loaded.weights, strict=True):
        for a, b in zip(mine, its, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.predict(X), loaded.predict(X))


def test_prediction_drops_nothing_and_uses_running_statistics():
    X, _ = data()
    model = model_of([fm.Dropout(0.9), fm.Dense(8, "tanh"), fm.Dropout(0.5), fm.Dense(3)])
    plain = model_of([fm.Dense(8, "tanh"), fm.Dense(3)])
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    model = fm.Model([fm.BatchNorm(epsilon=1e-5), fm.Dense(3)], n_inputs=11, dtype="float64")
    (gamma, beta, mean, variance), (W, b) = model.weights
    mean, variance = X.mean(axis=0), X.var(axis=0)
    model.weights = [(gamma, beta, mean, variance), (W, b)]
    np.testing.assert_allclose(model.predict(X[:1]), ((X[:1] - mean) / np.sqrt(variance + 1e-5)) @ W + b, rtol=1e-12)


def test_running_statistics_follow_the_batches():
    X, y = data(40)
    model = fm.Model([fm.BatchNorm(momentum=0.5), fm.Dense(3)], SOFTMAX, n_inputs=11, dtype="float64")
    model.fit(X, y, 20, 1, shuffle=False, verbose=0)
    mean, variance = np.zeros(11), np.ones(11)
    for part in (X[:20], X[20:]):
        mean, variance = (mean + part.mean(axis=0)) / 2, (variance + part.var(axis=0)) / 2
    np.testing.assert_allclose(model.weights[0][2:], (mean, variance), rtol=1e-12)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("way", ["fit", "batches", "gradients"])
def test_a_batch_of_one_row_is_left_out_of_the_running_statistics(way, frozen):
    """It has no variance; what is trained learns from it."""
    X, y = data(41)
    model = fm.Model([fm.BatchNorm(0.5, trainable=not frozen), fm.Dense(3)], SOFTMAX, n_inputs=11, dtype="float64")
    model.fit(X[:40], y[:40], 20, shuffle=False, verbose=0)
    before, other = model.weights, copy.deepcopy(model)
    if way == "fit":
        model.fit(X, y, 20, shuffle=False, verbose=0)
        other.fit(X[:40], y[:40], 20, shuffle=False, verbose=0)
    elif way == "batches":
        model.fit([(X[40:], y[40:])], verbose=0)
    else:
        model.loss_and_gradients(X[40:], y[40:])
    np.testing.assert_array_equal(model.weights[0][2:], other.weights[0][2:])
    assert (way == "gradients") == np.array_equal(model.weights[1][1], other.weights[1][1])
    assert np.array_equal(before[0][3], model.weights[0][3]) == (frozen or way != "fit")


def test_a_diverging_step_leaves_the_running_statistics():
    X, _ = data(40)
    model = fm.Model([fm.BatchNorm(), fm.Dense(3)], "mean_squared_error", n_inputs=11)
    before = model.weights
    with pytest.raises(fm.DivergedError):
        model.fit(X, 1e30 * np.ones((40, 3)), 20, 1, verbose=0)
    for mine, its in zip(model.weights, before, strict=True):
        for a, b in zip(mine, its, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("callbacks", [[], [fm.Callback()]], ids=["many epochs at a time", "one epoch at a time"])
@pytest.mark.parametrize("why", ["the loss", "the running variance"])
def test_a_training_that_diverges_goes_back_to_the_running_statistics_before_its_epoch(why, callbacks):
    """Steps before it in the same epoch have moved them; where they overflow it is the end of the epoch that tells."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((40, 11)), rng.standard_normal((40, 3))
    if why == "the loss":
        Y[-1] = 1e30
    else:
        X[-8:, 3] *= 1e25  # whose squares are too large
    model = fm.Model([fm.BatchNorm(0.5), fm.Dense(3)], "mean_squared_error", "sgd", n_inputs=11)
    model.fit(X[:32], Y[:32], 8, verbose=0)
    before = model.weights
    with np.errstate(over="ignore"), pytest.raises(fm.DivergedError):
        model.fit(X, Y, 8, 3, shuffle=False, callbacks=callbacks, verbose=0)
    for mine, its in zip(model.weights, before, strict=True):
        for a, b in zip(mine, its, strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.isfinite(before[0][3]).all()


def test_initial_weights_do_not_depend_on_layers_without():
    plain = fm.Model([fm.Dense(8, "relu"), fm.Dense(3)], n_inputs=11)
    other = fm.Model([fm.Dropout(0.1), fm.Dense(8, "relu"), fm.LayerNorm(), fm.PReLU(), fm.Dense(3)], n_inputs=11)
    np.testing.assert_array_equal(plain.weights[0][0], other.weights[0][0])
    np.testing.assert_array_equal(plain.weights[1][0], other.weights[-1][0])


def test_weights_of_every_layer_are_assignable(stack):
    model = model_of(stack)
    changed = shifted(model, np.ones)
    model.weights = changed
    for found, expected in zip(model.weights, changed, strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_specs_merge_activation_and_dropout_but_not_across_a_skip():
    kinds = [spec.kind for spec in layers.specs([fm.Dense(4), fm.Activation("relu"), fm.Dropout(0.5)], 3)]
    assert kinds == ["dense"]
    specs = layers.specs([fm.Dense(4), fm.Residual([fm.Activation("relu"), fm.Dropout(0.5)]), fm.Dropout(0.1)], 3)
    assert [(s.kind, s.activation, s.dropout, s.source) for s in specs] == [
        ("dense", "identity", 0.0, -1), ("activation", "relu", 0.5, -1), ("add", "identity", 0.1, 0),
    ]  # fmt: skip
    behind = layers.specs([fm.Dense(4), fm.Dropout(0.5), fm.Activation("relu")], 3)
    assert [(s.kind, s.activation) for s in behind] == [("dense", "identity"), ("activation", "relu")]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fm.Dropout(1.0), "rate must be a finite number at least 0 and below 1, not 1.0"),
        (lambda: fm.Dropout("half"), "rate must be a number, not 'half'"),
        (lambda: fm.LayerNorm(0), "epsilon must be a finite number above 0, not 0"),
        (lambda: fm.BatchNorm(1.1), "momentum must be a finite number at least 0 and at most 1, not 1.1"),
        (lambda: fm.BatchNorm(epsilon=float("nan")), "epsilon must be a finite number above 0, not nan"),
        (lambda: fm.PReLU(float("inf")), "alpha must be a finite number, not inf"),
        (lambda: fm.Activation("softmax"), "'softmax' is no name here; losses take raw scores"),
        (lambda: fm.Activation("relu", 0.1), "alpha=0.1 has no meaning for activation 'relu'"),
        (lambda: fm.Residual([]), "layers is empty"),
        (lambda: fm.Residual(fm.Dense(3)), "layers must be a list of layers"),
        (lambda: fm.Residual(["relu"]), "layers must hold layers such as"),
        (lambda: fm.Model([fm.Dropout(0.5)]), "layers hold no fastmlp.Dense"),
        (lambda: fm.Model([fm.Dense(4), fm.Residual([fm.Dense(5)]), fm.Dense(1)]), "turn 4 features into 5"),
        (lambda: fm.Model([fm.Residual([fm.Dense(5)]), fm.Dense(1)]).build(4), "turn 4 features into 5"),
    ],
)
def test_bad_layers(make, words):
    with pytest.raises((ValueError, TypeError)) as caught:
        make()
    assert words in str(caught.value)


def test_bad_weights_of_a_normalisation():
    model = fm.Model([fm.BatchNorm(), fm.Dense(1)], n_inputs=2)
    gamma, beta, mean, variance = model.weights[0]
    for arrays, words in (
        ((gamma, beta), "weights[0] must be a tuple (gamma, beta, mean, variance), not 2 arrays"),
        ((gamma, beta, mean, -variance), "weights[0][3] holds -1.0, but a variance is never negative"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            model.weights = [arrays, model.weights[1]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [60, 700])
def test_batch_norm_of_numbers_far_from_zero(rows, dtype):
    """Unix times, for example: the running variance is that of the column, and what comes out has the variance 1."""
    X = (1e4 + np.random.default_rng(3).standard_normal((rows, 4))).astype(dtype)
    stack = [fm.BatchNorm(momentum=0.0), fm.Dense(4, use_bias=False, initializer=np.eye(4))]
    model = fm.Model(stack, n_inputs=4, optimizer=fm.SGD(0.0), dtype=dtype)
    model.fit(X, np.zeros((rows, 4)), batch_size=rows, verbose=0)
    variance = X.astype(np.float64).var(axis=0)
    np.testing.assert_allclose(model.weights[0][3], variance, rtol=2e-3)
    np.testing.assert_allclose(model.predict(X).var(axis=0), variance / (variance + 1e-3), rtol=2e-3)


def test_a_layer_that_stands_twice_has_weights_of_its_own():
    layer = fm.Dense(4, "tanh", bias_initializer="normal")
    model = fm.Model([layer, *2 * [fm.Residual([layer])], layer], n_inputs=4)
    written = [fm.Dense(4, "tanh", bias_initializer="normal") for _ in range(4)]
    other = fm.Model([written[0], fm.Residual([written[1]]), fm.Residual([written[2]]), written[3]], n_inputs=4)
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((20, 4)), rng.standard_normal((20, 4))
    for each in (model, other):
        assert len({array.tobytes() for pair in each.weights for array in pair}) == 8
        each.fit(X, Y, epochs=2, verbose=0)
    for pair, same in zip(model.weights, other.weights, strict=True):
        for array, twin in zip(pair, same, strict=True):
            np.testing.assert_array_equal(array, twin)
    assert len({array.tobytes() for pair in model.weights for array in pair}) == 8
