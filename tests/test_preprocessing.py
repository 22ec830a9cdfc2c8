"""Statistics of the training data in a fixed order, applied wherever X is read, saved with the model."""

import copy
import pickle

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, _kernels, reference
from fastmlp._split import split
from fastmlp.preprocessing import product

RNG = np.random.default_rng(5)
X = RNG.standard_normal((700, 37)) * 10.0 ** RNG.uniform(-3, 3, 37) + RNG.uniform(-5, 5, 37)
Y = RNG.integers(0, 3, 700)

SOURCES = {
    "float64": X,
    "float32": X.astype(np.float32),
    "uint8": RNG.integers(0, 256, X.shape).astype(np.uint8),
    "fortran": np.asfortranarray(X),
    "strided": np.repeat(np.repeat(X, 2, 0), 2, 1)[::-2, 1::2],
    "one column": X[:, 3:4],
    "one row": X[:1],
    "blocks": np.tile(X, (2, 1))[: 256 * 3],
}


def reader(data, preprocessing, dtype="float64", **options):
    """A model whose predictions are its preprocessed inputs."""
    n = data.shape[1]
    model = fm.Model([fm.Dense(n)], dtype=dtype, preprocessing=preprocessing, n_inputs=n, **options)
    model.weights = [(np.eye(n), np.zeros(n))]
    return model


# ---- moments ----


@pytest.mark.parametrize("source", SOURCES)
def test_moments_are_those_of_numpy(source):
    data = SOURCES[source]
    mean, variance = _engine.moments(data)
    exact = data.astype(np.longdouble)
    np.testing.assert_allclose(mean, exact.mean(axis=0).astype(float), rtol=1e-13, atol=1e-13 * np.abs(data).max())
    np.testing.assert_allclose(variance, exact.var(axis=0).astype(float), rtol=1e-12, atol=1e-28)
    twin = reference.moments(data)
    np.testing.assert_array_equal(mean, twin[0])
    np.testing.assert_array_equal(variance, twin[1])


def test_moments_of_some_rows_are_those_of_a_copy():
    rows = np.random.default_rng(1).permutation(700)[:500].astype(np.int64)
    for found, expected in zip(_engine.moments(X, rows), _engine.moments(X[rows].copy()), strict=True):
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("source", SOURCES)
def test_weighted_moments_are_those_of_numpy(source):
    data = SOURCES[source]
    weights = np.random.default_rng(2).uniform(0.1, 3, len(data))
    mean, variance = _engine.moments(data, None, weights)
    exact = data.astype(np.longdouble)
    average = np.average(exact, axis=0, weights=weights)
    np.testing.assert_allclose(mean, average.astype(float), rtol=1e-13, atol=1e-13 * np.abs(data).max())
    expected = np.average((exact - average) ** 2, axis=0, weights=weights).astype(float)
    np.testing.assert_allclose(variance, expected, rtol=1e-11, atol=1e-28)
    for found, twin in zip((mean, variance), reference.moments(data, None, weights), strict=True):
        np.testing.assert_array_equal(found, twin)
    found = _engine.covariance(data, mean, None, weights)
    expected = (exact - average).T @ ((exact - average) * weights[:, None]) / weights.sum()
    limit = 1e-12 * np.sqrt(np.outer(np.diag(expected), np.diag(expected))) + 1e-25
    assert np.all(np.abs(found - expected) <= limit)
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize("value", [0.1, 101.3])
def test_errors_of_sums_do_not_grow_with_the_rows(value):
    """A chain of additions, even in float64, is off by what it has added up already, times its length."""
    data = np.broadcast_to(np.array([value]), (1 << 21, 1))
    mean, variance = _engine.moments(data)
    assert abs(mean[0] - value) <= 300 * np.finfo(float).eps * value
    assert variance[0] <= (300 * np.finfo(float).eps * value) ** 2
    ones = _engine.covariance(data, np.zeros(1))
    assert abs(ones[0, 0] - value**2) <= 300 * np.finfo(float).eps * value**2


@pytest.mark.parametrize("rows", [256 * 3, 256 * 5 + 1, 256 * 16, 256 * 17 + 3, 256 * 39])
def test_the_tree_depends_on_the_number_of_blocks_alone(rows):
    data = np.random.default_rng(3).standard_normal((rows, 2)) + 5
    for found, twin in zip(_engine.moments(data), reference.moments(data), strict=True):
        np.testing.assert_array_equal(found, twin)
    expected = np.cov(data, rowvar=False, bias=True)
    np.testing.assert_allclose(_engine.covariance(data, data.mean(axis=0)), expected, rtol=0, atol=1e-13)


def test_covariances_are_those_of_numpy():
    for data in SOURCES.values():
        mean = _engine.moments(data)[0]
        expected = np.cov(data.astype(float), rowvar=False, bias=True).reshape(data.shape[1], -1)
        found = _engine.covariance(data, mean)
        limit = 1e-13 * np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        assert np.all(np.abs(found - expected) <= limit + 1e-25)
        np.testing.assert_array_equal(found, found.T)


# ---- products ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 17, 8), (7, 4, 5), (200, 16, 32), (301, 37, 41)])
def test_product_has_the_bits_of_the_kernel(shape, dtype):
    rows, n_in, n_out = shape
    x, w = RNG.standard_normal((rows, n_in)).astype(dtype), RNG.standard_normal((n_in, n_out)).astype(dtype)
    expected = _kernels.dense_forward(x, w, np.zeros(n_out, dtype))
    for found in (_engine.product(x, w), product(x, w, dtype)):
        assert found.dtype == dtype
        assert found.shape == (rows, n_out)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_product_rounds_to_its_dtype_first_and_works_on_the_last_axis(dtype):
    x, w = RNG.standard_normal((5, 7, 37)), np.asfortranarray(RNG.standard_normal((37, 11)))
    found = product(x[::-1], w, dtype)
    rows = x[::-1].reshape(-1, 37).astype(dtype)
    expected = _kernels.dense_forward(rows, np.ascontiguousarray(w, dtype), np.zeros(11, dtype))
    assert found.shape == (5, 7, 11)
    assert found.tobytes() == expected.tobytes()


# ---- Standardize ----


@pytest.mark.parametrize("source", SOURCES)
def test_standardize_is_scikit_learns_scaler(source, dtype):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    data = SOURCES[source]
    scaler = preprocessing.StandardScaler().fit(data.astype(float))
    model = reader(data, fm.Standardize(), dtype).adapt(data)
    np.testing.assert_allclose(model.statistics["mean"], scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(model.statistics["scale"], scaler.scale_, rtol=1e-12)
    # scikit-learn's mean has an error of its own, relative to |mean| / scale; the result is rounded once
    expected = scaler.transform(data.astype(float))
    limit = 30 * np.finfo(float).eps * (np.abs(data.astype(float)).max(0) + np.abs(scaler.mean_)) / scaler.scale_
    assert np.all(np.abs(model.predict(data) - expected) <= limit + np.finfo(dtype).eps * np.abs(expected) + 1e-14)


@pytest.mark.parametrize("mean", [1e5, 1e6, 1e7, 1.7e9])
@pytest.mark.parametrize("source", ["float64", "float32"])
def test_a_mean_far_from_zero_costs_no_digits(mean, source, dtype):
    """float32 data may have lost them already; what they have is kept."""
    data = (mean + np.random.default_rng(2).standard_normal((500, 3))).astype(source)
    model = reader(data, "standardize", dtype).adapt(data)
    exact = (data.astype(np.longdouble) - model.statistics["mean"]) / model.statistics["scale"]
    expected = np.asarray(exact, float)
    # of the quotient 2 roundings in float64, of the result one in the dtype
    np.testing.assert_allclose(model.predict(data), expected, rtol=3 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("preprocessing", ["standardize", "whiten"])
def test_times_in_seconds_are_learned(preprocessing):
    """Ten minutes of Unix time: rounded to float32 first they are three or four different numbers."""
    minutes = np.linspace(0, 10, 600)
    y = np.sin(minutes)
    X = (1.7e9 + 60 * minutes)[:, None]
    model = fm.Model([fm.Dense(32, "tanh"), fm.Dense(1)], optimizer=fm.Adam(0.02), preprocessing=preprocessing)
    model.fit(X, y, epochs=60, verbose=0)
    assert 1 - model.evaluate(X, y)["loss"] / y.var() > 0.97


@pytest.mark.parametrize("method", ["pca", "zca"])
def test_whitening_takes_off_the_mean_in_double(method):
    data = 1e7 + np.random.default_rng(2).standard_normal((400, 4))
    model = reader(data, fm.Whiten(method)).adapt(data)
    single = reader(data, fm.Whiten(method), "float32").adapt(data)
    np.testing.assert_allclose(single.predict(data), model.predict(data), rtol=0, atol=1e-5)


def test_constant_columns_become_zero():
    data = np.column_stack([np.full(999, 0.1), np.full(999, 1e9), np.zeros(999), np.arange(999.0), np.full(999, 1e-41)])
    data[::2, 4] = 2e-41
    model = reader(data, "standardize", "float32").adapt(data)
    assert model.statistics["scale"][[0, 1, 2, 4]].tolist() == [1, 1, 1, 1]
    found = model.predict(data)
    assert np.abs(found[:, [0, 1, 2, 4]]).max() < 1e-6
    assert found[:, 3].std() == pytest.approx(1)


@pytest.mark.parametrize("rows", [3, 300, 300_000])
@pytest.mark.parametrize("mean", [0.1, -1.7e18])
def test_a_spread_above_the_error_of_the_mean_counts(rows, mean):
    """Times in nanoseconds, over a tenth of a second: the sum is a tree, whose error hardly grows with the rows. What
    is constant stays so, whatever its weights."""
    spread = 1e-11 * abs(mean) * np.random.default_rng(2).random(rows)
    data = np.column_stack([mean + spread, np.full(rows, mean)])
    for weights in (None, np.random.default_rng(3).uniform(1, 2, rows)):
        scale = reader(data, "standardize").adapt(data, sample_weight=weights).statistics["scale"]
        exact = data[:, 0] - mean
        centre = np.average(exact, weights=weights)
        expected = np.sqrt(np.average((exact - centre) ** 2, weights=weights))
        assert scale.tolist() == [pytest.approx(expected, rel=1e-2), 1]


@pytest.mark.parametrize("value", [1e30, -1e30])
def test_inputs_that_scaling_makes_infinite_are_named(value):
    data = 1e-15 * X
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy", "adam", preprocessing="standardize")
    model.fit(data, Y, verbose=0)
    far = data[:5].copy()
    assert np.isfinite(model.predict(far)).all()
    far[3, 1] = value
    for call in (model.predict, model.scores, lambda x: model.evaluate(x, Y[:5])):
        with pytest.raises(ValueError, match=r"column 1 of X holds -?1e\+30, which the preprocessing scales to -?\d"):
            call(far)
    double = fm.Model([fm.Dense(3)], "softmax_cross_entropy", preprocessing="standardize", dtype="float64")
    assert np.isfinite(double.adapt(data).predict(far)).all()


def spoiled(share=0.3):
    """Some rows of weight 0, whose inputs are a sentinel, and the weights of all."""
    rng = np.random.default_rng(6)
    out = rng.random(len(X)) < share
    return np.where(out[:, None], 1e6, X), np.where(out, 0.0, rng.uniform(0.5, 2, len(X))), out


@pytest.mark.parametrize("kind", ["standardize", "whiten"])
@pytest.mark.parametrize("way", ["sample_weight", "class_weight", "both", "adapt", "validation_split"])
def test_statistics_are_weighted(kind, way):
    """As if the rows of weight 0 were not there, to the bit: all weights 1 are as no weights."""
    data, weights, out = spoiled()
    ones = (~out).astype(float)
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy", "adam", preprocessing=kind)
    other = fm.Model([fm.Dense(3)], preprocessing=kind)
    if way == "sample_weight":
        model.fit(data, Y, sample_weight=ones, verbose=0)
        other.adapt(X[~out])
    elif way == "class_weight":
        out = Y == 1
        model.fit(np.where(out[:, None], 1e6, X), Y, class_weight={1: 0}, verbose=0)
        other.adapt(X[~out])
    elif way == "both":
        model.fit(data, Y, sample_weight=weights, class_weight={0: 0, 2: 3}, verbose=0)
        weights = weights * np.array([0, 1, 3])[Y]
        other.adapt(X, sample_weight=weights)
    elif way == "adapt":
        model.adapt(data, sample_weight=weights.astype(np.float32))
        other.adapt(X[~out], sample_weight=weights[~out].astype(np.float32))
    else:
        model.fit(data, Y, sample_weight=weights, validation_split=0.25, verbose=0)
        rows, _ = split(Y, 0.25, model.seed)
        other.adapt(X[rows], sample_weight=weights[rows])
    assert model.statistics.keys() == other.statistics.keys()
    for name, array in model.statistics.items():
        np.testing.assert_array_equal(array, other.statistics[name])


def test_whole_weights_are_repeated_rows():
    weights = np.random.default_rng(7).integers(0, 4, 700)
    repeated = reader(X, "standardize").adapt(np.repeat(X, weights, axis=0)).statistics
    found = reader(X, "standardize").adapt(X, sample_weight=weights).statistics
    for name, array in found.items():
        np.testing.assert_allclose(array, repeated[name], rtol=1e-11, atol=1e-11)


def test_a_column_that_is_constant_where_weights_are_is_constant():
    data = np.column_stack([np.full(90, 7.3), np.arange(90.0)])
    data[::3, 0] = 1e6
    weights = np.where(np.arange(90) % 3 == 0, 0, 0.7)
    assert reader(data, "standardize").adapt(data, sample_weight=weights).statistics["scale"][0] == 1
    with pytest.raises(ValueError, match="weight above 0"):
        reader(data, "standardize").adapt(data, sample_weight=np.zeros(90))


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_the_size_of_weights_does_not_count(size):
    weights = np.random.default_rng(7).uniform(1, 2, 700)
    found = reader(X, "standardize").adapt(X, sample_weight=size * weights).statistics
    expected = reader(X, "standardize").adapt(X, sample_weight=weights).statistics
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-12)


@pytest.mark.parametrize("cast", [np.int64, np.uint32, ">f8", np.longdouble])
def test_other_dtypes_keep_the_digits_of_large_numbers(cast):
    """Times in whole seconds: float32 holds every 128th."""
    data = np.array([[1_700_000_001], [1_700_000_002], [1_700_000_003]])
    found = reader(data, "standardize", "float32").adapt(data.astype(cast)).predict(data.astype(cast))
    np.testing.assert_allclose(found[:, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-6)


def trained(n_threads=None, data=None, dtype="float32", preprocessing="standardize", **options):
    layers = [fm.Dense(20, "tanh"), fm.Dense(3)]
    model = fm.Model(layers, "softmax_cross_entropy", "adam", 3, None, dtype, n_threads, preprocessing)
    model.fit(X if data is None else data, Y, batch_size=64, epochs=3, verbose=0, **options)
    return model


def bits(model):
    arrays = [array for pair in model.weights for array in pair]
    return [array.tobytes() for array in [*arrays, *model.statistics.values(), model.predict(X)]]


def test_fit_learns_the_statistics_of_its_data_once():
    model = trained()
    expected = _engine.moments(X)[0]
    np.testing.assert_array_equal(model.statistics["mean"], expected)
    model.fit(X + 1, Y, verbose=0)
    np.testing.assert_array_equal(model.statistics["mean"], expected)
    model.adapt(X + 1)
    np.testing.assert_array_equal(model.statistics["mean"], _engine.moments(X + 1)[0])


def test_training_is_that_on_standardised_data():
    """To a rounding of each input, which the fused gather and NumPy make differently."""
    model = trained(dtype="float64")
    data = (X - X.mean(0)) / X.std(0)
    other = trained(dtype="float64", data=data, preprocessing=None)
    for a, b in zip(model.weights, other.weights, strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=0, atol=1e-10)
    assert model.evaluate(X, Y)["loss"] == pytest.approx(other.evaluate(data, Y)["loss"], rel=1e-10)


ALL = pytest.mark.parametrize(
    "preprocessing", [fm.Standardize(), fm.Whiten("pca", 1e-3), fm.Whiten("zca")], ids=["standardize", "pca", "zca"]
)


@ALL
def test_threads_do_not_change_a_bit(preprocessing):
    one = bits(trained(1, preprocessing=preprocessing))
    for n_threads in (2, 3, None):
        assert bits(trained(n_threads, preprocessing=preprocessing)) == one


@ALL
@pytest.mark.parametrize("batch_rows", [20, 400])  # shared by panels, by rows
def test_instruction_sets_do_not_change_a_bit(preprocessing, batch_rows, dtype, fused_isas):
    scaling = preprocessing.scaling(preprocessing.fitted(X, None, dtype))
    found = []
    for n_threads, isa in zip((1, 2), fused_isas, strict=True):
        network = _engine.Network(37, [(3, "identity", 0.0, True)], dtype, isa=isa)
        network.set_weights([(np.full((37, 3), 0.1, dtype), np.zeros(3, dtype))])
        network.set_scaling(*scaling)
        run = _engine.Run(network, batch_rows, n_threads, True, True, "squared_error")
        run.bind(X, np.ones((700, 3), dtype))
        losses, _ = run.train(np.full(40, 0.01), {}, True, 3)
        found.append((losses.tobytes(), network.get_weights()[0][0].tobytes()))
    assert found[0] == found[1]


def test_layouts_and_dtypes_of_the_same_numbers_give_the_same_bits():
    data = X.astype(np.float32)
    expected = bits(trained(data=data))
    for same in (data.astype(np.float64), np.asfortranarray(data), data[::-1].copy()[::-1], data.reshape(700, 1, 37)):
        assert bits(trained(data=same)) == expected


def test_the_data_are_not_changed():
    data = X.copy()
    data.flags.writeable = False
    trained(data=data)
    np.testing.assert_array_equal(data, X)


@ALL
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_keep_it(copied, preprocessing):
    model = trained(preprocessing=preprocessing)
    again = copied(model)
    assert bits(again) == bits(model)
    for each in (model, again):
        each.fit(X, Y, verbose=0)
    assert bits(again) == bits(model)


@ALL
def test_it_is_saved_with_the_model(preprocessing, tmp_path):
    model = trained(preprocessing=preprocessing)
    model.save(tmp_path / "net")
    again = fm.load(tmp_path / "net")
    assert again.preprocessing == preprocessing
    assert bits(again) == bits(model)
    fresh = fm.Model([fm.Dense(3)], n_inputs=37, preprocessing="standardize")
    fresh.save(tmp_path / "fresh")
    assert fm.load(tmp_path / "fresh").statistics == {}


@ALL
def test_its_derivatives_are_those_by_the_data(preprocessing):
    model = trained(dtype="float64", preprocessing=preprocessing)
    x, y, step = X[:5], Y[:5], 1e-6
    moved = np.random.default_rng(3).standard_normal(x.shape) * X.std(0)
    forward, backward = (model.scores(x + sign * step * moved) for sign in (1, -1))
    expected = (forward - backward) / (2 * step)
    np.testing.assert_allclose(model.jvp(x, moved)[1], expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(np.einsum("rok,rk->ro", model.jacobian(x), moved), expected, rtol=1e-6, atol=1e-8)
    scores, pullback = model.vjp(x)
    weights = np.random.default_rng(4).standard_normal(scores.shape)
    assert (pullback(weights)[0] * moved).sum() == pytest.approx((weights * expected).sum(), rel=1e-6)
    losses = [model.evaluate(x + sign * step * moved, y)["loss"] for sign in (1, -1)]
    assert (model.input_gradients(x, y) * moved).sum() == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5)


@ALL
def test_gradients_of_the_weights_are_right(preprocessing):
    model = trained(dtype="float64", preprocessing=preprocessing)
    fm.gradcheck.check(model, X[:20], Y[:20])


# ---- Whiten ----


def matrices():
    rng = np.random.default_rng(8)
    for n in (1, 2, 3, 17, 40):
        x = rng.standard_normal((3 * n, n)) * 10.0 ** rng.uniform(-3, 3, n)
        yield x.T @ x
        yield x[: n // 2].T @ x[: n // 2]  # of half the rank
        yield np.zeros((n, n))
        yield np.eye(n)
        yield np.diag(np.arange(n) % 3.0)
        yield np.ones((n, n))
        yield x[:n] + x[:n].T  # indefinite


def test_eigenvectors_are_those_of_lapack():
    for matrix in matrices():
        values, vectors = _engine.eigh(matrix)
        size, n = np.abs(matrix).max() + 1e-300, len(matrix)
        np.testing.assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1], rtol=0, atol=1e-13 * n * size)
        np.testing.assert_allclose((vectors.T * values) @ vectors, matrix, rtol=0, atol=1e-13 * n * size)
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(n), rtol=0, atol=1e-13)
        assert np.all(np.diff(values) <= 0)
        assert np.all(vectors[np.arange(n), np.abs(vectors).argmax(axis=1)] > 0)


def test_small_variances_beside_large_ones_are_exact():
    """Where LAPACK has an error of epsilon times the largest eigenvalue."""
    scale = 10.0 ** np.arange(-6, 6)
    correlated = np.full((12, 12), 0.3) + 0.7 * np.eye(12)
    values, _ = _engine.eigh(correlated * np.outer(scale, scale))
    values_back, _ = _engine.eigh((correlated * np.outer(scale, scale))[::-1, ::-1])
    np.testing.assert_allclose(values, values_back, rtol=1e-13)
    assert values[-1] == pytest.approx(np.linalg.det(correlated) * np.prod(scale**2) / np.prod(values[:-1]), rel=1e-12)


@pytest.mark.parametrize("method", ["pca", "zca"])
@pytest.mark.parametrize("rows", [700, 20])
def test_whitened_data_have_no_correlation(method, rows, dtype):
    mixed = np.random.default_rng(9).standard_normal((rows, 24)) @ np.random.default_rng(1).standard_normal((24, 24))
    epsilon = 0.01
    model = reader(mixed, fm.Whiten(method, epsilon), dtype).adapt(mixed + 3)
    found = model.predict(mixed + 3)
    values = np.linalg.eigvalsh(np.cov(mixed, rowvar=False, bias=True))[::-1].clip(0)
    expected = np.sort(values / (values + epsilon))
    limit = 1e-4 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(np.linalg.eigvalsh(np.cov(found, rowvar=False, bias=True)), expected, atol=limit)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=limit)
    matrix = model.statistics["matrix"]
    np.testing.assert_allclose(found, (mixed + 3 - model.statistics["mean"]) @ matrix, rtol=0, atol=limit)
    if method == "zca":
        np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-12 * np.abs(matrix).max())


def test_pca_is_scikit_learns():
    decomposition = pytest.importorskip("sklearn.decomposition")
    mixed = np.random.default_rng(9).standard_normal((300, 8)) @ np.random.default_rng(1).standard_normal((8, 8))
    expected = decomposition.PCA(whiten=True).fit_transform(mixed) * np.sqrt(300 / 299)  # variances by n - 1
    found = reader(mixed, fm.Whiten("pca", 1e-14)).adapt(mixed).predict(mixed)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=0, atol=1e-10)


def test_whitening_keeps_images_images():
    """Near the inputs: of all whitenings zca changes a standardised image least."""
    images, _ = fm.datasets.load_digits()
    images = images[:, images.std(axis=0) > 0.5]
    found = reader(images, fm.Whiten("zca", 1e-3)).adapt(images).predict(images)
    for a, b in zip(images.T, found.T, strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.5


# ---- mistakes ----


@pytest.mark.parametrize("call", ["predict", "train_on_batch", "evaluate", "loss_and_gradients", "batches"])
def test_statistics_are_wanted_first(call):
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy", n_inputs=37, preprocessing="standardize")
    calls = {"predict": lambda: model.predict(X), "batches": lambda: model.fit([(X, Y)], verbose=0)}
    with pytest.raises(ValueError, match=r"adapt\(X\)"):
        calls.get(call, lambda: getattr(model, call)(X, Y))()
    model.adapt(X)
    calls.get(call, lambda: getattr(model, call)(X, Y))()


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="'minmax' is unknown; choose 'standardize', 'whiten'"):
        fm.Model([fm.Dense(3)], preprocessing="minmax")
    with pytest.raises(ValueError, match="method must be one of 'pca', 'zca'"):
        fm.Whiten("ica")
    with pytest.raises(ValueError, match="epsilon must be a finite number above 0"):
        fm.Whiten(epsilon=0)
    with pytest.raises(ValueError, match="matrix that float32 cannot hold"):
        fm.Model([fm.Dense(3)], preprocessing=fm.Whiten(epsilon=1e-80)).adapt(np.ones((5, 2)))
    with pytest.raises(TypeError, match="not 3"):
        fm.Model([fm.Dense(3)], preprocessing=3)
    with pytest.raises(ValueError, match="no preprocessing"):
        fm.Model([fm.Dense(3)]).adapt(X)
    model = fm.Model([fm.Dense(3)], dtype="float64", preprocessing="standardize")
    with pytest.raises(ValueError, match=r"column 1 .* so large"):
        model.adapt(np.array([[1.0, 1e200], [1.0, -1e200]]))
    assert not model.built
    with pytest.raises(ValueError, match="holds nan"):
        model.adapt(np.array([[1.0, np.nan]]))


@pytest.mark.parametrize("kind", [fm.Standardize, fm.Whiten])
def test_ctrl_c_leaves_the_statistics_and_the_scaling_that_belong_together(kind, monkeypatch):
    """A model with new statistics and the old scaling predicted something else when it was saved and loaded."""
    model = fm.Model([fm.Dense(3)], n_inputs=37, preprocessing=kind())
    model.adapt(X)
    before, statistics = model.predict(X), model.statistics

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "scaling", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.adapt(2 * X)
    monkeypatch.undo()
    assert model.predict(X).tobytes() == before.tobytes()
    for name, array in model.statistics.items():
        np.testing.assert_array_equal(array, statistics[name])
    assert copy.deepcopy(model).predict(X).tobytes() == before.tobytes()
