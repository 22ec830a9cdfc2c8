"""
Denoising a cosine
==================

Lecture slides let a network remove the noise from a signal of n points. The noisy signal is the input; one hidden layer
of 10 sigmoid neurons with biases follows, and a linear projection back to n points without bias. The loss is half the
squared error to the true signal, summed over the points; weights start from U[-0.1, 0.1]; 500 steps of gradient descent
train it. The slides publish no figure but a picture: the truth blue, the noisy input orange, the output green.
"""

# %%
# One signal
# ----------
# The slides leave n, the learning rate and the noise open. Here they are 100, 0.1, and normal with the spread 0.3.

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

N, STEPS, NOISE = 100, 500, 0.3
rng = np.random.default_rng(0)
t = np.linspace(0, 4 * np.pi, N)
truth = np.cos(t)
noisy = truth + rng.normal(0, NOISE, N)


def network(rate):
    """The network of the slides, before it has learned."""
    start = fm.initializers.Uniform(0.1)
    hidden = fm.Dense(10, "sigmoid", initializer=start, bias_initializer=start)
    output = fm.Dense(N, use_bias=False, initializer=start)
    return fm.Model([hidden, output], "half_squared_error", fm.SGD(rate), seed=0, n_inputs=N, dtype="float64")


def rms(a, b):
    """Root of the mean squared difference."""
    return np.sqrt(np.mean((a - b) ** 2))


model = network(0.1)
start = model.weights
began = time.perf_counter()
model.fit([noisy], [truth], batch_size=1, epochs=STEPS, verbose=0)
seconds = time.perf_counter() - began
denoised = model.predict([noisy])[0]
losses = model.history["loss"]
print(f"loss {losses[0]:.3f} at first, {losses[-1]:.1e} after {STEPS} steps")
print(f"root mean square of the noise {rms(noisy, truth):.3f}, of what is left {rms(denoised, truth):.1e}")

# %%
# The noise is gone, to rounding: the network has seen no other signal, and learned to say this one. New noise on the
# same cosine disturbs it little; but of a cosine with another phase it makes a faint copy of the old one.

again = truth + rng.normal(0, NOISE, N)
shifted = np.cos(t + 2)
shifted_noisy = shifted + rng.normal(0, NOISE, N)
old = model.predict([shifted_noisy])[0]
print(f"new noise: {rms(model.predict([again])[0], truth):.3f} is left")
print(f"another phase: {rms(old, shifted):.3f} from its truth, {rms(old, truth):.3f} from the one learned")

# %%
# Many signals
# ------------
# The same network learns to denoise from 200 cosines of random phases, in 500 steps on all of them, with the rate 0.2.
# On 200 new ones it leaves less than least squares does, the projection on cosine and sine of this frequency: it knows
# the amplitude, too.


def signals(n):
    """Noisy cosines of random phases, and the true ones."""
    clean = np.cos(t + rng.uniform(0, 2 * np.pi, (n, 1)))
    return clean + rng.normal(0, NOISE, clean.shape), clean


X, Y = signals(200)
X_test, Y_test = signals(200)
many = network(0.2)
began = time.perf_counter()
many.fit(X, Y, batch_size=200, epochs=STEPS, shuffle=False, verbose=0)
seconds_many = time.perf_counter() - began
waves = np.linalg.qr(np.stack([np.cos(t), np.sin(t)], axis=1))[0]
left_over = rms(many.predict(X_test), Y_test)
print(f"new signals: noise {rms(X_test, Y_test):.3f}, left by the network {left_over:.3f},", end=" ")
print(f"by the projection {rms(X_test @ waves @ waves.T, Y_test):.3f}")

# %%
# The time of plain NumPy
# -----------------------


def plain_seconds(x, y, rate):
    """Seconds of so many steps."""
    plain = plain_numpy.MLP(start, [plain_numpy.sigmoid, plain_numpy.identity], plain_numpy.half_squared_error)
    return plain_numpy.seconds_for(lambda _: plain.step(x, y, rate), STEPS)


results = [
    (
        "Denoising one cosine: root mean square error",
        "a picture",
        f"{rms(noisy, truth):.3f} to {rms(denoised, truth):.0e}",
        seconds,
        plain_seconds(noisy[None], truth[None], 0.1),
    ),
    (
        "Denoising cosines of any phase: error on new ones",
        "",
        f"{rms(X_test, Y_test):.3f} to {left_over:.3f}",
        seconds_many,
        plain_seconds(X, Y, 0.2),
    ),
]
for what, _, found, ours, numpy_seconds in results:
    print(f"{what} {found}: {1000 * ours:.0f} ms; plain NumPy needs {1000 * numpy_seconds:.0f} ms")

# %%
# See it
# ------

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
left.plot(truth, "C0", linewidth=3, label="truth")
left.plot(noisy, "C1", linewidth=1, label="noisy input")
left.plot(denoised, "C2", label="denoised output")
left.set(xlabel="point", ylabel="signal", title="The signal that it learned")
right.plot(shifted, "C0", linewidth=3, label="truth")
right.plot(shifted_noisy, "C1", linewidth=1, label="noisy input")
right.plot(many.predict([shifted_noisy])[0], "C2", label="denoised, 200 signals learned")
right.plot(old, "C3--", label="denoised, one signal learned")
right.set(xlabel="point", ylim=(-2, 2.9), title="A signal that is new to both")
for axes in (left, right):
    axes.legend(loc="upper center", ncols=2, fontsize="small")
plt.show()
