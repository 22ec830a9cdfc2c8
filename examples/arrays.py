"""
Arrays
======

A teaching text begins with arrays: rank, shape, reshape, slice, concatenate, broadcast, transpose. fastmlp has no
tensors of its own: what a model takes and returns are NumPy's arrays. A matrix is read in place, whatever its strides;
samples of another rank are flattened by NumPy, which copies them only where their strides allow no such view.
"""

# %%
# Seven words
# -----------
# Images of digits are an array of rank 3: number, row, column.

import matplotlib.pyplot as plt
import numpy as np

import fastmlp as fm

X, y = fm.datasets.load_digits()
images = X.reshape(-1, 8, 8)
print("rank and shape      ", images.ndim, images.shape)
print("reshape             ", images.reshape(len(images), 64).shape)
print("slice               ", images[:100, 2:6, ::2].shape)
print("transpose           ", images.transpose(0, 2, 1).shape)
print("concatenate         ", np.concatenate([images[:100], images[-50:]]).shape)
print("broadcast           ", (images / images.max(axis=0).clip(1)).shape, "of", images.max(axis=0).shape)
print("strides, in bytes   ", images.strides, "and of the transpose", images.transpose(0, 2, 1).strides)

# %%
# A model reads them all
# ----------------------
# Samples are the first axis; the others are flattened in NumPy's order. So a model takes any rank from 1 on, and
# a rank of 1 is samples of one number each.

model = fm.Model([fm.Dense(32, "relu"), fm.Dense(10)], "softmax_cross_entropy", "adam")
history = model.fit(images, y, epochs=20, verbose=0)
probabilities = model.predict(images)
print("rank 3:", type(probabilities).__name__, probabilities.shape, probabilities.dtype)
print("rank 2, the same bits:", np.array_equal(model.predict(X), probabilities))
print("rank 5, the same bits:", np.array_equal(model.predict(X.reshape(-1, 2, 4, 4, 2)), probabilities))

line = np.linspace(-1, 1, 50)
curve = fm.Model([fm.Dense(8, "tanh"), fm.Dense(1)], "mean_squared_error", "adam")
curve.fit(line, line**2, epochs=10, verbose=0)
print("rank 1:", line.shape, "->", curve.predict(line).shape)

# %%
# Views give the bits of their copies
# -----------------------------------

views = {
    "transposed": images.transpose(0, 2, 1),
    "mirrored": images[:, :, ::-1],
    "last sample first": images[::-1],
    "in Fortran's order": np.asfortranarray(images),
    "every third sample": images[::3],
    "a broadcast sample": np.broadcast_to(images[0], (100, 8, 8)),
    "within a larger array": np.pad(images, ((0, 0), (3, 5), (1, 2)))[:, 3:11, 1:9],
}
same = {}
for name, view in views.items():
    same[name] = np.array_equal(model.predict(view), model.predict(np.ascontiguousarray(view)))
    print(f"{name:22s} strides {view.strides!s:16s} the same bits: {same[name]}")
assert all(same.values())

# %%
# Training too: the same weights from a view and from its copy.

trained = []
for data in (views["transposed"], views["transposed"].copy()):
    again = fm.Model([fm.Dense(32, "relu"), fm.Dense(10)], "softmax_cross_entropy", "adam")
    again.fit(data, y, epochs=20, verbose=0)
    trained.append(again.weights)
equal = all(np.array_equal(a, b) for one, other in zip(*trained, strict=True) for a, b in zip(one, other, strict=True))
print("the same weights:", equal)
assert equal
results = [("arrays: views that give the bits of their copies", "", f"{sum(same.values())} of {len(same)}", None, None)]

# %%
# See it
# ------
# The model was trained on upright digits; what it says of a view, it says of what it sees.

shown = {
    "as it is": images,
    **{name: views[name] for name in ("transposed", "mirrored")},
    "left half, stretched": images[:, :, np.arange(8) // 2],
}
figure, axes = plt.subplots(1, len(shown), figsize=(9, 2.8), layout="constrained")
for ax, (name, view) in zip(axes, shown.items(), strict=True):
    ax.imshow(view[4], cmap="Greys")
    ax.set_title(f"{name}: {model.predict(view[4:5]).argmax()}", fontsize="medium")
    ax.set(xticks=[], yticks=[])
plt.show()
