"""What all optimizers share: decay, penalties, clipping, accumulation, averages. The engine against its twin."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, gradcheck, layers, reference

OPTIONS = {
    "decay": {"weight_decay": 0.3},
    "decay of weights only": {"weight_decay": 0.3, "l2": 0.05, "decay_biases": False},
    "l2": {"l2": 0.1},
    "clip by norm": {"global_clipnorm": 0.05},
    "clip by value": {"clipvalue": 0.01},
    "accumulation": {"gradient_accumulation_steps": 3},
    "average": {"use_ema": True, "ema_momentum": 0.7},
    "all": {
        "weight_decay": 0.3, "l2": 0.1, "decay_biases": False, "global_clipnorm": 0.05, "use_ema": True,
        "ema_momentum": 0.7, "gradient_accumulation_steps": 2,
    },
}  # fmt: skip
STACK = [fm.Dense(40, "tanh"), fm.LayerNorm(), fm.Dense(9, "tanh", use_bias=False), fm.PReLU(), fm.Dense(3)]
KINDS = {
    "sgd": fm.SGD, "momentum": lambda **o: fm.SGD(0.01, momentum=0.9, **o), "lion": fm.Lion,
    "adam": lambda **o: fm.Adam(epsilon=1e-3, **o), "amsgrad": lambda **o: fm.Adam(amsgrad=True, epsilon=1e-3, **o),
}  # fmt: skip


def data(n=60, n_inputs=21):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, n_inputs)), rng.integers(0, 3, n)


def model_of(optimizer, stack=STACK, dtype="float64", **options):
    return fm.Model(stack, "softmax_cross_entropy", optimizer, seed=3, n_inputs=21, dtype=dtype, **options)


def twin_of(model):
    arrays, found = iter(model.weights), []
    for spec in layers.specs(model.layers, model.n_inputs):
        w, b = (*next(arrays), np.zeros(0)) if spec.kind == "prelu" else next(arrays)
        found.append(reference.Layer(w, b, *spec[1:]))
    twin = reference.Network(found, "softmax_cross_entropy_labels", seed=3)
    twin.set_optimizer(model.optimizer.kernel)
    return twin


def compare(pairs, expected, atol=1e-12):
    for i, (pair, twin) in enumerate(zip(pairs, expected, strict=True)):
        for a, b in zip(pair, twin, strict=False):
            np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=f"layer {i}")


def bits(model):
    state = model._core.__getstate__()
    lists = [state["weights"], *state["training"].pop("states").values()]
    return [array.tobytes() for pairs in lists for pair in pairs for array in pair], state["training"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OPTIONS)
def test_training_is_the_twins(name, kind):
    X, y = data()
    optimizer = KINDS[kind](**OPTIONS[name])
    model = model_of(optimizer, n_threads=2)
    twin = twin_of(model)
    for _ in range(2):  # epochs of five steps
        history = model.fit(X, y, batch_size=13, verbose=0)
        losses, _ = twin.fit(X, y, 13, np.full(5, optimizer.learning_rate), optimizer.hyper(), True, 3)
        assert history["loss"] == pytest.approx([np.average(losses, weights=[13] * 4 + [8])], rel=1e-11)
    compare(model.weights, [layer[:2] for layer in twin.layers])
    assert (model.average_weights is None) == (not optimizer.use_ema)
    if optimizer.use_ema:
        compare(model.average_weights, twin.average)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_changes_the_training(name):
    X, y = data()
    model, plain = model_of(fm.Adam(**OPTIONS[name])), model_of(fm.Adam())
    for each in (model, plain):
        each.fit(X, y, batch_size=13, epochs=2, verbose=0)
    same = all(np.array_equal(a[0], b[0]) for a, b in zip(model.weights, plain.weights, strict=True))
    assert same == (name == "average")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIONS)
def test_threads_and_instruction_sets_do_not_change_a_bit(name, dtype, fused_isas, monkeypatch):
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((300, 90)).astype(dtype), rng.integers(0, 3, 300)
    stack = [fm.Dense(130, "tanh", l1=1e-4, l2=1e-3, max_norm=0.9), fm.Dense(3)]
    found = []
    for isa, n_threads, batch_size in ((None, 1, 150), (None, 2, 150), (None, 3, 150), (fused_isas[1], 2, 150)):
        if isa is not None:
            monkeypatch.setattr(_engine, "isa", isa)
        model = fm.Model(stack, "softmax_cross_entropy", fm.Adam(**OPTIONS[name]), n_threads=n_threads, dtype=dtype)
        history = model.fit(X.astype(dtype), y, batch_size=batch_size, epochs=3, verbose=0)
        assert model._core.network.isa == (isa or _engine.isa)
        found.append((bits(model), history["loss"], model.predict(X).tobytes()))
    assert all(each == found[0] for each in found[1:])


@pytest.mark.parametrize("name", OPTIONS)
def test_five_and_five_epochs_are_ten(name, tmp_path):
    """The state of a model that was copied, pickled or saved in between is whole."""
    X, y = data()
    optimizer = fm.Adam(0.01, amsgrad=True, **OPTIONS[name])
    models = [model_of(optimizer, dtype="float32") for _ in range(4)]
    for model in models:
        model.fit(X, y, batch_size=13, epochs=2, verbose=0)
    models[1], models[2] = copy.deepcopy(models[1]), pickle.loads(pickle.dumps(models[2]))
    models[3].save(tmp_path / "net")
    models[3] = fm.load(tmp_path / "net")
    for model in models:
        model.fit(X, y, batch_size=13, epochs=2, verbose=0)
    whole = model_of(optimizer, dtype="float32")
    whole.fit(X, y, batch_size=13, epochs=4, verbose=0)
    for model in models:
        assert bits(model) == bits(whole)
        assert model.predict(X).tobytes() == whole.predict(X).tobytes()


@pytest.mark.parametrize("name", OPTIONS)
def test_apply_gradients_is_what_training_does(name):
    X, y = data()
    trained, applied = (model_of(fm.Adam(0.01, **OPTIONS[name])) for _ in range(2))
    for _ in range(5):
        loss, gradients = applied.loss_and_gradients(X, y)
        assert loss == trained.train_on_batch(X, y)
        applied.apply_gradients(gradients)
    assert bits(trained)[0] == bits(applied)[0]


def test_a_global_norm_is_what_remains(tmp_path):
    """With SGD of rate 1 the step is the clipped gradient."""
    X, y = data()
    for limit in (1e-3, 1e3):
        model = model_of(fm.SGD(1.0, global_clipnorm=limit))
        before = model.weights
        _, gradients = model.loss_and_gradients(X, y)
        model.train_on_batch(X, y)
        norm = np.sqrt(sum((a**2).sum() for pair in gradients for a in pair))
        moved = [a - b for pairs in zip(before, model.weights, strict=True) for a, b in zip(*pairs, strict=True)]
        flat = [a for pair in gradients for a in pair]
        for a, b in zip(moved, flat, strict=True):
            np.testing.assert_allclose(a, b * min(1, limit / norm), rtol=1e-9, atol=1e-15)


def test_accumulation_is_a_larger_batch():
    """Three batches of equal size are one three times as large; one that is left over waits for the next epoch."""
    X, y = data()
    small, large = model_of(fm.SGD(0.1, gradient_accumulation_steps=3)), model_of(fm.SGD(0.1))
    small.fit(X, y, batch_size=10, verbose=0)
    large.fit(X, y, batch_size=30, verbose=0)
    compare(small.weights, large.weights)
    before = bits(small)[0]
    small.fit(X[:10], y[:10], batch_size=10, verbose=0)
    state = small._core.network.get_state()
    assert (state["pending"], state["updates"], state["step"]) == (1, 2, 7)
    assert bits(small)[0][: len(small.weights)] == before[: len(small.weights)]


def test_accumulation_is_a_larger_batch_of_as_many_rows():
    """Batches of 16, 16 and 9 rows, or in a file between them, are one of 41; of an iterable, too."""
    X, y = (array[:41] for array in data())
    large = model_of(fm.SGD(0.1))
    before = large.weights
    large.fit(X, y, batch_size=41, verbose=0)
    for way in ("fit", "batches", "one by one"):
        small = model_of(fm.SGD(0.1, gradient_accumulation_steps=3), n_threads=2)
        cuts = [slice(0, 9), slice(9, 25), slice(25, 41)]
        if way == "fit":
            small.fit(X, y, batch_size=16, verbose=0)
        elif way == "batches":
            small.fit([(X[cut], y[cut]) for cut in cuts], verbose=0)
        else:
            for cut in cuts:
                small.train_on_batch(X[cut], y[cut])
                small = pickle.loads(pickle.dumps(small))
        assert small._core.network.get_state()["updates"] == 1
        compare(small.weights, large.weights, 1e-14)
        assert not np.array_equal(small.weights[0][0], before[0][0])


def test_gradients_that_come_by_hand_weigh_alike():
    """Nobody knows of how many rows they are."""
    X, y = data()
    model = model_of(fm.SGD(0.1, gradient_accumulation_steps=3))
    parts = [model.loss_and_gradients(X[cut], y[cut])[1] for cut in (slice(0, 30), slice(30, 40), slice(40, 60))]
    expected = [
        tuple(w - 0.1 * sum(part[i][j] for part in parts) / 3 for j, w in enumerate(arrays))
        for i, arrays in enumerate(model.weights)
    ]
    for part in parts:
        model.apply_gradients(part)
    compare(model.weights, expected, 1e-14)


def test_the_average_predicts_and_the_weights_train():
    X, y = data()
    model = model_of(fm.SGD(0.5, use_ema=True, ema_momentum=0.9))
    untrained = model.predict(X)
    np.testing.assert_array_equal(untrained, model_of("sgd").predict(X))
    seen, average = [], None
    for step in range(4):
        model.train_on_batch(X, y)
        seen.append(model.weights)
        average = [
            tuple(w if step == 0 else 0.9 * a + 0.1 * w for a, w in zip(*pairs, strict=True))
            for pairs in zip(average or seen[0], seen[-1], strict=True)
        ]
    compare(model.average_weights, average)
    other = model_of("sgd")
    other.weights = average
    np.testing.assert_allclose(model.predict(X), other.predict(X), atol=1e-12)
    assert model.evaluate(X, y) == pytest.approx(other.evaluate(X, y))
    other.weights = seen[-1]
    assert model.loss_and_gradients(X, y)[0] == pytest.approx(other.loss_and_gradients(X, y)[0])
    assert model.evaluate(X, y)["loss"] != pytest.approx(other.evaluate(X, y)["loss"], rel=1e-3)
    model.weights = other.weights  # by hand: the average starts again from them
    compare(model.average_weights, other.weights)


def test_an_average_begins_where_the_optimizer_is_exchanged():
    X, y = data()
    model = model_of(fm.Adam(0.01))
    model.fit(X, y, verbose=0)
    assert model.average_weights is None
    moments = model._core.network.get_state()["states"]["m"][0][0].tobytes()
    model.optimizer = dataclasses.replace(model.optimizer, use_ema=True, gradient_accumulation_steps=2)
    compare(model.average_weights, model.weights, atol=0)
    assert model._core.network.get_state()["states"]["m"][0][0].tobytes() == moments
    model.fit(X, y, verbose=0)
    model.optimizer = fm.Adam(0.01)
    assert list(model._core.network.get_state()["states"]) == ["m", "v"]
    assert model.average_weights is None


@pytest.mark.parametrize("options", [
    {"weight_decay": -1}, {"l2": -1e-3}, {"l2": np.nan}, {"global_clipnorm": 0}, {"clipvalue": -1},
    {"global_clipnorm": np.inf}, {"gradient_accumulation_steps": 0}, {"ema_momentum": 1.0}, {"ema_momentum": -0.1},
    {"clipvalue": 1, "global_clipnorm": 1},
])  # fmt: skip
@pytest.mark.parametrize("kind", [fm.SGD, fm.Lion, fm.AdamW])
def test_bad_values_are_refused(kind, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        kind(**options)


@pytest.mark.parametrize("options", [
    {"weight_decay": "1"}, {"l2": True}, {"global_clipnorm": "1"}, {"gradient_accumulation_steps": 1.5},
    {"use_ema": 1}, {"decay_biases": None}, {"ema_momentum": None},
])  # fmt: skip
def test_bad_types_are_refused(options):
    with pytest.raises(TypeError, match=next(iter(options))):
        fm.SGD(**options)


# ---- options of a layer ----

LAYER_OPTIONS = {
    "l1": {"l1": 0.01}, "l2": {"l2": 0.02}, "both": {"l1": 0.003, "l2": 0.02}, "max norm": {"max_norm": 0.8},
    "frozen": {"trainable": False, "l2": 0.1, "max_norm": 0.1}, "rate": {"learning_rate_factor": 0.3},
    "all": {"l1": 0.003, "l2": 0.02, "max_norm": 0.8, "learning_rate_factor": 2.0},
}  # fmt: skip


def stack_with(options):
    return [fm.Dense(40, "tanh"), fm.Dense(19, "tanh", **options), fm.Dropout(0.1), fm.Dense(3, **options)]


@pytest.mark.parametrize("optimizer", [
    fm.Adam(0.01, epsilon=1e-3), fm.SGD(0.1, global_clipnorm=0.05, gradient_accumulation_steps=2, use_ema=True),
    fm.Nadam(0.01, epsilon=1e-3, clipvalue=0.01),
], ids=["adam", "sgd", "nadam"])  # fmt: skip
@pytest.mark.parametrize("name", LAYER_OPTIONS)
def test_training_with_options_of_layers_is_the_twins(name, optimizer):
    X, y = data()
    model = model_of(optimizer, stack_with(LAYER_OPTIONS[name]), n_threads=2)
    twin = twin_of(model)
    for _ in range(2):
        history = model.fit(X, y, batch_size=13, verbose=0)
        losses, _ = twin.fit(X, y, 13, np.full(5, optimizer.learning_rate), optimizer.hyper(), True, 3)
        assert history["loss"] == pytest.approx([np.average(losses, weights=[13] * 4 + [8])], rel=1e-11)
    compare(model.weights, [layer[:2] for layer in twin.layers])
    if optimizer.use_ema:
        compare(model.average_weights, twin.average)
        twin.layers = [layer._replace(w=w, b=b) for layer, (w, b) in zip(twin.layers, twin.average, strict=True)]
    assert model.evaluate(X, y)["loss"] == pytest.approx(twin.evaluate(X, y)[0], rel=1e-11)


@pytest.mark.parametrize("name", LAYER_OPTIONS)
def test_gradients_hold_the_penalties(name):
    X, y = data()
    model = fm.Model([fm.Dense(7, "tanh", **LAYER_OPTIONS[name]), fm.Dense(3)], "softmax_cross_entropy", n_inputs=21)
    assert gradcheck.check(model, X, y)


@pytest.mark.parametrize("options", [{"l1": 0.01}, {"l2": 0.02}])
def test_a_penalty_is_part_of_every_loss(options):
    X, y = data()
    plain, model = (model_of("sgd", [*stack_with(o)[:2], fm.Dense(3)]) for o in ({}, options))
    W = model.weights[1][0]
    penalty = options.get("l1", 0) * np.abs(W).sum() + options.get("l2", 0) * (W**2).sum()
    assert model.evaluate(X, y)["loss"] == pytest.approx(plain.evaluate(X, y)["loss"] + penalty)
    assert model.loss_and_gradients(X, y)[0] == pytest.approx(plain.loss_and_gradients(X, y)[0] + penalty)
    assert model.train_on_batch(X, y) == pytest.approx(plain.train_on_batch(X, y) + penalty)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_max_norm_holds_after_every_step(n_threads):
    X, y = data()
    model = model_of(fm.SGD(0.5, momentum=0.9), stack_with({"max_norm": 0.8}), n_threads=n_threads)
    model.fit(X, y, batch_size=7, verbose=0)
    for i, limited in enumerate((False, True, True)):
        norms = np.linalg.norm(model.weights[i][0], axis=0)
        assert (norms.max() < 0.8 * (1 + 1e-12)) == limited


@pytest.mark.parametrize(
    "optimizer", [fm.Adam(0.01), fm.Lion(weight_decay=0.1, l2=0.1), fm.SGD(0.1, global_clipnorm=0.1)], ids=str
)
def test_a_frozen_layer_keeps_weights_and_states(optimizer):
    X, y = data()
    stack = [fm.Dense(40, "tanh"), fm.Dense(19, "tanh", trainable=False), fm.Dense(3)]
    model = model_of(optimizer, stack)
    before = model.weights
    model.fit(X, y, batch_size=13, verbose=0)
    _, gradients = model.loss_and_gradients(X, y)
    assert np.abs(gradients[1][0]).max() > 0
    model.apply_gradients(gradients)
    for i, frozen in enumerate((False, True, False)):
        assert np.array_equal(model.weights[i][0], before[i][0]) == frozen
        assert np.array_equal(model.weights[i][1], before[i][1]) == frozen
    for pairs in model._core.network.get_state()["states"].values():
        assert not any(a.any() for a in pairs[1])
        assert all(a.any() for a in pairs[0])


@pytest.mark.parametrize(
    "optimizer", ["sgd", fm.Adam(gradient_accumulation_steps=3), fm.SGD(global_clipnorm=1.0)], ids=str
)
@pytest.mark.parametrize("at_the_end", [False, True])
@pytest.mark.parametrize(
    "layer", [fm.Dense, fm.BatchNorm, fm.LayerNorm, fm.PReLU, fm.Activation, fm.Dropout], ids=lambda kind: kind.__name__
)
def test_gradients_by_hand_do_what_a_step_does(layer, at_the_end, optimizer, tmp_path):
    """Where a layer is frozen or has no weights, too, and in a model that a file carries."""
    X = data()[0]
    frozen = {
        fm.Dense: lambda: fm.Dense(40, trainable=False), fm.Activation: lambda: fm.Activation("tanh"),
        fm.Dropout: lambda: fm.Dropout(0.1),
    }.get(layer, lambda: layer(trainable=False))()  # fmt: skip
    stack = [fm.Dense(3), fm.Dense(40, "tanh"), frozen] if at_the_end else [fm.Dense(40), frozen, fm.Dense(19)]
    Y = np.sin(np.arange(len(X) * (40 if at_the_end else 19))).reshape(len(X), -1)
    step = fm.Model(stack, "mean_squared_error", optimizer, n_inputs=21, n_threads=1)
    step.save(tmp_path / "net")
    by_hand = fm.load(tmp_path / "net")
    for _ in range(4):
        step.train_on_batch(X, Y)
        by_hand.apply_gradients(by_hand.loss_and_gradients(X, Y)[1])
    assert [a.tobytes() for pair in by_hand.weights for a in pair] == [a.tobytes() for p in step.weights for a in p]
    states = [model._core.network.get_state()["states"] for model in (step, by_hand)]
    for name in states[0]:
        for one, other in zip(*(found[name] for found in states), strict=True):
            assert [a.tobytes() for a in one] == [a.tobytes() for a in other]


@pytest.mark.parametrize("layer", [fm.BatchNorm, fm.LayerNorm, fm.PReLU])
def test_frozen_layers_of_columns_keep_everything(layer, tmp_path):
    X, y = data()
    model = model_of(fm.Adam(0.01, use_ema=True), [fm.Dense(40), layer(trainable=False), fm.Dense(3)])
    before = model.weights
    model.fit(X, y, batch_size=13, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.weights[1], before[1], strict=True))
    assert not np.array_equal(model.weights[0][0], before[0][0])
    _, gradients = model.loss_and_gradients(X, y)
    assert all(np.abs(g).max() > 0 for g in gradients[1])
    model.save(tmp_path / "net")
    assert fm.load(tmp_path / "net").layers == model.layers


def test_a_frozen_batch_norm_takes_its_running_statistics():
    X, y = data()
    free, frozen = (model_of("sgd", [fm.BatchNorm(trainable=t), fm.Dense(3)]) for t in (True, False))
    expected = frozen.evaluate(X, y)["loss"]
    assert frozen.train_on_batch(X, y) == pytest.approx(expected, rel=1e-12)
    assert free.train_on_batch(X, y) != pytest.approx(expected, rel=1e-3)


def test_a_file_keeps_the_options_of_layers(tmp_path):
    model = model_of("adam", stack_with(LAYER_OPTIONS["all"]))
    model.save(tmp_path / "net")
    assert fm.load(tmp_path / "net").layers == model.layers


@pytest.mark.parametrize("options", [
    {"l1": -1}, {"l2": np.inf}, {"max_norm": 0}, {"max_norm": -1}, {"learning_rate_factor": -1}, {"l1": np.nan},
])  # fmt: skip
def test_bad_values_of_layers_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        fm.Dense(3, **options)


@pytest.mark.parametrize("options", [{"l1": "1"}, {"max_norm": True}, {"trainable": 1}, {"learning_rate_factor": None}])
def test_bad_types_of_layers_are_refused(options):
    with pytest.raises(TypeError, match=next(iter(options))):
        fm.Dense(3, **options)


@pytest.mark.parametrize(
    ("optimizer", "first", "second"),
    [(fm.Adam(), 0.1, 0.001), (fm.Adam(amsgrad=True), 0.1, 0.001), (fm.Nadam(), 0.1, 0.001),
     (fm.RMSprop(rho=0.9, centered=True), 0.1, 0.1)], ids=["adam", "amsgrad", "nadam", "rmsprop"],
)  # fmt: skip
def test_states_are_what_their_names_say(optimizer, first, second):
    """A file names them, and another library may read it."""
    X, y = data(20)
    model = model_of(optimizer, n_threads=1)
    gradients = model.loss_and_gradients(X, y)[1]
    model.train_on_batch(X, y)
    states = model._core.network.get_state()["states"]
    for i, arrays in enumerate(gradients):
        for j, g in enumerate(arrays):
            np.testing.assert_allclose(states["m"][i][j], first * g, rtol=1e-9, atol=1e-15)
            np.testing.assert_allclose(states["v"][i][j], second * g**2, rtol=1e-9, atol=1e-15)


def test_gradients_of_a_frozen_layer_do_not_wait_for_an_update():
    """`apply_gradients` is given them; a layer that is frozen no more must not find them."""
    X, y = data()
    stack = [fm.Dense(40, "tanh", trainable=False), fm.LayerNorm(trainable=False), fm.Dense(3)]
    one = model_of(fm.SGD(0.1, gradient_accumulation_steps=3), stack)
    other = copy.deepcopy(one)
    one.train_on_batch(X, y)
    other.apply_gradients(other.loss_and_gradients(X, y)[1])
    waiting = [model._core.network.get_state()["states"]["accumulated"] for model in (one, other)]
    assert all(a.tobytes() == b.tobytes() for p, q in zip(*waiting, strict=True) for a, b in zip(p, q, strict=True))
    assert not any(a.any() for pair in waiting[1][:2] for a in pair)
