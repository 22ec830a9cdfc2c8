"""tests/reliability: what its programs change in the sources is there to be changed."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="the sources are not here")


def test_every_fault_to_seed_has_its_place(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "tests" / "reliability"), *sys.path])
    seeded, sanitizers = (importlib.import_module(name) for name in ("seeded_faults", "sanitizers"))
    faults = [(fault.name, fault.file, fault.old, fault.new) for fault in seeded.FAULTS]
    for kind in sanitizers.FAULTS.values():
        faults += [(name, file, old, new) for name, (file, old, new, *_) in kind.items()]
    assert len(faults) > 60
    stale = [name for name, file, old, _ in faults if (ROOT / file).read_text(encoding="utf-8").count(old) != 1]
    assert not stale
    assert not [name for name, _, old, new in faults if old == new]


def test_mutants_know_where_modules_and_tests_are():
    tree = ast.parse((ROOT / "tests" / "reliability" / "mutants.py").read_text(encoding="utf-8"))
    fitting = next(
        ast.literal_eval(node.value) for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "FITTING"
    )  # fmt: skip

    assert all((ROOT / "fastmlp" / f"{module}.py").exists() for module in fitting)
    assert all((ROOT / "tests" / f"test_{name}.py").exists() for names in fitting.values() for name in names)
