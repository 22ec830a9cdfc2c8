"""Constants of layers, losses and optimizers: refused where the dtype of the model cannot hold them."""

import dataclasses

import numpy as np
import pytest

import fastmlp as fm

LEAST, MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
BELOW_ONE = 1 - float(np.finfo(np.float32).epsneg)

# One constant each: what makes a model that has it, and what else than 0 it may not be ("vanish", "overflow", "one").
LAYERS = {
    "l1": (lambda v: fm.Dense(3, l1=v), "vanish overflow"),
    "l2": (lambda v: fm.Dense(3, l2=v), "vanish overflow"),
    "max_norm": (lambda v: fm.Dense(3, max_norm=v), "vanish overflow"),
    "learning_rate_factor": (lambda v: fm.Dense(3, learning_rate_factor=v), "vanish overflow"),
    "alpha of leaky_relu": (lambda v: fm.Dense(3, "leaky_relu", alpha=v), "vanish overflow"),
    "alpha of elu": (lambda v: fm.Activation("elu", alpha=v), "vanish overflow"),
    "alpha of PReLU": (fm.PReLU, "vanish overflow"),
    "epsilon of LayerNorm": (fm.LayerNorm, "vanish overflow"),
    "epsilon of BatchNorm": (lambda v: fm.BatchNorm(epsilon=v), "vanish overflow"),
    "momentum of BatchNorm": (lambda v: fm.BatchNorm(momentum=v), "vanish one"),
    "within a Residual": (lambda v: fm.Residual([fm.Dense(3, max_norm=v)]), "vanish overflow"),
    "an initializer": (lambda v: fm.Dense(3, initializer=fm.initializers.Normal(v)), "vanish overflow"),
    "a bias_initializer": (lambda v: fm.Dense(3, bias_initializer=fm.initializers.Constant(v)), "vanish overflow"),
}
LOSSES = {
    "label_smoothing": (lambda v: fm.losses.SoftmaxCrossEntropy(label_smoothing=v), "vanish one"),
    "positive_weight": (lambda v: fm.losses.BinaryCrossEntropy(positive_weight=(v, 1.0)), "vanish"),
    "gamma": (lambda v: fm.losses.Focal(gamma=v), "vanish"),
    "alpha": (lambda v: fm.losses.Focal(alpha=(1.0, v)), "vanish"),
    "alpha of sides": (lambda v: fm.losses.BinaryFocal(alpha=v), "vanish one"),
    "levels": (lambda v: fm.losses.Quantile((v, 0.5)), "vanish one"),
}
OPTIMIZERS = {
    "learning_rate": (fm.SGD, "vanish overflow"),
    "a schedule": (lambda v: fm.SGD(fm.schedules.OneCycle(v, total_steps=9)), "vanish overflow"),
    "a warm-up": (lambda v: fm.SGD(fm.schedules.Warmup(9, v)), "vanish overflow"),
    "weight_decay": (lambda v: fm.AdamW(weight_decay=v), "vanish overflow"),
    "l2": (lambda v: fm.SGD(l2=v), "vanish overflow"),
    "global_clipnorm": (lambda v: fm.SGD(global_clipnorm=v), "vanish overflow"),
    "clipvalue": (lambda v: fm.SGD(clipvalue=v), "vanish overflow"),
    "ema_momentum": (lambda v: fm.SGD(use_ema=True, ema_momentum=v), "vanish one"),
    "momentum": (lambda v: fm.SGD(momentum=v), "vanish one"),
    "rho": (lambda v: fm.RMSprop(rho=v), "vanish one"),
    "epsilon": (lambda v: fm.Adam(epsilon=v), "vanish overflow"),
    "epsilon in the root": (lambda v: fm.RMSprop(epsilon=v, epsilon_in_root=True), "vanish overflow"),
    "initial_accumulator_value": (lambda v: fm.Adagrad(initial_accumulator_value=v), "vanish overflow"),
    "beta_1": (lambda v: fm.Nadam(beta_1=v), "vanish one"),
    "beta_2": (lambda v: fm.Adam(beta_2=v), "vanish one"),
    "beta_2 of Lion": (lambda v: fm.Lion(beta_2=v), "vanish one"),
}
WRONG = {
    "vanish": (1e-50, "vanishes in"),
    "overflow": (1e39, "is too large for"),
    "one": (1 - 1e-12, "is rounded to 1 in"),
}
HELD = {"vanish": LEAST, "overflow": MOST, "one": BELOW_ONE}


def of_layer(make, value, dtype):
    return fm.Model([fm.Dense(3), make(value), fm.Dense(2)], dtype=dtype)


def of_loss(make, value, dtype):
    return fm.Model([fm.Dense(2)], make(value), dtype=dtype)


def of_optimizer(make, value, dtype):
    return fm.Model([fm.Dense(2)], optimizer=make(value), dtype=dtype)


CASES = [
    pytest.param(of, make, kind, id=f"{name}: {kind}")
    for of, cases in ((of_layer, LAYERS), (of_loss, LOSSES), (of_optimizer, OPTIMIZERS))
    for name, (make, kinds) in cases.items()
    for kind in kinds.split()
]


@pytest.mark.parametrize(("of", "make", "kind"), CASES)
def test_what_a_dtype_cannot_hold_is_refused(of, make, kind):
    value, message = WRONG[kind]
    with pytest.raises(ValueError, match=rf"{message} float32; it must be at .*, or the model of dtype='float64'"):
        of(make, value, "float32")
    assert of(make, value, "float64").dtype == "float64"
    assert of(make, HELD[kind], "float32").dtype == "float32"


def test_every_constant_is_in_the_table():
    """A new one must be looked at."""
    kinds = [*vars(fm.layers).values(), *vars(fm.optimizers).values(), *vars(fm.losses).values()]
    kinds = [kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    fields = [field for kind in kinds for field in dataclasses.fields(kind)]
    found = {field.name for field in fields if "float" in str(field.type)}
    checked = {name.split(" of ")[0] for name in (*LAYERS, *LOSSES, *OPTIMIZERS)}
    # delta has bounds of its own, rate too, and tolerance is scipy's.
    assert found - checked == {"delta", "rate", "tolerance"}


def test_an_optimizer_that_is_assigned_is_checked_and_changes_nothing():
    model = fm.Model([fm.Dense(2)], optimizer=fm.Adam(), n_inputs=3)
    before = model.optimizer
    with pytest.raises(ValueError, match=r"clipvalue=1e-60 of SGD vanishes in float32; it must be at least 1.18e-38"):
        model.optimizer = fm.SGD(clipvalue=1e-60)
    assert model.optimizer is before


def test_what_float64_cannot_hold_is_refused_without_a_remedy():
    with pytest.raises(ValueError, match=r"l1=1e-310 of Dense vanishes in float64; it must be at least 2.23e-308$"):
        fm.Model([fm.Dense(2, l1=1e-310)], dtype="float64")


def test_a_rate_that_drops_nothing_is_refused():
    """Masks have 16 bits."""
    for rate in (1e-6, 1 - 1e-6, 2.0**-17 * 0.99):
        with pytest.raises(ValueError, match=r"drops nothing, or everything: masks have 65536 steps; it must be 0, or"):
            fm.Dropout(rate)
    X = np.ones((4000, 8))
    for rate in (2.0**-16, 1 - 2.0**-16):
        model = fm.Model([fm.Dropout(rate), fm.Dense(1, initializer="ones")], n_inputs=8, dtype="float64")
        losses = {model.loss_and_gradients(X, np.zeros(4000))[0], model.evaluate(X, np.zeros(4000))["loss"]}
        assert len(losses) == 2
    assert fm.Dropout(0).rate == 0


def test_a_rate_that_is_reduced_for_ever_ends_in_nothing():
    X = np.ones((8, 2))
    model = fm.Model([fm.Dense(1)], optimizer=fm.SGD(1e-30))
    reduce = fm.ReduceLROnPlateau("loss", factor=1e-4, patience=0, min_delta=1e9)
    history = model.fit(X, X[:, 0], epochs=8, callbacks=[reduce], verbose=0)
    assert history["learning_rate"][-1] == 0
    assert model.optimizer.learning_rate == 0
