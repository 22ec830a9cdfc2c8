"""
Hopfield network: memory as a descent
=====================================

J. J. Hopfield, "Neural networks and physical systems with emergent collective computational abilities", Proceedings of
the National Academy of Sciences 79 (1982), 2554-2558: n units, each connected to all others. The paper's values are 0
and 1; here they are -1 and 1, as in most later texts. Patterns are stored by Hebb's rule, and a network that starts
near one falls into it, because no update of a single unit raises its energy.

How many patterns does it hold? D. J. Amit, H. Gutfreund and H. Sompolinsky, "Storing infinite numbers of patterns in a
spin-glass model of neural networks", Physical Review Letters 55 (1985), 1530-1533, compute 0.138 n for large n: up to
there patterns are recalled with at most 1.6 % of the bits wrong, beyond they are lost all at once. Both are tried
here, the first with the three letters of 30 pixels that a text of the gallery trains a classifier with.
"""

# %%
# One dense layer
# ---------------
# The fields of all units are the scores of one dense layer without bias, from the states to the states. Hebb's rule
# sums the products of the states of each pair of units over the patterns, which is what the layer's weight gradient
# does: ``pullback(patterns)`` is the product of the transposed inputs with the patterns. No unit acts on itself, so the
# diagonal is zero.

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm


def hopfield(patterns):
    """The layer that holds some patterns, -1 or 1 of shape (n_patterns, n)."""
    n = patterns.shape[1]
    layer = fm.Model([fm.Dense(n, use_bias=False, initializer="zeros")], n_inputs=n, n_threads=1)
    _, pullback = layer.vjp(patterns)
    _, ((W, b),) = pullback(patterns, inputs=False)
    np.fill_diagonal(W, 0)
    layer.weights = [(W, b)]
    return layer


# %%
# Three letters
# -------------

BITMAPS = {
    "A": "001101 010010 111111 100001 100001",
    "B": "011110 010010 011110 110010 011110",
    "C": "011110 010000 110000 010000 011110",
}
patterns = np.array([[2.0 * int(bit) - 1 for bit in rows.replace(" ", "")] for rows in BITMAPS.values()])
letters = hopfield(patterns)
print("letters that an update leaves as they are:", (np.sign(letters.scores(patterns)) == patterns).all(axis=1).sum())

# %%
# One unit after the other, in random order, takes the sign of its field. The energy, minus half the sum over all pairs
# of weight times states, then never rises, so that the network comes to rest.


def recall(W, start, rng):
    """The state in which the network comes to rest, and the energy after each update."""
    state, energies, changed = start.copy(), [-0.5 * start @ W @ start], True
    while changed:
        changed = False
        for i in rng.permutation(len(state)):
            field = W[i] @ state
            if field * state[i] < 0:
                state[i], changed = -state[i], True
            energies.append(-0.5 * state @ W @ state)
    return state, energies


rng = np.random.default_rng(0)
W = letters.weights[0][0].astype(float)
shown, results = [], []
for wrong in (3, 6, 9):
    found = 0
    for i in range(300):
        letter = patterns[i % 3]
        start = letter * np.where(rng.permutation(30) < wrong, -1, 1)
        state, energies = recall(W, start, rng)
        assert np.all(np.diff(energies) <= 0)
        found += np.array_equal(state, letter)
        if wrong == 6 and i < 3:
            shown.append((letter, start, state, energies))
    print(f"{wrong} of 30 pixels wrong: {found} of 300 letters recalled")
    results.append((f"Hopfield, letters, {wrong} of 30 pixels wrong: recalled", "-", f"{found / 300:.2f}", None, None))

# %%
# How much it holds
# -----------------
# Random patterns on 1000 units, all recalled at once: a batch of states goes through the layer until none changes, at
# most 20 times. All units of a state change together, which is quicker than one after the other; then the energy may
# rise, and a state may swing between two for ever, which the limit of 20 ends. The network starts in the pattern
# itself; what counts is how many of its bits are wrong at the end. The theory is of a network without end, where the
# loss is sudden; with 1000 units it is a bend.

N, LOADS = 1000, (0.02, 0.05, 0.08, 0.11, 0.13, 0.138, 0.15, 0.17, 0.2)
errors, fastmlp_seconds, numpy_seconds = [], 0.0, 0.0
for load in LOADS:
    stored = rng.choice(np.array([-1, 1], np.float32), (round(load * N), N))
    began = time.perf_counter()
    network, states = hopfield(stored), stored
    steps, last = 0, None
    while steps < 20 and not np.array_equal(states, last):
        last, states = states, np.where(network.scores(states) >= 0, np.float32(1), np.float32(-1))
        steps += 1
    fastmlp_seconds += time.perf_counter() - began
    errors.append(np.mean(states != stored))
    print(f"{len(stored)} patterns, {load:.3f} n: {100 * errors[-1]:5.2f} % of the bits wrong after {steps} steps")

    W = network.weights[0][0]
    once = plain_numpy.seconds_for(lambda _, a=stored, b=W: a @ b, 4) / 4
    numpy_seconds += once * (1 + steps)  # Hebb's rule is a product of the same size

at, beyond = (100 * errors[LOADS.index(load)] for load in (0.138, 0.2))
print(f"fastmlp {fastmlp_seconds:.1f} s; the products alone need {numpy_seconds:.1f} s in plain NumPy")
results += [
    ("Hopfield, 0.138 n patterns: bits wrong", "1.6 %", f"{at:.1f} %", fastmlp_seconds, numpy_seconds),
    ("Hopfield, 0.2 n patterns: bits wrong", "pattern lost", f"{beyond:.0f} %", None, None),
]

# %%
# See it
# ------

figure = plt.figure(figsize=(13, 4), layout="constrained")
left, middle, right = figure.subfigures(1, 3, width_ratios=(1, 1.2, 1.2))
grid = left.subplots(3, 3)
for row, (*images, _) in zip(grid, shown, strict=True):
    for ax, image in zip(row, images, strict=True):
        ax.imshow(image.reshape(5, 6), cmap="gray_r")
        ax.set(xticks=[], yticks=[])
for ax, title in zip(grid[0], ("stored", "start", "recalled"), strict=True):
    ax.set_title(title)
ax = middle.subplots()
for (_, _, _, energies), name in zip(shown, BITMAPS, strict=True):
    ax.plot(energies, label=f"{name}, 6 pixels wrong")
ax.set(xlabel="update", ylabel="energy", title="No update raises the energy")
ax.legend()
ax = right.subplots()
ax.plot(LOADS, 100 * np.array(errors), "o-", label=f"found, n = {N}")
ax.axvline(0.138, color="0.5", linestyle="--", label="0.138 n, Amit et al. 1985")
ax.set(xlabel="patterns per unit", ylabel="bits wrong in %", title="Beyond its capacity it forgets")
ax.legend()
plt.show()
