"""csrc/dispatch.c: which instruction set runs, and that FASTMLP_ISA forces it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastmlp import _engine, _kernels

AVAILABLE = [name for name, missing in _engine.isas().items() if missing is None]
MISSING = [name for name, missing in _engine.isas().items() if missing is not None]

REPORT = """
from fastmlp import _engine
network = _engine.Network(3, [(2, "relu", 0.0, True)], "float32")
print(_engine.isa, network.isa)
"""


def report_of(folder, isa):
    """Run REPORT in another process, on this very package, with FASTMLP_ISA=isa."""
    package = str(Path(_engine.__file__).parents[1])
    environment = {name: value for name, value in os.environ.items() if name != "FASTMLP_ISA"}
    environment["PYTHONPATH"] = os.pathsep.join([package, *filter(None, [environment.get("PYTHONPATH")])])
    if isa is not None:
        environment["FASTMLP_ISA"] = isa
    return subprocess.run(
        [sys.executable, "-c", REPORT], env=environment, cwd=folder, capture_output=True, text=True, timeout=200
    )


def test_forced_isa_is_the_active_one(isa, tmp_path):
    done = report_of(tmp_path, isa)
    assert done.stdout.split() == [isa, isa], done.stderr


def test_best_available_isa_is_the_default(tmp_path):
    done = report_of(tmp_path, None)
    assert done.stdout.split()[0] == AVAILABLE[0], done.stderr


@pytest.mark.parametrize("name", ["avx9000", "avx2 ", *MISSING])
def test_unknown_or_unavailable_isa_is_an_import_error_that_lists_the_available(name, tmp_path):
    done = report_of(tmp_path, name)
    assert done.returncode != 0
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith(f"ImportError: FASTMLP_ISA={name!r}: ")
    assert message.endswith("Available here: " + ", ".join(AVAILABLE))


def test_baseline_is_always_there():
    assert _engine.isas()["baseline"] is None
    assert list(_engine.isas())[-1] == "baseline"


def test_this_process_runs_what_was_asked_for():
    assert _engine.isa == os.environ.get("FASTMLP_ISA", AVAILABLE[0])


def test_a_table_is_what_it_says(isa, dtype):
    table = _kernels.table(isa, dtype)
    assert (table["isa"], table["dtype"]) == (isa, dtype)
    assert table["line"] * table["itemsize_bytes"] == 64
    assert table["itemsize_bytes"] == {"float32": 4, "float64": 8}[dtype]
    register_bytes = {"avx512": 64, "avx2": 32, "baseline": 16}[isa]
    assert table["lanes"] * table["itemsize_bytes"] == register_bytes
    assert 1 <= table["group"] <= 4


def test_a_network_runs_on_the_isa_it_is_given(isa, dtype):
    assert _engine.Network(3, [(2, "relu", 0.0, True)], dtype, isa=isa).isa == isa


@pytest.mark.parametrize("name", ["avx9000", "avx", "avx2_and_more"])
def test_an_unknown_isa_is_refused(dtype, name):
    with pytest.raises(ValueError, match=rf"'{name}'.*no instruction set of this name"):
        _engine.Network(3, [(2, "relu", 0.0, True)], dtype, isa=name)


@pytest.mark.parametrize("kind", ["activation", "loss", "update"])
def test_an_unknown_kernel_is_refused_with_the_list_of_the_known(kind):
    arguments = {
        "activation": (np.zeros(1),), "loss": (np.zeros((1, 1)), [0]), "update": (np.zeros(1), np.zeros(1), (), {}),
    }[kind]  # fmt: skip
    with pytest.raises(ValueError, match=r"no kernel named 'nonsense'; there are .*, "):
        getattr(_kernels, kind)("nonsense", *arguments)
