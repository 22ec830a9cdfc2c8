"""Model files: what comes back is what was written, a whole file is always there, and a hostile one is only refused."""

import contextlib
import copy
import json
import os
import pickle
import random
import re
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import hostile
import numpy as np
import pytest
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as write_tensors

import fastmlp as fm
from fastmlp import _engine, _writing, files
from fastmlp.core import core_of

LOSSES = {
    "softmax": ("softmax_cross_entropy", 3),
    "binary": (fm.losses.BinaryCrossEntropy("sum", label_smoothing=0.1, positive_weight=(2, 0.5)), 2),
    "focal": (fm.losses.Focal(1.5, alpha=(1, 2, 0.5)), 3),
    "binary focal": (fm.losses.BinaryFocal(alpha=0.25, outputs="sum"), 2),
    "hinge": ("hinge", 2),
    "mean absolute": ("mean_absolute_error", 2),
    "huber": (fm.losses.Huber(0.3), 2),
    "log cosh": ("log_cosh", 1),
    "poisson": ("poisson", 2),
    "quantile": (fm.losses.Quantile((0.1, 0.9)), 2),
    "gaussian": ("gaussian_nll", 4),
    "mean squared": (fm.losses.MeanSquaredError(), 2),
    "half squared": ("half_squared_error", 1),
}
OPTIMIZERS = {
    "sgd": fm.SGD(0.05),
    "momentum": fm.SGD(0.05, momentum=0.9),
    "nesterov": fm.SGD(0.05, momentum=0.8, nesterov=True),
    "rmsprop": fm.RMSprop(0.002, rho=0.95, epsilon=1e-6, epsilon_in_root=True),
    "adam": fm.Adam(0.002, beta_1=0.8, beta_2=0.99, epsilon=1e-6, bias_correction=False),
    "rmsprop_centered": fm.RMSprop(0.002, centered=True),
    "adagrad": fm.Adagrad(0.02),
    "amsgrad": fm.Adam(0.002, amsgrad=True),
    "adamw": fm.AdamW(0.002, weight_decay=0.02),
    "nadam": fm.Nadam(0.002),
    "lion": fm.Lion(0.001),
}


def data(loss="softmax", n=50, n_inputs=5):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, n_inputs))
    if loss in ("softmax", "focal"):
        return X, rng.integers(0, 3, n)
    if loss == "quantile":
        return X, rng.standard_normal(n)
    if loss == "gaussian":
        return X, rng.standard_normal((n, 2))
    if loss in ("binary", "binary focal", "hinge", "poisson"):
        return X, rng.integers(0, 2, (n, 2))
    return X, rng.standard_normal((n, LOSSES[loss][1]))


def trained(loss="softmax", optimizer="adam", dtype="float32", **options):
    kind, n_outputs = LOSSES[loss]
    layers = [
        fm.Dense(19, "leaky_relu", alpha=0.3), fm.Dense(7, "tanh", use_bias=False, initializer="lecun_normal"),
        fm.Dense(n_outputs),
    ]  # fmt: skip
    model = fm.Model(layers, kind, OPTIMIZERS[optimizer], seed=2**63 + 1, dtype=dtype, **options)
    model.fit(*data(loss), batch_size=8, epochs=2, verbose=0)
    return model


def bits(model):
    """All that training changes, as bytes."""
    state = model._core.__getstate__()
    moments = [pair for pairs in state["training"]["states"].values() for pair in pairs]
    counts = [state["training"][name] for name in ("step", "updates", "pending", "epoch", "powers", "optimizer")]
    return [array.tobytes() for pair in [*state["weights"], *moments] for array in pair], counts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


@pytest.fixture
def saved(path):
    """A model and the path of its file."""
    model = trained()
    model.save(path)
    return model, path


def test_every_loss_and_optimizer_is_here():
    assert {type(fm.Model([fm.Dense(n)], loss).loss) for loss, n in LOSSES.values()} == set(fm.losses.BY_NAME.values())
    assert {type(optimizer) for optimizer in OPTIMIZERS.values()} | {fm.LBFGS} == set(fm.optimizers.BY_NAME.values())
    assert {optimizer.kernel for optimizer in OPTIMIZERS.values()} == set(_engine.optimizers)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_with_the_same_bits(loss, optimizer, dtype, path):
    model = trained(loss, optimizer, dtype, n_threads=2)
    model.save(path)
    again = fm.load(path)
    assert bits(again) == bits(model)
    assert (again.layers, again.loss, again.optimizer) == (model.layers, model.loss, model.optimizer)
    assert (again.dtype, again.seed, again.n_inputs) == (dtype, 2**63 + 1, 5)
    X, y = data(loss)
    assert again.weights[0][0].tobytes() == model.weights[0][0].tobytes()
    histories = [each.fit(X, y, batch_size=8, epochs=3, verbose=0).history for each in (model, again)]
    assert histories[0] == histories[1]
    assert bits(again) == bits(model)


def test_saving_in_the_middle_changes_nothing(path):
    model, other = trained(), trained()
    X, y = data()
    model.train_on_batch(X, y)
    model.save(path)
    model.fit(X, y, epochs=2, verbose=0)
    other.train_on_batch(X, y)
    other.fit(X, y, epochs=2, verbose=0)
    assert bits(model) == bits(other)


def test_a_built_model_that_never_trained(path):
    model = fm.Model([fm.Dense(2)], n_inputs=3)
    model.save(path)
    assert bits(fm.load(path)) == bits(model)


def test_a_model_without_weights_is_not_saved(path):
    with pytest.raises(ValueError, match="no weights"):
        fm.Model([fm.Dense(2)]).save(path)
    assert not path.exists()


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_kinds_of_paths(kind, saved):
    model, path = saved
    path.unlink()
    model.save(kind(path))
    assert bits(fm.load(kind(path))) == bits(model)


def test_relative_and_odd_names(saved, monkeypatch):
    model, path = saved
    monkeypatch.chdir(path.parent)
    for name in ("net", "ünï ☃.safetensors", "a" * 200):
        model.save(name)
        assert bits(fm.load(name)) == bits(model)


@pytest.mark.parametrize(
    "suffix", ["keras", "h5", "H5", "hdf5", "pkl", "pickle", "pt", "pth", "onnx", "npz", "json", "gz"]
)
def test_a_name_that_promises_another_format_is_refused_before_anything_is_written(suffix, saved, tmp_path):
    model, _ = saved
    folder = tmp_path / f"a.{suffix}"
    folder.mkdir()
    X, y = np.ones((4, model.n_inputs)), np.zeros(4, int)
    before = model._core.network.step
    remedy = rf"'my\.net\.{suffix}' is the name of a \.{suffix} file.*call it 'my\.net\.safetensors'"
    for write in (
        model.save,
        lambda name: model.fit(X, y, callbacks=[fm.Checkpoint(name)], verbose=0),
        lambda name: model.fit(X, y, callbacks=[fm.ModelCheckpoint(name)], verbose=0),
    ):
        with pytest.raises(ValueError, match=remedy):
            write(folder / f"my.net.{suffix}")
    with pytest.raises(ValueError, match=rf"'net-{{epoch}}\.{suffix}'.*'net-{{epoch}}\.safetensors'"):
        model.fit(X, y, callbacks=[fm.ModelCheckpoint(folder / f"net-{{epoch}}.{suffix}")], verbose=0)
    assert model._core.network.step == before
    assert os.listdir(folder) == []
    for name in ("a.safetensors", "a", f".{suffix}", f"{suffix}", "a.b", "a.0.5"):
        model.save(folder / name)


@pytest.mark.parametrize("wrong", [None, 3, 1.5, ["a"]])
def test_what_is_no_path(wrong, saved):
    message = f"path must be a string or path-like, such as 'model.safetensors', not {wrong!r}"
    for use in (saved[0].save, fm.load, fm.ModelCheckpoint, fm.Checkpoint, fm.CSVLogger):
        with pytest.raises(TypeError, match=re.escape(message)):
            use(wrong)


def test_files_and_folders_that_are_not_there(saved, tmp_path):
    for action in (saved[0].save, fm.load):
        with pytest.raises(FileNotFoundError):
            action(tmp_path / "nowhere" / "net.safetensors")
    with pytest.raises(OSError, match=r"[Dd]irectory"):
        fm.load(tmp_path)
    with pytest.raises(OSError, match=r"[Dd]irectory"):
        saved[0].save(tmp_path)


# ---- a whole file is always there ----


def test_a_file_is_replaced(saved):
    model, path = saved
    model.fit(*data(), verbose=0)
    model.save(path)
    assert bits(fm.load(path)) == bits(model)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_while_writing_leaves_the_old_file(function, error, saved, monkeypatch):
    model, path = saved
    before = path.read_bytes()
    model.fit(*data(), verbose=0)

    def fails(*_):
        raise error

    monkeypatch.setattr(_writing.os, function, fails)
    with pytest.raises(type(error)):
        model.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_the_file_is_complete_before_it_gets_its_name(saved, monkeypatch):
    model, path = saved
    seen = []

    def replace(source, target):
        seen.append((bits(fm.load(source)), Path(source).parent, target))
        os.rename(source, target)

    monkeypatch.setattr(_writing.os, "replace", replace)
    model.save(path)
    assert seen == [(bits(model), path.parent, path)]


DIES = """
import os, sys
from pathlib import Path
from fastmlp import _writing

with _writing.replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(bytes(1000))
    os._exit(0)
"""


@pytest.mark.skipif(os.name != "posix", reason="nothing tells there whether a process is alive")
def test_what_a_killed_process_left_is_removed_by_the_next_save(saved):
    model, path = saved
    subprocess.run([sys.executable, "-c", DIES, str(path)], check=True, cwd=Path(fm.__file__).parents[1], timeout=200)
    (left,) = {each.name for each in path.parent.iterdir()} - {path.name}
    host, pid, process, number = left.removeprefix(f".{path.name}.").removesuffix(".tmp").split("-")
    names = {
        "an earlier process of this number": f".{path.name}.{host}-{os.getpid()}-{process}-{number}.tmp",
        "a process that lives": f".{path.name}.{host}-{os.getppid()}-{process}-{number}.tmp",
        "another host": f".{path.name}.{int(host, 16) ^ 1:08x}-{pid}-{process}-{number}.tmp",
        "another file": f".other.{host}-{pid}-{process}-{number}.tmp",
        "a user's": f".{path.name}.tmp",
    }
    for name in names.values():
        (path.parent / name).touch()
    with _writing.replacing(path) as another_thread:
        another_thread.touch()
        model.save(path)
        kept = [each for name, each in names.items() if name != "an earlier process of this number"]
        assert sorted(os.listdir(path.parent)) == sorted([*kept, path.name, another_thread.name])


def test_what_another_host_left_is_removed_when_it_is_old(saved, monkeypatch):
    """A container has another name after each start."""
    model, path = saved
    old, new, other = (
        path.parent / f".{name}.01234567-1-89abcdef-{i:08x}.tmp"
        for i, name in enumerate((path.name, path.name, "other"))
    )
    for each in (old, new, other):
        each.touch()
    for each in (old, other):
        hour_ago = each.stat().st_mtime - _writing._LEFT_SECONDS - 60
        os.utime(each, (hour_ago, hour_ago))
    model.save(path)
    assert sorted(os.listdir(path.parent)) == sorted([new.name, other.name, path.name])
    monkeypatch.setattr("time.time", lambda: 0.0)  # the clock of the file system counts, not that of this process
    os.utime(new, (hour_ago, hour_ago))
    model.save(path)
    assert sorted(os.listdir(path.parent)) == sorted([other.name, path.name])


# ---- damaged and hostile files ----


def refused(path, match=None):
    """Loading fails with a ValueError that names the file, and nothing else; small and soon."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match) as caught:
            fm.load(path)
        assert type(caught.value) is ValueError
        assert str(path) in str(caught.value)
        assert tracemalloc.get_traced_memory()[1] < 32e6
    finally:
        tracemalloc.stop()


def rewritten(path, change=None, tensors=None):
    """The file again with its description changed, and its tensors."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    described = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["fastmlp"])
    arrays = read_tensors(content)
    if change is not None:
        change(described)
    if tensors is not None:
        tensors(arrays)
    path.write_bytes(write_tensors(arrays, {"fastmlp": json.dumps(described)}))


@pytest.mark.parametrize("n_threads", [64, 10**6, "2", None])
def test_threads_are_those_of_the_machine_not_of_the_file(n_threads, tmp_path):
    """Files of before have a number, which means nothing here."""
    model = trained(n_threads=2)
    assert copy.deepcopy(model).n_threads == pickle.loads(pickle.dumps(model)).n_threads == 2
    model.save(tmp_path / "net")
    assert fm.load(tmp_path / "net").n_threads is None
    rewritten(tmp_path / "net", lambda described: described.update(n_threads=n_threads))
    again = fm.load(tmp_path / "net")
    assert again.n_threads is None
    assert again.weights[0][0].tobytes() == model.weights[0][0].tobytes()


def test_the_header_holds_the_architecture_and_nothing_to_run(saved):
    _, path = saved
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    described = json.loads(header.pop("__metadata__")["fastmlp"])
    assert set(described) == {
        "format", "fastmlp", "n_inputs", "dtype", "seed", "layers", "loss", "optimizer", "targets",
            "preprocessing", "metrics", "training", "history", "callbacks",
    }  # fmt: skip
    assert header["layers.0.W.weights"]["shape"] == [5, 19]
    assert {entry["dtype"] for entry in header.values()} == {"F32"}


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, 500, 0.5, 0.9, -1])
def test_a_truncated_file(length, saved):
    _, path = saved
    content = path.read_bytes()
    path.write_bytes(content[: int(length * len(content)) if isinstance(length, float) else length])
    refused(path)


@pytest.fixture
def small(path):
    """A model of one layer and the path of its file."""
    model = fm.Model([fm.Dense(2)], "mean_squared_error", fm.SGD(0.1, momentum=0.9), n_inputs=3)
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 2)))
    model.save(path)
    return model, path


def loads(path):
    """The model in a file; None where that is refused by a ValueError that names it. Nothing else may happen."""
    try:
        return fm.load(path)
    except ValueError as error:
        if type(error) is not ValueError or str(path) not in str(error):
            raise
        return None


@contextlib.contextmanager
def within_memory(most):
    """Nothing in it takes more bytes than that, at once or left over from each of many reads. On Linux a MemoryError
    says so, of what Rust and C take, too; elsewhere Python's own count, which slows all of it."""
    with hostile.limited(most) as is_limited:
        if not is_limited:
            tracemalloc.start()
        try:
            yield
            assert is_limited or tracemalloc.get_traced_memory()[1] < most
        finally:
            tracemalloc.stop()


def test_every_length_of_a_file(small):
    _, path = small
    length = path.stat().st_size
    with within_memory(4 << 20):
        while length:
            length -= 1
            os.truncate(path, length)
            assert loads(path) is None


def test_every_bit_of_a_file(small):
    """Of its header a flipped bit gives an error, or a model that another file could hold, too; of a number an error,
    or that number."""
    model, path = small
    content = path.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    refusals = 0
    # In its place: a file that is written anew waits for the disk, which takes longer than to read it.
    with open(path, "r+b", buffering=0) as file, within_memory(16 << 20):
        for bit in range(8 * len(content)):
            at = bit // 8
            file.seek(at)
            file.write(bytes([content[at] ^ 1 << bit % 8]))
            found = loads(path)
            file.seek(at)
            file.write(content[at : at + 1])
            refusals += found is None
            if found is not None and bit >= 8 * size:
                changed = zip(b"".join(bits(found)[0]), b"".join(bits(model)[0]), strict=True)
                assert [(a ^ b).bit_count() for a, b in changed if a != b] == [1]
    assert refusals > 4 * size


def raw(header, body=b""):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + body


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
METADATA = {"fastmlp": json.dumps({"format": files.FORMAT})}
HOSTILE = {
    "a header of 99 MB that is not there": struct.pack("<Q", 99_000_000) + b"{}" + bytes(100),
    "a header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}" + bytes(100),
    "offsets behind the end": raw({"__metadata__": METADATA, "x": {**ENTRY, "data_offsets": [8, 16]}}, bytes(8)),
    "offsets of 2^60": raw({"__metadata__": METADATA, "x": {**ENTRY, "data_offsets": [2**60, 2**60 + 8]}}, bytes(8)),
    "negative offsets": raw({"__metadata__": METADATA, "x": {**ENTRY, "data_offsets": [-8, 0]}}, bytes(8)),
    "offsets turned round": raw({"__metadata__": METADATA, "x": {**ENTRY, "data_offsets": [8, 0]}}, bytes(8)),
    "overlapping tensors": raw(
        {"__metadata__": METADATA, "x": ENTRY, "y": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)
    ),
    "the same bytes twice": raw({"__metadata__": METADATA, "x": ENTRY, "y": ENTRY}, bytes(8)),
    "a gap": raw({"__metadata__": METADATA, "x": ENTRY, "y": {**ENTRY, "data_offsets": [16, 24]}}, bytes(24)),
    "a shape beyond 64 bits": raw({"__metadata__": METADATA, "x": {**ENTRY, "shape": [2**40, 2**40]}}, bytes(8)),
    "a huge shape of nothing": raw(
        {"__metadata__": METADATA, "x": {**ENTRY, "shape": [2**62, 0], "data_offsets": [0, 0]}}
    ),
    "a shape of text": raw({"__metadata__": METADATA, "x": {**ENTRY, "shape": ["2"]}}, bytes(8)),
    "a shape that does not fit": raw({"__metadata__": METADATA, "x": {**ENTRY, "shape": [3]}}, bytes(8)),
    "an unknown dtype": raw({"__metadata__": METADATA, "x": {**ENTRY, "dtype": "object"}}, bytes(8)),
    "a tensor of None": raw({"__metadata__": METADATA, "x": None}),
    "a key twice": raw(b'{"__metadata__":{"fastmlp":"{}"},"__metadata__":{"fastmlp":"{\\"format\\":1}"}}'),
    "metadata of numbers": raw({"__metadata__": {"fastmlp": 3}}),
    "metadata of a list": raw({"__metadata__": ["fastmlp"]}),
    "a header 100,000 deep": raw(b'{"x":' * 100_000 + b"1" + b"}" * 100_000),
    "lists 100,000 deep": raw(b'{"__metadata__":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "no UTF-8": raw(b'{"__metadata__":{"fastmlp":"\xff\xfe"}}'),
    "half a surrogate": raw(b'{"__metadata__":{"fastmlp":"\\ud800"}}'),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_header(kind, path):
    path.write_bytes(HOSTILE[kind])
    refused(path)


def test_the_file_is_what_the_package_safetensors_writes(saved):
    """Byte by byte, and it reads arrays of every dtype that a callback may keep."""
    _, path = saved
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + size])["__metadata__"]
    assert write_tensors(read_tensors(content), metadata) == content
    rng = np.random.default_rng(0)
    tensors = {name: (100 * rng.random((3, 5))).astype(name) for name in files.TENSOR_TYPES}
    tensors |= {"none": np.empty((0, 2)), "scalar": np.ones(()), "big-endian": np.arange(3, dtype=">f4"),
                "columns first": np.asfortranarray(rng.random((4, 3))), "strided": rng.random((8, 3))[::2]}  # fmt: skip
    header, arrays = files._laid_out(tensors, {"a": '"é\n'})
    found = read_tensors(header + b"".join(array.tobytes() for array in arrays))
    assert {name: (a.dtype, a.shape, a.tolist()) for name, a in found.items()} == {
        name: (a.dtype.newbyteorder("="), a.shape, a.tolist()) for name, a in tensors.items()
    }
    with pytest.raises(TypeError, match="complex128"):
        files._laid_out({"x": np.zeros(2, complex)}, {})


def test_a_file_with_something_behind_it(saved):
    _, path = saved
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path)


def test_every_flipped_bit_of_the_header(saved):
    """Each gives a ValueError, or a model where the bit made another one: no other error, no crash, no big memory."""
    _, path = saved
    content = path.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(3)
    refusals = 0
    for position in [*range(8), *rng.integers(8, size, 600)]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            fm.load(path)
        except ValueError:
            refusals += 1
    assert refusals > 400


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04", b"PK\x03\x04" + bytes(100), b"\xff" * 64, struct.pack("<Q", 2**63) + b"{}",
     struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 4) + b"null", b"\0" * 8],
)  # fmt: skip
def test_what_is_no_safetensors_file(content, path):
    path.write_bytes(content)
    refused(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_what_is_no_regular_file(path):
    """A pipe would be waited for, and nothing could end that."""
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file; a model is loaded from one"):
        fm.load(path)


def test_what_a_file_lacks_is_named(saved):
    _, path = saved
    rewritten(path, lambda described: described["layers"][0].update(layer="Conv2D"))
    refused(path, "the file lacks 'Conv2D', or this fastmlp .* does not know it")


def test_notes_beside_the_model_stay(saved, tmp_path):
    """As `fastmlp train` writes them; Python loads, copies and saves the model again."""
    model, path = saved
    files.save(core_of(model), path, {"columns": "a, b"})
    copy.deepcopy(fm.load(path)).save(tmp_path / "again")
    assert files.notes(tmp_path / "again") == {"columns": "a, b"}
    files.save(core_of(fm.load(path)), path, {"columns": "c"})
    assert files.notes(path) == {"columns": "c"}


def test_a_safetensors_file_of_something_else(path):
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(write_tensors({"weight": np.zeros((2, 2), np.float32)}, metadata))
        refused(path, "holds no fastmlp model")


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "3", '"x"', "{}", '{"format": 1}', '{"format": NaN}', "[" * 100_000, "\x00"],
)  # fmt: skip
def test_a_damaged_description(text, path):
    path.write_bytes(write_tensors({"weight": np.zeros(1, np.float32)}, {"fastmlp": text}))
    refused(path)


def test_a_pickle_inside_is_never_executed(saved, tmp_path):
    """Neither as the file nor in the description."""
    _, path = saved
    mark = tmp_path / "executed"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (mark,)

    bomb = pickle.dumps(Bomb())
    rewritten(path, lambda d: d.update(loss={"name": bomb.hex()}, optimizer="__import__('os')._exit(1)"))
    refused(path)
    path.write_bytes(bomb)
    refused(path)
    assert not mark.exists()
    pickle.loads(bomb)
    assert mark.exists()  # so it would have been seen


@pytest.mark.parametrize("version", [1, 99, 0, -1, "1", 1.5, None, [1], True])
def test_a_file_of_another_format(version, saved):
    _, path = saved
    rewritten(path, lambda d: d.update(format=version))
    refused(path, "format")


def nested(layers, depth):
    for _ in range(depth):
        layers = [{"layer": "Residual", "layers": layers}]
    return layers


def lists(value, depth):
    for _ in range(depth):
        value = [value]
    return value


CHANGES = {
    "an unknown loss": lambda d: d["loss"].update(name="mse"),
    "a loss without name": lambda d: d["loss"].pop("name"),
    "a loss's unknown option": lambda d: d["loss"].update(power=2),
    "another loss with activation": lambda d: d["layers"][2].update(activation="relu"),
    "an unknown optimizer": lambda d: d["optimizer"].update(name="os.system"),
    "a bad rate": lambda d: d["optimizer"].update(learning_rate=-1),
    "an infinite rate": lambda d: d["optimizer"].update(learning_rate=float("inf")),
    "another optimizer": lambda d: d.update(optimizer={"name": "sgd"}),
    "no layers": lambda d: d.update(layers=[]),
    "layers of None": lambda d: d.update(layers=None),
    "layers of text": lambda d: d.update(layers="Dense"),
    "a layer too few": lambda d: d["layers"].pop(),
    "a layer's unknown option": lambda d: d["layers"][0].update(dropout=0.5),
    "an unknown activation": lambda d: d["layers"][0].update(activation="eval"),
    "another width": lambda d: d["layers"][0].update(units=18),
    "a negative width": lambda d: d["layers"][0].update(units=-19),
    "a huge width": lambda d: d["layers"][0].update(units=2**31),
    "a width beyond integers": lambda d: d["layers"][0].update(units=10**40),
    "huge inputs": lambda d: d.update(n_inputs=2**40),
    "inputs of text": lambda d: d.update(n_inputs="5"),
    "fractional inputs": lambda d: d.update(n_inputs=5.0),
    "inputs of None": lambda d: d.update(n_inputs=None),
    "another dtype": lambda d: d.update(dtype="float64"),
    "an unknown dtype": lambda d: d.update(dtype="object"),
    "a bad seed": lambda d: d.update(seed=2**64),
    "a seed of None": lambda d: d.update(seed=None),
    "no seed": lambda d: d.pop("seed"),
    "ten thousand layers": lambda d: d.update(layers=10_000 * d["layers"][:1]),
    "a huge width that fits in nothing": lambda d: (d["layers"][0].update(units=2**30), d.update(n_inputs=2**30)),
    "infinite epsilon": lambda d: d["optimizer"].update(epsilon=float("inf")),
    "NaN as a rate": lambda d: d["optimizer"].update(learning_rate=float("nan")),
    "a rate of text": lambda d: d["optimizer"].update(learning_rate="fast"),
    "an optimizer of 3": lambda d: d.update(optimizer=3),
    "a loss of None": lambda d: d.update(loss=None),
    "a name that is a list": lambda d: d["loss"].update(name=["x"]),
    "an attribute of Python's": lambda d: d["layers"][0].update({"__class__": "os.system"}),
    "a module as a layer": lambda d: d["layers"][0].update(layer="os.system"),
    "a schedule of nothing": lambda d: d["optimizer"].update(learning_rate={"name": "eval"}),
    "no training": lambda d: d.pop("training"),
    "training of None": lambda d: d.update(training=None),
    "another state": lambda d: d["training"].update(optimizer="momentum"),
    "an unknown state": lambda d: d["training"].update(optimizer="tiger"),
    "a negative step": lambda d: d["training"].update(step=-1),
    "a huge step": lambda d: d["training"].update(step=2**80),
    "a step of text": lambda d: d["training"].update(step="many"),
    "a fractional step": lambda d: d["training"].update(step=1.5),
    "a negative epoch": lambda d: d["training"].update(epoch=-1),
    "a power too few": lambda d: d["training"].update(powers=["0x1p+0"]),
    "powers of numbers": lambda d: d["training"].update(powers=[1, 1]),
    "powers of text": lambda d: d["training"].update(powers=["a", "b"]),
    "weights of text": lambda d: d["training"].update(weights=["x", "y"]),
    "a weight too few": lambda d: d["training"].update(weights=["0x1p+0"]),
    "weights of NaN": lambda d: d["training"].update(weights=["nan", "nan"]),
    "a pending that no float holds": lambda d: (d["training"].pop("weights"), d["training"].update(pending=10**400)),
    "powers of NaN": lambda d: d["training"].update(powers=["nan", "nan"]),
    "as many outputs as memory holds numbers": lambda d: d.update(
        loss={"name": "binary_cross_entropy"}, layers=[*d["layers"][:2], {"layer": "Dense", "units": 2**31}]
    ),
    "more layers than a network has": lambda d: d.update(layers=d["layers"] + [{"layer": "Flatten"}] * 10_000),
    "hundreds of layers one in the other": lambda d: d.update(layers=nested(d["layers"], 300)),
    "51 residuals one in the other": lambda d: d.update(layers=[*d["layers"], *nested([{"layer": "Flatten"}], 51)]),
    "an initializer of 40 dimensions": lambda d: d["layers"][0].update(initializer=lists("relu", 40)),
    "a weight of the loss beyond float32": lambda d: d.update(loss={"name": "focal", "alpha": 1e300}),
    "callbacks that remember a dictionary": lambda d: d.update(callbacks=[1, [["EarlyStopping", {"best": {}}]]]),
    "powers beyond 1": lambda d: d["training"].update(powers=["0x1p+10", "0x1p+0"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_description_that_does_not_fit(change, saved):
    _, path = saved
    rewritten(path, CHANGES[change])
    refused(path)


def put(name, make):
    def change(tensors):
        tensors[name] = make(tensors[name])

    return change


TENSORS = {
    "a missing W": lambda t: t.pop("layers.1.W.weights"),
    "a missing b": lambda t: t.pop("layers.2.b.weights"),
    "a missing state": lambda t: t.pop("layers.0.W.v"),
    "another name": lambda t: t.update({"layers.0.w.weights": t.pop("layers.0.W.weights")}),
    "a transposed W": put("layers.0.W.weights", lambda a: np.ascontiguousarray(a.T)),
    "a flat W": put("layers.0.W.weights", lambda a: a.ravel()),
    "a row too few": put("layers.0.W.weights", lambda a: a[:-1].copy()),
    "a long b": put("layers.0.b.weights", lambda a: np.zeros(20, np.float32)),
    "a scalar": put("layers.0.b.weights", lambda a: np.zeros((), np.float32)),
    "an empty state": put("layers.0.W.m", lambda a: a[:0].copy()),
    "W of float64": put("layers.0.W.weights", lambda a: a.astype(np.float64)),
    "W of integers": put("layers.0.W.weights", lambda a: a.astype(np.int32)),
    "a state of float16": put("layers.1.W.v", lambda a: a.astype(np.float16)),
    "NaN in W": put("layers.0.W.weights", lambda a: a * np.float32(np.nan)),
    "infinity in b": put("layers.0.b.weights", lambda a: a + np.float32(np.inf)),
    "a bias that is not used": put("layers.1.b.weights", lambda a: a + 1),
    "NaN in a state": put("layers.0.W.m", lambda a: a * np.float32(np.nan)),
    "infinity in a state": put("layers.0.W.v", lambda a: a + np.float32(np.inf)),
    "a negative second moment": put("layers.0.W.v", lambda a: a - 1),
}


@pytest.mark.parametrize("change", TENSORS)
def test_tensors_that_do_not_fit(change, saved):
    _, path = saved
    rewritten(path, tensors=TENSORS[change])
    refused(path)


@pytest.mark.parametrize(("name", "value"), [("scale", 1e-320), ("scale", 1e-40), ("mean", 1e300)])
def test_a_preprocessing_that_the_dtype_cannot_hold(name, value, path):
    model = fm.Model([fm.Dense(1)], preprocessing="standardize")
    model.fit(*(a[:, :1] for a in (data()[0], data()[0])), verbose=0)
    model.save(path)
    rewritten(path, tensors=put(f"preprocessing.{name}", lambda a: np.full_like(a, value)))
    refused(path, "more than float32 can hold")


def test_residuals_one_within_the_other(path):
    """As many as may be are printed, copied, pickled and saved."""
    layers = [fm.Dense(2)]
    for _ in range(50):
        layers = [fm.Residual(layers)]
    model = fm.Model(layers, n_inputs=2)
    model.save(path)
    for other in (fm.load(path), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.layers == model.layers
        assert repr(other) == repr(model)
    with pytest.raises(ValueError, match="at most 49 others one within the other"):
        fm.Residual(layers)


def test_mutations():
    """A few thousand damaged and hostile files; reliability/fuzz_readers.py reads a million."""
    with contextlib.closing(hostile.Model()) as reader:
        hostile.try_mutations(reader, 4000, random.Random(1))
        assert 0.03 < 1 - reader.n_refused / reader.n_read < 0.5


def endless():
    while True:
        pass


def raising(error):
    raise error


FAULTS = {
    "another error": (lambda: raising(RuntimeError("file")), RuntimeError, "file"),
    "an error without the file's name": (lambda: raising(ValueError("no")), hostile.Finding, "does not name the file"),
    "no end": (endless, hostile.Finding, "it took more than"),
    "much memory": (lambda: np.empty(1 << 28, np.uint8), MemoryError, None),
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere address space is not watched")
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_reader_are_noticed(fault, monkeypatch):
    monkeypatch.setattr(hostile, "SECONDS", 0.2)
    read, error, message = FAULTS[fault]
    with contextlib.closing(hostile.Model()) as reader:
        monkeypatch.setattr(reader, "read", read)
        with pytest.raises(error, match=message):
            reader.try_out(b"file")


def test_a_tensor_of_a_dtype_that_numpy_lacks(saved):
    _, path = saved
    header = json.dumps({
        "__metadata__": {"fastmlp": json.dumps({"format": 1})},
        "x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
    }).encode()  # fmt: skip
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    refused(path)


def test_unknown_tensors_are_left_alone(saved):
    """Somebody's notes may lie in the file too."""
    model, path = saved
    rewritten(path, tensors=lambda t: t.update(notes=np.zeros(3, np.uint8)))
    assert bits(fm.load(path)) == bits(model)


def test_the_file_is_not_held_open(saved):
    """Where a file cannot be replaced while it is mapped, on Windows, this would show."""
    _, path = saved
    model = fm.load(path)
    os.truncate(path, 0)
    assert np.isfinite(model.weights[0][0]).all()
    assert np.isfinite(model.predict(data()[0])).all()


# ---- what callbacks remember ----


class Remembers(fm.Callback):
    """Has some state."""

    def __init__(self, state=None):
        self.state, self.seen = state, None

    def get_state(self):
        return {"seen": self.state}


@pytest.mark.parametrize("state", [(1, 2), {"a": 1}, [1, 2], np.ones(3), [np.ones(3)], {1}])
def test_what_could_not_be_read_back_is_refused_when_it_is_written(state, tmp_path):
    X = np.ones((8, 2))
    model = fm.Model([fm.Dense(1)])
    with pytest.raises(TypeError, match=r"get_state of Remembers gives .* as 'seen', which a file cannot hold"):
        model.fit(X, X[:, 0], callbacks=[Remembers(state), fm.Checkpoint(tmp_path / "net")], verbose=0)
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    "state", [None, 3, 0.5, "warm", True, np.float32(0.5), np.int64(3), [(np.ones(3), np.ones(1))]]
)
def test_what_can_be_read_back_is_written(state, tmp_path):
    X = np.ones((8, 2))
    options = {"epochs": 2, "verbose": 0}
    fm.Model([fm.Dense(1)]).fit(X, X[:, 0], callbacks=[Remembers(state), fm.Checkpoint(tmp_path / "net")], **options)
    again = Remembers()
    options["epochs"] = 3
    fm.load(tmp_path / "net").fit(X, X[:, 0], callbacks=[again], initial_epoch=2, **options)
    np.testing.assert_equal(again.seen, state)


def test_files_of_before_steps_had_weights_load(tmp_path):
    X, y = np.random.default_rng(0).standard_normal((40, 5)), np.arange(40) % 3
    optimizer = fm.Adam(gradient_accumulation_steps=3)
    model = fm.Model([fm.Dense(5, "tanh"), fm.Dense(3)], "softmax_cross_entropy", optimizer, dtype="float64")
    model.fit(X, y, batch_size=10, epochs=2, verbose=0)  # two steps wait for an update
    model.save(tmp_path / "net")
    rewritten(tmp_path / "net", lambda described: described["training"].pop("weights"))
    old = fm.load(tmp_path / "net")
    for each in (old, model):
        each.fit(X, y, batch_size=10, epochs=2, verbose=0)
    for arrays, others in zip(old.weights, model.weights, strict=True):
        for array, other in zip(arrays, others, strict=True):
            np.testing.assert_allclose(array, other, rtol=1e-12)


def test_statistics_in_pickles_of_earlier_models_load():
    X = np.random.default_rng(0).standard_normal((40, 5)) + 3
    y = 7 * X[:, :2] + 100
    model = fm.Model([fm.Dense(2)], preprocessing="whiten", targets="standardize", seed=3)
    model.fit(X, y, epochs=2, verbose=0)
    core = model._core
    old = fm.Model.__new__(fm.Model)
    old.__setstate__({
        "_layers": core.layers, "_n_outputs": 2, "_weighted": core.weighted, "_loss": core.loss, "_dtype": "float32",
        "_optimizer": core.optimizer, "_seed": 3, "_preprocessing": core.preprocessing, "_targets": "standardize",
        "_metrics": (), "_kept": None, "_notes": {}, "_n_threads": None, "stop_training": False,
        "stop_reason": "callback", "history": model.history, "n_inputs": 5, "weights": core.network.get_weights(),
        "training": core.network.get_state(), "_statistics": core.statistics,
        "_target_statistics": core.target_statistics,
    })  # fmt: skip
    assert old.predict(X).tobytes() == model.predict(X).tobytes()
    assert old.statistics.keys() == {"mean", "matrix"}
    assert old.target_statistics.keys() == {"mean", "scale"}


def test_pickles_of_earlier_models_load():
    """What their state had not yet has its default; models had no core, and a history its values in an attribute."""
    X, y = np.random.default_rng(0).standard_normal((40, 5)), np.arange(40) % 3
    optimizer = fm.Adam(gradient_accumulation_steps=3)
    model = fm.Model([fm.Dense(5, "tanh"), fm.Dense(3)], "softmax_cross_entropy", optimizer, dtype="float64")
    model.fit(X, y, batch_size=10, epochs=2, verbose=0)
    assert model._core.network.get_state()["pending"] == 2
    core = model._core
    state = {
        "_layers": core.layers, "_n_outputs": core.n_outputs, "_weighted": core.weighted, "_loss": core.loss,
        "_dtype": core.dtype, "_optimizer": core.optimizer, "_seed": core.seed, "_preprocessing": core.preprocessing,
        "_metrics": core.metrics, "_kept": core.callback_states, "_notes": core.notes, "_n_threads": core.n_threads,
        "stop_training": False, "stop_reason": "callback", "n_inputs": 5, "weights": core.network.get_weights(),
        "training": core.network.get_state(), "own": "attribute of a subclass",
    }  # fmt: skip
    del state["training"]["weights"]
    history = fm.History.__new__(fm.History)
    history.__setstate__({"epoch": [0, 1], "history": model.history.history, "stopped": "epochs done"})
    state["history"] = history
    old = fm.Model.__new__(fm.Model)
    old.__setstate__(state)
    assert dict(old.history) == dict(model.history)
    assert (old.history.epoch, old.history.stopped) == ([0, 1], "epochs done")
    assert old.history.history == model.history.history
    assert old.own == "attribute of a subclass"
    for each in (old, model):
        each.fit(X, y, batch_size=10, epochs=2, verbose=0)
    for (W, b), (other, c) in zip(old.weights, model.weights, strict=True):
        np.testing.assert_allclose(W, other, rtol=1e-12)
        np.testing.assert_allclose(b, c, rtol=1e-12)
