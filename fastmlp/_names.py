"""Names: what other libraries call the same, what they call otherwise, and which quantities are better the larger.

A name is known by any capitals, underscores, hyphens and blanks: "ReLU", "Adam", "he-normal". What means the same is
taken, and from then on carries our name; what differs in meaning is answered with the remedy.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Literal

# By kind, what means the same in Keras, PyTorch or scikit-learn.
SYNONYMS: dict[str, dict[str, str]] = {
    "activation": {
        "linear": "identity", "none": "identity", "swish": "silu", "logistic": "sigmoid", "gelu_erf": "gelu",
        "gelu_new": "gelu_tanh", "gelu_approximate": "gelu_tanh",
    },
    "initializer": {
        "xavier_uniform": "glorot_uniform", "xavier_normal": "glorot_normal", "kaiming_uniform": "he_uniform",
        "kaiming_normal": "he_normal", "random_normal": "normal", "random_uniform": "uniform", "zero": "zeros",
        "one": "ones",
    },
    "loss": {
        **dict.fromkeys(
            ("cross_entropy", "cross_entropy_loss", "categorical_crossentropy", "sparse_categorical_crossentropy"),
            "softmax_cross_entropy",
        ),
        **dict.fromkeys(("bce", "bce_loss", "bce_with_logits_loss"), "binary_cross_entropy"),
        "binary_focal_crossentropy": "binary_focal",
        **dict.fromkeys(("mse", "mse_loss"), "mean_squared_error"),
        **dict.fromkeys(("mae", "l1_loss", "absolute_error"), "mean_absolute_error"),
        **dict.fromkeys(("huber_loss", "smooth_l1_loss"), "huber"),
        **dict.fromkeys(("pinball", "pinball_loss", "mean_pinball_loss"), "quantile"),
        "poisson_nll_loss": "poisson",
    },
    "metric": {
        **dict.fromkeys(
            ("acc", "accuracy_score", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy"),
            "accuracy",
        ),
        "balanced_accuracy_score": "balanced_accuracy", "precision_score": "precision", "recall_score": "recall",
        "f1_score": "f1", **dict.fromkeys(("auc", "auroc", "roc_auc_score", "roc_auc_ovr"), "roc_auc"),
        "r2_score": "r2", "mean_squared_error": "mse", "root_mean_squared_error": "rmse", "mean_absolute_error": "mae",
        "mean_absolute_percentage_error": "mape",
        **dict.fromkeys(("top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy"), "top_k_accuracy"),
    },
    "optimizer": {"l_bfgs_b": "lbfgs"},
    "preprocessing": {
        **dict.fromkeys(("standardise", "standard_scaler"), "standardize"), "whitening": "whiten",
    },
}  # fmt: skip

# By kind, what differs in meaning, and what to do.
ELSEWHERE: dict[str, dict[str, str]] = {
    "activation": {
        "softmax": "losses take raw scores: leave the last layer without activation; loss='softmax_cross_entropy' "
        "includes the softmax and predict returns probabilities",
        "prelu": "it is a layer here, fastmlp.PReLU()",
    },
    "initializer": {
        "trunc_normal": "'truncated_normal' has stddev=0.05; give fastmlp.initializers.TruncatedNormal(stddev)",
        "constant": "give fastmlp.initializers.Constant(value)",
        "variance_scaling": "give fastmlp.initializers.VarianceScaling(...)",
    },
    "loss": {
        "squared_error": "choose 'half_squared_error', which is scikit-learn's, or 'mean_squared_error'",
        "l2": "choose 'mean_squared_error', or give l2 to Dense for a penalty",
        "l1": "choose 'mean_absolute_error', or give l1 to Dense for a penalty",
        "log_loss": "choose 'softmax_cross_entropy' for one class of several, or 'binary_cross_entropy'",
        "nll_loss": "'softmax_cross_entropy' takes raw scores, not logarithms of probabilities",
        "categorical_focal_crossentropy": "'focal' weights all classes with 1; with 0.25, as Keras, it is "
        "fastmlp.losses.Focal(alpha=0.25)",
        "gaussian_nll_loss": "'gaussian_nll' takes logarithms of variances, as further outputs of the model",
        **dict.fromkeys(
            ("sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam", "lion", "lbfgs"),
            "it is an optimizer: the loss comes before it, or write optimizer=",
        ),
    },
    "metric": {
        "top_k_accuracy_score": "'top_k_accuracy' has k=5, this one 2: fastmlp.metrics.Metric('top_k_accuracy', k=2)",
        **{f"neg_{name}": f"{ours!r} is not negative here: less is better" for name, ours in (
            ("mean_squared_error", "mse"), ("root_mean_squared_error", "rmse"), ("mean_absolute_error", "mae"),
            ("mean_absolute_percentage_error", "mape"))},
        "log_loss": "give a loss to Model: evaluate reports it as 'loss'",
        "cross_entropy": "give a loss to Model: evaluate reports it as 'loss'",
    },
    "optimizer": {
        "amsgrad": "give fastmlp.Adam(amsgrad=True)", "momentum": "give fastmlp.SGD(momentum=0.9)",
        "nesterov": "give fastmlp.SGD(momentum=0.9, nesterov=True)",
    },
    "preprocessing": {"pca": "give fastmlp.Whiten('pca')", "zca": "give fastmlp.Whiten('zca')"},
}  # fmt: skip


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]", "", text).lower()


def synonym(kind: str, name: str, known: Collection[str]) -> str | None:
    """What a name of any library is called here; None where nothing that is known means the same.

    Parameters
    ----------
    kind : {"activation", "initializer", "loss", "metric", "optimizer", "preprocessing"}
    name : str
    known : collection of str
        The names that there are.

    Returns
    -------
    str or None
    """
    if name in known:
        return str(name)
    called = {_plain(other): ours for other, ours in SYNONYMS[kind].items() if ours in known}
    return (called | {_plain(ours): ours for ours in known}).get(_plain(name))


def resolved(kind: str, name: str, known: Collection[str], argument: str | None = None) -> str:
    """Our name of what a user names.

    Parameters
    ----------
    kind, name, known
        As for `synonym`.
    argument : str or None, default None
        What an error calls it; None: the kind.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        Where it is unknown, or means something else in the library that it comes from.
    """
    found = synonym(kind, name, known)
    if found is not None:
        return found
    remedies = {_plain(other): remedy for other, remedy in ELSEWHERE[kind].items()}
    remedy = remedies.get(_plain(name), f"choose {', '.join(map(repr, known))}")
    raise ValueError(
        f"{argument or kind} {str(name)!r} is {'no name' if _plain(name) in remedies else 'unknown'}"
        f"{' here' if _plain(name) in remedies else ''}; {remedy}"
    )


def with_option(name: str) -> str | None:
    """Our spelling of a metric with its option, "f1_macro" of "F1-Macro" and "top_3_accuracy" of "Top 3 Accuracy"; None
    of any other name."""
    plain = _plain(name)
    if found := re.fullmatch(r"(precision|recall|f1)(binary|macro|micro|weighted)", plain):
        return f"{found[1]}_{found[2]}"
    found = re.fullmatch(r"top([1-9][0-9]{0,8})accuracy", plain)
    return f"top_{found[1]}_accuracy" if found else None


def monitored(name: str, metrics: Iterable[str]) -> str:
    """Our name of a quantity in the logs: "val_accuracy" of "val_acc".

    Parameters
    ----------
    name : str
    metrics : iterable of str
        The names of `fastmlp.metrics`.

    Returns
    -------
    str
        The name itself where it is none that is known.
    """
    validated = re.match(r"val[\s_-]", name, re.IGNORECASE)
    plain = name[validated.end() :] if validated else name
    if _plain(plain) in ("lr", "learningrate"):
        return name if validated else "learning_rate"
    found = synonym("metric", plain, ["loss", *metrics]) or with_option(plain)
    return name if found is None else f"{'val_' if validated else ''}{found}"


# Words of a quantity of which more is better, and words beside them that do not change that.
_MORE = {"accuracy", "precision", "recall", "f1", "auc", "r2"}
_BESIDE_MORE = {
    "balanced", "binary", "categorical", "class", "k", "macro", "mean", "micro", "of", "roc", "sparse", "test", "top",
    "train", "weighted",
}  # fmt: skip
# Last words of a quantity of which less is better, and words that turn any quantity round.
_LESS = {"loss", "losses", "error", "errors", "mae", "mape", "mse", "rmse"}
_TURNED = {"inverse", "minus", "neg", "negative"}


def direction(monitor: str) -> Literal["min", "max"]:
    """Whether less or more of a logged quantity is better: the one rule of all ``mode="auto"``.

    More of a name that is made of words for good predictions alone, such as "val_top_3_accuracy", less of one that ends
    in a word for errors and has none for good predictions, such as "my_loss".

    Parameters
    ----------
    monitor : str
        As in the logs, with or without "val_".

    Returns
    -------
    {"min", "max"}

    Raises
    ------
    ValueError
        Where the name fits both rules, or none.
    """
    found = [word for word in monitor.removeprefix("val_").lower().split("_") if word]
    words = [word for word in found if not re.fullmatch(r"\d+", word)]
    more = any(word in _MORE for word in words)
    turned = any(word in _TURNED for word in words)
    less = any(word in _LESS for word in words)
    if more and all(word in _MORE | _BESIDE_MORE for word in words):
        return "max"
    if words and words[-1] in _LESS and not more and not turned:
        return "min"
    why = "fits both rules" if more and less else "fits no rule"
    plain = monitor.removeprefix("val_")
    nearest = difflib.get_close_matches(plain, _MORE | _LESS, 1)
    meant = f"; did you mean {monitor.replace(plain, nearest[0])!r}?" if nearest and not (more or less) else ""
    raise ValueError(
        f"mode='auto' does not know whether less {monitor!r} is better: the name {why}; give mode='min' or mode='max'"
        f"{meant}"
    )
