"""What a model's file says of the table that it was trained on."""

import dataclasses
import json

import fastmlp
from fastmlp import files, tables
from fastmlp._validation import counted
from fastmlp.programs._arguments import CommandError

# Name of the notes in the model's file.
_NOTES = "table"


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
