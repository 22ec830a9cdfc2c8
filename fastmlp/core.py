"""What a model is made of: layers, a loss and an optimizer on the compiled engine, what was learned, and its buffers.

Training, evaluation, derivatives, files and pictures take a `Core`; `fastmlp.Model` is the door to all of them and has
nothing of its own. What users pass in is checked here, or in _validation.py, before anything changes; C is only reached
by arrays that it can work on.
"""

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastmlp import _engine, _pace, _pool, _targets
from fastmlp import losses as losses_module
from fastmlp import metrics as metrics_module
from fastmlp import optimizers as optimizers_module
from fastmlp import preprocessing as preprocessing_module
from fastmlp._constants import check_constants
from fastmlp._quiet import quiet
from fastmlp._validation import (
    Array,
    LayerArrays,
    all_finite,
    bounded_integer,
    check_some_weight,
    class_weights,
    numeric_array,
    sample_weights,
    samples,
    scalar,
)
from fastmlp.config import default_threads, recent_threads
from fastmlp.history import History
from fastmlp.layers import Activation, Dense, Dropout, Flatten, Layer, activations_behind, checked, specs, walk, widths
from fastmlp.preprocessing import Preprocessing

# What belongs to this process, or is made anew from the rest: no copy has it.
_UNCOPIED = ("network", "turn", "runs", "paces", "reader")


class Core:
    """The state of a model.

    Parameters
    ----------
    layers, loss, optimizer, seed, dtype, preprocessing, metrics, targets
        As of `fastmlp.Model`.

    Attributes
    ----------
    weighted : tuple of Layer
        Layers that have weights, in the order of those.
    network : _engine.Network or None
        Weights, states of the optimizer and statistics; None before `build`.
    turn : _engine.Turn
        One thread at a time changes the model: ``with core.turn`` for a training, ``with core.turn.of_callback()`` for
        what a callback may do within one.
    runs : dict
        Buffers of passes for the next call, see _pool.py.
    paces : _pace.Paces
        What calls took, on how many threads.
    reader : Any
        What reads an iterator of batches that a training did not use up.
    n_threads : int or None
        Set by `set_threads`.
    history : History
        Of the last training.
    stop_training, stop_reason : bool, str
        What a callback wants.
    callback_states : tuple (int, list) or None
        Epochs done at the last checkpoint, and the states of the callbacks then.
    notes : dict of str to str
        What its file had beside the model.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: str | losses_module.Loss | Callable[..., Any],
        optimizer: str | optimizers_module.Optimizer,
        seed: int | None,
        dtype: npt.DTypeLike,
        preprocessing: str | Preprocessing | None,
        metrics: Sequence[str | metrics_module.Metric | Callable[[Array, Array], float]] | None,
        targets: str | None,
    ) -> None:
        self.layers = checked(layers)
        dense = [layer for layer in walk(self.layers) if isinstance(layer, Dense)]
        if not dense:
            raise ValueError(f"layers hold no fastmlp.Dense, which would tell the number of outputs: {layers!r}")
        self.n_outputs = dense[-1].units
        self.weighted = tuple(layer for layer, _ in widths(self.layers, None) if layer.weight_shapes(1))
        self.loss = losses_module.get(loss)
        self.loss.check_outputs(self.n_outputs, _last_activation(self.layers))
        self.dtype = _dtype(dtype)
        for described in (*walk(self.layers), self.loss):
            check_constants(described, self.dtype)
        self.optimizer = self._suited(optimizer)
        drawn = int.from_bytes(os.urandom(8), "little") if seed is None else seed
        self.seed = bounded_integer("seed", drawn, at_least=0, below=2**64)
        self.preprocessing = preprocessing_module.get(preprocessing)
        self.targets = _targets.check(targets, self.loss)
        self.set_metrics(metrics)
        self.n_threads: int | None = None
        self.history = History()
        self.stop_training, self.stop_reason = False, "callback"
        self.callback_states: tuple[int, list[Any]] | None = None
        self.notes: dict[str, str] = {}
        self._begin()

    def _begin(self) -> None:
        """Without weights and buffers."""
        self.network: Any = None
        self.turn = _engine.Turn()
        self.runs: dict[Any, Any] = {}
        self.paces = _pace.Paces()
        self.reader: Any = None

    def _suited(self, optimizer: str | optimizers_module.Optimizer) -> optimizers_module.Optimizer:
        """An optimizer whose constants the dtype can hold."""
        chosen = optimizers_module.get(optimizer)
        check_constants(chosen, self.dtype)
        return chosen

    # ---- options that may change ----

    def set_threads(self, n_threads: int | None) -> None:
        """Threads of the calls that follow; None: as many as the work deserves."""
        chosen = None if n_threads is None else bounded_integer("n_threads", n_threads, below=1025)
        if self.network is not None and self.turn.is_mine:
            self.network.refuse_in_step()
        self.n_threads, self.runs = chosen, {}

    def set_metrics(
        self, metrics: Sequence[str | metrics_module.Metric | Callable[[Array, Array], float]] | None
    ) -> None:
        """What is reported besides loss and accuracy."""
        self.metrics = metrics_module.suited(metrics, self.loss, self.n_outputs)

    def set_optimizer(self, optimizer: str | optimizers_module.Optimizer) -> None:
        """Go on with another optimizer, or with other constants of the same one, which then keeps its states."""
        chosen = self._suited(optimizer)
        with self.turn.of_callback():
            network, before = self.network, self.optimizer
            states = None if network is None else network.states
            try:
                if network is not None and chosen.kernel != self.optimizer.kernel:
                    network.set_optimizer(chosen.kernel, chosen.kernel_states)
                elif network is not None:
                    network.keep_optimizer(chosen.kernel_states)
                self.optimizer = chosen
            except BaseException:  # no memory, Ctrl-C: the network has changed already, or not at all
                changed = network is not None and network.states is not states
                self.optimizer = chosen if changed else before
                raise

    # ---- weights ----

    @property
    def n_inputs(self) -> int | None:
        """Columns of X, None before it is built."""
        return None if self.network is None else int(self.network.n_inputs)

    def built_network(self) -> Any:
        """The network; a ValueError before there is one."""
        if self.network is None:
            raise ValueError("this model has no weights yet; call build(n_inputs) or fit first, or pass n_inputs")
        return self.network

    def build(self, n_inputs: int, given: LayerArrays | None = None) -> None:
        """Give the layers their weights, from the seed or those given; nothing where they have some. Within a turn."""
        if self.network is not None:
            self.network.refuse_in_step()
            if n_inputs != self.n_inputs:
                raise ValueError(f"this model has {self.n_inputs} inputs already; make a new one for {n_inputs}")
            return
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
        network = _engine.Network(n_inputs, specs(self.layers, n_inputs), self.dtype, seed=self.seed)
        if given is None:  # those of one layer at a time: they are as large as what the network holds
            drawn = itertools.accumulate((isinstance(layer, Dense) for layer, _, _ in weighted), initial=0)
            network.set_weights(
                tuple(layer.initial_weights(n_in, self.dtype, self.seed, position, activation))
                for (layer, n_in, activation), position in zip(weighted, drawn, strict=False)
            )
        else:
            network.set_weights(given)
        network.set_optimizer(self.optimizer.kernel, self.optimizer.kernel_states)
        self.network = network

    def set_weights(self, weights: Sequence[Sequence[npt.ArrayLike]]) -> None:
        """Change all weights; a moving average then starts again from them."""
        arrays = self.layer_arrays("weights", weights)
        for i, (layer, found) in enumerate(zip(self.weighted, arrays, strict=True)):
            if isinstance(layer, Dense) and not layer.use_bias and found[1].any():
                value = found[1][found[1] != 0][0]
                raise ValueError(f"weights[{i}][1] holds {value}, but layer {i} has use_bias=False; give zeros")
            if "variance" in layer.weight_shapes(1) and (found[3] < 0).any():
                raise ValueError(f"weights[{i}][3] holds {found[3].min()}, but a variance is never negative")
        with self.turn.of_callback():
            self.built_network().set_weights(arrays)

    @quiet
    def layer_arrays(self, name: str, given: Sequence[Sequence[npt.ArrayLike]]) -> LayerArrays:
        """What is given, in the shapes of the weights, or of gradients: finite arrays of the model's dtype."""
        expected = self.built_network().shapes(running=name == "weights")
        if isinstance(given, str | np.ndarray) or not isinstance(given, Sequence):
            raise TypeError(f"{name} must be a list of tuples such as (W, b), not {type(given).__name__}")
        if len(given) != len(expected):
            raise ValueError(f"{name} holds {len(given)} entries, but {len(expected)} layers of the model have weights")
        found = []
        for i, (of_layer, shapes, layer) in enumerate(zip(given, expected, self.weighted, strict=True)):
            names = [*layer.weight_shapes(1)][: len(shapes)]
            wanted = f"a tuple ({', '.join(names)}{',' * (len(names) == 1)})"
            if isinstance(of_layer, str) or not isinstance(of_layer, Sequence):
                raise TypeError(f"{name}[{i}] must be {wanted}, not {type(of_layer).__name__}")
            if len(of_layer) != len(shapes):
                raise ValueError(f"{name}[{i}] must be {wanted}, not {len(of_layer)} arrays")
            arrays = [numeric_array(f"{name}[{i}][{j}]", array) for j, array in enumerate(of_layer)]
            for j, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
                if array.shape != shape:
                    raise ValueError(f"{name}[{i}][{j}] has shape {array.shape}, but layer {i} wants {shape}")
                all_finite(f"{name}[{i}][{j}]", array, self.dtype, "give finite numbers")
            found.append(tuple(array.astype(self.dtype) for array in arrays))
        return found

    def gradient_arrays(self, name: str, given: Sequence[Sequence[npt.ArrayLike]]) -> LayerArrays:
        """What is given, in the shapes of gradients; zero where there is none: of a bias that is not used."""
        return [
            tuple(
                array if wanted else np.zeros_like(array)
                for array, wanted in zip(arrays, layer.has_gradient, strict=False)
            )
            for arrays, layer in zip(self.layer_arrays(name, given), self.weighted, strict=True)
        ]

    # ---- what preprocessing and scaling of targets have learned ----

    @property
    def statistics(self) -> dict[str, Array]:
        """Of the preprocessing, by name; empty before it has seen data."""
        return {} if self.network is None else self.network.statistics

    @property
    def target_statistics(self) -> dict[str, Array]:
        """Of ``targets="standardize"``, by name; empty before it has seen targets."""
        return {} if self.network is None else self.network.target_statistics

    def unlearned(
        self, X: Array, targets: Array, subset: Array | None, weights: Array | None
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """For `adapt` what was not learned yet, of the rows subset or of all: a first `fit` does so."""
        statistics: dict[str, Array] = {}
        of_targets: dict[str, Array] = {}
        if self.preprocessing is not None and not self.statistics:
            statistics = self.preprocessing.fitted(X, subset, self.dtype, weights)
        if self.targets is not None and not self.target_statistics:
            of_targets = _targets.fitted(targets, subset, self.dtype, weights)
        return statistics, of_targets

    @quiet
    def adapt(self, statistics: dict[str, Array], of_targets: dict[str, Array]) -> None:
        """Take what was learned of inputs and targets; where that is nothing all stays as it is."""
        if of_targets:
            self.network.set_target_scaling(of_targets)
        if not statistics:
            return
        assert self.preprocessing is not None
        self.network.set_scaling(*self.preprocessing.scaling(statistics), statistics=statistics)

    def check_adapted(self) -> None:
        """Whether preprocessing and scaling of targets know what to do."""
        if self.preprocessing is not None and not self.statistics:
            raise ValueError("this model's preprocessing has seen no data yet; call adapt(X), or fit on arrays first")
        if self.targets is not None and not self.target_statistics:
            raise ValueError("this model has seen no targets to scale by yet; call adapt(X, y), or fit on arrays first")

    # ---- data ----

    def data(
        self, X: Any, y: Any, names: tuple[str, str] = ("X", "y"), n_inputs: int | None = None
    ) -> tuple[Array, Array]:
        """Samples and targets as the engine reads them."""
        if self.network is not None:
            n_inputs = self.network.n_inputs
        array = samples(names[0], X, n_inputs, self.dtype)
        return array, self.loss.targets(y, len(array), self.n_outputs, self.dtype, names[1])

    @quiet
    def sample_weights(
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
        if isinstance(self.loss, losses_module.Custom) and not (sample_weight is None and class_weight is None):
            given = name if class_weight is None else "class_weight"
            raise ValueError(f"{given} needs a loss for each sample, but a loss of one's own gives one for the batch")
        if sample_weight is not None:
            weights = sample_weights(name, sample_weight, len(targets), self.dtype)
            if some:
                check_some_weight(name, weights, self.dtype)
        if class_weight is None:
            return weights
        by_class = class_weights(class_weight, *self.loss.classes(targets, self.n_outputs))[:, None]
        return sample_weights(
            "class_weight * sample_weight",
            by_class if weights is None else by_class * weights,
            len(targets),
            self.dtype,
        )

    def logs(self, loss: Any, right: Any, n_samples: int) -> dict[str, Any]:
        """What is logged of a loss and the number of right outputs: numbers, or arrays of many epochs."""
        logs = {"loss": loss}
        if self.loss.has_accuracy:
            logs["accuracy"] = self.loss.accuracy(right, n_samples, self.n_outputs)
        return logs

    # ---- buffers ----

    def with_run(
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
        self.check_adapted()
        trains = mode in ("training", "weight derivatives")
        if not trains:
            rows = 1 << (rows - 1).bit_length()  # few sizes, so that the next call finds its buffers
        kernel: Any = None
        if targets is not None and loss:
            kernel = self.loss if isinstance(self.loss, losses_module.Custom) else self.loss.kernel(targets)
        key = (rows, mode, str(kernel), self.n_threads)
        run, threads = self.runs.pop(key, None), self.n_threads or 1
        if self.n_threads is None and (run is None or run.deserves_several):
            threads = recent_threads() if single else default_threads()
            if run is not None and run.offered_threads != threads:  # the processors, or the process, are others now
                run = None
        if run is None:
            run = _engine.Run(
                self.network,
                rows,
                threads,
                self.n_threads is not None,
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
            paced, pace = self.paces.take(run, f"{mode} {work.__qualname__}", single)
            if not single:
                return work(run, pace)
            return _pace.single_call(run, work, len(X) if subset is None else len(subset), pace)
        finally:
            run.release()
            if pace is not None:
                self.paces.give(paced, pace)
            if trains:  # the buffers of one batch size at a time
                for other in list(self.runs):  # a copy in one go: another thread may predict meanwhile
                    if other[1] == mode:
                        self.runs.pop(other, None)
            self.runs[key] = run  # the newest is the last
            if single and not keep:
                _pool.trim(self.runs)
            if rest is not None:
                rest.end()

    def trim(self) -> None:
        """Give back what a training needed, within its turn: buffers beyond the limit, and its copy of the weights
        where that is larger."""
        _pool.trim(self.runs)
        if self.network is not None:
            self.network.forget(_pool.MOST_BYTES)

    # ---- copies ----

    def in_dtype(self, dtype: str) -> "Core":
        """A copy that computes in another dtype."""
        made = Core.__new__(Core)
        made.__setstate__({**self.__getstate__(), "dtype": dtype})
        return made

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name not in _UNCOPIED}
        if self.network is not None:
            # Or the weights would be of several steps of another thread. In a forked child that thread may be no more.
            with contextlib.nullcontext() if _engine.is_forked() else self.turn.of_callback():
                state["n_inputs"] = self.n_inputs
                state["weights"] = self.network.get_weights()
                state["training"] = self.network.get_state()
                state["statistics"] = self.statistics
                state["target_statistics"] = self.target_statistics
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        n_inputs, weights, training = (state.pop(name, None) for name in ("n_inputs", "weights", "training"))
        statistics, of_targets = state.pop("statistics", {}), state.pop("target_statistics", {})
        self.__dict__.update(state)
        self._begin()
        if n_inputs is not None:
            self.build(n_inputs, weights)
            self.adapt(statistics, of_targets)
            self.network.set_state(training)


def core_of(model: Any) -> Core:
    """The core of a fastmlp.Model; a TypeError of anything else."""
    core = getattr(model, "_core", None)
    if not isinstance(core, Core):
        raise TypeError(f"model must be a fastmlp.Model, not {type(model).__name__}")
    return core


def _last_activation(layers: Sequence[Layer]) -> str:
    """Of the outputs; what changes nothing when the model predicts may come behind it."""
    for layer in reversed(layers):
        activation = getattr(layer, "activation", None) or "identity"
        if not isinstance(layer, Flatten | Dropout | Activation) or activation != "identity":
            return activation
    return "identity"


def _dtype(dtype: npt.DTypeLike) -> str:
    try:
        name: str = "None" if dtype is None else np.dtype(scalar("dtype", dtype)).name  # NumPy takes None for float64
    except TypeError:
        name = repr(dtype)
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', not {name}")
    return name
