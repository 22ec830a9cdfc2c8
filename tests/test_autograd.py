"""fastmlp/autograd.py: a model within a NumPy program, against autograd's own derivatives of the same network."""

import sys

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.test_util import check_grads
from test_layers import STACKS, data, model_of

import fastmlp as fm


def plain(X, theta):
    """11-9-3 with tanh, in autograd's NumPy."""
    W, b, V, c = theta[:99].reshape(11, 9), theta[99:108], theta[108:135].reshape(9, 3), theta[135:]
    return anp.dot(anp.tanh(anp.dot(X, W) + b), V) + c


@pytest.fixture
def model():
    return fm.Model([fm.Dense(9, "tanh"), fm.Dense(3)], n_inputs=11, dtype="float64", seed=4)


def program(network):
    """A function of X and theta with the network in its midst."""
    return lambda X, theta: anp.sum(anp.sin(network(X**2, 1.5 * theta)) ** 2)


def test_reverse_mode_is_that_of_autograd(model):
    X, theta = data(6)[0], fm.autograd.flat_weights(model)
    mine, known = program(fm.autograd.primitive(model)), program(plain)
    np.testing.assert_allclose(mine(X, theta), known(X, theta), rtol=1e-12)
    for argument in (0, 1):
        found = autograd.grad(mine, argument)(X, theta)
        np.testing.assert_allclose(found, autograd.grad(known, argument)(X, theta), rtol=1e-9, atol=1e-12)


def test_forward_mode_is_that_of_autograd(model):
    X, theta = data(6)[0], fm.autograd.flat_weights(model)
    mine, known = program(fm.autograd.primitive(model)), program(plain)
    for argument, direction in ((0, np.cos(X)), (1, np.cos(theta))):
        found = autograd.make_jvp(mine, argument)(X, theta)(direction)
        expected = autograd.make_jvp(known, argument)(X, theta)(direction)
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["batch norm twice", "layer norm first and last", "residual"])
def test_other_layers_pass_autograds_own_check(name):
    model = model_of(STACKS[name])
    scores = fm.autograd.primitive(model)
    check_grads(scores, modes=["fwd", "rev"], order=1)(data(4)[0], fm.autograd.flat_weights(model))


def test_the_model_itself_is_left_alone(model):
    before, X = model.weights, data(4)[0]
    scores = fm.autograd.primitive(model)
    scores(X, 2 * fm.autograd.flat_weights(model))
    for mine, its in zip(model.weights, before, strict=True):
        for a, b in zip(mine, its, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(scores(X), model.scores(X))
    fm.autograd.set_flat_weights(model, 2 * fm.autograd.flat_weights(model))
    np.testing.assert_array_equal(model.weights[0][0], 2 * before[0][0])


def test_bad_vectors(model):
    with pytest.raises(ValueError, match=r"theta has shape \(3,\), but the model has 138 parameters"):
        fm.autograd.set_flat_weights(model, np.zeros(3))
    with pytest.raises(ValueError, match="theta holds nan"):
        fm.autograd.set_flat_weights(model, np.full(138, np.nan))


def test_without_the_library(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "autograd.extend", None)
    with pytest.raises(ImportError, match=r"pip install 'fastmlp\[autograd\]'"):
        fm.autograd.primitive(model)


def test_a_moving_average_is_what_predicts():
    X, y = data(20)
    model = fm.Model([fm.Dense(9, "tanh"), fm.Dense(3)], "softmax_cross_entropy", fm.Adam(0.01, use_ema=True),
                     dtype="float64")  # fmt: skip
    model.fit(X, y, epochs=3, verbose=0)
    scores = fm.autograd.primitive(model)
    np.testing.assert_array_equal(scores(X), model.scores(X))
    gradient = autograd.grad(lambda x: anp.sum(scores(x)))(X)
    np.testing.assert_array_equal(gradient, model.vjp(X)[1](np.ones((20, 3)), weights=False)[0])


def test_second_derivatives_are_refused(model):
    scores = fm.autograd.primitive(model)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        autograd.hessian(lambda x: anp.sum(scores(x) ** 2))(np.ones((2, 11)))


def test_only_a_model_is_a_primitive():
    for call in (fm.autograd.primitive, fm.autograd.flat_weights, lambda model: fm.autograd.set_flat_weights(model, 1)):
        with pytest.raises(TypeError, match=r"model must be a fastmlp\.Model, not int"):
            call(3)


def test_biases_that_are_not_used_are_no_parameters():
    model = fm.Model(
        [fm.Dense(8, "tanh", use_bias=False), fm.PReLU(), fm.Dense(2)], n_inputs=11, dtype="float64", seed=4
    )
    X, theta = data(6)[0], fm.autograd.flat_weights(model)
    assert theta.shape == (11 * 8 + 8 + 8 * 2 + 2,)
    for mode in ("rev", "fwd"):
        check_grads(lambda t: fm.autograd.primitive(model)(X, t), modes=[mode], order=1)(theta)
    ones = [tuple(np.ones_like(a) for a in arrays) for arrays in model.weights]
    without = [(ones[0][0], np.zeros(8)), *ones[1:]]
    np.testing.assert_array_equal(model.jvp(X, dweights=ones)[1], model.jvp(X, dweights=without)[1])
