"""fastmlp in the children of a process: threads after a fork, as many as asked for and the same bits, never a hang."""

import hashlib
import itertools
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine

# A file of its own: a child that is spawned imports the module of its target, and tests cannot be imported by name.
PROGRAM = '''
import concurrent.futures, ctypes, multiprocessing, os, signal, sys, threading, time, traceback, warnings
import numpy as np
import fastmlp as fm
from fastmlp import _engine, _pace, config

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of any fork beside threads
X = np.random.default_rng(0).standard_normal((300, 40)).astype(np.float32)

def model_of(n_threads=2, loss="mean_squared_error"):
    return fm.Model([fm.Dense(60, "tanh"), fm.Dense(3)], loss, n_inputs=40, n_threads=n_threads)

def bytes_of(model):
    return b"".join(array.tobytes() for pair in model.weights for array in pair) + model.predict(X).tobytes()

def trained_bytes(n_threads=2):
    model = model_of(n_threads)
    model.fit(X, X[:, :3], epochs=3, verbose=0)
    return bytes_of(model)

def n_threads_here():
    return len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0

def report(connection):
    connection.send(trained_bytes())
    connection.close()

def in_child(work):
    """Whether work() gave something true in a child of os.fork."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if work() else 2
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

def threads_come_back(expected):
    """Trained in a child with the same bits; and on two threads, where they can be counted."""
    _engine.idle_seconds, _pace.LONG_SECONDS = (lambda: 0.0), float("inf")  # as of calls that come often: they stay
    same = trained_bytes() == expected
    return same and (n_threads_here() == 2 or not TWO)  # the child began with one

def started(method):
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    child = context.Process(target=report, args=(there,), daemon=True)
    child.start()
    there.close()
    try:
        assert here.poll(60), "the child does not answer"
        assert here.recv() == trained_bytes(), "the child has other bits"
    finally:
        child.kill()
        child.join()

def forked():
    expected = trained_bytes()
    assert in_child(lambda: threads_come_back(expected))
    assert trained_bytes() == expected, "the parent has other bits after the fork"
    assert in_child(lambda: threads_come_back(expected) and in_child(lambda: threads_come_back(expected)))

def forked_by_c():
    """Without the hooks of Python."""
    expected, c = trained_bytes(), ctypes.PyDLL(None)
    pid = c.fork()
    if pid == 0:
        os._exit(0 if trained_bytes() == expected else 1)
    assert os.waitpid(pid, 0)[1] == 0

def forked_beside_training():
    """While another thread trains, and predicts, in the parent."""
    expected, other, over = trained_bytes(), model_of(), threading.Event()
    def train():
        while not over.is_set():
            other.fit(X, X[:, :3], epochs=50, verbose=0)
    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    def child():
        try:
            other.fit(X, X[:, :3], verbose=0)
        except RuntimeError as error:  # the thread that has the turn is not in this process
            assert "forked" in str(error)
        other.predict(X)
        return threads_come_back(expected)
    for _ in range(4):
        assert in_child(child)
        time.sleep(0.003)
    over.set()
    thread.join()
    other.fit(X, X[:, :3], verbose=0)

def forked_in_a_callback():
    """The child goes on with the training in which it was forked."""
    expected = trained_bytes()
    pids = []
    class Fork(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 1:
                pids.append(os.fork())
    model = model_of()
    model.fit(X, X[:, :3], epochs=3, callbacks=[Fork()], verbose=0)
    same = bytes_of(model) == expected
    if pids[0] == 0:
        os._exit(0 if same else 1)
    assert same
    assert os.waitpid(pids[0], 0)[1] == 0

def forked_in_a_loss():
    """Within a parallel region: the child may train another model, on one thread; going on with that region is told."""
    expected = trained_bytes()
    def loss(scores, targets):
        assert in_child(lambda: trained_bytes() == expected)
        return float(((scores - targets) ** 2).mean()), 2 * (scores - targets) / scores.size
    model_of(2, fm.losses.Custom(loss)).fit(X, X[:, :3], batch_size=300, verbose=0)
    def returning(scores, targets):
        if TWO:
            pid = os.fork()
            assert pid == 0 or os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        return loss(scores, targets)
    model_of(2, fm.losses.Custom(returning)).fit(X, X[:, :3], batch_size=300, verbose=0)

def forked_by_a_signal_handler():
    """In the middle of a long step: its region waits for threads that are not in the child, which is told."""
    from fastmlp import _engine
    expected = trained_bytes()
    network = _engine.Network(2000, [(4000, "relu"), (2000, "relu")], "float64", "baseline")
    run = _engine.Run(network, 256, 2 if TWO else 1, True, True, "squared_error")
    run.seconds_per_visit = 0
    run.bind(np.ones((256, 2000)), np.zeros((256, 2000)))
    statuses, here, hyper = [], os.getpid(), fm.SGD().hyper()
    def fork(number, frame):
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert in_child(lambda: trained_bytes() == expected), "a child that does not return"
        pid = os.fork()
        if pid == 0:
            return
        until, found = time.monotonic() + 60, (0, 0)
        while found[0] == 0 and time.monotonic() < until:
            time.sleep(0.01)
            found = os.waitpid(pid, os.WNOHANG)
        if found[0] == 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert found[0], "the child hangs"
        statuses.append(os.waitstatus_to_exitcode(found[1]))
    signal.signal(signal.SIGALRM, fork)
    while not statuses or (TWO and statuses[-1] != 1 and len(statuses) < 5):  # where the signal came too early
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        run.step(0.1, hyper)
        if os.getpid() != here:
            os._exit(3)  # it could go on: forked before the step, or on one thread
    assert statuses[-1] == (1 if TWO else 3), statuses
    assert trained_bytes() == expected

def forked_while_batches_are_read():
    """The thread that reads them is not in the child: an error says so, and a new iterable works."""
    def batches():
        while True:
            yield X, X[:, :3]
    pids = []
    class Fork(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 1:
                pids.append(os.fork())
    model = model_of()
    try:
        model.fit(batches(), steps_per_epoch=20, epochs=4, callbacks=[Fork()], verbose=0)
    except RuntimeError as error:
        if pids[0] == 0:
            model.fit(batches(), steps_per_epoch=2, verbose=0)
            os._exit(0 if "forked" in str(error) else 1)
        raise
    if pids[0] == 0:
        os._exit(2)
    assert os.waitpid(pids[0], 0)[1] == 0

def by_loky():
    import joblib
    results = joblib.Parallel(n_jobs=2, backend="loky", timeout=100)(
        joblib.delayed(trained_bytes)(n) for n in (None, 1, 2, None))
    assert set(results) == {trained_bytes()}

def defaults():
    """One thread in every child unless OMP_NUM_THREADS says more, also right after calls in the parent."""
    os.environ.pop("OMP_NUM_THREADS", None)
    os.sched_getaffinity = lambda process: {0, 1}  # wherever this runs
    config._quota, config.RECENT_SECONDS = (float("inf"), None), 1000.0  # and however slowly
    model = fm.Model([fm.Dense(500, "tanh"), fm.Dense(3)], n_inputs=40)  # its calls deserve several threads
    def offered():
        model.predict(X)
        model.train_on_batch(X, X[:, :3])
        return [run.offered_threads for run in model._core.runs.values()]
    assert offered() == [2, 2]
    assert config.default_threads() == config.recent_threads() == config.cores() == 2
    assert in_child(lambda: config.default_threads() == config.recent_threads() == 1 and offered() == [1, 1])
    assert offered() == [2, 2]
    os.environ["OMP_NUM_THREADS"] = "1000"
    assert in_child(lambda: config.default_threads() == config.cores())
    del os.environ["OMP_NUM_THREADS"]
    for method in multiprocessing.get_all_start_methods():
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
            assert pool.submit(config.default_threads).result(60) == 1, method

if __name__ == "__main__":
    TWO = sys.argv[1] == "openmp"
    globals()[sys.argv[2]](*sys.argv[3:])
    print("finished")
else:
    TWO = False
'''


def call(tmp_path, program, *arguments, timeout=250):
    """What a program printed, in a process of its own; where it hangs or fails this fails."""
    (tmp_path / "program.py").write_text(program)
    package = str(Path(fm.__file__).parents[1])  # the one that is tested here, be it installed or built in place
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "program.py", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
    return done


def run(tmp_path, *arguments):
    """The scenario of PROGRAM."""
    two = "openmp" if _engine.has_openmp and sys.platform == "linux" else "one"
    done = call(tmp_path, PROGRAM, two, *arguments)
    assert done.stdout.endswith("finished\n")
    return done


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_trains_with_the_same_bits(method, tmp_path):
    """Also a forked child of a process whose OpenMP threads are running: they do not exist in the child."""
    run(tmp_path, "started", method)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize(
    "scenario",
    [
        "forked",
        "forked_by_c",
        "forked_beside_training",
        "forked_in_a_callback",
        "forked_while_batches_are_read",
        "defaults",
    ],
)
def test_a_fork(scenario, tmp_path):
    run(tmp_path, scenario)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_in_a_loss(tmp_path):
    done = run(tmp_path, "forked_in_a_loss")
    assert ("forked within a loss function" in done.stderr) == (_engine.has_openmp and sys.platform == "linux")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_by_a_signal_handler(tmp_path):
    done = run(tmp_path, "forked_by_a_signal_handler")
    assert ("or by a signal handler" in done.stderr) == (_engine.has_openmp and sys.platform == "linux")


def test_workers_of_loky(tmp_path):
    pytest.importorskip("joblib")
    run(tmp_path, "by_loky")


# Three OpenMP runtimes in one process: torch, scikit-learn and fastmlp bring one each.
IMPORTS = """
import hashlib, importlib, os, sys, threading
modules = {name: importlib.import_module(name) for name in sys.argv[1].split(",")}
import numpy as np
fm, torch = modules["fastmlp"], modules["torch"]
from sklearn.neural_network import MLPClassifier
from sklearn.ensemble import HistGradientBoostingClassifier

torch.set_num_threads(2)
X = np.random.default_rng(0).standard_normal((600, 40)).astype(np.float32)
y = (X[:, 0] > 0).astype(np.int64)

def with_fastmlp():
    model = fm.Model([fm.Dense(64, "tanh"), fm.Dense(2)], "softmax_cross_entropy", n_inputs=40, n_threads=2)
    model.fit(X, y, epochs=2, verbose=0)
    return hashlib.sha256(b"".join(a.tobytes() for pair in model.weights for a in pair)).hexdigest()

def with_torch():
    net = torch.nn.Sequential(torch.nn.Linear(40, 256), torch.nn.ReLU(), torch.nn.Linear(256, 2))
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(3):
        loss = torch.nn.functional.cross_entropy(net(torch.tensor(X)), torch.tensor(y))
        optimizer.zero_grad(); loss.backward(); optimizer.step()
    assert np.isfinite(float(loss))

def with_sklearn():
    HistGradientBoostingClassifier(max_iter=3).fit(X, y)
    MLPClassifier((16,), max_iter=2).fit(X, y)

works = {"fastmlp": with_fastmlp, "torch": with_torch, "sklearn": with_sklearn}
import warnings
warnings.simplefilter("ignore")
found = set()
for _ in range(2):
    for name in modules:
        result = works[name]()
        if result:
            found.add(result)
threads = [threading.Thread(target=works[name]) for name in modules]  # all at the same time
for thread in threads: thread.start()
for thread in threads: thread.join()
pid = os.fork()  # and in a child, fastmlp alone: torch and scikit-learn promise nothing there
if pid == 0:
    os._exit(0 if with_fastmlp() in found else 1)
assert os.waitpid(pid, 0)[1] == 0
found.add(with_fastmlp())
assert len(found) == 1, found
print(found.pop())
"""


@pytest.mark.torch
@pytest.mark.parametrize("order", list(itertools.permutations(["fastmlp", "torch", "sklearn"])), ids=",".join)
def test_every_import_order(order, tmp_path):
    """No one hangs, and the bits are those of fastmlp alone."""
    pytest.importorskip("torch")
    done = call(tmp_path, IMPORTS, ",".join(order), timeout=250)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 40)).astype(np.float32)
    model = fm.Model([fm.Dense(64, "tanh"), fm.Dense(2)], "softmax_cross_entropy", n_inputs=40, n_threads=1)
    model.fit(X, (X[:, 0] > 0).astype(np.int64), epochs=2, verbose=0)
    weights = b"".join(a.tobytes() for pair in model.weights for a in pair)
    assert done.stdout.split()[-1] == hashlib.sha256(weights).hexdigest()
