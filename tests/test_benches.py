"""Every kernel has a bench, and the benches train what they say."""

import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

from fastmlp import _engine, _kernels

BENCHES = Path(__file__).parents[1] / "benches"


@pytest.fixture
def module(monkeypatch):
    """Function that imports a file of benches/ by its name."""
    monkeypatch.syspath_prepend(str(BENCHES))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, BENCHES / f"{name}.py")
        found = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, found)
        spec.loader.exec_module(found)
        return found

    return load


def parameters(function):
    """Names of a function's parameters; none of what Python cannot tell."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return ()


def test_every_kernel_has_a_bench(module):
    bench = module("bench_kernels")
    families = {family.__name__ for family in bench.FAMILIES}
    functions = {name for name, thing in vars(_kernels).items() if callable(thing) and "repeat" in parameters(thing)}
    assert functions == families | {function.__name__ for function in bench.SINGLE}
    for lists in (_engine.activations, _engine.losses, _engine.optimizers, _engine.gathers):
        for name in lists:
            assert any(case.split()[-1] == name for case in bench.CASES), f"{name} has no bench"


def test_every_case_runs(module, dtype):
    for name, case in module("bench_kernels").CASES.items():
        assert case(dtype, isa=_engine.isa, repeat=2) is not None, name


def test_the_twin_trains_the_benches_networks_like_fastmlp(module):
    peers = module("peers")
    for shape in peers.SHAPES[:3]:
        peers.agree("numpy", shape)


def test_a_peer_that_computes_something_else_is_not_timed(module, monkeypatch):
    peers = module("peers")
    monkeypatch.setattr(peers.NumPy, "epoch", lambda self: 0.5)
    with pytest.raises(AssertionError, match=r"30-16-2 b32: numpy has the loss 0\.5"):
        peers.agree("numpy", peers.SHAPES[0])


def test_the_promised_shapes_are_measured(module):
    peers = module("peers")
    sys.modules["peers"] = peers
    assert set(module("ratio").TARGETS) <= {str(shape) for shape in peers.SHAPES}
