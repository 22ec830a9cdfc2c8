"""
The same network in three frameworks
====================================

A teaching text writes a small network twice: with PyTorch, a ``Sequential`` and a training loop of five lines; with
Keras, a functional model with a ReLU hidden layer, a sigmoid output, binary cross-entropy, Adam and ``fit(epochs=10)``.
Here are both, each followed by the same with fastmlp, from the same weights, on the breast cancer data. Losses agree to
the rounding of float32.

This page needs fastmlp alone. Where PyTorch or Keras is installed, their code runs too and is compared; where not, it
is shown and the page says so. Plain NumPy is compared in any case.
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
losses["NumPy"] = [float(network.step(X, y, 0.1)) for _ in range(STEPS)]
seconds["NumPy"] = time.perf_counter() - began

# %%
# Keras: a functional model, and fit
# ----------------------------------
# The sigmoid is a part of the model there, and the loss takes probabilities.


def with_keras(optimizer):
    """Losses and accuracies of each epoch."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras

    inputs = keras.Input(shape=(30,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    outputs = keras.layers.Dense(1, activation="sigmoid")(hidden)
    model = keras.Model(inputs, outputs)
    model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    model.set_weights([array for pair in start for array in pair])
    began = time.perf_counter()
    history = model.fit(X, y, epochs=EPOCHS, shuffle=False, verbose=0).history
    return history, time.perf_counter() - began


# %%
# With fastmlp, loss and optimizer are arguments of the model; batches of 32 and the constants of the optimizers are the
# same by default. The last layer has no activation: ``predict`` applies the sigmoid. The text trains with Adam;
# gradient descent is compared too.

accuracies = {}
for optimizer in ("adam", "sgd"):
    model = fm.Model(layers, loss="binary_cross_entropy", optimizer=optimizer, n_inputs=30)
    model.weights = start
    began = time.perf_counter()
    history = model.fit(X, y, epochs=EPOCHS, shuffle=False, verbose=0)
    seconds[f"fastmlp, {optimizer}"] = time.perf_counter() - began
    losses[f"fastmlp, {optimizer}"], accuracies["fastmlp"] = history["loss"], history["accuracy"][-1]
    if has_keras:
        found, seconds[f"Keras, {optimizer}"] = with_keras(optimizer)
        losses[f"Keras, {optimizer}"], accuracies["Keras"] = found["loss"], found["accuracy"][-1]
    print(f"{optimizer}: accuracy after {EPOCHS} epochs:", *(f"{a:.4f} with {name}" for name, a in accuracies.items()))
if not has_keras:
    print("Keras is not installed here")

# %%
# Do they agree?
# --------------
# Rounding differs, as sums are taken in another order. Of Adam there is more: Keras adds epsilon to the root of the
# second moment before it corrects that, fastmlp (as the paper and PyTorch) after, and Keras computes the correction
# 1 - 0.999**t in float32.

results = []
for other, ours, what, tolerance in (
    ("PyTorch", "fastmlp, a loop", f"losses of {STEPS} steps of a loop, beside PyTorch", 1e-6),
    ("NumPy", "fastmlp, a loop", f"losses of {STEPS} steps of a loop, beside plain NumPy", 1e-6),
    ("Keras, sgd", "fastmlp, sgd", f"losses of {EPOCHS} epochs of SGD, beside Keras", 1e-6),
    ("Keras, adam", "fastmlp, adam", f"losses of {EPOCHS} epochs of Adam, beside Keras", 2e-5),
):
    said = "not installed here"
    if other in losses:
        difference = np.abs(np.array(losses[other]) - losses[ours]).max()
        said = f"apart by at most {difference:.0e}"
        print(f"{what}: {said}")
        assert difference < tolerance
    results.append((what, "the same", said, seconds[ours], seconds["NumPy"] if other == "NumPy" else None))

# %%
# See it
# ------

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(losses["fastmlp, a loop"], label="fastmlp")
left.plot(range(0, STEPS, 20), losses["NumPy"][::20], "x", label="plain NumPy")
if has_torch:
    left.plot(range(10, STEPS, 20), losses["PyTorch"][10::20], "o", label="PyTorch", markerfacecolor="none")
left.set(xlabel="step", ylabel="loss, nats", title="A loop: gradient descent on all samples")
for optimizer in ("adam", "sgd"):
    right.plot(range(1, EPOCHS + 1), losses[f"fastmlp, {optimizer}"], label=f"fastmlp, {optimizer}")
    if has_keras:
        right.plot(range(1, EPOCHS + 1), losses[f"Keras, {optimizer}"], "x", label=f"Keras, {optimizer}")
right.set(xlabel="epoch", ylabel="loss, nats", title="fit: batches of 32")
for ax in (left, right):
    ax.legend()
plt.show()
