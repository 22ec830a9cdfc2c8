"""Every peer does fastmlp's training and predicts its probabilities; one that does not is found out."""

import dataclasses
import importlib.metadata
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastmlp
from fastmlp.bench import comparison, frameworks, peers
from fastmlp.bench.workloads import Workload

SMALL = Workload((12, 9, 3), 8, 5)
TWO_CLASSES = Workload((12, 9, 7, 2), 8, 5)
ADAM = dataclasses.replace(SMALL, optimizer="adam")


def skip_if_missing(name):
    """The name of a peer that can run here."""
    if reason := peers.missing(name):
        if "FASTMLP_REQUIRE_PEERS" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    return name


@pytest.fixture(params=list(peers.TRAINERS))
def trainer(request):
    """Name of a peer that trains."""
    return skip_if_missing(request.param)


@pytest.fixture(params=list(peers.PREDICTORS))
def predictor(request):
    """Name of a peer that predicts."""
    return skip_if_missing(request.param)


@pytest.mark.parametrize("workload", [SMALL, ADAM, TWO_CLASSES], ids=str)
def test_a_peer_has_the_loss_of_fastmlp(trainer, workload):
    peers.agree(trainer, workload)


@pytest.mark.parametrize("workload", [SMALL, TWO_CLASSES], ids=str)
def test_a_peer_has_the_probabilities_of_fastmlp(predictor, workload):
    peers.agree_on_prediction(predictor, workload)


@pytest.mark.parametrize("workload", [SMALL, ADAM], ids=str)
def test_a_peer_goes_on_where_its_epoch_ended(trainer, workload):
    ours, theirs = peers.FastMLP(workload), peers.PEERS[trainer](workload)
    for _ in range(3):
        assert theirs.epoch() == pytest.approx(ours.epoch(), rel=1e-4)
    X = workload.data()[0]
    np.testing.assert_allclose(theirs.predict(X), ours.predict(X), rtol=0, atol=1e-4)


def test_a_peer_that_computes_something_else_is_refused(monkeypatch):
    monkeypatch.setattr(peers.NumPy, "epoch", lambda self: 0.5)
    with pytest.raises(AssertionError, match=r"12-9-3 b8: numpy has the loss 0\.5, fastmlp \d"):
        peers.agree("numpy", SMALL)
    monkeypatch.setattr(peers.NumPy, "epoch", lambda self: float("nan"))
    with pytest.raises(AssertionError, match="numpy has the loss nan"):
        peers.agree("numpy", SMALL)


@pytest.mark.parametrize("wrong", [0.5, np.nan])
def test_a_peer_that_predicts_something_else_is_refused(monkeypatch, wrong):
    monkeypatch.setattr(peers.NumPy, "predict", lambda self, X: np.full((len(X), 3), wrong, np.float32))
    with pytest.raises(AssertionError, match=rf"numpy has the probability {wrong}, fastmlp 0\.\d"):
        peers.agree_on_prediction("numpy", SMALL)


def test_probabilities_of_another_shape_are_refused(monkeypatch):
    monkeypatch.setattr(peers.NumPy, "predict", lambda self, X: np.full((len(X), 1), 0.5, np.float32))
    with pytest.raises(AssertionError, match=r"array of \(8, 1\), fastmlp of \(8, 3\)"):
        peers.agree_on_prediction("numpy", SMALL)


def test_one_logistic_output_is_the_softmax_of_two_for_a_step():
    one_step = dataclasses.replace(TWO_CLASSES, batches=1)
    logistic = peers.ScikitLearn.expected_loss(one_step)
    assert logistic == pytest.approx(peers.FastMLP(one_step).epoch(), rel=1e-6)


def test_missing_names_the_package_and_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert peers.missing("jax scan") == "jax is not installed: pip install 'fastmlp[bench-peers]'"
    assert peers.missing("scikit-learn") == "scikit-learn is not installed: pip install 'fastmlp[bench-peers]'"
    assert peers.missing("fastmlp") is None


def test_only_what_is_installed_has_a_version(monkeypatch):
    def version(name):
        if name != "jax":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert peers.versions() == {"jax": "1.2"}


def test_a_peer_that_does_not_run_is_named(monkeypatch):
    def broken(self):
        raise OSError("no such library")

    monkeypatch.setattr(peers.NumPy, "epoch", broken)
    refused = [row["refused"] for row in comparison.training([SMALL], ["numpy"], 3, 1e-3)]
    assert refused == [f"{SMALL}: numpy does not run: OSError: no such library"]


def test_missing_names_what_else_is_needed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(frameworks.shutil, "which", lambda name: None)
    assert "C++ compiler" in peers.missing("torch.compile")
    other = type("keras", (), {"backend": type("backend", (), {"backend": staticmethod(lambda: "torch")})})
    monkeypatch.setitem(sys.modules, "keras", other)
    assert "keras runs on torch already" in peers.missing("keras")


def test_every_class_that_trains_or_predicts_is_listed():
    found = [*vars(peers).values(), *vars(frameworks).values()]
    classes = [c for c in found if inspect.isclass(c) and issubclass(c, peers.Peer) and c is not peers.Peer]
    assert next(iter(peers.PEERS)) == "fastmlp"
    for method, listed in (("epoch", peers.TRAINERS), ("predict", peers.PREDICTORS)):
        assert {c for c in classes if hasattr(c, method) and not c.__name__.startswith("_")} == set(listed.values())
        assert listed.items() <= peers.PEERS.items()
    assert all(peer.name == name for name, peer in peers.PEERS.items())


def test_nothing_heavy_is_imported_before_it_is_needed(tmp_path):
    code = """
import sys
from fastmlp.bench import peers
[peers.missing(name) for name in peers.PEERS], peers.versions()
print([m for m in ("torch", "jax", "keras", "sklearn", "onnx", "onnxruntime") if m in sys.modules])
"""
    # In another folder, with the package which is tested here, be it installed or built in place.
    environment = {**os.environ, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
        timeout=200,
    )
    assert found.stdout.strip() == "[]"
