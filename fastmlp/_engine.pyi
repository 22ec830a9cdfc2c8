from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Pairs: TypeAlias = list[tuple[Array, ...]]

isa: str
has_openmp: bool
activations: list[str]
losses: list[str]
optimizers: list[str]
gathers: list[str]
GATHER_OF_DTYPE: dict[str, str]
LARGEST: dict[str, float]

def isas() -> dict[str, str | None]: ...
def shuffle(n: int, seed: int, stream: int) -> NDArray[np.int64]: ...
def is_plain_matrix(value: Any, n_columns: int | None, low: float, high: float) -> bool: ...
def plain_labels(value: Any, n_samples: int, n_classes: int) -> NDArray[np.int32] | None: ...

class LayerPlan(NamedTuple):
    units: int
    activation: str | None = "identity"
    alpha: float = 0.0
    use_bias: bool = True
    kind: str = "dense"
    dropout: float = 0.0
    epsilon: float = 0.0
    momentum: float = 0.0
    source: int = -1

class Memory:
    def __init__(self, n_bytes: int) -> None: ...

class LossOptions:
    def __init__(self, dtype: str, options: dict[str, Any]) -> None: ...

class Network:
    dtype: str
    isa: str
    n_inputs: int
    n_outputs: int
    n_bytes: int
    layers: list[LayerPlan]
    optimizer: str
    def __init__(
        self, n_inputs: int, layers: Sequence[tuple[Any, ...]], dtype: str, isa: str | None = None, seed: int = 0
    ) -> None: ...
    @property
    def step(self) -> int: ...
    def set_optimizer(self, name: str, n_states: int) -> None: ...
    def shapes(self, running: bool = True) -> list[tuple[tuple[int, ...], ...]]: ...
    def snapshot(self, states: bool) -> tuple[Any, bool]: ...
    def restore(self, snapshot: tuple[Any, bool]) -> None: ...
    def is_finite(self) -> bool: ...
    def get_weights(self) -> Pairs: ...
    def set_weights(self, pairs: Pairs) -> None: ...
    def work(self, rows: int, training: bool) -> float: ...
    def get_state(self) -> dict[str, Any]: ...
    def set_state(self, state: dict[str, Any]) -> None: ...
    def apply_gradients(self, gradients: Pairs, hyper: dict[str, Any], rate: float) -> None: ...

class Run:
    network: Network
    batch_rows: int
    n_threads: int
    training: bool
    exact_threads: bool
    def __init__(
        self,
        network: Network,
        batch_rows: int,
        n_threads: int,
        exact_threads: bool = False,
        training: bool = False,
        loss: str | None = None,
        row_scale: float = 1,
        inference: bool = False,
        input_gradients: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None: ...
    def bind(self, x: Array, targets: Array | None = None) -> None: ...
    def release(self) -> None: ...
    def start_epoch(self) -> None: ...
    def train(
        self,
        rates: NDArray[np.float64],
        hyper: dict[str, Any] | None,
        shuffle: bool = False,
        seed: int = 0,
        most_threads: int = ...,
        seconds: float = ...,
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]: ...
    def step(self, rate: float, hyper: dict[str, Any]) -> float: ...
    def gradients(self) -> tuple[float, int, Pairs]: ...
    def predict(self, out: Array, link: str) -> None: ...
    def evaluate(self) -> tuple[float, int]: ...
