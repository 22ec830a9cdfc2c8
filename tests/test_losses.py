"""csrc/kernels/losses.inc.h against its twins: softmax, and each loss with its gradient and its count of hits."""

import numpy as np
import pytest

from fastmlp import _engine, _kernels, reference

# Every loss without options, and with some for n outputs: (its name, the options).
VARIANTS = {
    **{name: (name, lambda n: {}) for name in _engine.losses},
    "labels, smoothed": ("softmax_cross_entropy_labels", lambda n: {"label_smoothing": 0.1}),
    "softmax, smoothed": ("softmax_cross_entropy", lambda n: {"label_smoothing": 0.3}),
    "binary, weighted": ("binary_cross_entropy", lambda n: {"positive_weight": np.linspace(0.5, 3, n)}),
    "binary, both": (
        "binary_cross_entropy", lambda n: {"positive_weight": np.full(n, 2.5), "label_smoothing": 0.2}),
    "focal, flat": ("focal", lambda n: {"gamma": 0.0}),
    "focal, weighted": ("focal", lambda n: {"gamma": 0.5, "alpha": np.linspace(0.5, 3, n)}),
    "focal labels, weighted": ("focal_labels", lambda n: {"gamma": 3.5, "alpha": np.linspace(0.5, 3, n)}),
    "binary focal, flat": ("binary_focal", lambda n: {"gamma": 0.0}),
    "binary focal, weighted": ("binary_focal", lambda n: {"gamma": 0.7, "alpha": np.linspace(0.1, 0.9, n)}),
    "huber, narrow": ("huber", lambda n: {"delta": 0.3}),
    "huber, wide": ("huber", lambda n: {"delta": 2.5}),
    "quantile, several": ("quantile", lambda n: {"levels": np.linspace(0.05, 0.9, n)}),
}  # fmt: skip
every_loss = pytest.mark.parametrize("variant", VARIANTS)
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 37, 101]  # around registers and lines of both dtypes


def test_every_loss_has_a_twin_and_the_reverse():
    assert set(reference.LOSSES) == set(_engine.losses)


def case(rng, name, rows, n, dtype, spread=3.0):
    """Scores and targets that fit the loss."""
    scores = (rng.standard_normal((rows, n)) * spread).astype(dtype)
    if name.endswith("_labels"):
        return scores, rng.integers(0, n, rows)
    if name in ("softmax_cross_entropy", "focal"):
        targets = rng.dirichlet(np.ones(n), rows)
        targets[::2] = np.eye(n)[rng.integers(0, n, len(targets[::2]))]
    elif name == "hinge":
        targets = np.sign(rng.standard_normal((rows, n)))
    elif name == "poisson":
        targets = rng.poisson(2.0, (rows, n))
    elif name.startswith("binary"):
        targets = np.where(rng.random((rows, n)) < 0.7, rng.integers(0, 2, (rows, n)), rng.random((rows, n)))
    else:
        targets = rng.standard_normal((rows, n))
    return scores, targets.astype(dtype)


def sizes_of(name, z, targets, options):
    """What errors of a loss (rows,) and of its gradient (rows, n) are relative to: the numbers that it adds up."""
    if "softmax" in name:
        return np.log(z.shape[1]) + 1 + 2 * np.abs(z).max(axis=1), 1.0
    weight = max(1.0, *options.get("positive_weight", [1.0]), *options.get("alpha", [1.0]))
    if name.startswith("focal"):  # a power of an approximate base, which multiplies the loss
        size = (4 + options.get("gamma", 2.0)) * weight * (np.log(z.shape[1]) + 1 + 2 * np.abs(z).max(axis=1))
        return size, (4 + options.get("gamma", 2.0)) * weight
    if name.startswith("binary"):
        power = 1 + options.get("gamma", 0.0 if name == "binary_cross_entropy" else 2.0)
        loss = reference.binary_cross_entropy(z, targets)[0]
        return power * weight * (loss + 1), power**2 * weight
    error = np.abs(z - targets[:, : z.shape[1]])
    if name == "poisson":
        return (np.exp(z) + np.abs(targets * z)).sum(axis=1), np.exp(z) + targets
    if name == "gaussian_nll":
        m = z.shape[1] // 2
        s = z[:, m : 2 * m]
        square = error[:, :m] ** 2 * np.exp(-s)
        both = np.zeros_like(z)
        both[:, :m], both[:, m : 2 * m] = np.abs(error[:, :m]) * np.exp(-s), 1 + square
        return (np.abs(s) + 8 * square).sum(axis=1), 4 * both
    exact = reference.LOSSES[name](z, targets, **options)
    rounded = 2 if name == "quantile" else 1  # its level is, too
    return rounded * np.abs(exact[0]) + (1 if name == "hinge" else 0), np.abs(exact[2]) + (
        error if name == "huber" else 0
    )


def run(variant, scores, *arguments, **named):
    name, options = VARIANTS[variant]
    return _kernels.loss(name, scores, *arguments, options=options(scores.shape[1]), **named)


def less(errors, limits):
    """NumPy's own comparison, which is slow, only where it has something to tell."""
    if not (errors < limits).all():
        np.testing.assert_array_less(errors, np.broadcast_to(limits, errors.shape))


def close(variant, scores, targets, found, dtype, tolerance, row_scale=1.0, gradient_scale=1.0):
    """Compare with the twin in float64; the errors of a loss grow with the numbers that it adds up."""
    losses, right, dscores = found
    z, (name, options) = scores.astype(np.float64), VARIANTS[variant]
    exact = reference.LOSSES[name](z, targets, row_scale, gradient_scale, **options(z.shape[1]))
    size, gradient_size = sizes_of(name, z, targets, options(z.shape[1]))
    assert losses.dtype == dtype
    assert losses.shape == exact[0].shape
    less(np.abs(losses - exact[0]), abs(row_scale) * tolerance("loss") * size + 1e-40)
    assert right == exact[1]
    if dscores is not None:
        limit = abs(gradient_scale) * tolerance("loss gradient") * gradient_size + 1.01 * np.finfo(dtype).tiny
        assert dscores.shape == exact[2].shape
        less(np.abs(dscores - exact[2]), limit)


@every_loss
def test_loss_is_the_twins_at_every_size(variant, isa, dtype, tolerance):
    rng = np.random.default_rng(1)
    for n in SIZES:
        for rows in (1, 2, 7, 16, 17, 33):  # the logarithms of a line of rows are taken together
            scores, targets = case(rng, VARIANTS[variant][0], rows, n, dtype)
            found = run(variant, scores, targets, 0.7, 0.3, isa=isa)
            close(variant, scores, targets, found, dtype, tolerance, 0.7, 0.3)


@every_loss
def test_loss_is_the_same_without_gradient_and_in_place(variant, isa, dtype):
    rng = np.random.default_rng(2)
    for n in SIZES:
        scores, targets = case(rng, VARIANTS[variant][0], 19, n, dtype)
        losses, right, gradient = run(variant, scores, targets, 0.7, 0.3, isa=isa)
        alone = run(variant, scores, targets, 0.7, 0.3, isa=isa, gradient=False)
        in_place = run(variant, scores, targets, 0.7, 0.3, isa=isa, in_place=True)
        assert alone[0].tobytes() == in_place[0].tobytes() == losses.tobytes()
        assert alone[1] == in_place[1] == right
        assert alone[2] is None
        assert in_place[2].tobytes() == gradient.tobytes()


@every_loss
def test_a_row_does_not_depend_on_its_neighbours(variant, isa, dtype):
    rng = np.random.default_rng(3)
    scores, targets = case(rng, VARIANTS[variant][0], 37, 21, dtype)
    losses, _, gradient = run(variant, scores, targets, isa=isa)
    for r in range(37):
        one_loss, _, one_gradient = run(variant, scores[r : r + 1], targets[r : r + 1], isa=isa)
        assert one_loss[0] == losses[r]
        assert one_gradient.tobytes() == gradient[r].tobytes()


# Distances from the kinks of a loss, of the first or of the second derivative.
KINKS = {
    "absolute_error": lambda z, t, options: z - t,
    "quantile": lambda z, t, options: z - t,
    "huber": lambda z, t, options: np.abs(z - t) - options.get("delta", 1.0),
    "hinge": lambda z, t, options: 1 - t * z,
}


@every_loss
def test_gradient_is_that_of_the_loss(variant, isa):
    """Central differences of fourth order in float64."""
    h = 2.0**-8
    for seed in range(3):
        rng = np.random.default_rng(seed)
        scores, targets = case(rng, VARIANTS[variant][0], 6, 5, "float64", 2.0)
        _, _, gradient = run(variant, scores, targets, 0.5, 0.5, isa=isa)
        for k in range(5):
            step = h * np.eye(5)[k]
            f = {i: run(variant, scores + i * step, targets, 0.5, isa=isa)[0] for i in (-2, -1, 1, 2)}
            slope = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)
            kinks = KINKS.get(VARIANTS[variant][0], lambda z, t, options: np.ones_like(z))
            far = np.abs(kinks(scores, targets, VARIANTS[variant][1](5)))[:, k] > 2 * h
            np.testing.assert_allclose(gradient[far, k], slope[far], atol=1e-8, rtol=0)
            assert far.sum() >= 4


@every_loss
def test_extreme_scores_are_stable(variant, isa, dtype, tolerance):
    rng = np.random.default_rng(4)
    for spread in (1e3, 1e6, 1e15):
        scores, targets = case(rng, VARIANTS[variant][0], 11, 13, dtype, spread)
        if variant == "poisson":  # whose loss at a large score is infinite
            scores = -np.abs(scores)
        if variant == "gaussian_nll":  # or at a tiny variance
            scores[:, 6:] = np.abs(scores[:, 6:])
        found = run(variant, scores, targets, isa=isa)
        assert np.isfinite(found[0]).all()
        assert np.isfinite(found[2]).all()
        close(variant, scores, targets, found, dtype, tolerance)


@pytest.mark.parametrize("name", [name for name in _engine.losses if "softmax" in name])
def test_the_largest_finite_scores_are_stable(name, isa, dtype):
    """Their difference overflows, but a target of 0 takes no part."""
    largest = np.finfo(dtype).max
    scores = np.array([[largest, -largest, 0.0], [-largest, 0.0, -largest], [largest, largest, -largest]], dtype)
    labels = np.array([0, 1, 0])
    targets = labels if name.endswith("_labels") else np.eye(3)[labels]
    losses, right, gradient = _kernels.loss(name, scores, targets, isa=isa)
    np.testing.assert_allclose(losses, [0, 0, np.log(2)], atol=1e-6)
    assert right == 3
    np.testing.assert_allclose(gradient, [[0, 0, 0], [0, 0, 0], [-0.5, 0.5, 0]], atol=1e-6)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "softmax_cross_entropy_labels"])
def test_smoothed_targets_and_the_largest_finite_scores(name, isa, dtype):
    """The difference of two scores overflows, a tenth of it does not."""
    largest = float(np.finfo(dtype).max)
    scores, labels = np.array([[largest, -largest, -largest], [0, -largest, -largest]], dtype), np.array([0, 0])
    targets = labels if name.endswith("_labels") else np.eye(3)[labels]
    losses, _, gradient = _kernels.loss(name, scores, targets, isa=isa, options={"label_smoothing": 0.3})
    np.testing.assert_allclose(losses, [np.float64(0.4) * largest, np.float64(0.2) * largest], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.2, -0.1, -0.1]] * 2, rtol=1e-6)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", [
    "binary_cross_entropy", "binary_focal", "hinge", "absolute_error", "huber", "log_cosh", "quantile", "poisson",
])  # fmt: skip
def test_means_over_outputs_and_the_largest_finite_scores(name, sign, isa, dtype):
    """The sum of the outputs' losses overflows, their mean does not."""
    largest = 0.99 * float(np.finfo(dtype).max)
    if name == "poisson" and sign > 0:
        return  # its loss is infinite
    target = {"hinge": -sign, "poisson": 1}.get(name, sign < 0)
    scores, targets = np.full((2, 20), sign * largest, dtype), np.full((2, 20), target, dtype)
    scores[1, 10:] = 0
    losses, _, gradient = _kernels.loss(name, scores, targets, 0.05, 0.05, isa=isa)
    each = largest / 2 if name == "quantile" else largest
    np.testing.assert_allclose(losses, [each, np.float64(0.5) * each], rtol=1e-5)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["focal", "focal_labels"])
def test_focal_losses_of_the_largest_finite_scores(name, isa, dtype):
    largest = float(np.finfo(dtype).max)
    scores = np.array([[largest, -largest, 0], [0, largest, 0], [largest, largest, -largest]], dtype)
    labels = np.array([0, 0, 1])
    targets = labels if name.endswith("_labels") else np.eye(3)[labels]
    for gamma in (0.0, 0.5, 2.0):
        losses, right, gradient = _kernels.loss(name, scores, targets, isa=isa, options={"gamma": gamma})
        np.testing.assert_allclose(losses, [0, largest, 0.5**gamma * np.log(2)], rtol=1e-5)
        assert right == 1
        np.testing.assert_allclose(gradient[:2], [[0, 0, 0], [-1, 1, 0]], atol=1e-5)
        assert np.isfinite(gradient).all()


def test_gaussian_nll_of_large_and_tiny_variances(isa, dtype):
    """An error of 0 has no cost at any variance, and large errors none at a larger one."""
    largest = float(np.finfo(dtype).max)
    root = np.sqrt(largest) / 4
    scores = np.array([[3, -largest], [3, largest], [root, 0], [0.5 * largest, 1.5 * np.log(largest)]], dtype)
    losses, _, gradient = _kernels.loss("gaussian_nll", scores, np.full((4, 1), 3, dtype), isa=isa)
    np.testing.assert_allclose(losses[:3], [-0.5 * largest, 0.5 * largest, 0.5 * (root - 3) ** 2], rtol=1e-5)
    z, s = scores[3].astype(np.longdouble)
    np.testing.assert_allclose(losses[3], float(0.5 * (s + z * np.exp(-s) * z)), rtol=1e-4)
    np.testing.assert_allclose(gradient[:2], [[0, 0.5], [0, 0.5]])
    assert np.isfinite(gradient).all()


def test_gradients_keep_small_errors(isa, dtype, tolerance):
    """Where the target is nearly reached nothing cancels: each loss and derivative has its own size."""
    small = np.finfo(dtype).eps ** np.array([[0.5, 0.6, 0.7, 0.8]])
    for name in ("log_cosh", "huber", "squared_error"):
        losses, _, gradient = _kernels.loss(name, small.astype(dtype), np.zeros((1, 4)), isa=isa)
        factor = 1 if name == "squared_error" else 0.5
        np.testing.assert_allclose(losses, factor * (small**2).sum(axis=1), rtol=10 * np.finfo(dtype).eps)
        np.testing.assert_allclose(gradient, 2 * factor * small, rtol=4 * np.finfo(dtype).eps)
    scores = -np.log(small.T[:, [0, 0]]) * [0.5, -0.5]  # p = 1 / (1 + small)
    for gamma in (0.5, 2.0):
        losses, _, _ = _kernels.loss(
            "focal", scores.astype(dtype), np.eye(2)[[0] * 4], isa=isa, options={"gamma": gamma}
        )
        np.testing.assert_allclose(losses, small[0] ** (1 + gamma), rtol=1e-3)


@every_loss
def test_nan_stays_in_its_row(variant, isa, dtype):
    rng = np.random.default_rng(5)
    for n in (2, 5, 16, 37):
        scores, targets = case(rng, VARIANTS[variant][0], 20, n, dtype)
        good = run(variant, scores, targets, isa=isa)
        scores[6, n // 2] = np.nan
        losses, right, gradient = run(variant, scores, targets, isa=isa)
        assert np.isnan(losses[6])
        assert np.isnan(gradient[6, n // 2])
        assert right <= good[1] + n
        others = np.arange(20) != 6
        assert losses[others].tobytes() == good[0][others].tobytes()
        assert gradient[others].tobytes() == good[2][others].tobytes()


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "softmax_cross_entropy_labels"])
def test_of_equal_scores_the_first_is_the_prediction(name, isa, dtype):
    for n in (2, 9, 17, 40):
        scores = np.zeros((n, n), dtype)
        scores[:, -2:] = 1
        labels = np.arange(n)
        targets = labels if name.endswith("_labels") else np.eye(n)
        assert _kernels.loss(name, scores, targets, isa=isa)[1] == 1, n
        assert _kernels.loss(name, scores[n - 2 :], targets[n - 2 :], isa=isa)[1] == 1, n
        assert _kernels.loss(name, scores[n - 1 :], targets[n - 1 :], isa=isa)[1] == 0, n


def test_negative_scores_alone_are_not_beaten_by_the_padding(isa, dtype):
    scores = np.full((3, 5), -50.0, dtype)
    scores[:, 3] = -40
    losses, right, _ = _kernels.loss("softmax_cross_entropy_labels", scores, [3, 3, 0], isa=isa)
    assert right == 2
    np.testing.assert_allclose(losses, [4 * np.exp(-10), 4 * np.exp(-10), 10], rtol=1e-3)


def test_binary_cross_entropy_counts_outputs(isa, dtype):
    scores = np.array([[1, -1, 0, 2, -2]], dtype)
    targets = np.array([[1, 0, 0, 0, 1]], dtype)
    assert _kernels.loss("binary_cross_entropy", scores, targets, isa=isa)[1] == 3  # a score of 0 says no


def test_labels_and_one_hot_rows_agree(isa, dtype):
    rng = np.random.default_rng(6)
    scores, labels = case(rng, "softmax_cross_entropy_labels", 50, 12, dtype)
    by_label = _kernels.loss("softmax_cross_entropy_labels", scores, labels, isa=isa)
    one_hot = np.eye(12, dtype=dtype)[labels]
    by_row = _kernels.loss("softmax_cross_entropy", scores, one_hot, isa=isa)
    np.testing.assert_allclose(by_label[0], by_row[0], rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)
    assert by_label[1] == by_row[1]
    np.testing.assert_allclose(by_label[2], by_row[2], rtol=0, atol=4 * np.finfo(dtype).eps)


def test_exp_is_the_twins(isa, dtype):
    z = np.concatenate([np.linspace(-80, 80, 999), [0, 1e30, -1e30, np.nan, np.inf, -np.inf]]).astype(dtype)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(_kernels.exp(z, isa=isa), reference.exp(z.astype(float)).astype(dtype), rtol=3e-7)


def test_rows_are_scaled_by_their_weights(isa, dtype):
    rng = np.random.default_rng(9)
    for n in SIZES:
        weights, losses = rng.random((2, 19)).astype(dtype)
        dscores = rng.standard_normal((19, n)).astype(dtype)
        weights[3], weights[4], losses[3:6], dscores[3:6] = 0, 1, np.nan, np.inf
        found, alone = (_kernels.scale_rows(weights, losses, d, isa=isa) for d in (dscores, None))
        exact = reference.scale_rows(weights, losses, dscores)
        np.testing.assert_array_equal(found[0], exact[0])
        np.testing.assert_array_equal(found[1], exact[1])
        np.testing.assert_array_equal(alone[0], exact[0])
        assert alone[1] is None
        assert found[0][3] == 0  # whatever it was
        assert not found[1][3].any()


def test_losses_take_read_only_and_strided_arrays(isa, dtype):
    for name in _engine.losses:
        scores, targets = case(np.random.default_rng(7), name, 9, 10, dtype)
        plain = _kernels.loss(name, scores, targets, isa=isa)
        scores, targets = np.asfortranarray(scores), np.repeat(targets, 2, axis=0)[::2]
        scores.flags.writeable = targets.flags.writeable = False
        odd = _kernels.loss(name, scores, targets, isa=isa)
        assert odd[0].tobytes() == plain[0].tobytes()
        assert odd[2].tobytes() == plain[2].tobytes()


@pytest.mark.parametrize("spread", [1.0, 30.0, 1e4])
def test_softmax_is_the_twins(spread, isa, dtype, tolerance):
    rng = np.random.default_rng(8)
    for n in SIZES:
        for rows in (1, 5):
            scores = (rng.standard_normal((rows, n)) * spread).astype(dtype)
            found = _kernels.softmax(scores, isa=isa)
            assert found.dtype == dtype
            exact = reference.softmax(scores.astype(np.float64))
            shifted = scores.astype(np.float64) - scores.max(axis=1, keepdims=True)
            # z - max is rounded, which exp turns into a relative error
            limit = tolerance("softmax") * exact * (1 - shifted) + np.finfo(dtype).tiny
            np.testing.assert_array_less(np.abs(found - exact), limit)
            np.testing.assert_allclose(found.sum(axis=1, dtype=np.float64), 1, rtol=tolerance("softmax"))


def test_softmax_of_nan_is_nan(isa, dtype):
    scores = np.zeros((2, 3), dtype)
    scores[0, 1] = np.nan
    found = _kernels.softmax(scores, isa=isa)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], 1 / 3, rtol=1e-6)
