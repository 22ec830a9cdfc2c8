"""
Layers as matrices
==================

The same lecture notes then write a whole layer as one product of matrices. Their network takes all 30 features of the
breast cancer data and standardises them itself; it has one hidden layer of 5 units, sigmoids everywhere, the squared
error, weights drawn uniformly from [0, 1), and learns by 100 iterations of gradient descent with the step 0.01. The
first 300 samples train it, the other 269 test it: 96 to 98 % of those are right, the notes report.
"""

# %%
# The network, which standardises its inputs
# ------------------------------------------
# ``fm.Standardize()`` learns means and spreads from the training samples alone, and belongs to the model: ``predict``
# takes raw measurements. The squared errors are taken to be added up over all samples, as in the network before, so the
# learning rate of fastmlp's mean is 300 times the step.

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

X, y = fm.datasets.load_breast_cancer()
X_train, y_train, X_test, y_test = X[:300], y[:300], X[300:], y[300:]
STEP, ITERATIONS, SEEDS = 0.01, 100, range(20)


def start(seed):
    """Weights and biases of both layers, uniform in [0, 1)."""
    rng = np.random.default_rng(seed)
    return [(rng.random((30, 5)), rng.random(5)), (rng.random((5, 1)), rng.random(1))]


def right(y_true, y_pred):
    """Share of right answers."""
    return np.mean((y_pred > 0.5).ravel() == y_true.ravel())


models = []
for seed in SEEDS:
    layers = [fm.Dense(5, "sigmoid"), fm.Dense(1, "sigmoid")]
    model = fm.Model(
        layers, "mean_squared_error", fm.SGD(STEP * 300), n_inputs=30, dtype="float64", preprocessing=fm.Standardize()
    )
    model.weights = start(seed)
    models.append(model)

# %%
# A layer is ``activation(X @ W + b)``: the product of the samples with the weights, a row for each sample. This is all
# that the network computes, here in NumPy from the arrays of the first model.

model = models[0].adapt(X_train)
mean, scale = model.statistics["mean"], model.statistics["scale"]
A = (X_test - mean) / scale
for layer, (W, b) in enumerate(model.weights, 1):
    print(f"layer {layer}: {A.shape} @ {W.shape} + {b.shape}")
    A = 1 / (1 + np.exp(-(A @ W + b)))
print(f"largest difference from fastmlp: {np.abs(A - model.predict(X_test)).max():.1e}")
assert np.allclose(A, model.predict(X_test), rtol=1e-13)

# %%
# Train
# -----

began = time.perf_counter()
for model in models:
    model.fit(X_train, y_train, batch_size=300, epochs=ITERATIONS, shuffle=False, verbose=0)
seconds = time.perf_counter() - began
accuracies = np.array([right(y_test, model.predict(X_test)) for model in models])

plain = plain_numpy.MLP(start(0), [plain_numpy.sigmoid] * 2, plain_numpy.half_squared_error)
Z, t, rate = (X_train - mean) / scale, y_train[:, None], 2 * STEP * 300  # of half the squared error
numpy_seconds = plain_numpy.seconds_for(lambda _: plain.step(Z, t, rate), ITERATIONS * len(models))

low, middle, high = np.percentile(accuracies, (0, 50, 100))
print("right test answers, %, by seed:", *(f"{100 * a:.1f}" for a in accuracies))
print(f"from {low:.1%} to {high:.1%}, median {middle:.1%}")
print(f"{1000 * seconds:.0f} ms for {len(models)} networks; plain NumPy needs {1000 * numpy_seconds:.0f} ms")

results = [
    (
        f"Layers as matrices, {len(models)} starts: test accuracy",
        "96 to 98 %",
        f"median {middle:.1%}, {low:.1%} to {high:.1%}",
        seconds,
        numpy_seconds,
    )
]

# %%
# See it
# ------
# With all weights positive, the five hidden units say nearly the same at the start. Within ten iterations the output
# weights turn negative and the loss falls; after that it falls slowly, while the hidden units part.

figure, (left, right_axes) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for model in models:
    left.plot(np.arange(1, ITERATIONS + 1), model.history["loss"], color="C0", alpha=0.5)
left.set(xlabel="iteration", ylabel="mean squared error", title="Twenty starts")
right_axes.axhspan(96, 98, color="C2", alpha=0.2, label="published")
right_axes.plot(SEEDS, 100 * accuracies, "o", label="fastmlp")
right_axes.set(xlabel="seed", ylabel="right test answers, %", ylim=(94, 100), title="Test", xticks=range(0, 20, 5))
right_axes.legend(loc="lower right")
plt.show()
