"""fastmlp/_repr.py: a repr is the call that makes an equal object, without what is the default."""

import dataclasses
import inspect
import sys

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import callbacks, files, initializers, layers, losses, metrics, optimizers, preprocessing, schedules

KINDS = [
    *(kind for kind in files.LAYERS.values() if kind is not fm.Residual), *optimizers.BY_NAME.values(),
    *losses.BY_NAME.values(), *schedules.BY_NAME.values(), *preprocessing.BY_NAME.values(),
    *files.INITIALIZERS.values(), metrics.Metric,
]  # fmt: skip
REQUIRED = {
    "units": 3, "activation": "elu", "rate": 0.25, "value": 2.0, "function": "f1", "learning_rate": 0.1,
    "initial_learning_rate": 0.1, "max_learning_rate": 0.1, "decay_steps": 5, "first_decay_steps": 5,
    "milestones": [2, 4], "decay_rate": 0.5, "total_steps": 9, "steps": 4, "then": 0.1, "levels": [0.1, 0.9],
}  # fmt: skip
# Of each argument a value that is no default, and what goes with it.
CHOSEN = {
    "activation": "elu", "nesterov": (True, {"momentum": 0.5}), "learning_rate": schedules.Exponential(0.1, 5, 0.5),
    "alpha": (0.75, {"activation": "elu"}), "initializer": initializers.Orthogonal(gain=2.0), "name": "mine",
    "bias_initializer": "ones", "max_norm": 0.5, "clipvalue": 0.5, "global_clipnorm": 0.5,
    "gradient_accumulation_steps": 3, "average": "macro", "k": (2, {"function": "top_k_accuracy"}), "method": "pca",
    "mode": "fan_in", "distribution": "normal", "reduction": "sum", "anneal_strategy": "linear", "three_phase": True,
    "levels": [0.2, 0.4], "final_div_factor": 7.0, "then": schedules.Exponential(0.1, 5, 0.5), "squared": True,
}  # fmt: skip


def required(kind):
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: REQUIRED[p.name] for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD}


def made(text, kind):
    names = {}
    own = sys.modules[kind.__module__]  # last: two modules have a Constant each
    for module in (initializers, schedules, losses, metrics, optimizers, preprocessing, layers, own):
        names |= {name: value for name, value in vars(module).items() if isinstance(value, type)}
    return eval(text, names)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__module__.partition(".")[2] + "." + kind.__name__)
def test_a_repr_makes_an_equal_object_and_leaves_out_defaults(kind):
    needed = required(kind)
    plain = kind(**needed)
    found = repr(plain)
    assert found.count("=") == max(0, len(needed) - 1)  # the first one has no name
    assert made(found, kind) == plain
    tried = 0
    for field in dataclasses.fields(kind):
        if not field.init or field.name in needed:
            continue
        value = CHOSEN.get(field.name)
        if value is None:
            value = not field.default if isinstance(field.default, bool) else None
        if value is None and isinstance(field.default, int | float):
            value = field.default / 2 + 0.2 if isinstance(field.default, float) else field.default + 1
        value, others = value if isinstance(value, tuple) else (value, {})
        try:
            chosen = kind(**{**needed, **{k: v for k, v in others.items() if hasattr(plain, k)}, field.name: value})
        except (ValueError, TypeError):  # of another argument's
            continue
        if chosen == plain:
            continue
        tried += 1
        assert f"{field.name}=" in repr(chosen) or (kind is fm.Dense and field.name == "activation")
        assert made(repr(chosen), kind) == chosen
    assert tried >= min(1, sum(f.init and f.name not in needed for f in dataclasses.fields(kind)))


def test_reprs_are_short():
    texts = {
        "Dense(3)": fm.Dense(3), "Dense(3, 'relu')": fm.Dense(3, "relu"),
        "Dense(3, use_bias=False)": fm.Dense(3, None, use_bias=False),
        "Dense(3, 'elu', alpha=0.5, l1=0.1)": fm.Dense(3, "elu", 0.5, l1=0.1),
        "Residual((LayerNorm(), Dense(8)))": fm.Residual([fm.LayerNorm(), fm.Dense(8)]),
        "SGD(learning_rate=0.1)": fm.SGD(0.1), "SGD(learning_rate=0.1, l2=0.5)": fm.SGD(0.1, l2=0.5),
        "Adam()": fm.Adam(), "LBFGS(memory=3)": fm.LBFGS(memory=3),
        "StepDecay(0.1, decay_steps=5)": schedules.StepDecay(0.1, 5),
        "Metric('f1', average='macro')": metrics.Metric("f1", average="macro"),
        "ProgressBar()": callbacks.ProgressBar(),
        "EarlyStopping()": fm.EarlyStopping(), "EarlyStopping(patience=3)": fm.EarlyStopping(patience=np.int64(3)),
        "EarlyStopping(monitor='val_accuracy')": fm.EarlyStopping("val_accuracy"),
        "EarlyStopping(mode='max')": fm.EarlyStopping("val_loss", mode="max"),
        "Checkpoint('a')": fm.Checkpoint("a"), "Checkpoint('a', every_seconds=2.0)": fm.Checkpoint("a", None, 2),
        "ModelCheckpoint('a', initial_value_threshold=0.5)": fm.ModelCheckpoint("a", initial_value_threshold=0.5),
        "CSVLogger('a', append=True)": fm.CSVLogger("a", append=True),
        "ReduceLROnPlateau(factor=0.5)": fm.ReduceLROnPlateau(factor=0.5), "Callback()": fm.Callback(),
    }  # fmt: skip
    assert {text: repr(thing) for text, thing in texts.items()} == {text: text for text in texts}


def test_a_model_shows_what_was_chosen():
    model = fm.Model([fm.Dense(2, "relu"), fm.Dense(1)], n_inputs=1)
    assert repr(model) == "<fastmlp.Model: 1 input, [Dense(2, 'relu'), Dense(1)], MeanSquaredError(), SGD()>"
    model = fm.Model([fm.Dense(1)], optimizer="adam", dtype="float64", preprocessing="standardize")
    assert repr(model) == ("<fastmlp.Model: not built, [Dense(1)], MeanSquaredError(), Adam(), Standardize(), float64>")


def test_callbacks_of_ones_own():
    class Keeps(fm.Callback):
        def __init__(self, path, every=3):
            self.path, self.every = path, every

    class Changes(fm.Callback):
        def __init__(self, path):
            self.folder = path

    class Holds(fm.Callback):
        def __init__(self, X=(), y=None):
            self.X, self.y = np.ones(3), np.ones(2)

    assert repr(Keeps("a")) == "Keeps('a')"
    assert repr(Keeps("a", 4)) == "Keeps('a', every=4)"
    assert "Changes object at" in repr(Changes("a"))
    assert repr(Holds()) == "Holds(X=array([1., 1., 1.]), y=array([1., 1.]))"
