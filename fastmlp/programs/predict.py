"""`fastmlp predict` applies a model of `fastmlp train` to a file, and compares with the target if it is there."""

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp
from fastmlp import metrics, tables
from fastmlp._validation import Array, counted
from fastmlp.programs._arguments import CommandError, add_command, add_format, integer
from fastmlp.programs._classes import printable, tell_respelled
from fastmlp.programs._files import outputs, table_of
from fastmlp.programs._notes import Notes, at_positions, load
from fastmlp.programs._streams import say
from fastmlp.programs._units import evaluate
from fastmlp.tables.classes import labels

# Largest confusion matrix that is printed.
_MOST_CLASSES = 20


def run(options: argparse.Namespace) -> int:
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
    model, notes = load(options.model)
    out = options.out or f"{Path(options.file).stem}-predictions.csv"
    (path,) = outputs([out], [options.model, options.file], options.force)
    model.n_threads = options.threads
    read = table_of(options.file, options)
    kept = [read.position(name) for name in options.keep]
    twice = [name for i, name in enumerate(options.keep) if kept[i] in kept[:i]]
    if twice:
        raise CommandError(f"--keep names the column {twice[0]!r} twice; name it once")
    table = at_positions(read, notes)
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
        tell_respelled(options.file, truth.respelled)
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


def _truth(table: tables.Table, notes: Notes) -> Truth:
    remedy = "give --no-target to predict without comparing"
    if notes.classes is None:
        return Truth(table.numbers([notes.target], remedy)[:, 0].astype(np.float64))
    return Truth(*labels(table.cells(notes.target, remedy), notes.classes))


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


def _compare(model: fastmlp.Model, notes: Notes, X: Array, truth: Truth, predicted: Array) -> None:
    """Print loss and metrics, of rows of classes that the model has learned."""
    y = truth.y
    if notes.classes is None:
        say(f"loss {evaluate(model, X, y)['loss']:.6g}")
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
    classes = [printable(name) for name in classes]
    first = max(len("true"), *map(len, classes))
    widths = [max(len(name), len(str(column.max()))) for name, column in zip(classes, counts.T, strict=True)]
    named = [f"{name:>{width}}" for name, width in zip(classes, widths, strict=True)]
    lines = [f"{'':{first}}  predicted", "  ".join([f"{'true':{first}}", *named])]
    for name, row in zip(classes, counts.tolist(), strict=True):
        numbers = [f"{count:>{width}}" for count, width in zip(row, widths, strict=True)]
        lines.append("  ".join([f"{name:{first}}", *numbers]))
    return lines


def add(commands: Any) -> None:
    """Add the command to those of argparse."""
    text = "apply a model of fastmlp train to a CSV file"
    command = add_command(commands, "predict", run, text, ", and compare with the target if it is there.")
    command.add_argument("model", metavar="MODEL", help="safetensors file")
    command.add_argument("file", metavar="FILE", help="CSV file with the model's columns, in any order")
    command.add_argument("--keep", nargs="+", default=[], metavar="COLUMN", help="copy these to the predictions")
    command.add_argument("--no-target", action="store_true", help="predict only, even where the target is there")
    command.add_argument("--threads", type=integer(1, 1025), metavar="N", help="default: what the work deserves")
    command.add_argument("--out", metavar="PREDICTIONS", help="default: FILE-predictions.csv in this folder")
    add_format(command)
