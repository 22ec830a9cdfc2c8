"""How much of PyTorch's time fastmlp takes for a training step, measured in turn: ``python benches/ratio.py``.

Each round trains an epoch with one and then with the other (A B A B ...), so that a machine whose speed drifts does not
favour either. Printed are the medians of the time of a step, and of the ratio of each round with its quartiles.
"""

import argparse
import sys
import time

import numpy as np
import peers

# The largest ratio of wall times that the project promises.
TARGETS = {"784-512-512-10 b32": 0.6, "30-16-2 b32": 0.05}


def epoch_times(trainer, epochs):
    """Seconds of some epochs: wall, and processor time of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(epochs):
        trainer.epoch()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(shape, peer, rounds):
    """Print the ratios for one shape; whether the target is met."""
    peers.agree(peer, shape)
    ours, theirs = peers.FastMLP(shape), peers.PEERS[peer](shape)
    turns = []
    for trainer in (ours, theirs):  # warm up, and find how many epochs last 0.1 s
        epoch_times(trainer, 2)
        turns.append((trainer, max(1, round(0.1 / epoch_times(trainer, 1)[0]))))
    seconds = np.array([
        [np.divide(epoch_times(trainer, epochs), epochs * shape.batches) for trainer, epochs in turns]
        for _ in range(rounds)
    ])  # fmt: skip
    print(f"{shape}: {rounds} rounds in turn")
    for i, clock in enumerate(("wall", "CPU ")):
        first, second = np.median(seconds[:, :, i], axis=0) * 1e6
        low, ratio, high = np.percentile(seconds[:, 0, i] / seconds[:, 1, i], [25, 50, 75])
        spread = f"{ratio:.4f} ({low:.4f} to {high:.4f})"
        print(f"  {clock}  fastmlp {first:9.2f} us  {peer} {second:9.2f} us  ratio {spread}")
    ratio = np.median(seconds[:, 0, 0] / seconds[:, 1, 0])
    target = TARGETS.get(str(shape))
    if target is None:
        return True
    print(f"  promised at most {target}: {'kept' if ratio <= target else 'BROKEN'}")
    return bool(ratio <= target)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--peer", choices=[name for name in peers.PEERS if name != "fastmlp"], default="torch")
    parser.add_argument("--all", action="store_true", help="every shape of the benches, not only those with a promise")
    options = parser.parse_args()
    why = peers.missing(options.peer)
    if why:
        sys.exit(why)
    shapes = [shape for shape in peers.SHAPES if options.all or str(shape) in TARGETS]
    kept = [compare(shape, options.peer, options.rounds) for shape in shapes]
    sys.exit(0 if all(kept) or options.peer != "torch" else 1)


if __name__ == "__main__":
    main()
