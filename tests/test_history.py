"""fastmlp/history.py: what a training recorded, as a mapping; and what callbacks may add to it."""

import base64
import copy
import html.parser
import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import fastmlp as fm


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((40, 5)), rng.integers(0, 3, 40)


def model():
    return fm.Model([fm.Dense(3)], "softmax_cross_entropy")


class Adds(fm.Callback):
    """Adds something to the logs of an epoch."""

    def __init__(self, name, value):
        self.name, self.value = name, value

    def on_epoch_end(self, epoch, logs):
        logs[self.name] = self.value


class Reads(fm.Callback):
    """Keeps a copy of the logs."""

    def on_epoch_end(self, epoch, logs):
        self.logs = dict(logs)


def test_a_history_is_a_mapping_from_names_to_values():
    X, y = data()
    history = model().fit(X, y, epochs=4, validation_data=(X, y), verbose=0)
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert isinstance(history, Mapping)
    assert list(history) == list(history.keys()) == names
    assert len(history) == 4
    assert "val_loss" in history
    assert "val_los" not in history
    assert 0 not in history
    assert dict(history) == history.history
    assert dict(history.items())["loss"] is history["loss"]
    assert history.get("f1") is None
    with pytest.raises(KeyError, match="'f1' was not recorded; there are loss, accuracy, val_loss"):
        history["f1"]


def test_histories_are_equal_where_they_are_the_same():
    first, second = fm.History(), fm.History()
    assert first == first
    assert first != second
    assert len({first, second}) == 2
    for copied in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert copied.history == first.history


@pytest.mark.parametrize(
    "value", [np.float32(0.5), np.float64(0.5), np.int64(3), 3, True, np.nan], ids=lambda value: type(value).__name__
)
def test_numbers_that_a_callback_adds_are_floats_at_once(value):
    X, y = data()
    reads = Reads()
    history = model().fit(X, y, epochs=2, callbacks=[Adds("note", value), reads], verbose=2)
    assert type(reads.logs["note"]) is float
    np.testing.assert_equal(history["note"], [float(value)] * 2)
    assert "note=" in repr(history)


@pytest.mark.parametrize(("name", "value", "message"), [
    ("note", "warm", r"logs\['note'\] must be a number, not 'warm' \(Adds.on_epoch_end\)"),
    ("note", None, r"logs\['note'\] must be a number, not None \(Adds.on_epoch_end\)"),
    ("note", 1j, r"logs\['note'\] must be a number, not 1j \(Adds.on_epoch_end\)"),
    ("loss", np.zeros(9), r"logs\['loss'\] must be a number, not an array of shape \(9,\) \(Adds.on_epoch_end\)"),
    (3, 0.5, r"the names in logs must be strings, not 3 \(Adds.on_epoch_end\)"),
])  # fmt: skip
def test_what_is_no_number_in_the_logs_is_refused_by_name(name, value, message):
    X, y = data()
    trained = model()
    with pytest.raises(TypeError, match=message):
        trained.fit(X, y, epochs=3, callbacks=[Adds(name, value)], verbose=2)
    assert list(trained.history) == ["loss", "accuracy"]
    assert "<fastmlp.History: 1 epoch" in repr(trained.history)


def test_what_a_callback_that_fails_left_in_the_logs_is_no_part_of_the_history():
    class Fails(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            logs["note"], logs["seen"] = "warm", 1.0
            raise OSError("no space")

    X, y = data()
    trained = model()
    with pytest.raises(OSError, match="no space"):
        trained.fit(X, y, epochs=3, callbacks=[Fails()], verbose=0)
    assert list(trained.history) == ["loss", "accuracy", "seen"]


def test_ctrl_c_in_the_middle_of_an_epoch_adds_nothing():
    """A model with half of it could be saved, but not loaded."""

    class Interrupted(dict):
        def get(self, name, default=None):
            if name == "b":
                raise KeyboardInterrupt
            return super().get(name, default)

    history = fm.History()
    history.append(0, {"a": 1.0})
    with pytest.raises(KeyboardInterrupt):
        history.extend([1, 2], Interrupted(a=[2.0, 3.0], b=[4.0, 5.0]))
    assert history.epoch == [0]
    assert {len(values) for values in history.history.values()} == {1}
    assert list(history) == ["a"]  # no column of "b", which would hold NaN alone
    history.append(1, {"a": 2.0, "b": 3.0})
    assert history["a"] == [1.0, 2.0]


def long(epochs):
    history = fm.History()
    for epoch in range(epochs):
        history.append(epoch, {"loss": 1 / (1 + epoch), "<b>": float(epoch)})
    return history


class Cells(html.parser.HTMLParser):
    """The cells of each row of a table, and the text outside."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.outside, self.images, self.text = [], "", [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.text = ""
        if tag == "img":
            self.images.append(dict(attributes)["src"])
        assert tag in ("table", "thead", "tbody", "tr", "th", "td", "div", "img")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.text)
            self.text = None

    def handle_data(self, data):
        if self.text is None:
            self.outside += data
        else:
            self.text += data


def test_a_notebook_shows_the_numbers_of_the_epochs():
    history = long(4)
    found = Cells(history._repr_html_())
    assert found.rows[0] == ["epoch", "loss", "<b>"]
    assert found.rows[1:] == [[f"{i + 1}", f"{1 / (1 + i):.4g}", f"{i}"] for i in range(4)]
    assert found.outside == repr(history)
    assert Cells(fm.History()._repr_html_()).outside == repr(fm.History())


def test_of_many_epochs_a_notebook_shows_the_first_and_the_last():
    found = Cells(long(500)._repr_html_())
    numbers = [row[0] for row in found.rows[1:]]
    assert numbers == ["1", "2", "3", "...", *(f"{i}" for i in range(494, 501))]


def test_the_curves_are_there_with_matplotlib_alone(monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install '.[plot]'")
    (image,) = Cells(long(4)._repr_html_()).images
    assert base64.b64decode(image.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    found = Cells(long(4)._repr_html_())
    assert found.images == []
    assert len(found.rows) == 5


def test_libraries_that_want_a_dictionary_take_a_history():
    """pandas.DataFrame, for one, makes columns of dictionaries alone."""
    history = long(3)
    assert isinstance(history, dict)
    assert json.loads(json.dumps(history)) == {**history} == history.history
    assert history.copy() == dict(history)
    for copied in (copy.copy(history), copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert type(copied) is fm.History
        assert (copied.history, copied.epoch, copied.stopped) == (history.history, history.epoch, history.stopped)
    assert history.before(2).history["loss"] is not history["loss"]
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(history)
    assert list(frame.columns) == list(history)
    np.testing.assert_array_equal(frame.to_numpy().T, [*history.values()])


def test_one_of_a_thing_is_told_as_one():
    """And there is one function that says how many."""
    X, y = np.ones((1, 2)), np.ones((1, 1))
    model = fm.Model([fm.Dense(1)])
    assert repr(model.fit(X, y, verbose=0)).startswith("<fastmlp.History: 1 epoch, loss=")
    wrong = [
        (lambda: model.fit(X, np.ones((2, 1)), verbose=0), "X holds 1 sample$"),
        (lambda: model.fit(X, np.ma.array(y, mask=True), verbose=0), "masks 1 value;"),
        (lambda: model.predict(np.ones((3, 1))), "has 1 column "),
        (lambda: model.evaluate(X, y, sample_weight=[1, 1]), "X holds 1 sample:"),
        (lambda: fm.Model([fm.Dense(2)], n_inputs=1).predict(np.ones((1, 3))), "takes 1$"),
    ]
    for call, message in wrong:
        with pytest.raises(ValueError, match=message):
            call()
    package = Path(fm.__file__).parent
    found = [path.name for path in package.rglob("*.py") if "def counted(" in path.read_text(encoding="utf-8")]
    assert found == ["_validation.py"]
