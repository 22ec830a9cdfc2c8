"""Names of Keras, PyTorch and scikit-learn: an error says what is called otherwise here, or where it is."""

import re

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _engine, model
from fastmlp._validation import OtherNames

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
        for remedy in vars(base).get("other_names", {}).values():
            assert " " in remedy or remedy in known, (base, remedy)


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


NAMES = {
    lambda: fm.Dense(3, "ReLU"): "activation 'ReLU' is called 'relu' here",
    lambda: fm.Dense(3, "LeakyReLU"): "activation 'LeakyReLU' is called 'leaky_relu' here",
    lambda: fm.Activation("linear"): "activation 'linear' is called 'identity' here",
    lambda: fm.Dense(3, "wave"): "activation 'wave' is unknown; choose 'identity'",
    lambda: fm.Dense(3, initializer="xavier_uniform"): "initializer 'xavier_uniform' is called 'glorot_uniform' here",
    lambda: fm.Dense(3, initializer="HeNormal"): "initializer 'HeNormal' is called 'he_normal' here",
    lambda: fm.Model([fm.Dense(3)], "CrossEntropyLoss"): "loss 'CrossEntropyLoss' is called 'softmax_cross_entropy'",
    lambda: fm.Model([fm.Dense(3)], "MeanSquaredError"): "loss 'MeanSquaredError' is called 'mean_squared_error' here",
    lambda: fm.Model([fm.Dense(3)], optimizer="AdamW"): "optimizer 'AdamW' is called 'adamw' here",
    lambda: fm.Model([fm.Dense(3)], metrics=["acc"]): "metric 'acc' is called 'accuracy' here",
    lambda: fm.Model([fm.Dense(3)], metrics=["AUC"]): "metric 'AUC' is called 'roc_auc' here",
    lambda: fm.Model([fm.Dense(3)], metrics=["wow"]): "metric 'wow' is unknown; choose 'accuracy'",
}  # fmt: skip


@pytest.mark.parametrize("make", NAMES)
def test_names_are_translated(make):
    with pytest.raises(ValueError, match=re.escape(NAMES[make])):
        make()


def test_what_a_name_is_said_to_be_called_is_there():
    assert set(fm.layers.OTHER_NAMES.values()) <= set(_engine.activations)
    for module in (fm.losses, fm.metrics, fm.initializers):
        assert set(module.OTHER_NAMES.values()) <= module.BY_NAME.keys()
        assert module.OTHER_NAMES.keys().isdisjoint(module.BY_NAME)


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
    assert not any(hasattr(made, name) for name in model._ELSEWHERE)


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
