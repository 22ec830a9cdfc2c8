"""The network that a user would write in plain NumPy: what the examples' times are compared with.

Rows are samples, as in fastmlp, and weights have its shapes: W is (n_in, n_out), b is (n_out,).
"""

import time

import numpy as np


def sigmoid(z):
    """1 / (1 + exp(-z)), and its derivative by z."""
    a = 1 / (1 + np.exp(-z))
    return a, a * (1 - a)


def tanh(z):
    """The hyperbolic tangent, and its derivative by z."""
    a = np.tanh(z)
    return a, 1 - a * a


def relu(z):
    """max(z, 0), and its derivative by z."""
    return np.maximum(z, 0), (z > 0).astype(z.dtype)


def identity(z):
    """The scores themselves, and their derivative."""
    return z, 1


def softmax_cross_entropy(scores, labels):
    """Mean loss of integer labels, and its derivative by the scores."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = -np.log(p[rows, labels]).mean()
    p[rows, labels] -= 1
    return loss, p / len(labels)


def binary_cross_entropy(scores, targets):
    """Sum over the outputs, mean over the rows, and its derivative by the scores."""
    e = np.exp(-np.abs(scores))  # of large scores neither exp(-scores) nor log(1 - p) is a number
    p = np.where(scores < 0, e, 1) / (1 + e)
    loss = (np.maximum(scores, 0) - targets * scores + np.log1p(e)).sum(axis=1).mean()
    return loss, (p - targets) / len(targets)


def half_squared_error(outputs, targets):
    """Half the sum over the outputs, mean over the rows, and its derivative by the outputs."""
    error = outputs - targets
    return 0.5 * (error**2).sum(axis=1).mean(), error / len(targets)


class MLP:
    """Dense layers, trained by gradient descent."""

    def __init__(self, weights, activations, loss):
        self.weights = [[W.copy(), b.copy()] for W, b in weights]
        self.activations, self.loss = activations, loss

    def forward(self, x):
        """Outputs of all layers, and the derivatives of their activations."""
        outputs, derivatives = [x], []
        for (W, b), activation in zip(self.weights, self.activations, strict=True):
            a, d = activation(outputs[-1] @ W + b)
            outputs.append(a)
            derivatives.append(d)
        return outputs, derivatives

    def gradients(self, x, t):
        """The loss, and for each layer its derivatives by W and b."""
        outputs, derivatives = self.forward(x)
        loss, dy = self.loss(outputs[-1], t)
        found = []
        for i in reversed(range(len(self.weights))):
            dz = dy * derivatives[i]
            if i > 0:
                dy = dz @ self.weights[i][0].T
            found.append((outputs[i].T @ dz, dz.sum(axis=0)))
        return loss, found[::-1]

    def step(self, x, t, rate, decay=0.0):
        """One step of gradient descent; the loss before it. Weights, not biases, also shrink by ``rate * decay``."""
        loss, gradients = self.gradients(x, t)
        for (W, b), (dW, db) in zip(self.weights, gradients, strict=True):
            if decay:
                W -= rate * decay * W
            W -= rate * dW
            b -= rate * db
        return loss

    def predict(self, x):
        """Outputs of the last layer."""
        return self.forward(x)[0][-1]


def seconds_for(step, n_steps, at_most=2.0):
    """How long so many steps take, reckoned from the median of those that fit into `at_most` seconds.

    The first one, which also loads libraries and starts threads, does not count.

    Parameters
    ----------
    step : callable
        Takes the number of the step, from 0.
    n_steps : int
    at_most : float, default 2.0

    Returns
    -------
    float
    """
    clock, until = [time.perf_counter()], time.perf_counter() + at_most
    while len(clock) <= n_steps and (len(clock) <= 2 or clock[-1] < until):
        step(len(clock) - 1)
        clock.append(time.perf_counter())
    return n_steps * float(np.median(np.diff(clock)[1 if n_steps > 1 else 0 :]))
