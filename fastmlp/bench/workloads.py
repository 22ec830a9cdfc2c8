"""The networks that the benches and `fastmlp bench` train, with their data, first weights and operations."""

import dataclasses

import numpy as np

import fastmlp as fm
from fastmlp._validation import Array

# Small, so that the loss of an epoch hardly depends on the order of a sum: every peer must come to the same one.
RATE = {"sgd": 1e-3, "adam": 1e-4}


@dataclasses.dataclass(frozen=True)
class Workload:
    """A classifier of ReLU layers, trained with softmax cross-entropy on batches in order.

    Parameters
    ----------
    widths : tuple of int
        From the inputs to the classes.
    batch : int
        Rows of a step.
    batches : int
        Steps of an epoch.
    optimizer : {"sgd", "adam"}, default "sgd"
    """

    widths: tuple[int, ...]
    batch: int
    batches: int
    optimizer: str = "sgd"

    def __str__(self) -> str:
        optimizer = "" if self.optimizer == "sgd" else f" {self.optimizer}"
        return f"{self.network} b{self.batch}{optimizer}"

    @property
    def network(self) -> str:
        """Widths joined by hyphens."""
        return "-".join(map(str, self.widths))

    @property
    def operations(self) -> int:
        """Floating-point operations of the products of one training step: forward, weight and input gradients.

        A multiply-add counts as two. The first layer has no input gradient.
        """
        pairs = list(zip(self.widths[:-1], self.widths[1:], strict=True))
        return 2 * self.batch * (3 * sum(n * m for n, m in pairs) - pairs[0][0] * pairs[0][1])

    @property
    def weights(self) -> int:
        """Of all layers, without biases."""
        return sum(n * m for n, m in zip(self.widths[:-1], self.widths[1:], strict=True))

    @property
    def learning_rate(self) -> float:
        """Of every peer."""
        return RATE[self.optimizer]

    def data(self) -> tuple[Array, Array]:
        """X, float32, half of it zeros as in images of digits; and int64 labels."""
        rng = np.random.default_rng(0)
        X = np.maximum(rng.standard_normal((self.batch * self.batches, self.widths[0]), np.float32), 0)
        return X, rng.integers(0, self.widths[-1], len(X))

    def model(self, n_threads: int | None = None, dtype: str = "float32") -> fm.Model:
        """fastmlp's network, whose first weights are everyone's."""
        layers = [*(fm.Dense(width, "relu") for width in self.widths[1:-1]), fm.Dense(self.widths[-1])]
        optimizer = fm.SGD(self.learning_rate) if self.optimizer == "sgd" else fm.Adam(self.learning_rate)
        return fm.Model(
            layers, "softmax_cross_entropy", optimizer, n_inputs=self.widths[0], n_threads=n_threads, dtype=dtype
        )


WORKLOADS = [
    Workload((30, 16, 2), 32, 200),
    Workload((64, 64, 10), 32, 200),
    Workload((10, 46, 46, 10), 128, 100),
    Workload((784, 100, 10), 10, 100),
    Workload((784, 128, 10), 128, 50),
    Workload((784, 512, 512, 10), 32, 30),
    Workload((784, 512, 512, 10), 1024, 4),
    Workload((256, 1024, 1024, 1024, 10), 256, 4),
]

# Those of them whose predictions are timed.
PREDICTIONS = [WORKLOADS[i] for i in (0, 1, 5)]

# Networks that are timed at every batch size.
BY_BATCH = [(64, 64, 10), (784, 512, 512, 10)]
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
