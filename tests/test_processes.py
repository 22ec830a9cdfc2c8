"""fastmlp in the children of a process."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastmlp as fm

# A file of its own: a child that is spawned imports the module of its target, and tests cannot be imported by name.
PROGRAM = """
import multiprocessing, sys, warnings
import numpy as np
import fastmlp as fm

def trained_bytes():
    X = np.random.default_rng(0).standard_normal((200, 20)).astype(np.float32)
    model = fm.Model([fm.Dense(40, "tanh"), fm.Dense(3)], n_inputs=20, n_threads=2)
    model.fit(X, X[:, :3], epochs=3, verbose=0)
    return b"".join(array.tobytes() for pair in model.weights for array in pair) + model.predict(X).tobytes()

def report(connection):
    connection.send(trained_bytes())
    connection.close()

if __name__ == "__main__":
    expected = trained_bytes()
    context = multiprocessing.get_context(sys.argv[1])
    here, there = context.Pipe()
    child = context.Process(target=report, args=(there,), daemon=True)
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of any fork beside threads
    child.start()
    there.close()
    try:
        assert here.poll(60), "the child does not answer"
        assert here.recv() == expected, "the child has other bits"
    finally:
        child.kill()
        child.join()
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_trains_with_the_same_bits(method, tmp_path):
    """Also a forked child of a process whose OpenMP threads are running: they do not exist in the child."""
    (tmp_path / "program.py").write_text(PROGRAM)
    package = str(Path(fm.__file__).parents[1])  # the one that is tested here, be it installed or built in place
    done = subprocess.run(
        [sys.executable, "program.py", method],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
