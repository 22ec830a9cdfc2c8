"""The model: the door to training, prediction, derivatives, files and pictures. What it is made of is in its core."""

from __future__ import annotations  # help() then shows npt.ArrayLike by name

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from fastmlp import losses as losses_module
from fastmlp import metrics as metrics_module
from fastmlp import optimizers as optimizers_module
from fastmlp._validation import Array, LayerArrays, OtherNames, bounded_integer, counted
from fastmlp.core import Core
from fastmlp.history import History
from fastmlp.layers import Layer
from fastmlp.model import elsewhere
from fastmlp.model.differentiates import Differentiates
from fastmlp.model.predicts import Predicts
from fastmlp.model.trains import Trains
from fastmlp.preprocessing import Preprocessing
from fastmlp.training import single

# What may be assigned.
_ASSIGNED = ("history", "metrics", "n_threads", "optimizer", "stop_reason", "stop_training", "weights")

# What a pickled model held when it had no core, and how a core calls it.
_OF_OLD = {
    "n_inputs": "n_inputs", "weights": "weights", "training": "training", "history": "history",
    "stop_training": "stop_training", "stop_reason": "stop_reason", "_kept": "callback_states",
    **{f"_{name}": name for name in (
        "dtype", "layers", "loss", "metrics", "n_outputs", "n_threads", "notes", "optimizer", "preprocessing", "seed",
        "statistics", "target_statistics", "targets", "weighted")},
}  # fmt: skip


class Model(Trains, Predicts, Differentiates, OtherNames):
    """A multilayer perceptron.

    Parameters
    ----------
    layers : sequence of Layer
        From the first hidden layer to the output layer. A layer object holds no weights: one that stands twice in the
        list, or ``3 * [Dense(64, "relu")]``, makes layers with weights of their own.
    loss : str or Loss, default "mean_squared_error"
        {"softmax_cross_entropy", "binary_cross_entropy", "focal", "binary_focal", "hinge", "mean_squared_error",
        "half_squared_error", "mean_absolute_error", "huber", "log_cosh", "quantile", "poisson", "gaussian_nll"} or an
        object from `fastmlp.losses`, which has their options. All take raw scores. A function of one's own too: see
        `fastmlp.losses.Custom`. Of all names those of Keras, PyTorch and scikit-learn that mean the same do as well, in
        any capitals: "mse", "Adam".
    optimizer : str or Optimizer, default "sgd"
        {"sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam", "lion", "lbfgs"} or an object such as
        ``fastmlp.Adam(1e-3)``.
    seed : int or None, default 0
        In [0, 2**64). Same seed and same data give the same bits for any number of threads and on every instruction
        set with fused multiply-add; but for what scipy computes for `LBFGS`, and for a loss of one's own. None draws
        one; it is then in ``model.seed``.
    n_inputs : int or None, default None
        Columns of X. None: `build` or the first `fit` tells.
    dtype : {"float32", "float64"}, default "float32"
        Of weights, activations and predictions (but for targets far from 0, see `targets`).
    n_threads : int or None, default None
        None: what the work deserves, up to the cores that this process may use; in a child process, forked or started
        by multiprocessing, one, unless OMP_NUM_THREADS is set. A number: exactly so many. It is a property of the
        machine: copies and pickles keep it, a file does not.
    preprocessing : str, Preprocessing or None, default None
        {"standardize", "whiten"} or an object such as ``fastmlp.Standardize()``: how inputs are read, see
        `fastmlp.preprocessing`. Fitted to the training samples by the first `fit`, or by `adapt`.
    metrics : sequence of str, callable or Metric, or None, default ()
        What `evaluate` reports besides the loss (and the accuracy of a classification), and `fit` of its validation
        data: names or objects from `fastmlp.metrics`, or functions ``f(y_true, y_pred)`` that return a number. They
        cost a prediction of the data each time, and are not computed of the training data.
    targets : {"standardize"} or None, default None
        "standardize": the network learns ``(y - mean) / scale``, each output's mean and deviation fitted to the
        training samples by the first `fit`, or by `adapt`; for targets in units of their own (prices, temperatures)
        and the losses of values: "mean_squared_error", "half_squared_error", "mean_absolute_error", "huber",
        "log_cosh" and "quantile". Predictions and scores, their derivatives, and metrics are in the units of y. The
        loss, wherever one is told, is the one that is minimised, in deviations: with "mean_squared_error" 1 is what
        the mean of y would get. Predictions and scores are float64 where rounding the mean of y to the model's dtype
        would lose more than a thousandth of a deviation, as of times in seconds since 1970; metrics are of unrounded
        predictions always.

    Raises
    ------
    ValueError, TypeError
        Where an argument is out of its range or of the wrong type.

    Examples
    --------
    >>> import fastmlp as fm
    >>> X, y = fm.datasets.load_digits()
    >>> model = fm.Model([fm.Dense(32, "relu"), fm.Dense(10)], loss="softmax_cross_entropy", optimizer="adam")
    >>> history = model.fit(X / 16, y, epochs=5, verbose=0)
    >>> model.predict(X[:3] / 16).shape
    (3, 10)
    """

    _other_names = elsewhere.ARGUMENTS

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: str | losses_module.Loss | Callable[..., Any] = "mean_squared_error",
        optimizer: str | optimizers_module.Optimizer = "sgd",
        seed: int | None = 0,
        n_inputs: int | None = None,
        dtype: npt.DTypeLike = "float32",
        n_threads: int | None = None,
        preprocessing: str | Preprocessing | None = None,
        metrics: Sequence[str | metrics_module.Metric | Callable[[Array, Array], float]] | None = (),
        targets: str | None = None,
    ) -> None:
        self._core = Core(layers, loss, optimizer, seed, dtype, preprocessing, metrics, targets)
        self._core.set_threads(n_threads)
        if n_inputs is not None:
            self.build(n_inputs)

    # ---- what it is made of ----

    @property
    def layers(self) -> tuple[Layer, ...]:
        """From the first hidden layer to the output layer."""
        return self._core.layers

    @property
    def dtype(self) -> str:
        """Of weights, activations and predictions: "float32" or "float64"."""
        return self._core.dtype

    @property
    def seed(self) -> int:
        """What initial weights and shuffles are drawn from."""
        return self._core.seed

    @property
    def n_threads(self) -> int | None:
        """Threads of the calls that follow; None: as many as the work deserves."""
        return self._core.n_threads

    @n_threads.setter
    def n_threads(self, n_threads: int | None) -> None:
        self._core.set_threads(n_threads)

    @property
    def loss(self) -> losses_module.Loss:
        """The loss, fixed when the model is made."""
        return self._core.loss

    @property
    def metrics(self) -> tuple[metrics_module.Metric, ...]:
        """What `evaluate` reports besides loss and accuracy; assign others at any time."""
        return self._core.metrics

    @metrics.setter
    def metrics(self, metrics: Sequence[str | metrics_module.Metric | Callable[[Array, Array], float]] | None) -> None:
        self._core.set_metrics(metrics)

    @property
    def optimizer(self) -> optimizers_module.Optimizer:
        """The optimizer; assign another to go on with it.

        One of the same kind with other constants, a smaller learning rate for instance, keeps its state. A moving
        average of the weights goes on with any optimizer that has ``use_ema=True``, and is lost with one that has not.
        Within `fit` a callback may assign one, between two steps; in the middle of a step, where a loss of one's own is
        called, or a signal handler, that is a RuntimeError, as is all that changes the model.
        """
        return self._core.optimizer

    @optimizer.setter
    def optimizer(self, optimizer: str | optimizers_module.Optimizer) -> None:
        self._core.set_optimizer(optimizer)

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How inputs are read, fixed when the model is made."""
        return self._core.preprocessing

    @property
    def targets(self) -> str | None:
        """How targets are read, fixed when the model is made: "standardize", or None, as they are."""
        return self._core.targets

    # ---- weights, and what else was learned ----

    def build(self, n_inputs: int) -> Model:
        """Give the layers their weights, from the seed.

        Parameters
        ----------
        n_inputs : int
            Columns of X, at least 1.

        Returns
        -------
        Model
            Itself.

        Raises
        ------
        ValueError
            If it was built with another number of inputs.
        """
        n_inputs = bounded_integer("n_inputs", n_inputs, below=2**31)
        with self._core.turn.of_callback():
            self._core.build(n_inputs)
        return self

    @property
    def built(self) -> bool:
        """Whether the layers have their weights."""
        return self._core.network is not None

    @property
    def n_inputs(self) -> int | None:
        """Columns of X, None before the model is built."""
        return self._core.n_inputs

    @property
    def n_outputs(self) -> int:
        """Columns of the predictions."""
        return self._core.n_outputs

    @property
    def weights(self) -> LayerArrays:
        """[(W, b), ...], the arrays of each layer that has any: of `Dense` W of shape (n_in, n_out) and b of shape
        (n_out,); of the others what their docstrings say, as (gamma, beta, mean, variance) of `BatchNorm`.

        Copies, read-only so that nobody writes into them in vain; assign a whole list to change the weights. A moving
        average (`average_weights`) then starts again from them.
        """
        found: LayerArrays = self._core.built_network().get_weights()
        for array in (array for arrays in found for array in arrays):
            array.flags.writeable = False
        return found

    @weights.setter
    def weights(self, weights: Sequence[Sequence[npt.ArrayLike]]) -> None:
        self._core.set_weights(weights)

    @property
    def average_weights(self) -> LayerArrays | None:
        """The moving average of `weights` that predicts and evaluates where the optimizer has ``use_ema=True``, as
        copies; None where there is none. Assigning `weights` starts it again from them, assigning an optimizer
        without ``use_ema=True`` ends it."""
        found: LayerArrays | None = self._core.built_network().get_average()
        return found

    @property
    def statistics(self) -> dict[str, Array]:
        """What the preprocessing has learned, float64 arrays by name: of `Standardize` "mean" and "scale", of
        `Whiten` "mean" and "matrix". Empty where it has seen no data yet. Copies."""
        return {name: array.copy() for name, array in self._core.statistics.items()}

    @property
    def target_statistics(self) -> dict[str, Array]:
        """What ``targets="standardize"`` has learned: "mean" and "scale" of each output, float64. Empty where it has
        seen no data yet. Copies."""
        return {name: array.copy() for name, array in self._core.target_statistics.items()}

    def adapt(
        self, X: npt.ArrayLike, y: npt.ArrayLike | None = None, *, sample_weight: npt.ArrayLike | None = None
    ) -> Model:
        """Fit preprocessing and scaling of targets to some samples: before a `fit` on batches, or anew on other data.

        The first `fit` on arrays does so by itself, with all that it trains on, and its weights.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        y : array_like or None, default None
            Targets, where the model was made with ``targets="standardize"``; None leaves their statistics as they are.
        sample_weight : array_like of shape (n_samples,) or None, default None
            At least 0: how much each sample counts in means and variances. One of weight 0 does not count at all.

        Returns
        -------
        Model
            Itself.

        Raises
        ------
        ValueError
            If the model has no preprocessing, or with y no ``targets="standardize"``.
        """
        single.adapt(self._core, X, y, sample_weight)
        return self

    # ---- what trainings leave, and callbacks want ----

    @property
    def history(self) -> History:
        """Of the last `fit`."""
        return self._core.history

    @history.setter
    def history(self, history: History) -> None:
        self._core.history = history

    @property
    def stop_training(self) -> bool:
        """Whether a callback wants the training to end; assign True there."""
        return self._core.stop_training

    @stop_training.setter
    def stop_training(self, stop: bool) -> None:
        self._core.stop_training = stop

    @property
    def stop_reason(self) -> str:
        """What `History.stopped` will say then."""
        return self._core.stop_reason

    @stop_reason.setter
    def stop_reason(self, reason: str) -> None:
        self._core.stop_reason = reason

    # ---- looking at it, keeping it ----

    def summary(self, batch_size: int = 32) -> None:
        """Print the layers with their shapes, activations, parameters, operations for a sample and memory.

        Parameters
        ----------
        batch_size : int, default 32
            Of which the memory of training is told.
        """
        from fastmlp import summary

        print(summary.text(self._core, bounded_integer("batch_size", batch_size)))

    def _repr_html_(self) -> str:
        """The summary, in a notebook."""
        from fastmlp import summary

        return summary.html(self._core)

    def plot(self, ax: Any = None, to_file: str | os.PathLike[str] | None = None) -> Any:
        """Draw the layers and their weights: see `fastmlp.plotting.network` (needs matplotlib: the extra "plot").

        Parameters
        ----------
        ax : matplotlib Axes or None, default None
            None makes a new figure.
        to_file : str or path-like or None, default None
            Where to save the figure, "model.png" or "model.svg" for example; the ending says the format. A figure that
            was made for it is closed then.

        Returns
        -------
        matplotlib Axes
        """
        from fastmlp import _figures, plotting

        return _figures.drawn(lambda axes: plotting.network(self, axes), ax, to_file)

    def save(self, path: Any) -> None:
        """Write the model, its optimizer's state included, to one safetensors file, by an atomic rename.

        A file holds no code: functions among the metrics are left out (assign ``model.metrics`` again), and a loss of
        one's own is asked for by `fastmlp.load`.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ValueError
            The model was never built, or its weights are not finite; or the path ends as those of another format do, in
            ".keras", ".h5", ".pkl" or ".pt" for example.
        OSError
            The file cannot be written; what was there before is whole.
        RuntimeError
            Another thread trains the model: save in a callback, or afterwards.
        """
        from fastmlp import files

        files.save(self._core, path)

    if not TYPE_CHECKING:  # where any name would do then

        def __getattr__(self, name: str) -> Any:
            if "_core" not in self.__dict__:
                raise AttributeError(
                    f"this {type(self).__name__} has no layers: call super().__init__(layers, ...) first"
                )
            remedy = f"; {elsewhere.MEMBERS[name]}" if name in elsewhere.MEMBERS else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{remedy}")

        def __setattr__(self, name: str, value: Any) -> None:
            known = name[:1] == "_" or name in _ASSIGNED or type(self) is not Model or hasattr(Model, name)
            if not known:  # a class of one's own may have more
                import difflib

                nearest = difflib.get_close_matches(name, _ASSIGNED, 1)
                remedy = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(_ASSIGNED)}"
                raise AttributeError(
                    f"a Model has no attribute {name!r} to assign; {elsewhere.MEMBERS.get(name, remedy)}"
                )
            if name not in _ASSIGNED and isinstance(getattr(type(self), name, None), property):
                raise AttributeError(f"{name} of a Model cannot be assigned; there are {', '.join(_ASSIGNED)}")
            super().__setattr__(name, value)

    def __repr__(self) -> str:
        n = self.n_inputs
        inputs = "not built" if n is None else counted(n, "input")
        others: list[Any] = [self.preprocessing] if self.preprocessing is not None else []
        others += [] if self.targets is None else [f"targets={self.targets!r}"]
        described = ", ".join(map(str, [[*self.layers], self.loss, self.optimizer, *others]))
        dtype = "" if self.dtype == "float32" else f", {self.dtype}"
        return f"<fastmlp.Model: {inputs}, {described}{dtype}>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_core": self._core.__getstate__()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        own = dict(state)
        of_core = own.pop("_core", None)
        if of_core is None:  # a pickle of a release in which models had no core
            of_core = {"targets": None, **{name: own.pop(old) for old, name in _OF_OLD.items() if old in own}}
        self._core = Core.__new__(Core)
        self._core.__setstate__(of_core)
        self.__dict__.update(own)


for part in (Trains, Predicts, Differentiates):
    for function in vars(part).values():
        if callable(function):  # errors, help and pickles have the name that users know
            function.__module__, function.__qualname__ = __name__, f"Model.{function.__name__}"


def load(path: Any, loss: str | losses_module.Loss | Callable[..., Any] | None = None) -> Model:
    """Read a model that `Model.save` wrote. Nothing in the file is executed.

    Parameters
    ----------
    path : str or path-like
    loss : str, Loss or callable, optional
        In the place of the file's, also where that has one; needed for a model that was trained with a function of
        one's own. `Model.predict` then gives what suits this loss: scores in the place of probabilities, for example.

    Returns
    -------
    Model
        It predicts, and goes on training, with the same bits as the one saved.

    Raises
    ------
    ValueError
        Where the file is no such model, or damaged.
    """
    from fastmlp import files

    model: Model = object.__new__(Model)
    model._core = files.load(path, loss)
    return model
