"""The same bits, the hard way: twenty varied networks, on every instruction set, with 1 to 8 threads, loaded and idle.

Each instruction set trains in a process of its own (FASTMLP_ISA), with every number of threads: first on the machine as
it is, then beside busy processes, then under settings of OpenMP that give fewer threads than were asked for. Hashes of
weights, optimizer states, losses, predictions and derivatives are compared: instruction sets with fused multiply-add
with each other, the x86-64 baseline with itself. Prints a table; exit code 1 if a bit differs or a process fails.

    python tests/reliability/same_bits.py
    python tests/reliability/same_bits.py --quick
    python tests/reliability/same_bits.py --threads 1 2 --load 0 --networks whiten residual
"""

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys

import numpy as np

import fastmlp as fm
from fastmlp import _engine, losses, schedules

# What OpenMP is told, by the name of a setting.
SETTINGS = {
    "alone": {},
    "loaded": {},
    "thread limit 2": {"OMP_THREAD_LIMIT": "2"},
    "dynamic": {"OMP_DYNAMIC": "true"},
    "passive, one place": {"OMP_WAIT_POLICY": "passive", "OMP_PLACES": "{0}", "OMP_PROC_BIND": "true"},
}
QUICK = ["rows, adam", "panels, dropout", "batch norm by panels", "residual, clipped", "generator"]


# ---- data of integers and powers of two: no library's rounding is in them ----


def numbers(n, columns, seed=1):
    return np.random.default_rng(seed).integers(-(2**12), 2**12, (n, columns)) / 2.0**11


def labels(n, classes, seed=2):
    return np.random.default_rng(seed).integers(0, classes, n)


def distributions(n, classes):
    """Rows of 64ths that sum to 1."""
    found = np.zeros((n, classes))
    for column in np.random.default_rng(3).integers(0, classes, (64, n)):
        found[np.arange(n), column] += 1 / 64
    return found


# ---- the networks: each returns a model and the arguments of fit; threads and dtype come from the caller ----

D, A = fm.Dense, fm.Activation
CLASSES = "softmax_cross_entropy"


def small(**m):
    return fm.Model([D(3, "tanh"), D(1)], "hinge", fm.SGD(0.1), **m), (
        numbers(40, 5), 2 * labels(40, 2) - 1, dict(batch_size=8, epochs=3))  # fmt: skip


def rows_adam(**m):
    return fm.Model([D(200, "gelu"), D(33, "relu"), D(10)], CLASSES, fm.Adam(1e-2), **m), (
        numbers(900, 64), labels(900, 10), dict(batch_size=400, epochs=2))  # fmt: skip


def panels_dropout(**m):
    layers = [fm.Dropout(0.1), D(257, "relu"), fm.Dropout(0.3), D(130, "silu"), D(10)]
    return fm.Model(layers, losses.SoftmaxCrossEntropy(0.1), fm.AdamW(1e-2), **m), (
        numbers(61, 70), distributions(61, 10), dict(batch_size=20, epochs=2))  # fmt: skip


def single_rows(**m):
    return fm.Model([D(65, "elu"), D(10)], CLASSES, fm.RMSprop(1e-2, centered=True), **m), (
        numbers(7, 20), labels(7, 10), dict(batch_size=1, epochs=2))  # fmt: skip


def all_at_once(**m):
    return fm.Model([D(40, "mish"), D(30, "softplus"), D(1)], "mean_absolute_error", fm.Nadam(1e-2), **m), (
        numbers(1100, 33), numbers(1100, 1, 9), dict(batch_size=1100, epochs=5, shuffle=False))  # fmt: skip


def batch_norm_rows(**m):
    layers = [D(70, use_bias=False), fm.BatchNorm(), fm.PReLU(), D(40), fm.BatchNorm(0.9), A("hard_tanh"), D(5)]
    return fm.Model(layers, CLASSES, fm.SGD(0.05, momentum=0.9, nesterov=True), **m), (
        numbers(700, 30), labels(700, 5), dict(batch_size=300, epochs=2))  # fmt: skip


def batch_norm_panels(**m):
    layers = [D(150), fm.BatchNorm(), A("leaky_relu"), fm.Dropout(0.2), D(70), fm.PReLU(), fm.BatchNorm(), D(1)]
    return fm.Model(layers, "huber", fm.SGD(0.05, momentum=0.9), **m), (
        numbers(75, 30), numbers(75, 1, 9), dict(batch_size=20, epochs=2))  # fmt: skip


def residual_clipped(**m):
    block = [fm.LayerNorm(), D(48, "gelu_tanh"), fm.Dropout(0.1), D(100)]
    layers = [D(100), fm.Residual(block), fm.Residual([*block[:2], D(100)]), fm.LayerNorm(), D(10)]
    return fm.Model(layers, CLASSES, fm.Adam(1e-2, amsgrad=True, global_clipnorm=0.1), **m), (
        numbers(90, 33), labels(90, 10), dict(batch_size=24, epochs=2))  # fmt: skip


def residual_rows(**m):
    layers = [D(48), fm.Residual([D(48, "silu"), fm.BatchNorm(), D(48)]), A("sigmoid"), D(6)]
    return fm.Model(layers, losses.Focal(1.5), fm.Lion(1e-3, weight_decay=0.1), **m), (
        numbers(500, 20), labels(500, 6), dict(batch_size=256, epochs=2))  # fmt: skip


def accumulated(**m):
    optimizer = fm.Adam(1e-2, gradient_accumulation_steps=3, use_ema=True, clipvalue=0.01)
    return fm.Model([D(90, "selu"), D(17, "tanh"), D(3)], "mean_squared_error", optimizer, **m), (
        numbers(333, 40), numbers(333, 3, 9), dict(batch_size=32, epochs=2))  # fmt: skip


def penalised(**m):
    layers = [
        D(64, "relu", l1=1e-3, l2=1e-2, max_norm=1.0), D(33, "tanh", max_norm=0.5, learning_rate_factor=0.5), D(4),
    ]  # fmt: skip
    return fm.Model(layers, CLASSES, fm.Adagrad(0.05, global_clipnorm=1.0, l2=1e-3), **m), (
        numbers(200, 100), labels(200, 4), dict(batch_size=64, epochs=3))  # fmt: skip


def generator(**m):
    X, y = numbers(300, 50), labels(300, 7)
    cuts = [0, 1, 40, 41, 190, 222, 300]
    batches = [(X[a:b], y[a:b]) for a, b in itertools.pairwise(cuts)]
    return fm.Model([D(80, "gelu"), fm.BatchNorm(), D(7)], CLASSES, fm.RMSprop(1e-2), **m), (
        lambda: iter(batches * 2), None, dict(epochs=2, steps_per_epoch=6))  # fmt: skip


def standardised(**m):
    X = np.random.default_rng(4).integers(0, 256, (150, 784)).astype(np.uint8)
    return fm.Model([D(128, "relu"), fm.Dropout(0.5), D(10)], CLASSES, "adam", preprocessing="standardize", **m), (
        X, labels(150, 10), dict(batch_size=50, epochs=2))  # fmt: skip


def whiten(**m):
    rate = schedules.OneCycle(0.01, 40)
    return fm.Model([D(50, "tanh"), D(2)], "log_cosh", fm.Adam(rate), preprocessing="whiten", **m), (
        numbers(400, 24), numbers(400, 2, 9), dict(batch_size=128, epochs=3))  # fmt: skip


def weighted(**m):
    options = dict(sample_weight=labels(200, 5) / 4, class_weight={0: 2.0, 3: 0.5}, batch_size=30, epochs=2)
    return fm.Model([D(60, "hard_sigmoid"), D(5)], CLASSES, fm.SGD(0.1), **m), (
        numbers(200, 12), labels(200, 5), options)  # fmt: skip


def binary(**m):
    loss = losses.BinaryCrossEntropy(label_smoothing=0.1, positive_weight=3.0)
    optimizer = fm.Adam(schedules.Warmup(5, then=schedules.Exponential(0.01, 10, 0.5)))
    return fm.Model([D(100, "selu"), D(1)], loss, optimizer, **m), (
        numbers(300, 12), labels(300, 2), dict(batch_size=48, epochs=2, validation_split=0.2))  # fmt: skip


def binary_focal(**m):
    return fm.Model([D(35, "mish"), D(12)], losses.BinaryFocal(0.7, alpha=0.3), fm.Nadam(1e-2), **m), (
        numbers(260, 16), labels(260 * 12, 2).reshape(260, 12), dict(batch_size=131, epochs=3))  # fmt: skip


def quantiles(**m):
    optimizer = fm.SGD(schedules.CosineRestarts(0.05, 7), momentum=0.5)
    return fm.Model([D(120, "elu", alpha=0.7), D(3)], losses.Quantile((0.1, 0.5, 0.9)), optimizer, **m), (
        numbers(160, 9), numbers(160, 1, 9), dict(batch_size=33, epochs=2))  # fmt: skip


def densities(**m):
    return fm.Model([D(77, "softplus"), D(2)], "gaussian_nll", fm.Adam(1e-3), **m), (
        numbers(128, 8), numbers(128, 1, 9), dict(batch_size=64, epochs=4))  # fmt: skip


def counts(**m):
    model = fm.Model([D(64, "tanh"), D(1)], "poisson", fm.RMSprop(1e-3, epsilon_in_root=True), **m)
    return model, (numbers(256, 10), labels(256, 6), dict(batch_size=96, epochs=2, validation_split=0.25))


NETWORKS = {
    "small": small, "rows, adam": rows_adam, "panels, dropout": panels_dropout, "single rows": single_rows,
    "one batch": all_at_once, "batch norm by rows": batch_norm_rows, "batch norm by panels": batch_norm_panels,
    "residual, clipped": residual_clipped, "residual by rows": residual_rows, "accumulated": accumulated,
    "penalised": penalised, "generator": generator, "standardised": standardised, "whiten": whiten,
    "weighted": weighted, "binary": binary, "binary focal": binary_focal, "quantiles": quantiles,
    "densities": densities, "counts": counts,
}  # fmt: skip


# ---- one process: an instruction set and a setting ----


def digest(*values):
    found = hashlib.sha256()
    for value in values:
        for array in [value] if isinstance(value, np.ndarray) else np.atleast_1d(np.asarray(value, "float64")):
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:12]


def flat(pairs):
    return [array for pair in pairs for array in pair]


def trained(name, n_threads, dtype):
    """Hashes of all that a training leaves, and of what is computed with it."""
    model, (X, y, options) = NETWORKS[name](seed=5, dtype=dtype, n_threads=n_threads)
    history = model.fit(X() if callable(X) else X, y, verbose=0, **options)
    if callable(X):
        X, y = numbers(90, 50), labels(90, 7)
    state = model._core.network.get_state()
    average = model.average_weights or []
    found = {
        "weights": digest(*flat(model.weights), *flat(average)),
        "states": digest(*(a for pairs in state["states"].values() for a in flat(pairs)), *state["powers"]),
        "losses": digest(*(np.array(values) for values in history.values())),
        "predictions": digest(model.predict(X), model.scores(X), *model.evaluate(X, y).values()),
    }
    few, few_y = X[:37], y[:37]
    loss, gradients = model.loss_and_gradients(X, y)
    outputs, pullback = model.vjp(few)
    found["derivatives"] = digest(
        loss, *flat(gradients), model.jacobian(few), model.input_gradients(few, few_y), outputs,
        *flat([(a,) if isinstance(a, np.ndarray) else flat(a) for a in pullback(np.ones_like(outputs))]),
        *model.jvp(few, np.ones(few.shape)),
    )  # fmt: skip
    return found


def child(names, threads):
    for name in names:
        for dtype in ("float32", "float64"):
            for n in threads:
                print(json.dumps([name, dtype, n, trained(name, n or None, dtype)]), flush=True)


# ---- the program ----


def run(isa, setting, names, threads, load):
    """What a child prints, beside `load` processes that never rest."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(load)]
    try:
        command = [sys.executable, __file__, "--child", "--networks", *names, "--threads", *map(str, threads)]
        environment = {**os.environ, **SETTINGS[setting], "FASTMLP_ISA": isa}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    if done.returncode:
        print(f"{isa}, {setting}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--threads", nargs="+", type=int, default=[*range(1, 9), 0], help="0: as many as it deserves")
    parser.add_argument("--load", type=int, default=4, help="busy processes of the loaded run; 0: no such run")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="five networks, 1, 2, 3 and 8 threads")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.networks, given.threads = QUICK, [1, 2, 3, 8]
    if given.child:
        child(given.networks, given.threads)
        return 0
    isas = [name for name, missing in _engine.isas().items() if missing is None]
    for name, missing in _engine.isas().items():
        if missing is not None:
            print(f"NOT TESTED: {name}: {missing}")
    print(f"instruction sets {', '.join(isas)}; threads {given.threads}; OpenMP: {_engine.has_openmp}", flush=True)
    # the first run of each kind of arithmetic, {(kind, network, dtype): (who, hashes)}, and how many were like it
    expected, same, different, failed = {}, {}, {}, False
    for setting in given.settings:
        load = given.load if setting == "loaded" else 0
        if setting == "loaded" and not load:
            continue
        for isa in isas:
            fused = isa != "baseline" or "avx2" not in _engine.isas()
            code, lines = run(isa, setting, given.networks, given.threads, load)
            failed |= code != 0
            for name, dtype, n, hashes in lines:
                who, key = f"{isa}, {n} threads, {setting}", ("fused" if fused else "baseline", name, dtype)
                other, wanted = expected.setdefault(key, (who, hashes))
                wrong = [what for what in hashes if hashes[what] != wanted[what]]
                same[key] = same.get(key, 0) + (not wrong)
                if wrong:
                    different.setdefault(key, []).append(f"{who}: {', '.join(wrong)} differ from {other}")
            wrong = sum(map(len, different.values()))
            print(f"{setting:20} {isa:10} {len(lines)} trainings; with other bits so far: {wrong}", flush=True)
    columns = ("weights", "states", "losses", "predictions", "derivatives")
    print(f"\n{'network':22} {'dtype':8} {'kind':9}" + "".join(f"{name:13}" for name in columns) + "same  different")
    for (kind, name, dtype), (_, hashes) in sorted(expected.items(), key=lambda item: item[0][1:]):
        key = (kind, name, dtype)
        shown = "".join(f"{hashes[column]:13}" for column in columns)
        print(f"{name:22} {dtype:8} {kind:9}{shown}{same[key]:4}  {len(different.get(key, []))}")
    for (kind, name, dtype), lines in different.items():
        print(f"{name}, {dtype}, {kind}:", *lines[:20], sep="\n    ")
    wrong = sum(map(len, different.values()))
    fused = sorted((name, dtype, *hashes.values()) for (kind, name, dtype), (_, hashes) in expected.items()
                   if kind == "fused")  # fmt: skip
    whole = hashlib.sha256(json.dumps(fused).encode()).hexdigest()[:12]
    print(f"{sum(same.values()) + wrong} trainings, {wrong} with other bits; digest of the fused ones: {whole}")
    return int(failed or wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
