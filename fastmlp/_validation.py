"""Checks of what users pass in. Every error names the value and the remedy; nothing has changed when one is raised."""

import errno
import inspect
import math
import numbers
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from fastmlp import _engine
from fastmlp._engine import LARGEST
from fastmlp._quiet import quiet
from fastmlp._repr import Shown

Array = npt.NDArray[Any]
# The arrays of each layer that has any: weights, gradients or states.
LayerArrays = list[tuple[Array, ...]]

# Rows checked at a time: the temporary stays small beside a data set that may be a memory map.
_CHECK_BYTES = 1 << 22


class OtherNames(Shown):
    """Base of classes with arguments that other libraries call otherwise: an error says what they are called here.

    `_other_names` of a class, beside those of its bases, holds names, or other remedies, of several words.
    """

    _other_names: ClassVar[dict[str, str]] = {}

    def __new__(cls, *arguments: Any, **options: Any) -> "OtherNames":
        """Look at the names of the arguments, and at the number of those without a name."""
        if cls.__init__ is object.__init__ and (arguments or options):  # which does not say so after this method
            raise TypeError(f"{cls.__name__} takes no arguments")
        code = getattr(cls.__init__, "__code__", None)
        if code is None or code.co_flags & inspect.CO_VARKEYWORDS:  # what it takes is not known here
            return super().__new__(cls)
        taken, known = code.co_varnames[1 : code.co_argcount], code.co_varnames
        for name in options.keys() - known:
            for base in cls.__mro__:
                remedy = vars(base).get("_other_names", {}).get(name)
                if remedy is not None:
                    raise TypeError(f"{cls.__name__} has no {name}: {elsewhere(remedy)}")
        if len(arguments) > len(taken) and not code.co_flags & inspect.CO_VARARGS:
            given = ", ".join(map(reprlib.repr, arguments))
            named = (
                "without names nothing" if not taken else f"{'' if len(taken) == 1 else 'at most '}{', '.join(taken)}"
            )
            raise TypeError(f"{cls.__name__} takes {named}, not {given}")
        return super().__new__(cls)


def elsewhere(remedy: str) -> str:
    """What to say of a name of another library: a single word is what it is called here."""
    return remedy if " " in remedy else f"it is called {remedy} here"


def finite_number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> float:
    """A finite real number within bounds, as a float."""
    value = scalar(name, value)
    is_decimal = isinstance(value, numbers.Number) and not isinstance(value, numbers.Complex)
    if isinstance(value, bool) or not (isinstance(value, numbers.Real) or is_decimal):
        raise TypeError(f"{name} must be a number, not {value!r} of type {type(value).__name__}")
    try:
        number = float(value)
    except (OverflowError, ValueError):  # an integer or a fraction beyond all floats; a Decimal that signals NaN
        number = math.inf
    bounds = [
        f"{word} {bound}"
        for word, bound in (("at least", at_least), ("above", above), ("below", below), ("at most", at_most))
        if bound is not None
    ]
    inside = (
        math.isfinite(number)
        and (at_least is None or number >= at_least)
        and (above is None or number > above)
        and (below is None or number < below)
        and (at_most is None or number <= at_most)
    )
    if not inside:
        raise ValueError(f"{name} must be {' '.join(['a finite number', ' and '.join(bounds)]).strip()}, not {value!r}")
    return number


def counted(n: int, what: str) -> str:
    """A number of things: "1 output", "2,000 rows", "2 classes"."""
    ending = "" if n == 1 else "es" if what.endswith("s") else "s"
    return f"{n:,} {what}{ending}"


def flag(name: str, value: Any) -> bool:
    """True or False."""
    value = scalar(name, value)
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def file_path(name: str, value: Any) -> str:
    """The path of a file as a string."""
    value = scalar(name, value)
    if not isinstance(value, str | bytes | os.PathLike):
        raise TypeError(f"{name} must be a string or path-like, such as 'model.safetensors', not {value!r}")
    return str(os.fsdecode(value))


def shown(value: Any) -> str:
    """A value in an error, that of a class with the remedy."""
    if isinstance(value, type):
        return f"the class {value.__name__}; call it: {value.__name__}(...)"
    return repr(value)


def keep(options: Any, **checked: Any) -> None:
    """Set fields of a frozen dataclass to what their checks returned: Python's own types, as a file wants them."""
    for name, value in checked.items():
        object.__setattr__(options, name, value)


def scalar(name: str, value: Any) -> Any:
    """What an array of no dimensions holds, or the value itself."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        refuse_masked(name, value)
        return value[()]
    return value


def bounded_integer(name: str, value: Any, *, at_least: int = 1, below: int = 2**62) -> int:
    """An integer within bounds."""
    value = scalar(name, value)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, not {value!r} of type {type(value).__name__}")
    number = int(value)
    if not at_least <= number < below:
        bound = f"at least {at_least}" if number < at_least else f"below {below}"
        raise ValueError(f"{name} must be {bound}, not {value}")
    return number


def choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """One of some strings."""
    value = scalar(name, value)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")
    return str(value)


def verbosity(verbose: Any) -> int:
    """0, 1 or 2, of what Keras takes."""
    verbose = scalar("verbose", verbose)
    verbose = 1 if isinstance(verbose, str) and verbose == "auto" else verbose
    if not isinstance(verbose, numbers.Integral) or verbose not in (0, 1, 2):
        raise ValueError(f"verbose must be 0, 1, 2 or 'auto', not {verbose!r}")
    return int(verbose)


def arity(function: Callable[..., Any], names: Sequence[str], what: str) -> int:
    """With how many of the arguments of these names a function can be called: with all, or with as many as it takes; a
    TypeError where it wants more, or has the name of one at another's place."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # not written in Python
        return len(names)
    whose = getattr(function, "__qualname__", function)
    taken = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    is_open = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if not is_open and sum(p.default is p.empty for p in taken) > len(names):
        raise TypeError(f"{whose} wants {len(taken)} arguments, but {what} gets {len(names)}")
    for name, own in zip(names, [p.name for p in taken], strict=False):
        if own != name and own in names:
            raise TypeError(
                f"{whose} takes ({', '.join(p.name for p in taken)}), and would get {name} as {own}; "
                f"give it ({', '.join(names)})"
            )
    return len(names) if is_open else min(len(names), len(taken))


def positional_names(function: Callable[..., Any]) -> list[str]:
    """Names of the parameters that a function can be given by position; none of one that is not written in Python."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def is_by_number(value: Any) -> bool:
    """Whether something has a length and items by number, and nothing else of an array or an iterable."""
    others = ("__iter__", "__array__", "__array_interface__", "__array_struct__")
    has_items = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    return has_items and not any(hasattr(value, name) for name in others)


def still_whole(name: str, array: Array) -> None:
    """Raise where the file behind an array is shorter than what is mapped of it: reading there ends the process."""
    import mmap

    start, path = 0, None
    base: Any = array
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.offset is not None:
            start, path = base.offset - base.offset % mmap.ALLOCATIONGRANULARITY, base.filename
        base = base.base
    base = base.obj if isinstance(base, memoryview) else base
    if not isinstance(base, mmap.mmap):
        return
    try:
        needed, size = start + len(base), base.size()
    except (OSError, ValueError):  # no file, or one whose size it does not know
        return
    if size < needed:
        raise OSError(
            errno.EIO,
            f"{name} is a map of a file that was cut: it has {size} bytes, and {needed} are mapped; write a new file "
            "beside it and rename that, instead of writing into one that is being read",
            *([] if path is None else [str(path)]),
        )


def refuse_masked(name: str, value: Any) -> None:
    """Raise where values of an array, or of arrays in lists, are masked: NumPy would hand on what lies below a mask."""
    masked = _n_masked(value, 0)
    if masked:
        raise ValueError(f"{name} masks {counted(masked, 'value')}; fill or drop them first")


def _n_masked(value: Any, depth: int) -> int:
    if isinstance(value, np.ma.MaskedArray):
        return int(np.ma.flatten_mask(np.ma.getmaskarray(value)).sum())
    if isinstance(value, np.ndarray):
        return _n_masked(value.reshape(-1).tolist(), depth) if value.dtype == object else 0
    if not isinstance(value, list | tuple) or depth > 32:  # as deep as an array can be
        return 0
    deeper = any(issubclass(kind, list | tuple | np.ndarray) for kind in set(map(type, value)))
    return sum(_n_masked(item, depth + 1) for item in value) if deeper else 0


def plain_array(name: str, value: Any) -> Array:
    """Any array-like as an ndarray, of which nothing is masked; no copy where it is one already."""
    refuse_masked(name, value)
    whole = value.item() if isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 0 else value
    if hasattr(whole, "toarray") and not hasattr(whole, "__array__"):  # NumPy makes one object of it
        raise TypeError(f"{name} is a sparse {type(whole).__name__}; make it dense by .toarray()")
    try:
        array = np.asanyarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is no array: {error}; give rows of equal length") from None
    if isinstance(array, np.ma.MaskedArray):  # what an object of another library says it is
        refuse_masked(name, array)
    return np.asarray(array)


def numeric_array(name: str, value: Any) -> Array:
    """Any array-like of real numbers as an ndarray; no copy where it is one already."""
    if value is None:
        raise TypeError(f"{name} is None; give an array")
    if is_by_number(value):  # NumPy would read such an object until it raises IndexError
        raise TypeError(f"{name} must be an array, not an object of type {type(value).__name__} with items by number")
    array = plain_array(name, value)
    for mapped in _engine.mapped(array):
        still_whole(name, mapped)
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must hold real numbers, not {array.dtype} ({_example(array)}); convert it, numbers by "
            ".astype(float), class names by np.unique(..., return_inverse=True)[1]"
        )
    return array


def _example(array: Array) -> str:
    flat = array.reshape(-1)  # not .flat, which takes 32 dimensions at most
    strange = (e for e in flat if isinstance(e, bool) or not isinstance(e, numbers.Real))
    return f"for example {reprlib.repr(next(strange, flat[0]))}" if array.size else "empty"


@quiet
def all_finite(name: str, array: Array, dtype: str, remedy: str = "drop or fill missing values first") -> None:
    """Raise where an array of floats holds NaN, infinity, or a number too large for dtype, and say where."""
    if array.dtype.kind != "f" or array.size == 0:
        return
    narrows = array.dtype.itemsize > np.dtype(dtype).itemsize
    limit = LARGEST[dtype]
    rows = max(1, _CHECK_BYTES // max(1, array[0].nbytes))
    for first in range(0, len(array), rows):
        part = array[first : first + rows]
        if narrows and -limit <= part.min() and part.max() <= limit:  # not so with a NaN
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            if not narrows and math.isfinite(part.sum()):  # NaN and infinity survive a sum, but it may overflow
                continue
        wrong = np.argwhere(~(np.abs(part) <= limit) if narrows else ~np.isfinite(part))
        if len(wrong):
            value, where = part[tuple(wrong[0])], (first + int(wrong[0][0]), *map(int, wrong[0][1:]))
            if np.isfinite(value):
                remedy = f"too large for {dtype}: scale it, or make the model with dtype='float64'"
            raise ValueError(f"{name} holds {value} at index {where if len(where) > 1 else where[0]}; {remedy}")


@quiet
def engine_dtype(array: Array, dtype: str) -> Array:
    """The array itself where the engine reads its dtype (float32, float64, uint8), otherwise a converted copy: one of
    float64 where float32 would lose digits, which a preprocessing may need."""
    if array.dtype == bool:
        return array.view(np.uint8)
    if array.dtype.name in ("float32", "float64", "uint8") and array.dtype.isnative:
        return array
    if array.dtype.kind == "f":
        loses = array.dtype.itemsize > 4
    else:
        loses = array.dtype.itemsize > 2 and array.size > 0 and not -(2**24) <= array.min() <= array.max() <= 2**24
    return array.astype("float64" if loses else dtype)


def own(array: Array, source: Any) -> Array:
    """An array made from what a user gave, or a copy where it may be, or see, the user's own: who goes on to write into
    that does not change it."""
    converted = isinstance(source, np.ndarray | list | tuple) and array is not source and array.flags.owndata
    return array if converted else array.copy()


@quiet
def sample_weights(name: str, value: Any, n_samples: int, dtype: str) -> Array:
    """One weight for each sample as a matrix (n_samples, 1) that the engine reads."""
    array = numeric_array(name, value)
    if array.shape not in ((n_samples,), (n_samples, 1)):
        raise ValueError(
            f"{name} has shape {array.shape}, but X holds {counted(n_samples, 'sample')}: give one weight for each"
        )
    array = array.reshape(-1, 1)
    if _engine.is_plain_matrix(array, 1, 0.0, LARGEST[dtype]):
        return array
    all_finite(name, array[:, 0], dtype)
    if array.min() < 0:
        raise ValueError(f"{name} holds {array.min()} at index {array.argmin()}; a weight is at least 0")
    return engine_dtype(array, dtype)


@quiet
def check_some_weight(name: str, weights: Array, dtype: str) -> None:
    """Raise where all weights are zero in the dtype, in which the engine flushes what is subnormal: nothing would be
    learned or measured, and nobody would see it."""
    most = weights.max()
    if most == 0:
        raise ValueError(f"{name} holds zeros alone; give at least one sample a weight above 0, or leave it out")
    if most.astype(dtype) < np.finfo(dtype).tiny:
        raise ValueError(
            f"{name} holds at most {most}, which is 0 in {dtype}; give at least one sample more, or leave it out"
        )


@quiet
def class_weights(value: Any, classes: Array, n_classes: int) -> Array:
    """The weight of each sample by its class; 1 where no weight is given."""
    if not isinstance(value, Mapping):
        balanced = f"dict(enumerate(len(y) / ({n_classes} * np.bincount(y))))"
        raise TypeError(
            f"class_weight must be a dictionary such as {{0: 1.0, 1: 2.5}}, not {shown(value)}; a list of weights is "
            f"dict(enumerate(weights)), and weights that balance integer labels y are {balanced}"
        )
    weights = np.ones(n_classes)
    for key, weight in value.items():
        whole = isinstance(key, numbers.Real | np.bool_) and float(key).is_integer()  # 1.0 is 1
        if not whole or not 0 <= int(key) < n_classes:
            raise ValueError(f"class_weight names the class {key!r}, but there are the classes 0 to {n_classes - 1}")
        weights[int(key)] = finite_number(f"class_weight[{key!r}]", weight, at_least=0)
    return weights[classes]


def samples(name: str, value: Any, n_inputs: int | None, dtype: str) -> Array:
    """Samples of any rank as a matrix (n, n_inputs) that the engine reads, without a copy where that can be."""
    if _engine.is_plain_matrix(value, n_inputs, -LARGEST[dtype], LARGEST[dtype]):
        found: Array = value
        return found
    array = numeric_array(name, value)
    if array.ndim == 0:
        raise ValueError(f"{name} must be an array of shape (n_samples, ...), not the single number {value!r}")
    if array.shape[0] == 0:
        raise ValueError(f"{name} of shape {array.shape} holds no sample")
    if array.ndim != 2:
        if array.ndim == 1 and n_inputs not in (None, 1):
            raise ValueError(
                f"{name} has shape {array.shape}, but this model takes {counted(n_inputs, 'input')}; a single "
                f"sample is {name}[None, :], of shape (1, {len(array)})"
            )
        array = array.reshape(len(array), -1)
    if array.shape[1] == 0:
        raise ValueError(f"{name} of shape {array.shape} has no columns")
    if n_inputs is not None and array.shape[1] != n_inputs:
        raise ValueError(
            f"{name} has {counted(array.shape[1], 'column')} (shape {np.shape(value)}), but this model takes {n_inputs}"
        )
    all_finite(name, array, dtype)
    return engine_dtype(array, dtype)
