"""
Softmax and cross-entropy
=========================

The last network of these lecture notes classifies the breast cancer data with two hidden layers of 10 and 3 units, a
softmax over the two classes and the cross-entropy. Its loss falls from 2.778 to 0.00597; then it is right about 100 %
of the training data and about 96.28 % of the test data: 259 of the 269 samples after the first 300.
"""

# %%
# Train until the published loss
# ------------------------------
# Data, split and standardisation are taken to be those of the network before, and the hidden units to be sigmoids
# again: the figures are published without them. The notes do not say how long they trained, either. So each network
# here is trained until its loss is the published one, and then compared: ``EarlyStopping`` has a target.

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

X, y = fm.datasets.load_breast_cancer()
X_train, y_train, X_test, y_test = X[:300], y[:300], X[300:], y[300:]
SEEDS = range(10)
PUBLISHED = {"first loss": 2.778, "loss": 0.00597, "training": 1.0, "test": 259 / 269}


def train(seed, activation, optimizer, start=None):
    """A model trained to the published loss, and what is compared."""
    layers = [fm.Dense(10, activation), fm.Dense(3, activation), fm.Dense(2)]
    model = fm.Model(
        layers, "softmax_cross_entropy", optimizer, seed, 30, dtype="float64", preprocessing=fm.Standardize()
    )
    if start is not None:
        model.weights = start
    first = model.adapt(X_train).evaluate(X_train, y_train)["loss"]
    stop = fm.EarlyStopping("loss", patience=5000, target=PUBLISHED["loss"])
    began = time.perf_counter()
    model.fit(X_train, y_train, batch_size=300, epochs=5000, callbacks=[stop], verbose=0)
    seconds = time.perf_counter() - began
    training, test = model.evaluate(X_train, y_train), model.evaluate(X_test, y_test)
    return model, (first, training["loss"], training["accuracy"], test["accuracy"], seconds)


def show(name, rows):
    """One line for each network."""
    print(f"{name}\nseed  first loss     loss  training     test  epochs")
    for seed, (model, (first, loss, training, test, _)) in zip(SEEDS, rows, strict=True):
        print(f"{seed:4}  {first:10.3f}  {loss:.5f}  {training:7.2%}  {test:7.2%}  {len(model.history['loss']):6}")


# %%
# From the usual start
# --------------------
# fastmlp starts with small weights, by the rule of Glorot. The first loss of two classes is then about log 2 = 0.693,
# the loss of one who knows nothing.

rows = [train(seed, "sigmoid", fm.SGD(1.0)) for seed in SEEDS]
show("sigmoid, usual start, gradient descent with the rate 1", rows)
tests = np.array([figures[3] for _, figures in rows])
trainings = [figures[2] for _, figures in rows]
as_good = np.sum(tests >= PUBLISHED["test"])
print(f"published test accuracy {PUBLISHED['test']:.2%}; reached by {as_good} of {len(rows)}")

# %%
# From a start that is as wrong as the published one
# --------------------------------------------------
# A first loss of 2.778 gives the right class a probability of exp(-2.778) = 6 %: the network is sure, and wrong. That
# comes from large weights. With relu and weights and biases from N(0, 1) first losses lie around the published one.


def normal(seed):
    """Weights and biases of all layers from N(0, 1)."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(a, b)), rng.normal(size=b)) for a, b in ((30, 10), (10, 3), (3, 2))]


wrong = [train(seed, "relu", fm.Adam(0.01), normal(seed)) for seed in SEEDS]
show("relu, N(0, 1), Adam", wrong)
spread = np.array([figures[3] for _, figures in wrong])
reached = sum(model.history.stopped == "target reached" for model, _ in wrong)
print(f"{reached} of {len(wrong)} reach the loss; test accuracy from {spread.min():.2%} to {spread.max():.2%}")

# %%
# Such a start is no good advice: not every network learns the training data in the 5,000 epochs that it has, and the
# results on new data spread more than from the usual start.

# %%
# The time of plain NumPy
# -----------------------

model, (first, loss, training, test, seconds) = rows[0]
epochs = len(model.history["loss"])
fresh = fm.Model(model.layers, "softmax_cross_entropy", seed=0, n_inputs=30, dtype="float64")
activations = [plain_numpy.sigmoid, plain_numpy.sigmoid, plain_numpy.identity]
plain = plain_numpy.MLP(fresh.weights, activations, plain_numpy.softmax_cross_entropy)
Z = (X_train - X_train.mean(axis=0)) / X_train.std(axis=0)
numpy_seconds = plain_numpy.seconds_for(lambda _: plain.step(Z, y_train, 1.0), epochs)
print(f"{epochs} epochs: {1000 * seconds:.0f} ms; plain NumPy needs {1000 * numpy_seconds:.0f} ms")

results = [
    (
        f"Softmax classifier, {len(rows)} starts: test accuracy at the training loss 0.00597",
        "100 % training, 96.28 % test",
        f"{min(trainings):.0%} training, median {np.median(tests):.2%} test ({tests.min():.2%} to {tests.max():.2%})",
        seconds,
        numpy_seconds,
    )
]

# %%
# See it
# ------

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for runs, colour, marker, label in ((rows, "C0", "o", "sigmoid, usual start"), (wrong, "C1", "x", "relu, N(0, 1)")):
    for i, (model, _) in enumerate(runs):
        losses = model.history["loss"]
        left.loglog(np.arange(1, len(losses) + 1), losses, colour, alpha=0.5, label=None if i else label)
    right.plot(SEEDS, [100 * figures[3] for _, figures in runs], marker, color=colour, label=label)
left.axhline(PUBLISHED["loss"], color="C2", label="published, at the end")
left.set(xlabel="epoch", ylabel="cross-entropy, nats", title="Training loss")
right.axhline(100 * PUBLISHED["test"], color="C2", label="published")
right.set(xlabel="seed", ylabel="right test answers, %", title="Test")
for axes in (left, right):
    axes.legend(fontsize="small")
plt.show()
