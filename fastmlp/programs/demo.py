"""`fastmlp demo` trains on real handwritten digits, shows everything, and compares with plain NumPy."""

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp
from fastmlp import _engine, _figures, _writing, config
from fastmlp._validation import Array, counted
from fastmlp.history import finished
from fastmlp.programs._arguments import CommandError, add_command, integer
from fastmlp.programs._streams import say

_IMPORTED = time.perf_counter()

# Beyond this relative difference of a loss the engine and its NumPy twin do not compute the same thing.
_AGREEMENT = 1e-4
# Turns of the two timings; the median of an odd number is one of them.
_TURNS = 5


# ---- data ----


@dataclasses.dataclass(frozen=True)
class Task:
    """What the demo trains on a data set, and how."""

    title: str
    hidden: tuple[int, ...]
    learning_rate: float
    batch_size: int
    epochs: int
    twin_steps: int


TASKS = {
    "digits": Task("handwritten digits, 8 x 8 pixels", (64, 64), 3e-3, 32, 20, twin_steps=40),
    "mnist": Task("MNIST, handwritten digits, 28 x 28 pixels", (512, 512), 1e-3, 128, 5, twin_steps=60),
}
N_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Data:
    """Images as rows of float32 in [0, 1], and their digits; the test images are held out from training."""

    X_train: Array
    y_train: Array
    X_test: Array
    y_test: Array


def load_data(name: str, root: str | None, seed: int) -> Data:
    """The images of a task.

    Parameters
    ----------
    name : {"digits", "mnist"}
    root : str or None
        Folder with the files of MNIST.
    seed : int
        Chooses which of the 8 x 8 digits are held out; MNIST has test images of its own.

    Returns
    -------
    Data
    """
    if name == "mnist":
        try:
            (X_train, y_train), (X_test, y_test) = fastmlp.datasets.load_mnist(root)
        except ValueError as error:  # a damaged file
            raise CommandError(str(error)) from error
        return Data(_pixels(X_train, 255), y_train, _pixels(X_test, 255), y_test)
    X, y = fastmlp.datasets.load_digits()
    order = np.random.default_rng(seed).permutation(len(X))
    train, test = order[:1500], order[1500:]
    X = _pixels(X, 16)
    return Data(X[train], y[train], X[test], y[test])


def _pixels(images: Array, ink: int) -> Array:
    """Images as rows; a pixel of the value `ink` becomes 1."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(ink)


# ---- the demo ----


class Decay(fastmlp.Callback):
    """Adam's learning rate falls by equal steps from epoch to epoch, to a tenth at the least.

    MNIST then reaches 98 % in the third to fifth epoch; at a constant rate it took up to ten.
    """

    def __init__(self, learning_rate: float, epochs: int) -> None:
        self.learning_rate, self.epochs = learning_rate, epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Go on with the epoch's rate."""
        self.model.optimizer = fastmlp.Adam(self.learning_rate * max(0.1, 1 - epoch / self.epochs))


class Until(fastmlp.Callback):
    """Stops training when the accuracy on the held-out data reaches a value, and takes the time."""

    def __init__(self, accuracy: float) -> None:
        self.accuracy = accuracy
        self.reached: str | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Compare, and stop."""
        if self.reached is None and logs["val_accuracy"] >= self.accuracy:
            seconds, since = seconds_since_start()
            self.reached = f"{seconds:.2f} s after {since}, epoch {epoch + 1}"
            self.model.stop_training = True


def run(options: argparse.Namespace) -> int:
    """Train on handwritten digits, show everything, compare with plain NumPy.

    Parameters
    ----------
    options : argparse.Namespace
        data, root, out, epochs, seed, threads, until.

    Returns
    -------
    int
        Exit code.
    """
    folder = None
    if options.out is not None:  # fails before the training rather than after it
        _figures.pyplot()
        folder = _writing.output_folder(options.out)
    task = TASKS[options.data]
    say(f"fastmlp {fastmlp.__version__}, instruction set {_engine.isa}, {_threads(options.threads)}")
    data = load_data(options.data, options.root, options.seed)
    say(f"{task.title}: {len(data.X_train):,} to learn from, {len(data.X_test):,} held out\n")

    model = _model(task, options, data)
    model.summary()
    say("\nTraining; val_ is measured on the held-out images.")
    until = None if options.until is None else Until(options.until)
    history = model.fit(
        data.X_train,
        data.y_train,
        batch_size=task.batch_size,
        epochs=options.epochs or (task.epochs if until is None else 20 * task.epochs),
        validation_data=(data.X_test, data.y_test),
        callbacks=[Decay(task.learning_rate, task.epochs), *([] if until is None else [until])],
        verbose=1,
    )
    finished(history)
    accuracy = model.evaluate(data.X_test, data.y_test)["accuracy"]
    n_test = len(data.X_test)
    say(f"\ntest accuracy {accuracy:.4f}: {round(accuracy * n_test):,} of {n_test:,} held-out images are right")
    if until is not None:
        reached = (
            f"reached {until.reached}" if until.reached else f"not reached in {counted(len(history.epoch), 'epoch')}"
        )
        say(f"accuracy {until.accuracy:g} {reached}")
    if folder is not None:
        model.save(folder / "model.safetensors")
        _figures.save(history.plot, folder / "learning_curve.png")
        say(f"saved {folder / 'model.safetensors'} and {folder / 'learning_curve.png'}")
    agreed = compare_with_twin(task, options, data)
    return 0 if agreed and (until is None or until.reached) else 1


def _threads(n_threads: int | None) -> str:
    if not _engine.has_openmp:
        return "one thread (built without OpenMP)"
    return f"up to {config.default_threads()} threads" if n_threads is None else f"threads: {n_threads}"


def _model(task: Task, options: argparse.Namespace, data: Data) -> fastmlp.Model:
    """The same model at every call: the seed gives its first weights."""
    layers = [*(fastmlp.Dense(units, "relu") for units in task.hidden), fastmlp.Dense(N_CLASSES)]
    return fastmlp.Model(
        layers,
        loss="softmax_cross_entropy",
        optimizer=fastmlp.Adam(task.learning_rate),
        seed=options.seed,
        n_inputs=data.X_train.shape[1],
        n_threads=options.threads,
    )


def compare_with_twin(task: Task, options: argparse.Namespace, data: Data) -> bool:
    """Train some steps from the same weights here and in plain NumPy, compare the losses and the time, and tell.

    Returns
    -------
    bool
        Whether the losses agree.
    """
    from fastmlp import reference
    from fastmlp.bench.comparison import repeated
    from fastmlp.bench.measure import in_turn

    size, steps = task.batch_size, task.twin_steps
    X, y = data.X_train[: size * steps], data.y_train[: size * steps].astype(np.int32)
    model = _model(task, options, data)
    hidden = len(model.layers) - 1
    layers = [(W, b, "relu" if i < hidden else "identity") for i, (W, b) in enumerate(model.weights)]
    twin = reference.Network(layers, model.loss.kernel(y), model.loss.row_scale(N_CLASSES))
    twin.set_optimizer(model.optimizer.kernel)

    def twin_fit() -> Array:
        return twin.fit(X, y, size, [task.learning_rate] * steps, model.optimizer.hyper())[0]

    def model_fit() -> Any:
        return finished(model.fit(X, y, batch_size=size, epochs=1, shuffle=False, verbose=0))

    say(f"\nThe same training in plain NumPy (fastmlp/reference/), {steps} steps from the same weights:")
    ours = np.array([model.train_on_batch(X[i : i + size], y[i : i + size]) for i in range(0, len(X), size)])
    difference = float(np.max(np.abs(ours / twin_fit() - 1)))
    agreed = difference <= _AGREEMENT
    say(f"  losses {'agree' if agreed else 'DO NOT AGREE'}: their relative difference is at most {difference:.1e}")
    turns = in_turn([repeated(model_fit), repeated(twin_fit)], _TURNS, 0.0)
    fast, slow = (float(np.median(timing.wall)) / steps for timing in turns)
    ratio = slow / fast
    say(f"  a step takes {_milliseconds(fast)} here and {_milliseconds(slow)} there: {ratio:.1f} times its speed")
    say(f"  (medians of {_TURNS} turns; the twin is written to be read, not to be fast)")
    return agreed


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3f} ms"


def seconds_since_start() -> tuple[float, str]:
    """Wall-clock seconds since this process started, and since what they were really counted.

    Returns
    -------
    seconds : float
    since : str
        On Linux the start of the process, to 10 ms; elsewhere the import of this module.
    """
    if sys.platform == "linux":
        try:
            # man 5 proc: field 22, counted from 1; the second field, in parentheses, may hold anything.
            ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
            started = ticks / os.sysconf("SC_CLK_TCK")
            return time.clock_gettime(time.CLOCK_BOOTTIME) - started, "the start of the process"
        except (OSError, ValueError, IndexError):
            pass
    return time.perf_counter() - _IMPORTED, "the import of fastmlp's demo"


# ---- arguments ----


def _accuracy(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not {text}")
    return value


def add(commands: Any) -> None:
    """Add the command to those of argparse."""
    text = "train on real handwritten digits, and compare with plain NumPy"
    add = add_command(commands, "demo", run, text).add_argument
    add("--data", choices=tuple(TASKS), default="digits", help="8 x 8 digits of the package (default), or MNIST")
    add("--root", metavar="FOLDER", help="the four files of MNIST; default: mnist/ in $FASTMLP_DATA, or a download")
    add("--out", metavar="FOLDER", help="save model.safetensors and learning_curve.png there (needs fastmlp[plot])")
    add("--epochs", type=integer(1, 10**6), metavar="N", help="default: 20, with --data mnist 5, with --until 20 fold")
    add("--seed", type=integer(0, 2**64), default=0, metavar="N", help="of weights, order and split; default: 0")
    add("--threads", type=integer(1, 1025), metavar="N", help="default: what the work deserves")
    add("--until", type=_accuracy, metavar="ACCURACY", help="stop at this test accuracy, say 0.98, and tell when")
