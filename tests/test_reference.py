"""fastmlp/reference/ and the kernels have the same names, and the twin itself is right without them."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from fastmlp import _engine, _kernels, reference

HELPERS = {"aligned", "copied", "line_of", "table", "to_panels", "from_panels", "padded"}
BY_REGISTRY = {"activation": "ACTIVATIONS", "loss": "LOSSES", "update": "OPTIMIZERS"}
# In csrc/random.c, fastmlp/engine/train.pxi, within dropout, in fastmlp/engine/moments.pxi, csrc/kernels/tree.inc.h.
NOT_IN_THE_TABLE = {"shuffle", "hyper_of_step", "philox_4x32", "moments", "by_tree"}
KERNELS = Path(__file__).parents[1] / "csrc" / "kernels"


def functions_of(module):
    return {
        name
        for name, f in vars(module).items()
        if inspect.isroutine(f) and not name.startswith("_") and f.__module__.startswith(module.__name__)
    }


def twins_by_registry():
    return {name for registry in BY_REGISTRY.values() for name in getattr(reference, registry)}


def test_every_kernel_has_a_twin_and_the_reverse():
    kernels = functions_of(_kernels) - HELPERS - set(BY_REGISTRY)
    twins = functions_of(reference) - NOT_IN_THE_TABLE - twins_by_registry()
    assert kernels == twins
    assert set(_engine.activations) | set(_engine.losses) | set(_engine.optimizers) == twins_by_registry()


@pytest.mark.parametrize("name", sorted(functions_of(_kernels) - HELPERS - set(BY_REGISTRY)))
def test_twins_take_the_same_arguments(name):
    kernel, twin = (inspect.signature(getattr(module, name)).parameters for module in (_kernels, reference))
    assert set(twin) <= set(kernel)


@pytest.mark.parametrize("registry", BY_REGISTRY.values())
def test_a_registry_has_the_functions_of_its_names(registry):
    for name, function in getattr(reference, registry).items():
        assert function is getattr(reference, name)


def test_the_twin_imports_nothing_of_the_package():
    for path in Path(reference.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] != "fastmlp" or name.startswith("fastmlp.reference"), f"{path}: {name}"


@pytest.mark.skipif(not KERNELS.is_dir(), reason="the sources of the kernels are not here")
def test_a_twin_is_in_the_file_that_has_the_name_of_its_kernels():
    of_kernel = {
        name: path.name.partition(".")[0]
        for path in KERNELS.glob("*.inc.h")
        if path.name != "table.inc.h"
        for name in re.findall(r"^(?!#).*?(?:FM\(|LOSS\()(\w+)[,)]", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    seen = 0
    for name in functions_of(reference) & set(of_kernel):
        assert getattr(reference, name).__module__ == f"fastmlp.reference.{of_kernel[name]}", name
        seen += 1
    assert seen > 40


def network(dtype="float64", loss="squared_error"):
    rng = np.random.default_rng(0)
    layers, n_in = [], 5
    for n_out, name in ((6, "tanh"), (4, "gelu"), (3, "identity")):
        w, b = rng.standard_normal((n_in, n_out)), rng.standard_normal(n_out)
        layers.append((w.astype(dtype), b.astype(dtype), name))
        n_in = n_out
    return reference.Network(layers, loss), rng.standard_normal((8, 5)).astype(dtype)


@pytest.mark.parametrize("loss", reference.LOSSES)
def test_gradients_are_central_differences(loss):
    net, x = network(loss=loss)
    targets = np.arange(8) % 3 if loss.endswith("_labels") else np.random.default_rng(1).dirichlet(np.ones(3), 8)
    _, _, gradients = net.loss_and_gradients(x, targets)
    for layer, pair in zip(net.layers, gradients, strict=True):
        for a, gradient in zip(layer[:2], pair, strict=True):
            for place in np.ndindex(a.shape):
                f, kept = [], a[place]
                for h in (1e-5, -1e-5):
                    a[place] = kept + h
                    f.append(net.evaluate(x, targets)[0])
                a[place] = kept
                assert gradient[place] == pytest.approx((f[0] - f[1]) / 2e-5, abs=1e-8, rel=1e-8)


def test_everything_is_computed_in_the_dtype_of_the_weights(dtype):
    net, x = network(dtype)
    for optimizer in reference.OPTIMIZERS:
        net.set_optimizer(optimizer)
        net.fit(x, np.zeros((8, 3), dtype), 3, [0.01] * 4, {"momentum": 0.9, "beta_2": 0.9, "epsilon": 1e-7})
        for layer in net.layers:
            assert layer.w.dtype == layer.b.dtype == dtype
    assert net.predict(x).dtype == dtype


def test_training_learns():
    net, x = network()
    targets = np.sin(x[:, :3])
    net.set_optimizer("adam")
    hyper = {"momentum": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "bias_correction": True}
    losses, _ = net.fit(x, targets, 3, [0.02] * 600, hyper, shuffled=True)
    assert losses[-3:].max() < 0.05 * losses[:3].min()
