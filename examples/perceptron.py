"""
The perceptron, and what it cannot learn
========================================

The first architecture of a survey of networks: one unit, the sign of a weighted sum. F. Rosenblatt, "The perceptron: a
probabilistic model for information storage and organization in the brain", Psychological Review 65 (1958), 386-408,
trains it by mistakes: where it names the wrong side, the sample is added to the weights, or subtracted.

A. B. J. Novikoff, "On convergence proofs on perceptrons", Symposium on the Mathematical Theory of Automata 12 (1962),
615-622, proves that this ends wherever a line separates the classes. M. Minsky and S. Papert, "Perceptrons" (1969),
show what no line separates: XOR. A hidden layer does. All three statements are tried here.
"""

# %%
# The rule as a loss
# ------------------
# Samples go by one at a time, and the gradient of a mistake is minus the side, so that a step of gradient descent with
# a learning rate of 1 is Rosenblatt's rule. A score of 0, as at the start, counts as a mistake. The number that the
# loss returns is 1 for a mistake: the loss of an epoch is the share of mistakes in it.

import time

import matplotlib.pyplot as plt
import numpy as np

import fastmlp as fm


def rosenblatt(scores, sides):
    """1 where a score is on the wrong side, and minus the side as its derivative."""
    wrong = scores * sides <= 0
    return wrong.mean(), np.where(wrong, -sides, 0.0)


def perceptron(X, sides, epochs):
    """A perceptron, and after every epoch, up to the first without a mistake: the mistakes in it, what is right."""
    model = fm.Model([fm.Dense(1, initializer="zeros")], rosenblatt, fm.SGD(1.0), dtype="float64", seed=0)
    mistakes, right = [], []
    while len(mistakes) < epochs and 0 not in mistakes:
        history = model.fit(X, sides, batch_size=1, verbose=0)
        mistakes.append(round(len(X) * history["loss"][-1]))
        right.append(np.sum(model.predict(X) * sides > 0))
    return model, mistakes, right


# %%
# Four corners
# ------------
# AND and OR are learnt after a few epochs. XOR is not. A line can have three of its corners right; the rule goes on
# making mistakes for as long as one likes, and does not stop at the best line either.

corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
gates = {"AND": [-1, -1, -1, 1], "OR": [-1, 1, 1, 1], "XOR": [-1, 1, 1, -1]}
results = []
for name, sides in gates.items():
    sides = np.array(sides, float)[:, None]
    began = time.perf_counter()
    model, mistakes, right = perceptron(corners, sides, epochs=1000)
    seconds = time.perf_counter() - began
    first = " ".join(map(str, mistakes[:8]))
    print(f"{name:3}: {len(mistakes)} epochs, mistakes {first}, last {mistakes[-1]}; at best {max(right)} of 4 right")
    said = "never 4 of 4" if name == "XOR" else "4 of 4"
    results.append((f"Perceptron, {name}", said, f"{max(right)} of 4, {len(mistakes)} epochs", seconds, None))

# %%
# Two clouds that a line separates
# --------------------------------
# Novikoff's bound: where some line through the origin, of unit normal u, leaves every sample at least a margin g on its
# side, and no sample is longer than R, the rule makes at most (R / g) squared mistakes, however many samples there are.
# The bias is one more input that is always 1. We know a line, because we made the data.

rng = np.random.default_rng(0)
normal = np.array([0.6, 0.8])
X = rng.uniform(-1, 1, (3000, 2))
X = X[np.abs(X @ normal) > 0.05]
sides = np.sign(X @ normal)[:, None]
began = time.perf_counter()
line, mistakes, _ = perceptron(X, sides, epochs=1000)
seconds = time.perf_counter() - began
margin = np.abs(X @ normal).min()
bound = (1 + (X**2).sum(axis=1).max()) / margin**2
print(f"{len(X)} samples: {sum(mistakes)} mistakes in {len(mistakes)} epochs; the bound is {bound:.0f}")
assert mistakes[-1] == 0
assert sum(mistakes) <= bound

# %%
# The rule in plain NumPy. Here fastmlp is the slower one: with one sample at a time, and a loss in Python, kernels have
# nothing to gain, and what the loss returns is checked in every step.

began = time.perf_counter()
w, b, made, epochs = np.zeros(2), 0.0, 1, 0
while made > 0:
    made, epochs = 0, epochs + 1
    for i in rng.permutation(len(X)):
        if (X[i] @ w + b) * sides[i, 0] <= 0:
            w += sides[i, 0] * X[i]
            b += sides[i, 0]
            made += 1
numpy_seconds = time.perf_counter() - began
print(f"fastmlp {1000 * seconds:.0f} ms; plain NumPy {1000 * numpy_seconds:.0f} ms, {epochs} epochs")
results.append(("Perceptron, separable: mistakes", f"at most {bound:.0f}", sum(mistakes), seconds, numpy_seconds))

# %%
# Four clouds like XOR
# --------------------
# No line separates them. The weights of the perceptron turn round without end, and the accuracy with them: at best it
# has three clouds of the four.

signs = rng.choice([-1.0, 1.0], (1000, 2))
clouds = signs + 0.3 * rng.standard_normal((1000, 2))
xor = -signs.prod(axis=1, keepdims=True)
stuck, mistakes, right = perceptron(clouds, xor, epochs=30)
least, most = min(right) / len(clouds), max(right) / len(clouds)
print(f"a perceptron on XOR: accuracy between {least:.3f} and {most:.3f} over {len(right)} epochs")
results.append(("Perceptron, clouds like XOR: accuracy", "no line separates them", f"{most:.3f} at best", None, None))

# %%
# A hidden layer of 8 units bends the line. Its loss has a useful gradient everywhere, so batches and Adam serve.

began = time.perf_counter()
layers = [fm.Dense(8, "tanh"), fm.Dense(1)]
bent = fm.Model(layers, "hinge", fm.Adam(0.01), seed=0)
bent.fit(clouds, xor, epochs=20, verbose=0)
seconds = time.perf_counter() - began
found = bent.evaluate(clouds, xor)["accuracy"]
print(f"with a hidden layer: accuracy {found:.3f}, after {1000 * seconds:.0f} ms")
results.append(("8 hidden units, clouds like XOR: accuracy", "a hidden layer separates", f"{found:.3f}", seconds, None))

# %%
# See it
# ------
# The picture of a hinge shows the sign of the score, which is what a perceptron says: a model with that loss is given
# the perceptrons' weights.


def sign_of(trained):
    """The same weights in a model whose picture shows the sign."""
    shown = fm.Model([fm.Dense(1)], "hinge", dtype="float64", n_inputs=2)
    shown.weights = trained.weights
    return shown


figure, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
few = slice(0, 400)
for ax, shown, points, truth, title in (
    (axes[0], sign_of(line), X, sides, "Perceptron, separable"),
    (axes[1], sign_of(stuck), clouds, xor, "Perceptron, XOR"),
    (axes[2], bent, clouds, xor, "A hidden layer, XOR"),
):
    fm.plotting.decision_boundary(shown, points[few], truth[few], ax=ax)
    ax.set_title(title, pad=30)
plt.show()
