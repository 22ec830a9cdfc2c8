"""Model files: one safetensors file, the architecture as JSON in its metadata. Nothing in it is ever executed."""

import dataclasses
import errno
import json
import numbers
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastmlp import _targets, initializers, layers, losses, optimizers, preprocessing, schedules
from fastmlp._validation import LayerArrays, bounded_integer, counted, file_path, finite_number
from fastmlp._version import __version__
from fastmlp._writing import replacing, writable
from fastmlp.core import Core
from fastmlp.history import History
from fastmlp.metrics import Metric

# Raised when a file of today could not be read by yesterday's code.
FORMAT = 2

# More of them in a file are no network, but an attempt to take seconds and memory.
MOST_LAYERS = 10_000

# Formats that a name may promise, and what writes them.
_OTHER_FORMATS = {
    "keras": "Keras", "h5": "Keras", "hdf5": "Keras", "tflite": "TensorFlow", "pb": "TensorFlow",
    "pt": "PyTorch", "pth": "PyTorch", "ckpt": "PyTorch", "onnx": "ONNX", "npz": "NumPy", "npy": "NumPy",
    **dict.fromkeys(("pkl", "pickle", "joblib"), "pickle"), **dict.fromkeys(("json", "yaml", "yml", "csv", "txt"), ""),
    **dict.fromkeys(("gz", "bz2", "xz", "zst", "zip", "tar"), ""),
}  # fmt: skip

# What safetensors calls the dtypes of NumPy that it has.
TENSOR_TYPES = {
    name: "BOOL" if name == "bool" else f"{name[0].upper()}{8 * np.dtype(name).itemsize}"
    for name in ("bool", "uint8", "int8", "uint16", "int16", "float16", "uint32", "int32", "float32", "uint64", "int64",
                 "float64")
}  # fmt: skip

# Those of fastmlp, none that a user has derived.
LAYERS = {
    name: kind
    for name in layers.__all__
    if isinstance(kind := getattr(layers, name), type) and kind is not layers.Layer
}
INITIALIZERS = {type(initializer).__name__: type(initializer) for initializer in initializers.BY_NAME.values()}


def save(core: Core, path: Any, notes: Mapping[str, str] | None = None) -> None:
    """Write a model: to a temporary file beside the target, then renamed, so that a whole file is always there.

    A symbolic link is followed, and the permissions of a file that was there are kept.

    Parameters
    ----------
    core : Core
        Built.
    path : str or path-like
    notes : mapping of str to str, optional
        Kept beside the description, for `notes` to read. A model that was loaded hands on those of its file.
    """
    target = model_target(path)
    state = core.__getstate__()
    if "weights" not in state:
        raise ValueError("this model has no weights to save yet; call build(n_inputs) or fit first")
    training = state["training"]
    if not core.network.is_finite():
        raise ValueError("the weights, or the optimizer's states, hold NaN or infinity: such a model is not saved")
    tensors = _named("weights", core, state["weights"])
    for name, arrays in training["states"].items():
        tensors |= _named(name, core, arrays)
    tensors |= {f"preprocessing.{name}": np.ascontiguousarray(array) for name, array in core.statistics.items()}
    tensors |= {f"targets.{name}": np.ascontiguousarray(array) for name, array in core.target_statistics.items()}
    described = {
        "format": FORMAT,
        "fastmlp": __version__,
        "n_inputs": state["n_inputs"],
        "dtype": core.dtype,
        "seed": core.seed,
        "layers": [_described_layer(layer) for layer in core.layers],
        "loss": _described(core.loss, {**losses.BY_NAME, "custom": losses.Custom}),
        "optimizer": _described(core.optimizer, optimizers.BY_NAME),
        "history": _described_history(core.history),
        "callbacks": core.callback_states
        and [core.callback_states[0], _described_states(core.callback_states[1], tensors)],
        "preprocessing": core.preprocessing and _described(core.preprocessing, preprocessing.BY_NAME),
        "targets": core.targets,
        "metrics": [dataclasses.asdict(metric) for metric in core.metrics if isinstance(metric.function, str)],
        "training": {name: training[name] for name in ("optimizer", "step", "updates", "pending", "epoch")}
        | {name: [number.hex() for number in training[name]] for name in ("powers", "weights")},
    }
    metadata = {**core.notes, **(notes or {}), "fastmlp": json.dumps(described)}
    header, arrays = _laid_out(tensors, metadata)
    with replacing(target) as temporary, open(temporary, "xb") as file:
        file.write(header)
        for array in arrays:
            file.write(array)


def _laid_out(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> tuple[bytes, list[Any]]:
    """The beginning of a safetensors file, and the bytes of its tensors in their order.

    Not by the package safetensors, which needs the whole file in memory once more, and ends the process where there is
    none.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    arrays, at = [], 0
    for name, array in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        if array.dtype.name not in TENSOR_TYPES:
            raise TypeError(f"{name} is an array of {array.dtype}, which a model file cannot hold; give floats")
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        header[name] = {
            "dtype": TENSOR_TYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [at, at + little.size],
        }
        arrays.append(little)
        at += little.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, arrays


def model_target(path: Any) -> Path:
    """Where to write a model, as `writable` says; a ValueError where the name promises another format."""
    check_name(path)
    return writable(path)


def check_name(path: Any) -> None:
    """A ValueError where the name of a model's file promises another format."""
    name = os.path.basename(file_path("path", path))
    stem, _, suffix = name.rpartition(".")
    format_ = _OTHER_FORMATS.get(suffix.lower())
    if not stem or format_ is None:
        return
    remedy = "; pickle.dump(model, file) writes a pickle" if format_ == "pickle" else ""
    whose = f" of {format_}" if format_ not in ("", "pickle") else ""
    raise ValueError(
        f"{name!r} is the name of a .{suffix} file{whose}, but a model is saved as safetensors; call it "
        f"'{stem}.safetensors'{remedy}"
    )


def load(path: Any, loss: Any = None) -> Core:
    """Read a model that `save` wrote.

    Parameters
    ----------
    path : str or path-like
    loss : str, Loss or callable, optional
        In the place of the file's.

    Returns
    -------
    Core
    """
    from safetensors import SafetensorError, safe_open

    path = file_path("path", path)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for, with the GIL held
        raise OSError(errno.EINVAL, "not a regular file; a model is loaded from one", path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            described = _description(path, metadata)
            try:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
            except ValueError as error:  # NumPy's, of a shape
                raise TypeError(str(error)) from None
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file, or a damaged one: {error}") from None
    except (TypeError, AttributeError) as error:  # a dtype that NumPy has not; safetensors 0.4 raises the second
        raise ValueError(f"{path} holds tensors that are no model's: {error}") from None
    try:
        core = _core(described, tensors, loss)
    except KeyError as error:
        raise ValueError(
            f"{path}: the file lacks {error}, or this fastmlp {__version__} does not know it; another version may"
        ) from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: the description does not fit the model: {error}") from error
    core.notes = {name: text for name, text in metadata.items() if name != "fastmlp"}
    return core


def _description(path: str, metadata: dict[str, str]) -> dict[str, Any]:
    """What a file says of its model, of the format that is read here."""
    if "fastmlp" not in metadata:
        raise ValueError(f"{path} is a safetensors file, but holds no fastmlp model")
    try:
        described: dict[str, Any] = json.loads(metadata["fastmlp"])
        version = described["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path}: the description of the model is damaged: {error!r}") from None
    if type(version) is not int or version != FORMAT:
        raise ValueError(f"{path} has format {version!r}; this fastmlp {__version__} reads format {FORMAT} alone")
    return described


def notes(path: Any) -> dict[str, str]:
    """What `save` was given as notes, of a file that `load` can read."""
    from safetensors import safe_open

    with safe_open(os.fsdecode(path), framework="numpy") as file:
        return {name: text for name, text in (file.metadata() or {}).items() if name != "fastmlp"}


def _n_layers(described: list[dict[str, Any]]) -> int:
    return sum(1 + _n_layers(layer.get("layers", ())) for layer in described)


def _core(described: dict[str, Any], tensors: dict[str, Any], loss: Any) -> Core:
    if _n_layers(described["layers"]) > MOST_LAYERS:
        raise ValueError(f"it has more than {MOST_LAYERS} layers")
    if loss is None and described["loss"] == {"name": "custom"}:
        raise ValueError("its loss was a function, which no file holds; pass it again as load(path, loss=...)")
    core = Core(
        [_made_layer(layer) for layer in described["layers"]],
        loss=_made(described["loss"], losses.BY_NAME) if loss is None else loss,
        optimizer=_made(described["optimizer"], optimizers.BY_NAME),
        seed=bounded_integer("seed", described["seed"], at_least=0, below=2**64),
        dtype=described["dtype"],
        preprocessing=described.get("preprocessing") and _made(described["preprocessing"], preprocessing.BY_NAME),
        metrics=[Metric(**metric) for metric in described.get("metrics", ())],
        targets=described.get("targets"),
    )
    n_inputs = bounded_integer("n_inputs", described["n_inputs"], below=2**31)
    shapes = [layer.weight_shapes(n_in or 0) for layer, n_in in layers.widths(core.layers, n_inputs)]
    shapes = [shape for shape in shapes if shape]
    weights = _layer_arrays("weights", tensors, shapes, core.dtype)  # before build: a hostile width must not allocate
    core.build(n_inputs, weights)
    core.set_weights(weights)
    core.network.set_state(_state_of_training(core, described["training"], tensors, shapes))
    if "history" in described:
        core.history = _made_history(described["history"])
    if described.get("callbacks"):
        epoch, states = described["callbacks"]
        core.callback_states = bounded_integer("epoch", epoch), _made_states(states, tensors)
    if core.preprocessing is not None and any(name.startswith("preprocessing.") for name in tensors):
        kind = core.preprocessing
        found = _statistics("preprocessing", kind.shapes(n_inputs), kind.scaling, tensors, core.dtype)
        core.adapt(found, {})
    if core.targets is not None and any(name.startswith("targets.") for name in tensors):
        shapes_of_targets = _targets.shapes(core.n_outputs)
        found = _statistics("targets", shapes_of_targets, preprocessing.Standardize().scaling, tensors, core.dtype)
        core.adapt({}, found)
    return core


def _state_of_training(core: Core, training: Any, tensors: dict[str, Any], shapes: list[dict[str, Any]]) -> Any:
    """What `Network.set_state` takes."""
    powers = tuple(finite_number("power", float.fromhex(p), at_least=0, at_most=1) for p in training["powers"])
    names = ("step", "updates", "pending", "epoch")
    counts = {name: bounded_integer(name, training[name], at_least=0) for name in names}
    state = {
        "optimizer": core.optimizer.kernel,
        **counts,
        "powers": powers,
        "states": {name: _layer_arrays(name, tensors, shapes, core.dtype) for name in core.optimizer.kernel_states},
    }
    if "weights" in training:
        unit, weight = (finite_number("weight", float.fromhex(each), at_least=0) for each in training["weights"])
        state["weights"] = unit, weight
    if training["optimizer"] != state["optimizer"] or len(powers) != 4:
        raise ValueError(f"the state of training is {training!r}")
    return state


def _described_history(history: History) -> dict[str, Any]:
    """What there is in numbers: a callback may have put anything into the logs."""
    values = {
        name: [float(value) for value in found]
        for name, found in history.history.items()
        if all(isinstance(value, numbers.Real) for value in found)
    }
    return {"epoch": list(history.epoch), "history": values, "stopped": history.stopped}


def _made_history(described: dict[str, Any]) -> History:
    history = History()
    history.epoch = [bounded_integer("epoch", epoch, at_least=0) for epoch in described["epoch"]]
    history.update({str(name): [float(value) for value in found] for name, found in described["history"].items()})
    if any(len(values) != len(history.epoch) for values in history.values()):
        raise ValueError(
            f"the history has {counted(len(history.epoch), 'epoch')}, but not as many values of each quantity"
        )
    history.stopped = str(described["stopped"])
    return history


def _described_states(states: list[tuple[str, dict[str, Any]]], tensors: dict[str, Any]) -> list[Any]:
    """States of callbacks; lists of arrays among them go to the tensors."""
    described = []
    for i, (kind, state) in enumerate(states):
        plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in state.items()}
        for name, value in plain.items():
            if not isinstance(name, str) or not _can_be_described(value):
                raise TypeError(
                    f"get_state of {kind} gives {value!r} as {name!r}, which a file cannot hold: give numbers, strings "
                    "or None by name, or lists like Model.weights"
                )
            if isinstance(value, list):
                plain[name] = [len(arrays) for arrays in value]
                tensors |= {
                    f"callbacks.{i}.{name}.{j}.{k}": np.ascontiguousarray(array)
                    for j, arrays in enumerate(value)
                    for k, array in enumerate(arrays)
                }
        described.append([kind, plain])
    return described


def _can_be_described(value: Any) -> bool:
    """Whether a state of a callback can be read back as what it was."""
    if isinstance(value, list):
        return all(isinstance(arrays, tuple) and all(isinstance(a, np.ndarray) for a in arrays) for arrays in value)
    return value is None or isinstance(value, bool | int | float | str)


def _made_states(described: list[Any], tensors: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    states = []
    for i, (kind, plain) in enumerate(described):
        state = dict(plain)
        for name, value in plain.items():
            if isinstance(value, list):
                state[name] = [
                    tuple(
                        tensors[f"callbacks.{i}.{name}.{j}.{k}"]
                        for k in range(bounded_integer("arrays", many, at_least=0))
                    )
                    for j, many in enumerate(value)
                ]
            elif not _can_be_described(value):
                raise TypeError(f"the state of {kind} holds {value!r} as {name!r}")
        states.append((str(kind), state))
    return states


def _statistics(
    what: str, shapes: dict[str, tuple[int, ...]], scaling_of: Callable[..., Any], tensors: dict[str, Any], dtype: str
) -> dict[str, Any]:
    """Statistics of the preprocessing, or of the targets."""
    found = {}
    for name, shape in shapes.items():
        array = tensors[f"{what}.{name}"]
        if array.shape != shape or array.dtype != np.float64:
            raise ValueError(f"{name} of the {what} is {array.dtype} {array.shape}, not float64 {shape}")
        if not np.isfinite(array).all() or (name == "scale" and (array <= 0).any()):
            raise ValueError(f"{name} of the {what} is not finite, or not positive where it must be")
        found[name] = array
    with np.errstate(all="ignore"):
        mean, scale, matrix = scaling_of(found)
        scaling = [array.astype(dtype) for array in (mean, scale, mean * scale, matrix) if array is not None]
    if not all(np.isfinite(array).all() for array in scaling):
        raise ValueError(f"the scaling of the {what} multiplies by more than {dtype} can hold")
    return found


def _named(kind: str, core: Core, layer_arrays: Any) -> dict[str, Any]:
    return {
        f"layers.{i}.{name}.{kind}": np.ascontiguousarray(array)
        for i, (layer, arrays) in enumerate(zip(core.weighted, layer_arrays, strict=True))
        for name, array in zip(_names(kind, layer.weight_shapes(1)), arrays, strict=True)
    }


def _names(kind: str, shapes: Any) -> list[str]:
    """Arrays of a layer that have weights, or optimizer states: running statistics have no states."""
    return [name for name in shapes if kind == "weights" or name not in layers.RUNNING]


def _layer_arrays(kind: str, tensors: dict[str, Any], shapes: list[dict[str, Any]], dtype: str) -> LayerArrays:
    found = []
    for i, expected in enumerate(shapes):
        names = _names(kind, expected)
        arrays = tuple(tensors[f"layers.{i}.{name}.{kind}"] for name in names)
        for name, array in zip(names, arrays, strict=True):
            if array.shape != expected[name] or array.dtype != dtype:
                given = ", ".join(f"{a.dtype} {a.shape}" for a in arrays)
                raise ValueError(f"layer {i} holds {kind} of {given}, not {dtype} {[expected[n] for n in names]}")
            if not np.isfinite(array).all() or ((kind.startswith("v") or name == "variance") and (array < 0).any()):
                raise ValueError(f"layer {i} holds {kind} that are not finite, or negative where they may not be")
        found.append(arrays)
    return found


def _described_layer(layer: layers.Layer) -> dict[str, Any]:
    fields = {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}
    for field, value in fields.items():
        if isinstance(value, initializers.Given):  # the weights say it
            fields[field] = None
        elif isinstance(value, initializers.Initializer):
            fields[field] = _described(value, INITIALIZERS)
    if isinstance(layer, layers.Residual):
        fields["layers"] = [_described_layer(inner) for inner in layer.layers]
    name = type(layer).__name__
    if LAYERS.get(name) is not type(layer):
        raise ValueError(f"a model with {layer!r} cannot be saved: a file names only what fastmlp has itself")
    return {"layer": name, **fields}


def _made_layer(described: dict[str, Any]) -> layers.Layer:
    arguments = dict(described)
    kind = LAYERS[arguments.pop("layer")]
    if kind is layers.Residual:
        arguments["layers"] = [_made_layer(inner) for inner in arguments["layers"]]
    for field, value in arguments.items():
        if isinstance(value, dict):
            arguments[field] = _made(value, INITIALIZERS)
    made: layers.Layer = kind(**arguments)
    return made


def _described(thing: Any, by_name: dict[str, Any]) -> dict[str, Any]:
    name = next((name for name, kind in by_name.items() if kind is type(thing)), None)
    if name is None:
        raise ValueError(f"a model with {thing!r} cannot be saved: a file names only what fastmlp has itself")
    return {"name": name, **thing.get_config()}


def _made(described: dict[str, Any], by_name: dict[str, Any]) -> Any:
    arguments = dict(described)
    if isinstance(arguments.get("learning_rate"), dict):
        arguments["learning_rate"] = schedules.from_config(arguments["learning_rate"])
    return by_name[arguments.pop("name")](**arguments)
