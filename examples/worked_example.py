r"""
The worked example: every gradient by hand
==========================================

A readme for a school project builds a multilayer perceptron from modules and works one network through: 4 inputs, 3
hidden units with relu, 2 outputs with softmax and cross-entropy. Going forward each layer keeps what it needs; going
backward each turns the derivative of the loss E by its output Y into those by its input and by its weights:

.. math:: \frac{dE}{dX} = \frac{dE}{dY} W^T, \qquad \frac{dE}{dW} = X^T \frac{dE}{dY}, \qquad
    \frac{dE}{db} = \text{sum of } \frac{dE}{dY} \text{ over the batch}

and softmax with cross-entropy together have the derivative prediction minus truth. The readme gives formulas and no
figures; so the weights here are ours, and fastmlp must agree with the formulas.
"""

# %%
# Two samples, two layers
# -----------------------

import time

import matplotlib.pyplot as plt
import numpy as np

import fastmlp as fm

X = np.array([[1.0, 0.5, -1.0, 2.0], [0.0, -1.5, 1.0, 0.5]])
truth = np.array([[1.0, 0.0], [0.0, 1.0]])
W1 = np.array([[0.2, -0.5, 0.1], [0.4, 0.3, -0.2], [-0.3, 0.8, 0.5], [0.6, 0.1, -0.4]])
b1 = np.array([0.7, 0.9, -0.1])
W2 = np.array([[0.7, -0.2], [-0.6, 0.9], [0.3, 0.4]])
b2 = np.array([0.05, -0.05])

np.set_printoptions(precision=6, suppress=True)


def show(name, *arrays):
    """An array, and those that should be equal to it, side by side."""
    rows = zip(*(str(a).splitlines() for a in arrays), strict=True)
    print(f"{name:8}" + ("\n" + " " * 8).join("     ".join(f"{part:<42}" for part in row).rstrip() for row in rows))


# %%
# Forward
# -------

Z1 = X @ W1 + b1
H = np.maximum(Z1, 0)
Z2 = H @ W2 + b2
e = np.exp(Z2 - Z2.max(axis=1, keepdims=True))
prediction = e / e.sum(axis=1, keepdims=True)
E = -(truth * np.log(prediction)).sum(axis=1).mean()
for name, array in (("X W1 + b1", Z1), ("relu", H), ("H W2 + b2", Z2), ("softmax", prediction)):
    print(f"{name}\n{array}")
print(f"E = {E:.6f}, the mean of the two samples")

# %%
# Backward
# --------
# The loss is the mean over the batch, hence the division by its size; all the rest are the three formulas and the
# derivative of relu, which is 1 where its input was positive and 0 elsewhere.

dZ2 = (prediction - truth) / len(X)
dW2, db2, dH = H.T @ dZ2, dZ2.sum(axis=0), dZ2 @ W2.T
dZ1 = dH * (Z1 > 0)
dW1, db1, dX = X.T @ dZ1, dZ1.sum(axis=0), dZ1 @ W1.T

# %%
# The same with fastmlp
# ---------------------
# The softmax belongs to the loss. Gradients have the shapes of the weights, and one call more gives that by the inputs.

layers = [fm.Dense(3, "relu"), fm.Dense(2)]
model = fm.Model(layers, "softmax_cross_entropy", n_inputs=4, dtype="float64")
model.weights = [(W1, b1), (W2, b2)]
loss, gradients = model.loss_and_gradients(X, truth)
by_hand = {"dE/dW2": dW2, "dE/db2": db2, "dE/dW1": dW1, "dE/db1": db1, "dE/dX": dX}
found = dict(zip(by_hand, (*gradients[1], *gradients[0], model.input_gradients(X, truth)), strict=True))

print(f"{'':8}{'by hand':<42}     fastmlp")
show("softmax", prediction, model.predict(X))
for name, array in by_hand.items():
    show(name, array, found[name])
print(f"E       {E:.15f} by hand, {loss:.15f} fastmlp")
difference = max(abs(E - loss), *(np.abs(array - found[name]).max() for name, array in by_hand.items()))
print(f"largest difference of all: {difference:.1e}")
assert difference < 1e-13

# %%
# Formulas and program could be wrong together. Finite differences of the loss cannot: ``gradcheck`` checks any model.

check = fm.gradcheck.check(model, X, truth)
print(f"{check.n_checked} weights compared with finite differences: relative error {check.max_relative_error:.1e}")

# %%
# Time
# ----
# For so small a network the arithmetic costs next to nothing. What is measured is a call of fastmlp, which checks its
# arguments and copies the gradients out, beside the dozen small arrays that NumPy makes.


def by_formulas():
    """The gradients, as above."""
    Z1 = X @ W1 + b1
    H = np.maximum(Z1, 0)
    Z2 = H @ W2 + b2
    e = np.exp(Z2 - Z2.max(axis=1, keepdims=True))
    dZ2 = (e / e.sum(axis=1, keepdims=True) - truth) / len(X)
    dZ1 = dZ2 @ W2.T * (Z1 > 0)
    return X.T @ dZ1, dZ1.sum(axis=0), H.T @ dZ2, dZ2.sum(axis=0)


seconds = []
for call in (lambda: model.loss_and_gradients(X, truth), by_formulas):
    began = time.perf_counter()
    for _ in range(1000):
        call()
    seconds.append(time.perf_counter() - began)
print(f"1000 times all gradients: fastmlp {1000 * seconds[0]:.0f} ms, plain NumPy {1000 * seconds[1]:.0f} ms")

results = [
    (
        "Worked example 4-3-2: every gradient, 1000 times",
        "formulas",
        f"equal to {difference:.0e}; finite differences: to {check.max_relative_error:.0e}",
        *seconds,
    )
]

# %%
# See it
# ------

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
model.plot(ax=left)
everything = [np.concatenate([arrays[name].ravel() for name in by_hand]) for arrays in (by_hand, found)]
right.plot(everything[0], "o", markersize=9, fillstyle="none", label="by hand")
right.plot(everything[1], "x", label="fastmlp")
edges = np.cumsum([0, *(array.size for array in by_hand.values())])
for name, first, last in zip(by_hand, edges, edges[1:], strict=False):
    right.axvline(last - 0.5, color="0.8", linewidth=0.8)
    right.text((first + last - 1) / 2, 0.2, name.removeprefix("dE/d"), ha="center")
right.set(xlabel="element", ylabel="derivative of E", ylim=(-0.2, 0.23), title="By weights, biases and inputs")
right.legend(loc="lower left")
plt.show()
