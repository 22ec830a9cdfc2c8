"""fastmlp/derivatives.py: reverse and forward mode against each other, finite differences and JAX's conventions."""

import numpy as np
import pytest
from test_layers import STACKS, data, model_of

import fastmlp as fm
from fastmlp import _engine, layers


@pytest.fixture(params=list(STACKS))
def model(request):
    """A model of every kind of layers, in float64, for 11 inputs and 3 outputs; its running statistics are not 0, 1."""
    return model_of(STACKS[request.param])


def slope(function, h=1e-4):
    """d function(t) / dt at 0, by central differences with an error of order h^4."""
    return (8 * (function(h) - function(-h)) - (function(2 * h) - function(-2 * h))) / (12 * h)


def moved(model, direction, t):
    """The scores of the model with weights moved along a direction."""
    kept = model.weights
    gradients = iter(direction)
    model.weights = [
        tuple(a + t * d for a, d in zip(arrays[: len(along)], along, strict=True)) + arrays[len(along) :]
        for arrays, along in zip(kept, gradients, strict=True)
    ]
    try:
        return model.scores(data(7)[0])
    finally:
        model.weights = kept


def direction_of(model, rng):
    """Random numbers in the shapes of gradients; none for biases that are not used."""
    return [
        tuple(rng.standard_normal(s) * used for s, used in zip(shapes, layer.has_gradient, strict=False))
        for layer, shapes in zip(model._core.weighted, model._core.network.shapes(running=False), strict=True)
    ]


def test_jvp_is_the_slope_along_a_direction(model):
    rng = np.random.default_rng(0)
    X, dX = data(7)[0], rng.standard_normal((7, 11))
    scores, along = model.jvp(X, dX)
    np.testing.assert_array_equal(scores, model.scores(X))
    np.testing.assert_allclose(along, slope(lambda t: model.scores(X + t * dX)), atol=1e-9, rtol=1e-8)
    direction = direction_of(model, rng)
    _, along_weights = model.jvp(X, dweights=direction)
    np.testing.assert_allclose(along_weights, slope(lambda t: moved(model, direction, t)), atol=1e-9, rtol=1e-8)
    np.testing.assert_allclose(model.jvp(X, dX, direction)[1], along + along_weights, atol=1e-12)


def test_vjp_is_the_transpose_of_jvp(model):
    rng = np.random.default_rng(1)
    X, dX, dscores = data(7)[0], rng.standard_normal((7, 11)), rng.standard_normal((7, 3))
    scores, pullback = model.vjp(X)
    np.testing.assert_array_equal(scores, model.scores(X))
    back, gradients = pullback(dscores)
    direction = direction_of(model, rng)
    _, along = model.jvp(X, dX, direction)
    both = np.vdot(back, dX) + sum(
        np.vdot(g, d) for pair, ds in zip(gradients, direction, strict=True) for g, d in zip(pair, ds, strict=True)
    )
    np.testing.assert_allclose(both, np.vdot(dscores, along), rtol=1e-12)
    only, nothing = pullback(dscores, weights=False)
    np.testing.assert_array_equal(only, back)
    assert nothing is None
    assert pullback(dscores, inputs=False)[0] is None


def test_jacobian_holds_every_vjp(model):
    X = data(150)[0]
    found = model.jacobian(X)
    assert found.shape == (150, 3, 11)
    _, pullback = model.vjp(X)
    for j in range(3):
        one = np.zeros((150, 3))
        one[:, j] = 1
        np.testing.assert_array_equal(found[:, j], pullback(one, weights=False)[0])


def test_input_gradients_are_slopes_of_the_loss(model):
    X, y = data(20)
    found = model.input_gradients(X, y)
    for i, k in ((0, 0), (7, 10), (19, 4)):

        def loss(t, i=i, k=k):
            moved = X.copy()
            moved[i, k] += t
            return model.evaluate(moved, y)["loss"]

        np.testing.assert_allclose(found[i, k], slope(loss), rtol=1e-6, atol=1e-10)


def test_shapes_of_images_and_views():
    X = np.random.default_rng(2).integers(0, 255, (5, 4, 3), np.uint8)
    model = fm.Model([fm.Dense(6, "tanh"), fm.Dense(2)], n_inputs=12)
    scores, pullback = model.vjp(X)
    assert scores.shape == (5, 2)
    assert pullback(np.ones((5, 2)))[0].shape == (5, 4, 3)
    assert model.jacobian(X).shape == (5, 2, 4, 3)
    assert model.input_gradients(X, np.zeros((5, 2))).shape == (5, 4, 3)
    assert model.jvp(X, np.ones((5, 4, 3)))[1].dtype == np.float32
    every_second = np.arange(48.0).reshape(4, 12)[::2] / 48
    np.testing.assert_array_equal(model.jacobian(every_second), model.jacobian(every_second.copy()))


def test_same_bits_for_every_number_of_threads(dtype, fused_isas):
    stack = STACKS["residuals within"]
    X = data(300)[0].astype(dtype)
    found = set()
    for isa in fused_isas:
        for n_threads in (1, 2, 3):
            network = _engine.Network(11, layers.specs(stack, 11), dtype, isa=isa)
            network.set_weights(model_of(stack, dtype).weights)
            run = _engine.Run(network, 300, n_threads, True, derivatives=True)
            run.bind(X)
            jacobian, tangent = np.empty((300, 3, 11), dtype), np.empty((300, 3), dtype)
            run.jacobian(jacobian)
            run.push(X, tangent)
            found.add(jacobian.tobytes() + tangent.tobytes())
    assert len(found) == 1


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m, X: m.vjp(X[:, :2]), ValueError, "has 2 columns"),
        (lambda m, X: m.vjp(X)[1](np.ones((3, 2))), ValueError, "dscores has shape (3, 2), but (7, 3) is wanted"),
        (lambda m, X: m.vjp(X)[1](np.full((7, 3), np.nan)), ValueError, "dscores holds nan"),
        (lambda m, X: m.jvp(X, X[:3]), ValueError, "dX has shape (3, 11), but (7, 11) is wanted"),
        (lambda m, X: m.jvp(X, dweights=[1]), ValueError, "dweights holds 1 entries"),
        (lambda m, X: m.jacobian("x"), TypeError, "X must hold real numbers"),
        (lambda m, X: m.input_gradients(X, [1, 2]), ValueError, "y"),
        (lambda m, X: fm.Model([fm.Dense(3)]).jacobian(X), ValueError, "no weights yet"),
    ],
)
def test_bad_input(call, error, words):
    model = model_of(STACKS["activation"])
    with pytest.raises(error) as caught:
        call(model, data(7)[0])
    assert words in str(caught.value)


@pytest.mark.parametrize("given", [
    lambda X: X, lambda X: X.reshape(7, 11, 1), lambda X: X[:, ::-1][:, ::-1], memoryview,
])  # fmt: skip
def test_a_pullback_differentiates_where_the_scores_are(given):
    """Though the array that X came in has other numbers by then."""
    X, dscores = data(7)[0], np.random.default_rng(2).standard_normal((7, 3))
    model = model_of(STACKS["layer norm first and last"])
    expected = model.vjp(X.copy())[1](dscores)
    scores, pullback = model.vjp(given(X))
    X[:] = 1e9
    dX, gradients = pullback(dscores)
    np.testing.assert_array_equal(dX.reshape(7, 11), expected[0])
    for mine, its in zip(gradients, expected[1], strict=True):
        for a, b in zip(mine, its, strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", STACKS)
def test_derivatives_are_those_of_the_average_that_predicts(name):
    """And not of the weights that are trained."""
    X, y = data(20)
    model = model_of(STACKS[name], optimizer=fm.SGD(0.5, use_ema=True, ema_momentum=0.9))
    model.fit(X, y, batch_size=5, verbose=0)
    plain = fm.Model(model.layers, "softmax_cross_entropy", "sgd", n_inputs=11, dtype=model.dtype)
    plain.weights = model.average_weights
    raw = fm.Model(model.layers, "softmax_cross_entropy", "sgd", n_inputs=11, dtype=model.dtype)
    raw.weights = model.weights
    rng = np.random.default_rng(3)
    dX, dscores, direction = rng.standard_normal(X.shape), rng.standard_normal((20, 3)), direction_of(model, rng)

    def derivatives(found):
        scores, pullback = found.vjp(X)
        inputs, weights = pullback(dscores)
        return [
            found.predict(X), scores, inputs, *(a for arrays in weights for a in arrays), *found.jvp(X, dX, direction),
            found.jacobian(X), found.input_gradients(X, y),
        ]  # fmt: skip

    for a, b in zip(*map(derivatives, (model, plain)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(model.jacobian(X), raw.jacobian(X))
    if len(model.weights) > 1:  # else they do not depend on the weights
        assert not np.array_equal(model.vjp(X)[1](dscores)[1][-1][0], raw.vjp(X)[1](dscores)[1][-1][0])
