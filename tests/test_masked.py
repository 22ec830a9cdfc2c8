"""Masked values and sparse matrices: refused at every door, since NumPy would read what lies below a mask."""

import numpy as np
import pytest

import fastmlp as fm

RNG = np.random.default_rng(0)
X, T, W = RNG.standard_normal((20, 4)), RNG.standard_normal((20, 2)), RNG.random(20)
LABELS = RNG.integers(0, 2, 20)


def own_loss(scores, targets):
    error = scores - targets
    return float((error**2).mean()), 2 * error / error.size


def model(loss="mean_squared_error", **options):
    return fm.Model([fm.Dense(3, "tanh"), fm.Dense(2)], loss, n_inputs=4, **options)


class Drawn(fm.initializers.Initializer):
    def __init__(self, change):
        self.change = change

    def draw(self, shape, n_in, n_out, dtype, key):
        return self.change(np.ones(shape, dtype))


class Rated(fm.schedules.Schedule):
    def __init__(self, change):
        self.change = change

    def rates(self, first, n):
        return self.change(np.full(n, 0.1))


def own_loss_that(change_loss=float, change_dscores=np.asarray):
    def loss(scores, targets):
        value, dscores = own_loss(scores, targets)
        return change_loss(value), change_dscores(dscores)

    return loss


def fit(made, X, y, **options):
    return made.fit(X, y, verbose=0, **options)


# What takes arrays, given a function that changes one of them.
DOORS = {
    "X of fit": lambda f: fit(model(), f(X), T),
    "X of train_on_batch": lambda f: model().train_on_batch(f(X), T),
    "X of loss_and_gradients": lambda f: model().loss_and_gradients(f(X), T),
    "X of predict": lambda f: model().predict(f(X)),
    "X of scores": lambda f: model().scores(f(X)),
    "X of evaluate": lambda f: model().evaluate(f(X), T),
    "X of adapt": lambda f: model(preprocessing="standardize").adapt(f(X)),
    "X of a batch": lambda f: fit(model(), [(f(X), T)], None),
    "X of validation": lambda f: fit(model(), X, T, validation_data=(f(X), T)),
    "X of vjp": lambda f: model().vjp(f(X)),
    "X of jvp": lambda f: model().jvp(f(X), X),
    "dX of jvp": lambda f: model().jvp(X, f(X)),
    "dweights of jvp": lambda f: model().jvp(X, dweights=[[f(a) for a in pair] for pair in model().weights]),
    "dscores of vjp": lambda f: model().vjp(X)[1](f(T)),
    "X of jacobian": lambda f: model().jacobian(f(X)),
    "X of input_gradients": lambda f: model().input_gradients(f(X), T),
    "X of gradcheck": lambda f: fm.gradcheck.check(model(dtype="float64"), f(X), T),
    "y": lambda f: fit(model(), X, f(T)),
    "y of labels": lambda f: fit(model("softmax_cross_entropy"), X, f(LABELS)),
    "y of a batch": lambda f: fit(model(), [(X, f(T))], None),
    "y of validation": lambda f: fit(model(), X, T, validation_data=(X, f(T))),
    "y of a loss of one's own": lambda f: fit(model(own_loss), X, f(T)),
    "y of a loss of one's own, in train_on_batch": lambda f: model(own_loss).train_on_batch(X, f(T)),
    "y of a loss of one's own, in evaluate": lambda f: model(own_loss).evaluate(X, f(T)),
    "y of a loss of one's own, in a batch": lambda f: fit(model(own_loss), [(X, f(T))], None),
    "y of a loss of one's own, in validation": lambda f: fit(model(own_loss), X, T, validation_data=(X, f(T))),
    "y of a loss of one's own, in input_gradients": lambda f: model(own_loss).input_gradients(X, f(T)),
    "dscores of a loss of one's own": lambda f: fit(model(own_loss_that(change_dscores=f)), X, T),
    "sample_weight": lambda f: fit(model(), X, T, sample_weight=f(W)),
    "sample_weight of a batch": lambda f: fit(model(), [(X, T, f(W))], None),
    "sample_weight of validation": lambda f: fit(model(), X, T, validation_data=(X, T, f(W))),
    "weights": lambda f: setattr(model(), "weights", [[f(a) for a in pair] for pair in model().weights]),
    "gradients": lambda f: model().apply_gradients([[f(a) for a in pair] for pair in model().weights]),
    "theta": lambda f: fm.autograd.set_flat_weights(model(), f(fm.autograd.flat_weights(model()))),
    "initializer": lambda f: fm.Dense(2, initializer=f(np.ones((4, 2)))),
    "bias_initializer": lambda f: fm.Dense(2, bias_initializer=f(np.ones(2))),
    "what an initializer draws": lambda f: fm.Model([fm.Dense(2, initializer=Drawn(f))], n_inputs=4),
    "what a schedule gives": lambda f: model(optimizer=fm.SGD(Rated(f))).train_on_batch(X, T),
    "y_true of a metric": lambda f: fm.metrics.r2(f(T), T),
    "y_pred of a metric": lambda f: fm.metrics.accuracy(LABELS, f(T)),
    "y_true of a metric of one's own": lambda f: fm.metrics.Metric(lambda y, p: 1.0, name="own")(f(T), T),
    "y_pred of a metric of one's own": lambda f: fm.metrics.Metric(lambda y, p: 1.0, name="own")(T, f(T)),
}  # fmt: skip
OF_NUMPY = {"what an initializer draws"}  # lists and sparse matrices are none


class Wrapped:
    """An array of another library, which hands out masked arrays."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def __array__(self, dtype=None, copy=None):
        return self.array


def masked(array):
    return np.ma.array(array, mask=np.arange(array.size).reshape(array.shape) == array.size // 2)


MASKED = {
    "an array": masked,
    "a list of arrays": lambda array: [masked(row) for row in array] if array.ndim == 2 else masked(array),
    "an object": lambda array: Wrapped(masked(array)),
}


@pytest.mark.parametrize("form", MASKED)
@pytest.mark.parametrize("door", DOORS)
def test_masked_values_are_refused_at_every_door(door, form):
    if form != "an array" and door in OF_NUMPY:
        form = "an array"
    with pytest.raises(ValueError, match=r"masks \d+ values?; fill or drop them first"):
        DOORS[door](MASKED[form])


@pytest.mark.parametrize("door", DOORS)
def test_a_mask_that_hides_nothing_is_none(door):
    DOORS[door](lambda array: np.ma.array(array, mask=False))


@pytest.mark.parametrize("value", [np.ma.masked, np.ma.array(1.0, mask=True)])
def test_single_numbers_that_are_masked_are_refused(value):
    """float() makes zero or NaN of them."""
    with pytest.raises(ValueError, match="the number that the loss 'loss' returns masks 1 value;"):
        fit(model(own_loss_that(change_loss=lambda _: value)), X, T)
    with pytest.raises(ValueError, match="what the metric 'own' returns masks 1 value;"):
        fm.metrics.Metric(lambda y, p: value, name="own")(T, T)
    with pytest.raises(ValueError, match=r"class_weight\[0\] masks 1 value;"):
        fit(model("softmax_cross_entropy"), X, LABELS, class_weight={0: value})


def test_a_loss_of_ones_own_may_have_targets_of_any_kind():
    """But for their masks: of records and of objects, too."""
    records = np.zeros(20, [("value", float, 2), ("kind", int)])

    def of_records(scores, targets):
        return own_loss(scores, targets["value"])

    fit(model(of_records), X, records)
    hidden = np.ma.array(records)
    hidden["kind"][3] = np.ma.masked
    with pytest.raises(ValueError, match="y masks 1 value;"):
        fit(model(of_records), X, hidden)

    def of_objects(scores, targets):
        return own_loss(scores, np.stack(targets.tolist()))

    objects = np.empty(20, object)
    objects[:] = [row for row in T]
    fit(model(of_objects), X, objects)
    objects[7] = np.ma.array(T[7], mask=[True, False])
    with pytest.raises(ValueError, match="y masks 1 value;"):
        fit(model(of_objects), X, objects)


def test_what_is_refused_has_changed_nothing():
    made = model(own_loss)
    before = [array.tobytes() for pair in made.weights for array in pair]
    for door in ((masked(X), T), (X, masked(T))):
        with pytest.raises(ValueError, match="masks 1 value;"):
            fit(made, *door)
    assert [array.tobytes() for pair in made.weights for array in pair] == before
    assert made._core.network.step == 0


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "dok_matrix", "lil_array"])
def test_the_error_of_sparse_matrices_names_the_remedy(kind):
    sparse = getattr(pytest.importorskip("scipy.sparse"), kind)(X)
    for call in (
        lambda X: fit(model(), X, T), lambda X: model().predict(X), lambda X: model().evaluate(X, T),
        lambda X: model().train_on_batch(X, T), lambda X: model().scores(X), lambda X: model().jacobian(X),
        lambda X: model(preprocessing="standardize").adapt(X), lambda X: fit(model(), [(X, T)], None),
    ):  # fmt: skip
        for given in (sparse, np.array(sparse)):
            with pytest.raises(TypeError, match=r"X.* is a sparse .*; make it dense by \.toarray\(\)"):
                call(given)
    with pytest.raises(TypeError, match=r"y is a sparse .*; make it dense by \.toarray\(\)"):
        fit(model(), X, getattr(__import__("scipy.sparse").sparse, kind)(T))
    fit(model(), sparse.toarray(), T)
