"""fastmlp in the children of a process."""

import multiprocessing
import warnings

import numpy as np
import pytest

import fastmlp as fm


def trained_bytes():
    X = np.random.default_rng(0).standard_normal((200, 20)).astype(np.float32)
    model = fm.Model([fm.Dense(40, "tanh"), fm.Dense(3)], n_inputs=20, n_threads=2)
    model.fit(X, X[:, :3], epochs=3, verbose=0)
    return b"".join(array.tobytes() for pair in model.weights for array in pair) + model.predict(X).tobytes()


def report(connection):
    connection.send(trained_bytes())
    connection.close()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_trains_with_the_same_bits(method):
    """Also a forked child of a process whose OpenMP threads are running: they do not exist in the child."""
    expected = trained_bytes()
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    child = context.Process(target=report, args=(there,), daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of any fork beside threads
        child.start()
    there.close()
    try:
        assert here.poll(60), "the child does not answer"
        assert here.recv() == expected
    finally:
        child.kill()
        child.join()
