"""
Three programs for files
========================

A school project on the multilayer perceptron asks for three programs: one divides a file of breast tumours, malignant
or benign, into a file to train on and a file to validate with, one trains a network and saves it, one loads it and
predicts. It wants the curves of training and validation loss and accuracy in one figure, and early stopping with the
best weights restored. The text publishes no figure for the accuracy.

fastmlp has these programs: ``fastmlp split``, ``fastmlp train`` and ``fastmlp predict``. Here they run as a user runs
them, each as a process of its own, in a folder that is empty at first.
"""

# %%
# The file
# --------
# ``fastmlp data`` writes the tumours as a table: the diagnosis, and 30 measures with their names.

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)


def fastmlp(line, code=0):
    """Run a command as in a terminal, print it and its output, of the epochs the first and the last; its seconds."""
    print("$ fastmlp", line)
    began = time.perf_counter()
    command = [sys.executable, "-m", "fastmlp", *line.split()]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    elapsed = time.perf_counter() - began
    assert done.returncode == code, done.stdout
    lines = done.stdout.splitlines()
    epochs = [i for i, line in enumerate(lines) if line.startswith("epoch ")]
    if len(epochs) > 6:
        lines[epochs[3] : epochs[-2]] = ["..."]
    print(*lines, "", sep="\n")
    return elapsed


seconds = fastmlp("data breast-cancer --out data.csv")
for line in (folder / "data.csv").read_text().splitlines()[:3]:
    print(line[:100], "...")

# %%
# Split
# -----
# A fifth of the rows, and of each class a fifth, goes to the test file. The seed decides which.

seconds += fastmlp("split data.csv --target diagnosis --test 0.2 --seed 0")

# %%
# Train
# -----
# Two hidden layers of 24 units are the default, as are ReLU, a softmax with the cross-entropy, and Adam. A fifth of the
# training file is held out for validation. When ten epochs have not lowered the validation loss the training ends, and
# the weights of the best epoch are restored. The inputs are standardised by the model itself, so that the file of the
# model is all that ``predict`` needs.

seconds += fastmlp("train data-train.csv --target diagnosis --hidden 24 24 --patience 10 --seed 0")

# %%
# The learning curves, as the program saved them:

picture = plt.imread(folder / "model-curves.png")
figure = plt.figure(figsize=(picture.shape[1] / 150, picture.shape[0] / 150))
figure.add_axes((0, 0, 1, 1)).imshow(picture)
figure.axes[0].set_axis_off()
plt.show()

# %%
# Predict
# -------
# The test file has the diagnosis, so that the predictions are compared with it. In a file without it they are only
# saved. Columns are found by their names, in any order.

seconds += fastmlp("predict model.safetensors data-test.csv")
for line in (folder / "data-test-predictions.csv").read_text().splitlines()[:4]:
    print(line)

# %%
# Mistakes
# --------
# What is wrong is told in one line, and nothing is written.

fastmlp("predict model.safetensors data-test.csv", code=1)
fastmlp("train data-train.csv --target diagnoses --force", code=1)
text = (folder / "data-test.csv").read_text().replace("11.42", "eleven", 1)
(folder / "typing-error.csv").write_text(text)
fastmlp("predict model.safetensors typing-error.csv", code=1)

# %%
# The same in Python
# ------------------
# The file of the model is one that ``fm.load`` reads, and its predictions are those of the program, bit for bit. The
# lines of Python that train it end with the same bits, too.


def read(name):
    """The measures, and 1 for malignant: the classes are in alphabetical order."""
    with open(folder / name, newline="") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([row[1:] for row in rows], float), np.array([row[0] == "malignant" for row in rows], int)


X, y = read("data-train.csv")
X_test, y_test = read("data-test.csv")
saved = fm.load(folder / "model.safetensors")
with open(folder / "data-test-predictions.csv", newline="") as file:
    written = np.array([row[1:] for row in list(csv.reader(file))[1:]], np.float32)
assert np.array_equal(saved.predict(X_test), written)

layers = [fm.Dense(24, "relu"), fm.Dense(24, "relu"), fm.Dense(2)]
model = fm.Model(layers, "softmax_cross_entropy", "adam", seed=0, n_inputs=30, preprocessing="standardize")
start = model.weights
stop = fm.EarlyStopping(patience=10, restore_best_weights=True)
began = time.perf_counter()
history = model.fit(X, y, epochs=100, validation_split=0.2, callbacks=[stop], verbose=0)
fit_seconds = time.perf_counter() - began
assert np.array_equal(model.predict(X_test), written)
accuracy = saved.evaluate(X_test, y_test)["accuracy"]
epochs, best = len(history["loss"]), stop.best_epoch + 1
print(f"the same predictions, of epoch {best} of {epochs}; test accuracy {accuracy:.4f}")

# %%
# One file of 114 rows says little: a single row is almost 0.9 % of it. So the same with nine other seeds, of the split
# as well as of the network:

names = [folder / f"{part}.csv" for part in ("a", "b")]
accuracies = [accuracy]
for seed in range(1, 10):
    split = ["split", str(folder / "data.csv"), "--target", "diagnosis", "--seed", str(seed), "--force", "--out"]
    subprocess.run([sys.executable, "-m", "fastmlp", *split, *map(str, names)], check=True, capture_output=True)
    other = fm.Model(layers, "softmax_cross_entropy", "adam", seed=seed, preprocessing="standardize")
    stop = fm.EarlyStopping(patience=10, restore_best_weights=True)
    other.fit(*read(names[0]), epochs=100, validation_split=0.2, callbacks=[stop], verbose=0)
    accuracies.append(other.evaluate(*read(names[1]))["accuracy"])
print(f"ten seeds: {min(accuracies):.4f} to {max(accuracies):.4f}, mean {np.mean(accuracies):.4f}")

# %%
# The time
# --------
# Almost all of it is the start of Python, four times, and the picture. The training itself is compared with the same
# steps in plain NumPy: Adam on batches of 32, without a look at the validation rows.

plain = plain_numpy.MLP(start, [plain_numpy.relu] * 2 + [plain_numpy.identity], plain_numpy.softmax_cross_entropy)
m, v = ([[np.zeros_like(array) for array in pair] for pair in start] for _ in range(2))
Z = ((X - saved.statistics["mean"]) / saved.statistics["scale"]).astype(np.float32)[: round(0.8 * len(X))]
steps = -(-len(Z) // 32)


def step(number):
    """One step of Adam."""
    rows = slice(32 * (number % steps), 32 * (number % steps) + 32)
    _, gradients = plain.gradients(Z[rows], y[: len(Z)][rows])
    rate = 1e-3 * np.sqrt(1 - 0.999 ** (number + 1)) / (1 - 0.9 ** (number + 1))
    for i, pair in enumerate(gradients):
        for j, g in enumerate(pair):
            m[i][j] += 0.1 * (g - m[i][j])
            v[i][j] += 0.001 * (g * g - v[i][j])
            plain.weights[i][j] -= rate * m[i][j] / (np.sqrt(v[i][j]) + 1e-7)


numpy_seconds = plain_numpy.seconds_for(step, steps * epochs)
print(f"four commands {seconds:.1f} s; the training {1000 * fit_seconds:.0f} ms, in plain NumPy", end=" ")
print(f"{1000 * numpy_seconds:.0f} ms")
results = [
    (
        "Programs for files: accuracy on the test file",
        "none",
        f"{accuracy:.2%} (ten seeds: {min(accuracies):.2%} to {max(accuracies):.2%})",
        fit_seconds,
        numpy_seconds,
    )
]
temporary.cleanup()
