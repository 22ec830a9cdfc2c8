"""
Autoencoder, beside principal components
========================================

A network is trained to give back what it was given, through a layer with fewer units than inputs: what that layer says
is a code of the image. With linear layers the best it can do is principal component analysis (PCA), as P. Baldi and K.
Hornik, "Neural networks and principal component analysis: learning from examples without local minima", Neural Networks
2 (1989), 53-58, prove. With nonlinear layers it does better.

G. E. Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313 (2006),
504-507, publish for MNIST and codes of 30 numbers a mean squared error of 13.87 with PCA and of 3.00 with a network
784-1000-500-250-30 and its mirror image, whose layers were first trained one by one as Boltzmann machines. Errors are
sums over the 784 pixels, from 0 to 1, of the 10,000 test images.
"""

# %%
# Principal components
# --------------------
# The images are written in the leading eigenvectors of their covariance. The published error of PCA comes out.

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

(X, y), (X_test, y_test) = fm.datasets.load_mnist()
X = X.reshape(-1, 784).astype(np.float32) / 255
X_test = X_test.reshape(-1, 784).astype(np.float32) / 255


def error(again):
    """The mean squared error of the rebuilt test images."""
    return np.mean(np.sum((again - X_test) ** 2, axis=1))


mean = X.mean(axis=0)
_, vectors = np.linalg.eigh(np.cov(X - mean, rowvar=False))


def pca(n):
    """Codes of n numbers of the test images, and what is rebuilt from them."""
    basis = vectors[:, : -n - 1 : -1].astype(np.float32)
    codes = (X_test - mean) @ basis
    return codes, codes @ basis.T + mean


for n in (2, 30):
    print(f"PCA, {n} numbers: error {error(pca(n)[1]):.2f}")

# %%
# Two autoencoders
# ----------------
# 784-512-256-code-256-512-784, with codes of 30 numbers and, for a picture, of 2. Pixels are probabilities of ink: the
# loss is the cross-entropy of each. Nothing is trained beforehand; a learning rate that first rises and then falls is
# all that a start from random weights needs. The network has two fifths of the published one's weights.

BATCH = 100


def autoencoder(widths, n, epochs):
    """A trained network, and the seconds it took."""
    encoder = [*(fm.Dense(units, "silu") for units in widths), fm.Dense(n)]
    decoder = [*(fm.Dense(units, "silu") for units in widths[::-1]), fm.Dense(784)]
    rate = fm.schedules.OneCycle(3e-3, total_steps=epochs * len(X) // BATCH)
    model = fm.Model([*encoder, *decoder], "binary_cross_entropy", fm.Adam(rate), seed=0)
    began = time.perf_counter()
    model.fit(X, X, batch_size=BATCH, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - began
    print(f"network, {n:2} numbers: error {error(model.predict(X_test)):.2f} after {epochs} epochs, {seconds:.0f} s")
    return model, seconds


EPOCHS = 30
deep, seconds = autoencoder((512, 256), 30, EPOCHS)
flat, flat_seconds = autoencoder((256, 128), 2, 6)

# %%
# The encoder is the first half of the network: a model of its own, with its weights.


def codes(model, n):
    """What the narrow layer says about the test images."""
    half = len(model.layers) // 2
    encoder = fm.Model(model.layers[:half], n_inputs=784)
    encoder.weights = model.weights[:half]
    assert encoder.n_outputs == n
    return encoder.predict(X_test)


# %%
# Plain NumPy, with gradient descent in place of Adam, which costs it a little less.


def silu(z):
    """z times its sigmoid, and the derivative by z."""
    s = 1 / (1 + np.exp(-z))
    return z * s, s * (1 + z * (1 - s))


start = fm.Model(deep.layers, "binary_cross_entropy", n_inputs=784, seed=0).weights
activations = [plain_numpy.identity if layer.activation == "identity" else silu for layer in deep.layers]
network = plain_numpy.MLP(start, activations, plain_numpy.binary_cross_entropy)
rng = np.random.default_rng(0)


def numpy_step(i):
    """One batch."""
    batch = X[rng.integers(0, len(X), BATCH)]
    network.step(batch, batch, 1e-4)


numpy_seconds = plain_numpy.seconds_for(numpy_step, EPOCHS * len(X) // BATCH)
print(f"fastmlp {seconds:.0f} s, plain NumPy {numpy_seconds:.0f} s")

found, found_flat = (error(model.predict(X_test)) for model in (deep, flat))
assert found < error(pca(30)[1]) / 3
results = [
    ("PCA, 30 numbers: squared error of test images", "13.87", f"{error(pca(30)[1]):.2f}", None, None),
    ("Autoencoder, 30 numbers: squared error of test images", "3.00", f"{found:.2f}", seconds, numpy_seconds),
    ("PCA, 2 numbers: squared error of test images", "-", f"{error(pca(2)[1]):.2f}", None, None),
    (
        "Autoencoder, 2 numbers: squared error of test images",
        "-",
        f"{found_flat:.2f}",
        flat_seconds,
        None,
    ),
]

# %%
# See it
# ------
# The first test image of each digit, and what is rebuilt of it.

first = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
rows = {"test image": X_test, "PCA, 30": pca(30)[1], "network, 30": deep.predict(X_test),
        "PCA, 2": pca(2)[1], "network, 2": flat.predict(X_test)}  # fmt: skip
figure, axes = plt.subplots(5, 1, figsize=(8, 4.6), layout="constrained")
for ax, (title, images) in zip(axes, rows.items(), strict=True):
    ax.imshow(np.hstack(images[first].reshape(10, 28, 28)), cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    ax.set_ylabel(title, rotation=0, ha="right", va="center")
plt.show()

# %%
# Codes of two numbers are places in a plane. The network was never told the digits; those of one kind lie together.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
for ax, places, title in ((axes[0], pca(2)[0], "PCA"), (axes[1], codes(flat, 2), "Autoencoder")):
    for digit in range(10):
        own = places[:3000][y_test[:3000] == digit]
        ax.scatter(*own.T, s=5, color=plt.colormaps["tab10"](digit), label=str(digit))
    low, high = np.percentile(places, (0.5, 99.5), axis=0)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="first number", ylabel="second number", title=title)
axes[1].legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=4, frameon=False)
plt.show()
