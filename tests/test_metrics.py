"""Metrics against scikit-learn's, and in a model."""

import copy
import itertools
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import metrics as M  # noqa: N812

# Of values of order 1: sums of some hundred terms in another order.
TOLERANCE = 1e-12

SIZES = [(1, 2), (2, 2), (7, 2), (300, 2), (8, 3), (301, 3), (500, 11)]
AVERAGES = ["macro", "micro", "weighted"]


def classes(n, n_classes, seed=0, ties=False):
    """Labels, of which some classes may be missing, and probabilities that know something about them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    scores = rng.standard_normal((n, n_classes)) + np.eye(n_classes)[labels]
    if ties:
        scores = np.round(scores)
    e = np.exp(scores)
    return labels, e / e.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def sklearn():
    return pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed: pip install '.[test]'")


def close(found, expected):
    assert type(found) is float
    assert found == pytest.approx(float(expected), rel=0, abs=TOLERANCE)


# ---- against scikit-learn ----


@pytest.mark.parametrize(("n", "n_classes"), SIZES)
@pytest.mark.parametrize("seed", range(4))
def test_classification(sklearn, n, n_classes, seed):
    y, p = classes(n, n_classes, seed)
    labels = p.argmax(axis=1)
    # Once: the forms of predictions below say the same.
    there = sklearn.confusion_matrix(y, labels, labels=range(n_classes))
    right = sklearn.accuracy_score(y, labels)
    balanced = sklearn.recall_score(y, labels, average="macro", labels=np.unique(y), zero_division=0)
    names, averages = ("precision", "recall", "f1"), AVERAGES + ["binary"] * (n_classes == 2)
    expected = {
        (name, average): getattr(sklearn, f"{name}_score")(y, labels, average=average, zero_division=0)
        for name, average in itertools.product(names, averages)
    }
    for predictions in (p, labels, p.astype(np.float32)) + ((p[:, 1], p[:, 1:]) if n_classes == 2 else ()):
        close(M.accuracy(y, predictions), right)
        found = M.confusion_matrix(y, predictions)
        assert found.dtype == np.int64
        assert np.array_equal(found, there[: len(found), : len(found)])
        assert found.sum() == n
        close(M.balanced_accuracy(y, predictions), balanced)
        for name in names:
            for average in AVERAGES:
                close(getattr(M, name)(y, predictions, average), expected[name, average])
            if n_classes == 2:
                close(getattr(M, name)(y, predictions), expected[name, "binary"])
                close(getattr(M, name)(y, predictions, "binary"), expected[name, "binary"])
            elif len(found) > 2:
                close(getattr(M, name)(y, predictions), expected[name, "macro"])


@pytest.mark.parametrize("k", [1, 2, 5, 11, 40])
def test_top_k(sklearn, k):
    y, p = classes(400, 11)
    expected = sklearn.top_k_accuracy_score(y, p, k=k, labels=range(11)) if k < 11 else 1.0
    close(M.top_k_accuracy(y, p, k), expected)
    close(M.top_k_accuracy(y, np.log(p), k), expected)
    if k == 1:
        close(M.top_k_accuracy(y, p, k), M.accuracy(y, p))
    if k == 5:
        close(M.top_k_accuracy(y, p), expected)


@pytest.mark.parametrize("n_classes", [3, 4, 11])
def test_ties_among_the_top_k_are_scikit_learns(sklearn, n_classes):
    rng = np.random.default_rng(n_classes)
    y = rng.permutation(np.arange(200) % n_classes)
    for p in (
        np.ones((200, n_classes)),
        rng.integers(0, 3, (200, n_classes)) / 2.0,
        np.round(rng.random((200, n_classes)), 1),
    ):
        for k in range(1, n_classes):
            close(M.top_k_accuracy(y, p, k), sklearn.top_k_accuracy_score(y, p, k=k, labels=range(n_classes)))
    assert M.top_k_accuracy(np.arange(n_classes), np.ones((n_classes, n_classes)), k=1) == pytest.approx(1 / n_classes)


def test_constant_predictions_rank_no_class_before_another():
    """What knows nothing scores as chance does, of balanced classes, in every metric that ranks."""
    y = np.arange(60) % 6
    p = np.full((60, 6), 1 / 6)
    for k in range(1, 7):
        close(M.top_k_accuracy(y, p, k), k / 6)
    close(M.accuracy(y, p), 1 / 6)
    close(M.balanced_accuracy(y, p), 1 / 6)
    close(M.roc_auc(y, p), 0.5)
    close(M.roc_auc(y % 2, p[:, 0]), 0.5)


@pytest.mark.parametrize("largest", [3_000_000, 2**31 - 1])
def test_large_labels_take_no_matrix_of_classes(sklearn, largest):
    rng = np.random.default_rng(0)
    y, found = ([0, 5, largest, 17, 17, 5], [5, 5, largest, 17, 5, 1])
    for name in ("precision", "recall", "f1"):
        for average in AVERAGES:
            expected = getattr(sklearn, f"{name}_score")(y, found, average=average, zero_division=0)
            close(getattr(M, name)(y, found, average), expected)
        close(getattr(M, name)(y, found), getattr(M, name)(y, found, "macro"))
        with pytest.raises(ValueError, match=f"is for two classes, not {largest + 1}"):
            getattr(M, name)(y, found, "binary")
    close(M.balanced_accuracy(y, found), sklearn.recall_score(y, found, average="macro", labels=np.unique(y)))
    y, found = rng.integers(0, 5000, (2, 20_000))  # fewer classes than samples
    close(M.f1(y, found), sklearn.f1_score(y, found, average="macro", zero_division=0))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n", "n_classes"), [(7, 2), (300, 2), (300, 3), (501, 11)])
def test_roc_auc(sklearn, n, n_classes, ties):
    y, p = classes(n, n_classes, ties=ties)
    if n_classes == 2:
        for scores in (p, p[:, 1], p[:, 1:], np.log(p[:, 1]), p[:, 1].astype(np.float32)):
            close(M.roc_auc(y, scores), sklearn.roc_auc_score(y, scores[:, -1] if scores.ndim == 2 else scores))
    else:
        expected = sklearn.roc_auc_score(y, p, multi_class="ovr", average="macro")
        close(M.roc_auc(y, p), expected)


def test_roc_auc_of_missing_classes(sklearn):
    assert math.isnan(M.roc_auc([1, 1], [0.1, 0.2]))
    assert math.isnan(M.roc_auc([2, 2], np.eye(3)[:2]))
    y, p = classes(200, 3)
    y[y == 1] = 0
    expected = [sklearn.roc_auc_score(y == label, p[:, label]) for label in (0, 2)]
    close(M.roc_auc(y, p), np.mean(expected))


@pytest.mark.parametrize("shape", [(2,), (301,), (301, 1), (301, 4)])
def test_regression(sklearn, shape):
    rng = np.random.default_rng(1)
    y = 5 + rng.standard_normal(shape)
    p = y + rng.standard_normal(shape)
    close(M.r2(y, p), sklearn.r2_score(y, p))
    close(M.rmse(y, p), sklearn.root_mean_squared_error(y, p))
    close(M.mse(y, p), sklearn.mean_squared_error(y, p))
    assert M.mape(y, p) == pytest.approx(sklearn.mean_absolute_percentage_error(y, p), rel=1e-12)
    close(M.mae(y, p), sklearn.mean_absolute_error(y, p))
    assert M.r2(y, y) == 1.0
    assert M.rmse(y, y) == M.mae(y, y) == M.mse(y, y) == M.mape(y, y) == 0.0
    constant = np.full(shape, 2.0)
    close(M.r2(constant, p), sklearn.r2_score(constant, p))
    assert M.r2(constant, constant) == 1.0


def test_shapes_and_kinds_of_targets():
    y, p = classes(50, 3)
    expected = M.accuracy(y, p)
    for targets in (
        y[:, None],
        np.eye(3)[y],
        np.eye(3, dtype=np.uint8)[y],
        y.astype(float),
        y.tolist(),
        y.astype("i1"),
    ):
        assert M.accuracy(targets, p) == expected
        assert M.f1(targets, p.argmax(axis=1)) == M.f1(y, p)
    y, p = classes(50, 2)
    for targets in (y, y.astype(bool), y[:, None], np.eye(2)[y]):
        assert M.accuracy(targets, p[:, 1]) == M.accuracy(y, p)
        assert M.roc_auc(targets, p) == M.roc_auc(y, p[:, 1])
    assert M.r2([[1.0], [2.0]], [1.5, 2.0]) == M.r2([1, 2], [[1.5], [2]])


def test_half_is_class_0_as_in_keras():
    assert M.accuracy([0, 1], [0.5, 0.5000001]) == 1.0


def test_float32_is_summed_in_float64(sklearn):
    rng = np.random.default_rng(0)
    y = (1e4 + rng.standard_normal(10_000)).astype(np.float32)
    p = y + np.float32(1)
    close(M.r2(y, p), sklearn.r2_score(y.astype(float), p.astype(float)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: M.accuracy([0, 1], [0, 1, 1]), ValueError, r"y_true has shape \(2,\), but y_pred holds 3 samples"),
        (lambda: M.accuracy([], []), ValueError, "holds no samples"),
        (lambda: M.accuracy([0, 3], np.eye(2)), ValueError, "y_true holds the label 3, but y_pred scores 2 classes"),
        (lambda: M.accuracy([0, -1], [0, 1]), ValueError, "y_true holds -1, which is no class label"),
        (lambda: M.accuracy([0, 0.5], [0, 1]), ValueError, "y_true holds 0.5, which is no class label"),
        (lambda: M.accuracy([0, 1], [0.3, 1.7]), ValueError, "y_pred holds 1.7, which is neither a label nor"),
        (lambda: M.accuracy([0, 1], [0.3, math.nan]), ValueError, "y_pred holds NaN or infinity"),
        (lambda: M.accuracy([[1, 1], [0, 1]], np.eye(2)), ValueError, "take one column at a time"),
        (lambda: M.accuracy([0, 1], np.ones((2, 2, 2))), ValueError, "predictions have shape"),
        (lambda: M.accuracy(["a", "b"], [0, 1]), TypeError, "y_true must hold real numbers"),
        (lambda: M.accuracy(np.eye(3), np.eye(3)[:, :2]), ValueError, "y_true has shape .3, 3., but y_pred scores 2"),
        (lambda: M.top_k_accuracy([0, 1], [0, 1]), ValueError, "found among columns"),
        (lambda: M.top_k_accuracy([0, 1], np.eye(2), 0), ValueError, "k must be at least 1, not 0"),
        (lambda: M.f1([0, 2], [0, 1], "binary"), ValueError, "average='binary' is for two classes, not 3"),
        (lambda: M.f1([0, 1], [0, 1], "mean"), ValueError, "average must be one of 'binary', 'macro'"),
        (lambda: M.r2([1, 2], [1, 2, 3]), ValueError, r"y_true has shape \(2,\), but y_pred \(3,\)"),
        (lambda: M.mae([[1, 2]], [[1], [2]]), ValueError, r"y_true has shape \(1, 2\), but y_pred \(2, 1\)"),
        (lambda: M.Metric("f2"), ValueError, "metric 'f2' is unknown; choose 'accuracy'"),
        (lambda: M.Metric(3), TypeError, "a metric must be a name or a function"),
        (lambda: M.get(M.Metric), TypeError, "the class Metric; call it"),
        (lambda: M.Metric(fm.EarlyStopping), TypeError, "the class EarlyStopping; call it"),
        (lambda: M.Metric("accuracy", "macro"), ValueError, "average='macro' has no meaning for the metric 'accuracy'"),
        (lambda: M.Metric("f1", "mean"), ValueError, "average must be one of"),
        (lambda: M.Metric("f1", k=3), ValueError, "k=3 has no meaning for the metric 'f1'"),
        (lambda: M.Metric("top_k_accuracy", k=0), ValueError, "k must be at least 1"),
        (lambda: M.Metric(lambda t, p: 0), ValueError, "'<lambda>' is no name for a metric; give one"),
        (lambda: M.Metric(lambda t, p: "good", name="x")([0], [0]), TypeError, "metric 'x' must return a number"),
        (lambda: M.Metric(lambda t, p: t, name="x")([0, 1], [0, 1]), TypeError, r"not an array of shape \(2,\)"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("name", "ours"),
    [("F1_macro", "f1_macro"), ("f1-macro", "f1_macro"), ("Recall Weighted", "recall_weighted"),
     ("Top_3_Accuracy", "top_3_accuracy"), ("top-12 accuracy", "top_12_accuracy")],
)  # fmt: skip
def test_names_with_an_option_are_spelt_as_any(name, ours):
    assert M.get(name) == M.get(ours)
    assert M.get(name).name == ours
    assert fm.EarlyStopping(f"val_{name}").monitor == f"val_{ours}"


# ---- in a model ----


def worst(y_true, y_pred):
    """A metric of the user's own: works on the arrays."""
    return -abs(y_true - y_pred[:, 0]).max() if y_true.ndim == 1 else -abs(y_true - y_pred).max()


def data(n=60, n_classes=3, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 6)).astype(np.float32), rng.integers(0, n_classes, n)


def classifier(metrics, **options):
    return fm.Model([fm.Dense(17, "relu"), fm.Dense(3)], "softmax_cross_entropy", "adam", metrics=metrics, **options)


def bits(model):
    return [array.tobytes() for arrays in model.weights for array in arrays]


def test_evaluate_and_fit_report_metrics():
    X, y = data()
    V, v = data(30, seed=2)
    metrics = ["f1", "roc_auc", fm.metrics.Metric("top_k_accuracy", k=2), worst, "accuracy"]
    model, plain = classifier(metrics), classifier([])
    history = model.fit(X, y, batch_size=7, epochs=3, validation_data=(V, v), verbose=0)
    plain.fit(X, y, batch_size=7, epochs=3, verbose=0)
    names = ["loss", "accuracy", "f1", "roc_auc", "top_2_accuracy", "worst"]
    assert list(history.history) == ["loss", "accuracy", *(f"val_{name}" for name in names)]
    assert bits(model) == bits(plain)
    evaluated, p = model.evaluate(V, v), model.predict(V)
    assert list(evaluated) == names
    assert {f"val_{name}": value for name, value in evaluated.items()} == {
        name: values[-1] for name, values in history.history.items() if name.startswith("val_")
    }
    assert evaluated["accuracy"] == M.accuracy(v, p)
    assert evaluated["f1"] == M.f1(v, p)
    assert evaluated["roc_auc"] == M.roc_auc(v, p)
    assert evaluated["top_2_accuracy"] == M.top_k_accuracy(v, p, 2)
    assert evaluated["worst"] == worst(v, p)
    assert model.evaluate(V, np.eye(3)[v])["f1"] == evaluated["f1"]
    assert all(type(value) is float for value in evaluated.values())
    assert plain.evaluate(V, v) == {name: evaluated[name] for name in ("loss", "accuracy")}
    plain.metrics = ["f1"]
    assert list(plain.evaluate(V, v)) == ["loss", "accuracy", "f1"]


def test_metrics_of_a_regression_and_of_one_output():
    X, y = data(n_classes=2)
    cases = {"mean_squared_error": ["r2", "rmse", "mae", worst], "binary_cross_entropy": ["f1", "roc_auc"]}
    for loss, metrics in cases.items():
        model = fm.Model([fm.Dense(1)], loss, n_inputs=6, metrics=metrics)
        found = model.evaluate(X, y)
        p = model.predict(X)
        for metric in model.metrics:
            assert found[metric.name] == metric(y[:, None], p)
        assert len(found) == 1 + model.loss.has_accuracy + len(metrics)
    assert M.rmse(y, p) == pytest.approx(math.sqrt(np.mean((y - p[:, 0]) ** 2)))


def test_a_loss_of_ones_own_takes_any_metric():
    def loss(scores, targets):
        error = scores - np.eye(3)[targets]
        return (error**2).mean(), 2 * error / error.size

    X, y = data()
    model = fm.Model([fm.Dense(3)], loss, n_inputs=6, metrics=["accuracy", "f1"])
    found = model.evaluate(X, y)
    assert found["accuracy"] == M.accuracy(y, model.scores(X))
    assert list(found) == ["loss", "accuracy", "f1"]


def test_early_stopping_on_a_metric():
    X, y = data()
    stop = fm.EarlyStopping("val_f1", patience=2)
    assert stop.mode == "max"
    history = classifier(["f1"]).fit(X, y, epochs=500, validation_data=data(30, seed=2), callbacks=[stop], verbose=0)
    assert history.stopped == "patience"
    assert stop.best == max(history["val_f1"])
    with pytest.raises(ValueError, match="monitor='val_recall' will not be in the logs"):
        classifier(["f1"]).fit(X, y, validation_data=(X, y), callbacks=[fm.EarlyStopping("val_recall")], verbose=0)


def test_metrics_are_saved_and_copied(tmp_path):
    X, y = data()
    model = classifier(["f1", fm.metrics.Metric("recall", "weighted", name="seen"), worst], n_inputs=6)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.metrics == model.metrics
        assert other.evaluate(X, y) == model.evaluate(X, y)
    model.save(tmp_path / "net")
    loaded = fm.load(tmp_path / "net")
    assert loaded.metrics == model.metrics[:2]  # no file holds a function
    assert loaded.evaluate(X, y).items() < model.evaluate(X, y).items()


@pytest.mark.parametrize(
    ("metrics", "options", "error", "message"),
    [
        ("f1", {}, TypeError, r"metrics must be a list such as \['f1'\], not 'f1'"),
        (["neg_mean_squared_error"], {}, ValueError, "is no name here; 'mse' is not negative here: less is better"),
        (["F3"], {}, ValueError, "metric 'F3' is unknown"),
        (["r2"], {}, ValueError, "the metric 'r2' is of values, but SoftmaxCrossEntropy predicts classes"),
        (["f1"], {"loss": "mean_squared_error"}, ValueError, "'f1' is of classes, but MeanSquaredError predicts val"),
        (["f1"], {"loss": "binary_cross_entropy"}, ValueError, "with 3 outputs predicts several labels"),
        (["f1", "f1"], {}, ValueError, "two metrics are called 'f1'"),
        ([fm.metrics.Metric("f1", name="loss")], {}, ValueError, "two metrics are called 'loss'"),
        ([3], {}, TypeError, "a metric must be a name or a function"),
    ],
)
def test_metrics_that_do_not_fit(metrics, options, error, message):
    with pytest.raises(error, match=message):
        fm.Model([fm.Dense(3)], **{"loss": "softmax_cross_entropy"} | options, metrics=metrics)


def test_top_k_wants_an_output_for_every_class():
    with pytest.raises(ValueError, match="wants an output for every class"):
        fm.Model([fm.Dense(1)], "binary_cross_entropy", metrics=["top_k_accuracy"])


def test_metrics_of_a_validation_split():
    """Of the samples that were left out, and of no others."""
    X, y = data(100)
    seen = []

    def looks(y_true, y_pred):
        seen.append((y_true, y_pred))
        return 0.0

    for loss in ("softmax_cross_entropy", "mean_squared_error"):
        seen.clear()
        model = fm.Model([fm.Dense(3)], loss, fm.SGD(0.0), n_inputs=6, metrics=[looks])
        targets = y if loss.startswith("softmax") else X[:, :3]
        history = model.fit(X, targets, validation_split=0.2, verbose=0)
        assert history["val_looks"] == [0.0]
        ((y_true, y_pred),) = seen
        everything = model.predict(X)
        rows = [int(np.flatnonzero((everything == row).all(axis=1))[0]) for row in y_pred]
        assert len(set(rows)) == 20
        assert np.array_equal(targets[rows], y_true)


def test_metrics_of_raw_scores_and_of_means():
    """The sign of a score is a class where the loss says so; of means and variances the means count."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((50, 1))
    y = rng.choice([-1.0, 1.0], (50, 1))
    hinge = SimpleNamespace(has_accuracy=True, link="identity")
    found = M.evaluated([M.get(name) for name in ("f1", "roc_auc", "balanced_accuracy")], hinge, y, scores)
    labels, positive = (scores > 0).astype(int), (y > 0).astype(int)
    expected = [M.f1(positive, labels), M.roc_auc(positive, scores), M.balanced_accuracy(positive, labels)]
    assert list(found.values()) == expected
    both = np.concatenate([scores, rng.standard_normal((50, 1))], axis=1)
    normal = SimpleNamespace(has_accuracy=False, link="identity")
    metrics = [M.get("rmse"), M.Metric(lambda t, p: p.shape[1], name="columns")]
    assert M.evaluated(metrics, normal, y, both) == {"rmse": M.rmse(y, scores), "columns": 2.0}


def test_functions_of_the_library_are_its_metrics():
    assert M.Metric(M.top_k_accuracy, k=3) == M.Metric("top_k_accuracy", k=3)
    assert M.get(M.f1) == M.Metric("f1")
    with pytest.raises(ValueError, match="k=3 has no meaning for the metric 'f1'"):
        M.Metric(M.f1, k=3)
    with pytest.raises(ValueError, match="the metric 'f1' is of classes, but MeanSquaredError predicts values"):
        fm.Model([fm.Dense(1)], metrics=[M.f1])
