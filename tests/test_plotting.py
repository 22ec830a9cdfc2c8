"""fastmlp/plotting.py: each picture holds the numbers that it is of, in the Axes that it was given."""

import itertools
import sys

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, plotting, reference
from fastmlp._figures import COLOURS, pyplot
from fastmlp.plotting.diagram import MOST_NODES

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install '.[plot]'")
matplotlib.use("Agg")
plt = pyplot()


@pytest.fixture(autouse=True)
def _figures():
    plt.close("all")  # those of other tests, too
    yield
    plt.close("all")


def recorded(epochs=4, **more):
    history = fm.History()
    for epoch in range(epochs):
        logs = {"loss": 1 / (1 + epoch), "val_loss": 2 / (1 + epoch), "accuracy": epoch / 9, "val_accuracy": epoch / 10}
        history.append(epoch, logs | {name: values[epoch] for name, values in more.items()})
    return history


def small():
    return fm.Model([fm.Dense(6, "tanh", bias_initializer="normal"), fm.Dense(3)], n_inputs=4)


def residual(width=16):
    block = fm.Residual([fm.LayerNorm(), fm.Dense(width, "relu"), fm.Dense(width)])
    stack = [fm.BatchNorm(), fm.Dense(width), fm.Activation("relu"), fm.Dropout(0.25), block, fm.PReLU(), fm.Dense(3)]
    return fm.Model(stack, n_inputs=5)


def classifier(n_classes=3):
    rng = np.random.default_rng(0)
    y = np.arange(60) % n_classes
    X = rng.standard_normal((60, 2)) + 3 * np.c_[np.cos(y), np.sin(y)]
    model = fm.Model([fm.Dense(8, "tanh"), fm.Dense(n_classes)], loss="softmax_cross_entropy", optimizer=fm.Adam(0.05))
    model.fit(X, y, epochs=20, verbose=0)
    return model, X, y


def overlapping(texts, figure):
    figure.canvas.draw()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    assert len(boxes) > 1
    pairs = itertools.combinations(boxes, 2)
    return [(a, b) for (a, box), (b, other) in pairs if box.overlaps(other)]


PICTURES = {
    "history": lambda ax: recorded().plot(ax),
    "network, nodes": lambda ax: small().plot(ax),
    "network, blocks": lambda ax: residual(40).plot(ax),
    "first_layer": lambda ax: plotting.first_layer(small(), ax=ax),
    "activations": lambda ax: plotting.activations(["relu", "gelu"], ax),
    "one activation": lambda ax: plotting.activations("tanh", ax),
    "confusion_matrix": lambda ax: plotting.confusion_matrix([0, 1, 2], [0, 1, 1], ax),
    "decision_boundary": lambda ax: plotting.decision_boundary(*classifier(), ax),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_drawn_in_the_given_axes_or_in_a_new_figure(name):
    figure, axes = plt.subplots(1, 2)
    assert PICTURES[name](axes[1]) is axes[1]
    assert not axes[0].has_data()
    assert plt.get_fignums() == [figure.number]
    new = PICTURES[name](None)
    assert new.figure is not figure
    assert len(plt.get_fignums()) == 2
    new.figure.canvas.draw()  # no warning, of an overfull layout for example


WRONG = {
    "ax, a name": (lambda: recorded().plot("loss"), "ax must be one matplotlib Axes, not 'loss'"),
    "ax, labels": (lambda: plotting.confusion_matrix([0, 1], [0, 1], ["a", "b"]), r"Axes, not \['a', 'b'\]"),
    "ax, several": (lambda: small().plot(np.empty((2, 3), object)), r"Axes, not an array of shape \(2, 3\)"),
    "names": (lambda: recorded().plot(names=4), r"names must be a list such as \['loss'\], not 4"),
    "no model": (lambda: plotting.network("x"), "model must be a fastmlp.Model, not str"),
    "data for the model": (lambda: plotting.decision_boundary(np.ones((3, 2)), [0, 1, 1], small()), "not ndarray"),
    "layers for the model": (lambda: plotting.first_layer([fm.Dense(3)]), "model must be a fastmlp.Model, not list"),
    "a dictionary": (lambda: plotting.history({"loss": [1.0]}), "history must be a fastmlp.History, not dict"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name):
    call, message = WRONG[name]
    with pytest.raises(TypeError, match=message):
        call()
    assert not plt.get_fignums()


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    class Absent:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "matplotlib":
                raise ModuleNotFoundError("No module named 'matplotlib'", name=name)

    for name in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent, *sys.meta_path])
    with pytest.raises(ImportError, match=r"pip install 'fastmlp\[plot\]'"):
        small().plot()


# ---- history ----


def test_history_holds_what_was_recorded():
    history = recorded(learning_rate=[1e-2, 1e-3, 1e-4, 1e-5], val_f1=[0.1, 0.2, 0.3, 0.4])
    ax = history.plot()
    axes = ax.figure.axes
    lines = {line.get_label(): line for own in axes for line in own.lines}
    labels = {
        "loss, training": "loss", "loss, validation": "val_loss", "accuracy, training": "accuracy",
        "accuracy, validation": "val_accuracy", "f1, validation": "val_f1",
        "learning rate": "learning_rate",
    }  # fmt: skip
    assert {text.get_text() for text in ax.get_legend().get_texts()} == lines.keys() == labels.keys()
    for label, name in labels.items():
        np.testing.assert_array_equal(lines[label].get_xdata(), [1, 2, 3, 4])
        np.testing.assert_array_equal(lines[label].get_ydata(), history[name])
    assert [own.get_ylabel() for own in axes] == ["loss", "metric", "learning rate"]
    assert [own.get_yscale() for own in axes] == ["linear", "linear", "log"]
    styles = [(line.get_color(), line.get_linestyle()) for line in lines.values()]
    assert len(set(styles)) == len(styles)
    assert lines["loss, training"].get_color() == lines["loss, validation"].get_color()


@pytest.mark.parametrize("many", [1, 4, 40])
def test_the_third_scale_is_read_within_the_frame_right_of_all_curves(many):
    rates = [1e-2 * 0.7**i for i in range(many)]
    ax = recorded(many, learning_rate=rates).plot()
    ax.figure.canvas.draw()
    frame, own = ax.get_window_extent(), ax.figure.axes[-1]
    scale = own.yaxis.get_tightbbox()
    assert own.yaxis.get_visible()
    assert any(text.get_text() for text in own.get_yticklabels(which="both"))
    assert frame.x0 < scale.x0 < scale.x1 <= frame.x1
    ends = [line.axes.transData.transform(line.get_xydata())[:, 0].max() for a in ax.figure.axes for line in a.lines]
    assert max(ends) < scale.x0
    assert ax.get_legend().get_window_extent().x1 < scale.x0
    assert ax.get_xticks().max() <= many + 0.5


def test_the_learning_rate_has_an_axis_and_one_colour_everywhere():
    rates = {"learning_rate": [0.1, 0.1, 0.1, 0.1]}
    axes = recorded(**rates).plot(names=["loss", "learning_rate"]).figure.axes
    assert [own.yaxis.get_visible() for own in axes] == [True, True]
    three = recorded(**rates).plot().figure.axes
    assert three[-1].lines[0].get_label() == "learning rate"
    assert axes[-1].lines[0].get_color() == three[-1].lines[0].get_color()
    assert three[-1].lines[0].get_color() not in {line.get_color() for own in three[:-1] for line in own.lines}


@pytest.mark.parametrize("layout", ["constrained", None])
def test_a_history_stays_within_its_place(layout):
    figure, axes = plt.subplots(1, 2, figsize=(13, 4), layout=layout)
    ax = recorded(learning_rate=[1e-2, 1e-3, 1e-4, 1e-5]).plot(axes[0])
    figure.canvas.draw()
    right = axes[1].get_window_extent().x0
    assert all(own.get_tightbbox().x1 <= right for own in figure.axes if own is not axes[1])
    assert ax.get_window_extent().contains(*ax.get_legend().get_window_extent().p0)
    assert ax.get_window_extent().contains(*ax.get_legend().get_window_extent().p1)


def test_all_curves_are_seen():
    ax = recorded(learning_rate=[1e-2, 1e-3, 1e-4, 1e-5]).plot()
    first, second, third = ax.figure.axes
    assert first.get_zorder() > max(second.get_zorder(), third.get_zorder())  # its legend is above all curves
    assert [own.patch.get_visible() for own in (first, second, third)] == [False, True, False]


def test_history_draws_only_what_is_asked_for():
    ax = recorded().plot(names=["accuracy"])
    assert ax.get_ylabel() == "accuracy"
    assert len(ax.lines) == 2
    assert ax.figure.axes == [ax]
    assert len(recorded().plot(names="loss").lines) == 2


def test_history_of_one_epoch_is_seen():
    ax = recorded(1).plot()
    lines = [line for own in ax.figure.axes for line in own.lines]
    assert all(line.get_marker() not in (None, "None", "") for line in lines)
    x = np.sort([line.get_xdata()[0] for line in lines])
    assert (np.diff(x) > 0.05).all()  # each has its own place
    assert ax.get_xlim()[0] < x[0] < 1 < x[-1] < ax.get_xlim()[1]


def test_history_without_an_entry_is_refused():
    with pytest.raises(ValueError, match="no epoch"):
        fm.History().plot()
    with pytest.raises(ValueError, match="'f1' was not recorded; there are 'loss', 'accuracy'"):
        recorded().plot(names=["f1"])
    assert not plt.get_fignums()


# ---- the model ----


def test_small_networks_are_nodes_and_edges():
    model = small()
    ax = model.plot()
    (W1, b1), (W2, b2) = model.weights
    *edges, inputs, hidden, outputs = ax.collections
    for drawn, W in zip(edges, (W1, W2), strict=True):
        np.testing.assert_array_equal(np.sort(drawn.get_array()), np.sort(W.ravel()))
        assert (np.diff(drawn.get_linewidths()) >= 0).all()
    strongest = np.unravel_index(np.abs(W1).argmax(), W1.shape)
    (_, start), (_, end) = edges[0].get_segments()[-1]
    assert start == inputs.get_offsets()[strongest[0]][1]
    assert end == hidden.get_offsets()[strongest[1]][1]
    np.testing.assert_array_equal(hidden.get_array(), b1)
    np.testing.assert_array_equal(outputs.get_array(), b2)
    assert [len(nodes.get_offsets()) for nodes in (inputs, hidden, outputs)] == [4, 6, 3]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["4\ninputs", "6\ntanh", "3\noutputs"]
    assert {edge.norm.vmax for edge in edges} == {-hidden.norm.vmin}  # one scale, symmetric


def test_large_networks_are_blocks():
    model = fm.Model([fm.Dense(MOST_NODES + 1, "relu"), fm.Dense(3)], n_inputs=4)
    ax = model.plot()
    blocks = ax.collections[0]
    sizes = [np.sqrt(np.mean(W.astype(float) ** 2)) for W, _ in model.weights]
    np.testing.assert_allclose(blocks.get_array(), sizes)
    assert [text.get_text() for text in ax.texts] == ["4 x 17", "17 x 3"]


@pytest.mark.parametrize("width", [16, 300])
def test_all_layers_are_named_and_residuals_drawn(width):
    ax = residual(width).plot()
    labels = [text.get_text().split("\n") for text in ax.get_xticklabels()]
    assert labels == [
        ["5", "inputs", "batch norm"], [f"{width}", "relu", "dropout 0.25", "layer norm"], [f"{width}", "relu"],
        [f"{width}", "add", "prelu"], ["3", "outputs"],
    ]  # fmt: skip
    arrows = [text for text in ax.texts if getattr(text, "arrow_patch", None) is not None]
    assert [(arrow.xyann[0], arrow.xy[0]) for arrow in arrows] == [(1, 3)]
    assert not overlapping(ax.get_xticklabels(), ax.figure)


def test_preprocessing_is_named():
    ax = fm.Model([fm.Dense(2)], n_inputs=3, preprocessing=fm.Standardize()).plot()
    assert ax.get_xticklabels()[0].get_text() == "3\ninputs\nstandardize"


def test_weights_of_zero_are_drawn():
    for width in (3, 30):
        fm.Model([fm.Dense(width, initializer="zeros"), fm.Dense(1, initializer="zeros")], n_inputs=2).plot()


def test_a_model_without_weights_is_not_drawn():
    for draw in (fm.Model.plot, plotting.first_layer):
        with pytest.raises(ValueError, match="no weights"):
            draw(fm.Model([fm.Dense(2)]))
    assert not plt.get_fignums()


@pytest.mark.parametrize(("shape", "n"), [(None, None), ((2, 8), None), ((8, 2), 5), ((16, 1), 1)])
def test_first_layer_shows_the_weights_of_each_unit(shape, n):
    model = fm.Model([fm.Dense(7, "relu"), fm.Dense(2)], n_inputs=16)
    W = model.weights[0][0]
    ax = plotting.first_layer(model, shape, n)
    grid = ax.images[0].get_array().filled(np.nan)
    height, width = shape or (4, 4)
    across = (grid.shape[1] + 1) // (width + 1)
    for i in range(n or 7):
        top, left = (height + 1) * (i // across), (width + 1) * (i % across)
        np.testing.assert_array_equal(grid[top : top + height, left : left + width].ravel(), W[:, i])
    assert np.isfinite(grid).sum() == (n or 7) * 16
    assert ax.get_title() == ("first layer: 7 units" if n is None else f"first layer: {n} of 7 units")


def test_first_layer_in_colours():
    model = fm.Model([fm.Dense(4)], n_inputs=12)
    image = plotting.first_layer(model, (2, 2, 3), n=1).images[0].get_array()
    W = model.weights[0][0][:, 0].astype(float)
    expected = 0.5 + 0.5 * W / np.quantile(np.abs(W), 0.995)
    np.testing.assert_allclose(image.ravel(), expected.clip(0, 1), rtol=1e-5)


@pytest.mark.parametrize(("arguments", "message"), [
    ({}, "12 inputs make no square image; give shape"),
    ({"shape": (5, 2)}, r"12 inputs, not \(5, 2\)"),
    ({"shape": (12,)}, r"not \(12,\)"),
    ({"shape": (3, 2, 2)}, r"not \(3, 2, 2\)"),
    ({"shape": (3, 4), "n": 5}, "n=5, but the first layer has 4 units"),
    ({"shape": (3, 4), "n": 0}, "n must be at least 1"),
])  # fmt: skip
def test_wrong_shapes_of_the_first_layer_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plotting.first_layer(fm.Model([fm.Dense(4)], n_inputs=12), **arguments)
    assert not plt.get_fignums()


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_activations_and_derivatives_are_the_twins(alpha):
    ax = plotting.activations(alpha=alpha)
    assert [place.get_title() for place in ax.child_axes] == list(_engine.activations)
    for place in ax.child_axes:
        name = place.get_title()
        given = {"leaky_relu": 0.01, "elu": 1.0}.get(name, 0.0) if alpha is None else alpha
        lines = {line.get_label(): line for line in place.lines}
        z = lines["value"].get_xdata()
        assert (z[0], z[-1]) == (-4, 4)
        for label, expected in zip(("value", "derivative"), reference.ACTIVATIONS[name](z, given), strict=True):
            np.testing.assert_allclose(lines[label].get_ydata(), expected, rtol=1e-12, atol=1e-14)


def test_wrong_activations_are_refused():
    for names, message in (("rellu", "'rellu'"), (["relu", "softmax"], "'softmax'"), ([], "empty")):
        with pytest.raises(ValueError, match=message):
            plotting.activations(names)
    with pytest.raises(ValueError, match="limits"):
        plotting.activations("relu", limits=(2, 1))
    assert not plt.get_fignums()


# ---- predictions ----


def drawn_counts(ax):
    return {(int(text.get_position()[1]), int(text.get_position()[0])): int(text.get_text()) for text in ax.texts}


def test_confusion_matrix_counts():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    ax = plotting.confusion_matrix(true, predicted)
    pairs = list(zip(true.tolist(), predicted.tolist(), strict=True))
    assert drawn_counts(ax) == {pair: pairs.count(pair) for pair in set(pairs)}
    counts = fm.metrics.confusion_matrix(true, predicted)
    assert drawn_counts(ax) == {(i, j): count for (i, j), count in np.ndenumerate(counts) if count}
    shares = ax.images[0].get_array()
    np.testing.assert_allclose(shares.sum(1), 1)
    assert shares[1, 2] == pairs.count((1, 2)) / (true == 1).sum()
    assert ax.get_title() == f"{(true == predicted).mean():.2%} of 200 right"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")


def test_confusion_matrix_takes_what_models_take_and_return():
    true = np.array([0, 2, 1, 2])
    P = np.array([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.3, 0.4, 0.3], [0.5, 0.3, 0.2]])
    expected = {(0, 0): 1, (2, 2): 1, (1, 1): 1, (2, 0): 1}
    assert drawn_counts(plotting.confusion_matrix(true, P)) == expected
    assert drawn_counts(plotting.confusion_matrix(np.eye(3)[true], P.argmax(1))) == expected
    assert drawn_counts(plotting.confusion_matrix(true.astype(float), P.argmax(1)[:, None])) == expected
    binary = plotting.confusion_matrix([[0], [1], [1]], np.array([[0.2], [0.4], [0.9]], np.float32))
    assert drawn_counts(binary) == {(0, 0): 1, (1, 0): 1, (1, 1): 1}
    assert plotting.confusion_matrix([0, 0], [0, 0], labels=["a", "b"]).images[0].get_array().shape == (2, 2)


def test_labels_of_a_confusion_matrix_do_not_overlap():
    y = np.arange(20)
    ax = plotting.confusion_matrix(y.repeat(999), y.repeat(999), labels=[f"class number {i}" for i in y])
    assert not overlapping(ax.get_xticklabels(), ax.figure)
    assert not overlapping(ax.get_yticklabels(), ax.figure)
    many = np.random.default_rng(0).integers(0, 60, (2, 5000))
    ax = plotting.confusion_matrix(*many)
    assert not ax.texts
    assert not overlapping(ax.get_xticklabels(), ax.figure)


def test_labels_are_not_cut_off():
    ax = plotting.confusion_matrix([0, 1, 1], [0, 1, 0], labels=["benign", "malignant"])
    ax.figure.canvas.draw()
    assert ax.yaxis.label.get_window_extent().x0 >= 0


@pytest.mark.parametrize(("true", "predicted", "more", "message"), [
    ([0, 1], [0, 1, 1], {}, r"y_true has shape \(2,\), but y_pred holds 3 samples"),
    ([0.5, 1], [0, 1], {}, "y_true holds 0.5"),
    ([0, -1], [0, 1], {}, "y_true holds -1"),
    ([0, 1], [0, 1.5], {}, "y_pred holds 1.5"),
    ([0, 1], [[[0]], [[1]]], {}, r"y_pred has shape \(2, 1, 1\)"),
    ([], [], {}, r"y_pred of shape \(0,\) holds no samples"),
    ([0, 2], [0, 1], {"labels": ["a", "b"]}, "labels names 2 classes, but there are 3"),
    ([0, 5000], [0, 1], {}, "there are 5001 classes"),
])  # fmt: skip
def test_wrong_labels_are_refused(true, predicted, more, message):
    with pytest.raises(ValueError, match=message):
        plotting.confusion_matrix(true, predicted, **more)
    assert not plt.get_fignums()


MASKED = np.ma.array(["a", "b", "a"], mask=[0, 1, 1])


@pytest.mark.parametrize(("true", "predicted", "labels", "error", "message"), [
    (["a", "b", "a"], MASKED, None, ValueError, "y_pred masks 2 values"),
    (MASKED, ["a", "b", "a"], None, ValueError, "y_true masks 2 values"),
    (["a", None], ["a", "b"], None, TypeError, "y_true holds None among names"),
    (["a", "b"], np.array(["a", np.nan], object), ["a", "b"], TypeError, "y_pred holds nan among names"),
    (np.array([1, "b"], object), ["a", "b"], None, TypeError, "names that have no order"),
    (["a", "b"], ["a", "b"], ["a", "b", "a"], ValueError, "labels holds 'a' twice"),
    ([0, 1], [0, 1], ["a", "a"], ValueError, "labels holds 'a' twice"),
    ([0, 1], [0, 1], np.ma.array(["a", "b"], mask=[0, 1]), ValueError, "labels masks 1 value;"),
])  # fmt: skip
def test_wrong_names_of_classes_are_refused(true, predicted, labels, error, message):
    with pytest.raises(error, match=message):
        plotting.confusion_matrix(true, predicted, labels=labels)
    assert not plt.get_fignums()


def grid_of(ax, n=200):
    sides = [np.linspace(*limits, n) for limits in (ax.get_xlim(), ax.get_ylim())]
    return np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_decision_boundary_of_classes(n_classes):
    model, X, y = classifier(n_classes)
    ax = plotting.decision_boundary(model, X, np.eye(n_classes)[y] if n_classes == 3 else y)
    image = ax.images[0].get_array().reshape(-1, 3)
    best = model.predict(grid_of(ax)).argmax(1)
    samples = [c for c in ax.collections if isinstance(c, matplotlib.collections.PathCollection)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [f"{k}" for k in range(n_classes)]
    for k, drawn in enumerate(samples):
        np.testing.assert_array_equal(drawn.get_offsets(), X[y == k])
        colour = drawn.get_facecolor()[0, :3]
        # Between white and the class's colour: as much of it in red as in green and blue.
        mixture = (1 - image[best == k]) @ (1 - colour) / ((1 - colour) @ (1 - colour))
        np.testing.assert_allclose(1 - mixture[:, None] * (1 - colour), image[best == k], atol=1e-12)
    assert len(samples) == n_classes


def test_decision_boundary_of_a_probability_and_of_a_value():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 2))
    for loss, y in (("binary_cross_entropy", X[:, 0] > 0.3), ("mean_squared_error", X[:, 0] * X[:, 1])):
        model = fm.Model([fm.Dense(8, "tanh"), fm.Dense(1)], loss=loss, optimizer=fm.Adam(0.05))
        model.fit(X, y, epochs=10, verbose=0)
        ax = plotting.decision_boundary(model, X, y)
        image = ax.images[0]
        np.testing.assert_array_equal(image.get_array().ravel(), model.predict(grid_of(ax))[:, 0])
        samples = [c for c in ax.collections if isinstance(c, matplotlib.collections.PathCollection)]
        offsets = np.concatenate([c.get_offsets() for c in samples])
        classes = [np.full(len(c.get_offsets()), float(c.get_label())) for c in samples if len(samples) > 1]
        values = np.concatenate(classes or [samples[0].get_array()])
        order = np.lexsort(offsets.T), np.lexsort(X.T)
        np.testing.assert_array_equal(offsets[order[0]], X[order[1]])
        np.testing.assert_array_equal(values[order[0]], y[order[1]])
        limits = (0, 1) if loss == "binary_cross_entropy" else (image.get_array().min(), image.get_array().max())
        assert image.norm.vmin <= limits[0] < limits[1] <= image.norm.vmax
        assert len(samples) > 1 or (samples[0].norm.vmin, samples[0].norm.vmax) == (image.norm.vmin, image.norm.vmax)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "mean_squared_error"])
def test_decision_boundary_of_one_output_of_several(loss):
    X = np.random.default_rng(0).standard_normal((30, 2))
    Y = (X @ np.ones((2, 3)) > 0).astype(float) * [1, 0, 1]
    model = fm.Model([fm.Dense(3)], loss, n_inputs=2)
    ax = plotting.decision_boundary(model, X, Y, output=1)
    np.testing.assert_array_equal(ax.images[0].get_array().ravel(), model.predict(grid_of(ax))[:, 1])
    samples = [c for c in ax.collections if isinstance(c, matplotlib.collections.PathCollection)]
    if loss == "mean_squared_error":
        np.testing.assert_array_equal(samples[0].get_array(), np.zeros(30))
    else:
        assert {c.get_label(): len(c.get_offsets()) for c in samples} == {"0": 30, "1": 0}


@pytest.mark.parametrize("signs", [False, True])
def test_decision_boundary_of_a_hinge_is_zero(signs):
    X = np.random.default_rng(0).standard_normal((60, 2))
    right = X[:, 0] > 0.2
    model = fm.Model([fm.Dense(1)], "hinge", fm.Adam(0.05))
    model.fit(X, np.where(right, 1, -1) if signs else right, epochs=20, verbose=0)
    ax = plotting.decision_boundary(model, X, np.where(right, 1, -1) if signs else right)
    zero, one = (c for c in ax.collections if isinstance(c, matplotlib.collections.PathCollection))
    np.testing.assert_array_equal(zero.get_offsets(), X[~right])
    np.testing.assert_array_equal(one.get_offsets(), X[right])
    assert ax.images[0].norm.vmin == -ax.images[0].norm.vmax
    line = next(c for c in ax.collections if isinstance(c, matplotlib.contour.ContourSet))
    np.testing.assert_allclose(model.predict(line.get_paths()[0].vertices), 0, atol=1e-4)


def test_decision_boundary_without_targets_or_of_one_place():
    model, X, _ = classifier()
    assert plotting.decision_boundary(model, X).get_legend() is None
    plotting.decision_boundary(model, X[:1].tolist(), [1])


def test_models_without_a_plane_are_refused():
    model, X, y = classifier()
    with pytest.raises(ValueError, match="two inputs, but this model has 4"):
        plotting.decision_boundary(small(), X, y)
    with pytest.raises(ValueError, match="output must be below 2, not 2"):
        plotting.decision_boundary(fm.Model([fm.Dense(2)], n_inputs=2), X, X, output=2)
    with pytest.raises(ValueError, match="output=1 has no meaning for classes"):
        plotting.decision_boundary(model, X, y, output=1)
    with pytest.raises(ValueError, match="60 samples"):
        plotting.decision_boundary(model, X, y[:-1])
    with pytest.raises(ValueError, match="no weights"):
        plotting.decision_boundary(fm.Model([fm.Dense(2)]), X, X)
    assert not plt.get_fignums()


def binary(loss="binary_cross_entropy"):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    y = (X[:, 0] > 0).astype(int)
    model = fm.Model([fm.Dense(1)], loss=loss, optimizer=fm.Adam(0.1))
    model.fit(X, y, epochs=10, verbose=0)
    return model, X, y


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "hinge"])
def test_two_classes_have_colours_symbols_and_names_of_their_own(loss):
    model, X, y = binary(loss)
    ax = plotting.decision_boundary(model, X, y, labels=["cat", "dog"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["cat", "dog"]
    samples = [each for each in ax.collections if each.get_label() in ("cat", "dog")]
    assert [len(each.get_offsets()) for each in samples] == [(y == 0).sum(), (y == 1).sum()]
    colours = [matplotlib.colors.to_hex(each.get_facecolor()[0]) for each in samples]
    assert [colour.upper() for colour in colours] == [*COLOURS[:2]]
    shapes = {each.get_paths()[0].vertices.tobytes() for each in samples}
    assert len(shapes) == 2


def test_names_of_a_decision_boundary_are_checked():
    with pytest.raises(ValueError, match="labels names 1 class, but there are 2"):
        plotting.decision_boundary(*binary(), labels=["cat"])
    with pytest.raises(ValueError, match="labels are names of classes, but the model predicts values"):
        plotting.decision_boundary(fm.Model([fm.Dense(1)], n_inputs=2), np.ones((3, 2)), labels=["a", "b"])
    ax = plotting.decision_boundary(*classifier(), labels=["a", "b", "c"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]


def test_confusion_matrix_of_names():
    true, found = ["dog", "cat", "dog", "owl"], np.array(["dog", "dog", "dog", "owl"], object)
    ax = plotting.confusion_matrix(true, found)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["cat", "dog", "owl"]
    assert drawn_counts(ax) == {(0, 1): 1, (1, 1): 2, (2, 2): 1}
    ax = plotting.confusion_matrix(true, found, labels=["owl", "dog", "cat", "rat"])
    assert drawn_counts(ax) == {(2, 1): 1, (1, 1): 2, (0, 0): 1}
    with pytest.raises(ValueError, match="y_true holds 'cat', which labels does not name: 'owl', 'dog'"):
        plotting.confusion_matrix(true, found, labels=["owl", "dog"])
    with pytest.raises(TypeError, match="y_true holds names such as 'dog', but y_pred int64"):
        plotting.confusion_matrix(true, [0, 1, 1, 2])


def test_one_output_is_not_called_outputs():
    ax = fm.Model([fm.Dense(1)], n_inputs=1).plot()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1\ninput", "1\noutput"]
    with pytest.raises(ValueError, match="but the model has 1 output; give one or all"):
        fm.Model([fm.Dense(1)], fm.losses.BinaryCrossEntropy(positive_weight=(1, 2)))


@pytest.mark.parametrize("of", ["model", "history"])
@pytest.mark.parametrize(("suffix", "beginning"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_model_and_a_history_are_drawn_to_a_file(suffix, beginning, of, tmp_path):
    thing = small()
    if of == "history":
        thing = thing.fit(np.ones((4, 4)), np.zeros((4, 3)), verbose=0)
    ax = thing.plot(to_file=tmp_path / f"model.{suffix}")
    assert (tmp_path / f"model.{suffix}").read_bytes().startswith(beginning)
    assert not plt.fignum_exists(getattr(ax.figure, "number", -1))
    given = plt.figure().add_subplot()
    assert thing.plot(given, to_file=tmp_path / f"model.{suffix}") is given
    assert plt.fignum_exists(given.figure.number)
    assert [path.name for path in tmp_path.iterdir()] == [f"model.{suffix}"]


def test_a_picture_that_cannot_be_written_leaves_the_old_one_and_no_figure(tmp_path):
    path = tmp_path / "model.nonsense"
    path.write_text("old")
    before = plt.get_fignums()
    with pytest.raises(ValueError, match="nonsense"):
        small().plot(to_file=path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert plt.get_fignums() == before
    small().plot(to_file=tmp_path / "model")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["model.nonsense", "model.png"]


def test_a_decision_boundary_is_of_the_predict_of_a_class_of_ones_own():
    class Sure(fm.Model):
        def predict(self, X, *options):
            return np.tile(np.float32([1, 0]), (len(X), 1))

    model = Sure([fm.Dense(2)], "softmax_cross_entropy", n_inputs=2)
    ax = plotting.decision_boundary(model, np.random.default_rng(0).standard_normal((9, 2)))
    image = ax.get_images()[0].get_array()
    assert (image == image[0, 0]).all()
