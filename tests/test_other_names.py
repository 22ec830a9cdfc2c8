"""Names of Keras, PyTorch and scikit-learn: an error says what is called otherwise here, or where it is."""

import argparse
import functools
import re

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, _names, preprocessing
from fastmlp._validation import OtherNames
from fastmlp.model import elsewhere
from fastmlp.programs import train

ARGUMENTS = {
    lambda: fm.SGD(lr=0.1): "SGD has no lr: it is called learning_rate here",
    lambda: fm.Adam(0.1, betas=(0.9, 0.99)): "Adam has no betas: it is called beta_1 and beta_2 here",
    lambda: fm.Adam(0.1, clipnorm=1.0): "it is called global_clipnorm (of all gradients together) here",
    lambda: fm.Adam(decay=0.1): "Adam has no decay: give a schedule, fastmlp.schedules.InverseScaling for example",
    lambda: fm.RMSprop(alpha=0.9): "RMSprop has no alpha: it is called rho here",
    lambda: fm.RMSprop(lr=0.9): "RMSprop has no lr: it is called learning_rate here",
    lambda: fm.LBFGS(max_iter=9): "LBFGS has no max_iter: it is called max_iterations here",
    lambda: fm.LBFGS(learning_rate=0.1): "LBFGS has no learning_rate: the minimisation chooses its own steps",
    lambda: fm.Dense(3, kernel_initializer="zeros"): "Dense has no kernel_initializer: it is called initializer here",
    lambda: fm.Dense(3, kernel_regularizer="l2"): "Dense has no kernel_regularizer: it is called l1 and l2 here",
    lambda: fm.Dense(3, kernel_constraint=2.0): "Dense has no kernel_constraint: it is called max_norm here",
    lambda: fm.Dense(3, input_shape=(4,)): "Dense has no input_shape: it is called n_inputs, an argument of Model",
    lambda: fm.Dropout(p=0.5): "Dropout has no p: it is called rate here",
    lambda: fm.BatchNorm(eps=0.1): "BatchNorm has no eps: it is called epsilon here",
    lambda: fm.LayerNorm(normalized_shape=3): "LayerNorm has no normalized_shape: a layer finds its width by itself",
    lambda: fm.PReLU(init=0.1): "PReLU has no init: it is called alpha here",
    lambda: fm.Residual(fm.Dense(3), fm.Dense(3)): "Residual takes layers, not Dense(",
    lambda: fm.schedules.OneCycle(max_lr=1.0, total_steps=9): "OneCycle has no max_lr: it is called max_learning_rate",
    lambda: fm.schedules.StepDecay(0.1, step_size=3): "StepDecay has no step_size: it is called decay_steps here",
    lambda: fm.schedules.StepDecay(0.1, 3, gamma=0.5): "StepDecay has no gamma: it is called decay_rate here",
    lambda: fm.schedules.CosineRestarts(0.1, T_0=3): "CosineRestarts has no T_0: it is called first_decay_steps here",
    lambda: fm.losses.BinaryCrossEntropy(pos_weight=2): "BinaryCrossEntropy has no pos_weight: it is called positive_w",
    lambda: fm.losses.SoftmaxCrossEntropy(from_logits=True): "losses always take raw scores here",
    lambda: fm.losses.Huber(beta=2.0): "Huber has no beta: it is called delta here",
    lambda: fm.initializers.Normal(0, 0.1): "Normal takes stddev, not 0, 0.1",
    lambda: fm.initializers.Uniform(-0.1, 0.1): "Uniform takes limit, not -0.1, 0.1",
    lambda: fm.initializers.Uniform(minval=-0.1): "Uniform has no minval: it is called limit here: from -limit to",
    lambda: fm.initializers.Normal(std=0.1): "Normal has no std: it is called stddev here",
    lambda: fm.Flatten(3): "Flatten takes without names nothing, not 3",
    lambda: fm.ModelCheckpoint(filepath="net"): "ModelCheckpoint has no filepath: it is called path here",
    lambda: fm.ModelCheckpoint("net", save_weights_only=True): "save_weights_only: a file holds all of the model",
    lambda: fm.CSVLogger(filename="log"): "CSVLogger has no filename: it is called path here",
    lambda: fm.Callback(3): "Callback takes no arguments",
    lambda: fm.Model([fm.Dense(1)], optimiser="adam"): "Model has no optimiser: it is called optimizer here",
    lambda: fm.Model([fm.Dense(1)], learning_rate=0.1): "Model has no learning_rate: give it to the optimizer",
    lambda: fm.Model(hidden_layer_sizes=(9,)): "Model has no hidden_layer_sizes: give layers",
    lambda: fm.Model([fm.Dense(1)], max_iter=9): "Model has no max_iter: give epochs to fit",
    lambda: fm.SGD(rate=0.1): "unexpected keyword argument 'rate'",
}  # fmt: skip


@pytest.mark.parametrize("make", ARGUMENTS)
def test_arguments_are_translated(make):
    with pytest.raises(TypeError, match=re.escape(ARGUMENTS[make])):
        make()


def classes_of(base):
    return [base, *(inner for kind in base.__subclasses__() for inner in classes_of(kind))]


def test_what_an_argument_is_said_to_be_called_is_an_argument():
    fm.losses, fm.initializers, fm.schedules, fm.layers, fm.optimizers  # noqa: B018  (asking for them loads them)
    kinds = [kind for kind in classes_of(OtherNames) if kind.__module__.startswith("fastmlp.")]
    assert len(kinds) > 40
    for base in kinds:
        made = [getattr(kind.__init__, "__code__", None) for kind in classes_of(base)]
        known = {name for code in filter(None, made) for name in code.co_varnames}
        for remedy in vars(base).get("_other_names", {}).values():
            assert " " in remedy or remedy in known, (base, remedy)


def test_a_model_of_ones_own_may_take_what_it_wants():
    class Net(fm.Model):
        def __init__(self, n, **options):
            rate = options.pop("learning_rate")
            super().__init__([fm.Dense(n)], optimizer=fm.SGD(rate), **options)

    class Named:
        def __init__(self, *arguments, name="net", **options):
            self.called = name
            super().__init__(*arguments, **options)

    class NamedModel(Named, fm.Model):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)

    class Wrapped(fm.Model):
        __init__ = functools.partialmethod(fm.Model.__init__, [fm.Dense(3)])

    assert Net(4, learning_rate=0.25, seed=2).optimizer == fm.SGD(0.25)
    assert NamedModel([fm.Dense(1)], name="mine").called == "mine"
    assert Wrapped(seed=4).n_outputs == 3


def test_a_class_of_ones_own_may_take_what_it_wants():
    class Sawtooth(fm.schedules.Schedule):
        def __init__(self, low, high, *more, lr=0.1):
            self.arguments = low, high, more, lr

    class Says(fm.Callback):
        def __init__(self, filepath, threshold=3):
            self.arguments = filepath, threshold

    class Silent(fm.Callback):
        pass

    assert Sawtooth(1, 2, 3, lr=4).arguments == (1, 2, (3,), 4)
    assert Says(filepath=1, threshold=2).arguments == (1, 2)
    assert isinstance(Silent(), fm.Callback)
    with pytest.raises(TypeError, match="Silent takes no arguments"):
        Silent(3)


def of(kind, name):
    """What became of a name: our name, as a model keeps it."""
    if kind == "activation":
        return fm.Dense(3, name).activation
    if kind == "initializer":
        return fm.Dense(3, initializer=name).initializer
    if kind == "loss":
        return next(ours for ours, made in fm.losses.BY_NAME.items() if made is type(fm.losses.get(name)))
    if kind == "metric":
        return fm.metrics.get(name).function
    if kind == "optimizer":
        return next(ours for ours, made in fm.optimizers.BY_NAME.items() if made is type(fm.optimizers.get(name)))
    return next(ours for ours, made in preprocessing.BY_NAME.items() if made is type(preprocessing.get(name)))


KNOWN = {
    "activation": _engine.activations, "initializer": fm.initializers.BY_NAME, "loss": fm.losses.BY_NAME,
    "metric": fm.metrics.BY_NAME, "optimizer": fm.optimizers.BY_NAME, "preprocessing": preprocessing.BY_NAME,
}  # fmt: skip
# As they are written in Keras, PyTorch and scikit-learn, in documentation and in class names.
WRITTEN = {
    ("activation", "ReLU"): "relu", ("activation", "LeakyReLU"): "leaky_relu", ("activation", "swish"): "silu",
    ("activation", "linear"): "identity", ("activation", "Hardtanh"): "hard_tanh", ("activation", "GELU"): "gelu",
    ("initializer", "HeNormal"): "he_normal", ("initializer", "xavier-uniform"): "glorot_uniform",
    ("initializer", "RandomNormal"): "normal", ("loss", "MSE"): "mean_squared_error",
    ("loss", "CrossEntropyLoss"): "softmax_cross_entropy", ("loss", "MeanSquaredError"): "mean_squared_error",
    ("loss", "sparse_categorical_crossentropy"): "softmax_cross_entropy", ("loss", "mae"): "mean_absolute_error",
    ("loss", "BCEWithLogitsLoss"): "binary_cross_entropy", ("loss", "SmoothL1Loss"): "huber",
    ("metric", "acc"): "accuracy", ("metric", "AUC"): "roc_auc", ("metric", "mean_squared_error"): "mse",
    ("metric", "F1Score"): "f1", ("metric", "R2Score"): "r2", ("optimizer", "Adam"): "adam",
    ("optimizer", "AdamW"): "adamw", ("optimizer", "RMSProp"): "rmsprop", ("optimizer", "L-BFGS"): "lbfgs",
    ("preprocessing", "StandardScaler"): "standardize",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), WRITTEN)
def test_known_names_are_taken(kind, name):
    assert of(kind, name) == WRITTEN[kind, name]
    assert type(of(kind, name)) is str


@pytest.mark.parametrize("kind", KNOWN)
def test_every_name_and_synonym_is_taken_in_any_spelling(kind):
    assert set(_names.SYNONYMS) == set(_names.ELSEWHERE) == set(KNOWN)
    for name, ours in {**_names.SYNONYMS[kind], **{ours: ours for ours in KNOWN[kind]}}.items():
        camel = "".join(word.capitalize() for word in name.split("_"))
        for written in (name, name.upper(), name.title(), camel, name.replace("_", "-"), name.replace("_", " ")):
            assert of(kind, written) == ours


@pytest.mark.parametrize("kind", KNOWN)
def test_no_name_means_two_things(kind):
    plain = _names._plain
    synonyms, elsewhere = _names.SYNONYMS[kind], _names.ELSEWHERE[kind]
    assert set(synonyms.values()) <= set(KNOWN[kind])
    every = [*map(plain, KNOWN[kind]), *map(plain, synonyms), *map(plain, elsewhere)]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("kind", KNOWN)
def test_what_differs_in_meaning_is_answered_with_the_remedy(kind):
    for name, remedy in _names.ELSEWHERE[kind].items():
        for written in (name, name.upper()):
            with pytest.raises(ValueError, match=re.escape(f"{kind} {written!r} is no name here; {remedy}")):
                of(kind, written)
        for ours in re.findall("'([a-z0-9_]+)'", remedy):
            assert any(ours in names for names in KNOWN.values()) or ours in ("pca", "zca", "loss")
    with pytest.raises(ValueError, match=f"{kind} 'wave' is unknown; choose '{next(iter(KNOWN[kind]))}'"):
        of(kind, "wave")


def test_reprs_files_and_histories_carry_our_names(tmp_path):
    X = np.random.default_rng(0).standard_normal((30, 4))
    stop = fm.EarlyStopping("val_MeanSquaredError", patience=3, restore_best_weights=True)
    keep = fm.ModelCheckpoint(tmp_path / "{epoch}-{val_mean_squared_error:.3f}", "val-MSE", save_best_only=True)
    made, plain = (
        fm.Model(
            [fm.Dense(4, relu, initializer=he), fm.Dense(1, linear)], loss, adam, metrics=names, preprocessing=scaler
        )
        for relu, he, linear, loss, adam, names, scaler in (
            ("ReLU", "HeNormal", "linear", "mae", "Adam", ["mean_squared_error", "MAPE", "R2_Score"], "StandardScaler"),
            ("relu", "he_normal", None, "mean_absolute_error", "adam", ["mse", "mape", "r2"], "standardize"),
        )
    )  # fmt: skip
    assert repr(made) == repr(plain)
    histories = [
        model.fit(X, X[:, 0], epochs=2, validation_data=(X, X[:, 0]), callbacks=[stop, keep], verbose=0)
        for model in (made, plain)
    ]
    assert histories[0].history == histories[1].history
    assert list(histories[0]) == ["loss", "val_loss", "val_mse", "val_mape", "val_r2"]
    assert stop.monitor == keep.monitor == "val_mse"
    assert stop.best == min(histories[1]["val_mse"])
    assert (tmp_path / f"1-{histories[0]['val_mse'][0]:.3f}").exists()
    made.save(tmp_path / "made")
    plain.save(tmp_path / "plain")
    assert (tmp_path / "made").read_bytes() == (tmp_path / "plain").read_bytes()


def test_monitors_have_synonyms_but_what_is_there_comes_first():
    X, y = np.random.default_rng(0).standard_normal((30, 4)), np.arange(30) % 2
    for name, ours in (
        ("val_acc", "val_accuracy"), ("acc", "accuracy"), ("Val_Loss", "val_loss"), ("val_F1Score", "val_f1"),
        ("AUC", "roc_auc"), ("val_mean_absolute_error", "val_mae"), ("mine_loss", "mine_loss"),
        ("val_top_k_categorical_accuracy", "val_top_k_accuracy"),
    ):  # fmt: skip
        assert fm.EarlyStopping(name).monitor == ours
    assert fm.EarlyStopping("lr", mode="min").monitor == "learning_rate"

    def acc(y_true, y_pred):
        return 7.0

    stop = fm.EarlyStopping("val_acc", patience=9)
    model = fm.Model([fm.Dense(2)], "cross_entropy", metrics=[acc])
    history = model.fit(X, y, validation_data=(X, y), callbacks=[stop], verbose=0)
    assert stop.best == 7.0 == history["val_acc"][0] != history["val_accuracy"][0]
    with pytest.raises(ValueError, match="monitor='val_MSE' will not be in the logs; there are loss, acc"):
        model.fit(X, y, validation_data=(X, y), callbacks=[fm.EarlyStopping("val_MSE")], verbose=0)


def test_names_of_metrics_hold_options():
    for name, metric in (
        ("f1_macro", fm.metrics.Metric("f1", "macro")), ("top_3_accuracy", fm.metrics.Metric("top_k_accuracy", k=3)),
        ("recall_weighted", fm.metrics.Metric("recall", average="weighted")),
    ):  # fmt: skip
        assert fm.metrics.get(name) == metric
        assert metric.name == name
    for arguments in (("f1_macro", "micro"), ("top_3_accuracy", None, 4), ("top_0_accuracy",), ("r2_macro",)):
        with pytest.raises(ValueError, match=f"metric '{arguments[0]}' is unknown; choose 'accuracy'"):
            fm.metrics.Metric(*arguments)


def test_the_command_line_takes_the_same_names():
    parser = argparse.ArgumentParser()
    train.add_training(parser)
    options = parser.parse_args(
        [
            "f",
            "--target",
            "t",
            "--loss",
            "MSE",
            "--optimizer",
            "Adam",
            "--activation",
            "ReLU",
            "--preprocessing",
            "StandardScaler",
        ]
    )
    found = (options.loss, options.optimizer, options.activation, options.preprocessing)
    assert found == ("mean_squared_error", "adam", "relu", "standardize")
    with pytest.raises(SystemExit):
        parser.parse_args(["f", "--target", "t", "--loss", "hinge"])


def test_names_of_the_package_are_translated():
    for name, message in {
        "Sequential": "it is called Model here", "BatchNormalization": "it is called BatchNorm here",
        "RMSProp": "it is called RMSprop here", "Input": "give n_inputs to Model", "ReLU": r"use Activation\('relu'\)",
    }.items():  # fmt: skip
        with pytest.raises(AttributeError, match=f"no attribute '{name}': {message}"):
            getattr(fm, name)
    with pytest.raises(AttributeError, match=r"no attribute 'Sequentia'$"):
        fm.Sequentia  # noqa: B018  (asking is the error)
    for name, remedy in fm._ELSEWHERE.items():
        assert not hasattr(fm, name)
        assert " " in remedy or hasattr(fm, remedy)


@pytest.mark.parametrize("name", ["callbacks", "layers", "preprocessing"])
def test_modules_are_there_when_they_are_asked_for(name):
    assert getattr(fm, name).__name__ == f"fastmlp.{name}"
    assert name in dir(fm)


def test_methods_are_translated():
    made = fm.Model([fm.Dense(1)])
    for name, message in {
        "compile": "give loss, optimizer and metrics to Model", "predict_proba": "use model.predict",
        "score": "use model.evaluate", "state_dict": "read model.weights", "eval": "only fit trains",
        "count_params": r"model.summary\(\) prints it", "fit_generator": "use model.fit",
    }.items():  # fmt: skip
        with pytest.raises(AttributeError, match=f"no attribute '{name}'; {message}"):
            getattr(made, name)
    with pytest.raises(AttributeError, match=r"no attribute 'fits'$"):
        made.fits()
    assert not any(hasattr(made, name) for name in elsewhere.MEMBERS)


def test_the_class_in_the_place_of_an_object_is_told_of():
    for make, name in (
        (lambda: fm.Model([fm.Dense(1)], optimizer=fm.Adam), "Adam"),
        (lambda: fm.Model([fm.Dense(1)], loss=fm.losses.Huber), "Huber"),
        (lambda: fm.Model([fm.Flatten, fm.Dense(1)]), "Flatten"),
        (lambda: fm.Model([fm.Dense(1)], preprocessing=fm.Standardize), "Standardize"),
        (lambda: fm.Adam(fm.schedules.OneCycle), "OneCycle"),
    ):
        with pytest.raises(TypeError, match=rf"not the class {name}; call it: {name}\(...\)"):
            make()


def test_kerass_defaults_of_fit_are_taken():
    X = np.ones((8, 2))
    made = fm.Model([fm.Dense(1)])
    assert made.fit(X, X[:, 0], callbacks=None, verbose="auto").stopped == "epochs done"


def test_a_bias_may_be_one_number():
    with pytest.raises(TypeError, match=r"bias_initializer must be fastmlp.initializers.Constant\(0.5\), not the num"):
        fm.Dense(3, bias_initializer=0.5)
    with pytest.raises(TypeError, match=r"initializer must be fastmlp.initializers.Constant\(0.5\), not the number"):
        fm.Dense(3, initializer=np.float32(0.5))


def test_an_epoch_past_the_end_is_told_of():
    with pytest.raises(ValueError, match="initial_epoch=5 is past epochs=2, where the training ends"):
        fm.Model([fm.Dense(1)]).fit(np.ones((8, 2)), np.ones(8), epochs=2, initial_epoch=5)


def test_an_empty_residual_is_told_of():
    with pytest.raises(ValueError, match="layers is empty; a Residual needs at least one layer"):
        fm.Residual([])
