r"""
Automatic differentiation
=========================

Lecture notes explain automatic differentiation with three functions: forward mode with
:math:`f(x) = (x^4, x^2 + \sin x, -\sin x)`, reverse mode with :math:`z = \sin(x_1 + x_2) + x_2^2 x_3`, and, as what a
library does by itself, the gradient of :math:`y(x) = \|(A A^T + x I)^{-1} b - c\|^2` with a matrix A of 10 x 10. Of
plain functions the library autograd differentiates NumPy (``pip install 'fastmlp[autograd]'``); of networks fastmlp has
both modes itself, and makes a network a function that autograd can differentiate through. All derivatives below are
compared with finite differences.
"""

# %%
# Forward mode: one input, many outputs
# -------------------------------------
# Forward mode carries a derivative along with each value. One pass gives the derivatives of all outputs by one input.

import time

import autograd
import autograd.numpy as anp
import matplotlib.pyplot as plt
import numpy as np

import fastmlp as fm


def difference(function, x, direction, step=1e-5):
    """Central difference of a function at x along a direction."""
    return (function(x + step * direction) - function(x - step * direction)) / (2 * step)


def f(x):
    """Three outputs of one input."""
    return anp.array([x**4, x**2 + anp.sin(x), -anp.sin(x)])


x = 1.5
value, slope = autograd.make_jvp(f)(x)(1.0)
by_hand = np.array([4 * x**3, 2 * x + np.cos(x), -np.cos(x)])
print("f                ", value)
print("f', forward mode ", slope)
print("f', by hand      ", by_hand)
print("f', differences  ", difference(f, x, 1.0))
errors = {"f, forward mode": np.abs(slope - by_hand).max()}

# %%
# Reverse mode: many inputs, one output
# -------------------------------------
# Reverse mode first computes the values, and notes for each where it came from and its derivatives by those. Then it
# goes back from the output. This is all it takes: nodes with a value, a gradient and their parents.


class Node:
    """A value in a computation."""

    def __init__(self, value, name, *parents):
        self.value, self.name, self.parents, self.gradient = value, name, parents, 0.0

    def __add__(self, other):
        return Node(self.value + other.value, f"{self.name} + {other.name}", (self, 1.0), (other, 1.0))

    def __mul__(self, other):
        return Node(self.value * other.value, rf"{self.name}\,{other.name}", (self, other.value), (other, self.value))


def sin(a):
    """Sine of a node."""
    return Node(np.sin(a.value), rf"\sin({a.name})", (a, np.cos(a.value)))


def square(a):
    """Square of a node."""
    return Node(a.value**2, f"{a.name}^2", (a, 2 * a.value))


def ancestors(node, found=()):
    """A node and all that it was computed from, each after its parents."""
    for parent, _ in node.parents:
        found = ancestors(parent, found)
    return found if node in found else (*found, node)


def backward(output):
    """Gradients of an output by all nodes."""
    output.gradient = 1.0
    for node in reversed(ancestors(output)):
        for parent, derivative in node.parents:
            parent.gradient += derivative * node.gradient


inputs = [Node(v, name) for v, name in ((1.0, "x_1"), (2.0, "x_2"), (0.5, "x_3"))]
x1, x2, x3 = inputs
z = sin(x1 + x2) + square(x2) * x3
backward(z)


def z_of(x):
    """The same function of an array."""
    return anp.sin(x[0] + x[1]) + x[1] ** 2 * x[2]


at = np.array([node.value for node in inputs])
own, library = np.array([node.gradient for node in inputs]), autograd.grad(z_of)(at)
print("gradient of z, nodes      ", own)
print("gradient of z, autograd   ", library)
print("gradient of z, differences", np.array([difference(z_of, at, e) for e in np.eye(3)]))
errors["z, reverse mode"] = np.abs(own - library).max()

# %%
# The graph of z, with the value and the gradient of each node:

depth, height = {}, {node: 2.0 - i for i, node in enumerate(inputs)}
figure, axes = plt.subplots(figsize=(10, 4.8), layout="constrained")
for node in ancestors(z):
    parents = [parent for parent, _ in node.parents]
    depth[node] = 1 + max((depth[p] for p in parents), default=-1)
    height.setdefault(node, sum(height[p] for p in parents) / max(1, len(parents)))
    box = {"boxstyle": "round", "facecolor": "C0" if parents else "C1", "alpha": 0.3}
    text = f"${node.name}$\nvalue {node.value:.3f}\ngradient {node.gradient:.3f}"
    axes.text(depth[node], height[node], text, ha="center", va="center", bbox=box)
    for parent in parents:
        ends = (depth[parent] + 0.24, height[parent]), (depth[node] - (0.24 if depth[node] < 3 else 0.34), height[node])
        axes.annotate("", ends[1], ends[0], arrowprops={"arrowstyle": "->", "color": "0.4"})
axes.set(xlim=(-0.4, 3.5), ylim=(-0.4, 2.4), title="Values go to the right, gradients to the left")
axes.axis("off")

# %%
# Through a linear system
# -----------------------
# The derivative of the inverse M by x is - M M, so y' can be written down. autograd finds it from the program.

rng = np.random.default_rng(0)
A, b, c = rng.normal(size=(10, 10)), rng.normal(size=10), rng.normal(size=10)


def y_of(x):
    """Squared distance of the solution of a regularised system from c."""
    return anp.sum((anp.linalg.solve(A @ A.T + x * anp.eye(10), b) - c) ** 2)


slope, quotient = autograd.grad(y_of)(2.0), difference(y_of, 2.0, 1.0)
inverse = np.linalg.inv(A @ A.T + 2.0 * np.eye(10))
formula = -2 * (inverse @ b - c) @ inverse @ inverse @ b
print(f"y' at 2: autograd {slope:.10f}, formula {formula:.10f}, difference {quotient:.10f}")
errors["y, reverse mode"] = abs(slope - formula)

# %%
# Networks, many-to-few: reverse mode
# -----------------------------------
# A classifier has many inputs and one loss, and training is reverse mode. The same pass gives the gradient by the
# inputs: for each pixel of a digit, which way it would make the network less sure.

X, digits = fm.datasets.load_digits()
layers = [fm.Dense(32, "tanh"), fm.Dense(10)]
classifier = fm.Model(layers, "softmax_cross_entropy", fm.Adam(0.003), seed=0, dtype="float64")
classifier.fit(X / 16, digits, epochs=20, verbose=0)
image, digit = X[:1] / 16, digits[:1]
pixels = classifier.input_gradients(image, digit)[0]
_, pullback = classifier.vjp(image)
prediction_minus_truth = classifier.predict(image) - np.eye(10)[digit]
assert np.allclose(pullback(prediction_minus_truth, weights=False)[0][0], pixels, rtol=1e-9, atol=1e-12)
direction = rng.normal(size=64)
quotient = difference(lambda x: classifier.evaluate(x, digit)["loss"], image, direction, 1e-4)
errors["loss by 64 pixels, input_gradients"] = abs(pixels @ direction - quotient)

# %%
# Networks, few-to-many: forward mode
# -----------------------------------
# A network that draws curves has two inputs, amplitude and frequency, and 100 outputs. Its Jacobian of 100 x 2 is two
# passes of forward mode, ``jvp``, or a hundred of reverse mode, ``vjp``. ``jacobian`` is reverse mode too, its hundred
# passes in one call, and the right one where a network has few outputs.

t = np.linspace(0, 1, 100)
knobs = np.stack([rng.uniform(0.5, 1.5, 2000), rng.uniform(4, 8, 2000)], axis=1)
curves = knobs[:, :1] * np.cos(knobs[:, 1:] * t)
layers = [fm.Dense(64, "tanh"), fm.Dense(100)]
drawer = fm.Model(
    layers, "mean_squared_error", fm.Adam(0.01), dtype="float64", n_threads=1, preprocessing=fm.Standardize()
)
drawer.fit(knobs, curves, batch_size=50, epochs=60, verbose=0)

rows = knobs[:1000]
(W1, b1), (W2, b2) = drawer.weights
mean, scale = drawer.statistics["mean"], drawer.statistics["scale"]


def forward_mode():
    """All Jacobians, a column from each pass."""
    return np.stack([drawer.jvp(rows, np.tile(e, (1000, 1)))[1] for e in np.eye(2)], axis=2)


def reverse_mode():
    """All Jacobians, a row from each pass."""
    _, pullback = drawer.vjp(rows)
    return np.stack([pullback(np.tile(e, (1000, 1)), weights=False)[0] for e in np.eye(100)], axis=1)


def plain_numpy():
    """All Jacobians by the chain rule."""
    h = np.tanh((rows - mean) / scale @ W1 + b1)
    return ((1 - h**2)[:, None, :] * (W1 / scale[:, None]) @ W2).transpose(0, 2, 1)


found, seconds = {}, {}
for name, call in (
    ("forward mode", forward_mode),
    ("reverse mode", reverse_mode),
    ("jacobian", lambda: drawer.jacobian(rows)),
    ("plain NumPy", plain_numpy),
):
    seconds[name] = np.inf
    for _ in range(3):
        began = time.perf_counter()
        found[name] = call()
        seconds[name] = min(seconds[name], time.perf_counter() - began)
    print(f"1000 Jacobians of 100 x 2, {name}: {1000 * seconds[name]:.1f} ms")
    assert np.allclose(found[name], found["forward mode"], rtol=1e-9, atol=1e-11)
quotient = np.stack([difference(drawer.predict, rows, e) for e in np.eye(2)], axis=2)
errors["100 outputs by 2 inputs, jvp"] = np.abs(found["forward mode"] - quotient).max()

# %%
# Uncertain inputs make an uncertain curve. To first order its covariance is :math:`J \Sigma J^T`; ten thousand draws of
# the inputs say how good that is.

point, spread = np.array([[1.0, 6.0]]), np.array([0.05, 0.1])
by_jacobian = np.sqrt((drawer.jacobian(point)[0] ** 2 * spread**2).sum(axis=1))
drawn = drawer.predict(point + spread * rng.normal(size=(10_000, 2))).std(axis=0)
print(f"spread of the curve, largest: {by_jacobian.max():.4f} by the Jacobian, {drawn.max():.4f} by draws")

# %%
# A network within a program
# --------------------------
# ``fm.autograd.primitive`` makes of the network a function that autograd differentiates. Here it looks for amplitude
# and frequency of a curve that was observed with noise: gradient descent on a NumPy program that has a network inside.

draw = fm.autograd.primitive(drawer)
truth = np.array([[1.2, 5.0]])
observed = truth[0, 0] * np.cos(truth[0, 1] * t) + 0.1 * rng.normal(size=100)


def misfit(logs):
    """Mean squared distance of the curve that is drawn for exp(logs) from the one observed."""
    return anp.mean((draw(anp.exp(logs)) - observed) ** 2)


slope = autograd.grad(misfit)
logs = np.log(point)
quotient = [difference(misfit, logs, e[None]) for e in np.eye(2)]
errors["a program with a network, primitive"] = np.abs(slope(logs)[0] - quotient).max()
for _ in range(200):
    logs = logs - 0.02 * slope(logs)
print(f"true {truth[0]}, found {np.exp(logs[0]).round(3)}")

# %%
# Summary
# -------

for name, error in errors.items():
    print(f"{name:38} {error:.0e}")
    assert error < 1e-7

functions, networks = list(errors.values())[:3], list(errors.values())[3:]
results = [
    ("Differentiation of f, z and y: error", "exact", f"{max(functions):.0e}", None, None),
    ("Derivatives of networks, from finite differences", "exact", f"{max(networks):.0e}", None, None),
    (
        "1000 Jacobians of 100 x 2: forward mode",
        "for few-to-many maps",
        f"{seconds['reverse mode'] / seconds['forward mode']:.0f} times as fast as reverse mode",
        seconds["forward mode"],
        seconds["plain NumPy"],
    ),
]

# %%
# See it
# ------

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
limit = np.abs(pixels).max()
picture = left.imshow(pixels.reshape(8, 8), cmap="RdBu_r", vmin=-limit, vmax=limit)
left.contour(image.reshape(8, 8), levels=[0.5], colors="black")
left.set(title=f"Loss by the pixels of a {digit[0]} (outline)", xticks=[], yticks=[])
figure.colorbar(picture, ax=left, shrink=0.8)
mean_curve = drawer.predict(point)[0]
middle.plot(t, mean_curve, label="curve")
middle.fill_between(t, mean_curve - 2 * by_jacobian, mean_curve + 2 * by_jacobian, alpha=0.3, label="two spreads")
middle.plot(t, mean_curve + 2 * drawn, "C1:", label="by draws")
middle.plot(t, mean_curve - 2 * drawn, "C1:")
middle.set(xlabel="t", title="Uncertain amplitude and frequency")
middle.legend(fontsize="small")
right.plot(t, observed, ".", color="0.6", label="observed")
right.plot(t, mean_curve, "C0--", label="at the start")
right.plot(t, drawer.predict(np.exp(logs))[0], "C2", label="found")
right.set(xlabel="t", title="A network within a program")
right.legend(fontsize="small")
plt.show()
