"""Metrics: numbers that say how good predictions are. Each is a function of targets and predictions, usable alone, and
``Model(..., metrics=["f1"])`` reports it: `Model.evaluate`, and `Model.fit` for its validation data, as "val_f1".

Conventions. Classes are integers from 0. Targets of a classification are labels of shape (n,) or (n, 1), or one-hot (or
probability) rows of shape (n, n_classes). Predictions are what `Model.predict` returns: probabilities (or any scores,
of which the largest counts) of shape (n, n_classes), or the probability of class 1, of shape (n,) or (n, 1), above one
half or not; labels do as well. Every sample counts the same, whatever its weight in the loss. Definitions are those of
scikit-learn, but a division of 0 by 0 is 0, without a warning.
"""

from fastmlp.metrics.classes import (
    AVERAGES,
    accuracy,
    balanced_accuracy,
    classes_of,
    confusion_matrix,
    f1,
    precision,
    recall,
    roc_auc,
    top_k_accuracy,
)
from fastmlp.metrics.metric import BY_NAME, OF_CLASSES, OF_VALUES, Metric, evaluated, get, suited
from fastmlp.metrics.values import mae, mape, mse, r2, rmse

__all__ = [
    "AVERAGES",
    "BY_NAME",
    "OF_CLASSES",
    "OF_VALUES",
    "Metric",
    "accuracy",
    "balanced_accuracy",
    "classes_of",
    "confusion_matrix",
    "evaluated",
    "f1",
    "get",
    "mae",
    "mape",
    "mse",
    "precision",
    "r2",
    "recall",
    "rmse",
    "roc_auc",
    "suited",
    "top_k_accuracy",
]
