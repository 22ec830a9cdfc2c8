"""
XOR, digit by digit
===================

A teaching text on backpropagation trains three networks with two inputs, two hidden units and one output on XOR, for
50,000 epochs of the four samples as one batch, and prints twelve digits of what comes out. From the same start, in
float64, fastmlp gives the same digits; but for the last one or two of two outputs, which rounding decides.

The loss is half the squared error, its gradient averaged over the four samples; the activation is the same in the
hidden and in the output layer; the rates are 5, 0.3 and 0.1.
"""

# %%
# The data, and what the text prints
# ----------------------------------
# Its losses are sums over the four samples; fastmlp's are means.

import time

import matplotlib.pyplot as plt
import numpy as np
import plain_numpy

import fastmlp as fm

X = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float)
y = np.array([0, 1, 1, 0], float)
EPOCHS = 50_000
PUBLISHED = {
    "sigmoid": (5.0, "0.524041 0.000211 0.000101 0.000066 0.000049", [
        "0.00498677608341", "0.995797811796", "0.995807280359", "0.00427497259731"]),
    "tanh": (0.3, "0.815223 0.000089 0.000041 0.000026 0.000019", [
        "2.54374979424e-05", "0.996137582397", "0.996104441828", "3.76155213167e-05"]),
    "relu": (0.1, "0.726709 0.000000 0.000000 0.000000 0.000000", ["below 1e-14", "1", "1", "below 1e-14"]),
}  # fmt: skip

# %%
# Train
# -----
# NumPy's legacy generator, seeded once, draws the weights of all three networks, one after the other. The text keeps
# them as (outputs, inputs); fastmlp as (inputs, outputs).

np.random.seed(0)  # noqa: NPY002
models, starts, seconds = {}, {}, {}
for activation, (rate, _, _) in PUBLISHED.items():
    hidden = np.random.normal(0, 1, (2, 2)) / np.sqrt(2)  # noqa: NPY002
    output = np.random.normal(0, 1, (1, 2)) / np.sqrt(2)  # noqa: NPY002
    layers = [fm.Dense(2, activation), fm.Dense(1, activation)]
    model = fm.Model(layers, "half_squared_error", fm.SGD(rate), dtype="float64", n_inputs=2)
    starts[activation] = model.weights = [(hidden.T, np.zeros(2)), (output.T, np.zeros(1))]
    began = time.perf_counter()
    model.fit(X, y, batch_size=4, epochs=EPOCHS, shuffle=False, verbose=0)
    seconds[activation] = time.perf_counter() - began
    models[activation] = model

# %%
# Digit by digit
# --------------
# Two of tanh's outputs lie near zero: they are small differences of large sums, and less than a rounding of these
# decides about their last digits. Plain NumPy, with samples as rows, differs there too, from the text and from fastmlp.
# Of relu the text prints no digits, but zeros and ones up to 1e-14.

results = []
for activation, (rate, losses, outputs) in PUBLISHED.items():
    model = models[activation]
    found = " ".join(f"{4 * model.history['loss'][epoch]:.6f}" for epoch in range(0, EPOCHS, 10_000))
    print(f"{activation}, learning rate {rate}")
    print("  losses, published  ", losses)
    print("  losses, fastmlp    ", found)
    print("  outputs, published ", *outputs)
    ours = model.predict(X)[:, 0]
    print("  outputs, fastmlp   ", *(f"{a:.12g}" for a in ours))
    assert found == losses

    network = plain_numpy.MLP(
        starts[activation], [getattr(plain_numpy, activation)] * 2, plain_numpy.half_squared_error
    )

    def numpy_step(_, network=network, rate=rate):
        network.step(X, y[:, None], rate)

    numpy_seconds = plain_numpy.seconds_for(numpy_step, EPOCHS, at_most=60.0)  # all of them
    print("  outputs, NumPy     ", *(f"{a:.12g}" for a in network.predict(X)[:, 0]))
    if activation == "relu":
        said, equal = "0, 1, 1, 0 up to 1e-14", f"up to {np.abs(ours - y).max():.0e}"
    else:
        same = sum(f"{a:.12g}" == f"{float(digits):.12g}" for a, digits in zip(ours, outputs, strict=True))
        apart = max(abs(a - float(digits)) for a, digits in zip(ours, outputs, strict=True))
        said, equal = "4 outputs of 12 digits", f"{same} of 4 to every digit, all to {apart:.0e}"
        assert apart < 1e-12
    results.append(
        (f"XOR, {activation}: 5 losses, and outputs", said, f"all losses; {equal}", seconds[activation], numpy_seconds)
    )
    print(f"  {1000 * seconds[activation]:.0f} ms; plain NumPy needs {numpy_seconds:.1f} s\n")

# %%
# See it
# ------

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for activation, model in models.items():
    left.loglog(1 + np.arange(EPOCHS), 4 * np.array(model.history["loss"]), label=activation)
left.set(xlabel="epoch", ylabel="loss, sum over the samples", title="Three activations")
left.legend()
fm.plotting.decision_boundary(models["sigmoid"], X, y.astype(int), ax=right)
right.set_title("What the sigmoid network says")
plt.show()
