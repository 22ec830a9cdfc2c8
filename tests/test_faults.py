"""Faults from outside: memory that ends, full disks, kills, callbacks and batches that fail, files that shrink.

The long forms are in tests/reliability/.
"""

import errno
import gc
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _writing
from fastmlp.training.hooks import HOOKS

RELIABILITY = Path(__file__).parent / "reliability"
# A Python in another folder that finds the package which is tested here, be it installed or built in place.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fm.__file__).parents[1])}
X = np.random.default_rng(0).standard_normal((64, 5)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 3, 64)


def classifier(**options):
    layers = [fm.Dense(9, "relu"), fm.BatchNorm(), fm.Dropout(0.1), fm.Dense(3)]
    return fm.Model(layers, "softmax_cross_entropy", "adam", **options)


def bits(model):
    state = model._core.__getstate__()
    states = state["training"]["states"]
    arrays = [*state["weights"], *(layer for name in sorted(states) for layer in states[name])]
    return state["training"]["step"], [array.tobytes() for layer in arrays for array in layer]


def run(program, *arguments, **options):
    command = [sys.executable, program, *map(str, arguments)]
    options = {"cwd": Path(fm.__file__).parents[1], **options}  # not the checkout: -c finds its sources before all else
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=200, **options)


# ---- memory ----


@pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="the failing allocator is written for glibc"
)
@pytest.mark.parametrize(
    ("scenarios", "step"),
    [(("TrainOnBatch", "Predict", "SetOptimizer"), 1), (("Fit", "SetWeights", "Adapt"), 23), (("Save", "Build"), 61)],
)
def test_memory_that_ends(scenarios, step):
    """One allocation fails: a MemoryError, the model as before or after a whole step, nothing lost."""
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("the failing allocator needs a C compiler")
    done = run(RELIABILITY / "failing_allocator.py", "--scenarios", *scenarios, "--step", step)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(name in done.stdout for name in scenarios)


def test_no_list_comprehension_is_compiled_into_the_engine():
    """In those of Cython 3.3 an item that the list has no room for is released twice: later the process crashes."""
    folder = Path(__file__).parents[1] / "fastmlp"
    sources = [folder / "_engine.pyx", *folder.glob("engine/*.pxi")]
    assert len(sources) > 10
    for source in sources:
        plain = re.sub(r'"""[\s\S]*?"""|"[^"\n]*"|#.*', "", source.read_text())
        lines = [line.strip() for line in plain.splitlines() if re.search(r"\bfor\b.*\bin\b", line)]
        loops = [line for line in lines if re.fullmatch(r"for .*[:,]", line)]
        assert [
            line for line in lines if line not in loops and "{" not in line
        ] == []  # those of dictionaries are right


class Large(fm.Callback):
    """Keeps more than the memory there is."""

    def on_epoch_begin(self, epoch):
        if epoch == 1:
            np.empty(1 << 60, np.uint8)


def test_an_array_that_is_too_large():
    model, other = classifier(), classifier()
    with pytest.raises(MemoryError):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[Large()])
    other.fit(X, Y, epochs=1, verbose=0)
    assert bits(model) == bits(other)


# ---- disks ----

FULL = """
import os, resource, signal, sys
import numpy as np
import fastmlp as fm
from fastmlp import cli

folder, limit, names = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
os.dup2(1, 2)
X = np.random.default_rng(0).standard_normal((64, 5))
Y = np.random.default_rng(1).integers(0, 3, 64)
model = fm.Model([fm.Dense(300, "relu"), fm.Dense(3)], "softmax_cross_entropy", "adam")
model.fit(X, Y, verbose=0)


class Wordy(fm.Callback):
    def on_epoch_end(self, epoch, logs):
        logs |= {f"quantity {i}": 1.0 for i in range(200)}


def limited():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


train = ["train", "data.csv", "--target", "y", "--epochs", "1", "--hidden", "300", "--out", "out", "--force"]
works = {
    "save": lambda: model.save("out"),
    "Checkpoint": lambda: model.fit(X, Y, epochs=2, verbose=0, callbacks=[fm.Checkpoint("out")]),
    "ModelCheckpoint": lambda: model.fit(X, Y, epochs=2, verbose=0, callbacks=[fm.ModelCheckpoint("out")]),
    "CSVLogger": lambda: model.fit(X, Y, epochs=2, verbose=0, callbacks=[Wordy(), fm.CSVLogger("log.csv")]),
    "train": lambda: cli.main(train),
}
limited()
for name in names:
    os.chdir(os.path.join(folder, name))
    print("====", flush=True)
    try:
        result = works[name]()
    except OSError as error:
        print("OSError", error.errno, error)
    else:
        print("returned", result)
    model.predict(X)
"""


def told_of_a_full_disk(folder, limit, names):
    """What each of FULL's works says in a folder of its name, where files end at a limit; all in one process."""
    done = run("-c", FULL, folder, limit, *names)
    assert done.returncode == 0, done.stdout
    found = done.stdout.split("====\n")[1:]
    assert len(found) == len(names)
    return found


def one_that_is_there(folder):
    """A folder with a file `out` of another model; its bytes."""
    folder.mkdir()
    classifier(n_inputs=5).save(folder / "out")
    with open(folder / "data.csv", "w") as file:
        file.write("a,b,y\n" + "".join(f"{i},{i % 7},{'pq'[i % 2]}\n" for i in range(40)))
    return (folder / "out").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands for a full disk")
@pytest.mark.parametrize("limit", [0, 5000])
def test_a_disk_that_is_full(limit, tmp_path):
    """The error names the file, the old file is there, and nothing else."""
    names = ["save", "Checkpoint", "ModelCheckpoint", "train"]
    before = [one_that_is_there(tmp_path / name) for name in names]
    for name, old, told in zip(names, before, told_of_a_full_disk(tmp_path, limit, names), strict=True):
        assert os.strerror(errno.EFBIG) in told, name
        assert "out" in told, name
        assert "Traceback" not in told, name
        assert (tmp_path / name / "out").read_bytes() == old, name
        assert sorted(os.listdir(tmp_path / name)) == ["data.csv", "out"], name


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands for a full disk")
def test_a_log_on_a_disk_that_is_full(tmp_path):
    """The lines before it stay; the one that did not fit is cut off."""
    one_that_is_there(tmp_path / "CSVLogger")
    (told,) = told_of_a_full_disk(tmp_path, 4000, ["CSVLogger"])
    assert told.startswith(f"OSError {errno.EFBIG}"), told
    assert (tmp_path / "CSVLogger" / "log.csv").read_text().startswith("epoch,loss,accuracy,quantity 0")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_dev_full():
    model = classifier()
    with pytest.raises(OSError, match="No space left"):
        model.fit(X, Y, verbose=0, callbacks=[fm.CSVLogger("/dev/full")])
    with pytest.raises(OSError, match="not a regular file"):
        model.save("/dev/full")
    model.fit(X, Y, verbose=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, by which the rights are given up")
def test_a_folder_that_may_not_be_written_to():
    """Whoever runs this: root, whom permissions do not stop, becomes nobody in a child."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        model = classifier()
        model.fit(X, Y, verbose=0)
        model.save(folder / "net")
        before = (folder / "net").read_bytes()
        os.chmod(folder / "net", 0o666)
        os.chmod(folder, 0o555)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                told = []
                for name in ("net", "new"):
                    for work in (
                        lambda path: model.save(path),
                        lambda path: model.fit(X, Y, verbose=0, callbacks=[fm.Checkpoint(path)]),
                        lambda path: model.fit(X, Y, verbose=0, callbacks=[fm.ModelCheckpoint(path)]),
                    ):
                        step = model._core.network.step
                        try:
                            work(folder / name)
                        except PermissionError as error:
                            before_an_epoch = model._core.network.step == step
                            told.append("refused" if str(folder) in str(error) and before_an_epoch else repr(error))
                os.write(write, " ".join(told).encode())
            except BaseException as error:
                os.write(write, repr(error).encode())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as file:
            assert file.read() == " ".join(["refused"] * 6)
        os.waitpid(child, 0)
        assert os.listdir(folder) == ["net"]
        assert (folder / "net").read_bytes() == before
    finally:
        os.chmod(folder, 0o755)
        shutil.rmtree(folder)


def test_a_folder_that_vanishes(tmp_path):
    """While a training runs: the next save says so, and the model is that of the last step made."""
    folder = tmp_path / "run"
    folder.mkdir()

    class Remove(fm.Callback):
        def on_epoch_begin(self, epoch):
            if epoch == 1:
                shutil.rmtree(folder)

    model, other = classifier(), classifier()
    with pytest.raises(FileNotFoundError, match="no such folder"):
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[Remove(), fm.Checkpoint(folder / "net")])
    other.fit(X, Y, epochs=2, verbose=0)
    assert bits(model) == bits(other)


def test_the_folder_is_on_the_disk_too(tmp_path, monkeypatch):
    """In this order: the file, its name, the folder."""
    seen, fsync, replace = [], os.fsync, os.replace

    def synced(handle):
        seen.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    monkeypatch.setattr(_writing.os, "fsync", synced)
    monkeypatch.setattr(_writing.os, "replace", lambda *paths: (seen.append("name"), replace(*paths)))
    classifier(n_inputs=5).save(tmp_path / "net")
    assert seen == (["file", "name", "folder"] if os.name == "posix" else ["file", "name"])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_kills_while_saving():
    done = run(RELIABILITY / "kill_saves.py", "--kills", 8)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of them wrong" in done.stdout


# ---- callbacks and batches that fail ----


class Fails(fm.Callback):
    """Raises in one of its hooks, the second time."""

    def __init__(self, hook):
        self.left = 1 if hook in ("on_train_begin", "on_train_end") else 2
        setattr(self, hook, self.fail)

    def fail(self):
        self.left -= 1
        if self.left == 0:
            raise LookupError("of a callback")


class Steps(fm.Callback):
    """The bits behind every step."""

    def __init__(self):
        self.seen, self.ended = [], 0

    def on_train_begin(self):
        self.seen.append(bits(self.model))

    def on_train_batch_end(self, batch):
        self.seen.append(bits(self.model))

    def on_train_end(self):
        self.ended += 1


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("batches", [False, True])
def test_a_callback_that_raises(hook, batches, tmp_path):
    """Its error comes out; the model is that of the last step made; files and threads are closed; it can go on."""
    model, steps = classifier(), Steps()
    log = fm.CSVLogger(tmp_path / "log.csv")
    data = ([(X[:32], Y[:32]), (X[32:], Y[32:])],) if batches else (X, Y)
    callbacks = [steps, Fails(hook), log]
    with pytest.raises(LookupError, match="of a callback"):
        model.fit(*data, epochs=3, verbose=0, validation_data=(X, Y), callbacks=callbacks)
    assert bits(model) == steps.seen[-1]
    assert steps.ended == 1
    assert log.file is None
    assert not any(thread.name == "fastmlp batches" and thread.is_alive() for thread in threading.enumerate())
    fresh = classifier()
    fresh.build(5)
    fresh._core.network.set_weights(model.weights)
    assert fresh.predict(X).tobytes() == model.predict(X).tobytes()
    assert len(model.fit(*data, epochs=2, verbose=0)["loss"]) == 2


def test_every_callback_hears_of_the_end(tmp_path):
    """Also behind one whose on_train_end raises; the first error is raised."""
    model, last = classifier(), Steps()
    with pytest.raises(LookupError):
        model.fit(X, Y, verbose=0, callbacks=[Fails("on_train_end"), Fails("on_train_end"), last])
    assert last.ended == 1


def failing(kind):
    for i in range(100):
        if i == 5:
            if kind == "raises":
                raise LookupError("of a generator")
            if kind == "ends":
                return
            yield {
                "another width": (X[:8, :4], Y[:8]),
                "other lengths": (X[:8], Y[:7]),
                "NaN": (X[:8] * np.float32(np.nan), Y[:8]),
                "a label too large": (X[:8], Y[:8] + 3),
                "no pair": X[:8],
            }[kind]
        yield X[:8] + np.float32(i), Y[:8]


@pytest.mark.parametrize(
    ("kind", "error"),
    [("raises", LookupError), ("ends", ValueError), ("another width", ValueError), ("other lengths", ValueError),
     ("NaN", ValueError), ("a label too large", ValueError), ("no pair", TypeError)],
)  # fmt: skip
def test_a_generator_that_fails_midway(kind, error):
    """The batches before it are trained on, no more, and the thread that reads ahead has ended."""
    model, other = classifier(), classifier()
    source = failing(kind)
    with pytest.raises(error):
        model.fit(source, steps_per_epoch=20, epochs=2, verbose=0)
    assert not any(thread.name == "fastmlp batches" and thread.is_alive() for thread in threading.enumerate())
    for i in range(5):
        other.train_on_batch(X[:8] + np.float32(i), Y[:8])
    assert bits(model) == bits(other)
    assert gc.get_referrers(source) == [] or model._core.reader is None
    model.fit(X, Y, verbose=0)


# ---- a map of a file that is cut ----

CUT = """
import os, sys
import numpy as np
import fastmlp as fm

os.chdir(sys.argv[1])
kind = sys.argv[2]
y = np.arange(4096) % 3
data = np.random.default_rng(0).standard_normal((4096, 64)).astype(np.float32)
data.tofile("x.bin")
np.save("y.npy", y)
X, Y = np.memmap("x.bin", np.float32, "r", shape=(4096, 64)), np.load("y.npy", mmap_mode="r")
model = fm.Model([fm.Dense(8, "relu"), fm.Dense(3)], "softmax_cross_entropy", kind == "minimise" and "lbfgs" or "adam")


class Cut(fm.Callback):
    def on_epoch_end(self, epoch, logs):
        if epoch == 1:
            cut()


def cut():
    os.truncate("x.bin", 4096)


def batches():
    for epoch in range(60):
        if epoch == 3:
            cut()  # by the thread that reads: in the middle of a batch it ends the process
        for i in range(8):
            yield X[512 * i:512 * (i + 1)], y[512 * i:512 * (i + 1)]


def buffer():
    return np.frombuffer(X._mmap, np.float32).reshape(-1, 64)


def after_cut(work):
    work()
    cut()
    work()


options = {"verbose": 0, "callbacks": [Cut()], "epochs": 4}
try:
    {
        "train": lambda: model.fit(X, y, **options),
        "many epochs": lambda: after_cut(lambda: model.fit(X, y, epochs=3, verbose=0)),
        "minimise": lambda: model.fit(X, y, verbose=0, callbacks=[Cut()]),
        "validate": lambda: model.fit(data, y, validation_data=(X, y), **options),
        "labels": lambda: (os.truncate("y.npy", 40), model.fit(data, Y, verbose=0)),
        "batches": lambda: model.fit(batches(), steps_per_epoch=8, epochs=60, verbose=0),
        "a batch": lambda: after_cut(lambda: model.train_on_batch(X[4000:4032], y[:32])),
        "a view": lambda: after_cut(lambda: model.build(64).predict(np.asarray(X)[::2])),
        "a buffer": lambda: after_cut(lambda: model.build(64).predict(buffer())),
    }[kind]()
except OSError as error:
    print("OSError:", error)
    print(len(model.history.epoch))
model.fit(data, y, verbose=0)
print("usable")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file that is mapped may not be cut")
@pytest.mark.parametrize(
    ("kind", "epochs"),
    [("train", 2), ("many epochs", 3), ("minimise", 2), ("validate", 2), ("labels", 0), ("batches", 2), ("a batch", 0),
     ("a view", 0), ("a buffer", 0)],
)  # fmt: skip
def test_a_map_of_a_file_that_is_cut(kind, epochs, tmp_path):
    """An OSError where a signal would have ended the process."""
    done = run("-c", CUT, tmp_path, kind)
    assert done.returncode == 0, (done.returncode, done.stderr)
    lines = done.stdout.splitlines()
    assert "is a map of a file that was cut" in lines[0]
    assert int(lines[1]) >= epochs  # batches that were read ahead before are trained on
    assert lines[2] == "usable"


def test_maps_that_are_whole(tmp_path):
    """Offsets, anonymous maps, maps whose file has another name or none: all are read in place."""
    import mmap

    path = tmp_path / "x"
    with open(path, "wb") as file:
        file.write(bytes(100) + X.tobytes())
    model = classifier()
    model.fit(X, Y, verbose=0)
    mapped = np.memmap(path, np.float32, "r", offset=100, shape=X.shape)
    anonymous = mmap.mmap(-1, X.nbytes)
    anonymous.write(X.tobytes())
    views = [mapped, mapped[:], np.asarray(mapped), np.ndarray(X.shape, np.float32, anonymous)]
    views += [np.frombuffer(buffer, np.float32).reshape(X.shape) for buffer in (anonymous, X.tobytes())]
    if os.name == "posix":  # elsewhere a file that is mapped stays
        path.unlink()
    for view in views:
        assert model.predict(view).tobytes() == model.predict(X).tobytes()
        assert model.predict(view[9:31]).tobytes() == model.predict(X[9:31]).tobytes()


def test_nan_in_mid_training():
    """A loss that is NaN: the weights of before the epoch, states that start afresh, and a training that goes on."""

    class Poison(fm.Callback):
        def on_epoch_begin(self, epoch):
            if epoch == 2:
                data[5] = np.nan

    data, model, other = X.copy(), classifier(), classifier()
    with pytest.raises(fm.DivergedError):
        model.fit(data, Y, epochs=4, verbose=0, callbacks=[Poison()])
    other.fit(X, Y, epochs=2, verbose=0)
    assert [a.tobytes() for p in model.weights for a in p] == [a.tobytes() for p in other.weights for a in p]
    assert model.history.epoch == [0, 1]
    assert model.history.stopped == "diverged"
    model.fit(X, Y, epochs=2, verbose=0)
