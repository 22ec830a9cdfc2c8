"""L-BFGS, on all samples at once."""

import dataclasses
from typing import Any, ClassVar

from fastmlp._validation import (
    bounded_integer,
    finite_number,
    keep,
)
from fastmlp.optimizers.base import Optimizer
from fastmlp.schedules import Schedule


@dataclasses.dataclass(frozen=True, repr=False)
class LBFGS(Optimizer):
    """Full-batch L-BFGS [1]_, scipy's (extra "lbfgs"), which chooses its own steps: for small data and small networks.

    `Model.fit` on arrays, without ``epochs``, makes one minimisation of the mean loss over all samples. Each iteration
    is an epoch to callbacks and history; ``history.stopped`` is "converged" where the tolerance is reached or no step
    is found that makes the loss smaller, which rounding in float32 soon does, and "epochs done" after max_iterations. A
    second `fit` goes on from the weights, but the curvature is forgotten: the bits are not those of one long fit. There
    are no steps on batches, and none of the options of other optimizers; penalties are arguments of `Dense`. A dropout
    keeps the same mask.

    Parameters
    ----------
    max_iterations : int, default 100
        At least 1.
    tolerance : float, default 1e-5
        Largest element of the gradient at which the minimisation is done, at least 0.
    memory : int, default 10
        Pairs of steps and changes of the gradient that are kept.

    Raises
    ------
    ValueError, TypeError
        Where a constant is out of its range or no number.

    References
    ----------
    .. [1] Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming 45
       (1989), algorithm 2.1.

    Examples
    --------
    >>> import fastmlp as fm
    >>> fm.LBFGS(max_iterations=50)
    LBFGS(max_iterations=50)
    """

    _other_names: ClassVar[dict[str, str]] = {
        "max_iter": "max_iterations", "maxiter": "max_iterations", "tol": "tolerance", "tolerance_grad": "tolerance",
        "gtol": "tolerance", "history_size": "memory", "maxcor": "memory",
        **dict.fromkeys(("learning_rate", "lr"), "the minimisation chooses its own steps"),
    }  # fmt: skip

    max_iterations: int = 100
    tolerance: float = 1e-5
    memory: int = 10
    learning_rate: float | Schedule = dataclasses.field(default=1.0, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        keep(self, max_iterations=bounded_integer("max_iterations", self.max_iterations))
        keep(self, tolerance=finite_number("tolerance", self.tolerance, at_least=0))
        keep(self, memory=bounded_integer("memory", self.memory))
        unused = (self.decay_biases, self.ema_momentum) != (Optimizer.decay_biases, Optimizer.ema_momentum)
        if unused or self._chosen_options() is not None:
            raise ValueError(
                "LBFGS has none of the options of other optimizers; leave them out: penalties are arguments of Dense"
            )

    @property
    def kernel(self) -> str:
        """That of SGD, which is never called."""
        return "sgd"

    def hyper(self) -> dict[str, Any]:
        """Refused: there are no steps."""
        raise ValueError("LBFGS has no steps on batches; call fit with arrays, or choose another optimizer")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal optimizer."""
        return {"max_iterations": self.max_iterations, "tolerance": self.tolerance, "memory": self.memory}
