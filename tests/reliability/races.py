"""Everything in fastmlp that threads share, at once: what ThreadSanitizer watches (see sanitizers.py).

    python tests/reliability/races.py --rounds 3

Python threads train models of every kind, each on 2 to 4 threads of its own; predict with, evaluate and differentiate
one model together; predict with copies of a model that is being trained. Then come batches that a thread prepares,
callbacks that save and predict, and Ctrl-C. Results are compared with those of one thread alone, bit by bit.
"""

import argparse
import copy
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import fastmlp as fm

RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 40)).astype(np.float32)
T = RNG.standard_normal((400, 3)).astype(np.float32)
Y = RNG.integers(0, 3, 400)


def half_squares(scores, targets):
    """The mean loss of a batch, and its gradient: a loss in Python."""
    difference = scores - targets
    return float(0.5 * np.square(difference).sum(1).mean()), difference / len(scores)


def layers(kind):
    """Layers of one kind, for three outputs."""
    return {
        "plain": lambda: [fm.Dense(70, "relu"), fm.Dense(50, "gelu"), fm.Dense(3)],
        "dropout": lambda: [fm.Dropout(0.1), fm.Dense(70, "tanh"), fm.Dropout(0.5), fm.Dense(3)],
        "batch norm": lambda: [fm.Dense(70), fm.BatchNorm(), fm.Activation("relu"), fm.Dense(40), fm.BatchNorm(),
                               fm.Dense(3)],
        "layer norm": lambda: [fm.Dense(70), fm.LayerNorm(), fm.PReLU(), fm.Dense(3)],
        "residual": lambda: [fm.Dense(40, "relu"), fm.Residual([fm.Dense(40, "silu"), fm.Dense(40)]), fm.Dense(3)],
        "penalties": lambda: [fm.Dense(70, "relu", l1=1e-4, max_norm=2.0), fm.Dense(3, l2=1e-3)],
    }[kind]()  # fmt: skip


# Kind of layers, loss, optimizer, rows of a batch (few are shared by panels, others by rows), options of Model.
JOBS = [
    ("plain", "softmax_cross_entropy", lambda: fm.SGD(0.01, momentum=0.9), 16, {}),
    ("plain", "softmax_cross_entropy", lambda: fm.Adam(global_clipnorm=0.5), 200, {}),
    ("dropout", "softmax_cross_entropy", fm.Adam, 24, {}),
    ("dropout", "mean_squared_error", fm.Nadam, 150, {"dtype": "float64"}),
    ("batch norm", "softmax_cross_entropy", fm.Adam, 20, {}),
    ("batch norm", "mean_squared_error", lambda: fm.RMSprop(centered=True), 200, {}),
    ("layer norm", "mean_squared_error", lambda: fm.AdamW(gradient_accumulation_steps=3), 18, {}),
    ("layer norm", "softmax_cross_entropy", lambda: fm.Lion(1e-4), 130, {}),
    ("residual", "huber", lambda: fm.Adam(use_ema=True), 21, {}),
    ("residual", fm.losses.Custom(half_squares), fm.Adagrad, 200, {}),
    ("batch norm", fm.losses.Custom(half_squares), fm.Adam, 16, {}),
    ("penalties", "softmax_cross_entropy", lambda: fm.SGD(0.01, global_clipnorm=1.0), 30, {}),
    ("plain", "mean_squared_error", fm.Adam, 100, {"preprocessing": fm.Whiten()}),
]


def model_of(job, n_threads, seed):
    """A new model of one of JOBS."""
    kind, loss, optimizer, _, options = JOBS[job]
    return fm.Model(layers(kind), loss, optimizer(), seed=seed, n_threads=n_threads, **options)


def targets_of(job):
    """What its loss wants."""
    return Y if JOBS[job][1] == "softmax_cross_entropy" else T


def bits(model):
    """All weights and some predictions."""
    return b"".join(array.tobytes() for pair in model.weights for array in pair) + model.predict(X).tobytes()


def trained(job, n_threads, seed):
    """One of JOBS trained for two epochs with every kind of pass in between, and its bits."""
    model = model_of(job, n_threads, seed)
    rows, y = JOBS[job][3], targets_of(job)
    model.fit(X, y, batch_size=rows, epochs=2, validation_data=(X[:50], y[:50]), verbose=0)
    model.train_on_batch(X[:rows], y[:rows])
    model.evaluate(X, y)
    loss, gradients = model.loss_and_gradients(X[:rows], y[:rows])
    model.apply_gradients(gradients)
    return bits(model), loss


def together(calls):
    """The results of some calls, each in a Python thread of its own; what one raises is raised."""
    results, errors, go = [None] * len(calls), [], threading.Barrier(len(calls))

    def work(i):
        go.wait()
        try:
            results[i] = calls[i]()
        except BaseException as error:  # whatever it is, the caller gets it
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def training(seed):
    """Many models of all kinds, four at a time; the number of those with other bits than on one thread."""
    wrong = 0
    for first in range(0, len(JOBS), 4):
        some = range(first, min(first + 4, len(JOBS)))
        expected = [trained(job, 1, seed) for job in some]
        found = together([lambda job=job: trained(job, 2 + (job + seed) % 3, seed) for job in some])
        wrong += sum(a != b for a, b in zip(expected, found, strict=True))
    return wrong


def serving(seed):
    """Six threads predict with one model that nobody changes; the number of other answers than before."""
    model = model_of(4, 3, seed)
    model.fit(X, Y, batch_size=20, verbose=0)

    def answers():
        return [
            model.predict(X).tobytes(),
            model.scores(X[:77]).tobytes(),
            model.evaluate(X, Y),
            model.jacobian(X[:30]).tobytes(),
            model.vjp(X[:60])[1](T[:60])[0].tobytes(),
        ]

    expected = answers()
    return sum(found != expected for found in together([answers] * 6))


def serving_while_training(seed):
    """Three threads predict with the copy of a model that a callback makes after each epoch, while it is trained."""
    model, over, served = model_of(0, 2, seed), threading.Event(), []

    class Publish(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            served.append(copy.deepcopy(self.model))

    def train():
        try:
            model.fit(X, Y, batch_size=16, epochs=10, verbose=0, callbacks=[Publish()])
        finally:
            over.set()
        return 0

    def predict():
        wrong = 0
        while not over.is_set():
            if served:
                wrong += not np.isfinite(served[-1].predict(X)).all()
            time.sleep(0.001)
        return wrong

    return sum(together([train, predict, predict, predict])) + (bits(served[-1]) != bits(model))


def batches(seed):
    """A generator whose batches a thread prepares ahead, against the same data as arrays."""

    def source():
        for first in (*range(0, 400, 25), *range(0, 400, 25)):
            yield X[first : first + 25], Y[first : first + 25]

    ahead, plain = model_of(2, 3, seed), model_of(2, 1, seed)
    ahead.fit(source(), epochs=2, steps_per_epoch=16, verbose=0)
    plain.fit(X, Y, batch_size=25, epochs=2, shuffle=False, verbose=0)
    return bits(ahead) != bits(plain)


class Busy(fm.Callback):
    """Looks at the model between the steps."""

    def on_train_batch_end(self, batch):
        self.model.predict(X[:3])

    def on_epoch_end(self, epoch, logs):
        self.model.evaluate(X[:60], Y[:60])


def callbacks(seed):
    """Callbacks that predict and write files, in models that train side by side."""
    with tempfile.TemporaryDirectory() as folder:

        def train(i):
            model = model_of(4, 2, seed)
            files = Path(folder, str(i))
            files.mkdir()
            writers = [fm.ModelCheckpoint(files / "best.safetensors"), fm.CSVLogger(files / "log.csv")]
            saved = [*writers, fm.EarlyStopping(patience=5, restore_best_weights=True), fm.ReduceLROnPlateau(), Busy()]
            model.fit(X, Y, batch_size=20, epochs=2, validation_split=0.2, callbacks=saved, verbose=0)
            return bits(fm.load(files / "best.safetensors"))

        found = together([lambda i=i: train(i) for i in range(3)])
    return sum(one != found[0] for one in found)


def interruption(seed):
    """Ctrl-C in the middle of a fit on three threads, of arrays and of batches that a thread prepares; each model goes
    on afterwards."""

    def endless():
        while True:
            yield X[:200], Y[:200]

    wrong = 0
    for data in ((X, Y), (endless(),)):
        model = model_of(1, 3, seed)
        limits = {"batch_size": 200} if len(data) == 2 else {"steps_per_epoch": 2}
        timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
        timer.start()
        history = model.fit(*data, **limits, epochs=10**6, verbose=0)
        timer.join()
        model.fit(X, Y, batch_size=200, verbose=0)
        wrong += (history.stopped != "interrupted") + (not np.isfinite(model.predict(X)).all())
    return wrong


PARTS = [training, serving, serving_while_training, batches, callbacks, interruption]


def main():
    """Run all parts; 1 where one of them found something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="how often, each with another seed")
    parser.add_argument("--parts", nargs="+", choices=[part.__name__ for part in PARTS], help="only these")
    options = parser.parse_args()
    wrong = 0
    for seed in range(options.rounds):
        for part in PARTS:
            if options.parts and part.__name__ not in options.parts:
                continue
            began = time.perf_counter()
            found = int(part(seed))
            print(f"round {seed}, {part.__name__}: {found} wrong, {time.perf_counter() - began:.1f} s", flush=True)
            wrong += found
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
