"""Every kernel has a bench, which counts what it does. Peers: test_bench_peers.py."""

import importlib.util
import inspect
import re
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
    assert {name for name, *_ in bench.measurements()} == set(bench.CASES)


def test_every_member_of_the_kernel_table_has_a_bench(module):
    bench = module("bench_kernels")
    header = (BENCHES.parent / "csrc" / "fastmlp.h").read_text()
    table = header.partition("typedef struct fm_kernels {")[2].partition("} fm_kernels;")[0]
    members = set(re.findall(r"^ *fm_\w+ \*(\w+)(?:\[\w+\])?;", table, re.MULTILINE))
    assert len(members) > 10
    assert members == {family.__name__ for family in bench.FAMILIES} | {f.__name__ for f in bench.SINGLE}


def test_every_case_runs(module, dtype):
    bench = module("bench_kernels")
    for name, case in bench.CASES.items():
        smallest = next(iter(bench.SIZES[name].values()))
        assert case(smallest, dtype, isa=_engine.isa, repeat=2) is not None, name
        assert bench.operations(case, smallest, _engine.isa, dtype) or bench.moved_bytes(case, smallest, dtype), name


def test_bytes_are_counted_once_for_each_read_and_write(module):
    bench = module("bench_kernels")
    adam, gather = bench.CASES["update adam"], bench.CASES["gather u8"]
    assert bench.moved_bytes(adam, 10, "float32") == 10 * 4 * (4 + 3)  # g w m v read, w m v written
    assert bench.resident_bytes(adam, 10, "float32") == 10 * 4 * 4
    assert bench.moved_bytes(bench.CASES["update sgd"], 10, "float64") == 10 * 8 * 3
    assert bench.moved_bytes(gather, 10, "float64") == bench.resident_bytes(gather, 10, "float64") == 10 * (1 + 8)
