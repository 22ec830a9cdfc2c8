"""fastmlp/summary.py: the table of a model, and that the engine takes the memory that it tells."""

import html.parser
import re
import tracemalloc

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, summary

STACK = [
    fm.BatchNorm(), fm.Dense(20), fm.BatchNorm(), fm.Activation("relu"), fm.Dropout(0.5),
    fm.Residual([fm.LayerNorm(), fm.Dense(33, "tanh", use_bias=False), fm.Dense(20)]), fm.PReLU(), fm.Dense(3),
]  # fmt: skip


def table(model):
    """Cells of each row by its name, and the lines below the table."""
    lines = summary.text(model._core).split("\n")
    rules = [i for i, line in enumerate(lines) if set(line) == {"-"}]
    assert rules[0] == 1
    cells = [re.split(" {2,}", line.strip()) for line in lines[2 : rules[1]]]
    return {name: rest for name, *rest in cells}, lines[rules[1] + 1 :]


def test_shapes_parameters_and_operations_of_each_layer():
    rows, below = table(fm.Model(STACK, n_inputs=5))
    assert {name: cells[:-1] for name, cells in rows.items()} == {
        "BatchNorm 0": ["5", "5", "20", "-"],
        "Dense 1": ["5", "20", "identity", "120", "200"],
        "BatchNorm 2": ["20", "20", "80", "-"],
        "Activation 3": ["20", "20", "relu", "-", "-"],
        "Dropout 4": ["20", "20", "-", "-"],
        "Residual 5": ["20", "20", "-", "-"],
        "LayerNorm 5.0": ["20", "20", "40", "-"],
        "Dense 5.1": ["20", "33", "tanh", "660", "1,320"],
        "Dense 5.2": ["33", "20", "identity", "680", "1,320"],
        "PReLU 6": ["20", "20", "20", "-"],
        "Dense 7": ["20", "3", "identity", "63", "120"],
    }
    assert below[0].split()[:3] == ["total", "1,683", "2,960"]
    assert "1,683 parameters (6.7 kB): 1,633 trainable, 0 frozen, 50 running statistics" in below
    assert f"2,960 operations per sample, {3 * 2960:,} in training" in below


def test_the_first_layer_needs_no_gradient_of_its_inputs():
    stack = [fm.Flatten(), fm.Dense(20, "relu"), fm.Dense(3)]
    _, below = table(fm.Model(stack, n_inputs=5))
    assert f"320 operations per sample, {3 * 320 - 200} in training" in below[-2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_is_what_the_engine_takes(dtype):
    model = fm.Model(STACK, n_inputs=5, dtype=dtype, optimizer="adam")
    network = model._core.network
    assert summary.running_bytes(model._core) == 2 * sum(summary._padded(n, dtype) for n in (5, 20))
    text = summary.text(model._core)
    assert (
        f"memory, padded: {summary.in_bytes(network.n_bytes + summary.running_bytes(model._core))} of weights" in text
    )
    assert f"{summary.in_bytes(2 * network.n_bytes)} of optimizer states" in text
    wide = fm.Model(
        [fm.Dense(300, "relu"), fm.Residual([fm.Dense(300, "relu")]), fm.Dense(7)], n_inputs=100, dtype=dtype
    )
    tracemalloc.start()
    run = _engine.Run(wide._core.network, 256, 1, True, True, "squared_error")
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert run.batch_rows == 256
    scratch = 4 * 304 * 64  # panels of transposed weights
    assert summary.batch_bytes(wide._core, 256) == pytest.approx(taken - scratch, rel=0.03)
    assert f"{summary.in_bytes(summary.batch_bytes(wide._core, 256))} for a batch of 256" in summary.text(
        wide._core, 256
    )


def test_states_are_those_of_the_optimizer():
    for optimizer, n in ((fm.SGD(0.1), 0), (fm.SGD(0.1, momentum=0.9), 1), (fm.Adam(), 2)):
        model = fm.Model([fm.Dense(16)], n_inputs=15, optimizer=optimizer)
        assert f"{summary.in_bytes(n * 16 * 64)} of optimizer states" in summary.text(model._core)


def test_preprocessing_is_named():
    model = fm.Model([fm.Dense(2)], n_inputs=3, preprocessing=fm.Standardize())
    assert "\nStandardize()\n" in summary.text(model._core)


def test_a_model_that_is_not_built_shows_what_is_known(capsys):
    model = fm.Model([fm.Dense(512, "relu"), fm.Dense(10)])
    rows, below = table(model)
    assert rows["Dense 0"] == ["?", "512", "relu", "?", "?", "?"]
    assert rows["Dense 1"] == ["512", "10", "identity", "5,130", "10,240", "20.5 kB"]
    assert below[-1].startswith("not built")
    assert not any("total" in line or "memory" in line for line in below)
    model.summary()
    assert capsys.readouterr().out == summary.text(model._core) + "\n"


def test_wrong_batch_sizes_are_refused():
    model = fm.Model([fm.Dense(2)], n_inputs=2)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        model.summary(0)
    with pytest.raises(TypeError, match=r"batch_size.*2\.5"):
        model.summary(np.float64(2.5))


def count(model, chosen):
    """Numbers in the model's own arrays, by a rule for each layer."""
    return sum(
        array.size
        for layer, arrays in zip(model._core.weighted, model.weights, strict=True)
        for name, array in zip(layer.weight_shapes(1), arrays, strict=True)
        if chosen(layer, name) and not (name == "b" and not layer.use_bias)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_take_what_their_parameters_need(dtype):
    """No padding of the engine: 257 numbers of 4 bytes are 1,028 bytes."""
    model = fm.Model([fm.Dense(1)], n_inputs=256, dtype=dtype)
    rows, below = table(model)
    assert rows["Dense 0"][-1] == summary.in_bytes(257 * np.dtype(dtype).itemsize)
    assert f"257 parameters ({summary.in_bytes(257 * np.dtype(dtype).itemsize)}): 257 trainable, 0 frozen" in below
    assert below[0].split()[-2:] == rows["Dense 0"][-1].split()


def test_frozen_parameters_and_running_statistics_are_told():
    stack = [
        fm.BatchNorm(trainable=False), fm.Dense(7, use_bias=False, trainable=False), fm.BatchNorm(), fm.PReLU(),
        fm.Residual([fm.LayerNorm(trainable=False), fm.Dense(7)]), fm.PReLU(trainable=False), fm.Dense(2),
    ]  # fmt: skip
    model = fm.Model(stack, n_inputs=3)
    running = count(model, lambda layer, name: name in ("mean", "variance"))
    frozen = count(model, lambda layer, name: name not in ("mean", "variance") and not layer.trainable)
    trainable = count(model, lambda layer, name: name not in ("mean", "variance") and layer.trainable)
    total = running + frozen + trainable
    _, below = table(model)
    expected = f"{trainable} trainable, {frozen} frozen, {running} running statistics"
    assert f"{total} parameters ({summary.in_bytes(4 * total)}): {expected}" in below
    assert min(running, frozen, trainable) > 0


def test_one_parameter_is_not_called_parameters():
    _, below = table(fm.Model([fm.Dense(1, use_bias=False)], n_inputs=1))
    assert "1 parameter (4 B): 1 trainable, 0 frozen" in below


class Cells(html.parser.HTMLParser):
    """The cells of each row of a table, and the text outside."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.outside, self.open, self.text = [], "", [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag == "br":
            self.outside += "\n"
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.text = ""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.rows[-1].append(self.text)

    def handle_data(self, data):
        if "table" in self.open:
            self.text += data
        else:
            self.outside += data


@pytest.mark.parametrize("n_inputs", [None, 5])
def test_a_notebook_shows_the_same_as_a_table(n_inputs):
    model = fm.Model(STACK, n_inputs=n_inputs, preprocessing="standardize")
    found = Cells(model._repr_html_())
    as_text, below = table(model)
    assert found.rows[0] == list(summary.HEADER)
    named = {name.strip(): [cell for cell in rest if cell] for name, *rest in found.rows[1:]}
    total = named.pop("total", None)
    assert named == as_text
    assert (total is None) == (n_inputs is None)
    assert found.outside.split("\n") == [line for line in below if not line.startswith("total")]


def test_a_notebook_gets_no_html_of_a_users_names():
    def loss(scores, targets):
        return 0.0, np.zeros_like(scores)

    model = fm.Model([fm.Dense(1)], loss=loss)
    assert "<function" in summary.text(model._core)
    assert "<function" not in model._repr_html_()
    assert "<function" in Cells(model._repr_html_()).outside
