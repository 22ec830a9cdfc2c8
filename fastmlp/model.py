"""The model: layers, a loss and an optimizer on the compiled engine. Everything that users pass in is checked here or
in _validation.py, before anything changes; C is only reached by arrays that it can work on."""

from __future__ import annotations  # help() then shows npt.ArrayLike by name

import contextlib
import itertools
import math
import numbers
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastmlp import _engine, _pace, _pool, _targets, batches, derivatives, training
from fastmlp import losses as losses_module
from fastmlp import metrics as metrics_module
from fastmlp import optimizers as optimizers_module
from fastmlp import preprocessing as preprocessing_module
from fastmlp._constants import check_constants
from fastmlp._evaluation import Batches, is_batches
from fastmlp._hooks import Hooks
from fastmlp._quiet import quiet
from fastmlp._split import split
from fastmlp._validation import (
    Array,
    all_finite,
    bounded_integer,
    check_some_weight,
    class_weights,
    counted,
    finite_number,
    flag,
    is_by_number,
    numeric_array,
    sample_weights,
    samples,
    scalar,
    shown,
)
from fastmlp.callbacks import Callback, ProgressBar
from fastmlp.config import default_threads, recent_threads
from fastmlp.history import History
from fastmlp.layers import Activation, Dense, Dropout, Flatten, Layer, activations_behind, checked, flat, plan, widths
from fastmlp.preprocessing import Preprocessing

Pairs = list[tuple[Array, ...]]

# What models of other libraries have, and where it is here.
_ELSEWHERE = {
    "compile": "give loss, optimizer and metrics to Model itself",
    "add": "give all layers to Model itself",
    "get_weights": "read model.weights",
    "set_weights": "assign model.weights",
    "save_weights": "use model.save",
    "load_weights": "use fastmlp.load",
    "test_on_batch": "use model.evaluate",
    "predict_on_batch": "use model.predict",
    "predict_proba": "use model.predict: its predictions are probabilities where the loss has any",
    "predict_classes": "use model.predict(X).argmax(axis=1)",
    "fit_generator": "use model.fit, which takes iterables of batches, too",
    "partial_fit": "use model.train_on_batch, or fit again",
    "forward": "use model.predict, or model.scores",
    "backward": "use model.loss_and_gradients",
    "score": "use model.evaluate",
    "state_dict": "read model.weights, or use model.save",
    "load_state_dict": "assign model.weights, or use fastmlp.load",
    **dict.fromkeys(("parameters", "get_params", "trainable_weights"), "read model.weights"),
    "count_params": "model.summary() prints it",
    **dict.fromkeys(("eval", "train"), "only fit trains, and there is no mode to change"),
    **dict.fromkeys(("learning_rate", "lr"), "it is in model.optimizer; assign fastmlp.Adam(1e-3), for example"),
    "coefs_": "read model.weights",
    **dict.fromkeys(("classes_", "n_classes"), "labels count from 0; there are model.n_outputs"),
}

# What may be assigned.
_ASSIGNED = ("history", "metrics", "n_threads", "optimizer", "stop_reason", "stop_training", "weights")

_UNCOPIED = ("_network", "_turn", "_runs", "_paces", "_reader")


class Model:
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
    metrics : sequence of str, callable or Metric, default ()
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
        metrics: Sequence[str | metrics_module.Metric | Callable[[Array, Array], float]] = (),
        targets: str | None = None,
    ) -> None:
        self._layers = checked(layers)
        dense = [layer for layer in flat(self.layers) if isinstance(layer, Dense)]
        if not dense:
            raise ValueError(f"layers hold no fastmlp.Dense, which would tell the number of outputs: {layers!r}")
        self._n_outputs = dense[-1].units
        self._weighted = tuple(layer for layer, _ in widths(self.layers, n_inputs) if layer.weight_shapes(1))
        self._loss = losses_module.get(loss)
        self._loss.check_outputs(self.n_outputs, _last_activation(self.layers))
        self._dtype = _dtype(dtype)
        for described in (*flat(self.layers), self._loss):
            check_constants(described, self._dtype)
        self._optimizer = self._suited(optimizer)
        drawn = int.from_bytes(os.urandom(8), "little") if seed is None else seed
        self._seed = bounded_integer("seed", drawn, at_least=0, below=2**64)
        self._preprocessing = preprocessing_module.get(preprocessing)
        self._targets = _targets.check(targets, self._loss)
        self.metrics = metrics
        self.history = History()
        self._kept: tuple[int, list[Any]] | None = None  # of callbacks, at the last checkpoint
        self._notes: dict[str, str] = {}  # that its file had beside the model
        self.stop_training = False
        self.stop_reason = "callback"
        self._network: Any = None
        self._turn = _engine.Turn()
        self._runs: dict[Any, Any] = {}
        self._paces = _pace.Paces()
        self._reader: batches.Reader | None = None
        self.n_threads = n_threads
        if n_inputs is not None:
            self.build(n_inputs)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """From the first hidden layer to the output layer."""
        return self._layers

    @property
    def dtype(self) -> str:
        """Of weights, activations and predictions: "float32" or "float64"."""
        return self._dtype

    @property
    def seed(self) -> int:
        """What initial weights and shuffles are drawn from."""
        return self._seed

    @property
    def n_threads(self) -> int | None:
        """Threads of the calls that follow; None: as many as the work deserves."""
        return self._n_threads

    @n_threads.setter
    def n_threads(self, n_threads: int | None) -> None:
        chosen = None if n_threads is None else bounded_integer("n_threads", n_threads, below=1025)
        if self._network is not None and self._turn.is_mine:
            self._network.refuse_in_step()
        self._n_threads, self._runs = chosen, {}

    @property
    def loss(self) -> losses_module.Loss:
        """The loss, fixed when the model is made."""
        return self._loss

    @property
    def metrics(self) -> tuple[metrics_module.Metric, ...]:
        """What `evaluate` reports besides loss and accuracy; assign others at any time."""
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Sequence[str | metrics_module.Metric | Callable[[Array, Array], float]]) -> None:
        self._metrics = metrics_module.suited(metrics, self._loss, self.n_outputs)

    @property
    def optimizer(self) -> optimizers_module.Optimizer:
        """The optimizer; assign another to go on with it.

        One of the same kind with other constants, a smaller learning rate for instance, keeps its state. A moving
        average of the weights goes on with any optimizer that has ``use_ema=True``, and is lost with one that has not.
        Within `fit` a callback may assign one, between two steps; in the middle of a step, where a loss of one's own is
        called, or a signal handler, that is a RuntimeError, as is all that changes the model.
        """
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: str | optimizers_module.Optimizer) -> None:
        chosen = self._suited(optimizer)
        with self._turn.of_callback():
            network, before = self._network, self._optimizer
            states = None if network is None else network.states
            try:
                if network is not None and chosen.kernel != self._optimizer.kernel:
                    network.set_optimizer(chosen.kernel, chosen.kernel_states)
                elif network is not None:
                    network.keep_optimizer(chosen.kernel_states)
                self._optimizer = chosen
            except BaseException:  # no memory, Ctrl-C: the network has changed already, or not at all
                changed = network is not None and network.states is not states
                self._optimizer = chosen if changed else before
                raise

    def _suited(self, optimizer: str | optimizers_module.Optimizer) -> optimizers_module.Optimizer:
        """An optimizer whose constants the dtype can hold."""
        chosen = optimizers_module.get(optimizer)
        check_constants(chosen, self._dtype)
        return chosen

    # ---- weights ----

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
        with self._turn.of_callback():
            return self._build(n_inputs)

    def _build(self, n_inputs: int, given: Pairs | None = None) -> Model:
        if self._network is not None:
            self._network.refuse_in_step()
            if n_inputs != self.n_inputs:
                raise ValueError(f"this model has {self.n_inputs} inputs already; make a new one for {n_inputs}")
            return self
        weighted = [
            (layer, n_in or 0, activation)
            for (layer, n_in), activation in zip(
                widths(self.layers, n_inputs), activations_behind(self.layers), strict=True
            )
            if layer.weight_shapes(1)
        ]
        shapes = [shape for layer, n_in, _ in weighted for shape in layer.weight_shapes(n_in).values()]
        if sum(map(math.prod, shapes)) > 2**40:
            raise ValueError(
                f"{n_inputs} inputs and the layers {self.layers!r} make more weights than memory can hold; use fewer"
            )
        network = _engine.Network(n_inputs, plan(self.layers, n_inputs), self.dtype, seed=self.seed)
        if given is None:  # those of one layer at a time: they are as large as what the network holds
            drawn = itertools.accumulate((isinstance(layer, Dense) for layer, _, _ in weighted), initial=0)
            network.set_weights(
                tuple(layer.initial_weights(n_in, self.dtype, self.seed, position, activation))
                for (layer, n_in, activation), position in zip(weighted, drawn, strict=False)
            )
        else:
            network.set_weights(given)
        network.set_optimizer(self.optimizer.kernel, self.optimizer.kernel_states)
        self._network = network
        return self

    # ---- preprocessing ----

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How inputs are read, fixed when the model is made."""
        return self._preprocessing

    @property
    def statistics(self) -> dict[str, Array]:
        """What the preprocessing has learned, float64 arrays by name: of `Standardize` "mean" and "scale", of
        `Whiten` "mean" and "matrix". Empty where it has seen no data yet. Copies."""
        return {name: array.copy() for name, array in self._statistics.items()}

    @property
    def targets(self) -> str | None:
        """How targets are read, fixed when the model is made: "standardize", or None, as they are."""
        return self._targets

    @property
    def target_statistics(self) -> dict[str, Array]:
        """What ``targets="standardize"`` has learned: "mean" and "scale" of each output, float64. Empty where it has
        seen no data yet. Copies."""
        return {name: array.copy() for name, array in self._target_statistics.items()}

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
        if y is not None and self._targets is None:
            raise ValueError("this model reads targets as they are; make it with targets='standardize', or leave out y")
        if self._preprocessing is None and y is None:
            remedy = "its targets it learns by adapt(X, y)"
            if self._targets is None:
                remedy = "make it with preprocessing=fastmlp.Standardize()"
            raise ValueError(f"this model has no preprocessing to adapt; {remedy}")
        array = samples("X", X, self.n_inputs, self._dtype)
        weights = None
        if sample_weight is not None:
            weights = sample_weights("sample_weight", sample_weight, len(array), self._dtype)
        statistics: dict[str, Array] = {}
        of_targets: dict[str, Array] = {}
        if self._preprocessing is not None:
            statistics = self._preprocessing.fitted(array, None, self._dtype, weights)
        if y is not None:
            targets = self._loss.targets(y, len(array), self.n_outputs, self._dtype)
            of_targets = _targets.fitted(targets, None, self._dtype, weights)
        with self._turn.of_callback():
            self._build(array.shape[1])
            self._adapt(statistics, of_targets)
        return self

    def _unlearned(
        self, X: Array, targets: Array, subset: Array | None, weights: Array | None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """For `_adapt` what was not learned yet, of the rows subset or of all: a first `fit` does so."""
        statistics: dict[str, Array] = {}
        of_targets: dict[str, Array] = {}
        if self._preprocessing is not None and not self._statistics:
            statistics = self._preprocessing.fitted(X, subset, self._dtype, weights)
        if self._targets is not None and not self._target_statistics:
            of_targets = _targets.fitted(targets, subset, self._dtype, weights)
        return statistics, of_targets

    @quiet
    def _adapt(self, statistics: dict[str, Array], of_targets: dict[str, Array]) -> None:
        """Take what was learned of inputs and targets; where that is nothing all stays as it is."""
        if of_targets:
            self._network.set_target_scaling(of_targets)
        if not statistics:
            return
        assert self._preprocessing is not None
        self._network.set_scaling(*self._preprocessing.scaling(statistics), statistics=statistics)

    @property
    def _statistics(self) -> dict[str, Array]:
        return {} if self._network is None else self._network.statistics

    @property
    def _target_statistics(self) -> dict[str, Array]:
        return {} if self._network is None else self._network.target_statistics

    @property
    def built(self) -> bool:
        """Whether the layers have their weights."""
        return self._network is not None

    @property
    def n_inputs(self) -> int | None:
        """Columns of X, None before the model is built."""
        return None if self._network is None else int(self._network.n_inputs)

    @property
    def n_outputs(self) -> int:
        """Columns of the predictions."""
        return self._n_outputs

    @property
    def weights(self) -> Pairs:
        """[(W, b), ...], the arrays of each layer that has any: of `Dense` W of shape (n_in, n_out) and b of shape
        (n_out,); of the others what their docstrings say, as (gamma, beta, mean, variance) of `BatchNorm`.

        Copies, read-only so that nobody writes into them in vain; assign a whole list to change the weights. A moving
        average (`average_weights`) then starts again from them.
        """
        pairs: Pairs = self._built().get_weights()
        for array in (array for pair in pairs for array in pair):
            array.flags.writeable = False
        return pairs

    @weights.setter
    def weights(self, pairs: Sequence[Sequence[npt.ArrayLike]]) -> None:
        arrays = self._pairs("weights", pairs)
        for i, (layer, found) in enumerate(zip(self._weighted, arrays, strict=True)):
            if isinstance(layer, Dense) and not layer.use_bias and found[1].any():
                value = found[1][found[1] != 0][0]
                raise ValueError(f"weights[{i}][1] holds {value}, but layer {i} has use_bias=False; give zeros")
            if "variance" in layer.weight_shapes(1) and (found[3] < 0).any():
                raise ValueError(f"weights[{i}][3] holds {found[3].min()}, but a variance is never negative")
        with self._turn.of_callback():
            self._built().set_weights(arrays)

    @property
    def average_weights(self) -> Pairs | None:
        """The moving average of `weights` that predicts and evaluates where the optimizer has ``use_ema=True``, as
        copies; None where there is none. Assigning `weights` starts it again from them, assigning an optimizer
        without ``use_ema=True`` ends it."""
        pairs: Pairs | None = self._built().get_average()
        return pairs

    def _ready(self) -> None:
        """Whether preprocessing and scaling of targets know what to do."""
        if self._preprocessing is not None and not self._statistics:
            raise ValueError("this model's preprocessing has seen no data yet; call adapt(X), or fit on arrays first")
        if self._targets is not None and not self._target_statistics:
            raise ValueError("this model has seen no targets to scale by yet; call adapt(X, y), or fit on arrays first")

    def _built(self) -> Any:
        if self._network is None:
            raise ValueError("this model has no weights yet; call build(n_inputs) or fit first, or pass n_inputs")
        return self._network

    @quiet
    def _pairs(self, name: str, pairs: Sequence[Sequence[npt.ArrayLike]]) -> Pairs:
        """Arrays in the shapes of the weights, or of gradients, finite, of the model's dtype."""
        expected = self._built().shapes(running=name == "weights")
        if isinstance(pairs, str | np.ndarray) or not isinstance(pairs, Sequence):
            raise TypeError(f"{name} must be a list of tuples such as (W, b), not {type(pairs).__name__}")
        if len(pairs) != len(expected):
            raise ValueError(f"{name} holds {len(pairs)} entries, but {len(expected)} layers of the model have weights")
        found = []
        for i, (pair, shapes, layer) in enumerate(zip(pairs, expected, self._weighted, strict=True)):
            names = [*layer.weight_shapes(1)][: len(shapes)]
            wanted = f"a tuple ({', '.join(names)}{',' * (len(names) == 1)})"
            if isinstance(pair, str) or not isinstance(pair, Sequence):
                raise TypeError(f"{name}[{i}] must be {wanted}, not {type(pair).__name__}")
            if len(pair) != len(shapes):
                raise ValueError(f"{name}[{i}] must be {wanted}, not {len(pair)} arrays")
            arrays = [numeric_array(f"{name}[{i}][{j}]", array) for j, array in enumerate(pair)]
            for j, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
                if array.shape != shape:
                    raise ValueError(f"{name}[{i}][{j}] has shape {array.shape}, but layer {i} wants {shape}")
                all_finite(f"{name}[{i}][{j}]", array, self.dtype, "give finite numbers")
            found.append(tuple(array.astype(self.dtype) for array in arrays))
        return found

    def _gradients(self, name: str, pairs: Sequence[Sequence[npt.ArrayLike]]) -> Pairs:
        """Arrays in the shapes of gradients, zero where there is none: of a bias that is not used."""
        return [
            tuple(
                array if wanted else np.zeros_like(array)
                for array, wanted in zip(arrays, layer.has_gradient, strict=False)
            )
            for arrays, layer in zip(self._pairs(name, pairs), self._weighted, strict=True)
        ]

    # ---- training ----

    def fit(
        self,
        X: npt.ArrayLike | Iterable[Any],
        y: npt.ArrayLike | None = None,
        batch_size: int = 32,
        epochs: int = 1,
        validation_data: tuple[npt.ArrayLike, npt.ArrayLike] | Iterable[Any] | None = None,
        shuffle: bool = True,
        callbacks: Sequence[Callback] | Callback | None = (),
        verbose: int | str = 1,
        *,
        validation_split: float = 0.0,
        steps_per_epoch: int | None = None,
        initial_epoch: int = 0,
        sample_weight: npt.ArrayLike | None = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> History:
        """Train for some epochs; a second call goes on where the first stopped.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...), or iterable of batches
            Flattened to (n_samples, n_inputs). float32, float64 and uint8 arrays, memory maps and strided views
            included, are read in place, other dtypes converted first. Without y: batches (X, y), see the notes.
        y : array_like
            Targets: see the loss. Integer labels of shape (n_samples,) for softmax_cross_entropy, for example.
        batch_size : int, default 32
            Samples of a step; the last step of an epoch takes what is left. More than n_samples means all. Not used
            with an iterable, whose batches are the steps, in their order.
        epochs : int, default 1
            Passes over the data.
        validation_data : tuple (X, y) or (X, y, sample_weight), iterable of such batches, or None, default None
            Evaluated after every epoch. An iterable must begin anew each time, as a list does; see `evaluate`.
        validation_split : float, default 0.0
            Share of the samples, in [0, 1), to hold out and evaluate after every epoch instead of validation_data;
            drawn from the model's seed, of each class its share where y holds classes. Nothing is copied. The order
            of time does not count: to hold out the end of a series give it as validation_data.
        shuffle : bool, default True
            Visit the samples in a new order in each epoch.
        callbacks : sequence of Callback, Callback or None, default ()
        verbose : {0, 1, 2, "auto"}, default 1
            0 silent, 1 or "auto" a line for each epoch on stdout, and on a terminal or in a notebook a bar over the
            whole training, 2 lines alone.
        steps_per_epoch : int or None, default None
            Batches of an epoch, for an iterable alone. None: all of a pass over it.
        initial_epoch : int, default 0
            Number of the first epoch, where a training goes on that was interrupted: `epochs` is then where it ends,
            and the history goes on from ``model.history``, which has those before. At most `epochs`, for which there
            is nothing to do. See `Checkpoint`.
        sample_weight : array_like of shape (n_samples,) or None, default None
            At least 0, and not all 0 in the model's dtype; those of a batch of an iterable may be. The loss of a batch
            is ``sum(w_i * loss_i) / n_samples``, as in Keras: not divided by the sum of the weights. A sample
            of weight 0 takes no part in the loss, nor in the statistics of a preprocessing; batch normalisation and
            accuracies see it.
        class_weight : dict of int to float or None, default None
            Weights by class, multiplied with `sample_weight`; 1 for classes that it does not name. For
            softmax_cross_entropy, where the class of a row of probabilities is the most probable one, and for losses of
            a single output with the classes 0 and 1.

        Returns
        -------
        History
            Of this call: "loss" and for a classification "accuracy", means over the steps of an epoch while the
            weights moved; "val_loss", "val_accuracy" and the model's metrics, "val_f1" for example, at its end;
            "learning_rate" of its last step where that follows a schedule. Losses are weighted, "val_loss" by the
            weights in validation_data, or by the held-out part of sample_weight, and never by class_weight; accuracies
            and metrics are not. Why the training ended is in
            `History.stopped`: Ctrl-C ends it with the epochs so far, and the model stays as it is then.

        Raises
        ------
        ValueError, TypeError
            Before anything has changed; but after the first epoch for validation data that the preprocessing makes too
            large for the dtype, or whose batches have weights of 0 alone.
        DivergedError
            The loss, a weight or a running statistic became NaN or infinite; the weights are those before the epoch in
            which it did, and the states of the optimizer start afresh. Schedules and masks of dropout go on.

        Notes
        -----
        A list of batches, any object whose ``__iter__`` begins anew, or one that has a length and items by number gives
        a whole epoch each time, or its first `steps_per_epoch` batches. A generator or another iterator goes on from
        one epoch, and from one `fit`, to the next: `steps_per_epoch` says where an epoch ends. Batches may differ in
        size. The weights get the bits that `train_on_batch` would give over the same batches.

        A thread reads ahead: at most 8 batches, or 64 MiB of them. Of an iterator it takes no more than
        ``epochs * steps_per_epoch`` batches; those that it has read when the training stops early are kept for the
        next `fit` with the same iterator. Each batch is checked and copied when it is read, so that the iterable may
        write into its arrays again. What it raises comes out of `fit`, with its traceback.

        After its first epoch the first training of a regression warns where targets are far from the scale of the
        outputs; by `LBFGS` it does not, as that chooses the length of its steps itself.

        Examples
        --------
        >>> import fastmlp as fm
        >>> X, y = fm.datasets.load_digits()
        >>> def noisy(rng):
        ...     while True:
        ...         rows = rng.integers(0, len(X), 64)
        ...         yield X[rows] / 16 + rng.normal(0, 0.1, (64, 64)), y[rows]
        >>> model = fm.Model([fm.Dense(32, "relu"), fm.Dense(10)], "softmax_cross_entropy", "adam")
        >>> history = model.fit(noisy(np.random.default_rng(0)), steps_per_epoch=100, epochs=3, verbose=0)
        >>> len(history["loss"])
        3
        """
        epochs = bounded_integer("epochs", epochs)
        initial_epoch = bounded_integer("initial_epoch", initial_epoch, at_least=0)
        if initial_epoch > epochs:
            raise ValueError(f"initial_epoch={initial_epoch} is past epochs={epochs}, where the training ends")
        batch_size = bounded_integer("batch_size", batch_size)
        verbose = _verbosity(verbose)
        shuffle = flag("shuffle", shuffle)
        callbacks = () if callbacks is None else [callbacks] if isinstance(callbacks, Callback) else callbacks
        if not isinstance(callbacks, Sequence):
            raise TypeError(f"callbacks must be a list of fastmlp.Callback objects, not {callbacks!r}")
        for callback in callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must hold fastmlp.Callback objects, not {shown(callback)}")
        hooks = Hooks([*callbacks, *([ProgressBar(bar=verbose == 1)] if verbose else [])])
        if steps_per_epoch is not None:
            steps_per_epoch = bounded_integer("steps_per_epoch", steps_per_epoch)
        validation_split = finite_number("validation_split", validation_split, at_least=0, below=1)
        if validation_split and (y is None or validation_data is not None):
            other = "validation_data" if y is None else "not both validation_data and validation_split"
            raise ValueError(f"validation_split={validation_split} takes its share of arrays X and y; give {other}")
        minimiser = self._optimizer if isinstance(self._optimizer, optimizers_module.LBFGS) else None
        if minimiser is not None:
            from fastmlp import lbfgs

            lbfgs.check(self, epochs, initial_epoch)
            if y is None:
                raise ValueError("LBFGS needs all samples at once: give fit arrays X and y, not an iterable of batches")
        validation: Any
        recorded: training.Steps
        planned = epochs if minimiser is None else minimiser.max_iterations
        if initial_epoch == epochs or hooks.have_ended(self._kept, initial_epoch, self.history.stopped):
            done = self.history.before(initial_epoch)
            done.stopped = self.history.stopped or "epochs done"
            return done
        if y is None:
            given: Any = X
            batches.check_iterable("fit", given, sample_weight)
            with (
                self._turn,
                batches.BatchRun(self, given, steps_per_epoch, epochs - initial_epoch, class_weight) as source,
            ):
                training.prepare(self, hooks, epochs, initial_epoch, steps_per_epoch, validation_data is not None)
                try:
                    first, *others = source.first()
                except KeyboardInterrupt:
                    source.interrupted = True
                    done = self.history = self.history.before(initial_epoch)
                    done.stopped = "interrupted"
                    return done
                self._ready()
                validation = self._validation(validation_data, first.shape[1])
                self._build(first.shape[1])
                recorded = batches.BatchSteps(source)
                watch = _targets.watch(self, others[0], None, others[1] if len(others) > 1 else None)
                pace = _pace.Pace(1, self._network.work(len(first), True))  # of chunks; each batch finds its threads
                done = training.fit(
                    self, source, recorded, pace, epochs, validation, False, hooks, initial_epoch, watch
                )
                source.interrupted = done.stopped == "interrupted"
                return done
        if isinstance(X, Iterator) or is_by_number(X):
            raise TypeError(f"X is a {type(X).__name__}: an iterable gives batches (X, y), so leave out y")
        if steps_per_epoch is not None:
            raise ValueError("steps_per_epoch is for an iterable of batches; with arrays choose batch_size")
        X, targets = self._data(X, y)
        weights = self._sample_weights(sample_weight, targets, class_weight)
        validation = self._validation(validation_data, X.shape[1])
        subset: Array | None = None
        if validation_split:
            subset, held_out = split(self._loss.strata(targets), validation_split, self.seed)
            validation = X, targets, self._sample_weights(sample_weight, targets), held_out
            for part, rows in (("those that are held out", held_out), ("those that are trained on", subset)):
                if sample_weight is not None:
                    check_some_weight(f"sample_weight of {part}", validation[2][rows], self._dtype)
        if weights is not None:
            of_rows = weights if subset is None else weights[subset]
            check_some_weight("class_weight * sample_weight", of_rows, self._dtype)
        n_samples = len(X) if subset is None else len(subset)
        batch_size = n_samples if minimiser is not None else min(batch_size, n_samples)
        recorded = training.Steps(n_samples, batch_size)
        statistics, of_targets = self._unlearned(X, targets, subset, weights)
        watch = _targets.watch(self, targets, subset, weights)
        with self._turn:
            training.prepare(self, hooks, planned, initial_epoch, recorded.steps, validation is not None)
            self._build(X.shape[1])
            self._adapt(statistics, of_targets)

            def train(run: Any, pace: _pace.Pace) -> History:
                if minimiser is not None:
                    return lbfgs.fit(self, run, pace, n_samples, validation, hooks, minimiser)
                return training.fit(self, run, recorded, pace, epochs, validation, shuffle, hooks, initial_epoch, watch)

            try:
                history: History = self._with_run(
                    train, batch_size, "training", X, targets, weights, subset=subset, single=False
                )
            finally:
                _pool.trim(self, after_training=True)
            return history

    def _validation(self, validation_data: Any, n_inputs: int) -> training.Validation:
        """Validation data as the engine reads them."""
        if validation_data is None:
            return None
        if is_batches(validation_data, n_inputs):
            if isinstance(validation_data, Iterator):
                raise TypeError(
                    f"validation_data is a {type(validation_data).__name__}, which the first epoch would use up; give "
                    "a list of batches, or an object whose __iter__ begins anew"
                )
            found = Batches(self, validation_data, "validation_data", n_inputs)
            next(iter(found))  # whether it suits, before anything has changed
            return found
        if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
            many = f" of {len(validation_data)}" if isinstance(validation_data, tuple | list) else ""
            raise TypeError(
                f"validation_data must be a pair (X, y) or (X, y, sample_weight), not {type(validation_data).__name__}"
                f"{many}"
            )
        X, y, weight = (*validation_data, None)[:3]
        X, targets = self._data(X, y, ("validation_data[0]", "validation_data[1]"), n_inputs)
        return X, targets, self._sample_weights(weight, targets, name="validation_data[2]")

    def train_on_batch(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """One step of the optimizer on one batch.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        y : array_like
            Targets, as for `fit`.
        sample_weight : array_like of shape (n_samples,) or None, default None
            As for `fit`.

        Returns
        -------
        float
            The mean loss of the batch before the step.

        Raises
        ------
        ValueError, TypeError
            Before anything has changed.
        DivergedError
            The loss is NaN or infinite; the weights are as before.
        """
        X, targets = self._data(X, y)
        weights = None if sample_weight is None else self._sample_weights(sample_weight, targets)
        with self._turn:
            self._ready()
            hyper = self._optimizer.hyper()
            self._build(X.shape[1])
            rate = self._optimizer.rate(self._network.step)
            loss: float = self._with_run(lambda run: run.step(rate, hyper), len(X), "training", X, targets, weights)
            if not math.isfinite(loss):
                raise training.diverged(self, self._network.step + 1, rate, History())
            return loss

    def loss_and_gradients(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> tuple[float, Pairs]:
        """The mean loss over all samples, and its gradients.

        As in training: dropout draws the masks of the step that `apply_gradients` will end, and batch normalisation
        uses the statistics of these samples, which its running ones then follow.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        y : array_like
            Targets, as for `fit`.
        sample_weight : array_like of shape (n_samples,) or None, default None
            As for `fit`.

        Returns
        -------
        loss : float
        gradients : list of tuples
            One for each entry of `weights`: (dW, db) of `Dense`, (dgamma, dbeta) of `LayerNorm` and `BatchNorm`,
            (dalpha,) of `PReLU`. The gradient of a bias that a layer does not use is zero.

        Raises
        ------
        ValueError, TypeError
            X, y or the weights do not suit the model; nothing has changed, but running statistics where X holds what
            the preprocessing makes too large for the dtype.
        """
        X, targets = self._data(X, y)
        weights = self._sample_weights(sample_weight, targets)
        with self._turn:
            self._ready()
            self._build(X.shape[1])
            loss, _, pairs = self._with_run(_engine.Run.gradients, len(X), "training", X, targets, weights)
            self._check_range(X, loss)
            return float(loss), pairs

    def apply_gradients(self, gradients: Sequence[Sequence[npt.ArrayLike]]) -> None:
        """One step of the optimizer with given gradients.

        Nobody looks whether the weights overflow in it: the next loss is then NaN.

        Parameters
        ----------
        gradients : list of tuples
            As of `loss_and_gradients`.

        Raises
        ------
        ValueError, TypeError
            The gradients are not finite, or have other shapes than `weights`; nothing has changed.
        """
        arrays = self._gradients("gradients", gradients)
        with self._turn:
            self._network.apply_gradients(arrays, self.optimizer.hyper(), self.optimizer.rate(self._network.step))

    # ---- derivatives of the network itself ----

    def vjp(self, X: npt.ArrayLike) -> tuple[Array, derivatives.Pullback]:
        """Scores, and a function that pulls gradients of them back to inputs and weights: reverse mode.

        Of the network as it predicts, without dropout and with running statistics.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)

        Returns
        -------
        scores : ndarray of shape (n_samples, n_outputs)
        pullback : callable
            ``pullback(dscores, inputs=True, weights=True)`` gives ``(dX, gradients)``, the derivatives of
            ``sum(scores * dscores)``: dX of the shape of X, gradients as of `loss_and_gradients`; None for what is not
            wanted. It differentiates at X as it was, of which it keeps a copy, and at the weights that the model has
            then.

        Raises
        ------
        ValueError, TypeError
            X does not suit the model, or the model was never built; ``pullback`` for a dscores of another shape.

        Examples
        --------
        >>> import fastmlp as fm
        >>> model = fm.Model([fm.Dense(8, "tanh"), fm.Dense(2)], n_inputs=3)
        >>> scores, pullback = model.vjp([[0.1, 0.2, 0.3]])
        >>> dX, gradients = pullback([[1.0, 0.0]])
        >>> dX.shape
        (1, 3)
        """
        return derivatives.vjp(self, X)

    def jvp(
        self,
        X: npt.ArrayLike,
        dX: npt.ArrayLike | None = None,
        dweights: Sequence[Sequence[npt.ArrayLike]] | None = None,
    ) -> tuple[Array, Array]:
        """Scores, and how they change along a direction: forward mode.

        Of the network as it predicts, without dropout and with running statistics.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        dX : array_like of the shape of X or None, default None
            Direction of the inputs; None: they stay.
        dweights : list of tuples or None, default None
            Direction of the weights, in the shapes of the gradients of `loss_and_gradients`; None: they stay.

        Returns
        -------
        scores, dscores : ndarray of shape (n_samples, n_outputs)

        Raises
        ------
        ValueError, TypeError
            X or a direction has another shape, or is not finite.
        """
        return derivatives.jvp(self, X, dX, dweights)

    def jacobian(self, X: npt.ArrayLike) -> Array:
        """The derivative of each score by each input.

        Of the network as it predicts, without dropout and with running statistics.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_samples, n_outputs, ...)

        Raises
        ------
        ValueError, TypeError
            X does not suit the model, or the model was never built.
        """
        return derivatives.jacobian(self, X)

    def input_gradients(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Array:
        """The gradient of the mean loss by the inputs, of the network as it predicts.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        y : array_like
            Targets, as for `fit`.

        Returns
        -------
        ndarray of the shape of X

        Raises
        ------
        ValueError, TypeError
            X or y do not suit the model, or it was never built.
        """
        return derivatives.input_gradients(self, X, y)

    # ---- prediction ----

    def predict(self, X: npt.ArrayLike, batch_size: int | None = None, verbose: int | str = 0) -> Array:
        """Probabilities for a classification loss, rates for "poisson", values otherwise; ``model(X)`` is the same.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        batch_size, verbose
            As Keras has them: they change nothing, and nothing is shown.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), of the model's dtype
            float64 where ``targets="standardize"`` found a mean so far from 0, in deviations, that the dtype cannot
            hold the units of y: beyond 16,777 in float32.

        Raises
        ------
        ValueError, TypeError
            X does not suit the model, or holds what its preprocessing makes too large for the dtype; or the model was
            never built.
        """
        _check_habits(batch_size, verbose)
        return self._forward(X, self.loss.link)

    def __call__(self, X: npt.ArrayLike, training: bool | None = False) -> Array:
        """`predict`.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)
        training : False or None, default False
            As Keras has it; True is a ValueError.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), of the model's dtype
        """
        if training is not None and flag("training", training):
            raise ValueError(
                "a model that is called predicts, so training=True has no meaning; leave it out, and use "
                "model.loss_and_gradients for a pass as in training"
            )
        return self.predict(X)

    def scores(self, X: npt.ArrayLike) -> Array:
        """Outputs of the last layer, before softmax or sigmoid; in the targets' units with ``targets="standardize"``.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_samples, n_outputs), of the model's dtype
            float64 where ``targets="standardize"`` found a mean so far from 0, in deviations, that the dtype cannot
            hold the units of y: beyond 16,777 in float32.

        Raises
        ------
        ValueError, TypeError
            X does not suit the model, or holds what its preprocessing makes too large for the dtype; or the model was
            never built.
        """
        return self._forward(X, "identity")

    def _forward(self, X: npt.ArrayLike, link: str) -> Array:
        network = self._built()
        array = samples("X", X, network.n_inputs, self.dtype)
        out = self._outputs(array, link)
        if self._preprocessing is not None:
            self._check_range(array, out)
        return out

    @quiet
    def _check_range(self, X: Array, found: Any, subset: Array | None = None) -> None:
        """ValueError where what was found of X is not finite because scaled inputs are not."""
        if self._preprocessing is not None and not math.isfinite(np.sum(found)):
            rows = X if subset is None else X[subset]
            preprocessing_module.check_range(self._preprocessing, self._statistics, rows, self._dtype)

    def _outputs(self, X: Array, link: str, subset: Array | None = None, in_units: bool = False) -> Array:
        """Predictions, or what metrics are of: in the units of the targets, unrounded."""
        n = len(X) if subset is None else len(subset)
        out = np.empty((n, self.n_outputs), self.dtype)
        self._with_run(lambda run: run.predict(out, link), n, "prediction", X, subset=subset)
        return _targets.in_units(self, out) if in_units else _targets.restored(self, out)

    def evaluate(
        self,
        X: npt.ArrayLike | Iterable[Any],
        y: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        return_dict: bool = True,
    ) -> dict[str, float]:
        """Loss and metrics on some data.

        Parameters
        ----------
        X : array_like of shape (n_samples, ...), or iterable of batches
            Without y: batches (X, y) or (X, y, sample_weight), read one after the other. The loss is the mean over all
            samples (of a loss of one's own the mean of the batches' losses by their rows); metrics are of all
            predictions together.
        y : array_like
            Targets, as for `fit`.
        sample_weight : array_like of shape (n_samples,) or None, default None
            As for `fit`: of the loss, not of the accuracy.
        batch_size, verbose
            As Keras has them: they change nothing, and nothing is shown.
        steps : int or None, default None
            How many batches of an iterable to read; None: all.
        return_dict : True
            As Keras has it; False is a ValueError.

        Returns
        -------
        dict
            "loss", "accuracy" for a classification, and the model's metrics by their names. With
            ``targets="standardize"`` the loss is in deviations of the targets, the metrics in their units.

        Raises
        ------
        ValueError, TypeError
            X, y or the weights do not suit the model, or it was never built.
        """
        network = self._built()
        _check_habits(batch_size, verbose)
        if not flag("return_dict", return_dict):
            raise ValueError(
                "evaluate always returns a dictionary; leave out return_dict=False, and take [*found.values()]"
            )
        if isinstance(sample_weight, numbers.Integral):
            raise TypeError(
                f"the third argument of evaluate is sample_weight, not {sample_weight!r}; the size of batches is "
                f"batch_size={sample_weight!r}"
            )
        steps = None if steps is None else bounded_integer("steps", steps)
        if y is None:
            batches.check_iterable("evaluate", X, sample_weight)
            return Batches(self, X, "X", network.n_inputs, steps).evaluate()
        if steps is not None:
            raise ValueError("steps is for an iterable of batches; of arrays give the rows that count")
        X, targets = self._data(X, y)
        return self._evaluate(X, targets, self._sample_weights(sample_weight, targets))

    def _evaluate(
        self, X: Array, targets: Array, weights: Array | None = None, subset: Array | None = None
    ) -> dict[str, float]:
        logs = self._evaluate_loss(X, targets, weights, subset)
        self._check_range(X, logs["loss"], subset)
        if self._metrics:
            found = self._outputs(X, self._loss.link, subset, in_units=True)
            targets = targets if subset is None else targets[subset]
            logs |= metrics_module.evaluated(self._metrics, self._loss, targets, found)
        return logs

    def _validate(self, validation: Any) -> dict[str, float]:
        """Loss and metrics on what `_validation` made of validation data."""
        return validation.evaluate() if isinstance(validation, Batches) else self._evaluate(*validation)

    def _evaluate_loss(self, X: Array, targets: Array, weights: Array | None, subset: Array | None) -> dict[str, float]:
        n = len(X) if subset is None else len(subset)
        if isinstance(self._loss, losses_module.Custom):
            chosen = slice(None) if subset is None else subset
            loss = self._loss(self._outputs(X, "identity", subset), targets[chosen])[0] + self._network.penalty()
            return self._logs(float(loss), 0, n)
        loss, right = self._with_run(_engine.Run.evaluate, n, "prediction", X, targets, weights, subset=subset)
        return self._logs(loss, right, n)

    def _logs(self, loss: Any, right: Any, n_samples: int) -> dict[str, Any]:
        """What is logged of a loss and the number of right outputs: numbers, or arrays of many epochs."""
        logs = {"loss": loss}
        if self.loss.has_accuracy:
            logs["accuracy"] = self.loss.accuracy(right, n_samples, self.n_outputs)
        return logs

    # ---- data and buffers ----

    def _data(
        self, X: Any, y: Any, names: tuple[str, str] = ("X", "y"), n_inputs: int | None = None
    ) -> tuple[Array, Array]:
        if self._network is not None:
            n_inputs = self._network.n_inputs
        array = samples(names[0], X, n_inputs, self._dtype)
        return array, self._loss.targets(y, len(array), self.n_outputs, self._dtype, names[1])

    @quiet
    def _sample_weights(
        self,
        sample_weight: Any,
        targets: Array,
        class_weight: Any = None,
        name: str = "sample_weight",
        some: bool = True,
    ) -> Array | None:
        """Weights of the samples as the engine reads them, None where all are 1. With `some` one is above 0: of one
        batch among others none needs to be."""
        weights = None
        if isinstance(self._loss, losses_module.Custom) and not (sample_weight is None and class_weight is None):
            given = name if class_weight is None else "class_weight"
            raise ValueError(f"{given} needs a loss for each sample, but a loss of one's own gives one for the batch")
        if sample_weight is not None:
            weights = sample_weights(name, sample_weight, len(targets), self._dtype)
            if some:
                check_some_weight(name, weights, self._dtype)
        if class_weight is None:
            return weights
        by_class = class_weights(class_weight, *self._loss.classes(targets, self.n_outputs))[:, None]
        return sample_weights(
            "class_weight * sample_weight",
            by_class if weights is None else by_class * weights,
            len(targets),
            self._dtype,
        )

    def _with_run(
        self,
        work: Callable[..., Any],
        rows: int,
        mode: str,
        X: Array,
        targets: Array | None = None,
        weights: Array | None = None,
        loss: bool = True,
        subset: Array | None = None,
        single: bool = True,
        keep: bool = False,
    ) -> Any:
        """What work does with the buffers of passes over batches of so many rows, bound to some data; kept for the next
        call, up to the limit of _pool.py or all of it. A second thread that predicts at the same time makes its own.
        Mode: "training", "prediction", "derivatives" of the network as it predicts, or "weight derivatives" of that;
        without a loss the targets are the gradient of the scores. Of the data the rows that subset names, or all.
        Where it is not a single call, but a training, work(run, pace) chooses the threads of its steps."""
        self._ready()
        trains = mode in ("training", "weight derivatives")
        if not trains:
            rows = 1 << (rows - 1).bit_length()  # few sizes, so that the next call finds its buffers
        kernel: Any = None
        if targets is not None and loss:
            kernel = self._loss if isinstance(self._loss, losses_module.Custom) else self._loss.kernel(targets)
        key = (rows, mode, str(kernel), self._n_threads)
        run, threads = self._runs.pop(key, None), self._n_threads or 1
        if self._n_threads is None and (run is None or run.deserves_several):
            threads = recent_threads() if single else default_threads()
            if run is not None and run.offered_threads != threads:  # the processors, or the process, are others now
                run = None
        if run is None:
            run = _engine.Run(
                self._network,
                rows,
                threads,
                self._n_threads is not None,
                trains,
                kernel,
                self.loss.row_scale(self.n_outputs),
                inference=mode == "weight derivatives",
                options=self.loss.options(self.n_outputs),
                derivatives=mode == "derivatives",
            )
        run.bind(X, targets, weights, subset)
        run.most_threads, paced, pace = run.n_threads, None, None
        rest = _pace.Rest() if run.n_threads > 1 else None
        try:
            if single and (run.n_threads == 1 or run.exact_threads):
                return work(run)
            paced, pace = self._paces.take(run, f"{mode} {work.__qualname__}", single)
            if not single:
                return work(run, pace)
            return _pace.single_call(run, work, len(X) if subset is None else len(subset), pace)
        finally:
            run.release()
            if pace is not None:
                self._paces.give(paced, pace)
            if trains:  # the buffers of one batch size at a time
                for other in list(self._runs):  # a copy in one go: another thread may predict meanwhile
                    if other[1] == mode:
                        self._runs.pop(other, None)
            self._runs[key] = run  # the newest is the last
            if single and not keep:
                _pool.trim(self)
            if rest is not None:
                rest.end()

    # ---- looking at it, keeping it ----

    def summary(self, batch_size: int = 32) -> None:
        """Print the layers with their shapes, activations, parameters, operations for a sample and memory.

        Parameters
        ----------
        batch_size : int, default 32
            Of which the memory of training is told.
        """
        from fastmlp import summary

        print(summary.text(self, bounded_integer("batch_size", batch_size)))

    def _repr_html_(self) -> str:
        """The summary, in a notebook."""
        from fastmlp import summary

        return summary.html(self)

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
        from fastmlp import plotting

        return plotting.drawn(lambda axes: plotting.network(self, axes), ax, to_file)

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

        files.save(self, path)

    if not TYPE_CHECKING:  # where any name would do then

        def __getattr__(self, name: str) -> Any:
            remedy = f"; {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{remedy}")

        def __setattr__(self, name: str, value: Any) -> None:
            known = name[:1] == "_" or name in _ASSIGNED or type(self) is not Model or hasattr(Model, name)
            if not known:  # a class of one's own may have more
                import difflib

                nearest = difflib.get_close_matches(name, _ASSIGNED, 1)
                remedy = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(_ASSIGNED)}"
                raise AttributeError(f"a Model has no attribute {name!r} to assign; {_ELSEWHERE.get(name, remedy)}")
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
        state = {name: value for name, value in self.__dict__.items() if name not in _UNCOPIED}
        if self._network is not None:
            # Or the weights would be of several steps of another thread. In a forked child that thread may be no more.
            with contextlib.nullcontext() if _engine.is_forked() else self._turn.of_callback():
                state["n_inputs"] = self.n_inputs
                state["weights"] = self._network.get_weights()
                state["training"] = self._network.get_state()
                state["_statistics"] = self._statistics
                state["_target_statistics"] = self._target_statistics
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        n_inputs, weights, training = (state.pop(name, None) for name in ("n_inputs", "weights", "training"))
        statistics, of_targets = state.pop("_statistics", {}), state.pop("_target_statistics", {})
        state.setdefault("_targets", None)  # what follows, and this, are the defaults of an older pickle
        self.__dict__.update(state)
        self._network, self._turn, self._runs, self._reader = None, _engine.Turn(), {}, None
        self._paces = _pace.Paces()
        if n_inputs is not None:
            self._build(n_inputs, weights)
            self._adapt(statistics, of_targets)
            self._network.set_state(training)


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

    return files.load(path, loss)


def _last_activation(layers: Sequence[Layer]) -> str:
    """Of the outputs; what changes nothing when the model predicts may come behind it."""
    for layer in reversed(layers):
        activation = getattr(layer, "activation", None) or "identity"
        if not isinstance(layer, Flatten | Dropout | Activation) or activation != "identity":
            return activation
    return "identity"


def _verbosity(verbose: Any) -> int:
    verbose = scalar("verbose", verbose)
    verbose = 1 if isinstance(verbose, str) and verbose == "auto" else verbose
    if not isinstance(verbose, numbers.Integral) or verbose not in (0, 1, 2):
        raise ValueError(f"verbose must be 0, 1, 2 or 'auto', not {verbose!r}")
    return int(verbose)


def _check_habits(batch_size: Any, verbose: Any) -> None:
    """Arguments that are taken for Keras's sake."""
    if batch_size is not None:
        bounded_integer("batch_size", batch_size)
    _verbosity(verbose)


def _dtype(dtype: npt.DTypeLike) -> str:
    try:
        name: str = "None" if dtype is None else np.dtype(scalar("dtype", dtype)).name  # NumPy takes None for float64
    except TypeError:
        name = repr(dtype)
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', not {name}")
    return name
