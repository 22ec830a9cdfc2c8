"""Every option takes NumPy's scalars and strings, fractions and decimals; Python's own types are kept, and saved."""

import dataclasses
import decimal
import fractions
import inspect

import numpy as np
import pytest
from test_repr import CHOSEN, KINDS, REQUIRED

import fastmlp as fm
from fastmlp import initializers, layers, losses, metrics, optimizers

CALLBACKS = [
    fm.EarlyStopping, fm.ReduceLROnPlateau, fm.ModelCheckpoint, fm.Checkpoint, fm.CSVLogger,
]  # fmt: skip
OF_CALLBACKS = {
    "path": "net", "monitor": "val_accuracy", "mode": "max", "separator": ";", "min_delta": 0.5, "factor": 0.25,
    "baseline": 0.5, "target": 0.75, "initial_value_threshold": 0.25, "every_epochs": 3, "every_seconds": 2.0,
    "min_lr": 0.5, "patience": 3, "verbose": 1, "start_from_epoch": 2, "cooldown": 2,
}  # fmt: skip

# Other forms of a value of each type; all of them hold the numbers that are used here exactly.
FORMS = {
    bool: [np.bool_, np.array],
    int: [np.int64, np.int16, np.uint8, np.uint64, np.array],
    float: [np.float64, np.float32, np.longdouble, np.array, lambda v: np.array(v, np.float32), fractions.Fraction,
            decimal.Decimal],
    str: [np.str_, np.array],
}  # fmt: skip


def exact(value):
    """A number that float32 holds exactly, near the value; anything else as it is."""
    if isinstance(value, list | tuple):
        return [exact(each) for each in value]
    return float(np.float32(value)) if type(value) is float else value


def options_of(kind):
    """For each option of a class a value, and what must be given beside it."""
    shared = [field.name for field in dataclasses.fields(optimizers.Optimizer)] if kind is fm.LBFGS else []
    parameters = [p for p in inspect.signature(kind).parameters.values() if p.name not in shared]  # which it refuses
    parameters = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    needed = {p.name: exact(REQUIRED.get(p.name, OF_CALLBACKS.get(p.name))) for p in parameters if p.default is p.empty}
    for p in parameters:
        beside, value = {}, CHOSEN.get(p.name) if kind not in CALLBACKS else OF_CALLBACKS.get(p.name)
        if p.name in needed:
            value = needed[p.name]
        elif isinstance(value, tuple):
            value, beside = value
        if value is None or dataclasses.is_dataclass(value):
            value = {"learning_rate": 0.25, "initializer": "orthogonal", "then": 0.25}.get(p.name, p.default)
        if kind is layers.Dense and p.name == "alpha":
            beside = {"activation": "elu"}
        elif p.name == "alpha":
            beside = {"activation": "elu"} if kind is layers.Activation else {}
        yield p.name, exact(value), {**needed, **beside}


CASES = [
    pytest.param(kind, name, value, beside, id=f"{kind.__name__}.{name}")
    for kind in (*KINDS, *CALLBACKS)
    for name, value, beside in options_of(kind)
    if type(value) in FORMS or isinstance(value, list)
]


def plain(value):
    """Whether a value is of Python's own types all through."""
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    return type(value) in (bool, int, float, str, type(None)) or dataclasses.is_dataclass(value)


@pytest.mark.parametrize(("kind", "name", "value", "beside"), CASES)
def test_every_option_takes_scalars_of_numpy(kind, name, value, beside):
    expected = getattr(kind(**{**beside, name: value}), name)
    element = value[0] if isinstance(value, list) else value
    for form in FORMS[type(element)]:
        given = [form(each) for each in value] if isinstance(value, list) else form(value)
        made = kind(**{**beside, name: given})
        found = getattr(made, name)
        assert found == expected
        assert type(found) is type(expected)
        assert plain(found)
        assert all(plain(v) or callable(v) for v in vars(made).values() if not isinstance(v, dict | set))
    if isinstance(value, list):
        assert getattr(kind(**{**beside, name: np.array(value)}), name) == expected


def test_all_options_are_tried():
    tried = {(case.values[0], case.values[1]) for case in CASES}
    options = {(kind, name) for kind in (*KINDS, *CALLBACKS) for name, _, _ in options_of(kind)}
    left = {f"{kind.__name__}.{name}" for kind, name in options - tried}
    assert left == set()


# ---- in a model, and in its file ----


def saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "net")
    return fm.load(tmp_path / "net")


def fields_of(thing):
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        for each in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(each):
                yield from fields_of(each)
            else:
                yield field.name, each


@pytest.mark.parametrize(("kind", "name", "value", "beside"), [
    case for case in CASES
    if case.values[0] in optimizers.BY_NAME.values() or case.values[0] in layers.Layer.__subclasses__()
])  # fmt: skip
def test_options_come_back_from_a_file_as_pythons_own(kind, name, value, beside, tmp_path):
    form = FORMS[type(value)][-1]
    made = kind(**{**beside, name: form(value)})
    if isinstance(made, layers.Layer):
        model = fm.Model([made, fm.Dense(3)], n_inputs=3)
    else:
        model = fm.Model([fm.Dense(3)], optimizer=made, n_inputs=3)
    loaded = saved_and_loaded(model, tmp_path)
    assert loaded.layers == model.layers
    assert loaded.optimizer == model.optimizer
    for thing in (*loaded.layers, *model.layers, loaded.optimizer, model.optimizer):
        assert all(type(v) in (bool, int, float, str, type(None)) for _, v in fields_of(thing))


def test_names_and_arguments_of_a_model_take_numpys_strings(tmp_path):
    s, i = np.str_, np.int64
    X = np.arange(40.0).reshape(20, 2)
    model = fm.Model(
        [fm.Dense(i(4), s("relu"), initializer=s("he_normal")), fm.Dense(np.array(3))], s("softmax_cross_entropy"),
        s("adam"), seed=np.uint64(3), n_inputs=i(2), dtype=s("float64"), n_threads=np.int8(1),
        preprocessing=s("standardize"), metrics=[s("f1"), metrics.Metric(s("recall"), s("macro"), name=s("seen"))],
    )  # fmt: skip
    history = model.fit(
        X, np.arange(20) % 3, batch_size=i(7), epochs=i(2), validation_split=np.float32(0.25), shuffle=np.bool_(True),
        verbose=np.array(0), initial_epoch=i(0), class_weight={np.int8(1): np.float32(0.5)},
    )  # fmt: skip
    assert "np." not in repr((model, model.layers, model.metrics, model.seed, model.n_threads, [*history]))
    assert [type(name) for name in (*history, model.dtype)] == [str] * (len(history) + 1)
    loaded = saved_and_loaded(model, tmp_path)
    assert loaded.layers == model.layers
    assert loaded.metrics == model.metrics
    loaded.fit(X, np.arange(20) % 3, verbose=0)


def test_a_random_search_by_numpy_trains():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 4))
    for _ in range(3):
        activation, optimizer = rng.choice(["relu", "tanh", "gelu"]), rng.choice(["adam", "sgd"])
        rate, units = rng.uniform(1e-4, 1e-2), rng.integers(4, 9)
        made = optimizers.BY_NAME[optimizer](rate)
        model = fm.Model([fm.Dense(units, activation), fm.Dropout(rng.choice([0.1, 0.5])), fm.Dense(1)], optimizer=made)
        assert model.fit(X, X[:, 0], epochs=1, verbose=0).stopped == "epochs done"


def test_numbers_that_are_none_are_still_refused():
    for value in (
        "0.1",
        1j,
        None,
        np.array([0.1]),
        decimal.Decimal("sNaN"),
        decimal.Decimal("inf"),
        np.ma.masked,
        True,
    ):
        with pytest.raises((TypeError, ValueError), match=r"learning_rate must be|masks 1 value"):
            fm.SGD(value)
    with pytest.raises(TypeError, match="units must be an integer"):
        fm.Dense(np.float64(3))
    assert losses.Huber(fractions.Fraction(1, 2)).delta == 0.5
    assert initializers.checked("initializer", np.str_("ones"), 3, False) == "ones"
