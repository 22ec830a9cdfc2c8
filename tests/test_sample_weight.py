"""Weights of samples and of classes: what they mean, in every call that takes them."""

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _split

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((60, 5)), RNG.integers(0, 3, 60)
T, W = RNG.standard_normal((60, 2)), RNG.random(60) * 3
CASES = {
    "labels": ("softmax_cross_entropy", 3, Y),
    "distributions": ("softmax_cross_entropy", 3, RNG.dirichlet(np.ones(3), 60)),
    "binary": ("binary_cross_entropy", 2, (T > 0).astype(float)),
    "regression": ("mean_squared_error", 2, T),
}
every_case = pytest.mark.parametrize("case", CASES)


def network(case="labels", dtype="float64", **options):
    loss, n_outputs, y = CASES[case]
    model = fm.Model([fm.Dense(9, "tanh"), fm.Dense(n_outputs)], loss, "adam", n_inputs=5, dtype=dtype, **options)
    return model, y


def arrays(pairs):
    return [array for pair in pairs for array in pair]


@every_case
def test_the_loss_is_the_sum_over_samples_divided_by_their_number(case):
    model, y = network(case)
    single = [model.evaluate(X[i : i + 1], y[i : i + 1])["loss"] for i in range(60)]
    expected = float(np.sum(W * single) / 60)
    assert model.evaluate(X, y, W)["loss"] == pytest.approx(expected, rel=1e-12)
    assert model.loss_and_gradients(X, y, sample_weight=W)[0] == pytest.approx(expected, rel=1e-12)
    assert model.train_on_batch(X, y, W) == pytest.approx(expected, rel=1e-12)


@every_case
def test_gradients_are_finite_differences(case):
    model, y = network(case)
    fm.gradcheck.check(model, X, y, sample_weight=W)


@every_case
def test_a_whole_weight_is_so_many_copies(case):
    many = np.arange(60) % 3
    model, y = network(case)
    loss, gradients = model.loss_and_gradients(X, y, many)
    copies = model.loss_and_gradients(np.repeat(X, many, axis=0), np.repeat(y, many, axis=0))
    assert loss * 60 == pytest.approx(copies[0] * many.sum(), rel=1e-12)
    for a, b in zip(arrays(gradients), arrays(copies[1]), strict=True):
        np.testing.assert_allclose(a * 60, b * many.sum(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("ones", [np.ones(60), np.ones(60, np.uint8), [1] * 60, np.ones((60, 1), np.float32)[::1]])
def test_weights_of_one_change_no_bit(ones, dtype):
    histories, found = [], []
    for weight in (None, ones):
        model, y = network(dtype=dtype)
        fitted = model.fit(X, y, 7, 3, sample_weight=weight, validation_data=(X, y, weight), verbose=0)
        histories.append(fitted.history)
        found.append([array.tobytes() for array in arrays(model.weights)])
    assert histories[0] == histories[1]
    assert found[0] == found[1]


def test_a_sample_of_weight_zero_takes_no_part():
    """Not even one whose loss is infinite in float32."""
    weight = np.where(np.arange(60) == 5, 0, W)
    far, y = X.copy(), Y.copy()
    far[5], y[5] = 3e38, 1
    model, other = network(dtype="float32")[0], network(dtype="float32")[0]
    assert np.isfinite(model.train_on_batch(far, y, weight))
    other.train_on_batch(X, Y, weight)
    for a, b in zip(arrays(model.weights), arrays(other.weights), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_fit_shuffles_weights_with_their_samples(n_threads):
    model, y = network(n_threads=n_threads)
    other, _ = network(n_threads=n_threads)
    history = model.fit(X, y, 16, 2, sample_weight=W, verbose=0)
    losses = []
    for epoch in range(2):
        order = fm._engine.shuffle(60, 0, epoch)
        steps = [order[first : first + 16] for first in range(0, 60, 16)]
        losses.append(sum(len(rows) * other.train_on_batch(X[rows], y[rows], W[rows]) for rows in steps) / 60)
    assert history["loss"] == losses
    for a, b in zip(arrays(model.weights), arrays(other.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_accuracies_are_not_weighted_and_validation_has_weights_of_its_own():
    model, y = network()
    history = model.fit(X, y, 60, 1, sample_weight=W, validation_data=(X, y, W[::-1]), verbose=0)
    assert history["accuracy"][0] == network()[0].evaluate(X, y)["accuracy"]
    assert history["val_loss"][0] == model.evaluate(X, y, W[::-1])["loss"] != model.evaluate(X, y)["loss"]
    assert history["val_accuracy"][0] == model.evaluate(X, y)["accuracy"]


@pytest.mark.parametrize("kind", ["labels", "one-hot", "distributions"])
def test_class_weight_is_the_weight_of_each_samples_class(kind):
    y = {"labels": Y, "one-hot": np.eye(3)[Y], "distributions": 0.5 * np.eye(3)[Y] + 0.5 / 3}[kind]
    by_class, by_sample = network()[0], network()[0]
    by_class.fit(X, y, 7, 2, class_weight={0: 2.5, 2: 0}, verbose=0)  # 1 for class 1
    by_sample.fit(X, y, 7, 2, sample_weight=np.array([2.5, 1, 0])[Y], verbose=0)
    for a, b in zip(arrays(by_class.weights), arrays(by_sample.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_class_weight_and_sample_weight_multiply():
    both, product = network()[0], network()[0]
    both.fit(X, Y, 7, 2, class_weight={np.int64(0): 2.5}, sample_weight=W, verbose=0)
    product.fit(X, Y, 7, 2, sample_weight=W * np.array([2.5, 1, 1])[Y], verbose=0)
    for a, b in zip(arrays(both.weights), arrays(product.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_class_weight_of_a_single_output():
    y = T[:, 0] > 0
    models = [fm.Model([fm.Dense(1)], "binary_cross_entropy", "sgd", n_inputs=5) for _ in range(2)]
    models[0].fit(X, y, class_weight={0: 0.5, 1: 4}, verbose=0)
    models[1].fit(X, y, sample_weight=np.where(y, 4, 0.5), verbose=0)
    np.testing.assert_array_equal(models[0].weights[0][0], models[1].weights[0][0])


def test_batches_bring_their_weights():
    stepped, fitted, classes = (network()[0] for _ in range(3))
    data = [(X[i : i + 20], Y[i : i + 20], np.array([2.5, 1, 1])[Y[i : i + 20]]) for i in (0, 20, 40)]
    losses = [stepped.train_on_batch(*batch) for batch in data]
    assert fitted.fit(data, verbose=0)["loss"][0] == pytest.approx(np.mean(losses), rel=1e-12)
    classes.fit([batch[:2] for batch in data], class_weight={0: 2.5}, verbose=0)
    for others in (fitted, classes):
        for a, b in zip(arrays(stepped.weights), arrays(others.weights), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda a: np.repeat(a, 3)[::3], lambda a: a[::-1].copy()[::-1]])
def test_weights_may_lie_anywhere(layout, dtype):
    model, y = network(dtype=dtype)
    weights = layout(W.astype(dtype))
    weights.flags.writeable = False
    assert model.evaluate(X, y, weights) == model.evaluate(X, y, W.astype(dtype))


def test_classes_may_be_named_by_truth_values():
    X = np.random.default_rng(0).standard_normal((40, 3))
    y = X[:, 0] > 0
    models = [fm.Model([fm.Dense(1)], "binary_cross_entropy") for _ in range(2)]
    for model, weights in zip(models, ({False: 1.0, True: 2.0}, {0: 1.0, 1: 2.0}), strict=True):
        model.fit(X, y, class_weight=weights, verbose=0)
    np.testing.assert_array_equal(models[0].weights[0][0], models[1].weights[0][0])


@pytest.mark.parametrize("given", ["balanced", [1.0, 2.0]])
def test_what_is_no_dictionary_of_weights_is_told_how_to_be_one(given):
    X = np.ones((8, 3))
    with pytest.raises(TypeError, match=r"class_weight must be a dictionary .*dict\(enumerate\(len\(y\) / \(2 "):
        fm.Model([fm.Dense(1)], "binary_cross_entropy").fit(X, X[:, 0], class_weight=given, verbose=0)
    y = np.array([0, 1, 1, 1])
    assert dict(enumerate(len(y) / (2 * np.bincount(y)))) == {0: 2.0, 1: 2 / 3}  # as scikit-learn's "balanced"


@pytest.mark.parametrize("kind", ["labels", "binary"])
def test_class_weights_multiply_the_weights_that_batches_have(kind):
    """As they multiply sample_weight of arrays; neither replaces the other."""
    loss, n_outputs, y = CASES[kind]
    if kind == "binary":
        n_outputs, y = 1, y[:, 0]
    by_class = {0: 2.5, 1: 0.25}
    factors = np.array([by_class.get(int(label), 1.0) for label in y])
    batches = [(X[i : i + 20], y[i : i + 20], W[i : i + 20]) for i in range(0, 60, 20)]
    weighted = [(a, b, w * f) for (a, b, w), f in zip(batches, np.split(factors, 3), strict=True)]
    plain = [(a, b) for a, b, _ in batches]
    fits = {
        "both": ((batches,), {"class_weight": by_class}),
        "multiplied": ((weighted,), {}),
        "arrays": ((X, y), {"class_weight": by_class, "sample_weight": W, "batch_size": 20, "shuffle": False}),
        "class alone": ((plain,), {"class_weight": by_class}),
        "sample alone": ((batches,), {}),
    }
    found = {}
    for name, (data, options) in fits.items():
        model = fm.Model([fm.Dense(9, "tanh"), fm.Dense(n_outputs)], loss, "adam", n_inputs=5, dtype="float64")
        history = model.fit(*data, epochs=2, verbose=0, **options)
        found[name] = history["loss"], [array.tobytes() for array in arrays(model.weights)]
    assert found["both"] == found["multiplied"] == found["arrays"]
    assert found["both"] != found["class alone"]
    assert found["both"] != found["sample alone"]


ZERO = {
    "fit": lambda model, X, y, w: model.fit(X, y, sample_weight=w, verbose=0),
    "train_on_batch": lambda model, X, y, w: model.train_on_batch(X, y, w),
    "evaluate": lambda model, X, y, w: model.evaluate(X, y, w),
    "loss_and_gradients": lambda model, X, y, w: model.loss_and_gradients(X, y, w),
    "validation": lambda model, X, y, w: model.fit(X, y, validation_data=(X, y, w), verbose=0),
    "classes": lambda model, X, y, w: model.fit(X, y, class_weight={0: 0, 1: 0, 2: 0}, verbose=0),
    "both": lambda model, X, y, w: model.fit(X, y, sample_weight=y == 1, class_weight={1: 0}, verbose=0),
    "trained on": lambda model, X, y, w: model.fit(X, y, validation_split=0.5, sample_weight=held(model, y), verbose=0),
    "held out": lambda model, X, y, w: model.fit(
        X, y, validation_split=0.5, sample_weight=1 - held(model, y), verbose=0
    ),
}


def held(model, y):
    """1 for the samples that a half is held out of."""
    found = np.zeros(len(y))
    found[_split.split(y, 0.5, model.seed)[1]] = 1
    return found


@pytest.mark.parametrize("name", ZERO)
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8, bool, list])
def test_weights_that_are_all_zero_are_refused(name, kind):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 4)), np.arange(30) % 3
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy", n_inputs=4)
    before = [array.copy() for array in model.weights[0]]
    weights = [0.0] * 30 if kind is list else np.zeros(30, kind)
    with pytest.raises(ValueError, match="holds zeros alone"):
        ZERO[name](model, X, y, weights)
    for array, old in zip(model.weights[0], before, strict=True):
        np.testing.assert_array_equal(array, old)


VANISHING = {
    "subnormal in float32": ("float32", np.full(30, 1e-40), None),
    "zero in float32": ("float32", np.full(30, 1e-50), None),
    "subnormal in float64": ("float64", np.full(30, 1e-310), None),
    "with class_weight": ("float32", np.full(30, 1e-30), dict.fromkeys(range(3), 1e-30)),
}


@pytest.mark.parametrize("case", VANISHING)
def test_weights_that_are_zero_in_the_dtype_are_refused(case):
    dtype, weights, of_classes = VANISHING[case]
    X, y = np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 3
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy", n_inputs=4, dtype=dtype)
    with np.errstate(all="raise"), pytest.raises(ValueError, match=f"sample_weight holds at most .* 0 in {dtype}"):
        model.fit(X, y, sample_weight=weights, class_weight=of_classes, verbose=0)
    if of_classes is None:
        for call in (model.evaluate, model.train_on_batch, model.loss_and_gradients):
            with pytest.raises(ValueError, match=f"sample_weight holds at most .* 0 in {dtype}"):
                call(X, y, sample_weight=weights)
    weights[3] = np.finfo(dtype).tiny
    model.train_on_batch(X, y, weights)


def test_a_batch_among_others_may_be_without_weight():
    X, y = np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 3
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy", n_inputs=4)
    batches = [(X, y, np.zeros(30)), (X, y, np.ones(30)), (X, y, np.zeros(30))]
    found = model.evaluate(batches)
    assert found["loss"] == pytest.approx(model.evaluate(X, y)["loss"] / 3, rel=1e-6)
    history = model.fit(batches, epochs=2, validation_data=batches, class_weight={0: 2.0}, verbose=0)
    assert model._core.network.step == 6
    assert history["val_loss"][-1] == model.evaluate(batches)["loss"]
    assert history["val_loss"][-1] < found["loss"]
    before = model.weights
    with pytest.raises(ValueError, match="sample_weight of all batches holds zeros alone"):
        model.fit([batches[0]], verbose=0)
    for array, old in zip(model.weights[0], before[0], strict=True):
        np.testing.assert_array_equal(array, old)


def test_a_batch_of_classes_without_weight_is_a_step_like_others():
    X = np.ones((4, 2))
    batches = [(X, np.array([0, 0, 0, 0])), (X, np.array([0, 1, 1, 0]))]
    model = fm.Model([fm.Dense(2)], "softmax_cross_entropy")
    assert len(model.fit(batches, class_weight={0: 0}, verbose=0)["loss"]) == 1


def test_a_class_may_be_named_by_a_float_that_is_its_number():
    """As `dict(zip(numpy.unique(y), weights))` of a y of floats does."""
    X, y = np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 2.0
    one, other = (fm.Model([fm.Dense(1)], "binary_cross_entropy") for _ in range(2))
    one.fit(X, y, class_weight={0.0: 1, np.float32(1): 10}, verbose=0)
    other.fit(X, y, class_weight={0: 1, 1: 10}, verbose=0)
    assert one.weights[0][0].tobytes() == other.weights[0][0].tobytes()
    with pytest.raises(ValueError, match=r"names the class 0\.5"):
        one.fit(X, y, class_weight={0.5: 1}, verbose=0)
