"""
The same network in three frameworks
====================================

A teaching text writes a small network twice: with PyTorch, a ``Sequential`` and a training loop of five lines; with
Keras, a functional model with a ReLU hidden layer, a sigmoid output, binary cross-entropy, Adam and ``fit(epochs=10)``.
Here are both, each followed by the same with fastmlp, from the same weights, on the breast cancer data. Losses agree to
the rounding of float32.

This page needs fastmlp alone. Where PyTorch or Keras is installed, their code runs too and is compared; where not, it is
shown and the page says so. Plain NumPy is compared in any case.
"""

# %%
# The data and the start
# ----------------------

import importlib.util
import os
import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

X, y = fm.datasets.load_breast_cancer()
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
y = y.astype(np.float32)[:, None]
STEPS, EPOCHS, SEED = 200, 10, 0

layers = [fm.Dense(16, "relu"), fm.Dense(1)]
start = fm.Model(layers, "binary_cross_entropy", seed=SEED, n_inputs=30).weights
has_torch = importlib.util.find_spec("torch") is not None
has_keras = has_torch and importlib.util.find_spec("keras") is not None
losses, seconds = {}, {}

# %%
# PyTorch: Sequential, and a loop
# -------------------------------
# PyTorch keeps the weights of a layer as (outputs, inputs).


def with_torch():
    """Losses of each step."""
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    with torch.no_grad():
        for layer, (W, b) in zip((model[0], model[2]), start, strict=True):
            layer.weight.copy_(torch.tensor(W.T))
            layer.bias.copy_(torch.tensor(b))
    loss_function = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, targets = torch.tensor(X), torch.tensor(y)
    found = []
    began = time.perf_counter()
    for _ in range(STEPS):
        loss = loss_function(model(inputs), targets)  # forward
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found, time.perf_counter() - began


if has_torch:
    losses["PyTorch"], seconds["PyTorch"] = with_torch()
else:
    print("PyTorch is not installed here")

# %%
# With fastmlp the loop has one line, or three where the gradients are wanted. The sigmoid is part of the loss, as in
# ``BCEWithLogitsLoss``.

model = fm.Model(layers, "binary_cross_entropy", fm.SGD(0.1), n_inputs=30)
model.weights = start
found = []
began = time.perf_counter()
for _ in range(STEPS):
    found.append(model.train_on_batch(X, y))
losses["fastmlp, a loop"], seconds["fastmlp, a loop"] = found, time.perf_counter() - began

model.weights = start
for step in range(STEPS):
    loss, gradients = model.loss_and_gradients(X, y)
    model.apply_gradients(gradients)
    assert loss == losses["fastmlp, a loop"][step]

# %%
# The same by hand, in plain NumPy:

network = plain_numpy.MLP(start, [plain_numpy.relu, plain_numpy.identity], plain_numpy.binary_cross_entropy)
began = time.perf_counter()
losses["NumPy, a loop"] = [float(network.step(X, y, 0.1)) for _ in range(STEPS)]
seconds["NumPy, a loop"] = time.perf_counter() - began

# %%
# Keras: a functional model, and fit
# ----------------------------------
# The sigmoid is a part of the model there, and the loss takes probabilities.


def with_keras():
    """Losses and accuracies of each epoch."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    inputs = keras.Input(shape=(30,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    outputs = keras.layers.Dense(1, activation="sigmoid")(hidden)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    model.set_weights([array for pair in start for array in pair])
    began = time.perf_counter()
    history = model.fit(X, y, epochs=EPOCHS, shuffle=False, verbose=0)
    return history.history, time.perf_counter() - began


if has_keras:
    keras_history, seconds["Keras"] = with_keras()
    losses["Keras"] = keras_history["loss"]
else:
    print("Keras is not installed here")

# %%
# With fastmlp, loss and optimizer are arguments of the model; the batches of 32 and Adam's constants are the same by
# default. The last layer has no activation: ``predict`` applies the sigmoid.

model = fm.Model(layers, loss="binary_cross_entropy", optimizer="adam", n_inputs=30)
model.weights = start
began = time.perf_counter()
history = model.fit(X, y, epochs=EPOCHS, shuffle=False, verbose=0)
losses["fastmlp, fit"], seconds["fastmlp, fit"] = history["loss"], time.perf_counter() - began
print(f"accuracy after {EPOCHS} epochs: {history['accuracy'][-1]:.4f} with fastmlp", end="")
print(f", {keras_history['accuracy'][-1]:.4f} with Keras" if has_keras else "")

# %%
# Do they agree?
# --------------
# Rounding differs, as sums are taken in another order; it grows a little from step to step.

results = []
for other, ours, what in (
    ("PyTorch", "fastmlp, a loop", f"loss of {STEPS} steps of SGD beside PyTorch's"),
    ("NumPy, a loop", "fastmlp, a loop", f"loss of {STEPS} steps of SGD beside plain NumPy's"),
    ("Keras", "fastmlp, fit", f"loss of {EPOCHS} epochs of Adam beside Keras's"),
):
    if other not in losses:
        results.append((what, "", f"{other} is not installed", seconds[ours], None))
        continue
    difference = np.abs(np.array(losses[other]) - losses[ours]).max()
    print(f"{what}: apart by at most {difference:.0e}; {seconds[ours]:.4f} s, {other} {seconds[other]:.4f} s")
    assert difference < 1e-5
    numpy_seconds = seconds[other] if other == "NumPy, a loop" else None
    results.append((what, "", f"apart by at most {difference:.0e}", seconds[ours], numpy_seconds))

# %%
# See it
# ------

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, names, unit in ((left, ("fastmlp, a loop", "PyTorch", "NumPy, a loop"), "step"), (
    right, ("fastmlp, fit", "Keras"), "epoch",
)):  # fmt: skip
    for name, style in zip(names, ("-", "o", "x"), strict=False):
        if name in losses:
            every = max(1, len(losses[name]) // 20) if style != "-" else 1
            offset = every // 2 if style == "x" else 0
            ax.plot(1 + np.arange(len(losses[name]))[offset::every], losses[name][offset::every], style, label=name, markerfacecolor="none")
    ax.set(xlabel=unit, ylabel="loss, nats")
    ax.legend()
left.set_title("A loop of one's own: gradient descent")
right.set_title("fit: Adam, batches of 32")
plt.show()
