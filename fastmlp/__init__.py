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
except ModuleNotFoundError as error:
    if error.name != "fastmlp._engine":
        raise
    raise ImportError(
        "fastmlp is not compiled here: Python found its sources before the installed package. Run `pip install .` in "
        "the checkout, then start Python in another folder (or use the `fastmlp` command, or pytest)."
    ) from error

if TYPE_CHECKING:
    from fastmlp import autograd, datasets, gradcheck, initializers, losses, metrics, optimizers, plotting, schedules
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
    from fastmlp.model import Model, load
    from fastmlp.optimizers import LBFGS, SGD, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop
    from fastmlp.preprocessing import Standardize, Whiten

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
    "Whiten",
    "__version__",
    "autograd",
    "datasets",
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
    "model": ("Model", "load"),
    "optimizers": ("LBFGS", "SGD", "Adagrad", "Adam", "AdamW", "Lion", "Nadam", "RMSprop"),
    "preprocessing": ("Standardize", "Whiten"),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}
_MODULES = (
    *("autograd", "datasets", "gradcheck", "initializers", "losses", "metrics"),
    *("optimizers", "plotting", "schedules"),
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"fastmlp.{name}")
    if name in _MODULE_OF:
        found = getattr(importlib.import_module(f"fastmlp.{_MODULE_OF[name]}"), name)
        globals()[name] = found  # the next time without this function
        return found
    raise AttributeError(f"module 'fastmlp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
