"""
Deep belief network: layers trained without labels
==================================================

G. E. Hinton and others, "A fast learning algorithm for deep belief nets", Neural Computation 18 (2006), 1527-1554:
restricted Boltzmann machines one on the other. The first learns the images, the next one what the hidden units of the
first say about them, and so on; none needs a label. The weights are then the start of a network that labels train
further; with all 60,000 of MNIST's, G. E. Hinton and R. R. Salakhutdinov (Science 313, 2006) come so to
1.2 % errors.

Where there are many images and few labels it matters most. Here 20,000 images are seen without labels, and 10, 30 or
100 images of each digit with them. The same network from random weights sees only the latter.
"""

# %%
# One layer
# ---------
# A restricted Boltzmann machine as in its own example: a dense layer goes up, its pullback goes down and gives the
# statistics for contrastive divergence.

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

RATE, MOMENTUM, BATCH = 0.1, 0.5, 50


def sigmoid(z):
    """1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


def boltzmann(V, n_hidden, epochs, rng):
    """A layer that was trained on V, values in [0, 1], without labels; it predicts probabilities of hidden units."""
    dense = fm.Dense(n_hidden, initializer=fm.initializers.Normal(0.01))
    layer = fm.Model(
        [dense], "binary_cross_entropy", fm.SGD(RATE, momentum=MOMENTUM), seed=0, n_inputs=V.shape[1], n_threads=1
    )
    a = velocity = np.zeros(V.shape[1], np.float32)
    for _ in range(epochs):
        for rows in rng.permutation(len(V)).reshape(-1, BATCH):
            v = V[rows]
            scores, pullback = layer.vjp(v)
            p = sigmoid(scores)
            down, ((W, b),) = pullback((rng.random(p.shape, np.float32) < p).astype(np.float32))
            again = sigmoid(down + a)
            scores, pullback = layer.vjp(again)
            _, ((W_again, b_again),) = pullback(sigmoid(scores), inputs=False)
            layer.apply_gradients([((W_again - W) / BATCH, (b_again - b) / BATCH)])
            velocity = MOMENTUM * velocity + RATE * (v - again).mean(axis=0)
            a = a + velocity
    return layer


# %%
# One on the other
# ----------------

(X, y), (X_test, y_test) = fm.datasets.load_mnist()
X = X.reshape(-1, 784).astype(np.float32) / 255
X_test = X_test.reshape(-1, 784).astype(np.float32) / 255

WIDTHS, EPOCHS = (256, 256, 256), 4
rng = np.random.default_rng(0)
began = time.perf_counter()
V, start = X[:20_000], []
for width in WIDTHS:
    layer = boltzmann(V, width, EPOCHS, rng)
    start += layer.weights
    V = layer.predict(V)
pretraining = time.perf_counter() - began
print(f"{len(WIDTHS)} layers trained without labels in {pretraining:.1f} s")

# %%
# Few labels
# ----------
# Both networks are the same but for their start, and both take 1500 steps, whatever the number of labelled images.
# These are drawn three times for each number.

N_LABELS, DRAWS, FEW, SEEN = (100, 300, 1000), 3, 20, 30_000


def network(seed):
    """Three sigmoid layers and a softmax, from random weights."""
    layers = [*(fm.Dense(width, "sigmoid") for width in WIDTHS), fm.Dense(10)]
    return fm.Model(layers, "softmax_cross_entropy", fm.Adam(1e-3), seed=seed, n_inputs=784)


errors, seconds = np.empty((2, len(N_LABELS), DRAWS)), []
for i, n in enumerate(N_LABELS):
    began = time.perf_counter()
    for draw in range(DRAWS):
        order = rng.permutation(20_000)
        rows = np.concatenate([order[y[order] == digit][: n // 10] for digit in range(10)])
        for pretrained in (0, 1):
            model = network(seed=draw)
            if pretrained:
                model.weights = [*start, model.weights[-1]]
            model.fit(X[rows], y[rows], batch_size=FEW, epochs=SEEN // n, verbose=0)
            errors[pretrained, i, draw] = 100 * (1 - model.evaluate(X_test, y_test)["accuracy"])
    seconds.append(time.perf_counter() - began)

# %%
# Plain NumPy takes the same steps of gradient descent, not of Adam, which costs a little more.

activations = [plain_numpy.sigmoid] * len(WIDTHS) + [plain_numpy.identity]
plain = plain_numpy.MLP(network(0).weights, activations, plain_numpy.softmax_cross_entropy)


def numpy_step(i):
    """One batch."""
    rows = np.arange(FEW * i, FEW * (i + 1)) % len(X)
    plain.step(X[rows], y[rows], 0.01)


numpy_seconds = plain_numpy.seconds_for(numpy_step, DRAWS * 2 * SEEN // FEW)

seen = f"{20_000:,} images, {EPOCHS} epochs each"
results = [(f"Deep belief network, {len(WIDTHS)} layers without labels", "-", seen, pretraining, None)]
for i, n in enumerate(N_LABELS):
    (random, spread), (deep, deep_spread) = ((e.mean(), e.std()) for e in errors[:, i])
    print(
        f"{n:4} labels: errors from random weights {random:.1f} +- {spread:.1f} %, "
        f"from Boltzmann machines {deep:.1f} +- {deep_spread:.1f} %"
    )
    assert deep < random
    figures = f"{deep:.1f} %, random start {random:.1f} %"
    results.append((f"Deep belief network, {n} labels: test error", "-", figures, seconds[i], numpy_seconds))

# %%
# See it
# ------

figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
for of_start, label, marker in zip(errors, ("random weights", "Boltzmann machines"), "os", strict=True):
    ax.errorbar(N_LABELS, of_start.mean(axis=1), of_start.std(axis=1), marker=marker, capsize=3, label=label)
ax.set(xscale="log", xlabel="labelled images", ylabel="test error in %", title="MNIST, by the start of the network")
ax.set_xticks(N_LABELS, map(str, N_LABELS))
ax.minorticks_off()
ax.legend()
plt.show()
