"""The examples in docstrings run, and every public function, class and method of a module has a docstring."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import fastmlp

MODULES = ["fastmlp"] + [
    module.name
    for module in pkgutil.walk_packages(fastmlp.__path__, "fastmlp.")
    if module.name != "fastmlp.__main__" and not module.name.startswith("fastmlp.bench.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


@pytest.mark.parametrize("name", [name for name in MODULES if "._" not in name])
def test_public_names_are_described(name):
    module = importlib.import_module(name)
    assert module.__doc__
    own = [(n, o) for n, o in vars(module).items() if getattr(o, "__module__", None) == name and not n.startswith("_")]
    for label, thing in own:
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert thing.__doc__, f"{name}.{label} has no docstring"
        for method, function in vars(thing).items() if inspect.isclass(thing) else ():
            if inspect.isfunction(function) and not method.startswith("_"):
                assert inspect.getdoc(getattr(thing, method)), f"{name}.{label}.{method} has no docstring"
