"""fastmlp: multilayer perceptrons on CPUs, fast, exact to the bit, small.

>>> import numpy as np
>>> import fastmlp as fm
>>> X, y = fm.datasets.load_digits()
>>> model = fm.Model([fm.Dense(64, "relu"), fm.Dense(10)], loss="softmax_cross_entropy", optimizer=fm.Adam())
>>> history = model.fit(X / 16, y, epochs=20, verbose=0)
>>> bool(model.evaluate(X / 16, y)["accuracy"] > 0.97)
True
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastmlp._version import __version__

try:
    importlib.import_module("fastmlp._engine")  # `from fastmlp import _engine` would not say which module is missing
except ImportError as error:
    problem = error
    if isinstance(error, ModuleNotFoundError) and error.name == "fastmlp._engine":
        problem = ImportError(
            "fastmlp is not compiled here: Python found its sources before the installed package. Run `pip install .` "
            "in the checkout, then start Python in another folder (or use the `fastmlp` command, or pytest)."
        )
    importlib.import_module("fastmlp._no_engine").end_program(problem)
    if problem is error:
        raise
    raise problem from error

if TYPE_CHECKING:
    from fastmlp import autograd, datasets, gradcheck, initializers, losses, metrics, optimizers, plotting, schedules
    from fastmlp import callbacks as callbacks
    from fastmlp import layers as layers
    from fastmlp import preprocessing as preprocessing
    from fastmlp.callbacks import (
        Callback,
        Checkpoint,
        CSVLogger,
        EarlyStopping,
        LearningRateScheduler,
        ModelCheckpoint,
        ReduceLROnPlateau,
    )
    from fastmlp.config import show_config
    from fastmlp.history import DivergedError, History
    from fastmlp.layers import Activation, BatchNorm, Dense, Dropout, Flatten, LayerNorm, PReLU, Residual
    from fastmlp.learning_rates import find_learning_rate
    from fastmlp.model import Model, load
    from fastmlp.optimizers import LBFGS, SGD, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop
    from fastmlp.preprocessing import Standardize, Whiten
    from fastmlp.tensorboard import TensorBoard

__all__ = [
    "LBFGS",
    "SGD",
    "Activation",
    "Adagrad",
    "Adam",
    "AdamW",
    "BatchNorm",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "Dense",
    "DivergedError",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "History",
    "LayerNorm",
    "LearningRateScheduler",
    "Lion",
    "Model",
    "ModelCheckpoint",
    "Nadam",
    "PReLU",
    "RMSprop",
    "ReduceLROnPlateau",
    "Residual",
    "Standardize",
    "TensorBoard",
    "Whiten",
    "__version__",
    "autograd",
    "datasets",
    "find_learning_rate",
    "gradcheck",
    "initializers",
    "load",
    "losses",
    "metrics",
    "optimizers",
    "plotting",
    "schedules",
    "show_config",
]

# Where the names come from, whose modules are imported when one of them is first asked for: making their classes takes
# tens of milliseconds.
_NAMES = {
    "callbacks": (
        *("CSVLogger", "Callback", "Checkpoint", "EarlyStopping", "LearningRateScheduler"),
        *("ModelCheckpoint", "ReduceLROnPlateau"),
    ),
    "config": ("show_config",),
    "history": ("DivergedError", "History"),
    "layers": ("Activation", "BatchNorm", "Dense", "Dropout", "Flatten", "LayerNorm", "PReLU", "Residual"),
    "learning_rates": ("find_learning_rate",),
    "model": ("Model", "load"),
    "optimizers": ("LBFGS", "SGD", "Adagrad", "Adam", "AdamW", "Lion", "Nadam", "RMSprop"),
    "preprocessing": ("Standardize", "Whiten"),
    "tensorboard": ("TensorBoard",),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = (
    *("autograd", "callbacks", "datasets", "gradcheck", "initializers", "layers", "losses", "metrics"),
    *("optimizers", "plotting", "preprocessing", "schedules"),
)

# What other libraries have, and where it is here.
_ELSEWHERE = {
    "Sequential": "Model", "MLP": "Model", "load_model": "load", "save_model": "use Model.save",
    **dict.fromkeys(("Input", "InputLayer"), "give n_inputs to Model, or nothing: the first fit tells"),
    "Linear": "Dense", "BatchNormalization": "BatchNorm", "BatchNorm1d": "BatchNorm",
    "LayerNormalization": "LayerNorm", "RMSProp": "RMSprop", "NAdam": "Nadam",
    **{name: f"use Activation({name.lower()!r}), or the activation of a Dense" for name in
       ("ReLU", "ELU", "SELU", "GELU", "SiLU", "Mish", "Tanh", "Sigmoid")},
    "LeakyReLU": "use Activation('leaky_relu', alpha=...), or the activation of a Dense",
    "Softmax": "leave the last layer without activation: the loss 'softmax_cross_entropy' includes the softmax",
    "StandardScaler": "Standardize", "PCA": "Whiten", "activations": "give their names, 'relu' for example",
    "regularizers": "give l1 and l2 to Dense", "constraints": "give max_norm to Dense",
    **dict.fromkeys(("optim", "optimizer"), "optimizers"), **dict.fromkeys(("nn", "layer"), "layers"),
    "MSELoss": "use losses.MeanSquaredError()", "CrossEntropyLoss": "use losses.SoftmaxCrossEntropy()",
    "set_seed": "give seed to Model", "manual_seed": "give seed to Model",
    "set_num_threads": "give n_threads to Model",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"fastmlp.{name}")
    if name in _MODULE_OF:
        found = getattr(importlib.import_module(f"fastmlp.{_MODULE_OF[name]}"), name)
        globals()[name] = found  # the next time without this function
        return found
    remedy = _ELSEWHERE.get(name, "")
    if remedy:
        remedy = f": {remedy}" if " " in remedy else f": it is called {remedy} here"
    raise AttributeError(f"module 'fastmlp' has no attribute {name!r}{remedy}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
