"""What the features of a model cost: a step of 784-512-512-10 at batch 128 with each of them beside one without, in
turn (A B A B), and Jacobians beside those of PyTorch and JAX where they are installed.

    python benches/features.py [--rounds 15]
"""

import argparse

import numpy as np

import fastmlp as fm
from fastmlp.bench.measure import in_turn, quartiles

BATCH, N_BATCHES, WIDTH, N_CLASSES = 128, 4, 512, 10
SECONDS = 0.1  # of a turn
SOFTMAX = "softmax_cross_entropy"


def data():
    """Images and labels as of MNIST, drawn at random."""
    rng = np.random.default_rng(0)
    X = rng.random((N_BATCHES * BATCH, 784), np.float32)
    return X, rng.integers(0, N_CLASSES, len(X))


def model(behind=(), loss=SOFTMAX, optimizer="sgd"):
    """784-512-512-10 with some layers behind each hidden one."""
    layers = []
    for _ in range(2):
        layers += [fm.Dense(WIDTH, "relu"), *behind]
    return fm.Model([*layers, fm.Dense(N_CLASSES)], loss, optimizer, n_inputs=784)


def steps(net):
    """Function that trains so many steps in the engine, with no Python between them."""
    X, y = data()
    rate, hyper = net.optimizer.rate(0), net.optimizer.hyper()
    runs = []  # the buffers of the model's own training
    net._core.with_run(runs.append, BATCH, "training", X, net.loss.targets(y, len(X), N_CLASSES, "float32"))
    run = runs[0]
    run.bind(X, net.loss.targets(y, len(X), N_CLASSES, "float32"))
    return lambda n: run.train(np.full(n, rate), hyper)


def gradients(net):
    """Function that asks so often for loss and gradients of one batch."""
    X, y = data()

    def work(n):
        for _ in range(n):
            net.loss_and_gradients(X[:BATCH], y[:BATCH])

    return work


def cases():
    """name, what is compared, with what, and how many times as long it may take."""
    adam, clipped = fm.Adam(), fm.Adam(global_clipnorm=1.0)
    smooth = fm.losses.SoftmaxCrossEntropy(label_smoothing=0.1)
    yield "dropout 0.5", steps(model([fm.Dropout(0.5)])), steps(model()), 1.10
    yield "layer norm", steps(model([fm.LayerNorm()])), steps(model()), 1.10
    yield "batch norm", steps(model([fm.BatchNorm()])), steps(model()), 1.15
    yield "label smoothing", steps(model(loss=smooth)), steps(model()), 1.10
    yield "Adam, clipped by global norm", steps(model(optimizer=clipped)), steps(model(optimizer=adam)), 1.35
    yield "loss_and_gradients", gradients(model()), steps(model()), 1.15


def jacobians():
    """name, function that computes the Jacobian of 10-64-64-3 at 1000 rows so many times; ours first."""
    net = fm.Model([fm.Dense(64, "tanh"), fm.Dense(64, "tanh"), fm.Dense(3)], n_inputs=10)
    X = np.random.default_rng(1).standard_normal((1000, 10)).astype(np.float32)
    expected = net.jacobian(X)

    def repeated(function):
        np.testing.assert_allclose(np.asarray(function()), expected, atol=1e-5)

        def work(n):
            for _ in range(n):
                function()

        return work

    yield "fastmlp", repeated(lambda: net.jacobian(X))
    try:
        import jax
    except ImportError:
        print("JAX is not installed: not compared")
    else:
        weights = [(jax.numpy.asarray(W), jax.numpy.asarray(b)) for W, b in net.weights]

        def of_jax(row):
            for W, b in weights[:-1]:
                row = jax.numpy.tanh(row @ W + b)
            return row @ weights[-1][0] + weights[-1][1]

        compiled = jax.jit(jax.vmap(jax.jacrev(of_jax)))
        x_jax = jax.numpy.asarray(X)
        yield "JAX", repeated(lambda: compiled(x_jax).block_until_ready())
    try:
        import torch
    except ImportError:
        print("torch is not installed: not compared")
    else:
        pairs = [(torch.from_numpy(W.copy()), torch.from_numpy(b.copy())) for W, b in net.weights]
        x = torch.from_numpy(X)

        def of_torch(row):
            for W, b in pairs[:-1]:
                row = torch.tanh(row @ W + b)
            return row @ pairs[-1][0] + pairs[-1][1]

        batched = torch.func.vmap(torch.func.jacrev(of_torch))
        yield "torch.func", repeated(lambda: batched(x).numpy())


def row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def spread(values):
    low, middle, high = quartiles(values)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main(arguments=None):
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args(arguments).rounds
    row("feature", "with, µs", "without, µs", "times as long", "wanted at most")
    row("---", "---:", "---:", "---:", "---:")
    for name, work, plain, most in cases():
        found, base = in_turn([work, plain], rounds, SECONDS)
        times = [f"{1e6 * np.median(t.wall):,.0f}" for t in (found, base)]
        row(name, *times, spread(found.wall / base.wall), f"{most:.2f}")
    print()
    row("Jacobian of 10-64-64-3, 1000 rows", "µs", "fastmlp's, µs", "times fastmlp's", "wanted at least")
    row("---", "---:", "---:", "---:", "---:")
    everyone = jacobians()
    _, ours = next(everyone)
    for name, work in everyone:  # each is imported when its turn comes: its threads disturb nobody before
        mine, theirs = in_turn([ours, work], rounds, SECONDS)
        times = [f"{1e6 * np.median(t.wall):,.0f}" for t in (theirs, mine)]
        row(name, *times, spread(theirs.wall / mine.wall), "3.00")


if __name__ == "__main__":
    main()
