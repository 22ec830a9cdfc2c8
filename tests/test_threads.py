"""Many Python threads, Ctrl-C, and how many threads a call gets."""

import copy
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from reliability import interrupts

import fastmlp as fm
from fastmlp import _engine, config

RNG = np.random.default_rng(0)
X = RNG.standard_normal((500, 30)).astype(np.float32)
Y = RNG.integers(0, 5, 500)


def model_of(seed, **options):
    """A small classifier, one of eight."""
    units = 20 + 15 * (seed % 4)
    layers = [fm.Dense(units, "relu"), fm.BatchNorm(), fm.Dropout(0.2), fm.Dense(5)]
    options = {"optimizer": ["adam", "sgd"][seed % 2], "n_threads": [None, 1, 2][seed % 3]} | options
    return fm.Model(layers, "softmax_cross_entropy", seed=seed, n_inputs=30, **options)


def bytes_of(model):
    """Weights and predictions."""
    return b"".join(a.tobytes() for pair in model.weights for a in pair) + model.predict(X).tobytes()


# ---- many threads of Python ----


def test_eight_threads_train_eight_models():
    def train(seed):
        model = model_of(seed)
        model.fit(X, Y, epochs=3, validation_split=0.2, verbose=0)
        model.fit([(X[:100], Y[:100]), (X[100:300], Y[100:300])], epochs=2, verbose=0)
        for _ in range(5):
            model.train_on_batch(X[:40], Y[:40])
        return bytes_of(model)

    expected = [train(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(train, range(8))) == expected


@pytest.mark.parametrize("n_threads", [None, 2])
def test_eight_threads_ask_one_model(n_threads):
    model = model_of(3, n_threads=n_threads)
    model.fit(X, Y, verbose=0)
    questions = [
        lambda: model.predict(X).tobytes(),
        lambda: model.predict(X[:7]).tobytes(),
        lambda: model.evaluate(X, Y),
        lambda: model.jacobian(X[:20]).tobytes(),
        lambda: model.input_gradients(X[:50], Y[:50]).tobytes(),
    ]
    expected = [question() for question in questions]
    start = threading.Barrier(8)

    def ask(thread):
        start.wait()
        return [questions[(thread + i) % 5]() == expected[(thread + i) % 5] for i in range(40)]

    with ThreadPoolExecutor(8) as pool:
        assert all(map(all, pool.map(ask, range(8))))


def test_the_second_of_two_threads_that_change_a_model_is_refused(tmp_path):
    model, entered, leave = model_of(1), threading.Event(), threading.Event()

    class Hold(fm.Callback):
        def on_epoch_begin(self, epoch, logs):
            entered.set()
            assert leave.wait(60)

    with ThreadPoolExecutor(1) as pool:
        fit = pool.submit(model.fit, X, Y, callbacks=[Hold()], verbose=0)
        assert entered.wait(60)
        changes = [
            lambda: model.fit(X, Y, verbose=0),
            lambda: model.train_on_batch(X, Y),
            lambda: model.loss_and_gradients(X, Y),
            lambda: setattr(model, "optimizer", "sgd"),
            lambda: setattr(model, "weights", model.weights),
            lambda: model.build(30),
            lambda: model.save(tmp_path / "net"),
            lambda: copy.deepcopy(model),
        ]
        for change in changes:
            with pytest.raises(RuntimeError, match="being trained by another call; wait for it, or copy or save"):
                change()
        assert model.predict(X).shape == (500, 5)
        leave.set()
        fit.result()
    model.fit(X, Y, verbose=0)


def test_preprocessing_learned_by_another_thread_while_buffers_are_kept():
    """A prediction that was bound before has no room for the product of a whitening; it makes some."""
    model = fm.Model([fm.Dense(5)], n_inputs=30, preprocessing="whiten")
    model.adapt(X)
    network = model._core.network
    out, other = np.empty((2, 500, 5), np.float32)
    run = _engine.Run(_engine.Network(30, [(5,)], "float32"), 500, 2, True)
    run.bind(X)
    run.network.set_scaling(np.zeros(30), np.ones(30), np.eye(30))
    run.predict(out, "identity")
    plain = _engine.Run(_engine.Network(30, [(5,)], "float32"), 500, 2, True)
    plain.bind(X)
    plain.predict(other, "identity")
    assert out.tobytes() == other.tobytes()
    assert network.statistics.keys() == {"mean", "matrix"}


# ---- Ctrl-C ----


@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or a coverage tool traces lines already")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a file that open() gave to nobody
@pytest.mark.parametrize("job", interrupts.JOBS)
def test_ctrl_c_before_a_line(job):
    """A sample of the lines; tests/reliability/interrupts.py tries all."""
    findings, tried = interrupts.lines([job], 397, int(RNG.integers(397)))
    assert not findings
    assert tried >= 1


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="the trial sends signals that this system does not have")
def test_ctrl_c_at_random_moments():
    findings, sent = interrupts.signals(20, 1)
    assert not findings
    assert sent == 20


def start_timer_and(work):
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    work()


def interrupted(work):
    """Call work and have a signal come meanwhile, whose handler is Ctrl-C's."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            start_timer_and(work)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def large_network(layers):
    """With the slowest kernels, and 1 as the last bias: outputs are 1 where they are computed to the end."""
    network = _engine.Network(layers[0], [(units, "relu") for units in layers[1:]], "float64", "baseline")
    pairs = [(np.zeros(shape), np.zeros(bias)) for shape, bias in network.shapes()]
    pairs[-1][1][:] = 1
    network.set_weights(pairs)
    return network


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers on this system")
@pytest.mark.parametrize(("rows", "n_threads"), [(512, 1), (512, 2), (60, 2)])
def test_ctrl_c_in_the_middle_of_a_long_step(rows, n_threads):
    """Nothing has changed then."""
    network = large_network([2000, 4000, 2000])
    run = _engine.Run(network, rows, n_threads, True, True, "squared_error")
    run.seconds_per_visit = 0  # however fast the machine is
    run.bind(np.ones((rows, 2000)), np.zeros((rows, 2000)))
    hyper = fm.SGD().hyper()
    interrupted(lambda: run.step(0.1, hyper))
    assert network.step == 0
    assert network.get_weights()[1][1].tolist() == [1.0] * 2000
    interrupted(lambda: run.train(np.full(3, 0.1), hyper))
    assert network.step == 0
    interrupted(run.gradients)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers on this system")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_in_the_middle_of_a_block(n_threads):
    """The last layer was not reached."""
    network = large_network([500, 4000, 4000, 100])
    run = _engine.Run(network, 128, n_threads, True)
    run.bind(np.ones((128, 500)))
    out = np.full((128, 100), 7.0)
    interrupted(lambda: run.predict(out, "identity"))
    assert (out == 0).all()
    run.predict(out, "identity")
    assert (out == 1).all()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers on this system")
def test_ctrl_c_in_the_middle_of_a_jacobian():
    """Most outputs were not reached."""
    network = large_network([300, 300, 200])
    run = _engine.Run(network, 128, 1, True, derivatives=True)
    run.bind(np.ones((128, 300)))
    out = np.full((128, 200, 300), 7.0)
    interrupted(lambda: run.jacobian(out))
    assert (out[:, -1] == 7).all()


# ---- how many threads ----


def files(folder, **contents):
    """Write them, "/" as "__" in the names."""
    for name, text in contents.items():
        path = folder / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


MOUNT = "30 20 0:26 {root} {folder} rw,nosuid shared:4 - {kind} {kind} {options}\n"

# Lines of /proc/self/cgroup and of mountinfo, files, and the processors that are granted.
TREES = {
    "version 2, own group": (
        "0::/a/b\n", [("/", "cgroup2", "rw")],
        {"a__b__cpu_max": "150000 100000\n", "a__cpu_max": "max 100000\n"}, 1.5,
    ),
    "version 2, the group around it is smaller": (
        "0::/a/b/c\n", [("/", "cgroup2", "rw")],
        {"a__b__cpu_max": "400000 100000\n", "a__cpu_max": "200000 100000\n", "a__b__c__cpu_max": "max 100000\n"}, 2.0,
    ),
    "version 2, in a container that sees its own group as the root": (
        "0::/\n", [("/", "cgroup2", "rw")], {"cpu_max": "50000 100000\n"}, 0.5,
    ),
    "version 2, mounted from the container's group": (
        "0::/docker/x\n", [("/docker/x", "cgroup2", "rw")], {"cpu_max": "300000 100000\n"}, 3.0,
    ),
    "version 2, no limit": ("0::/a\n", [("/", "cgroup2", "rw")], {"a__cpu_max": "max 100000\n"}, None),
    "version 2, no controller for processors": ("0::/a\n", [("/", "cgroup2", "rw")], {"a__pids": "1"}, None),
    "version 1": (
        "5:cpu,cpuacct:/a/b\n4:memory:/a\n0::/\n", [("/", "cgroup", "rw,cpuacct,cpu")],
        {"a__b__cpu_cfs_quota_us": "-1\n", "a__b__cpu_cfs_period_us": "100000\n", "a__cpu_cfs_quota_us": "250000\n",
         "a__cpu_cfs_period_us": "50000\n"}, 5.0,
    ),
    "version 1, other controllers": (
        "5:memory:/a\n", [("/", "cgroup", "rw,memory")],
        {"a__cpu_cfs_quota_us": "1000\n", "a__cpu_cfs_period_us": "50000\n"}, None,
    ),
    "nonsense": ("x\n::\n0::/a\n", [("/", "cgroup2", "rw")], {"a__cpu_max": "?\n", "cpu_max": "100000 0\n"}, None),
    "empty files": ("", [], {}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_quotas_of_control_groups(name, tmp_path):
    groups, mounts, contents, expected = TREES[name]
    folder = tmp_path / "sys fs cgroup"
    files(folder, **contents)
    files(tmp_path, proc__cgroup=groups)
    seen = str(folder).replace(" ", "\\040")
    lines = [MOUNT.format(root=root, folder=seen, kind=kind, options=options) for root, kind, options in mounts]
    files(tmp_path, proc__mountinfo="".join(["short line\n", *lines]))
    assert config.cgroup_quota(str(tmp_path / "proc")) == expected


def test_a_quota_bounds_the_cores_and_is_looked_up_again(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(config, "_quota", (0.0, None))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(config, "cgroup_quota", lambda: 2.7)
    assert config.cores() == 2
    monkeypatch.setattr(config, "cgroup_quota", lambda: 0.4)
    assert config.cores() == 2  # within a second
    monkeypatch.setattr(config, "_quota", (0.0, None))
    assert config.cores() == 1


AFFINITY = """
import os, time
import numpy as np
import fastmlp as fm
from fastmlp import config

every = set(sorted(os.sched_getaffinity(0))[:8])  # the calls below are worth no more threads than some tens
os.sched_setaffinity(0, {min(every)})
X = np.ones((512, 100), np.float32)
model = fm.Model([fm.Dense(200, "tanh"), fm.Dense(3)], n_inputs=100)

def offered():
    return {run.offered_threads for run in model._core.runs.values()}

for allowed in ({min(every)}, every, {max(every)}):
    os.sched_setaffinity(0, allowed)
    assert config.cores() <= len(allowed)
    time.sleep(2 * config.RECENT_SECONDS)
    model.predict(X)
    model.train_on_batch(X, X[:, :3])
    assert offered() == {config.cores()}, (allowed, offered())
    assert {run.n_threads for run in model._core.runs.values()} == {config.cores()}
os.sched_setaffinity(0, every)
model.fit(X, X[:, :3], batch_size=512, verbose=0)  # at once
assert [run.offered_threads for key, run in model._core.runs.items() if key[1] == "training"] == [config.cores()]
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
@pytest.mark.skipif(not _engine.has_openmp, reason="built without OpenMP: one thread only")
def test_a_changed_affinity_is_seen(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    package = str(Path(fm.__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", AFFINITY],
        cwd=tmp_path,  # not where sources may lie that are not compiled
        env={**environment, "PYTHONPATH": package},
        check=True,
        timeout=120,
    )


RESTING = """
import os, sys, time
import numpy as np
import fastmlp as fm
from fastmlp import _engine, _pace

sleeping = "libomp" in open("/proc/self/maps").read()  # instead of ended

def count():
    if not sleeping:
        return len(os.listdir("/proc/self/task"))
    stats = [open(f"/proc/self/task/{name}/stat").read() for name in os.listdir("/proc/self/task")]
    return sum(stat.rpartition(")")[2].split()[0] == "R" for stat in stats)

def threads(expected):
    # Those that have ended, or sleep, are soon gone.
    until = time.monotonic() + 10
    while (found := count()) > expected and time.monotonic() < until:
        time.sleep(0.001)
    return found

X, Y = np.ones((2000, 200), np.float32), np.zeros((2000, 8), np.float32)
model = fm.Model([fm.Dense(200, "relu"), fm.Dense(8)], n_inputs=200, n_threads=2)
calls = {
    "predict": lambda: model.predict(X),
    "evaluate": lambda: model.evaluate(X, Y),
    "train_on_batch": lambda: model.train_on_batch(X, Y),
    "gradients": lambda: model.loss_and_gradients(X, Y),
    "jacobian": lambda: model.jacobian(X[:512]),
    "fit": lambda: model.fit(X, Y, batch_size=100, epochs=3, validation_data=(X, Y), verbose=0),
    "batches": lambda: model.fit([(X, Y), (X, Y)], verbose=0),
}
alone = threads(999)
idle = _engine.idle_seconds
for name, call in calls.items():
    _engine.idle_seconds, _pace.LONG_SECONDS = (lambda: 0.0), float("inf")  # calls that come often: threads stay
    call()
    expected = alone + (name != "batches")
    assert threads(expected) == expected, name
    assert _engine.idle_seconds() == 0.0 <= idle() < 100.0
    _engine.rest()
    assert threads(alone) == alone, name
    _engine.rest()  # nothing is left to do
    _engine.idle_seconds = lambda: 0.002  # rarely
    for _ in range(3):
        call()
        assert threads(alone) == alone, name
    _engine.idle_seconds, _pace.LONG_SECONDS = (lambda: 0.0), 0.0  # a long one
    call()
    assert threads(alone) == alone, name
_engine.idle_seconds, _pace.LONG_SECONDS = idle, 0.05
time.sleep(0.002)
assert idle() > 0.002
model.predict(X)
assert threads(alone) == alone
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.skipif(not _engine.can_rest, reason="an OpenMP without omp_pause_resource, or none")
def test_threads_of_calls_that_come_rarely_do_not_wait(tmp_path):
    """They are gone when the call is over, or sleep, and take no processor until the next one."""
    package = str(Path(fm.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": package, "KMP_BLOCKTIME": "60000"}  # libomp's spin so many milliseconds
    subprocess.run([sys.executable, "-c", RESTING], cwd=tmp_path, env=environment, check=True, timeout=120)


@pytest.mark.parametrize(
    ("value", "expected"), [("1", 1), ("2,1", 2), ("100", 8), ("no", 8), ("0", 8), ("", 8), ("²", 8)]
)
def test_omp_num_threads(value, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(config, "_quota", (float("inf"), None))
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert config.cores() == expected


def test_the_configuration_tells_of_a_child(monkeypatch, capsys):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    monkeypatch.setattr(config, "_quota", (float("inf"), None))
    monkeypatch.setattr(_engine, "has_openmp", True)
    config.show_config()
    assert "up to 4 threads by default\n" in capsys.readouterr().out
    monkeypatch.setattr(_engine, "is_forked", lambda: True)
    config.show_config()
    assert "up to 1 thread by default, as in every child process" in capsys.readouterr().out


@pytest.mark.parametrize("options", [{"global_clipnorm": 1e-3}, {"global_clipnorm": 1e-3, "l2": 0.1}], ids=str)
def test_the_norm_waits_for_the_gradients_of_all_threads(options):
    """Of three tiles one thread has two, and 256 lines of which each thread takes the squares are of several tiles."""
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((4096, 192)).astype(np.float32), rng.standard_normal((4096, 64)).astype(np.float32)
    found = []
    for n_threads in (1, 2, 3):
        model = fm.Model([fm.Dense(64)], optimizer=fm.SGD(0.1, **options), n_inputs=192, n_threads=n_threads)
        for first in range(0, 4096, 1024):  # gradients that differ from those of the step before
            model.train_on_batch(X[first : first + 1024] * (1 + first), Y[first : first + 1024])
        found.append([array.tobytes() for arrays in model.weights for array in arrays])
    assert found[1:] == found[:1] * 2


@pytest.mark.parametrize(
    ("running", "n_threads", "crowded"), [(1, 4, False), (2, 4, True), (3, 2, False), (4, 2, True)]
)
def test_what_else_runs_crowds_a_machine(running, n_threads, crowded, tmp_path, monkeypatch):
    """Of four processors, where the thread that asks is one of those that run."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    (tmp_path / "loadavg").write_text(f"0.10 0.20 0.30 {running}/512 4711\n")
    assert config.is_crowded(n_threads, str(tmp_path / "loadavg")) == crowded
