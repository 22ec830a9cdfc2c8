"""
Weights as a tree, and a training loop of one's own
===================================================

Lecture slides on JAX keep the weights of a network in a tree of arrays, compute a tree of gradients of the same
structure, and take a step of gradient descent element by element: ``weights - lr * gradients``, by a function of their
own. In fastmlp ``model.weights`` is such a tree, a list with the arrays of each layer; ``loss_and_gradients`` gives one
of the same structure, and a tree can be assigned to ``model.weights``.
"""

# %%
# The tree
# --------

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

X, y = fm.datasets.load_digits()
X_train, y_train, X_test, y_test = X[:1500] / 16, y[:1500], X[1500:] / 16, y[1500:]
LEARNING_RATE, BATCH, EPOCHS = 0.3, 50, 20


def tree_map(function, tree, *others):
    """The function of each array of a tree, and of those at the same place in the others: a tree again."""
    if isinstance(tree, np.ndarray):
        return function(tree, *others)
    return [tree_map(function, *branches) for branches in zip(tree, *others, strict=True)]


def network():
    """64-32-10, from the same start each time."""
    layers = [fm.Dense(32, "relu"), fm.Dense(10)]
    return fm.Model(layers, "softmax_cross_entropy", fm.SGD(LEARNING_RATE), seed=0, n_inputs=64, dtype="float64")


print("weights  ", tree_map(np.shape, network().weights))
print("gradients", tree_map(np.shape, network().loss_and_gradients(X_train, y_train)[1]))

# %%
# The loop
# --------
# Batches in the order of the data, so that others can take the same steps.


def train(model, step):
    """The losses of the epochs, and the seconds; step(model, gradients) moves the weights."""
    losses, began = [], time.perf_counter()
    for _ in range(EPOCHS):
        total = 0.0
        for first in range(0, len(X_train), BATCH):
            rows = slice(first, first + BATCH)
            loss, gradients = model.loss_and_gradients(X_train[rows], y_train[rows])
            step(model, gradients)
            total += loss * BATCH / len(X_train)
        losses.append(total)
    return losses, time.perf_counter() - began


def descend(model, gradients):
    """Gradient descent on the tree."""
    model.weights = tree_map(lambda w, g: w - LEARNING_RATE * g, model.weights, gradients)


own = network()
own_losses, own_seconds = train(own, descend)
own_accuracy = own.evaluate(X_test, y_test)["accuracy"]
print(f"loss from {own_losses[0]:.4f} to {own_losses[-1]:.4f}, test accuracy {own_accuracy:.1%}")

# %%
# The same steps by fastmlp
# -------------------------
# ``apply_gradients`` is the optimizer's step with gradients of one's own, and ``fit`` the whole loop. These two give
# the same bits. The tree's differ by roundings: NumPy rounds the product and the difference, the kernel only the
# result.

applied, fitted = network(), network()
_, applied_seconds = train(applied, fm.Model.apply_gradients)
began = time.perf_counter()
fitted.fit(X_train, y_train, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
fit_seconds = time.perf_counter() - began


def largest(a, b):
    """Largest difference of two trees."""
    return max(np.abs(x).max() for layer in tree_map(np.subtract, a, b) for x in layer)


print(f"apply_gradients and fit: largest difference {largest(applied.weights, fitted.weights)}")
print(f"tree and fit:            largest difference {largest(own.weights, fitted.weights):.1e}")
assert largest(applied.weights, fitted.weights) == 0
assert largest(own.weights, fitted.weights) < 1e-11

activations = [plain_numpy.relu, plain_numpy.identity]
plain = plain_numpy.MLP(network().weights, activations, plain_numpy.softmax_cross_entropy)
batches = [(X_train[i : i + BATCH], y_train[i : i + BATCH]) for i in range(0, len(X_train), BATCH)]
numpy_seconds = plain_numpy.seconds_for(
    lambda i: plain.step(*batches[i % len(batches)], LEARNING_RATE), EPOCHS * len(batches)
)
for name, seconds in (("tree", own_seconds), ("apply_gradients", applied_seconds), ("fit", fit_seconds)):
    print(f"{name}: {1000 * seconds:.0f} ms")
print(f"plain NumPy: {1000 * numpy_seconds:.0f} ms")

# %%
# A rule of one's own
# -------------------
# With gradients in one's hands any rule is a line. Here each weight moves by the sign of its gradient alone, and less
# from epoch to epoch.

signs, count = network(), iter(range(EPOCHS * len(batches)))


def by_sign(model, gradients):
    """Steps of one size for all weights, down to zero."""
    size = 0.003 * (1 - next(count) / (EPOCHS * len(batches)))
    model.weights = tree_map(lambda w, g: w - size * np.sign(g), model.weights, gradients)


sign_losses, _ = train(signs, by_sign)
print(f"loss {sign_losses[-1]:.4f}, test accuracy {signs.evaluate(X_test, y_test)['accuracy']:.1%}")

results = [
    (
        "Weights as a tree: a training loop of one's own, digits",
        "weights - lr * gradients",
        f"test accuracy {own_accuracy:.1%}; weights of fit to {largest(own.weights, fitted.weights):.0e}",
        own_seconds,
        numpy_seconds,
    ),
    (
        "Weights as a tree: the same steps by fit",
        "",
        f"test accuracy {fitted.evaluate(X_test, y_test)['accuracy']:.1%}",
        fit_seconds,
        numpy_seconds,
    ),
]

# %%
# See it
# ------

figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
epochs = np.arange(1, EPOCHS + 1)
axes.semilogy(epochs, own_losses, "o", fillstyle="none", label="tree")
axes.semilogy(epochs, fitted.history["loss"], label="fit")
axes.semilogy(epochs, sign_losses, label="by the sign of the gradient")
axes.set(xlabel="epoch", ylabel="cross-entropy, nats", title="Digits", xticks=range(0, EPOCHS + 1, 5))
axes.legend()
plt.show()
