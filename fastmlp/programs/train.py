"""`fastmlp train`: from a table to a model, its history and its learning curves."""

import argparse
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import fastmlp
from fastmlp import _engine, _figures, _writing, files, optimizers, plotting, preprocessing, tables
from fastmlp._names import resolved
from fastmlp.core import core_of
from fastmlp.history import History, finished
from fastmlp.programs._arguments import CommandError, add_command, add_format, integer, number
from fastmlp.programs._examples import Data, read
from fastmlp.programs._files import outputs
from fastmlp.programs._streams import say
from fastmlp.programs._units import STANDARDISED, evaluate, loss_in_units, tell_units

# Those that suit a target; the first is the default.
LOSSES_OF_CLASSES = ("softmax_cross_entropy", "binary_cross_entropy", "focal", "binary_focal")
LOSSES_OF_NUMBERS = ("mean_squared_error", "half_squared_error", "mean_absolute_error", "huber", "log_cosh")

# LBFGS makes no epochs of batches.
_OPTIMIZERS = tuple(name for name in optimizers.BY_NAME if name != "lbfgs")


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
    names, paths = _outputs(options)
    data = read(options)
    stop = None
    if options.patience is not None:
        stop = fastmlp.EarlyStopping(patience=options.patience, restore_best_weights=True)
    model, history = _trained(options, data, stop)
    if not history.epoch:  # Ctrl-C in the first one
        finished(history)
    best = None if stop is None else stop.best_epoch
    say("")
    if best is not None:
        say(f"the weights kept are those of epoch {best + 1} of {len(history.epoch)}, of the least validation loss")
    if data.notes.classes is None:
        tell_units(loss_in_units(model), data.notes.target)
    _tell(model, data)
    files.save(core_of(model), paths[0], data.notes.written())  # first: it is what took the time
    _save_history(names, paths, history, data, best)
    finished(history)  # Ctrl-C has ended the training: the model is that of the last whole epoch, or the best
    return 0


def _outputs(options: argparse.Namespace) -> tuple[list[str], list[Path]]:
    """The files to write, as they are called and where they are: model, history, and the picture where it can be drawn.

    Raises
    ------
    CommandError, OSError
    """
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
    read_from = [options.file, *([options.validation] if options.validation else [])]
    return names, outputs(names, read_from, options.force)


def _trained(
    options: argparse.Namespace, data: Data, stop: fastmlp.EarlyStopping | None
) -> tuple[fastmlp.Model, History]:
    """The model that is asked for, trained.

    Raises
    ------
    CommandError
        Where it can not be made of these options and data.
    """
    try:
        model = make(options, data)
        if data.notes.classes is None:
            model.adapt(data.X, data.y)
            mean, scale = (float(model.target_statistics[name][0]) for name in ("mean", "scale"))
            say(
                f"losses of epochs are those of the {STANDARDISED}: minus {mean:.10g}, divided by {scale:.6g}, its "
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
    return model, history


def _tell(model: fastmlp.Model, data: Data) -> None:
    """Loss and accuracy of the model as it is saved."""
    for what, pair in (("training", (data.X, data.y)), ("validation", data.validation)):
        if pair is not None:
            logs = evaluate(model, *pair)
            say(", ".join(f"{what} {name} {value:.6g}" for name, value in logs.items()))


def _save_history(names: list[str], paths: list[Path], history: History, data: Data, best: int | None) -> None:
    """Write what is beside the model, and say which files there are; an `OSError` comes after that."""
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


def _write_history(path: Path, history: History, data: Data) -> None:
    """Write a new file; epochs count from 1."""
    of = "" if data.notes.classes is not None else f" of the {STANDARDISED}"
    with tables.writing_new(path) as writer:
        writer.writerow(["epoch", *(name + of * name.endswith("loss") for name in history.history)])
        for i, epoch in enumerate(history.epoch):
            writer.writerow([epoch + 1, *(values[i] for values in history.history.values())])


def _curves(ax: Any, history: History, data: Data, best: int | None) -> None:
    """Losses and accuracies in one picture, and the epoch whose weights were kept."""
    plotting.history(history, ax)
    if data.notes.classes is None:
        ax.set_ylabel(f"loss of the {STANDARDISED}")
    if best is not None:
        ax.axvline(best + 1, color="0.6", linewidth=0.8, zorder=0)
        ax.set_xlabel("epoch (grey line: the one whose weights are kept)")


# ---- arguments ----


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


def _ours(kind: str, known: Collection[str]) -> Callable[[str], str]:
    """What makes our names of those of other libraries, and refuses others with the same remedies, as Python does."""

    def parse(text: str) -> str:
        try:
            return resolved(kind, text, known)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def add_training(command: argparse.ArgumentParser) -> None:
    """Add what a model and its training take."""
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
        type=_ours("loss", (*LOSSES_OF_CLASSES, *LOSSES_OF_NUMBERS)),
        choices=(*LOSSES_OF_CLASSES, *LOSSES_OF_NUMBERS),
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


def add(commands: Any) -> None:
    """Add the command to those of argparse."""
    command = add_command(
        commands,
        "train",
        run,
        "train a model on a CSV file",
        ", and save it, its history, and a picture of its learning curves.",
        f"Activations: {', '.join(_engine.activations)}. Losses of classes: {', '.join(LOSSES_OF_CLASSES)}; of "
        f"numbers: {', '.join(LOSSES_OF_NUMBERS)}. Optimizers: {', '.join(_OPTIMIZERS)}.",
    )
    add_training(command)
    add_format(command)
