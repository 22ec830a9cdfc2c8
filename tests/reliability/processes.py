"""Forks at random moments, and what a pool of processes costs.

`forks`: two threads train and one predicts while the main thread, which has threads of OpenMP's too, forks at random
moments. Each child trains on two threads, every third one forks again then; all must give the parent's bits, and
answer within a minute.

`load`: as many processes as there are processors each train the same model, started by each method of multiprocessing:
on one thread, which is the default in a child, and on as many as there are processors. Seconds from the first to the
last, and how often a process had to wait for a processor (involuntary context switches). Nothing is judged.

    python tests/reliability/processes.py forks [--count 200] [--seed 0]
    python tests/reliability/processes.py load [--epochs 200]
"""

import argparse
import concurrent.futures
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import warnings

import numpy as np

import fastmlp as fm
from fastmlp.config import cores

X = np.random.default_rng(0).standard_normal((400, 50)).astype(np.float32)


def model_of(n_threads=2):
    """A small network."""
    return fm.Model([fm.Dense(80, "tanh"), fm.Dense(5)], optimizer="adam", n_inputs=50, n_threads=n_threads)


def trained_bytes():
    """Weights and predictions after some epochs on two threads."""
    model = model_of()
    model.fit(X, X[:, :5], epochs=2, verbose=0)
    return b"".join(a.tobytes() for pair in model.weights for a in pair) + model.predict(X).tobytes()


def child_gives(expected, depth, seconds):
    """Whether a forked child, and its child where depth > 1, trains with these bits; "hang" where it does not end."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            same = trained_bytes() == expected
            if same and depth > 1:
                same = child_gives(expected, depth - 1, seconds / 2) == "same"
            status = 0 if same else 2
        finally:
            os._exit(status)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return {0: "same", 2: "other bits"}.get(os.waitstatus_to_exitcode(status), f"status {status}")
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hang"


def forks(count, seed):
    """The findings of so many forks."""
    moments, over, findings = random.Random(seed), threading.Event(), []
    expected = trained_bytes()

    def train():
        model = model_of()
        while not over.is_set():
            model.fit(X, X[:, :5], epochs=20, verbose=0)

    def predict():
        model = model_of()
        while not over.is_set():
            model.predict(X)

    threads = [threading.Thread(target=each) for each in (train, train, predict)]
    for thread in threads:
        thread.start()
    for i in range(count):
        time.sleep(0.01 * moments.random())
        if trained_bytes() != expected:
            findings.append(f"fork {i}: the parent has other bits")
        result = child_gives(expected, 2 if i % 3 == 0 else 1, 60)
        if result != "same":
            findings.append(f"fork {i}: {result}")
            print("FOUND", findings[-1], flush=True)
    over.set()
    for thread in threads:
        thread.join()
    return findings


def train_alone(n_threads, epochs):
    """Involuntary context switches of a training."""
    import resource

    rng = np.random.default_rng(0)
    data, labels = rng.standard_normal((4000, 100)).astype(np.float32), rng.integers(0, 10, 4000)
    layers = [fm.Dense(200, "relu"), fm.Dense(200, "relu"), fm.Dense(10)]
    model = fm.Model(layers, "softmax_cross_entropy", n_inputs=100, n_threads=n_threads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    model.fit(data, labels, batch_size=128, epochs=epochs, verbose=0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before


def load(epochs):
    """Print what a pool takes."""
    print(f"{cores()} processes, {epochs} epochs each")
    for method in multiprocessing.get_all_start_methods():
        for n_threads in (None, cores(), None, cores()):
            with concurrent.futures.ProcessPoolExecutor(cores(), multiprocessing.get_context(method)) as pool:
                list(pool.map(train_alone, [n_threads] * cores(), [1] * cores()))  # started and imported
                began = time.perf_counter()
                switches = sum(pool.map(train_alone, [n_threads] * cores(), [epochs] * cores()))
                took = time.perf_counter() - began
            print(f"  {method:10} n_threads={n_threads}: {took:6.2f} s, {switches} involuntary context switches")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    by_fork = commands.add_parser("forks", help="forks at random moments")
    by_fork.add_argument("--count", type=int, default=200, help="forks (default 200)")
    by_fork.add_argument("--seed", type=int, default=0, help="of their moments (default 0)")
    by_load = commands.add_parser("load", help="what a pool of processes takes")
    by_load.add_argument("--epochs", type=int, default=200, help="of each process (default 200)")
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later warn of any fork beside threads
    if options.what == "load":
        load(options.epochs)
        return 0
    findings = forks(options.count, options.seed)
    print(f"forks: {options.count} forks, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
