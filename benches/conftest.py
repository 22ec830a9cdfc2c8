"""Fixtures of the benches: shapes and peers (peers.py), instruction set and dtype.

``pytest benches --benchmark-only`` measures; ``pytest benches --benchmark-disable`` runs each bench once, as a test.
"""

import sys
from pathlib import Path

import pytest

from fastmlp import _engine

sys.path.insert(0, str(Path(__file__).parent))  # the benches share peers.py

import peers


@pytest.fixture(params=peers.SHAPES, ids=str)
def shape(request):
    """A network to train."""
    return request.param


@pytest.fixture(params=list(peers.PEERS))
def peer(request):
    """Name of an implementation that is installed."""
    why = peers.missing(request.param)
    if why:
        pytest.skip(why)
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Name of a dtype."""
    return request.param


@pytest.fixture
def isa():
    """The active instruction set: FASTMLP_ISA=avx2 measures another one."""
    return _engine.isa
