"""The networks that the benches train, and the same training by fastmlp, by PyTorch and by plain NumPy.

A trainer is made from a shape; ``epoch()`` trains once over its data, in order, and returns the mean loss of its steps.
All begin with the same weights, so they must return the same losses: `agree` makes sure before anything is timed.
"""

import dataclasses
import importlib.util

import numpy as np

import fastmlp as fm
from fastmlp import _reference

RATE = 1e-3


@dataclasses.dataclass(frozen=True)
class Shape:
    """A classifier: widths from inputs to classes, rows of a batch, and how many batches an epoch has."""

    widths: tuple[int, ...]
    batch: int
    batches: int

    def __str__(self):
        return f"{'-'.join(map(str, self.widths))} b{self.batch}"

    def data(self):
        """X, float32, half of it zeros as in images of digits; and labels."""
        rng = np.random.default_rng(0)
        X = np.maximum(rng.standard_normal((self.batch * self.batches, self.widths[0]), np.float32), 0)
        return X, rng.integers(0, self.widths[-1], len(X))

    def model(self):
        """fastmlp's network."""
        layers = [*(fm.Dense(width, "relu") for width in self.widths[1:-1]), fm.Dense(self.widths[-1])]
        return fm.Model(layers, "softmax_cross_entropy", fm.SGD(RATE), n_inputs=self.widths[0])


SHAPES = [
    Shape((30, 16, 2), 32, 200),
    Shape((64, 64, 10), 32, 200),
    Shape((10, 46, 46, 10), 128, 100),
    Shape((784, 100, 10), 10, 100),
    Shape((784, 128, 10), 128, 50),
    Shape((784, 512, 512, 10), 32, 30),
    Shape((784, 512, 512, 10), 1024, 4),
]


class FastMLP:
    """fastmlp, as a user calls it."""

    def __init__(self, shape):
        self.shape, self.model, (self.X, self.y) = shape, shape.model(), shape.data()

    def epoch(self):
        history = self.model.fit(self.X, self.y, self.shape.batch, shuffle=False, verbose=0)
        return history["loss"][0]

    def predict(self, X):
        return self.model.predict(X)


class Torch:
    """PyTorch, eager, with the five lines of its tutorials."""

    def __init__(self, shape):
        import torch

        self.torch, self.shape = torch, shape
        modules = []
        for W, b in shape.model().weights:
            linear = torch.nn.Linear(*W.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(W.T.copy()))
                linear.bias.copy_(torch.tensor(b.copy()))
            modules += [linear, torch.nn.ReLU()]
        self.net = torch.nn.Sequential(*modules[:-1])
        self.optimizer = torch.optim.SGD(self.net.parameters(), RATE)
        self.loss = torch.nn.CrossEntropyLoss()
        X, y = shape.data()
        self.batches = list(zip(torch.tensor(X).split(shape.batch), torch.tensor(y).split(shape.batch), strict=True))

    def epoch(self):
        losses = []
        for x, t in self.batches:
            self.optimizer.zero_grad()
            loss = self.loss(self.net(x), t)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return float(self.torch.stack(losses).mean())

    def predict(self, X):
        with self.torch.no_grad():
            return self.torch.softmax(self.net(self.torch.from_numpy(X)), 1).numpy()


class NumPy:
    """The plain NumPy twin, fastmlp/_reference.py."""

    def __init__(self, shape):
        *hidden, last = shape.model().weights
        layers = [*((W, b, "relu") for W, b in hidden), last]
        self.net = _reference.Network(layers, "softmax_cross_entropy_labels")
        X, y = shape.data()
        self.batches = [
            (X[i : i + shape.batch], y[i : i + shape.batch]) for i in range(0, len(X), shape.batch)
        ]  # fmt: skip

    def epoch(self):
        return float(np.mean([self.net.train_step(x, t, {}, RATE)[0] for x, t in self.batches]))

    def predict(self, X):
        return self.net.predict(X, "softmax")


PEERS = {"fastmlp": FastMLP, "torch": Torch, "numpy": NumPy}


def missing(peer):
    """Why a peer cannot run here, or None."""
    if peer == "torch" and importlib.util.find_spec("torch") is None:
        return "torch is not installed: pip install '.[test-peers]'"
    return None


def agree(peer, shape):
    """Raise unless a peer's first epoch has fastmlp's loss."""
    found, expected = PEERS[peer](shape).epoch(), FastMLP(shape).epoch()
    if not abs(found - expected) <= 1e-4 * abs(expected):
        raise AssertionError(f"{shape}: {peer} has the loss {found}, fastmlp {expected}")
