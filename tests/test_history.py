"""fastmlp/history.py: what a training recorded, as a mapping; and what callbacks may add to it."""

import copy
import pickle
from collections.abc import Mapping

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
    assert "<fastmlp.History: 1 epochs" in repr(trained.history)


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
