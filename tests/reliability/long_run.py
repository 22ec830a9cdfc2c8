"""A long training, a million predictions of one row, thousands of models: does memory, speed or anything else drift?

    python tests/reliability/long_run.py --minutes 20 --predictions 1000000 --models 5000

Each part works in equal pieces. The first tenth of them warms up; from then on memory may grow by 1 MB, and no thread
or file descriptor may be left over. Speed is told in processor time, which other programs disturb least, as the median
of the last quarter over that of the first; more than 10 % is a finding. Needs Linux.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastmlp as fm

LIMIT_BYTES = 1 << 20
LIMIT_DRIFT = 0.10


def resident():
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def threads():
    """Threads of this process."""
    return len(os.listdir("/proc/self/task"))


def descriptors():
    """Open files of this process."""
    return len(os.listdir("/proc/self/fd"))


class Watch:
    """What is read after each piece of a part, and the verdict in the end."""

    def __init__(self, name, pieces):
        self.name, self.pieces = name, pieces
        # Room for every reading is there from the start: the watch itself must not grow.
        self.memory, self.wall, self.cpu = (np.zeros(pieces) for _ in range(3))
        self.n_threads, self.n_descriptors = (np.zeros(pieces, int) for _ in range(2))
        self.n = 0
        self.before = time.perf_counter(), time.process_time()

    def piece(self):
        """A piece is done."""
        now = time.perf_counter(), time.process_time()
        i, self.n = self.n, self.n + 1
        self.wall[i], self.cpu[i] = now[0] - self.before[0], now[1] - self.before[1]
        self.memory[i], self.n_threads[i], self.n_descriptors[i] = resident(), threads(), descriptors()
        self.before = time.perf_counter(), time.process_time()

    def verdict(self):
        """Print what was seen; whether it is as it should be."""
        warm = max(1, self.n // 10)
        quarter = max(1, (self.n - warm) // 4)
        first, last = slice(warm, warm + quarter), slice(self.n - quarter, self.n)
        grown = self.memory[warm : self.n].max() - self.memory[warm]
        drift = {
            kind: statistics.median(seconds[last]) / statistics.median(seconds[first]) - 1
            for kind, seconds in (("processor", self.cpu), ("wall", self.wall))
        }
        left = {
            "threads": int(self.n_threads[self.n - 1] - self.n_threads[warm]),
            "descriptors": int(self.n_descriptors[self.n - 1] - self.n_descriptors[warm]),
        }
        print(f"{self.name}: {self.n} pieces in {self.wall.sum():.0f} s")
        print(f"  memory     {self.memory[warm] / 1e6:.1f} MB when warm, at most {grown / 1e6:+.2f} MB later")
        print(f"  speed      {drift['processor']:+.1%} of processor time a piece, {drift['wall']:+.1%} of wall time")
        print(f"  left over  {left['threads']} threads, {left['descriptors']} descriptors")
        return grown <= LIMIT_BYTES and drift["processor"] <= LIMIT_DRIFT and max(left.values()) <= 0


def train(minutes):
    """One fit with all that belongs to one: validation, checkpoints, dropout, normalisation, threads."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((64_000, 128), np.float32)
    y = (X @ rng.standard_normal((128, 10))).argmax(axis=1)
    normalised = [fm.Dense(512), fm.BatchNorm(), fm.Activation("relu")]
    layers = [*normalised, fm.Dropout(0.2), fm.Dense(512, "relu"), fm.Dense(10)]
    model = fm.Model(layers, "softmax_cross_entropy", "adam", metrics=["accuracy"])
    seconds_a_piece = max(1.0, 60 * minutes / 240)
    until = time.perf_counter() + 60 * minutes
    watch = Watch("training", 10 * int(60 * minutes / seconds_a_piece))  # a machine may become ten times as fast

    class Pieces(fm.Callback):
        """A piece is as many epochs as took so long in the beginning."""

        def on_train_begin(self, logs):
            self.epochs, self.began = 0, time.perf_counter()
            self.a_piece = 0

        def on_epoch_end(self, epoch, logs):
            self.epochs += 1
            if self.a_piece == 0:
                if time.perf_counter() - self.began >= seconds_a_piece:
                    self.a_piece, self.epochs = self.epochs, 0
                    watch.before = time.perf_counter(), time.process_time()
            elif self.epochs == self.a_piece:
                self.epochs = 0
                watch.piece()
                self.model.stop_training = watch.n == watch.pieces or time.perf_counter() >= until

    with tempfile.TemporaryDirectory() as folder:
        callbacks = [Pieces(), fm.Checkpoint(Path(folder, "model.safetensors"), every_seconds=5)]
        history = model.fit(
            X[:60_000], y[:60_000], epochs=10**9, batch_size=128, validation_data=(X[60_000:], y[60_000:]),
            callbacks=callbacks, verbose=0,
        )  # fmt: skip
    print(f"training: {len(history.epoch)} epochs of 469 steps, last loss {history['loss'][-1]:.4f}")
    return watch


def predict(n):
    """Single rows, each in a call of its own."""
    model = fm.Model([fm.Dense(64, "relu"), fm.Dense(64, "relu"), fm.Dense(10)], "softmax_cross_entropy", n_inputs=64)
    X = np.random.default_rng(0).standard_normal((1000, 64), np.float32)
    expected = np.vstack([model.predict(X[i : i + 1]) for i in range(1000)])
    pieces = max(20, n // 10_000)
    watch = Watch(f"{n} predictions of one row", pieces)
    for piece in range(pieces):
        for i in range(piece * n // pieces, (piece + 1) * n // pieces):
            row = i % 1000
            found = model.predict(X[row : row + 1])
        assert np.array_equal(found[0], expected[row]), f"prediction {i} has other bits than its first"
        watch.piece()
    return watch


def build(n):
    """Models that are made, trained on one thread, whose time is their own, saved, loaded and dropped."""
    X = np.random.default_rng(0).standard_normal((256, 20), np.float32)
    y = np.arange(256) % 3
    pieces = min(n, 100)
    watch = Watch(f"{n} models", pieces)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        for piece in range(pieces):
            for i in range(piece * n // pieces, (piece + 1) * n // pieces):
                layers = [fm.Dense(33, "tanh"), fm.LayerNorm(), fm.Dense(3)]
                model = fm.Model(layers, "softmax_cross_entropy", "adam", seed=i, n_threads=1)
                model.fit(X, y, batch_size=64, epochs=2, validation_split=0.25, verbose=0)
                model.save(path)
                assert np.array_equal(fm.load(path).predict(X), model.predict(X)), f"model {i} changed in its file"
            watch.piece()
    return watch


def main():
    """The parts, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=20, help="of training (default: %(default)s)")
    parser.add_argument("--predictions", type=int, default=1_000_000, help="of one row (default: %(default)s)")
    parser.add_argument("--models", type=int, default=5_000, help="built, trained and dropped (default: %(default)s)")
    arguments = parser.parse_args()
    parts = ((train, arguments.minutes), (predict, arguments.predictions), (build, arguments.models))
    good = [part(amount).verdict() for part, amount in parts if amount > 0]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
