"""
Generative adversarial network: digits that nobody wrote
========================================================

I. Goodfellow and others, "Generative adversarial nets", Advances in Neural Information Processing Systems 27 (2014),
2672-2680: two networks play against each other. The discriminator learns to tell real images from made ones, the
generator, which makes them from random numbers, learns what the discriminator takes for real. It never sees an image:
all it gets is the discriminator's gradient by its input.

Both are multilayer perceptrons here, as in the paper. The images are MNIST's, each square of 2 x 2 pixels taken
together. The paper prints pictures of digits, and estimates of the likelihood of test images by Parzen windows, which
later work found to say little about images; we ask a judge, a classifier that knows real digits only.
"""

# %%
# Images, and a judge
# -------------------

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

(X, y), (X_test, y_test) = fm.datasets.load_mnist()


def smaller(images):
    """14 x 14 pixels from -1 to 1, as rows."""
    return images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4), dtype=np.float32).reshape(-1, 196) / 127.5 - 1


X, X_test = smaller(X), smaller(X_test)
judge = fm.Model([fm.Dense(256, "relu"), fm.Dropout(0.3), fm.Dense(10)], "softmax_cross_entropy", "adam", seed=0)
judge.fit(X, y, epochs=5, verbose=0)


def judged(images):
    """The share that the judge gives a probability of more than 0.9, its score, and the share of each digit."""
    p = judge.predict(images).astype(float) + 1e-12
    score = np.exp(np.mean(np.sum(p * np.log(p / p.mean(axis=0)), axis=1)))
    return np.mean(p.max(axis=1) > 0.9), score, np.bincount(p.argmax(axis=1), minlength=10) / len(p)


# %%
# That the judge is sure of an image says little where all images are alike. The score of T. Salimans and others
# ("Improved techniques for training GANs", Advances in Neural Information Processing Systems 29, 2016) asks for both:
# it is 1 where all images look the same to the judge, and 10 where it is sure of each and sees all equally often.

real, real_score, _ = judged(X_test)
print(f"the judge is right about {judge.evaluate(X_test, y_test)['accuracy']:.3f} of the test images")
print(f"real test images: sure of {real:.3f}, score {real_score:.2f}")

# %%
# Two networks
# ------------
# Adam with less momentum (A. Radford, L. Metz and S. Chintala, "Unsupervised representation learning with deep
# convolutional generative adversarial networks", ICLR 2016), and a learning rate that falls to zero, so that the game
# comes to rest. A step of both is so short that one thread will do.

EPOCHS, BATCH, N_CODE = 30, 64, 32
N_STEPS = EPOCHS * (len(X) // BATCH)
GENERATOR, DISCRIMINATOR = (128, 256), (256, 128)


def leaky(units):
    """A hidden layer of both networks."""
    return fm.Dense(units, "leaky_relu", alpha=0.2)


def adam():
    """The optimizer of both."""
    return fm.Adam(fm.schedules.CosineRestarts(1e-3, N_STEPS, restarts=False), beta_1=0.5)


layers = [*map(leaky, GENERATOR), fm.Dense(196, "tanh")]
generator = fm.Model(layers, optimizer=adam(), seed=1, n_inputs=N_CODE, n_threads=1)
layers = [leaky(DISCRIMINATOR[0]), fm.Dropout(0.3), leaky(DISCRIMINATOR[1]), fm.Dropout(0.3), fm.Dense(1)]
discriminator = fm.Model(layers, "binary_cross_entropy", adam(), seed=2, n_inputs=196, n_threads=1)

# %%
# The game
# --------
# The discriminator takes one step on a batch of real images and a batch of made ones. Real ones have the target 0.9
# rather than 1, so that it is never too sure (Salimans and others again).
#
# Then the generator: ``input_gradients`` says how each pixel of its images should change for the discriminator to call
# them real, target 1, and the generator's own ``pullback`` carries that on to its weights.

rng = np.random.default_rng(0)
real_or_made = np.concatenate([np.full(BATCH, 0.9), np.zeros(BATCH)])
called_real = np.ones(BATCH)


def codes(n):
    """Random numbers for n images."""
    return rng.standard_normal((n, N_CODE), np.float32)


def play(rows):
    """One step of both networks; the discriminator's loss."""
    made, pullback = generator.vjp(codes(BATCH))
    loss = discriminator.train_on_batch(np.concatenate([X[rows], made]), real_or_made)
    by_pixels = discriminator.input_gradients(made, called_real)
    _, gradients = pullback(by_pixels, inputs=False)
    generator.apply_gradients(gradients)
    return loss


sample = codes(10_000)
share, score, _ = judged(generator.predict(sample))
print(f"before training: sure of {share:.3f}, score {score:.2f}")
seconds = 0.0
for epoch in range(EPOCHS):
    began = time.perf_counter()
    order = rng.permutation(len(X))[: len(X) // BATCH * BATCH].reshape(-1, BATCH)
    loss = np.mean([play(rows) for rows in order])
    seconds += time.perf_counter() - began
    if epoch % 5 == 4:
        share, score, _ = judged(generator.predict(sample))
        print(f"epoch {epoch + 1:2}: loss of the discriminator {loss:.3f}; sure of {share:.3f}, score {score:.2f}")

# %%
# A discriminator that cannot tell at all has a loss of about log 2 = 0.693. The images are not yet all as clear as real
# ones, but all ten digits occur.

images = generator.predict(sample)
share, score, digits = judged(images)
print(f"the judge is sure of {share:.3f} of what the generator makes, and of {real:.3f} of the real test images")
print("share of each digit:", *(f"{digit}: {part:.3f}" for digit, part in enumerate(digits)))

# %%
# In plain NumPy, both networks in a row give the generator's gradient. With gradient descent in place of Adam, and
# without dropout.


def leaky_relu(z):
    """z, or 0.2 z below zero, and the derivative by z."""
    return np.where(z > 0, z, np.float32(0.2) * z), np.where(z > 0, np.float32(1), np.float32(0.2))


makes, tells = [leaky_relu, leaky_relu, plain_numpy.tanh], [leaky_relu, leaky_relu, plain_numpy.identity]
plain_generator = plain_numpy.MLP(generator.weights, makes, None)
plain_discriminator = plain_numpy.MLP(discriminator.weights, tells, plain_numpy.binary_cross_entropy)
both = plain_numpy.MLP([], makes + tells, plain_numpy.binary_cross_entropy)
both.weights = plain_generator.weights + plain_discriminator.weights
targets, ones = real_or_made.astype(np.float32)[:, None], np.ones((BATCH, 1), np.float32)


def numpy_play(i):
    """One step of both networks."""
    rows, random = rng.integers(0, len(X), BATCH), codes(BATCH)
    plain_discriminator.step(np.concatenate([X[rows], plain_generator.predict(random)]), targets, 1e-4)
    _, gradients = both.gradients(random, ones)
    for (W, b), (dW, db) in zip(plain_generator.weights, gradients, strict=False):
        W -= 1e-4 * dW
        b -= 1e-4 * db


numpy_seconds = plain_numpy.seconds_for(numpy_play, N_STEPS)
print(f"fastmlp {seconds:.0f} s, plain NumPy {numpy_seconds:.0f} s")
rarest = np.bincount(y).min() / len(y)
results = [
    ("GAN, judge's score of 1 to 10", f"{real_score:.2f} for real images", f"{score:.2f}", seconds, numpy_seconds),
    ("GAN, images that the judge is sure of", f"{real:.2f} of real images", f"{share:.2f}", None, None),
    ("GAN, share of the rarest digit", f"{rarest:.3f} of real images", f"{digits.min():.3f}", None, None),
]

# %%
# See it
# ------
# A hundred images, as they came. On the right, ten others, each above the training image nearest to it: they are no
# copies.


def tiled(rows, across):
    """Images side by side, with a line between them."""
    framed = np.pad(rows.reshape(-1, 14, 14), ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    return framed.reshape(-1, across, 16, 16).swapaxes(1, 2).reshape(-1, 16 * across)


made = images[100:110]
nearest = X[[np.argmin(((X - image) ** 2).sum(axis=1)) for image in made]]
pairs = np.stack([made.reshape(2, 5, 196), nearest.reshape(2, 5, 196)], axis=1)
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 6), layout="constrained", width_ratios=(1.6, 1))
left.imshow(tiled(images[:100], 10), cmap="gray")
left.set_title("Made from random numbers")
right.imshow(tiled(pairs, 5), cmap="gray")
right.set_title("Made, and below each the nearest real image")
for ax in (left, right):
    ax.set(xticks=[], yticks=[])
right.axhline(31.5, color="white", linewidth=1)
plt.show()
