"""Ctrl-C at any moment: whatever it ends, nothing hangs or crashes, and the model goes on with consistent state.

Two ways. `lines` raises KeyboardInterrupt before every single line of fastmlp that some jobs run (fit with callbacks,
on batches, by L-BFGS; single steps, assignments, predictions, derivatives, saving), one line at a time. `signals` sends
SIGINT at random moments to a process that does all of these in the main thread, at first alone, then with another
thread training and one predicting beside it. After each the model must train, predict, and be saved and loaded with the
same predictions.

    python tests/reliability/interrupts.py lines [--every 1] [--job NAME]
    python tests/reliability/interrupts.py signals [--count 200] [--seed 0]
"""

import argparse
import copy
import dis
import faulthandler
import linecache
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import fastmlp as fm
from fastmlp import callbacks

PACKAGE = str(Path(fm.__file__).parent)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((96, 12)).astype(np.float32) * 3 + 1
Y = RNG.integers(0, 4, 96)


def new_model(**changed):
    """A classifier with something of everything that Ctrl-C could leave in two minds."""
    arguments = {"loss": "softmax_cross_entropy", "optimizer": fm.Adam(use_ema=True), "n_threads": 2}
    arguments |= {"preprocessing": "standardize", "metrics": ["f1"]} | changed
    return fm.Model([fm.Dense(16, "relu", l2=1e-4), fm.BatchNorm(), fm.Dropout(0.1), fm.Dense(4)], **arguments)


def trained_model(**changed):
    """The same after an epoch."""
    model = new_model(**changed)
    model.fit(X, Y, verbose=0)
    return model


def batches():
    """Without an end."""
    i = 0
    while True:
        i += 1
        yield X[i % 60 : i % 60 + 32], Y[i % 60 : i % 60 + 32]


def fit_arrays(model, folder):
    """Training with callbacks that keep, write and watch."""
    watched = [
        callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True),
        callbacks.ModelCheckpoint(folder / "best.safetensors"),
        callbacks.Checkpoint(folder / "kept.safetensors"),
        callbacks.CSVLogger(folder / "log.csv", append=True),
    ]
    model.fit(X, Y, epochs=2, validation_split=0.2, callbacks=watched, verbose=0)


def adapted(model):
    """Fit the preprocessing, which batches do not."""
    if not model.statistics:
        model.adapt(X)


def fit_generator(model, folder):
    """Batches from a generator, which keeps what was read ahead."""
    adapted(model)
    model.fit(batches(), steps_per_epoch=4, epochs=2, verbose=0)


def fit_list(model, folder):
    """Batches from a list."""
    adapted(model)
    model.fit([(X[:40], Y[:40]), (X[40:], Y[40:])], epochs=2, verbose=0)


def fit_lbfgs(model, folder):
    """Training by scipy's L-BFGS."""
    model.optimizer = fm.LBFGS(max_iterations=3)
    model.fit(X, Y, verbose=0)
    model.optimizer = fm.Adam()


def single_steps(model, folder):
    """Steps and assignments one by one."""
    model.train_on_batch(X, Y)
    gradients = model.loss_and_gradients(X, Y)[1]
    model.apply_gradients(gradients)
    model.optimizer = fm.SGD(1e-3)
    model.weights = [tuple(array * 0.99 for array in pair) for pair in model.weights]
    model.optimizer = fm.Adam(use_ema=True, gradient_accumulation_steps=2)
    model.adapt(X[:50])


def look(model, folder):
    """What changes nothing."""
    model.predict(X)
    model.evaluate(X, Y)
    model.jacobian(X[:8])
    model.vjp(X)[1](np.ones((96, 4)))
    copy.deepcopy(model)


def save_and_load(model, folder):
    """A file."""
    model.save(folder / "net.safetensors")
    fm.load(folder / "net.safetensors")


JOBS = {
    job.__name__: job for job in (fit_arrays, fit_generator, fit_list, fit_lbfgs, single_steps, look, save_and_load)
}


def check(model, folder):
    """Assert that the model goes on, and that all that it consists of agrees."""
    if model.built and not (model.preprocessing is not None and not model.statistics):
        expected = model.predict(X)
        assert np.isfinite(expected).all()
        model.save(folder / "check.safetensors")
        for name, other in (("saved", fm.load(folder / "check.safetensors")), ("copied", copy.deepcopy(model))):
            assert other.predict(X).tobytes() == expected.tobytes(), f"the {name} model predicts something else"
    model.fit(X, Y, verbose=0)
    model.optimizer = fm.Adam(use_ema=True)
    model.train_on_batch(X, Y)
    assert np.isfinite(model.predict(X)).all()
    assert not [path.name for path in folder.iterdir() if path.suffix not in (".safetensors", ".csv", ".lock")]


def no_reader_stays():
    """Assert that the threads that read batches have ended."""
    for thread in threading.enumerate():
        if thread.name == "fastmlp batches":
            thread.join(10)
            assert not thread.is_alive(), "a thread that reads batches stays"


# ---- before every line ----


def is_answered(frame):
    """Whether Python can answer a signal before this line: not where a ``with`` ends or a ``try:`` begins, as it looks
    for signals after calls, when loops go round, and where functions begin, and none of these lies between the last
    instruction inside and the block's own."""
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).split("(")[0].split()
    instruction = dis.opname[frame.f_code.co_code[frame.f_lasti]]
    leaves = line[:1] == ["with"] and instruction in ("LOAD_CONST", "POP_BLOCK", "SWAP", "ROT_TWO")  # to call __exit__
    return not leaves and line[:1] != ["try:"]


def run_up_to(job, model, folder, last):
    """Run a job up to so many lines of fastmlp and raise KeyboardInterrupt there; how many lines it ran."""
    seen = 0

    def trace(frame, event, argument):
        nonlocal seen
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line" and is_answered(frame):
            seen += 1
            if seen == last:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        job(model, folder)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
    return seen


def lines(jobs, every, offset=0):
    """Interrupt jobs before every so manyth line; the findings, and how many moments were tried."""
    findings, tried = [], 0
    for name in jobs:
        for built in (False, True):
            make = trained_model if built else new_model
            if not built and name in ("look", "save_and_load", "single_steps", "fit_lbfgs"):
                continue
            with tempfile.TemporaryDirectory() as folder:
                n = run_up_to(JOBS[name], make(), Path(folder), -1)
            for line in range(1 + offset % every, n + 1, every):
                tried += 1
                model = make()
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        run_up_to(JOBS[name], model, Path(folder), line)
                        check(model, Path(folder))
                        no_reader_stays()
                    except Exception as error:  # whatever went wrong, at which line is told
                        findings.append(f"{name}, built={built}, line {line} of {n}: {type(error).__name__}: {error}")
                        print("FOUND", findings[-1], flush=True)
            print(f"{name}, built={built}: {n} lines", flush=True)
    return findings, tried


# ---- real signals ----


def work(folder, count):
    """What the process does that gets the signals, with a check after each."""
    faulthandler.register(signal.SIGUSR1)
    beside, over = [trained_model(), trained_model()], threading.Event()
    expected = beside[1].predict(X).tobytes()
    failures = []

    def train():
        while not over.is_set():
            beside[0].fit(X, Y, epochs=20, verbose=0)

    def predict():
        while not over.is_set():
            if beside[1].predict(X).tobytes() != expected:
                failures.append("another thread predicts something else")

    taken = 0

    def take(number, frame):
        nonlocal taken
        taken += 1
        raise KeyboardInterrupt

    threads = [threading.Thread(target=each, daemon=True) for each in (train, predict)]
    model, jobs, answered = new_model(), random.Random(1), 0
    signal.signal(signal.SIGINT, take)
    while answered < count:
        try:
            print(
                f"ready for signal {answered + 1}", flush=True
            )  # which comes from now on, and no other before the next
            while taken == answered:  # `fit` ends without an exception
                name = jobs.choice(list(JOBS))
                if (model.built and model.statistics) or name.startswith("fit_"):
                    JOBS[name](model, folder)
        except KeyboardInterrupt:
            pass
        answered += 1
        for path in folder.iterdir():  # what an interrupted write leaves is tested elsewhere
            path.unlink()
        check(model, folder)
        if answered % 20 == 0:
            model = new_model()
        if answered == count // 3:  # at first alone
            for thread in threads:
                thread.start()
    over.set()
    for thread in threads:
        if thread.ident is not None:
            thread.join(60)
            assert not thread.is_alive(), "a thread hangs"
    no_reader_stays()
    assert not failures, failures[0]
    print("done", flush=True)


def signals(count, seed):
    """Send a process SIGINT at random moments; the findings."""
    moments, sent, last = random.Random(seed), 0, ""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-X", "faulthandler", __file__, "work", folder, "--count", str(count)]
        environment = {**os.environ, "PYTHONPATH": os.path.dirname(PACKAGE)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            assert child.stdout is not None

            def give_up():
                child.send_signal(signal.SIGUSR1)  # tells where all its threads are
                time.sleep(2)
                child.kill()

            while True:
                watchdog = threading.Timer(120, give_up)  # no answer to a signal for so long is a hang
                watchdog.start()
                line = child.stdout.readline()
                watchdog.cancel()
                if not line.startswith("ready"):
                    last = line or last
                    break
                time.sleep(moments.choice([0.0001, 0.001, 0.01, 0.1]) * moments.random())
                child.send_signal(signal.SIGINT)
                sent += 1
            child.stdout.close()
            status = child.wait()
    if status != 0 or last != "done\n" or sent != count:
        return [f"the process ended with exit code {status} after {sent} of {count} signals"], sent
    return [], sent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="way", required=True)
    by_line = commands.add_parser("lines", help="before every line of fastmlp")
    by_line.add_argument("--every", type=int, default=1, help="only every so manyth line (default 1)")
    by_line.add_argument("--offset", type=int, default=0, help="where to begin with them (default 0)")
    by_line.add_argument("--job", choices=sorted(JOBS), help="only this job")
    by_signal = commands.add_parser("signals", help="at random moments")
    by_signal.add_argument("--count", type=int, default=200, help="signals (default 200)")
    by_signal.add_argument("--seed", type=int, default=0, help="of their moments (default 0)")
    inner = commands.add_parser("work", help="the process that gets the signals")
    inner.add_argument("folder", type=Path)
    inner.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    if options.way == "work":
        work(options.folder, options.count)
        return 0
    if options.way == "lines":
        findings, tried = lines([options.job] if options.job else list(JOBS), options.every, options.offset)
    else:
        findings, tried = signals(options.count, options.seed)
    print(f"{options.way}: {tried} interruptions, {len(findings)} findings")
    for finding in findings:
        print(" ", finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
