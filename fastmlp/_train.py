"""`fastmlp train`: from a table to a model, its history and its learning curves."""

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastmlp
from fastmlp import _classes, _figures, _writing, files, losses, optimizers, plotting, tables
from fastmlp._arguments import CommandError, say
from fastmlp._split import split
from fastmlp._validation import Array, counted
from fastmlp.core import core_of
from fastmlp.history import History, finished

# Those that suit a target; the first is the default.
LOSSES_OF_CLASSES = ("softmax_cross_entropy", "binary_cross_entropy", "focal", "binary_focal")
LOSSES_OF_NUMBERS = ("mean_squared_error", "half_squared_error", "mean_absolute_error", "huber", "log_cosh")

# A model that reads its columns as they are is one of float64 where the standard deviation of one is a smaller part of
# its mean: of its differences float32 keeps three digits at the most. Preprocessing takes the mean off in float64.
_LEAST_SPREAD = 1e-4
# Columns are looked at so many numbers at a time.
_AT_A_TIME = 1 << 20

# A class with fewer rows to learn from is told of.
_FEW_ROWS = 5

# What the losses of a regression's epochs are of.
_STANDARDISED = "standardised target"

# Name of the notes in the model's file.
_NOTES = "table"


# ---- the table that a model was trained on ----


@dataclasses.dataclass(frozen=True)
class Notes:
    """What a model's file says of the table that it was trained on.

    Attributes
    ----------
    target : str
    columns : tuple of str
        In the order of the model's inputs.
    classes : tuple of str or None
        In the order of the model's outputs, or of the two values of a single output; None for a regression.
    width : int or None
        How many columns the table had where they are called by their positions; None where they have names.
    """

    target: str
    columns: tuple[str, ...]
    classes: tuple[str, ...] | None
    width: int | None = None

    def written(self) -> dict[str, str]:
        """As `files.save` takes them."""
        return {_NOTES: json.dumps(dataclasses.asdict(self))}


def load(path: str) -> tuple[fastmlp.Model, Notes]:
    """A model and its notes.

    Raises
    ------
    CommandError
        Where the file is no model, or none that `train` wrote.
    """
    try:
        model = fastmlp.load(path)
        text = files.notes(path).get(_NOTES)
    except ValueError as error:
        raise CommandError(str(error)) from None
    if text is None:
        raise CommandError(
            f"{path} does not name the columns of its inputs: `fastmlp train` did not write it; read it by fastmlp.load"
        )
    try:
        notes = Notes(**json.loads(text))
        classes = None if notes.classes is None else tuple(map(str, notes.classes))
        notes = Notes(str(notes.target), tuple(map(str, notes.columns)), classes, notes.width)
        if notes.width is not None and (type(notes.width) is not int or notes.width <= len(notes.columns)):
            raise ValueError(f"a table of {notes.width!r} columns")
        outputs = 1 if classes is None or (len(classes) == 2 and model.loss.link == "sigmoid") else len(classes)
        if (len(notes.columns), outputs) != (model.n_inputs, model.n_outputs):
            raise ValueError("as many columns and classes as the model has not")
    except (ValueError, TypeError) as error:
        raise CommandError(f"{path}: what it says of its table is damaged: {error}") from None
    return model, notes


# ---- data ----


def held_out(strata: Array, share: float, seed: int, option: str) -> Array:
    """Which rows to hold out, as booleans: of each stratum its share.

    Raises
    ------
    CommandError
        Where all rows would be on one side.
    """
    many = int(share * len(strata) + 0.5)
    if not 0 < many < len(strata):
        raise CommandError(
            f"{option} {share:g} of {counted(len(strata), 'row')} holds out {many}; choose it so that rows "
            f"remain on both sides{', or 0 for no validation' * (option == '--validation-split')}"
        )
    found = np.zeros(len(strata), bool)
    found[split(strata, share, seed)[1]] = True
    return found


def rare(classes: Sequence[str], learned: Array, validated: Array | None) -> list[str]:
    """What to say of classes with so few rows that little can be learned, or found out, of them.

    Parameters
    ----------
    classes : sequence of str
    learned : ndarray of int64
        Positions of the classes of the rows to learn from.
    validated : ndarray of int64 or None
        Of those for validation, where there are any.
    """

    def listed(names: list[str]) -> str:
        return ", ".join(names[:10]) + ", ..." * (len(names) > 10)

    found = []
    n_learned = np.bincount(learned, minlength=len(classes))
    few = [f"{name!r} ({n})" for name, n in zip(classes, n_learned.tolist(), strict=True) if n < _FEW_ROWS]
    if few:
        found.append(
            f"warning: fewer than {_FEW_ROWS} rows to learn from of {listed(few)}; the model may not know them"
        )
    if validated is not None:
        n_validated = np.bincount(validated, minlength=len(classes))
        none = [repr(name) for name, n in zip(classes, n_validated.tolist(), strict=True) if n == 0]
        if none:
            found.append(f"warning: no row for validation of {listed(none)}; nothing is found out about them")
    return found


@dataclasses.dataclass(frozen=True)
class Data:
    """Inputs and targets: labels, or numbers."""

    notes: Notes
    X: Array
    y: Array
    validation: tuple[Array, Array] | None
    dtype: str = "float32"


def read(options: argparse.Namespace) -> Data:
    """Read the tables, and say what they are.

    Raises
    ------
    CommandError, OSError
    """
    table = tables.read(options.file, options.separator, options.header)
    target = table.columns[table.position(options.target, options.drop)]
    dropped = {table.position(name, [target, *options.drop]) for name in options.drop}
    columns = tuple(name for place, name in enumerate(table.columns) if name != target and place not in dropped)
    if table.position(target) in dropped or not columns:
        if not options.drop:
            raise CommandError(
                f"{table.name} has no column but the target {target!r}; give a file with more to learn from"
            )
        raise CommandError("--drop leaves no target, or no column to learn from; drop less")
    nameless = set(table.unnamed)
    unnamed = [name for name in columns if name in nameless]
    if table.has_header and unnamed:
        raise CommandError(
            f"{table.name}, line 1: column {unnamed[0]} has no name; give it one, or, if it only counts the rows, "
            f"leave it out by --drop {unnamed[0]}"
        )
    cells, why = _classes.task_of(options.task, table, target)
    classes = None if cells is None else _classes.classes_of(table, target, cells)
    notes = Notes(target, columns, classes, None if table.has_header else len(table.columns))
    say(f"{table.name}: {counted(table.n_rows, 'row')}, {counted(len(columns), 'column')} and the target {target!r}")
    X, y = arrays(table, notes, "leave the column out by --drop {column}", cells)
    name = table.name
    del table, cells  # the text of a file is as large as its numbers
    if classes is None:
        say(f"regression, because of {why}" if options.task else f"regression, because {why}")
    else:
        say(f"classification, because {'of ' * bool(options.task)}{why}: {_classes.counts(classes, y)}")
        for names in _classes.one_number(classes):
            say(
                f"classes that are one number, kept apart: {tables.listed(names)}; spell them alike if they are one "
                "class"
            )

    validation = None
    if options.validation is not None:
        other = tables.read(options.validation, options.separator, options.header)
        validation = arrays(at_positions(other, notes), notes, "leave the line out")
        del other
    elif options.validation_split > 0:
        strata = np.zeros(len(y), np.int64) if classes is None else y
        held = held_out(strata, options.validation_split, options.seed, "--validation-split")
        X, y, validation = X[~held], y[~held], (X[held], y[held])
    held_rows = "none" if validation is None else f"{len(validation[1]):,}"
    say(f"{counted(len(y), 'row')} to learn from, {held_rows} for validation")
    if classes is not None:
        for line in rare(classes, y, None if validation is None else validation[1]):
            say(line)
    narrow = []
    if options.preprocessing == "none":
        narrow = [column for column, is_narrow in zip(columns, _are_narrow(X), strict=True) if is_narrow]
    if narrow:
        say(
            "the model is one of float64: without --preprocessing float32 would lose much of what the values differ in "
            f"in {tables.listed(narrow)}"
        )
    if classes is None and float(y.std()) <= 1e-12 * abs(float(y.mean())):
        raise CommandError(f"{name}: the target {target!r} is {y[0]:g} in every row; give another --target")
    return Data(notes, X, y, validation, "float64" if narrow else "float32")


def _are_narrow(X: Array) -> list[bool]:
    """Of each column, whether float32 would lose what its numbers differ in."""
    found: list[bool] = []
    step = max(1, _AT_A_TIME // len(X))
    for first in range(0, X.shape[1], step):
        part = X[:, first : first + step].astype(np.float64, copy=False)
        differ = part.min(axis=0) < part.max(axis=0)
        found += (differ & (part.std(axis=0) < _LEAST_SPREAD * np.abs(part.mean(axis=0)))).tolist()
    return found


def at_positions(table: tables.Table, notes: Notes) -> tables.Table:
    """A table as the model's columns are looked for in it.

    Where both have no names, it must have as many columns as the table that the model was trained on. A table without
    names that has as many as the model needs is taken for these alone, in their order.

    Raises
    ------
    CommandError
        Where the positions of a table would be others than those of the model's.
    """
    if table.has_header:
        nameless = set(table.unnamed).intersection(notes.columns) if notes.width is not None else None
        if nameless:
            raise CommandError(f"{table.name}, line 1: column {min(nameless)} has no name; give it one")
        return table
    width = len(table.columns)
    if width == len(notes.columns) and width != notes.width:
        return dataclasses.replace(table, columns=notes.columns)
    if width != notes.width:
        trained = "" if notes.width is None else f", and the one that the model was trained on has {notes.width}"
        raise CommandError(
            f"{table.name} has no names and {counted(width, 'column')}{trained}: which are the model's is not "
            "known; give it a first line with the names of its columns, the model's being "
            f"{tables.listed(notes.columns)}, or these {len(notes.columns)} alone in this order"
        )
    return table


def arrays(table: tables.Table, notes: Notes, remedy: str, cells: tables.Cells | None = None) -> tuple[Array, Array]:
    """Inputs and targets of a table; the target's cells where they have been read.

    Returns
    -------
    X : ndarray of shape (n_rows, n_columns), float32 or float64
        float32 where that holds each number as it is.
    y : ndarray of shape (n_rows,), int64 for a classification, float64 for a regression
    """
    missing = [name for name in (*notes.columns, notes.target) if name not in table.places]
    if missing:
        table.lacks(missing, (*notes.columns, notes.target))
    X = table.numbers(notes.columns, remedy)
    if notes.classes is None:
        return X, table.numbers([notes.target], "leave the line out")[:, 0].astype(np.float64)
    remedy = "leave the line out"
    cells = table.cells(notes.target, remedy) if cells is None else cells
    return X, _classes.known_labels(table, notes.target, cells, notes.classes, remedy)


# ---- the model ----


def make(options: argparse.Namespace, data: Data) -> fastmlp.Model:
    """The model that is asked for, with its first weights.

    Raises
    ------
    CommandError
        Where the loss does not suit the target.
    """
    classes = data.notes.classes
    fitting = LOSSES_OF_NUMBERS if classes is None else LOSSES_OF_CLASSES
    loss = options.loss or fitting[0]
    if loss not in fitting:
        raise CommandError(
            f"--loss {loss} does not suit a {'regression' if classes is None else 'classification'}; choose "
            f"{', '.join(fitting)}, or another --task"
        )
    n_outputs = 1 if classes is None or loss.startswith("binary") else len(classes)
    if classes is not None and n_outputs == 1 and len(classes) != 2:
        raise CommandError(f"--loss {loss} is for two classes, not {len(classes)}; choose {fitting[0]}")
    kind = optimizers.BY_NAME[options.optimizer]
    return fastmlp.Model(
        [*(fastmlp.Dense(units, options.activation) for units in options.hidden), fastmlp.Dense(n_outputs)],
        loss=loss,
        optimizer=kind(**({} if options.learning_rate is None else {"learning_rate": options.learning_rate})),
        seed=options.seed,
        n_inputs=data.X.shape[1],
        n_threads=options.threads,
        dtype=data.dtype,
        preprocessing=None if options.preprocessing == "none" else options.preprocessing,
        targets="standardize" if classes is None else None,
    )


def loss_in_units(model: fastmlp.Model) -> losses.Loss:
    """A model's loss, of predictions in the target's own units: Huber's has its corner where it was in deviations."""
    if model.targets is None or not isinstance(model.loss, losses.Huber):
        return model.loss
    return losses.Huber(model.loss.delta * float(model.target_statistics["scale"][0]))


def evaluate(model: fastmlp.Model, X: Array, y: Array) -> dict[str, float]:
    """`Model.evaluate`, but for the loss of a regression, which is one of predictions in the target's own units."""
    if model.targets is None:
        return model.evaluate(X, y)
    # A model of one weight, 1, that gives back what it gets: its loss is that of the predictions.
    same = fastmlp.Model([fastmlp.Dense(1)], loss_in_units(model), n_inputs=1, dtype="float64")
    same.weights = [(np.ones((1, 1)), np.zeros(1))]
    return same.evaluate(model.predict(X), y)


# ---- the command ----


def run(options: argparse.Namespace) -> int:
    """Train a model on a file; save it, its history, and the learning curves as a picture.

    Parameters
    ----------
    options : argparse.Namespace
        file, target, drop, task, validation, validation_split, preprocessing, hidden, activation, loss, optimizer,
        learning_rate, epochs, batch_size, patience, seed, threads, silent, out, force, separator, header.

    Returns
    -------
    int
        Exit code.
    """
    if options.patience is not None and options.validation is None and options.validation_split == 0:
        raise CommandError("--patience watches the validation loss; give --validation FILE or --validation-split 0.2")
    out = options.out or "model.safetensors"
    stem = out.removesuffix(".safetensors")
    names = [out, f"{stem}-history.csv", f"{stem}-curves.png"]
    try:
        _figures.pyplot()
    except ImportError as error:
        say(f"no picture of the learning curves: {error}")
        del names[2:]
    try:
        files.check_name(out)
    except ValueError as error:
        raise CommandError(f"--out: {error}") from None
    inputs = [name for name in (options.file, options.validation) if name is not None and os.path.exists(name)]
    if len(inputs) == 2 and os.path.samefile(*inputs):
        raise CommandError(
            f"--validation {options.validation} is the file to learn from, of which nothing would be found out; give "
            "another, or --validation-split for a share of it"
        )
    paths = tables.targets(names, [options.file, *([options.validation] if options.validation else [])], options.force)
    data = read(options)
    stop = None
    if options.patience is not None:
        stop = fastmlp.EarlyStopping(patience=options.patience, restore_best_weights=True)
    try:
        model = make(options, data)
        if data.notes.classes is None:
            model.adapt(data.X, data.y)
            mean, scale = (float(model.target_statistics[name][0]) for name in ("mean", "scale"))
            say(
                f"losses of epochs are those of the {_STANDARDISED}: minus {mean:.10g}, divided by {scale:.6g}, its "
                "mean and standard deviation"
            )
        say("")
        history = model.fit(
            data.X,
            data.y,
            batch_size=options.batch_size,
            epochs=options.epochs,
            validation_data=data.validation,
            callbacks=[] if stop is None else [stop],
            verbose=0 if options.silent else 1,
        )
    except ValueError as error:
        raise CommandError(str(error)) from None
    if not history.epoch:  # Ctrl-C in the first one
        finished(history)
    best = None if stop is None else stop.best_epoch
    say("")
    if best is not None:
        say(f"the weights kept are those of epoch {best + 1} of {len(history.epoch)}, of the least validation loss")
    if data.notes.classes is None:
        _tell_units(loss_in_units(model), data.notes.target)
    _tell(model, data)
    files.save(core_of(model), paths[0], data.notes.written())  # first: it is what took the time
    saved, failed = [names[0]], None
    for name, path in zip(names[1:], paths[1:], strict=True):
        try:
            with _writing.replacing(path) as temporary:
                if name == names[1]:
                    _write_history(temporary, history, data)
                else:
                    _figures.save_new(lambda ax: _curves(ax, history, data, best), temporary)
            saved.append(name)
        except OSError as error:
            failed = failed or error
            there = ", and the one that is there is of another training" if path.exists() else ""
            say(f"warning: {name} is not written{there}: {error.strerror or error}")
    say(f"saved {', '.join(saved)}")
    if failed is not None:
        raise failed
    finished(history)  # Ctrl-C has ended the training: the model is that of the last whole epoch, or the best
    return 0


def _tell(model: fastmlp.Model, data: Data) -> None:
    """Loss and accuracy of the model as it is saved."""
    for what, pair in (("training", (data.X, data.y)), ("validation", data.validation)):
        if pair is not None:
            logs = evaluate(model, *pair)
            say(", ".join(f"{what} {name} {value:.6g}" for name, value in logs.items()))


def _tell_units(loss: losses.Loss, target: str) -> None:
    """Which losses the lines that follow tell, those of predictions in the target's own units."""
    what = ""
    if isinstance(loss, losses.Huber):
        what = f", huber with delta {loss.delta:.6g}, the standard deviation"
    if isinstance(loss, losses.LogCosh):
        what = f", log_cosh, which is another function there than of the {_STANDARDISED}"
    say(f"in units of {target!r}{what}:")


def _write_history(path: Path, history: History, data: Data) -> None:
    """Write a new file; epochs count from 1."""
    of = "" if data.notes.classes is not None else f" of the {_STANDARDISED}"
    with tables.writing_new(path) as writer:
        writer.writerow(["epoch", *(name + of * name.endswith("loss") for name in history.history)])
        for i, epoch in enumerate(history.epoch):
            writer.writerow([epoch + 1, *(values[i] for values in history.history.values())])


def _curves(ax: Any, history: History, data: Data, best: int | None) -> None:
    """Losses and accuracies in one picture, and the epoch whose weights were kept."""
    plotting.history(history, ax)
    if data.notes.classes is None:
        ax.set_ylabel(f"loss of the {_STANDARDISED}")
    if best is not None:
        ax.axvline(best + 1, color="0.6", linewidth=0.8, zorder=0)
        ax.set_xlabel("epoch (grey line: the one whose weights are kept)")
