"""
Three letters, one sample at a time
===================================

A teaching text builds its first network in plain NumPy: bitmaps of the letters A, B and C, six pixels wide and five
high; 30 inputs, five hidden units, three outputs; sigmoid, no biases, weights from N(0, 1); one sample at a time, with
the learning rate 0.1, for 100 epochs. It calls 100 (1 - mean loss) the accuracy, where the loss is the squared error.

Its update takes the error of the output, ``a2 - y``, without the sigmoid's derivative. That is the gradient of the
cross-entropy, not of the squared error that it prints. Here are both.
"""

# %%
# The letters
# -----------

import time

import matplotlib.pyplot as plt
import numpy as np

import fastmlp as fm

BITMAPS = {
    "A": "001101 010010 111111 100001 100001",
    "B": "011110 010010 011110 110010 011110",
    "C": "011110 010000 110000 010000 011110",
}
NAMES = list(BITMAPS)
X = np.array([[int(pixel) for pixel in bitmap.replace(" ", "")] for bitmap in BITMAPS.values()], float)
Y = np.eye(3)
EPOCHS, RATE, SEED = 100, 0.1, 0


def start(seed):
    """Weights from N(0, 1)."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(30, 5)), rng.normal(size=(5, 3))]


START = start(SEED)

# %%
# Two gradients
# -------------
# The two networks differ in their loss alone. ``binary_cross_entropy`` contains the sigmoid of the outputs;
# ``half_squared_error`` leaves it to the last layer. The metric is the squared error that the text prints, of both.


def squared_error(y, predicted):
    """Mean over samples and outputs."""
    return np.mean((predicted - y) ** 2)


def network(squared, weights=START):
    """The network of the text, by one loss or the other."""
    loss = "half_squared_error" if squared else fm.losses.BinaryCrossEntropy(outputs="sum")
    hidden = fm.Dense(5, "sigmoid", use_bias=False)
    output = fm.Dense(3, "sigmoid" if squared else None, use_bias=False)
    model = fm.Model([hidden, output], loss, fm.SGD(RATE), n_inputs=30, dtype="float64", metrics=[squared_error])
    model.weights = [(W, np.zeros(W.shape[1])) for W in weights]
    return model


hidden = 1 / (1 + np.exp(-X[0] @ START[0]))
output = 1 / (1 + np.exp(-hidden @ START[1]))
error = output - Y[0]
for squared, by_hand in ((False, error), (True, error * output * (1 - output))):
    _, gradients = network(squared).loss_and_gradients(X[:1], Y[:1])
    difference = np.abs(gradients[1][0] - np.outer(hidden, by_hand)).max()
    formula = "(a2 - y) a2 (1 - a2)" if squared else "a2 - y"
    print(f"{type(network(squared).loss).__name__}: the error of the output is {formula}, to {difference:.0e}")
    assert difference < 1e-15

# %%
# Train
# -----
# The letters are the validation data too, so that the history holds loss and metric after each epoch.

models = {"a2 - y (the text)": network(squared=False), "(a2 - y) a2 (1 - a2)": network(squared=True)}
for name, model in models.items():
    model.fit(X, Y, batch_size=1, epochs=EPOCHS, shuffle=False, validation_data=(X, Y), verbose=0)
    said = model.predict(X)
    print(name)
    print(f"  accuracy of the text: {100 * (1 - model.history['val_squared_error'][-1]):.2f}")
    for letter, probabilities in zip(NAMES, said, strict=True):
        numbers = ", ".join(f"{named} {p:.3f}" for named, p in zip(NAMES, probabilities, strict=True))
        print(f"  {letter} is called {NAMES[probabilities.argmax()]}: {numbers}")

# %%
# Is that the start's doing? Of 20 other starts:

learned = {}
for name, squared in zip(models, (False, True), strict=True):
    learned[name] = 0
    for seed in range(1, 21):
        model = network(squared, start(seed))
        model.fit(X, Y, batch_size=1, epochs=EPOCHS, shuffle=False, verbose=0)
        learned[name] += int((model.predict(X).argmax(axis=1) == [0, 1, 2]).all())
    print(f"{name}: {learned[name]} of 20 networks name all three letters")

# %%
# By hand, in plain NumPy
# -----------------------
# The program of the text, from the same weights, ends at the same weights.

W1, W2 = (W.copy() for W in START)
began = time.perf_counter()
for _ in range(EPOCHS):
    for x, y in zip(X, Y, strict=True):
        a1 = 1 / (1 + np.exp(-x @ W1))
        a2 = 1 / (1 + np.exp(-a1 @ W2))
        d2 = a2 - y
        d1 = W2 @ d2 * a1 * (1 - a1)
        W1 -= RATE * np.outer(x, d1)
        W2 -= RATE * np.outer(a1, d2)
numpy_seconds = time.perf_counter() - began

again = network(squared=False)
began = time.perf_counter()
again.fit(X, Y, batch_size=1, epochs=EPOCHS, shuffle=False, verbose=0)
seconds = time.perf_counter() - began
difference = max(np.abs(W - found).max() for W, (found, _) in zip((W1, W2), again.weights, strict=True))
print(f"largest difference of a weight: {difference:.0e}")
print(f"{1000 * seconds:.1f} ms; plain NumPy needs {1000 * numpy_seconds:.0f} ms")
assert difference < 1e-12

results = []
for name, model in models.items():
    right = int((model.predict(X).argmax(axis=1) == [0, 1, 2]).sum())
    accuracy = 100 * (1 - model.history["val_squared_error"][-1])
    timed = (seconds, numpy_seconds) if model is models["a2 - y (the text)"] else (None, None)
    found = f"{right} of 3, accuracy {accuracy:.1f}; {learned[name]} of 20 starts name all"
    results.append((f"letters named, {name}", "3 of 3" if timed[0] else "", found, *timed))

# %%
# See it
# ------
# Without the sigmoid's derivative, which is at most a quarter, the steps are longer: after 100 epochs the network of
# the text is almost done, and the other one has begun.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for name, model in models.items():
    loss = np.array(model.history["val_squared_error"])
    left.plot(1 + np.arange(EPOCHS), 100 * (1 - loss), label=name)
    right.plot(1 + np.arange(EPOCHS), loss, label=name)
left.set(xlabel="epoch", ylabel="100 (1 - loss)", title="Accuracy, as the text calls it")
right.set(xlabel="epoch", ylabel="squared error, mean over outputs", title="Loss")
left.legend(title="error of the output")
plt.show()

# %%
# What the network of the text sees, and the letter that it names:

said = models["a2 - y (the text)"].predict(X)
figure, axes = plt.subplots(1, 3, figsize=(7, 2.6), layout="constrained")
for ax, pixels, probabilities in zip(axes, X, said, strict=True):
    ax.imshow(pixels.reshape(5, 6), cmap="Greys")
    ax.set_title(f"{NAMES[probabilities.argmax()]}, {probabilities.max():.2f}")
    ax.set(xticks=[], yticks=[])
plt.show()
