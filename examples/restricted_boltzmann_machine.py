"""
Restricted Boltzmann machine: one layer, up and down
====================================================

P. Smolensky, "Information processing in dynamical systems: foundations of harmony theory", in "Parallel distributed
processing" 1 (1986), 194-281: visible units v and hidden units h, 0 or 1, with the energy -v W h - v a - h b. Given one
side, the units of the other are independent, and each is a sigmoid of a weighted sum.

G. E. Hinton, "Training products of experts by minimizing contrastive divergence", Neural Computation 14 (2002),
1771-1800, trains it without sampling to the end: the hidden units of an image are drawn, the image is rebuilt from
them, and the weights go from the statistics of the rebuilt image towards those of the image. The rates follow his "A
practical guide to training restricted Boltzmann machines" (2010). Here it learns handwritten digits.
"""

# %%
# One dense layer does all of it
# ------------------------------
# ``scores, pullback = layer.vjp(v)`` gives ``v W + b``. Pulled back, hidden states h give both other products: ``h Wᵀ``
# by the inputs, which is the way down, and ``(vᵀ h, sum of h)`` by the weights: the statistics that the rule compares.

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

N_HIDDEN, BATCH, EPOCHS, RATE, MOMENTUM = 256, 50, 5, 0.1, 0.5


def sigmoid(z):
    """1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


class RBM:
    """Hidden units as a dense layer, and the biases of the visible units."""

    def __init__(self, n_visible, n_hidden, seed):
        dense = fm.Dense(n_hidden, initializer=fm.initializers.Normal(0.01))
        optimizer = fm.SGD(RATE, momentum=MOMENTUM)
        self.layer = fm.Model([dense], "binary_cross_entropy", optimizer, seed, n_visible, n_threads=1)
        self.bias = np.zeros(n_visible, np.float32)
        self.velocity = np.zeros_like(self.bias)
        self.rng = np.random.default_rng(seed)

    def sample(self, p):
        """Units that are 1 with the given probabilities, else 0."""
        return (self.rng.random(p.shape, np.float32) < p).astype(np.float32)

    def rebuilt(self, v):
        """Probabilities of the visible units after one way up and down; and the statistics of the way up."""
        scores, pullback = self.layer.vjp(v)
        down, statistics = pullback(self.sample(sigmoid(scores)))
        return sigmoid(down + self.bias), statistics

    def step(self, v):
        """Contrastive divergence with one step; the squared error of what was rebuilt."""
        again, ((W, b),) = self.rebuilt(v)
        scores, pullback = self.layer.vjp(again)
        _, ((W_again, b_again),) = pullback(sigmoid(scores), inputs=False)
        self.layer.apply_gradients([((W_again - W) / len(v), (b_again - b) / len(v))])
        self.velocity = MOMENTUM * self.velocity + RATE * (v - again).mean(axis=0)
        self.bias += self.velocity
        return np.sum((v - again) ** 2)


# %%
# Train
# -----
# Pixels from 0 to 1 are taken as probabilities of visible units. The error is the squared distance from an image to
# what is rebuilt of it, a sum over its 784 pixels.

(X, _), (X_test, _) = fm.datasets.load_mnist()
X = X[:20_000].reshape(-1, 784).astype(np.float32) / 255
X_test = X_test[:2000].reshape(-1, 784).astype(np.float32) / 255

rbm = RBM(784, N_HIDDEN, seed=0)
blank = np.mean(np.sum((X_test - X.mean(axis=0)) ** 2, axis=1))
print(f"error of the mean image {blank:.2f}")
began = time.perf_counter()
for epoch in range(EPOCHS):
    order = rbm.rng.permutation(len(X)).reshape(-1, BATCH)
    error = sum(rbm.step(X[rows]) for rows in order) / len(X)
    print(f"epoch {epoch + 1}: error while training {error:.2f}")
seconds = time.perf_counter() - began
test_error = np.mean(np.sum((X_test - rbm.rebuilt(X_test)[0]) ** 2, axis=1))
print(f"test images: error {test_error:.2f}")

# %%
# The same steps in plain NumPy.

rng = np.random.default_rng(0)
W = 0.01 * rng.standard_normal((784, N_HIDDEN), np.float32)
a, b, dW, da, db = np.zeros(784, np.float32), np.zeros(N_HIDDEN, np.float32), 0.0, 0.0, 0.0


def numpy_step(i):
    """Contrastive divergence."""
    global W, a, b, dW, da, db
    v = X[rng.integers(0, len(X), BATCH)]
    p = sigmoid(v @ W + b)
    h = (rng.random(p.shape, np.float32) < p).astype(np.float32)
    again = sigmoid(h @ W.T + a)
    h_again = sigmoid(again @ W + b)
    dW = MOMENTUM * dW + RATE / BATCH * (v.T @ h - again.T @ h_again)
    da = MOMENTUM * da + RATE * (v - again).mean(axis=0)
    db = MOMENTUM * db + RATE * (h - h_again).mean(axis=0)
    W, a, b = W + dW, a + da, b + db


numpy_seconds = plain_numpy.seconds_for(numpy_step, EPOCHS * len(X) // BATCH)
print(f"fastmlp {seconds:.1f} s, plain NumPy {numpy_seconds:.1f} s")
results = [
    ("RBM, MNIST: squared error of the mean image", "-", f"{blank:.1f}", None, None),
    ("RBM, MNIST: squared error of rebuilt test images", "-", f"{test_error:.1f}", seconds, numpy_seconds),
]

# %%
# Noise
# -----
# What is rebuilt looks like the images that the machine has seen. So it takes noise away that it never saw: here every
# tenth pixel is turned over.

noise = np.random.default_rng(1).random(X_test.shape) < 0.1
noisy = np.where(noise, 1 - X_test, X_test).astype(np.float32)
before, after = (np.mean(np.sum((X_test - v) ** 2, axis=1)) for v in (noisy, rbm.rebuilt(noisy)[0]))
print(f"error of noisy test images {before:.1f}, of what is rebuilt of them {after:.1f}")
results.append((f"RBM, MNIST with noise, error {before:.1f}: rebuilt", "-", f"{after:.1f}", None, None))

# %%
# See it
# ------
# The weights of a hidden unit show what it looks for: strokes, and their absence around them.

figure = plt.figure(figsize=(13, 4.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
fm.plotting.first_layer(rbm.layer, (28, 28), n=40, ax=left.subplots())
clear, spoilt = X_test[:12], noisy[:12]
rows = {
    "test image": clear,
    "rebuilt from it": rbm.rebuilt(clear)[0],
    "with noise": spoilt,
    "rebuilt from that": rbm.rebuilt(spoilt)[0],
}
for ax, (title, images) in zip(right.subplots(4, 1), rows.items(), strict=True):
    ax.imshow(images.reshape(12, 28, 28).transpose(1, 0, 2).reshape(28, -1), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize="medium")
plt.show()
