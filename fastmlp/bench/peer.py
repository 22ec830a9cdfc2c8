"""What every peer of fastmlp has, and fastmlp itself as one of them."""

import math
from typing import ClassVar

import numpy as np

from fastmlp._validation import Array
from fastmlp.bench.workloads import Workload
from fastmlp.history import finished

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class Peer:
    """What all peers have: `name`, the modules it `requires`, and `epoch`, `predict` or both."""

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.weights = [(W.copy(), b.copy()) for W, b in workload.model().weights]

    def train(self, epochs: int) -> None:
        """Some epochs, to be timed."""
        for _ in range(epochs):
            self.epoch()  # type: ignore[attr-defined]  # all but ONNX Runtime, which nobody trains, have one

    @classmethod
    def unavailable(cls) -> str | None:
        """What else than a package is missing here, or None."""
        return None

    @classmethod
    def expected_loss(cls, workload: Workload) -> float:
        """fastmlp's loss of the training that this peer does."""
        return FastMLP(workload).epoch()


class FastMLP(Peer):
    """fastmlp, as a user calls it."""

    name = "fastmlp"

    def __init__(self, workload: Workload, n_threads: int | None = None, dtype: str = "float32") -> None:
        self.workload, self.model = workload, workload.model(n_threads, dtype)
        self.X, self.y = workload.data()

    def epoch(self) -> float:
        return self._fit(1)

    def train(self, epochs: int) -> None:
        self._fit(epochs)

    def _fit(self, epochs: int) -> float:
        history = finished(self.model.fit(self.X, self.y, self.workload.batch, epochs, shuffle=False, verbose=0))
        return float(history["loss"][0])

    def predict(self, X: Array) -> Array:
        return self.model.predict(X)


def batches_of(workload: Workload) -> list[tuple[Array, Array]]:
    """The batches of an epoch: views."""
    X, y = workload.data()
    return list(zip(np.split(X, workload.batches), np.split(y, workload.batches), strict=True))


def adam_constants(workload: Workload, step: int) -> tuple[float, float]:
    """Of step 1, 2, ...: the rate over m's bias, 1 over the root of v's; just the rate and 1 with SGD."""
    if workload.optimizer == "sgd":
        return workload.learning_rate, 1.0
    return workload.learning_rate / (1 - BETA_1**step), 1 / math.sqrt(1 - BETA_2**step)
