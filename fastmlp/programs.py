"""Programs for files: `fastmlp data` writes a data set of the package as CSV, `fastmlp split` divides a file into one
to train on and one to test with, `fastmlp train` (_train.py) trains a model and saves it, `fastmlp predict` applies it.

Outputs go to the current folder where `--out` names no other. A file that is there is never overwritten without
`--force`, and every file is written whole or not at all.
"""

import argparse
import dataclasses
import itertools
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp
from fastmlp import _classes, _engine, _train, datasets, metrics, optimizers, preprocessing, tables
from fastmlp._arguments import CommandError, integer, number, say
from fastmlp._names import resolved
from fastmlp._validation import Array, counted

COMMANDS = ("data", "split", "train", "predict")

# LBFGS makes no epochs of batches.
_OPTIMIZERS = tuple(name for name in optimizers.BY_NAME if name != "lbfgs")
# Largest confusion matrix that is printed.
_MOST_CLASSES = 20


# ---- data ----


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set of the package, as a table: its target comes first."""

    target: str
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    load: Callable[[], tuple[Array, Array]]
    source: str


DATA_SETS = {
    "breast-cancer": DataSet(
        "diagnosis",
        datasets.BREAST_CANCER_FEATURES,
        datasets.BREAST_CANCER_CLASSES,
        datasets.load_breast_cancer,
        "W. Wolberg et al. (1993), Breast Cancer Wisconsin (Diagnostic), https://doi.org/10.24432/C5DW2B, CC BY 4.0",
    ),
    "digits": DataSet(
        "digit",
        tuple(f"row {i} column {j}" for i in range(1, 9) for j in range(1, 9)),
        tuple("0123456789"),
        datasets.load_digits,
        "E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, https://doi.org/10.24432/C50P49, "
        "CC BY 4.0",
    ),
}


def data(options: argparse.Namespace) -> int:
    """Write a data set of the package as a CSV file.

    Parameters
    ----------
    options : argparse.Namespace
        name, out, force.

    Returns
    -------
    int
        Exit code.
    """
    found = DATA_SETS[options.name]
    out = options.out or f"{options.name.replace('-', '_')}.csv"
    (path,) = tables.targets([out], [], options.force)
    X, y = found.load()
    with tables.writing(path) as writer:
        writer.writerow([found.target, *found.columns])
        writer.writerows([found.classes[label], *row] for label, row in zip(y, X.tolist(), strict=True))
    say(f"{counted(len(X), 'row')}, {counted(X.shape[1], 'column')} and the target {found.target!r}: {found.source}")
    say(f"saved {out}")
    return 0


# ---- split ----


def split(options: argparse.Namespace) -> int:
    """Divide a file into one to train on and one to test with; of each class the share.

    Parameters
    ----------
    options : argparse.Namespace
        file, target, test, seed, task, out, force, separator, header.

    Returns
    -------
    int
        Exit code.
    """
    stem = Path(options.file).stem
    names = options.out or [f"{stem}-train.csv", f"{stem}-test.csv"]
    paths = tables.targets(names, [options.file], options.force)
    table = tables.read(options.file, options.separator, options.header)
    cells, why = _classes.task_of(options.task, table, options.target)
    classes = () if cells is None else _classes.classes_of(table, options.target, cells)
    strata = np.zeros(table.n_rows, np.int64) if cells is None else _classes.labels(cells, classes)[0]
    held_out = _train.held_out(strata, options.test, options.seed, "--test")
    with tables.writing_all(paths, table.separator) as (train, test):
        if table.has_header:
            for writer in (train, test):
                writer.writerow(table.spelled)
        for (_, row), held in zip(table.rows(), held_out.tolist(), strict=True):
            (test if held else train).writerow(row)
    drawn = "each class gives its share" if classes else "rows are drawn whatever their target"
    say(f"{options.file}: {counted(table.n_rows, 'row')}; {why}: {drawn}")
    for alike in _classes.one_number(classes):
        say(f"classes that are one number, kept apart: {tables.listed(alike)}")
    for name, rows in zip(names, (~held_out, held_out), strict=True):
        of = f": {_classes.counts(classes, strata[rows])}" if classes else ""
        say(f"saved {name}, {counted(int(rows.sum()), 'row')}{of}")
        absent = [classes[place] for place in sorted({*range(len(classes))}.difference(strata[rows].tolist()))]
        if absent:
            say(f"warning: {name} has no row of {tables.listed(absent)}")
    return 0


# ---- predict ----


def predict(options: argparse.Namespace) -> int:
    """Apply a model to a file; save the predictions, and compare them with the target where it is there.

    Parameters
    ----------
    options : argparse.Namespace
        model, file, keep, no_target, threads, out, force, separator, header.

    Returns
    -------
    int
        Exit code.
    """
    model, notes = _train.load(options.model)
    out = options.out or f"{Path(options.file).stem}-predictions.csv"
    (path,) = tables.targets([out], [options.model, options.file], options.force)
    model.n_threads = options.threads
    read = tables.read(options.file, options.separator, options.header)
    kept = [read.position(name) for name in options.keep]
    twice = [name for i, name in enumerate(options.keep) if kept[i] in kept[:i]]
    if twice:
        raise CommandError(f"--keep names the column {twice[0]!r} twice; name it once")
    table = _train.at_positions(read, notes)
    missing = [name for name in notes.columns if name not in table.places]
    if missing:
        table.lacks(missing, (*notes.columns, notes.target))
    X = table.numbers(notes.columns, "leave the line out: the model needs this column")
    truth = None if options.no_target or notes.target not in table.places else _truth(table, notes)
    header = ["prediction", *(f"probability of {name}" for name in notes.classes or ())]
    names = [read.spelled[place] or read.columns[place] if read.spelled else read.columns[place] for place in kept]
    clash = set(names).intersection(header)
    if clash:
        raise CommandError(f"--keep {min(clash)!r}: predictions have a column of that name, too; keep others")
    used = {*notes.columns, notes.target}
    unused = [name for place, name in enumerate(table.columns) if name not in used and place not in set(kept)]
    say(
        f"{options.file}: {counted(len(X), 'row')}"
        + (f"; not used: {tables.listed(unused)}" if unused else "")
        + ("" if truth is not None else f"; predicted without comparing with a target {notes.target!r}")
    )
    if table is not read:
        say(f"its columns have no names and are taken for the model's alone: {tables.listed(notes.columns)}")
    if truth is not None:
        _classes.tell_respelled(options.file, truth.respelled)
    predicted = probabilities(model, X) if notes.classes else model.predict(X)
    cells = (row for _, row in table.rows()) if kept else itertools.repeat([""], len(X))
    with tables.writing(path, table.separator) as writer:
        writer.writerow([*names, *header])
        for row, values in zip(cells, predicted, strict=True):
            best = [] if notes.classes is None else [notes.classes[int(values.argmax())]]
            writer.writerow([*(row[place] for place in kept), *best, *values])
    if truth is not None:
        _compare(model, notes, X, truth, predicted)
    say(f"saved {out}")
    return 0


@dataclasses.dataclass(frozen=True)
class Truth:
    """The target of a table: labels, -1 for classes that the model has not learned, or numbers."""

    y: Array
    respelled: dict[str, str] = dataclasses.field(default_factory=dict)
    unknown: dict[str, int] = dataclasses.field(default_factory=dict)


def _truth(table: tables.Table, notes: _train.Notes) -> Truth:
    remedy = "give --no-target to predict without comparing"
    if notes.classes is None:
        return Truth(table.numbers([notes.target], remedy)[:, 0].astype(np.float64))
    return Truth(*_classes.labels(table.cells(notes.target, remedy), notes.classes))


def probabilities(model: fastmlp.Model, X: Array) -> Array:
    """Of each class.

    Parameters
    ----------
    model : Model
        Of a classification.
    X : ndarray of shape (n_samples, n_inputs)

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Of a model with a single output the columns ``1 - p`` and p.
    """
    found = model.predict(X)
    return np.hstack([1 - found, found]) if model.n_outputs == 1 else found


def _compare(model: fastmlp.Model, notes: _train.Notes, X: Array, truth: Truth, predicted: Array) -> None:
    """Print loss and metrics, of rows of classes that the model has learned."""
    y = truth.y
    if notes.classes is None:
        say(f"loss {_train.evaluate(model, X, y)['loss']:.6g}")
        say(f"root mean squared error {metrics.rmse(y, predicted):.6g}")
        if len(y) > 1 and y.std() > 0:
            say(f"R2 {metrics.r2(y, predicted):.4f}")
        return
    n_unknown, n_rows = sum(truth.unknown.values()), len(y)
    if n_unknown:
        shown = [f"{name!r} ({count:,})" for name, count in truth.unknown.items()]
        say(
            f"{counted(n_unknown, 'row')} of classes that the model has not learned: {', '.join(shown[:10])}"
            f"{', ...' * (len(shown) > 10)}; what follows is of the {n_rows - n_unknown:,} others"
        )
        known = y >= 0
        X, y, predicted = X[known], y[known], predicted[known]
    if not len(y):
        return
    logs = model.evaluate(X, y)
    say(f"loss {logs['loss']:.6g}")
    right = round(logs["accuracy"] * len(y))
    say(f"accuracy {logs['accuracy']:.4f}: {right:,} of {counted(len(y), 'row')} are right")
    if n_unknown:
        say(f"of all {n_rows:,} rows, on which it cannot be right: accuracy {right / n_rows:.4f}")
    if len(notes.classes) > _MOST_CLASSES:
        return
    counts = np.zeros((len(notes.classes),) * 2, np.int64)
    np.add.at(counts, (y, predicted.argmax(axis=1)), 1)
    say("")
    for line in confusion(notes.classes, counts):
        say(line)
    say("")


def confusion(classes: Sequence[str], counts: Array) -> list[str]:
    """A confusion matrix as lines of text.

    Parameters
    ----------
    classes : sequence of str
    counts : ndarray of shape (n_classes, n_classes), int64
        True classes in rows, predicted ones in columns.

    Returns
    -------
    list of str
    """
    classes = [_classes.printable(name) for name in classes]
    first = max(len("true"), *map(len, classes))
    widths = [max(len(name), len(str(column.max()))) for name, column in zip(classes, counts.T, strict=True)]
    named = [f"{name:>{width}}" for name, width in zip(classes, widths, strict=True)]
    lines = [f"{'':{first}}  predicted", "  ".join([f"{'true':{first}}", *named])]
    for name, row in zip(classes, counts.tolist(), strict=True):
        numbers = [f"{count:>{width}}" for count, width in zip(row, widths, strict=True)]
        lines.append("  ".join([f"{name:{first}}", *numbers]))
    return lines


# ---- arguments ----


def _share(text: str) -> float:
    value = number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 1, not {text}")
    return value


def _share_or_none(text: str) -> float:
    value = number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, not {text}")
    return value


def _positive(text: str) -> float:
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def _header(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"must be yes or no, not {text!r}")
    return text == "yes"


def _separator(text: str) -> str:
    mark = "\t" if text in ("tab", "\\t") else text
    if len(mark) != 1 or mark in '\r\n"':
        raise argparse.ArgumentTypeError(f"must be one character, or tab, not {text!r}")
    return mark


def add_commands(commands: Any) -> None:
    """Add the commands of this module to those of argparse."""
    text = "write a data set of the package as a CSV file"
    command = commands.add_parser("data", help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=data)
    command.add_argument("name", choices=tuple(DATA_SETS), help="which")
    command.add_argument("--out", metavar="FILE", help="default: breast_cancer.csv, or digits.csv")
    command.add_argument("--force", action="store_true", help="overwrite a file that is there")

    text = "divide a CSV file into one to train on and one to test with"
    command = commands.add_parser("split", help=text, description=text[0].upper() + text[1:] + ", by classes.")
    command.set_defaults(run=split)
    command.add_argument("file", metavar="FILE", help="CSV file")
    command.add_argument("--target", required=True, metavar="COLUMN", help="whose classes give a share each")
    command.add_argument("--test", type=_share, default=0.2, metavar="SHARE", help="of the test file; default: 0.2")
    command.add_argument("--seed", type=integer(0, 2**64), default=0, metavar="N", help="of the drawing; default: 0")
    command.add_argument("--task", choices=("classification", "regression"), help="default: what the target looks like")
    command.add_argument(
        "--out", nargs=2, metavar=("TRAIN", "TEST"), help="default: FILE-train.csv, FILE-test.csv in this folder"
    )
    _add_format(command)

    text = "train a model on a CSV file"
    command = commands.add_parser(
        "train",
        help=text,
        description=text[0].upper() + text[1:] + ", and save it, its history, and a picture of its learning curves.",
        epilog=f"Activations: {', '.join(_engine.activations)}. Losses of classes: "
        f"{', '.join(_train.LOSSES_OF_CLASSES)}; of numbers: {', '.join(_train.LOSSES_OF_NUMBERS)}. Optimizers: "
        f"{', '.join(_OPTIMIZERS)}.",
    )
    command.set_defaults(run=_train.run)
    _add_training(command)
    _add_format(command)

    text = "apply a model of fastmlp train to a CSV file"
    command = commands.add_parser(
        "predict", help=text, description=text[0].upper() + text[1:] + ", and compare with the target if it is there."
    )
    command.set_defaults(run=predict)
    command.add_argument("model", metavar="MODEL", help="safetensors file")
    command.add_argument("file", metavar="FILE", help="CSV file with the model's columns, in any order")
    command.add_argument("--keep", nargs="+", default=[], metavar="COLUMN", help="copy these to the predictions")
    command.add_argument("--no-target", action="store_true", help="predict only, even where the target is there")
    command.add_argument("--threads", type=integer(1, 1025), metavar="N", help="default: what the work deserves")
    command.add_argument("--out", metavar="PREDICTIONS", help="default: FILE-predictions.csv in this folder")
    _add_format(command)


def _ours(kind: str, known: Collection[str]) -> Callable[[str], str]:
    """What makes our names of those of other libraries, and refuses others with the same remedies, as Python does."""

    def parse(text: str) -> str:
        try:
            return resolved(kind, text, known)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def _add_training(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("file", metavar="FILE", help="CSV file: numbers in all columns but the target's")
    add("--target", required=True, metavar="COLUMN", help="what to predict: classes or a number")
    add(
        "--drop",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns to leave out, for example the numbers of patients",
    )
    add("--task", choices=("classification", "regression"), help="default: what the target looks like")
    validation = command.add_mutually_exclusive_group()
    validation.add_argument("--validation", metavar="FILE", help="CSV file of the rows to validate with")
    validation.add_argument(
        "--validation-split",
        type=_share_or_none,
        default=0.2,
        metavar="SHARE",
        help="of FILE to hold out instead; default: 0.2, 0 for none",
    )
    add(
        "--preprocessing",
        type=_ours("preprocessing", (*preprocessing.BY_NAME, "none")),
        choices=(*preprocessing.BY_NAME, "none"),
        default="standardize",
        help="of the columns, kept in the model; default: standardize",
    )
    add("--hidden", nargs="*", type=integer(1, 2**20), default=[24, 24], metavar="N", help="units; default: 24 24")
    activations = tuple(_engine.activations)
    add("--activation", type=_ours("activation", activations), choices=activations, default="relu", metavar="NAME",
        help="default: relu")  # fmt: skip
    add(
        "--loss",
        type=_ours("loss", (*_train.LOSSES_OF_CLASSES, *_train.LOSSES_OF_NUMBERS)),
        choices=(*_train.LOSSES_OF_CLASSES, *_train.LOSSES_OF_NUMBERS),
        metavar="NAME",
        help="default: softmax_cross_entropy, for a number mean_squared_error",
    )
    add("--optimizer", type=_ours("optimizer", _OPTIMIZERS), choices=_OPTIMIZERS, default="adam", metavar="NAME",
        help="default: adam")  # fmt: skip
    add("--learning-rate", type=_positive, metavar="RATE", help="default: the optimizer's")
    add("--epochs", type=integer(1, 10**6), default=100, metavar="N", help="default: 100")
    add("--batch-size", type=integer(1, 2**31), default=32, metavar="N", help="default: 32")
    add("--patience", type=integer(1, 10**6), metavar="N", help="stop after so many epochs without a lower validation "
        "loss, and keep the best weights; default: all epochs, and the last weights")  # fmt: skip
    add("--seed", type=integer(0, 2**64), default=0, metavar="N", help="of weights, order and split; default: 0")
    add("--threads", type=integer(1, 1025), metavar="N", help="default: what the work deserves")
    add("--silent", action="store_true", help="no lines of progress")
    add("--out", metavar="MODEL", help="default: model.safetensors; beside it MODEL-history.csv and MODEL-curves.png")


def _add_format(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--force", action="store_true", help="overwrite files that are there")
    add("--separator", type=_separator, default=",", metavar="CHARACTER", help="of cells, or tab; default: a comma")
    add(
        "--header",
        type=_header,
        metavar="{yes,no}",
        help="whether line 1 names the columns, which otherwise are called 1, 2, ...; default: yes, without numbers",
    )
