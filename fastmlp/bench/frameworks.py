"""The peers that differentiate by themselves, or only infer: PyTorch, JAX, Keras, ONNX Runtime. See peers.py."""

import math
import os
import shutil
import sys
import warnings
from typing import Any

import numpy as np

from fastmlp._validation import Array
from fastmlp.bench.peer import BETA_1, BETA_2, EPSILON, Peer, adam_constants, batches_of
from fastmlp.bench.workloads import Workload


class Torch(Peer):
    """PyTorch, eager.

    The advice is of its "Performance Tuning Guide" (gradients set to None, `inference_mode`) and of `torch.optim`: Adam
    is fused, which saved a quarter of a step; SGD is the default, as fused and foreach were within 5 % of it.
    """

    name, requires = "torch", ("torch",)

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
        self.batches = [(torch.from_numpy(x), torch.from_numpy(t)) for x, t in batches_of(workload)]
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

    name = "torch.compile"

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
        if self.workload.optimizer == "sgd":
            return self._step(x, t, None, None)
        self.step += 1
        # As tensors: a new number would be a new graph, and a power in the graph is computed for every weight.
        return self._step(x, t, *map(self.torch.tensor, adam_constants(self.workload, self.step)))

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

    name = "jax scan"

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        self._epoch = self.jax.jit(self._scan, donate_argnums=0)

    def epoch(self) -> float:
        return self._train(1)

    def train(self, epochs: int) -> None:
        self._train(epochs)

    def _train(self, epochs: int) -> float:
        for _ in range(epochs):
            self.state, loss = self._epoch(self.state, (self.X, self.y))
        return float(loss)

    def _scan(self, state: Any, batches: Any) -> tuple[Any, Any]:
        state, losses = self.jax.lax.scan(self._step, state, batches)
        return state, losses.mean()


class JaxStep(_Jax):
    """JAX with a call for each step, as in its training tutorials.

    The documentation of asynchronous dispatch: no loss is fetched before all steps are under way. The state is donated.
    """

    name = "jax step"

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

    name, requires = "keras", ("keras", "jax")

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

    name, requires = "onnxruntime", ("onnx", "onnxruntime")

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
