r"""
Whitening
=========

Lecture slides prepare data in two steps. Normalised data have mean 0 and spread 1 in every column. Whitened data have
no correlation either: with the covariance :math:`C = X^T X / n` of the centred data, its eigenvectors :math:`U` and
eigenvalues :math:`\sigma`, a sample :math:`x` becomes :math:`x U / (\sqrt{\sigma} + 10^{-8})`. The slides show pictures
of raw, normalised and whitened data, and no figures. Here the formula is compared with ``fm.Whiten``, which whitens as
a part of the model.
"""

# %%
# The formula
# -----------

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

X, y = fm.datasets.load_breast_cancer()


def whiten(X):
    """The whitened data, and the eigenvectors that make pictures of them again."""
    centred = X - X.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(X))
    return centred @ vectors / (np.sqrt(np.maximum(values, 0)) + 1e-8), vectors


def correlated(P):
    """How far the covariance is from the identity."""
    return np.abs(P.T @ P / len(P) - np.eye(P.shape[1])).max()


P, _ = whiten(X)

# %%
# As a part of a model
# --------------------
# ``adapt`` learns mean and matrix from samples, as the first ``fit`` would. fastmlp adds its epsilon to the eigenvalue
# below the root, so that directions of less variance fade out; here it is so small that none does. Its eigenvectors
# come with the largest eigenvalue first. The sign of an eigenvector is free.

model = fm.Model([fm.Dense(1)], "binary_cross_entropy", dtype="float64", preprocessing=fm.Whiten("pca", epsilon=1e-14))
model.adapt(X)
Q = (X - model.statistics["mean"]) @ model.statistics["matrix"]
difference = np.abs(np.abs(P[:, ::-1]) - np.abs(Q)).max()
print(f"covariance from the identity: formula {correlated(P):.0e}, fastmlp {correlated(Q):.0e}")
print(f"the data differ by {difference:.0e} at most, where the largest value is {np.abs(Q).max():.0f}")
assert difference < 1e-3
seconds, numpy_seconds = (plain_numpy.seconds_for(lambda _, f=f: f(X), 9) / 9 for f in (model.adapt, whiten))
print(f"{1000 * seconds:.1f} ms, with NumPy {1000 * numpy_seconds:.1f} ms")

# %%
# What differs is the 1e-8 of the slides: it is added to roots of eigenvalues, of which the smallest is no larger than
# this.

smallest = 1 / np.linalg.norm(model.statistics["matrix"], axis=0).max()
print(f"root of the smallest eigenvalue: {smallest:.1e}, so it shrinks by {1e-8 / smallest:.0e} of its length")

# %%
# A variance of nothing
# ---------------------
# Some pixels of the digits never change. Their eigenvalues are 0, and in floating point as well a little below: the
# root of the slides' formula is then NaN, as 1e-8 is added too late. So ``whiten`` above cuts them off at 0.

images, labels = fm.datasets.load_digits()
images = images / 16
centred = images - images.mean(axis=0)
values = np.linalg.eigvalsh(centred.T @ centred / len(images))
print("smallest eigenvalues of the digits:", *(f"{v:.0e}" for v in values[:5]))

# %%
# What it is good for, and what it costs
# --------------------------------------
# Gradient descent on raw data of very different scales must go in tiny steps. Whitened data have the same scale in all
# directions and allow large steps. But directions of hardly any variance, which hold noise, count as much as the rest:
# the training loss is the lowest, and the test accuracy is not the best.

curves = {}
for name, preprocessing, rate in (
    ("raw", None, 1e-6),
    ("normalised", fm.Standardize(), 3.0),
    ("whitened", fm.Whiten("pca"), 10.0),
):
    layers = [fm.Dense(1, initializer="zeros")]
    classifier = fm.Model(layers, "binary_cross_entropy", fm.SGD(rate), dtype="float64", preprocessing=preprocessing)
    curves[name] = classifier.fit(X[:300], y[:300], batch_size=300, epochs=200, verbose=0)["loss"]
    test = classifier.evaluate(X[300:], y[300:])["accuracy"]
    print(f"{name:10}  rate {rate:5g}  training loss {curves[name][-1]:.3f}  test accuracy {test:.1%}")

results = [
    (
        "Whitening: covariance from the identity",
        "formula, pictures",
        f"{correlated(Q):.0e}; the formula {correlated(P):.0e}",
        seconds,
        numpy_seconds,
    )
]

# %%
# See it
# ------
# Two measures of each tumour; then the first digits, where the components of the whitened data are turned back into
# pixels: with the 1e-8 of the slides, and with an epsilon that lets the weak directions fade out.

pair = X[:, [0, 6]]
normalised = (pair - pair.mean(axis=0)) / pair.std(axis=0)
clouds = (("raw", pair), ("normalised", normalised), ("whitened", whiten(pair)[0]))
figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
for ax, (name, data) in zip(axes, clouds, strict=False):
    for k, kind in enumerate(fm.datasets.BREAST_CANCER_CLASSES):
        ax.scatter(*data[y == k].T, s=4, label=kind)
    ax.set(title=name)
axes[0].set(xlabel=fm.datasets.BREAST_CANCER_FEATURES[0], ylabel=fm.datasets.BREAST_CANCER_FEATURES[6])
axes[0].legend(fontsize="small", loc="lower right")
for name, losses in curves.items():
    axes[3].semilogy(losses, label=name)
axes[3].set(xlabel="epoch", ylabel="training loss, nats", title="gradient descent", ylim=(0.02, 1))
axes[3].legend(fontsize="small")

# %%

whitened, vectors = whiten(images)
soft = fm.Model([fm.Dense(10)], dtype="float64", preprocessing=fm.Whiten("zca", epsilon=0.1)).adapt(images)
spread = np.where(images.std(axis=0) > 0, images.std(axis=0), 1)
rows = {
    "raw": images,
    "normalised": centred / spread,
    "whitened": whitened @ vectors.T,
    "whitened,\nepsilon 0.1": centred @ soft.statistics["matrix"],
}
figure, axes = plt.subplots(len(rows), 10, figsize=(9, 4), layout="constrained")
for (name, data), line in zip(rows.items(), axes, strict=True):
    low, high = (0, 1) if name == "raw" else (-2.5, 2.5)
    for ax, image in zip(line, data, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray", vmin=low, vmax=high)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()
