"""fastmlp beside PyTorch: losses, gradients and whole trainings from the same weights on the same batches."""

import os

import numpy as np
import pytest
import scipy.stats

import fastmlp as fm
from fastmlp import _engine, reference

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[test-peers]'")
functional = torch.nn.functional

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),  # of torch's own imports
]

ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": functional.relu,
    "leaky_relu": lambda z: functional.leaky_relu(z, 0.2),
    "elu": lambda z: functional.elu(z, 1.3),
    "selu": functional.selu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda z: functional.gelu(z, approximate="tanh"),
    "silu": functional.silu,
    "mish": functional.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": lambda z: functional.softplus(z, threshold=1000),  # torch is linear above its threshold
    "hard_sigmoid": lambda z: torch.clamp(z + 3, 0, 6) / 6,  # hardsigmoid's gradient has 1/6 in float32, always
    "hard_tanh": functional.hardtanh,
}
ALPHA = {"leaky_relu": 0.2, "elu": 1.3}


def focal(z, t, gamma, alpha):
    """Lin et al. 2017, eq. 5, for many classes; by autograd."""
    log_p = functional.log_softmax(z, dim=1)
    return -(alpha * t * (1 - log_p.exp()) ** gamma * log_p).sum(dim=1).mean()


def binary_focal(z, t, gamma, alpha):
    """As in torchvision.ops.sigmoid_focal_loss: from the cross-entropy, for targets 0 and 1."""
    p, cross_entropy = torch.sigmoid(z), functional.binary_cross_entropy_with_logits(z, t, reduction="none")
    missing = 1 - (p * t + (1 - p) * (1 - t))
    return (alpha * t + (1 - alpha) * (1 - t)) * cross_entropy * missing**gamma


# loss -> (fastmlp's, torch's on scores and targets, how targets are drawn)
LOSSES = {
    "labels": (
        "softmax_cross_entropy", functional.cross_entropy, lambda rng, n, m: rng.integers(0, m, n)),
    "distributions": (
        "softmax_cross_entropy", functional.cross_entropy, lambda rng, n, m: rng.dirichlet(np.ones(m), n)),
    "binary, mean": (
        "binary_cross_entropy", functional.binary_cross_entropy_with_logits, lambda rng, n, m: rng.random((n, m))),
    "binary, sum": (
        fm.losses.BinaryCrossEntropy(outputs="sum"),
        lambda z, t: functional.binary_cross_entropy_with_logits(z, t, reduction="sum") / len(z),
        lambda rng, n, m: rng.integers(0, 2, (n, m)).astype(float)),
    "labels, smoothed": (
        fm.losses.SoftmaxCrossEntropy(label_smoothing=0.1),
        lambda z, t: functional.cross_entropy(z, t, label_smoothing=0.1), lambda rng, n, m: rng.integers(0, m, n)),
    "distributions, smoothed": (
        fm.losses.SoftmaxCrossEntropy(label_smoothing=0.3),
        lambda z, t: functional.cross_entropy(z, t, label_smoothing=0.3),
        lambda rng, n, m: rng.dirichlet(np.ones(m), n)),
    "binary, weighted": (
        fm.losses.BinaryCrossEntropy(positive_weight=(0.5, 1, 2, 3, 4.5)),
        lambda z, t: functional.binary_cross_entropy_with_logits(
            z, t, pos_weight=torch.tensor([0.5, 1, 2, 3, 4.5], dtype=z.dtype)),
        lambda rng, n, m: rng.random((n, m))),
    "binary, smoothed": (
        fm.losses.BinaryCrossEntropy(label_smoothing=0.2),
        lambda z, t: functional.binary_cross_entropy_with_logits(z, 0.8 * t + 0.1),
        lambda rng, n, m: rng.integers(0, 2, (n, m)).astype(float)),
    "focal, labels": (
        fm.losses.Focal(2.0, (0.5, 1, 2, 3, 4)),
        lambda z, t: focal(z, functional.one_hot(t, 5), 2.0, torch.tensor([0.5, 1, 2, 3, 4], dtype=z.dtype)),
        lambda rng, n, m: rng.integers(0, m, n)),
    "focal, distributions": (
        fm.losses.Focal(0.5), lambda z, t: focal(z, t, 0.5, 1), lambda rng, n, m: rng.dirichlet(np.ones(m), n)),
    "binary focal": (
        fm.losses.BinaryFocal(2.0, 0.25), lambda z, t: binary_focal(z, t, 2.0, 0.25).mean(),
        lambda rng, n, m: rng.integers(0, 2, (n, m)).astype(float)),
    "binary focal, sum": (
        fm.losses.BinaryFocal(0.5, outputs="sum"), lambda z, t: 2 * binary_focal(z, t, 0.5, 0.5).sum() / len(z),
        lambda rng, n, m: rng.integers(0, 2, (n, m)).astype(float)),
    "hinge": (
        "hinge", lambda z, t: torch.clamp(1 - (2 * t - 1) * z, min=0).mean(),
        lambda rng, n, m: rng.integers(0, 2, (n, m)).astype(float)),
    "mean absolute": ("mean_absolute_error", functional.l1_loss, lambda rng, n, m: rng.standard_normal((n, m))),
    "huber": (
        fm.losses.Huber(0.7), lambda z, t: functional.huber_loss(z, t, delta=0.7),
        lambda rng, n, m: rng.standard_normal((n, m))),
    "log cosh": (
        "log_cosh", lambda z, t: torch.log(torch.cosh(z - t)).mean(), lambda rng, n, m: rng.standard_normal((n, m))),
    "poisson": ("poisson", functional.poisson_nll_loss, lambda rng, n, m: rng.poisson(2.0, (n, m)).astype(float)),
    "quantile": (
        fm.losses.Quantile(0.3), lambda z, t: torch.maximum(0.3 * (t - z), 0.7 * (z - t)).mean(),
        lambda rng, n, m: rng.standard_normal((n, m))),
    "quantiles": (
        fm.losses.Quantile((0.1, 0.3, 0.5, 0.7, 0.9)),
        lambda z, t: sum(torch.maximum(q * (t - z[:, i]), (1 - q) * (z[:, i] - t)).mean()
                         for i, q in enumerate((0.1, 0.3, 0.5, 0.7, 0.9))) / 5,
        lambda rng, n, m: rng.standard_normal(n)),
    "gaussian": (
        "gaussian_nll",
        lambda z, t: functional.gaussian_nll_loss(z[:, : t.shape[1]], t, torch.exp(z[:, t.shape[1] :]), eps=0),
        lambda rng, n, m: rng.standard_normal((n, m // 2))),
    "mean squared": (
        "mean_squared_error", functional.mse_loss, lambda rng, n, m: rng.standard_normal((n, m))),
    "half squared": (
        "half_squared_error", lambda z, t: 0.5 * ((z - t) ** 2).sum() / len(z),
        lambda rng, n, m: rng.standard_normal((n, m))),
}  # fmt: skip

# Relative to the largest entry of an array. float32: both sides round sums of up to some hundred terms.
TOLERANCE = {"float64": 1e-10, "float32": 2e-5}

# name -> (fastmlp's, torch's). Conventions agree: momentum and Nesterov (torch multiplies by the rate after the
# velocity, the same for a constant rate), RMSprop (epsilon beside the root), Adam (beside the corrected root), AdamW.
# torch has no RMSprop with epsilon in the root and no Adam without bias correction; these are held to the twin only.
OPTIMIZERS = {
    "sgd": (fm.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (fm.SGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    "nesterov": (
        fm.SGD(0.05, momentum=0.9, nesterov=True), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True)),
    "rmsprop": (fm.RMSprop(1e-3, rho=0.95, epsilon=1e-6), lambda p: torch.optim.RMSprop(p, 1e-3, 0.95, 1e-6)),
    "rmsprop, centred": (
        fm.RMSprop(1e-3, rho=0.95, epsilon=1e-6, centered=True),
        lambda p: torch.optim.RMSprop(p, 1e-3, 0.95, 1e-6, centered=True)),
    "adagrad": (
        fm.Adagrad(0.02, initial_accumulator_value=0.1, epsilon=1e-8),
        lambda p: torch.optim.Adagrad(p, 0.02, initial_accumulator_value=0.1, eps=1e-8)),
    "adam": (fm.Adam(3e-3, epsilon=1e-8), lambda p: torch.optim.Adam(p, 3e-3, eps=1e-8)),
    "adam, other constants": (
        fm.Adam(3e-3, beta_1=0.8, beta_2=0.9, epsilon=1e-4), lambda p: torch.optim.Adam(p, 3e-3, (0.8, 0.9), 1e-4)),
    "amsgrad": (
        fm.Adam(3e-3, beta_2=0.9, epsilon=1e-8, amsgrad=True),
        lambda p: torch.optim.Adam(p, 3e-3, (0.9, 0.9), 1e-8, amsgrad=True)),
    "nadam": (fm.Nadam(3e-3, epsilon=1e-8), lambda p: torch.optim.NAdam(p, 3e-3, eps=1e-8, momentum_decay=1)),
    "adamw": (
        fm.AdamW(3e-3, weight_decay=0.1, epsilon=1e-8),
        lambda p: torch.optim.AdamW(p, 3e-3, weight_decay=0.1, eps=1e-8)),
    "sgd, l2": (fm.SGD(0.1, momentum=0.9, l2=0.03), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.03)),
    "adam, l2": (
        fm.Adam(3e-3, epsilon=1e-8, l2=0.03), lambda p: torch.optim.Adam(p, 3e-3, eps=1e-8, weight_decay=0.03)),
    "adam, l2 of weights only": (
        fm.Adam(3e-3, epsilon=1e-8, l2=0.03, decay_biases=False),
        lambda p: torch.optim.Adam([{"params": p[::2], "weight_decay": 0.03}, {"params": p[1::2]}], 3e-3, eps=1e-8)),
    "clip by norm": (fm.Adam(3e-3, epsilon=1e-8, global_clipnorm=0.1), lambda p: clipping(
        torch.optim.Adam(p, 3e-3, eps=1e-8), lambda: clip_norm(p, 0.1))),
    "clip by value": (fm.SGD(0.1, clipvalue=0.01), lambda p: clipping(
        torch.optim.SGD(p, 0.1), lambda: torch.nn.utils.clip_grad_value_(p, 0.01))),
}  # fmt: skip


def clip_norm(parameters, limit):
    """torch.nn.utils.clip_grad_norm_, which adds 1e-6 to the norm, without that."""
    norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in parameters]))
    for p in parameters:
        p.grad.mul_(min(1, limit / norm))


def clipping(optimizer, clip):
    """A torch optimizer that clips the gradients before each step."""
    optimizer.register_step_pre_hook(lambda *_: clip() and None)
    return optimizer


class Net:
    """A fastmlp model's weights and activations in torch."""

    def __init__(self, model):
        self.activations = [layer.activation for layer in model.layers]
        self.parameters = [torch.tensor(a.copy(), requires_grad=True) for pair in model.weights for a in pair]

    def __call__(self, x):
        for i, activation in enumerate(self.activations):
            x = ACTIVATIONS[activation](x @ self.parameters[2 * i] + self.parameters[2 * i + 1])
        return x


def network(activation, loss, dtype, n_inputs=11, widths=(37, 16, 5), optimizer="sgd"):
    layers = [*(fm.Dense(width, activation, ALPHA.get(activation)) for width in widths[:-1]), fm.Dense(widths[-1])]
    model = fm.Model(layers, loss, optimizer, n_inputs=n_inputs, dtype=dtype)
    rng = np.random.default_rng(1)
    model.weights = [(W, rng.normal(0, 0.3, b.shape)) for W, b in model.weights]
    return model


def tensors(X, y, dtype):
    targets = torch.tensor(y if y.dtype.kind == "i" else y.astype(dtype))
    return torch.tensor(X.astype(dtype)), targets


def close(found, expected, dtype, what):
    expected = expected.detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * np.abs(expected).max(), err_msg=what)


def test_every_activation_loss_and_optimizer_is_here():
    assert list(ACTIVATIONS) == _engine.activations
    assert {type(fm.losses.get(loss)) for loss, _, _ in LOSSES.values()} == set(fm.losses.BY_NAME.values())
    kinds = {type(optimizer) for optimizer, _ in OPTIMIZERS.values()}
    assert kinds | {fm.Lion, fm.LBFGS} == set(fm.optimizers.BY_NAME.values())  # test_keras.py, test_lbfgs.py


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_losses_and_gradients_are_torchs(activation, loss, dtype):
    kind, torchs, draw = LOSSES[loss]
    rng = np.random.default_rng(2)
    n_outputs = 6 if loss == "gaussian" else 5
    X, y = rng.standard_normal((23, 11)), draw(rng, 23, n_outputs)
    model = network(activation, kind, dtype, widths=(37, 16, n_outputs))
    net = Net(model)
    x, t = tensors(X, y, dtype)
    scores = net(x)
    expected = torchs(scores, t)
    expected.backward()
    found, gradients = model.loss_and_gradients(X, y)
    close(model.scores(X), scores, dtype, "scores")
    assert found == pytest.approx(expected.item(), rel=TOLERANCE[dtype])
    for i, (g, p) in enumerate(zip([a for pair in gradients for a in pair], net.parameters, strict=True)):
        close(g, p.grad, dtype, f"gradient {i}")


@pytest.mark.parametrize("loss", ["labels", "distributions", "binary, mean", "mean squared"])
def test_weighted_losses_and_gradients_are_torchs(loss, dtype):
    kind, _, draw = LOSSES[loss]
    unreduced = {
        "labels": functional.cross_entropy, "distributions": functional.cross_entropy,
        "binary, mean": functional.binary_cross_entropy_with_logits, "mean squared": functional.mse_loss,
    }[loss]  # fmt: skip
    rng = np.random.default_rng(2)
    X, y, weight = rng.standard_normal((23, 11)), draw(rng, 23, 5), 3 * rng.random(23)
    model = network("tanh", kind, dtype)
    net = Net(model)
    x, t = tensors(X, y, dtype)
    losses = unreduced(net(x), t, reduction="none").reshape(23, -1).mean(dim=1)
    expected = (losses * torch.tensor(weight.astype(dtype))).mean()
    expected.backward()
    found, gradients = model.loss_and_gradients(X, y, weight)
    assert found == pytest.approx(expected.item(), rel=TOLERANCE[dtype])
    for i, (g, p) in enumerate(zip([a for pair in gradients for a in pair], net.parameters, strict=True)):
        close(g, p.grad, dtype, f"gradient {i}")


def test_extreme_scores_are_torchs(dtype):
    X = np.array([[0.0], [1.0], [-1.0], [60.0], [-60.0], [1000.0]])
    for loss, y in (("binary_cross_entropy", np.array([[1.0, 0.0]] * 6)), ("softmax_cross_entropy", np.zeros(6, int))):
        model = fm.Model([fm.Dense(2)], loss, n_inputs=1, dtype=dtype)
        model.weights = [([[1.0, -1.0]], [0.0, 0.0])]
        x, t = tensors(X, y, dtype)
        scores = Net(model)(x)
        torchs = LOSSES["labels" if "softmax" in loss else "binary, mean"][1]
        assert model.evaluate(X, y)["loss"] == pytest.approx(torchs(scores, t).item(), rel=TOLERANCE[dtype])
        expected = torch.softmax(scores, 1) if "softmax" in loss else torch.sigmoid(scores)
        np.testing.assert_allclose(model.predict(X), expected.detach().numpy(), rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trainings_walk_with_torch(name):
    """Forty steps in float64, weights compared at the end and the loss at each step."""
    optimizer, torchs = OPTIMIZERS[name]
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((40, 16, 11)), rng.integers(0, 5, (40, 16))
    model = network("tanh", "softmax_cross_entropy", "float64", optimizer=optimizer)
    net = Net(model)
    stepper = torchs(net.parameters)
    for x, t in zip(X, y, strict=True):
        stepper.zero_grad()
        loss = functional.cross_entropy(net(torch.tensor(x)), torch.tensor(t))
        loss.backward()
        stepper.step()
        assert model.train_on_batch(x, t) == pytest.approx(loss.item(), rel=1e-9)
    for found, expected in zip([a for pair in model.weights for a in pair], net.parameters, strict=True):
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=0, atol=1e-9)


def test_averages_accumulation_and_rates_of_layers_are_torchs():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((40, 16, 11)), rng.integers(0, 5, (40, 16))
    optimizer = fm.Adam(3e-3, epsilon=1e-8, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=4)
    layers = [fm.Dense(16, "tanh", learning_rate_factor=0.3), fm.Dense(9, "tanh", trainable=False), fm.Dense(5)]
    model = fm.Model(layers, "softmax_cross_entropy", optimizer, n_inputs=11, dtype="float64")
    net = Net(model)
    p = net.parameters
    stepper = torch.optim.Adam([{"params": p[:2], "lr": 9e-4}, {"params": p[4:]}], 3e-3, eps=1e-8)
    average = None
    for i, (x, t) in enumerate(zip(X, y, strict=True)):
        (functional.cross_entropy(net(torch.tensor(x)), torch.tensor(t)) / 4).backward()
        if i % 4 == 3:
            stepper.step()
            stepper.zero_grad()
            now = [a.detach().clone() for a in p]
            average = now if average is None else [0.9 * a + 0.1 * b for a, b in zip(average, now, strict=True)]
        model.train_on_batch(x, t)
    for pairs, expected in ((model.weights, p), (model.average_weights, average)):
        for found, each in zip([a for pair in pairs for a in pair], expected, strict=True):
            np.testing.assert_allclose(found, each.detach().numpy(), rtol=0, atol=1e-9)


# ---- MNIST: 784-512-512-10, relu, SGD 1e-3, batches of 32, inputs X > 0 ----


@pytest.fixture(scope="module")
def mnist():
    if not os.environ.get("FASTMLP_DATA"):
        pytest.skip("FASTMLP_DATA names no folder with mnist/")
    (X, y), (X_test, y_test) = fm.datasets.load_mnist()
    return (X.reshape(-1, 784) > 0, y), (X_test.reshape(-1, 784) > 0, y_test)


def mnist_model():
    layers = [fm.Dense(512, "relu"), fm.Dense(512, "relu"), fm.Dense(10)]
    return fm.Model(layers, "softmax_cross_entropy", fm.SGD(1e-3), n_inputs=784)


def torch_step(net, stepper, x, t):
    stepper.zero_grad(set_to_none=True)
    loss = functional.cross_entropy(net(x), t)
    loss.backward()
    stepper.step()
    return loss


def test_the_first_hundred_steps_of_mnist(mnist):
    """Losses agree with torch's and with the NumPy twin's to 1e-4 relative."""
    (X, y), _ = mnist
    model = mnist_model()
    net = Net(model)
    stepper = torch.optim.SGD(net.parameters, 1e-3)
    twin = reference.Network([(W, b, "relu") for W, b in model.weights[:2]] + [model.weights[2]],
                              "softmax_cross_entropy_labels")  # fmt: skip
    order = _engine.shuffle(len(X), model.seed, 0)
    for first in range(0, 3200, 32):
        rows = order[first : first + 32]
        x, t = X[rows].astype(np.float32), y[rows]
        found = model.train_on_batch(X[rows], t)
        assert found == pytest.approx(torch_step(net, stepper, *tensors(x, t.astype(int), "float32")).item(), rel=1e-4)
        assert found == pytest.approx(twin.train_step(x, t, {}, 1e-3)[0], rel=1e-4)


def test_ten_epochs_of_mnist(mnist):
    """The test accuracy is within 0.3 percentage points of torch's, from the same weights and batches."""
    (X, y), (X_test, y_test) = mnist
    model = mnist_model()
    net = Net(model)
    stepper = torch.optim.SGD(net.parameters, 1e-3)
    model.fit(X, y, batch_size=32, epochs=10, verbose=0)
    x, t = torch.tensor(X.astype(np.float32)), torch.tensor(y.astype(int))
    torch.set_num_threads(1)  # steps this small gain nothing from a second thread, and lose all on a busy machine
    for epoch in range(10):
        order = torch.tensor(_engine.shuffle(len(X), model.seed, epoch))
        for rows in order.split(32):
            torch_step(net, stepper, x[rows], t[rows])
    with torch.no_grad():
        expected = (net(torch.tensor(X_test.astype(np.float32))).argmax(1).numpy() == y_test).mean()
    found = model.evaluate(X_test, y_test)["accuracy"]
    print(f"test accuracy after ten epochs: fastmlp {found:.4f}, torch {expected:.4f}")
    assert abs(found - expected) <= 0.003


# ---- layers without a product ----


class Skip(torch.nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.stack = torch.nn.Sequential(*layers)

    def forward(self, x):
        return x + self.stack(x)


def torch_layers():
    """A network of every such layer, and torch's of the same shape. torch's momentum is the share of the new."""
    nn = torch.nn
    layers = [
        fm.BatchNorm(0.8, 1e-3), fm.Dense(24), fm.LayerNorm(1e-2), fm.PReLU(0.3),
        fm.Residual([fm.Dense(40, "tanh"), fm.BatchNorm(0.9, 1e-3), fm.Dense(24), fm.PReLU()]), fm.Dense(5),
    ]  # fmt: skip
    theirs = nn.Sequential(
        nn.BatchNorm1d(7, 1e-3, 0.2), nn.Linear(7, 24), nn.LayerNorm(24, 1e-2), nn.PReLU(24, 0.3),
        Skip(nn.Linear(24, 40), nn.Tanh(), nn.BatchNorm1d(40, 1e-3, 0.1), nn.Linear(40, 24), nn.PReLU(24)),
        nn.Linear(24, 5),
    ).double()  # fmt: skip
    return layers, theirs


def moved_by_training(model):
    """All arrays of a model but the running statistics, in the order of torch's parameters."""
    shapes = model._core.network.shapes(running=False)
    return [a for arrays, kept in zip(model.weights, shapes, strict=True) for a in arrays[: len(kept)]]


def give(theirs, arrays):
    """Copy our arrays into torch's parameters."""
    with torch.no_grad():
        for parameter, array in zip(theirs.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(array.T.copy()))


def test_layers_train_as_those_of_torch():
    rng = np.random.default_rng(3)
    layers, theirs = torch_layers()
    model = fm.Model(layers, "softmax_cross_entropy", fm.SGD(0.1), n_inputs=7, dtype="float64")
    parameters = list(theirs.parameters())  # in the order of ours
    give(theirs, moved_by_training(model))
    X, y = rng.standard_normal((60, 7)), rng.integers(0, 5, 60)
    optimizer = torch.optim.SGD(parameters, 0.1)
    for _ in range(5):
        loss = functional.cross_entropy(theirs(torch.from_numpy(X)), torch.from_numpy(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(model.train_on_batch(X, y), loss.item(), rtol=1e-10)
    for parameter, array in zip(parameters, moved_by_training(model), strict=True):
        np.testing.assert_allclose(array.T, parameter.detach().numpy(), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(model.weights[0][2], theirs[0].running_mean.numpy(), rtol=1e-12)
    unbiased = 60 / 59  # torch's running variance is divided by rows - 1, ours, as Keras's, by rows
    ours = (model.weights[0][3] - 0.8**5) * unbiased + 0.8**5
    np.testing.assert_allclose(ours, theirs[0].running_var.numpy(), rtol=1e-12)


def test_jacobian_is_that_of_torch():
    layers, theirs = torch_layers()
    model = fm.Model(layers, n_inputs=7, dtype="float64")
    give(theirs, moved_by_training(model))
    theirs.eval()
    X = np.random.default_rng(1).standard_normal((9, 7))
    x = torch.from_numpy(X).requires_grad_()
    rows = [torch.autograd.grad(theirs(x)[:, j].sum(), x)[0].numpy() for j in range(5)]
    np.testing.assert_allclose(model.jacobian(X), np.stack(rows, axis=1), rtol=1e-9, atol=1e-12)


INITIALIZERS = {
    "glorot_uniform": torch.nn.init.xavier_uniform_,
    "glorot_normal": torch.nn.init.xavier_normal_,
    "he_uniform": lambda w: torch.nn.init.kaiming_uniform_(w, nonlinearity="relu"),
    "he_normal": lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="relu"),
    "lecun_normal": lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="linear"),
    "orthogonal": torch.nn.init.orthogonal_,
    "truncated_normal": lambda w: torch.nn.init.trunc_normal_(w, std=0.05, a=-0.1, b=0.1),
    fm.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"): lambda w: w.copy_(torch.nn.Linear(200, 300).weight),
}


@pytest.mark.parametrize("initializer", INITIALIZERS)
def test_initializers_draw_from_torchs_distributions(initializer):
    """As many numbers of each; the seeds are fixed, so this passes always or never."""
    torch.manual_seed(0)
    theirs = torch.empty(300, 200, dtype=torch.float64)
    with torch.no_grad():
        INITIALIZERS[initializer](theirs)
    ours = fm.initializers.initialize(initializer, 200, 300, "float64", seed=0, layer=0)
    assert scipy.stats.ks_2samp(ours.ravel(), theirs.numpy().ravel()).pvalue > 0.01
    assert ours.std() == pytest.approx(float(theirs.std()), rel=0.01)
