"""What the steps of a training gave: losses and right predictions, and their means over epochs."""

from typing import Any

import numpy as np

from fastmlp._callback import Logs
from fastmlp._quiet import quiet
from fastmlp._validation import Array
from fastmlp.core import Core


class Steps:
    """Losses and right predictions of the steps of one chunk of epochs."""

    steps: int | None  # of an epoch; None: not known before its end
    rows: Any  # of each step of an epoch
    many = True  # whether a chunk may hold several epochs
    waited = 0.0  # seconds of the last steps in which they waited for their data

    def __init__(self, n_samples: int, batch_size: int) -> None:
        self.steps = -(-n_samples // batch_size)
        self.rows = np.full(self.steps, float(batch_size))
        self.rows[-1] = n_samples - (self.steps - 1) * batch_size
        self.clear()

    def clear(self) -> None:
        """Begin the next chunk of epochs."""
        self.losses: list[Array] = []
        self.right: list[Array] = []
        self.n = 0
        self._summed, self._sums = 0, (0.0, 0, 0.0)  # chunks, and of these the losses times rows, right ones, rows

    def add(self, losses: Array, right: Array) -> None:
        """Keep what a chunk of steps gave."""
        self.losses.append(losses)
        self.right.append(right)
        self.n += len(losses)

    def units(self, last: int) -> float:
        """How many whole batches the last steps were worth."""
        if self.steps is None:
            return last
        ends = self.n // self.steps - (self.n - last) // self.steps
        return last - ends * (1 - float(self.rows[self.steps - 1] / self.rows[0]))

    @quiet
    def so_far(self, core: Core) -> Logs:
        """Means over the steps of this epoch, by name. Each chunk is summed once, whoever asks how often; the mean of a
        whole epoch is that of `logs`."""
        if self.n == self.steps:
            return {name: values[0] for name, values in self.logs(core, self.n).items()}
        loss, hits, n = self._sums
        first = self.n - sum(map(len, self.losses[self._summed :]))
        for losses, right in zip(self.losses[self._summed :], self.right[self._summed :], strict=True):
            rows = np.asarray(self.rows[first : first + len(losses)], float)
            loss += float((losses * rows).sum())  # not by BLAS, whose threads would wait for more
            hits, n = hits + int(right.sum()), n + float(rows.sum())
            first += len(losses)
        self._summed, self._sums = len(self.losses), (loss, hits, n)
        return {name: float(value) for name, value in core.logs(loss / n, hits, int(n)).items()}

    @quiet
    def logs(self, core: Core, steps: int) -> dict[str, list[float]]:
        """Means over every `steps` steps, by name: of each epoch."""
        losses = np.concatenate(self.losses).reshape(-1, steps)
        right = np.concatenate(self.right).reshape(-1, steps)
        rows = np.asarray(self.rows[:steps], float)
        n = int(rows.sum())
        logs = core.logs((losses * rows).sum(axis=1) / n, right.sum(axis=1), n)
        return {name: values.tolist() for name, values in logs.items()}
