"""Published figures that fastmlp must reproduce, and real data it must learn."""

import os
import sys

import numpy as np
import pytest

import fastmlp as fm

# ---- XOR by hand: 2-2-1, full batch, half squared error, the same activation in both layers, float64 ----
# A teaching text prints, for networks drawn one after the other from NumPy's legacy generator, the loss summed over the
# four samples at epochs 0, 10000, ... and the outputs after 50000 epochs.

XOR_X = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
XOR_Y = np.array([0, 1, 1, 0], float)
EPOCHS = 50_000
XOR = {
    "sigmoid": (
        5.0,
        ["0.524041", "0.000211", "0.000101", "0.000066", "0.000049"],
        ["0.00498677608341", "0.995797811796", "0.995807280359", "0.00427497259731"],
    ),
    "tanh": (
        0.3,
        ["0.815223", "0.000089", "0.000041", "0.000026", "0.000019"],
        ["2.54374979424e-05", "0.996137582397", "0.996104441828", "3.76155213167e-05"],
    ),
    "relu": (0.1, ["0.726709", "0.000000", "0.000000", "0.000000", "0.000000"], None),
}
# tanh(z) of a z near 2.5e-5 and 3.8e-5, which is a sum of terms near 1: the printed 12 digits end below the rounding
# unit of those terms (1.1e-16), so their last one depends on the order of the sums. Plain NumPy with another dot
# product prints 2.54374979427e-05 and 3.76155213178e-05, 80 bits give 2.54374979424e-05 and 3.76155213170e-05.
BELOW_ROUNDING = {("tanh", 0), ("tanh", 3)}
ROUNDING = 1e-15


def xor_models():
    """The three networks in the order in which the text draws them."""
    random = np.random.RandomState(0)
    found = {}
    for activation, (rate, _, _) in XOR.items():
        hidden, output = (random.normal(0, 1, (n, 2)) / np.sqrt(2) for n in (2, 1))  # of shape (n_out, n_in)
        layers = [fm.Dense(2, activation), fm.Dense(1, activation)]
        model = fm.Model(layers, "half_squared_error", fm.SGD(rate), n_inputs=2, dtype="float64")
        model.weights = [(hidden.T, np.zeros(2)), (output.T, np.zeros(1))]
        found[activation] = model
    return found


@pytest.mark.parametrize("activation", XOR)
def test_xor_gives_every_printed_figure(activation):
    model = xor_models()[activation]
    _, losses, outputs = XOR[activation]
    history = model.fit(XOR_X, XOR_Y, batch_size=4, epochs=EPOCHS, shuffle=False, verbose=0)
    found = [f"{len(XOR_X) * history['loss'][epoch]:.6f}" for epoch in range(0, EPOCHS, 10_000)]  # the text sums
    assert found == losses
    a = model.predict(XOR_X)[:, 0]
    if outputs is None:  # relu: exact up to rounding
        assert np.abs(a - XOR_Y).max() < 1e-14
        return
    for i, printed in enumerate(outputs):
        if (activation, i) in BELOW_ROUNDING:
            assert abs(a[i] - float(printed)) < ROUNDING
        else:
            assert f"{a[i]:.12g}" == f"{float(printed):.12g}"


def test_small_epochs_do_not_visit_python_one_by_one():
    """Neither a loop in Python nor a history that is copied for each epoch, as once: 50,000 epochs took 1.2 s."""
    model = xor_models()["sigmoid"]
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        model.fit(XOR_X, XOR_Y, batch_size=4, epochs=EPOCHS, shuffle=False, verbose=0)
    finally:
        sys.setprofile(None)
    assert len(model.history["loss"]) == EPOCHS
    assert calls < EPOCHS / 5


# ---- real data ----


def test_digits_in_a_few_epochs():
    X, y = fm.datasets.load_digits()
    X, test = X / 16, np.arange(len(X)) % 4 == 3
    for seed in range(3):
        model = fm.Model([fm.Dense(128, "relu"), fm.Dense(10)], "softmax_cross_entropy", fm.Adam(0.003), seed=seed)
        history = model.fit(X[~test], y[~test], epochs=20, verbose=0)
        assert history["accuracy"][-1] > 0.99
        assert model.evaluate(X[test], y[test])["accuracy"] > 0.955


def test_breast_cancer():
    X, y = fm.datasets.load_breast_cancer()
    X = (X - X[:300].mean(axis=0)) / X[:300].std(axis=0)
    model = fm.Model([fm.Dense(5, "sigmoid"), fm.Dense(1)], "binary_cross_entropy", fm.Adam(0.01))
    model.fit(X[:300], y[:300], epochs=100, verbose=0)
    assert model.evaluate(X[300:], y[300:])["accuracy"] > 0.96


@pytest.fixture(scope="module")
def mnist():
    if not os.environ.get("FASTMLP_DATA"):
        pytest.skip("FASTMLP_DATA names no folder with mnist/")
    return fm.datasets.load_mnist()


def test_mnist_with_adam(mnist):
    """The digits above are learned from three seeds."""
    (X, y), (X_test, y_test) = mnist
    layers = [fm.Dense(512, "relu"), fm.Dense(512, "relu"), fm.Dense(10)]
    falling = fm.schedules.Polynomial(2e-3, 2 * 469, 0.0)  # to nothing, in two epochs
    model = fm.Model(layers, "softmax_cross_entropy", fm.Adam(falling), seed=0)
    model.fit((X / 255).astype(np.float32), y, batch_size=128, epochs=2, verbose=0)
    assert model.evaluate((X_test / 255).astype(np.float32), y_test)["accuracy"] >= 0.978
