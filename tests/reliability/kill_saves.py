"""Kill a training with SIGKILL at random moments, most of them while it saves, and look at the files.

A child trains a small network in epochs of about a millisecond and writes a checkpoint of some 100 kB after each of
them, and now and then a CSV line and a second model. After each kill: the checkpoint is the one before or the one
after, whole: it loads, its weights and states have the bits of a training that nobody killed, after as many epochs; the
second model likewise. The next child goes on from it, and removes what was left in the folder.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH, UNITS = 32, 96
X = np.random.default_rng(0).standard_normal((64, 20)).astype(np.float32)
Y = np.random.default_rng(1).integers(0, 4, 64)


def made():
    import fastmlp as fm

    layers = [fm.Dense(UNITS, "relu"), fm.BatchNorm(), fm.Dropout(0.3), fm.Dense(UNITS, "tanh"), fm.Dense(4)]
    return fm.Model(layers, "softmax_cross_entropy", fm.Adam(1e-3, use_ema=True), seed=3, n_threads=1)


def digest(model):
    """Of all bits that the next step depends on."""
    state = model._core.__getstate__()
    states = state["training"]["states"]
    hashed = hashlib.sha256(repr([state["training"][name] for name in ("step", "epoch", "powers")]).encode())
    for layer in [*state["weights"], *(layer for name in sorted(states) for layer in states[name])]:
        for array in layer:
            hashed.update(array.tobytes())
    return hashed.hexdigest()


def train(folder, epochs):
    """In the child: go on from the checkpoint, to the end of time."""
    import fastmlp as fm

    path = folder / "checkpoint"
    model = fm.load(path) if path.exists() else made()
    done = len(model.history.epoch)
    print("ready", flush=True)
    callbacks = [
        fm.ModelCheckpoint(folder / "model"),
        fm.CSVLogger(folder / "log.csv", append=True),
        fm.Checkpoint(path),
    ]
    model.fit(X, Y, epochs=epochs, initial_epoch=done, batch_size=BATCH, verbose=0, callbacks=callbacks)


def temporary(folder):
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--seconds", type=float, default=0.1, help="the latest moment after the child is ready")
    parser.add_argument("--seed", type=int, default=None, help="of the moments; default: another each time")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        train(given.child, 10**9)
        return 0
    import fastmlp as fm

    rng = random.Random(given.seed)
    found, wrong, left = [], [], 0
    before: set[str] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kill in range(given.kills):
            child = subprocess.Popen(
                [sys.executable, str(Path(__file__).resolve()), "--child", name], stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )  # fmt: skip
            assert child.stdout is not None
            if child.stdout.readline() != b"ready\n":
                wrong.append(f"kill {kill}: the next training did not begin, exit code {child.wait()}")
                break
            while not found and not (folder / "checkpoint").exists() and child.poll() is None:
                time.sleep(0.01)  # there must be files that could be lost: this is the last one
            time.sleep(rng.uniform(0, given.seconds))
            child.send_signal(signal.SIGKILL)
            if child.wait() != -signal.SIGKILL:
                wrong.append(f"kill {kill}: the training ended by itself, exit code {child.returncode}")
            child.stdout.close()
            leftovers = temporary(folder)
            left += bool(set(leftovers) - before)
            before = set(leftovers)
            # Those of earlier kills are removed by the next save of the same file.
            if len({name.rsplit(".", 2)[0] for name in leftovers}) < len(leftovers):
                wrong.append(f"kill {kill}: left behind: {leftovers}")
            for file in ("checkpoint", "model"):
                if (folder / file).exists():
                    try:
                        model = fm.load(folder / file)
                        found.append((kill, file, len(model.history.epoch), digest(model)))
                    except Exception as error:  # whatever it is, the file is wrong
                        wrong.append(f"kill {kill}: {file} does not load: {error!r}")
                elif found:
                    wrong.append(f"kill {kill}: {file} is gone")
        if not found:
            sys.exit("\n".join(wrong) or "give at least one of --kills")
        for file in ("checkpoint", "model"):
            fm.load(folder / file).save(folder / file)
        # What is left of the log is removed when that is written again.
        left_behind = [name for name in temporary(folder) if not name.startswith(".log.csv")]
        if left_behind:
            wrong.append(f"a save leaves {left_behind}")
    last = max(epoch for _, _, epoch, _ in found)
    expected = {}

    class Digests(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            expected[epoch + 1] = digest(self.model)

    made().fit(X, Y, epochs=last, batch_size=BATCH, verbose=0, callbacks=[Digests()])
    for kill, file, epoch, digested in found:
        if expected[epoch] != digested:
            wrong.append(f"kill {kill}: {file} after {epoch} epochs has other bits than a training that was not killed")
    epochs = [epoch for _, file, epoch, _ in found if file == "checkpoint"]
    if epochs != sorted(epochs):
        wrong.append("a checkpoint went back")
    print(
        f"{given.kills} kills, {left} of them while a file was written; {len(found)} files loaded, "
        f"{len(wrong)} of them wrong; {last} epochs in the end"
    )
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
