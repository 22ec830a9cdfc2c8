"""The same training by every library that a user could pick instead of fastmlp.

Each peer is written the way its own documentation recommends for speed; its docstring names the advice followed. All
use every core by default, compute in float32 and start from the weights of `Workload.model`. `epoch()` trains once over
the workload's data, in order, and returns the mean loss of its steps, so that all must return the same losses: `agree`
makes sure before anything is timed. `predict(X)` returns probabilities, NumPy in and NumPy out.

Two conventions of Adam are in use: Keras and scikit-learn add epsilon before the second moment's bias is corrected, the
others after it. The losses of the workloads differ by up to 4e-5 of their value for it, and else by 1e-6 at most.

Nothing but NumPy is imported before a peer is made.
"""

import importlib.metadata
import importlib.util
import math
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

import fastmlp as fm
from fastmlp import _reference
from fastmlp._validation import Array
from fastmlp.bench.workloads import Workload

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class Peer:
    """What all peers have: `name`, `title`, the modules it `requires`, and `epoch`, `predict` or both."""

    name: ClassVar[str]
    title: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.weights = [(W.copy(), b.copy()) for W, b in workload.model().weights]

    def train(self, epochs: int) -> None:
        """Some epochs, to be timed."""
        for _ in range(epochs):
            self.epoch()  # type: ignore[attr-defined]

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

    name, title = "fastmlp", "fastmlp"

    def __init__(self, workload: Workload, n_threads: int | None = None, dtype: str = "float32") -> None:
        self.workload, self.model = workload, workload.model(n_threads, dtype)
        self.X, self.y = workload.data()

    def epoch(self) -> float:
        return self._fit(1)

    def train(self, epochs: int) -> None:
        self._fit(epochs)

    def _fit(self, epochs: int) -> float:
        history = self.model.fit(self.X, self.y, self.workload.batch, epochs, shuffle=False, verbose=0)
        return float(history["loss"][0])

    def predict(self, X: Array) -> Array:
        return self.model.predict(X)


class Twin(Peer):
    """fastmlp/_reference.py: written to be read, in float64 where that is simpler."""

    name, title, requires = "twin", "fastmlp's NumPy twin", ("numpy",)

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        *hidden, last = self.weights
        layers = [*((W, b, "relu") for W, b in hidden), last]
        self.net = _reference.Network(layers, "softmax_cross_entropy_labels")
        self.net.set_optimizer(workload.optimizer)
        self.hyper = workload.model().optimizer.hyper()
        self.batches = _split(workload)

    def epoch(self) -> float:
        rate = self.workload.learning_rate
        return float(np.mean([self.net.train_step(x, t, self.hyper, rate)[0] for x, t in self.batches]))

    def predict(self, X: Array) -> Array:
        return self.net.predict(X, "softmax")


class NumPy(Peer):
    """Plain NumPy by someone who knows it: float32 products into arrays that exist, updates in place, batches as views.

    The advice is of "NumPy: the absolute basics" and of the ufuncs' documentation: no loops, and `out=`.
    """

    name, title, requires = "numpy", "NumPy", ("numpy",)

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self.batches, self.rows, self.step = _split(workload), np.arange(workload.batch), 0
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
        rate, correction = _adam_constants(self.workload, self.step)
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

    name, title, requires = "scikit-learn", "scikit-learn", ("sklearn",)

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
        return float(model.fit(X, y, workload.batch, shuffle=False, verbose=0)["loss"][0])

    @staticmethod
    def _one_output(weights: Sequence[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
        """The weights whose logistic output is the second of two softmax outputs."""
        *hidden, (W, b) = weights
        return [*hidden, (W[:, 1:] - W[:, :1], b[1:] - b[:1])]


class Torch(Peer):
    """PyTorch, eager.

    The advice is of its "Performance Tuning Guide" (gradients set to None, `inference_mode`) and of `torch.optim`: Adam
    is fused, which saved a quarter of a step; SGD is the default, as fused and foreach were within 5 % of it.
    """

    name, title, requires = "torch", "PyTorch", ("torch",)

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        import torch

        self.torch = torch
        modules = []
        for W, b in self.weights:
            linear = torch.nn.Linear(*W.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(W).T)
                linear.bias.copy_(torch.from_numpy(b))
            modules += [linear, torch.nn.ReLU()]
        self.net = torch.nn.Sequential(*modules[:-1])
        self.loss = torch.nn.CrossEntropyLoss()
        self.batches = [(torch.from_numpy(x), torch.from_numpy(t)) for x, t in _split(workload)]
        self._prepare()

    def _prepare(self) -> None:
        rate, parameters = self.workload.learning_rate, self.net.parameters()
        if self.workload.optimizer == "sgd":
            self.optimizer = self.torch.optim.SGD(parameters, rate)
        else:
            self.optimizer = self.torch.optim.Adam(parameters, rate, (BETA_1, BETA_2), EPSILON, fused=True)

    def epoch(self) -> float:
        return float(self.torch.stack([self._train(x, t) for x, t in self.batches]).mean())

    def predict(self, X: Array) -> Array:
        with self.torch.inference_mode():
            found: Array = self._probabilities(self.torch.from_numpy(X)).numpy()
            return found

    def _train(self, x: Any, t: Any) -> Any:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.net(x), t)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _probabilities(self, x: Any) -> Any:
        return self.torch.softmax(self.net(x), 1)


class TorchCompile(Torch):
    """PyTorch's compiler, given the whole step at once: forward, backward and update in one graph.

    `torch.compile` advises one graph (`fullgraph`) of fixed shapes (`dynamic=False`): by the gradients of `torch.func`
    and an update written out. That took a third of the time of a compiled forward with an eager optimizer on small
    networks, and no more on large ones. "max-autotune" was as fast as the default mode, and "reduce-overhead" works by
    CUDA graphs alone.
    """

    name, title = "torch.compile", "PyTorch, compiled"

    @classmethod
    def unavailable(cls) -> str | None:
        compilers = os.environ.get("CXX") or "g++", "clang++", "cl"
        return None if any(map(shutil.which, compilers)) else "torch.compile needs a C++ compiler: install g++"

    def _prepare(self) -> None:
        torch, self.step = self.torch, 0
        self.net.requires_grad_(False)
        self.parameters = dict(self.net.named_parameters())
        self.states = {name: (torch.zeros_like(w), torch.zeros_like(w)) for name, w in self.parameters.items()}
        # Compiled code belongs to the function, and few variants are kept: each peer must count its own.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)  # by the compiler's own imports
            self._step = torch.compile(self._whole_step, fullgraph=True, dynamic=False, isolate_recompiles=True)
            self._compiled_probabilities = torch.compile(super()._probabilities, isolate_recompiles=True)

    def _whole_step(self, x: Any, t: Any, rate: Any, correction: Any) -> Any:
        def loss_of(parameters: dict[str, Any]) -> Any:
            return self.loss(self.torch.func.functional_call(self.net, parameters, (x,)), t)

        gradients, loss = self.torch.func.grad_and_value(loss_of)(self.parameters)
        for name, w in self.parameters.items():
            g = gradients[name]
            if self.workload.optimizer == "sgd":
                w.sub_(self.workload.learning_rate * g)
                continue
            m, v = self.states[name]
            m.mul_(BETA_1).add_(g, alpha=1 - BETA_1)
            v.mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
            w.sub_(rate * m / (v.sqrt() * correction + EPSILON))
        return loss

    def _train(self, x: Any, t: Any) -> Any:
        self.step += 1
        # As tensors: a new number would be a new graph, and a power in the graph is computed for every weight.
        return self._step(x, t, *map(self.torch.tensor, _adam_constants(self.workload, self.step)))

    def _probabilities(self, x: Any) -> Any:
        return self._compiled_probabilities(x)


class _Jax(Peer):
    """What both ways of JAX share: pure functions of a state (parameters, their moments, steps made)."""

    requires = ("jax",)

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        import jax

        self.jax, jnp = jax, jax.numpy
        parameters = [(jnp.array(W), jnp.array(b)) for W, b in self.weights]
        moments = () if workload.optimizer == "sgd" else tuple(jax.tree.map(jnp.zeros_like, (parameters, parameters)))
        self.state = parameters, moments, jnp.zeros((), jnp.float32)
        X, y = workload.data()
        self.X = jnp.array(X.reshape(workload.batches, workload.batch, -1))
        self.y = jnp.array(y.reshape(workload.batches, workload.batch).astype(np.int32))
        self._jitted_probabilities = jax.jit(lambda parameters, x: jax.nn.softmax(self._scores(parameters, x)))

    def predict(self, X: Array) -> Array:
        return np.asarray(self._jitted_probabilities(self.state[0], X))

    def _scores(self, parameters: Any, x: Any) -> Any:
        for W, b in parameters[:-1]:
            x = self.jax.nn.relu(x @ W + b)
        W, b = parameters[-1]
        return x @ W + b

    def _loss(self, parameters: Any, x: Any, t: Any) -> Any:
        log_p = self.jax.nn.log_softmax(self._scores(parameters, x))
        return -(self.jax.nn.one_hot(t, self.workload.widths[-1]) * log_p).sum(axis=1).mean()

    def _step(self, state: Any, batch: Any) -> tuple[Any, Any]:
        (parameters, moments, step), tree_map, jnp = state, self.jax.tree.map, self.jax.numpy
        loss, gradients = self.jax.value_and_grad(self._loss)(parameters, *batch)
        rate, step = self.workload.learning_rate, step + 1
        if self.workload.optimizer == "sgd":
            return (tree_map(lambda w, g: w - rate * g, parameters, gradients), moments, step), loss
        # 1 - beta^t, whose digits the subtraction would lose in float32
        unbiased_1, unbiased_2 = (-jnp.expm1(step * math.log(beta)) for beta in (BETA_1, BETA_2))
        m = tree_map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, moments[0], gradients)
        v = tree_map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, moments[1], gradients)
        parameters = tree_map(
            lambda w, m, v: w - rate / unbiased_1 * m / (jnp.sqrt(v / unbiased_2) + EPSILON), parameters, m, v
        )
        return (parameters, (m, v), step), loss


class JaxScan(_Jax):
    """JAX with a whole epoch in one call.

    The documentation of `jax.lax.scan` and of buffer donation: the loop is compiled with its body, the batches are on
    the device, and the state is donated, so that it is updated in place. To unroll the loop gained nothing.
    """

    name, title = "jax scan", "JAX, one call an epoch"

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self._epoch = self.jax.jit(self._scan, donate_argnums=0)

    def epoch(self) -> float:
        self.state, loss = self._epoch(self.state, (self.X, self.y))
        return float(loss)

    def _scan(self, state: Any, batches: Any) -> tuple[Any, Any]:
        state, losses = self.jax.lax.scan(self._step, state, batches)
        return state, losses.mean()


class JaxStep(_Jax):
    """JAX with a call for each step, as in its training tutorials.

    The documentation of asynchronous dispatch: no loss is fetched before all steps are under way. The state is donated.
    """

    name, title = "jax step", "JAX, one call a step"

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self._jitted_step = self.jax.jit(self._step, donate_argnums=0)
        self.batches = list(zip(self.X, self.y, strict=True))

    def epoch(self) -> float:
        losses = []
        for batch in self.batches:
            self.state, loss = self._jitted_step(self.state, batch)
            losses.append(loss)
        return float(np.mean(self.jax.device_get(losses)))


class Keras(Peer):
    """Keras 3 on JAX, its fastest backend for a small network.

    The documentation of `compile`: `jit_compile`, and `steps_per_execution` of an epoch, which saves the work between
    steps. `predict_on_batch` answers a request: of what the FAQ offers beside `predict` it is the compiled one, and
    was several times as fast as calling the model.
    """

    name, title, requires = "keras", "Keras on JAX", ("keras", "jax")

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        os.environ["KERAS_BACKEND"] = "jax"
        import keras

        layers, rate = keras.layers, workload.learning_rate
        hidden = [layers.Dense(width, "relu") for width in workload.widths[1:-1]]
        self.net = keras.Sequential([keras.Input(workload.widths[:1]), *hidden, layers.Dense(workload.widths[-1])])
        self.net.set_weights([a for pair in self.weights for a in pair])
        self.net.compile(
            keras.optimizers.SGD(rate)
            if workload.optimizer == "sgd"
            else keras.optimizers.Adam(rate, BETA_1, BETA_2, EPSILON),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=True,
            steps_per_execution=workload.batches,
        )
        self.classifier = keras.Sequential([self.net, layers.Softmax()])
        self.X, self.y = workload.data()

    @classmethod
    def unavailable(cls) -> str | None:
        keras = sys.modules.get("keras")
        backend = "jax" if keras is None else keras.backend.backend()
        return None if backend == "jax" else f"keras runs on {backend} already: set KERAS_BACKEND=jax before its import"

    def epoch(self) -> float:
        return self._fit(1)

    def train(self, epochs: int) -> None:
        self._fit(epochs)

    def _fit(self, epochs: int) -> float:
        options = {"epochs": epochs, "shuffle": False, "verbose": 0}
        history = self.net.fit(self.X, self.y, self.workload.batch, **options)
        return float(history.history["loss"][0])

    def predict(self, X: Array) -> Array:
        return np.asarray(self.classifier.predict_on_batch(X))


class OnnxRuntime(Peer):
    """ONNX Runtime, which only infers.

    Its "Performance" pages: the defaults are all graph optimisations, and a thread for each core.
    """

    name, title, requires = "onnxruntime", "ONNX Runtime", ("onnx", "onnxruntime")

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        nodes, constants, last = [], [], len(self.weights) - 1
        for i, (W, b) in enumerate(self.weights):
            constants += [numpy_helper.from_array(W, f"W{i}"), numpy_helper.from_array(b, f"b{i}")]
            nodes += [
                helper.make_node("Gemm", [f"y{i}", f"W{i}", f"b{i}"], [f"z{i}"]),
                helper.make_node("Softmax" if i == last else "Relu", [f"z{i}"], [f"y{i + 1}"]),
            ]
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])
            for name, width in (("y0", workload.widths[0]), (f"y{last + 1}", workload.widths[-1]))
        ]
        graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], constants)
        opset = [helper.make_opsetid("", 17)]
        # The oldest format will do: onnx may know newer ones than onnxruntime reads.
        model = helper.make_model(graph, opset_imports=opset, ir_version=helper.find_min_ir_version_for(opset))
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def predict(self, X: Array) -> Array:
        found: Array = self.session.run(None, {"y0": X})[0]
        return found


def _split(workload: Workload) -> list[tuple[Array, Array]]:
    """The batches of an epoch: views."""
    X, y = workload.data()
    return list(zip(np.split(X, workload.batches), np.split(y, workload.batches), strict=True))


def _adam_constants(workload: Workload, step: int) -> tuple[float, float]:
    """Of step 1, 2, ...: the rate over m's bias, 1 over the root of v's; just the rate and 1 with SGD."""
    if workload.optimizer == "sgd":
        return workload.learning_rate, 1.0
    return workload.learning_rate / (1 - BETA_1**step), 1 / math.sqrt(1 - BETA_2**step)


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
        if importlib.util.find_spec(module) is not None:
            found[_distribution(module)] = importlib.metadata.version(_distribution(module))
    return found


def agree(name: str, workload: Workload) -> None:
    """Raise AssertionError unless the peer's first epoch has fastmlp's loss, within 1e-4 of it."""
    found, expected = PEERS[name](workload).epoch(), PEERS[name].expected_loss(workload)
    if not abs(found - expected) <= 1e-4 * abs(expected):
        raise AssertionError(f"{workload}: {name} has the loss {found}, fastmlp {expected}")


def agree_on_prediction(name: str, workload: Workload) -> None:
    """Raise AssertionError unless the peer's probabilities are fastmlp's, within 1e-5, for a batch of the workload."""
    X = workload.data()[0][: workload.batch]
    found, expected = PEERS[name](workload).predict(X), FastMLP(workload).predict(X)
    if found.shape != expected.shape:
        raise AssertionError(f"{workload}: {name} predicts an array of {found.shape}, fastmlp of {expected.shape}")
    worst = np.unravel_index(np.argmax(np.abs(found - expected)), found.shape)
    if not abs(found[worst] - expected[worst]) <= 1e-5:
        raise AssertionError(f"{workload}: {name} has the probability {found[worst]}, fastmlp {expected[worst]}")
