r"""
Losses by hand: squared error and binary cross-entropy
======================================================

Lecture slides derive what two losses hand back to a network. Half the squared error of the outputs h has the gradient
:math:`h - y`. The cross-entropy of sigmoid outputs, summed over the output neurons and averaged over the batch, has by
the scores a the gradient :math:`\sigma(a) - y`: the derivative of the sigmoid cancels. Here both are computed in NumPy
and by fastmlp, and checked with finite differences.
"""

# %%
# A batch of scores, and a network that only passes them on
# ----------------------------------------------------------
# Weights that are the identity make the scores equal to the inputs. So ``input_gradients``, the gradient of the loss by
# the inputs, is that by the scores. fastmlp's losses are means over the batch; times its size they are the sums of the
# slides.

import time

import matplotlib.pyplot as plt
import numpy as np

import fastmlp as fm

rng = np.random.default_rng(0)
n, outputs = 6, 3
a = rng.normal(0, 2, (n, outputs))
y = rng.random((n, outputs))  # for the squared error
labels = np.eye(outputs)[rng.integers(outputs, size=n)]  # for the cross-entropy


def passing(loss):
    """A model whose scores are its inputs."""
    model = fm.Model([fm.Dense(outputs)], loss, n_inputs=outputs, dtype="float64")
    model.weights = [(np.eye(outputs), np.zeros(outputs))]
    return model


# %%
# By formula, and by fastmlp
# --------------------------
# Of binary cross-entropy the field has two conventions: the mean over the outputs, as Keras and fastmlp have it by
# default, and the sum of the slides, ``outputs="sum"``.


def squared(h, y):
    """Half the squared error, sum over the outputs, mean over the batch; n times its gradient by h."""
    return 0.5 * ((h - y) ** 2).sum(axis=1).mean(), h - y


def cross_entropy(a, y):
    """Cross-entropy of sigmoid outputs, sum over them, mean over the batch; n times its gradient by a."""
    s = 1 / (1 + np.exp(-a))
    return -(y * np.log(s) + (1 - y) * np.log(1 - s)).sum(axis=1).mean(), s - y


results = []
for name, formula, loss, targets in (
    ("half squared error, h - y", squared, "half_squared_error", y),
    ("binary cross-entropy, sigma(a) - y", cross_entropy, fm.losses.BinaryCrossEntropy(outputs="sum"), labels),
):
    model = passing(loss)
    by_hand, gradient = formula(a, targets)
    found, slopes = model.evaluate(a, targets)["loss"], n * model.input_gradients(a, targets)
    difference = np.abs(slopes - gradient).max()
    bump = np.zeros_like(a)
    bump[0, 0] = 1e-5
    quotient = n * (formula(a + bump, targets)[0] - formula(a - bump, targets)[0]) / 2e-5
    print(f"{name}\n  loss          {by_hand:.15f} by hand, {found:.15f} fastmlp")
    print(f"  gradient of the first score  {gradient[0, 0]:.10f} by hand, {slopes[0, 0]:.10f} fastmlp")
    print(f"  its finite difference        {quotient:.10f}")
    print(f"  largest difference of {n * outputs} gradients: {difference:.1e}")
    assert abs(found - by_hand) < 1e-14
    assert difference < 1e-13

    network = fm.Model([fm.Dense(8, "tanh"), fm.Dense(outputs)], loss, seed=1, n_inputs=outputs)
    check = fm.gradcheck.check(network, a, targets)
    print(f"  a network with it: {check.n_checked} gradients, finite differences agree to", end=" ")
    print(f"{check.max_relative_error:.0e}")
    seconds = []
    for call in (lambda m=model, t=targets: m.loss_and_gradients(a, t), lambda f=formula, t=targets: f(a, t)):
        began = time.perf_counter()
        for _ in range(1000):
            call()
        seconds.append(time.perf_counter() - began)
    print(f"  1000 times: fastmlp {1000 * seconds[0]:.0f} ms, plain NumPy {1000 * seconds[1]:.0f} ms\n")
    results.append((f"Losses: {name}, 1000 times", "formula", f"equal to {difference:.0e}", *seconds))

# %%
# The time of fastmlp contains a layer of weights and its gradients; that of NumPy is the formula alone.

# %%
# Why on raw scores
# -----------------
# A score of 800 that should have been negative: by the formula the sigmoid rounds to 1 and its logarithm to infinity.
# fastmlp never computes the sigmoid by itself. So its losses take raw scores, and the last layer has no activation.

far, zero = np.full((1, outputs), 800.0), np.zeros((1, outputs))
with np.errstate(divide="ignore", invalid="ignore"):
    print("by the formula:", cross_entropy(far, zero)[0])
model = passing(fm.losses.BinaryCrossEntropy(outputs="sum"))
print("fastmlp:       ", model.evaluate(far, zero)["loss"])

# %%
# See it
# ------
# The squared error pulls the harder the farther it is off. The cross-entropy never pulls with more than 1. A sigmoid
# with the squared error, the third curve, lets go where it is most wrong.

scores = np.linspace(-8, 8, 200)
sigma = 1 / (1 + np.exp(-scores))
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for label, loss, slope in (
    ("half squared error of h", 0.5 * (scores - 1) ** 2, scores - 1),
    ("cross-entropy of sigma(a)", np.logaddexp(0, -scores), sigma - 1),
    ("half squared error of sigma(a)", 0.5 * (sigma - 1) ** 2, (sigma - 1) * sigma * (1 - sigma)),
):
    left.plot(scores, loss, label=label)
    right.plot(scores, slope, label=label)
left.set(xlabel="score", ylabel="loss", ylim=(0, 8), title="Losses of a target 1")
right.set(xlabel="score", ylabel="gradient by the score", ylim=(-2, 1), title="Their gradients")
right.legend(fontsize="small", loc="upper left")
plt.show()
