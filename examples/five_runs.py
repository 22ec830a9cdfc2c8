"""
Five runs, five seeds
=====================

Lecture slides train a dense network of three layers on MNIST: 59,000 images for training, 1,000 for validation, 10,000
for the test; pixels standardised with the mean and standard deviation of the training set; batches of 64; one-hot
labels with sigmoid outputs, whose binary cross-entropy is summed over the outputs and averaged over the batch. One run
says little about a network, so there are five, with recorded seeds, reported as mean and spread.
"""

# %%
# The data
# --------

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

SEEDS, EPOCHS, BATCH, RATE = range(5), 10, 64, 1e-3

(X, y), (X_test, y_test) = fm.datasets.load_mnist()
X, X_test = ((images.reshape(-1, 784) / 255).astype(np.float32) for images in (X, X_test))
labels, test_labels = np.eye(10, dtype=np.float32)[y], np.eye(10, dtype=np.float32)[y_test]
X_train, X_validation, labels_train, labels_validation = X[:59000], X[59000:], labels[:59000], labels[59000:]

# %%
# Five networks
# -------------
# The model standardises by itself: ``preprocessing="standardize"`` learns mean and standard deviation of each pixel
# from the training images and is saved with the weights. The slides name neither the widths nor the optimizer; here
# they are 128, 64 and 10, and Adam. A digit is called right where the largest of the ten outputs is that of its label.


def digits(one_hot, outputs):
    """Share of the digits that are called right."""
    return np.mean(one_hot.argmax(axis=1) == outputs.argmax(axis=1))


def network(seed):
    """A fresh one."""
    layers = [fm.Dense(128, "relu"), fm.Dense(64, "relu"), fm.Dense(10)]
    loss = fm.losses.BinaryCrossEntropy(outputs="sum")
    return fm.Model(layers, loss, fm.Adam(RATE), seed=seed, n_inputs=784, preprocessing="standardize", metrics=[digits])


histories, accuracies, seconds = [], [], []
for seed in SEEDS:
    model = network(seed)
    began = time.perf_counter()
    model.fit(X_train, labels_train, BATCH, EPOCHS, validation_data=(X_validation, labels_validation), verbose=0)
    seconds.append(time.perf_counter() - began)
    histories.append(model.history)
    accuracies.append(model.evaluate(X_test, test_labels)["digits"])
    print(f"seed {seed}: test accuracy {accuracies[-1]:.4f}, {seconds[-1]:.1f} s")
mean, spread = np.mean(accuracies), np.std(accuracies, ddof=1)
print(f"mean {mean:.4f}, standard deviation {spread:.4f}, from {min(accuracies):.4f} to {max(accuracies):.4f}")

# %%
# In plain NumPy
# --------------
# The steps of gradient descent alone, without Adam's moments, which it would need too:

relu, identity = plain_numpy.relu, plain_numpy.identity
plain = plain_numpy.MLP(network(0).weights, [relu, relu, identity], plain_numpy.binary_cross_entropy)
Z = (X_train - model.statistics["mean"].astype(np.float32)) / model.statistics["scale"].astype(np.float32)
steps = EPOCHS * -(-len(Z) // BATCH)


def numpy_step(i):
    """One batch."""
    rows = slice(i * BATCH % (len(Z) - BATCH), i * BATCH % (len(Z) - BATCH) + BATCH)
    plain.step(Z[rows], labels_train[rows], RATE)


numpy_seconds = len(SEEDS) * plain_numpy.seconds_for(numpy_step, steps)
print(f"five runs: {sum(seconds):.0f} s; plain NumPy needs {numpy_seconds:.0f} s")
found = f"{mean:.4f} ± {spread:.4f} over {len(SEEDS)} seeds"
results = [("MNIST, five runs: test accuracy", "no figure", found, sum(seconds), numpy_seconds)]

# %%
# See it
# ------
# All runs in one figure. The loss of validation rises after some epochs while its accuracy does not fall: the networks
# grow more certain of their mistakes.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
epochs = 1 + np.arange(EPOCHS)
for seed, history, accuracy in zip(SEEDS, histories, accuracies, strict=True):
    (line,) = left.plot(epochs, history["loss"], label=f"seed {seed}")
    left.plot(epochs, history["val_loss"], "--", color=line.get_color())
    right.plot(epochs, history["val_digits"], "--", color=line.get_color())
    right.plot(EPOCHS, accuracy, "o", color=line.get_color())
left.set(xlabel="epoch", ylabel="loss, nats", title="Training solid, validation dashed")
right.set(xlabel="epoch", ylabel="accuracy", title="Validation dashed, test as a point")
figure.legend(loc="outside right upper")
plt.show()
