"""
Optimizers in two conventions
=============================

The readme of a school project writes its optimizers down: gradient descent; momentum, ``v = m v + lr g; w -= v``;
RMSprop, ``v = b v + (1 - b) g**2; w -= lr g / sqrt(v + eps)``, with eps inside the root; and Adam,
``w -= lr m / (eps + sqrt(v))``, without bias correction. Other texts write eps outside the root, and Adam with bias
correction. fastmlp has both of each. Here its steps are compared with the formulas in NumPy, and the conventions with
one another, on the breast cancer data.
"""

# %%
# The formulas
# ------------
# Each is a function of one weight array w, its gradient g, what it remembers (v, or m and v), and the number of the
# step from 1; constants are those of the readme.

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

RATE, EPSILON = 0.003, 1e-7


def descent(w, g, memory, step):
    w -= RATE * g


def momentum(w, g, memory, step):
    v = memory.setdefault("v", np.zeros_like(w))
    v[...] = 0.9 * v + RATE * g
    w -= v


def rmsprop(w, g, memory, step, inside):
    v = memory.setdefault("v", np.zeros_like(w))
    v[...] = 0.9 * v + 0.1 * g**2
    w -= RATE * g / (np.sqrt(v + EPSILON) if inside else np.sqrt(v) + EPSILON)


def adam(w, g, memory, step, corrected):
    m, v = (memory.setdefault(name, np.zeros_like(w)) for name in "mv")
    m[...] = 0.9 * m + 0.1 * g
    v[...] = 0.999 * v + 0.001 * g**2
    first, second = (m / (1 - 0.9**step), v / (1 - 0.999**step)) if corrected else (m, v)
    w -= RATE * first / (EPSILON + np.sqrt(second))


PAIRS = {
    "gradient descent": (fm.SGD(RATE), descent),
    "momentum": (fm.SGD(RATE, momentum=0.9), momentum),
    "RMSprop, eps inside": (fm.RMSprop(RATE, epsilon_in_root=True), lambda *a: rmsprop(*a, inside=True)),
    "RMSprop, eps outside": (fm.RMSprop(RATE), lambda *a: rmsprop(*a, inside=False)),
    "Adam, not corrected": (fm.Adam(RATE, bias_correction=False), lambda *a: adam(*a, corrected=False)),
    "Adam, corrected": (fm.Adam(RATE), lambda *a: adam(*a, corrected=True)),
}

# %%
# Step by step
# ------------
# A network with two hidden layers, 455 samples to train it and 114 to validate it, all training samples in each step.
# After 1, 10, ... steps the weights of both are compared. Differences are roundings, which grow as training goes on.

X, y = fm.datasets.load_breast_cancer()
order = np.random.default_rng(0).permutation(len(X))
train, held_out = order[:455], order[455:]
Z = (X - X[train].mean(axis=0)) / X[train].std(axis=0)
LAYERS = [fm.Dense(24, "sigmoid"), fm.Dense(24, "sigmoid"), fm.Dense(2)]
COMPARED = (1, 10, 100, 500)
models, results = {}, []
print(f"{'largest difference of a weight after':36}", *(f"{n:>7}" for n in COMPARED), " steps")
for name, (optimizer, formula) in PAIRS.items():
    model = fm.Model(LAYERS, "softmax_cross_entropy", optimizer, seed=0, n_inputs=30, dtype="float64")
    activations = [plain_numpy.sigmoid, plain_numpy.sigmoid, plain_numpy.identity]
    plain = plain_numpy.MLP(model.weights, activations, plain_numpy.softmax_cross_entropy)
    memories = [({}, {}) for _ in LAYERS]
    seconds, numpy_seconds, differences = 0.0, 0.0, []
    for step in range(1, COMPARED[-1] + 1):
        began = time.perf_counter()
        model.train_on_batch(Z[train], y[train])
        between = time.perf_counter()
        _, gradients = plain.gradients(Z[train], y[train])
        for arrays, found, memory in zip(plain.weights, gradients, memories, strict=True):
            for w, g, remembered in zip(arrays, found, memory, strict=True):
                formula(w, g, remembered, step)
        seconds, numpy_seconds = seconds + between - began, numpy_seconds + time.perf_counter() - between
        if step in COMPARED:
            pairs = zip(model.weights, plain.weights, strict=True)
            differences.append(max(np.abs(a - b).max() for layer in pairs for a, b in zip(*layer, strict=True)))
    print(f"{name:36}", *(f"{d:7.0e}" for d in differences))
    assert differences[0] < 1e-12
    said = "" if "outside" in name or name == "Adam, corrected" else "formula"
    found = f"weights differ by {differences[0]:.0e} after 1 step, {differences[-1]:.0e} after {COMPARED[-1]}"
    results.append((f"Optimizers: {name}, {COMPARED[-1]} steps", said, found, seconds, numpy_seconds))
ours, theirs = sum(row[3] for row in results), sum(row[4] for row in results)
print(f"{len(PAIRS)} times {COMPARED[-1]} steps: fastmlp {ours:.2f} s, plain NumPy {theirs:.2f} s")

# %%
# One of them drifts away from its formula, and that is no error of either: RMSprop with eps outside the root moves a
# weight by about the learning rate, however small its gradient has become, and where that is near zero its sign hangs
# on a rounding. (Tried once: NumPy drifts away from NumPy, too, when its start is changed by one rounding.) Inside
# the root eps is as good as a gradient of sqrt(1e-7) = 3e-4, below which steps get smaller.

# %%
# The first step
# --------------
# How far a weight moves in the first step, in units of the learning rate. The moving averages start at zero; so Adam
# without correction divides 0.1 g by sqrt(0.001) abs(g), and RMSprop g by sqrt(0.1) abs(g): 3.16 learning rates both.
# Bias correction makes it one.

for name, (optimizer, _) in PAIRS.items():
    model = fm.Model(LAYERS, "softmax_cross_entropy", optimizer, seed=0, n_inputs=30, dtype="float64")
    before = model.weights[-1][0]
    model.train_on_batch(Z[train], y[train])
    print(f"{name:22} {np.abs(model.weights[-1][0] - before).max() / RATE:6.3f}")

# %%
# Learning curves, and early stopping
# -----------------------------------
# Batches of 8 now, validation after each epoch. Training stops when the validation loss has not fallen for 20 epochs,
# and the model gets its best weights back.

for name, (optimizer, _) in PAIRS.items():
    model = fm.Model(LAYERS, "softmax_cross_entropy", optimizer, seed=0)
    stop = fm.EarlyStopping("val_loss", patience=20, restore_best_weights=True)
    validation = (Z[held_out], y[held_out])
    began = time.perf_counter()
    model.fit(Z[train], y[train], batch_size=8, epochs=500, validation_data=validation, callbacks=[stop], verbose=0)
    seconds = time.perf_counter() - began
    restored = model.evaluate(*validation)
    models[name] = model, stop
    print(f"{name:22} {len(model.history['loss']):3} epochs, best {stop.best_epoch + 1:3}, validation loss", end=" ")
    print(f"{model.history['val_loss'][-1]:.4f} at the end, {restored['loss']:.4f} restored, ", end="")
    print(f"accuracy {restored['accuracy']:.1%}")
    assert restored["loss"] == min(model.history["val_loss"])
    if name == "RMSprop, eps inside":
        found = f"{model.history['val_loss'][-1]:.4f} at the end, {restored['loss']:.4f} restored"
        results.append((f"Early stopping, {name}: validation loss", "best weights restored", found, seconds, None))

# %%
# See it
# ------

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for i, (name, (model, _)) in enumerate(models.items()):
    left.semilogx(range(1, len(model.history["loss"]) + 1), model.history["val_loss"], f"C{i}", label=name)
left.set(xlabel="epoch", ylabel="validation loss, nats", ylim=(0, 1.1), title="Six optimizers, one start and rate")
left.legend(fontsize="small", loc="upper right", ncols=2)
model, stop = models["RMSprop, eps inside"]
for name, label in (
    ("loss", "training loss"),
    ("val_loss", "validation loss"),
    ("accuracy", "training accuracy"),
    ("val_accuracy", "validation accuracy"),
):
    right.plot(range(1, len(model.history[name]) + 1), model.history[name], label=label)
right.axvline(stop.best_epoch + 1, color="0.5", linestyle="--", label="best weights")
right.set(xlabel="epoch", title="RMSprop, eps inside", ylim=(0, 1.05))
right.legend(fontsize="small", loc="center right")
plt.show()
