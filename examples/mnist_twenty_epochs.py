"""
MNIST in twenty epochs
======================

A tutorial on a JAX library trains a multilayer perceptron 784-512-512-10 on MNIST: pixels binarised, ReLU, softmax
cross-entropy, plain SGD with the learning rate 0.001, batches of 32, ten epochs. It prints a test accuracy of 0.9281
after the first epoch and 0.9389 after the tenth, and test losses from 0.494 to 0.405.

No fresh network does that with this learning rate: it needs ten epochs to get there. The printed run is the second ten
epochs of a network that had been trained for ten before. And its losses are twice the true ones, as its printing code
adds the loss of each batch twice. Here are all twenty epochs.
"""

# %%
# The data, and what the text prints
# ----------------------------------

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

PUBLISHED = [0.9281, 0.9289, 0.9313, 0.9318, 0.9328, 0.9333, 0.9362, 0.9378, 0.9389, 0.9389]
PUBLISHED_LOSSES = 0.494, 0.405  # the first and the last
EPOCHS, BATCH, RATE, SEED = 20, 32, 1e-3, 1

(X_train, y_train), (X_test, y_test) = fm.datasets.load_mnist()
X_train, X_test = ((X.reshape(-1, 784) > 0).astype(np.float32) for X in (X_train, X_test))

# %%
# Train
# -----
# The weights start from He's normal distribution, the biases from 0. Of the seeds 0 to 3, which were tried, 1 and 3
# reach the published accuracy in each of the second ten epochs, 0 and 2 in all but one and two.

he = {"initializer": "he_normal"}
layers = [fm.Dense(512, "relu", **he), fm.Dense(512, "relu", **he), fm.Dense(10, **he)]
model = fm.Model(layers, "softmax_cross_entropy", fm.SGD(RATE), seed=SEED, n_inputs=784)
start = model.weights
began = time.perf_counter()
history = model.fit(X_train, y_train, BATCH, EPOCHS, validation_data=(X_test, y_test), verbose=0)
seconds = time.perf_counter() - began

# %%
# Epoch by epoch
# --------------

print("epoch  accuracy  published  loss    twice the loss")
for i, (accuracy, loss) in enumerate(zip(history["val_accuracy"], history["val_loss"], strict=True)):
    said = f"{PUBLISHED[i - 10]:.4f}" if i >= 10 else "      "
    print(f"{i + 1:5d}  {accuracy:.4f}    {said}     {loss:.4f}  {2 * loss:.3f}")
found = np.array(history["val_accuracy"][10:])
print(f"as published or better in {(found.round(4) >= PUBLISHED).sum()} of 10 epochs")
print(f"published losses, halved: {PUBLISHED_LOSSES[0] / 2:.3f} to {PUBLISHED_LOSSES[1] / 2:.4f}")

network = plain_numpy.MLP(
    start, [plain_numpy.relu, plain_numpy.relu, plain_numpy.identity], plain_numpy.softmax_cross_entropy
)
rows = np.random.default_rng(SEED).permutation(len(X_train)).reshape(-1, BATCH)
numpy_seconds = plain_numpy.seconds_for(
    lambda i: network.step(X_train[rows[i % len(rows)]], y_train[rows[i % len(rows)]], RATE), EPOCHS * len(rows)
)
print(f"{seconds:.0f} s, with the tests; plain NumPy needs {numpy_seconds:.0f} s for the training alone")

losses = [history["val_loss"][epoch] for epoch in (10, 19)]
what = "MNIST 784-512-512-10, second ten epochs: "
results = [
    (what + "test accuracy, last", f"{PUBLISHED[-1]:.4f}", f"{found[-1]:.4f}", seconds, numpy_seconds),
    (what + "test accuracy, first", f"{PUBLISHED[0]:.4f}", f"{found[0]:.4f}", None, None),
    (
        what + "test loss, first and last", "0.494 to 0.405, each twice the true one",
        f"{losses[0]:.3f} to {losses[1]:.3f}, twice that {2 * losses[0]:.3f} to {2 * losses[1]:.3f}", None, None,
    ),
    (
        "the same network, first epoch: test accuracy", f"{PUBLISHED[0]:.4f}, of another epoch",
        f"{history['val_accuracy'][0]:.4f}", None, None,
    ),
]  # fmt: skip

# %%
# See it
# ------

epochs = 1 + np.arange(EPOCHS)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(epochs, history["val_accuracy"], label="fastmlp")
left.plot(epochs[10:], PUBLISHED, "x", label="published, as the second ten epochs")
left.plot(epochs[:10], PUBLISHED, "x", color="lightgrey", label="published, as the text counts")
left.set(xlabel="epoch", ylabel="test accuracy", title="Twenty epochs")
right.plot(epochs, history["val_loss"], label="fastmlp")
right.plot(epochs, 2 * np.array(history["val_loss"]), "--", label="fastmlp, doubled")
right.plot([11, 20], PUBLISHED_LOSSES, "x", label="published")
right.set(xlabel="epoch", ylabel="test loss", title="The losses are doubled")
for ax in (left, right):
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
plt.show()

# %%
# What else its optimizer and its data set offer
# ----------------------------------------------
# Momentum, Nesterov's too, weight decay, clipping by the norm or by value, groups of parameters with learning rates of
# their own, and schedules; a ``Dataset`` gives shuffled batches, the last one smaller. With fastmlp, on the small
# digits:


class Dataset:
    """Shuffled batches, in another order in each epoch."""

    def __init__(self, X, y, batch_size):
        self.X, self.y, self.batch_size, self.rng = X, y, batch_size, np.random.default_rng(0)

    def __iter__(self):
        rows = self.rng.permutation(len(self.X))
        for first in range(0, len(rows), self.batch_size):
            chosen = rows[first : first + self.batch_size]
            yield self.X[chosen], self.y[chosen]


X, y = fm.datasets.load_digits()
test = np.arange(len(X)) % 6 == 0
data = Dataset(X[~test] / 16, y[~test], 32)
print("sizes of the batches:", sorted({len(labels) for _, labels in data}))
schedule = fm.schedules.CosineRestarts(0.1, 10 * 47, restarts=False)
optimizer = fm.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=1e-4, global_clipnorm=1.0)  # or clipvalue=...
layers = [fm.Dense(64, "relu", learning_rate_factor=0.5), fm.Dense(10)]
model = fm.Model(layers, "softmax_cross_entropy", optimizer)
model.fit(data, epochs=10, verbose=0)
print(f"accuracy on the other {test.sum()} digits: {model.evaluate(X[test] / 16, y[test])['accuracy']:.3f}")
