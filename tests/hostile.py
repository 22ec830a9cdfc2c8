"""Hostile files for the readers: real files to begin with, ways to damage them, and what must hold of a reader.

Shared by test_files.py, test_datasets.py and reliability/fuzz_readers.py.
"""

import contextlib
import copy
import gc
import gzip
import json
import os
import signal
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np

import fastmlp as fm
from fastmlp import datasets, tables

if sys.platform != "win32":
    import resource

SECONDS = 5  # of the processor that a read may take
SPARE = 48 << 20  # bytes that a read may allocate, besides a multiple of the file's size


class Finding(Exception):  # noqa: N818  (what a fuzzer calls it)
    """A reader did what none may do, with a file of this content."""

    content = b""


class Late(BaseException):
    """A reader took too long; no Exception, which it might catch."""


# ---- what must hold ----


@contextlib.contextmanager
def limited(spare):
    """On Linux, an end of address space so many bytes away; gives whether there is one."""
    limits = None
    if sys.platform == "linux":
        with open("/proc/self/statm", "rb", buffering=0) as statm:
            mapped = int(statm.read(100).split()[0]) * resource.getpagesize()
        if mapped < 1 << 40:  # not under a sanitizer, which maps terabytes
            limits = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (mapped + spare, limits[1]))
    try:
        yield limits is not None
    finally:
        if limits is not None:
            resource.setrlimit(resource.RLIMIT_AS, limits)


@contextlib.contextmanager
def watched(size):
    """Bounds for the reading of a file of so many bytes: of the processor's time and, on Linux, of address space."""

    def late(*_):
        raise Late

    if sys.platform == "win32":  # which has neither limits nor such a timer
        yield
        return
    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with limited(SPARE + 50 * size):
            yield
    except Late:
        raise Finding(f"it took more than {SECONDS} seconds of the processor") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Reader:
    """One reader in a folder of its own; `try_out` raises whatever it should not."""

    allowed = (ValueError, OSError)

    def __init__(self):
        root = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(prefix="fastmlp-hostile-", dir=root)
        self.path = str(Path(self._folder.name) / "file")
        self.n_read = self.n_refused = 0

    def close(self):
        """Remove the folder."""
        self._folder.cleanup()

    def try_out(self, content):
        """Read a file of this content: it is refused by one of the errors that are documented, or read."""
        Path(self.path).write_bytes(content)
        self.n_read += 1
        try:
            with watched(len(content)):
                found = self.read()
        except self.allowed as error:
            self.n_refused += 1
            if self.path not in str(error):
                raise Finding(f"the error does not name the file: {error!r}") from error
        else:
            self.check(found, content)


class Model(Reader):
    """`fastmlp.load`. What it accepts predicts, trains, and is saved and read again with the same bits."""

    def read(self):
        return fm.load(self.path)

    def check(self, model, content):
        state = states(model)
        model.save(self.path)
        if states(fm.load(self.path)) != state:
            raise Finding("what was accepted is not what is saved and read again")
        X = np.linspace(-1, 1, 2 * model.n_inputs).reshape(2, -1)
        with contextlib.suppress(ValueError):  # a preprocessing that has seen no data
            if model.predict(X).shape != (2, model.n_outputs):
                raise Finding("predictions have another shape than promised")
            labels = model.loss.link == "softmax"
            y = np.zeros(2, int) if labels else np.zeros((2, model.loss.n_targets(model.n_outputs)))
            with contextlib.suppress(fm.DivergedError):
                model.fit(X, y, epochs=2, verbose=0)

    def seeds(self):
        """Real files: each option of a file is in one of them."""
        rng = np.random.default_rng(0)
        X, found = rng.standard_normal((20, 4)), []
        for layers, loss, optimizer, options in (
            ([fm.Dense(3)], "mean_squared_error", "sgd", {}),
            (
                [fm.Dense(5, "elu", 0.5, l1=0.1, max_norm=1.0), fm.BatchNorm(), fm.Dropout(0.2), fm.Dense(3)],
                fm.losses.SoftmaxCrossEntropy(0.1),
                fm.Adam(fm.schedules.Warmup(3, fm.schedules.CosineRestarts(0.01, 20)), amsgrad=True),
                {"preprocessing": "standardize", "metrics": ["f1", fm.metrics.Metric("precision", average="macro")]},
            ),
            (
                [fm.Residual([fm.LayerNorm(), fm.Dense(4, "gelu")]), fm.PReLU(), fm.Flatten(), fm.Dense(2)],
                fm.losses.BinaryCrossEntropy("sum", positive_weight=(2, 0.5)),
                fm.SGD(fm.schedules.MultiStep(0.1, (2, 5)), momentum=0.9, use_ema=True, global_clipnorm=1.0),
                {"dtype": "float64", "preprocessing": fm.Whiten("pca"), "n_threads": 2},
            ),
            (
                [fm.Activation("tanh"), fm.Dense(2, initializer="orthogonal", bias_initializer="ones")],
                fm.losses.Quantile((0.1, 0.9)),
                fm.Nadam(gradient_accumulation_steps=3, weight_decay=0.1),
                {"seed": 2**63, "metrics": ["mae"]},
            ),
            ([fm.Dense(2, "relu", use_bias=False)], fm.losses.Focal(alpha=(1, 2)), fm.RMSprop(centered=True), {}),
        ):
            if isinstance(loss, fm.losses.Focal):
                layers = [*layers, fm.Dense(2, trainable=False)]
            model = fm.Model(layers, loss, optimizer, **options)
            if model.loss.link == "softmax":
                y = rng.integers(0, 2, 20)
            else:
                y = rng.integers(0, 2, (20, model.loss.n_targets(model.n_outputs)))
            callbacks = [fm.EarlyStopping("loss", restore_best_weights=True), fm.Checkpoint(self.path)]
            model.fit(X, y, epochs=2, verbose=0, callbacks=callbacks[1:] if loss == "mean_squared_error" else callbacks)
            found.append(Path(self.path).read_bytes())
        return found

    def mutated(self, content, random, raw):
        """A file with one to three changes; `raw` changes bytes, `random` is a random.Random."""
        parts = None if random.random() < 0.15 else taken_apart(content)
        if parts is None:
            return raw(content)
        try:
            for _ in range(random.choice((1, 1, 1, 2, 3))):
                what = random.random()
                if what < 0.6:
                    change_json(parts[1], random)
                elif what < 0.8:
                    change_json(parts[0], random)
                else:
                    parts[2] = changed_numbers(parts[2], random)
            return put_together(parts, random)
        except RecursionError:  # what could be read is too deep for more
            return raw(content)


def states(model):
    """All that a file holds of the training, as bytes and numbers."""
    state = model._core.__getstate__()
    training = state["training"]
    pairs = [*state["weights"], *(pair for name in sorted(training["states"]) for pair in training["states"][name])]
    counts = {name: value for name, value in training.items() if name != "states"}
    return (
        [array.tobytes() for pair in pairs for array in pair],
        {name: array.tobytes() for name, array in model._core.statistics.items()},
        repr((counts, model, model.seed, model.n_threads, model.history.history)),
    )


def taken_apart(content):
    """Header, description and the bytes of the tensors; None where that cannot be."""
    size = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + size])
        return [header, json.loads(header["__metadata__"].pop("fastmlp")), bytes(content[8 + size :])]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def put_together(parts, random):
    header, described, tensors = parts
    if isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        header["__metadata__"]["fastmlp"] = json.dumps(described)
    text = json.dumps(header).encode()
    size = len(text) if random.random() < 0.98 else random.choice(NUMBERS[:12])
    return struct.pack("<Q", size if isinstance(size, int) and 0 <= size < 2**64 else 2**64 - 1) + text + tensors


NUMBERS = (
    0, 1, -1, 2, 3, 7, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**40, 2**53, 2**62 - 1, 2**63 - 1, 2**63, 2**64 - 1,
    2**64, 10**40, 10**400, 0.5, 1.5, -0.0, 1e-320, 1e-45, 1e308, float("nan"), float("inf"), -float("inf"),
)  # fmt: skip
WORDS = (
    "", "nan", "inf", "-inf", "0x1p-1074", "0x1p+1023", "\x00", "\ud800", "ü", "os.system", "__class__", "a" * 300,
    "custom", "lbfgs", "sgd", "momentum", "adam", "lion", "softmax_cross_entropy", "mean_squared_error",
    "binary_cross_entropy", "binary_focal", "focal", "hinge", "huber", "poisson", "quantile", "gaussian_nll", "Dense",
    "Dropout", "Residual", "Layer", "BatchNorm", "LayerNorm", "PReLU", "Flatten", "Activation", "relu", "identity",
    "warmup", "constant", "one_cycle", "polynomial", "inverse_scaling", "step_decay", "exponential", "multi_step",
    "cosine_restarts", "float16", "float32", "float64", "U8", "I64", "F16", "F32", "F64", "BF16", "F8_E4M3", "F8_E8M0",
    "F4", "F6_E2M3", "C64", "BOOL", "whiten", "standardize", "roc_auc", "normal", "truncated_normal", "orthogonal",
)  # fmt: skip
NAMES = (
    "name", "layer", "layers", "units", "activation", "alpha", "use_bias", "initializer", "bias_initializer", "l1",
    "l2", "max_norm", "trainable",
    "learning_rate_factor", "rate", "epsilon", "momentum", "learning_rate", "then", "steps",
    "total_steps", "weight_decay", "clipvalue", "global_clipnorm", "gradient_accumulation_steps", "use_ema", "method",
    "ema_momentum", "levels", "positive_weight", "gamma", "delta", "label_smoothing", "outputs", "function", "options",
    "seed", "dtype", "n_inputs", "n_threads", "format", "shape", "data_offsets", "amsgrad", "nesterov", "scale", "mode",
    "distribution", "power", "milestones", "decay_steps", "first_decay_steps", "t_mul", "m_mul", "div_factor",
)  # fmt: skip


def change_json(root, random):
    """Change one place in a tree of lists and dictionaries."""
    places, stack = [], [root]
    while stack:
        node = stack.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            places.append((node, key))
            stack.append(node[key])
    if not places:
        return
    (node, key), (other, its) = random.choice(places), random.choice(places)
    value, what = node[key], random.random()
    if what < 0.1:
        del node[key]
    elif what < 0.3:
        node[key] = copy.deepcopy(other[its])
    elif what < 0.4 and isinstance(node, dict):
        node[random.choice(NAMES)] = random.choice((value, random.choice(NUMBERS), random.choice(WORDS)))
    elif what < 0.5 and isinstance(node, list):
        node.insert(key, copy.deepcopy(other[its]))
    elif what < 0.55 and isinstance(value, list):
        node[key] = value * random.choice((2, 3, 50)) if len(repr(value)) < 2000 else value[:1]
    elif what < 0.58:
        node[key] = nested(value, random)
    elif what < 0.7 and isinstance(value, int | float):
        with contextlib.suppress(OverflowError):
            node[key] = random.choice((value + 1, value - 1, -value, 2 * value, value * 1000, value / 2, str(value)))
    elif what < 0.85:
        node[key] = random.choice(NUMBERS)
    elif what < 0.95:
        node[key] = random.choice(WORDS)
    else:
        node[key] = random.choice((None, True, False, [], {}, [[]], [1], {"name": random.choice(WORDS)}, {"a": None}))


def nested(value, random):
    """The value within many lists, dictionaries or layers."""
    kind, depth = random.randrange(4), random.choice((1, 2, 30, 49, 50, 300, 900))
    for _ in range(depth):
        value = (
            [value], {"a": value}, {"layer": "Residual", "layers": value if isinstance(value, list) else [value]},
            {"name": "warmup", "steps": 2, "then": value},
        )[kind]  # fmt: skip
    return value


def changed_numbers(tensors, random):
    """Some bytes of the tensors as other numbers, or another length."""
    changed = bytearray(tensors)
    if not changed or random.random() < 0.2:
        return bytes(changed[: random.randrange(len(changed) + 1)]) + bytes(random.choice((0, 1, 4, 64)))
    number = random.choice([n for n in NUMBERS if isinstance(n, float)] + [1e-30, -1e30, 3e38])
    with np.errstate(over="ignore"):
        packed = np.array(number, random.choice(("<f4", "<f8"))).tobytes()
    first = random.randrange(len(changed)) // 4 * 4
    changed[first : first + len(packed)] = packed
    return bytes(changed[: len(tensors)])


class Idx(Reader):
    """`fastmlp.datasets.read_idx`. What it accepts is as large as the file says."""

    def read(self):
        return datasets.read_idx(self.path)

    def check(self, array, content):
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        if array.nbytes + 4 + 4 * array.ndim != len(plain) or not array.dtype.isnative:
            raise Finding(f"{array.dtype} of shape {array.shape} from {len(plain)} bytes")
        again = array.astype(array.dtype.newbyteorder(">")).tobytes()
        if again != bytes(plain[-array.nbytes :]):
            raise Finding("other elements than the file's")

    def seeds(self):
        rng = np.random.default_rng(0)
        found = []
        for code, stored in datasets._IDX_TYPES.items():
            for shape in ((7,), (2, 3), (2, 1, 3, 2)):
                header = bytes([0, 0, code, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
                found.append(header + rng.integers(0, 99, shape).astype(stored).tobytes())
        return found + [gzip.compress(each, mtime=0) for each in found[::4]]

    def mutated(self, content, random, raw):
        packed = content[:2] == b"\x1f\x8b"
        what = random.random()
        if packed and what < 0.5:
            return raw(content)
        with contextlib.suppress(Exception):  # a damaged one remains packed
            content = gzip.decompress(content) if packed else content
        changed = bytearray(content)
        if what < 0.6:
            changed[:] = raw(bytes(changed))
        elif len(changed) > 4:
            first = random.randrange(0, min(len(changed), 24))
            size = random.choice((1, 4))
            number = random.choice(
                (0, 1, 2, 3, 8, 9, 11, 12, 13, 14, 31, 32, 33, 127, 128, 255, 2**16, 2**31, 2**32 - 1)
            )
            changed[first : first + size] = (number % 256**size).to_bytes(size, "big")
        if what > 0.9:  # a length that fits
            changed += bytes(random.choice((1, 3, 8, 100, 10_000)))
        return gzip.compress(bytes(changed), 1, mtime=0) if packed or random.random() < 0.1 else bytes(changed)


class Table(Reader):
    """The tables of CSV files. What is accepted has as many rows as it says."""

    allowed = (tables.TableError, OSError)

    def read(self):
        table = tables.read(self.path)
        numbers = table.numbers(table.columns, "")
        return table, numbers

    def check(self, found, content):
        table, numbers = found
        if numbers.shape != (table.n_rows, len(table.columns)) or not np.isfinite(numbers).all():
            raise Finding(f"{numbers.shape} numbers of {table.n_rows} rows")

    def seeds(self):
        return [
            b"a,b,c\n1,2,3\n4,5.5,-6e3\n", b"a1,b\r\n3,4\r\n", b'"a b","c ""d"""\n1,2\n\n"3",4\n', b"x\n1\n2\n",
            "\ufeffgröße,ß\n1,2\n".encode(), b"1,b,c\n4,5,6\n", b"a,b,\n1,2,3\n", b"a,b\n1, 2 ",
        ]  # fmt: skip

    def mutated(self, content, random, raw):
        if random.random() < 0.5:
            return raw(content)
        marks = (
            b",",
            b'"',
            b"\n",
            b"\r",
            b"\x00",
            b"\xff",
            b"\xef\xbb\xbf",
            b";",
            b"1e999",
            b"nan",
            b"a",
            b" ",
            b"_",
            b"1",
        )
        first = random.randrange(len(content) + 1)
        return (
            content[:first]
            + random.choice(marks) * random.choice((1, 1, 2, 300))
            + content[first + random.randrange(3) :]
        )


READERS = {"model": Model, "idx": Idx, "table": Table}


# ---- mutation without a fuzzer ----


def raw_mutation(random):
    """Function that changes some bytes."""

    def mutate(content):
        changed = bytearray(content)
        for _ in range(random.choice((1, 1, 2, 4))):
            first, what = random.randrange(len(changed) + 1), random.random()
            if what < 0.6 and first < len(changed):
                changed[first] = random.choice((changed[first] ^ 1 << random.randrange(8), random.randrange(256)))
            elif what < 0.8:
                del changed[first : first + random.choice((1, 2, 4, 8, 1000))]
            else:
                changed[first:first] = bytes(random.randrange(256) for _ in range(random.choice((1, 2, 4, 8))))
        return bytes(changed)

    return mutate


def try_mutations(reader, runs, random):
    """So many mutations, each of a real file or of one of the mutations before it; Finding where one fails."""
    seeds, raw = reader.seeds(), raw_mutation(random)
    for seed in seeds:
        reader.try_out(seed)
    if reader.n_refused:
        raise Finding(f"{reader.n_refused} real files are refused")
    pool = list(seeds)
    for i in range(runs):
        content = reader.mutated(random.choice(random.choice((seeds, pool))), random, raw)
        try:
            reader.try_out(content)
        except Exception as error:  # whatever it is, the file that did it is told
            finding = Finding(f"mutation {i}: {type(error).__name__}: {error}; the file is {content!r}")
            finding.content = content
            raise finding from error
        if len(content) < 20_000:
            pool[len(seeds) + i % 100 : len(seeds) + i % 100 + 1] = [content]
        if i % 1000 == 999:
            gc.collect()
