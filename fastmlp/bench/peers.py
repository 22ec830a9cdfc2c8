"""The same training by every library that a user could pick instead of fastmlp.

Each peer is written the way its own documentation recommends for speed; its docstring names the advice followed. All
use every core by default, compute in float32 and start from the weights of `Workload.model`. `epoch()` trains once over
the workload's data, in order, and returns the mean loss of its steps, so that all must return the same losses: `agree`
makes sure before anything is timed. `predict(X)` returns probabilities, NumPy in and NumPy out.

Two conventions of Adam are in use: Keras and scikit-learn add epsilon before the second moment's bias is corrected, the
others after it. The losses of the workloads differ by up to 4e-5 of their value for it, and else by 1e-6 at most.

Nothing but NumPy is imported before a peer is made.
"""

import contextlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fastmlp as fm
from fastmlp import reference
from fastmlp._validation import Array
from fastmlp.bench.frameworks import JaxScan, JaxStep, Keras, OnnxRuntime, Torch, TorchCompile
from fastmlp.bench.peer import BETA_1, BETA_2, EPSILON, FastMLP, Peer, adam_constants, batches_of
from fastmlp.bench.workloads import Workload
from fastmlp.history import finished


class Twin(Peer):
    """fastmlp/reference/: written to be read, in float64 where that is simpler."""

    name, requires = "twin", ("numpy",)

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        *hidden, last = self.weights
        layers = [*((W, b, "relu") for W, b in hidden), last]
        self.net = reference.Network(layers, "softmax_cross_entropy_labels")
        self.net.set_optimizer(workload.optimizer)
        self.hyper = workload.model().optimizer.hyper()
        self.batches = batches_of(workload)

    def epoch(self) -> float:
        rate = self.workload.learning_rate
        return float(np.mean([self.net.train_step(x, t, self.hyper, rate)[0] for x, t in self.batches]))

    def predict(self, X: Array) -> Array:
        return self.net.predict(X, "softmax")


class NumPy(Peer):
    """Plain NumPy by someone who knows it: float32 products into arrays that exist, updates in place, batches as views.

    The advice is of "NumPy: the absolute basics" and of the ufuncs' documentation: no loops, and `out=`.
    """

    name, requires = "numpy", ("numpy",)

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.batches, self.rows, self.step = batches_of(workload), np.arange(workload.batch), 0
        self.outputs = [np.empty((workload.batch, width), np.float32) for width in workload.widths[1:]]
        self.deltas = [np.empty_like(y) for y in self.outputs[:-1]]
        self.gradients = [(np.empty_like(W), np.empty_like(b)) for W, b in self.weights]
        arrays = [a for pair in self.weights for a in pair]
        self.states = [(np.zeros_like(a), np.zeros_like(a), np.empty_like(a)) for a in arrays]

    def epoch(self) -> float:
        return float(np.mean([self._train(x, t) for x, t in self.batches]))

    def predict(self, X: Array) -> Array:
        for W, b in self.weights[:-1]:
            X = X @ W
            X += b
            np.maximum(X, 0, out=X)
        W, b = self.weights[-1]
        p: Array = X @ W
        p += b
        p -= p.max(axis=1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        return p

    def _train(self, x: Array, t: Array) -> float:
        y, inputs = x, []
        for (W, b), z in zip(self.weights, self.outputs, strict=True):
            inputs.append(y)
            np.matmul(y, W, out=z)
            z += b
            y = z if z is self.outputs[-1] else np.maximum(z, 0, out=z)
        p = self.outputs[-1]  # scores, then probabilities, then the gradient of the mean loss
        p -= p.max(axis=1, keepdims=True)
        right = p[self.rows, t]
        np.exp(p, out=p)
        sums = p.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(sums[:, 0]) - right))
        p /= sums
        p[self.rows, t] -= 1
        p /= len(x)
        dz = p
        for i in range(len(self.weights) - 1, -1, -1):
            dW, db = self.gradients[i]
            np.matmul(inputs[i].T, dz, out=dW)
            np.sum(dz, axis=0, out=db)
            if i > 0:
                dx = np.matmul(dz, self.weights[i][0].T, out=self.deltas[i - 1])
                dx *= inputs[i] > 0
                dz = dx
        self._update()
        return loss

    def _update(self) -> None:
        self.step += 1
        rate, correction = adam_constants(self.workload, self.step)
        arrays = [a for pair in self.weights for a in pair]
        gradients = [g for pair in self.gradients for g in pair]
        for w, g, (m, v, scratch) in zip(arrays, gradients, self.states, strict=True):
            if self.workload.optimizer == "sgd":
                g *= rate
                w -= g
                continue
            m *= BETA_1
            m += np.multiply(g, 1 - BETA_1, out=scratch)
            v *= BETA_2
            np.multiply(g, g, out=scratch)
            scratch *= 1 - BETA_2
            v += scratch
            np.sqrt(v, out=scratch)
            scratch *= correction
            scratch += EPSILON
            np.divide(m, scratch, out=scratch)
            scratch *= rate
            w -= scratch


class ScikitLearn(Peer):
    """scikit-learn's MLPClassifier: `partial_fit` is one pass over the data.

    The advice is of its page "Computational performance": float32 data, and `assume_finite` to skip a check.

    Two classes make scikit-learn train one logistic output, w = w1 - w0, by the gradient of w alone. The loss of the
    first step is that of the softmax, and so is every gradient of a hidden layer; but w follows half the gradient that
    w1 - w0 has in a softmax, and no rate of all layers makes up for it. There `expected_loss` trains fastmlp's network
    of that one output, which scikit-learn must equal instead. It has a product less to do than its peers.
    """

    name, requires = "scikit-learn", ("sklearn",)

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        import sklearn
        from sklearn.neural_network import MLPClassifier

        self.fast: Callable[[], Any] = lambda: sklearn.config_context(assume_finite=True)
        self.X, self.y = workload.data()
        self.net = MLPClassifier(
            workload.widths[1:-1], solver=workload.optimizer, alpha=0, batch_size=workload.batch,
            learning_rate_init=workload.learning_rate, momentum=0, nesterovs_momentum=False, shuffle=False,
            beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON,
        )  # fmt: skip
        # First weights can only replace those of a first step, and the optimizer must forget that step too.
        rows = slice(workload.batch)
        self.net.partial_fit(self.X[rows], self.y[rows], classes=np.arange(workload.widths[-1]))
        del self.net._optimizer
        weights = self._one_output(self.weights) if workload.widths[-1] == 2 else self.weights
        self.net.coefs_, self.net.intercepts_ = [W for W, _ in weights], [b for _, b in weights]

    def epoch(self) -> float:
        with self.fast():
            return float(self.net.partial_fit(self.X, self.y).loss_)

    def predict(self, X: Array) -> Array:
        with self.fast():
            found: Array = self.net.predict_proba(X)
            return found

    @classmethod
    def expected_loss(cls, workload: Workload) -> float:
        if workload.widths[-1] != 2:
            return super().expected_loss(workload)
        softmax, (X, y) = workload.model(), workload.data()
        layers = [*softmax.layers[:-1], fm.Dense(1)]
        model = fm.Model(layers, "binary_cross_entropy", softmax.optimizer, n_inputs=workload.widths[0])
        model.weights = cls._one_output(softmax.weights)
        return float(finished(model.fit(X, y, workload.batch, shuffle=False, verbose=0))["loss"][0])

    @staticmethod
    def _one_output(weights: Sequence[tuple[Array, ...]]) -> list[tuple[Array, ...]]:
        """The weights whose logistic output is the second of two softmax outputs."""
        *hidden, (W, b) = weights
        return [*hidden, (W[:, 1:] - W[:, :1], b[1:] - b[:1])]


_CLASSES = (FastMLP, Twin, NumPy, ScikitLearn, Torch, TorchCompile, JaxScan, JaxStep, Keras, OnnxRuntime)
PEERS: dict[str, type[Any]] = {peer.name: peer for peer in _CLASSES}
TRAINERS = {name: peer for name, peer in PEERS.items() if hasattr(peer, "epoch")}
PREDICTORS = {name: peer for name, peer in PEERS.items() if hasattr(peer, "predict")}


def _distribution(module: str) -> str:
    """Name under which pip knows a module."""
    return {"sklearn": "scikit-learn"}.get(module, module)


def missing(name: str) -> str | None:
    """Why a peer cannot run here, or None. Imports nothing."""
    for module in PEERS[name].requires:
        if importlib.util.find_spec(module) is None:
            return f"{_distribution(module)} is not installed: pip install 'fastmlp[bench-peers]'"
    reason: str | None = PEERS[name].unavailable()
    return reason


def versions() -> dict[str, str]:
    """Versions of the installed packages of all peers."""
    found = {}
    for module in dict.fromkeys(module for peer in PEERS.values() for module in peer.requires):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[_distribution(module)] = importlib.metadata.version(_distribution(module))
    return found


def agree(name: str, workload: Workload) -> Any:
    """The peer after its first epoch; AssertionError unless that had fastmlp's loss, within 1e-4 of it."""
    peer = PEERS[name](workload)
    found, expected = peer.epoch(), peer.expected_loss(workload)
    if not abs(found - expected) <= 1e-4 * abs(expected):
        raise AssertionError(f"{workload}: {name} has the loss {found}, fastmlp {expected}")
    return peer


def agree_on_prediction(name: str, workload: Workload) -> Any:
    """The peer; AssertionError unless its probabilities are fastmlp's, within 1e-5, for a batch of the workload."""
    peer, X = PEERS[name](workload), workload.data()[0][: workload.batch]
    found, expected = peer.predict(X), FastMLP(workload).predict(X)
    if found.shape != expected.shape:
        raise AssertionError(f"{workload}: {name} predicts an array of {found.shape}, fastmlp of {expected.shape}")
    worst = np.unravel_index(np.argmax(np.abs(found - expected)), found.shape)
    if not abs(found[worst] - expected[worst]) <= 1e-5:
        raise AssertionError(f"{workload}: {name} has the probability {found[worst]}, fastmlp {expected[worst]}")
    return peer
