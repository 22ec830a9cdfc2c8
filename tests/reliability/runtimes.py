"""fastmlp, torch and scikit-learn in one process, imported in each of the six orders: each trains, bits stay the same.

    python tests/reliability/runtimes.py

A wheel that auditwheel repaired brings an OpenMP runtime of its own, as torch's and scikit-learn's do: three in one
process, which are counted. Ends with 1 if a process fails, or the bits of fastmlp's weights differ between two orders.
"""

import argparse
import hashlib
import importlib
import itertools
import subprocess
import sys

LIBRARIES = ("fastmlp", "torch", "sklearn.cluster")


def train(order):
    """Import in this order, train with all three by turns; the hash of fastmlp's weights, and the runtimes."""
    for name in order:
        importlib.import_module(name)
    import sklearn.cluster
    import torch

    import fastmlp as fm

    X, y = fm.datasets.load_digits()
    X = X / 16
    layers = [fm.Dense(300, "gelu"), fm.Dense(10)]
    model = fm.Model(layers, "softmax_cross_entropy", "adam", seed=0, n_threads=2)
    net = torch.nn.Sequential(torch.nn.Linear(64, 300), torch.nn.ReLU(), torch.nn.Linear(300, 10))
    optimizer = torch.optim.Adam(net.parameters())
    inputs, labels = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    for _ in range(3):
        model.fit(X, y, epochs=1, batch_size=256, verbose=0)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
        sklearn.cluster.KMeans(10, n_init=1, max_iter=5, random_state=0).fit(X)
    digest = hashlib.sha256(b"".join(array.tobytes() for arrays in model.weights for array in arrays)).hexdigest()[:12]
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1].rpartition("/")[2] for line in maps}
    return digest, sorted(file for file in files if file.startswith(("libgomp", "libomp", "libiomp")))


def main():
    """Each order in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--order", nargs=3, help=argparse.SUPPRESS)
    order = parser.parse_args().order
    if order is not None:
        digest, runtimes = train(order)
        print(digest, f"{len(runtimes)} runtimes:", *runtimes)
        return
    digests = set()
    for order in itertools.permutations(LIBRARIES):
        command = [sys.executable, __file__, "--order", *order]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        print(*order, "->", done.stdout.strip() or done.stderr[-2000:], flush=True)
        if done.returncode != 0:
            sys.exit(f"ended with {done.returncode}")
        digests.add(done.stdout.split()[0])
    if len(digests) != 1:
        sys.exit("the bits differ")
    print("six orders, the same bits")


if __name__ == "__main__":
    main()
