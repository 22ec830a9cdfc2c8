"""Make every single allocation of some calls fail, one after the other, and look at what is left.

A small library is compiled and preloaded that counts calls of malloc, calloc, realloc, memalign, and refuses the first,
the second, ... of a call of fastmlp: of Python objects, of arrays and of the engine's buffers alike (Python's own pool
is switched off). Each time: no crash, a MemoryError (or a result that is right nevertheless), the model as it was
before or after a fully made step, that step's successor with the right bits, nothing leaked. `--in-a-row` refuses that
many allocations one after the other, as an exhausted memory does.

Needs Linux with glibc and a C compiler. Not counted: what OpenMP and the loader allocate when a thread begins; they end
the process themselves.
"""

import argparse
import collections
import gc
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
# What a call that failed may leave: less than any buffer of the engine. Python itself loses a tuple now and then.
LEAK_BYTES = 2000
# Of a variable that an inner function sees. Where there is no memory for one, CPython 3.11 and 3.12 lose all arguments
# of the call, whoever's the function is.
CELL_BYTES = sys.getsizeof(types.CellType())


# ---- scenarios: a model, something that may fail, and the states that the model may then be in ----

N, N_INPUTS, N_CLASSES, BATCH, EPOCHS = 24, 5, 3, 8, 2
X = np.random.default_rng(1).standard_normal((N, N_INPUTS)).astype(np.float32)
Y = np.random.default_rng(2).integers(0, N_CLASSES, N)
WEIGHTS = np.linspace(0.5, 1.5, N)


def made(built=True, n_threads=1):
    import fastmlp as fm

    layers = [
        fm.Dense(17, "relu", l2=1e-3),
        fm.BatchNorm(),
        fm.Dropout(0.2),
        fm.Residual([fm.Dense(17, "tanh")]),
        fm.LayerNorm(),
        fm.PReLU(),
        fm.Dense(N_CLASSES),
    ]
    optimizer = fm.AdamW(0.01, use_ema=True, global_clipnorm=1.0)
    model = fm.Model(layers, "softmax_cross_entropy", optimizer, n_threads=n_threads, metrics=["f1"])
    return model.build(N_INPUTS) if built else model


def rows(step):
    first = step % (N // BATCH) * BATCH
    return slice(first, first + BATCH)


def state_of(model):
    """A hash of weights and the optimizer's states; "not built"."""
    if not model.built:
        return "not built"
    state = model._core.__getstate__()
    hashed = hashlib.sha256(repr((state["training"]["step"], state["training"]["powers"])).encode())
    for arrays in [
        *state["weights"],
        *(layer for s in sorted(state["training"]["states"]) for layer in state["training"]["states"][s]),
    ]:
        for array in arrays:
            hashed.update(array.tobytes())
    for array in model.statistics.values():
        hashed.update(array.tobytes())
    return hashed.hexdigest()


class Scenario:
    """What is called, on which model, and which numbers of steps it may leave behind."""

    def __init__(self, folder):
        self.folder = folder

    steps = 0  # at most so many more are made

    def prepare(self):
        self.model = made()
        for step in range(2):
            self.model.train_on_batch(X[rows(step)], Y[rows(step)])

    done = 2

    def call(self):
        """What the allocator fails in; each scenario has its own."""
        raise NotImplementedError

    def also(self, raised):
        """More to look at."""


class Build(Scenario):
    done = 0

    def prepare(self):
        self.model = made(built=False)

    def call(self):
        self.model.build(N_INPUTS)


class TrainOnBatch(Scenario):
    steps = 1

    def call(self):
        self.model.train_on_batch(X[rows(2)], Y[rows(2)])


class FirstStep(Scenario):
    done, steps = 0, 1

    def prepare(self):
        self.model = made(built=False)

    def call(self):
        self.model.train_on_batch(X[rows(0)], Y[rows(0)])


class Fit(Scenario):
    done, steps = 0, EPOCHS * N // BATCH
    n_threads = 1

    def prepare(self):
        self.model = made(n_threads=self.n_threads)

    def options(self):
        return {}

    def call(self):
        self.model.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, **self.options())


class FitOnTwoThreads(Fit):
    n_threads = 2


class FitWithValidation(Fit):
    def options(self):
        return {"validation_data": (X, Y)}


class FitWithCallbacks(Fit):
    def call(self):
        import fastmlp as fm

        path = self.folder / "checkpoint"
        stop = fm.EarlyStopping("loss", patience=9)
        callbacks = [stop, fm.CSVLogger(self.folder / "log.csv", append=True), fm.Checkpoint(path)]
        self.model.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)

    def also(self, raised):
        left = sorted(set(os.listdir(self.folder)) - {"checkpoint", "log.csv"})
        assert not left, f"temporary files are left: {left}"


class FitOnBatches(Fit):
    def call(self):
        self.model.fit([(X[rows(i)], Y[rows(i)]) for i in range(N // BATCH)], epochs=EPOCHS, verbose=0)

    def also(self, raised):
        import threading

        found = [thread for thread in threading.enumerate() if thread.name == "fastmlp batches"]
        for thread in found:
            thread.join(10)
        assert not any(thread.is_alive() for thread in found), "the reading thread is still there"


class Predict(Scenario):
    def call(self):
        self.found = self.model.predict(X)


class Evaluate(Scenario):
    def call(self):
        self.model.evaluate(X, Y, WEIGHTS)


class Jacobian(Scenario):
    def call(self):
        self.model.jacobian(X)


class Gradients(Scenario):
    def call(self):
        self.model.loss_and_gradients(X[rows(2)], Y[rows(2)])


class ApplyGradients(Scenario):
    steps = 1

    def prepare(self):
        super().prepare()
        self.gradients = [
            tuple(np.zeros_like(a) for a in p[: len(s)])
            for p, s in zip(self.model.weights, self.model._core.network.shapes(False), strict=True)
        ]

    def call(self):
        self.model.apply_gradients(self.gradients)


class SetWeights(Scenario):
    def prepare(self):
        super().prepare()
        self.new = [tuple(np.asfortranarray(array * 2) for array in pair) for pair in self.model.weights]

    def call(self):
        self.model.weights = self.new


class SetOptimizer(Scenario):
    def call(self):
        import fastmlp as fm

        self.model.optimizer = fm.SGD(0.1, momentum=0.9)

    def also(self, raised):
        assert self.model.optimizer.kernel == self.model._core.network.optimizer, (
            "model and network have other optimizers"
        )


class Save(Scenario):
    def prepare(self):
        super().prepare()
        self.path = self.folder / "net"
        if not self.path.exists():
            self.model.save(self.path)
        self.before = self.path.read_bytes()

    def call(self):
        self.model.save(self.path)

    def also(self, raised):
        assert os.listdir(self.folder) == ["net"], f"left behind: {os.listdir(self.folder)}"
        assert self.path.read_bytes() == self.before, "another file"


class Load(Save):
    def call(self):
        import fastmlp as fm

        self.model = fm.load(self.path)


class Adapt(Scenario):
    """Afterwards inputs are read as the statistics say, or nothing has changed."""

    def prepare(self):
        import fastmlp as fm

        self.model = fm.Model([fm.Dense(N_CLASSES)], "softmax_cross_entropy", preprocessing="whiten", n_threads=1)
        self.model.adapt(X)

    done = 0

    def call(self):
        self.model.adapt(3 * X + 1)

    def also(self, raised):
        statistics, (W, b) = self.model.statistics, self.model.weights[0]
        expected = (X - statistics["mean"]) @ statistics["matrix"] @ W + b
        assert np.allclose(self.model.scores(X), expected, atol=1e-3), "whitened by other statistics"


SCENARIOS = {kind.__name__: kind for kind in (*Scenario.__subclasses__(), *Fit.__subclasses__(), Load)}


def legal_states(kind, folder):
    """The states in which a model may be after the scenario, and of each the one after a further step."""
    scenario = kind(folder)
    scenario.prepare()
    states = [state_of(scenario.model)]
    if states == ["not built"]:
        scenario.model.build(N_INPUTS)
        states.append(state_of(scenario.model))
    if kind.steps and kind is not ApplyGradients:
        for step in range(kind.done, kind.done + kind.steps):
            scenario.model.train_on_batch(X[rows(step)], Y[rows(step)])
            states.append(state_of(scenario.model))
    else:
        scenario.call()
        states.append(state_of(scenario.model))
    return states


# ---- in the process that has the failing allocator ----


class Memory:
    """The preloaded library."""

    def __init__(self):
        import ctypes

        self.library = ctypes.CDLL(None)
        for name in ("seen", "refused", "refused_size", "live_bytes"):
            function = getattr(self.library, f"failing_{name}")
            function.restype = ctypes.c_long
            setattr(self, name, function)
        self.library.failing_ignore.argtypes = [ctypes.c_size_t, ctypes.c_size_t]
        self.begin, self.end = self.library.failing_begin, self.library.failing_end
        self.begin.argtypes, self.begin.restype, self.end.restype = [ctypes.c_long, ctypes.c_long], None, None

    def ignore(self, *libraries):
        """Leave allocations of these libraries alone."""
        for line in Path("/proc/self/maps").read_text().splitlines():
            fields = line.split()
            if len(fields) > 5 and "x" in fields[1] and Path(fields[5]).name.startswith(libraries):
                low, high = (int(number, 16) for number in fields[0].split("-"))
                if self.library.failing_ignore(low, high):
                    raise RuntimeError("too many libraries to ignore")


def sweep(name, first, step, in_a_row, folder):
    """All allocations of a scenario from the first-th on; writes a line of JSON for each finding, and each number."""
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda *_: None  # an object that could not end itself properly says so there
    memory = Memory()
    kind = SCENARIOS[name]
    legal = legal_states(kind, folder)
    after = {}

    def once(number):
        scenario = kind(folder)
        scenario.prepare()
        raised, problem = None, None
        memory.begin(number, number + in_a_row - 1)
        try:
            scenario.call()
        except BaseException as error:
            memory.end()
            raised = type(error).__name__
            if not excused(error):
                problem = "".join(traceback.format_exception(error))
        memory.end()
        seen, refused, size = memory.seen(), memory.refused(), memory.refused_size()
        gc.collect()
        try:
            state = state_of(scenario.model)
            assert state in legal, "the model is in a state that is none of a fully made step"
            assert raised is not None or state == legal[-1], "no error, but not all was done"
            scenario.also(raised)
            if scenario.model.built:
                scenario.model.predict(X)
            done = 0 if state == "not built" else scenario.model._core.network.step
            scenario.model.train_on_batch(X[rows(done)], Y[rows(done)])
            following = state_of(scenario.model)
            assert after.setdefault(state, following) == following, "the step after it gave other bits"
        except BaseException as error:
            problem = (problem or "") + "".join(traceback.format_exception(error))
        return seen, refused, raised, problem, size

    def grown(number):
        """Bytes that are in use after a call and were not before."""
        gc.collect()
        before = memory.live_bytes()
        result = once(number)
        gc.collect()
        return memory.live_bytes() - before, result

    for _ in range(3):
        once(0)  # what is imported and cached at first use does not count
    memory.ignore("libgomp", "libomp", "ld-linux", "ld.so")
    for _ in range(3):
        needed = once(0)[0]
    print(json.dumps({"needed": needed}), flush=True)
    gc.collect()
    gc.freeze()  # the next collections then look at what a call has made alone
    number = first
    while True:
        print(number, flush=True)
        more, (_, refused, raised, problem, size) = grown(number)
        if refused == 0:
            break
        if more > LEAK_BYTES:  # again and again: not a cache that has grown
            more = min(more, *(grown(number)[0] for _ in range(3)))
        leak = None if more <= LEAK_BYTES else "python" if size == CELL_BYTES else "fastmlp"
        print(
            json.dumps({"number": number, "raised": raised, "problem": problem, "leak": leak, "bytes": more}),
            flush=True,
        )
        number += step


def excused(error):
    """Whether an error says that there was no memory: as MemoryError, or in the words of Python and NumPy, of which
    some sums forget to name the error."""
    if isinstance(error, SystemError):
        return str(error).endswith(("without exception set", "without setting an exception"))
    if isinstance(error, TypeError):  # where a path cannot be converted for want of memory
        return "should be string, bytes" in str(error)
    if isinstance(error, RuntimeError):
        return str(error) in ("can't allocate lock", "can't start new thread")
    return isinstance(error, MemoryError)


# ---- and in the one that watches it ----


def compiled(folder):
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        sys.exit("no C compiler was found to build failing_malloc.c")
    library = Path(folder) / "failing_malloc.so"
    command = [*compiler.split(), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-fno-builtin"]
    subprocess.run([*command, str(HERE / "failing_malloc.c"), "-o", str(library)], check=True)
    return library


def watched(name, library, start, step, in_a_row):
    """Findings of a scenario: what went wrong, and how often what was raised."""
    findings, raised, first, needed, lost = [], collections.Counter(), start, 0, 0
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": os.pathsep.join([str(p) for p in sys.path if p]),
    }
    while True:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                str(Path(__file__)),
                "--child",
                name,
                "--first",
                str(first),
                "--step",
                str(step),
                "--in-a-row",
                str(in_a_row),
                "--folder",
                folder,
            ]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=3600)
        number = None
        for line in done.stdout.splitlines():
            if line.isdecimal():
                number = int(line)
                continue
            told = json.loads(line)
            needed = told.get("needed", needed)
            if "number" in told:
                raised[told["raised"]] += 1
                lost += told["leak"] == "python"
                if told["problem"] is not None:
                    findings.append((told["number"], told["problem"]))
                if told["leak"] == "fastmlp":
                    findings.append((told["number"], f"{told['bytes']} bytes are lost in every such call"))
        if done.returncode == 0:
            return findings, raised, needed, lost
        findings.append((number, f"exit code {done.returncode}: {done.stderr[-3000:]}"))
        if number is None:
            return findings, raised, needed, lost
        first = number + step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scenarios",
        nargs="*",
        default=list(SCENARIOS),
        choices=list(SCENARIOS),
        metavar="NAME",
        help=f"which ones; all are {', '.join(SCENARIOS)}",
    )
    parser.add_argument("--step", type=int, default=1, help="refuse each so many-th allocation (1: all)")
    parser.add_argument("--first", type=int, default=1, help="and begin with this one")
    parser.add_argument("--in-a-row", type=int, default=1, help="refuse so many, one after the other")
    parser.add_argument("--verbose", action="store_true", help="print every finding in full")
    parser.add_argument("--child", choices=list(SCENARIOS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        sweep(given.child, given.first, given.step, given.in_a_row, given.folder)
        return 0
    bad = False
    # Each scenario is swept by a process of its own, which computes on one processor.
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        library = compiled(folder)

        def swept(name):
            return watched(name, library, given.first, given.step, given.in_a_row)

        found = pool.map(swept, given.scenarios)
        for name, (findings, raised, needed, lost) in zip(given.scenarios, found, strict=True):
            told = ", ".join(f"{kind or 'no error'} {n}" for kind, n in raised.most_common())
            if lost:
                told += f"; {lost} times Python lost the arguments of a call"
            print(f"{name:18} {needed:6} allocations, refused {sum(raised.values())}: {told}", flush=True)
            for number, problem in findings:
                bad = True
                print(f"  FINDING at allocation {number}: {problem if given.verbose else problem[-600:]}", flush=True)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
