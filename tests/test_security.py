"""No file makes code run, and nothing but load_mnist opens a connection: what SECURITY.md says."""

import ast
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import fastmlp as fm

PACKAGE = Path(fm.__file__).parent

# What may run code, read what runs code, start programs or open connections. A module stands for all that is in it.
MODULES = {
    *("pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml", "codeop", "runpy"),
    *("subprocess", "multiprocessing", "pty", "ctypes", "cffi", "importlib", "pkgutil", "imp"),
    *("socket", "ssl", "http", "urllib", "ftplib", "smtplib", "socketserver", "asyncio", "requests", "webbrowser"),
}
CALLS = {
    *("eval", "exec", "compile", "__import__", "globals", "breakpoint"),
    *("os.system", "os.popen", "os.fork", "os.startfile"),
    *("numpy.load", "numpy.fromfile", "numpy.lib", "numpy.ctypeslib", "sys.modules", "builtins"),
}
FAMILIES = {"os.exec", "os.spawn", "os.posix_spawn"}  # beginnings of names
# The only uses, each with its reason. A use that is gone must leave this table.
ALLOWED = {
    ("__init__.py", "importlib"): "own modules, by the names in two tables of this file, at their first use",
    ("__init__.py", "globals"): "to keep what was found there",
    ("datasets.py", "numpy.load"): "the two data sets in the package, with allow_pickle=False (see below)",
    ("datasets.py", "urllib"): "load_mnist, through an opener that speaks https alone",
    ("datasets.py", "http"): "the exceptions of that",
    ("datasets.py", "ssl"): "certificates are checked",
    ("_progress.py", "sys.modules"): "whether this is a notebook: asks IPython, if it is there",
    ("config.py", "sys.modules"): "whether multiprocessing started this process: asks it, if it is there",
    ("bench/frameworks.py", "sys.modules"): "whether Keras is loaded, and on which backend",
    ("bench/peers.py", "importlib"): "which other libraries are installed, and their versions",
}


def uses(tree):
    """Modules imported and names used that stand above, aliases of imports resolved."""
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases |= {name.asname or name.name.partition(".")[0]: name.name for name in node.names}
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            aliases |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            first, _, rest = ast.unparse(node).partition(".")
            yield f"{aliases.get(first, first)}.{rest}".rstrip(".")


def suspicious(source):
    """Which of MODULES and CALLS a source uses."""
    found = set()
    for name in uses(ast.parse(source)):
        found |= {module for module in MODULES if name == module or name.startswith(f"{module}.")}
        found |= {call for call in CALLS if name == call or name.startswith(f"{call}.")}
        found |= {family for family in FAMILIES if name.startswith(family)}
    return found


def test_nothing_runs_code_but_what_is_listed():
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in suspicious(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from os import system as f; f('true')", "os.system"),
        ("import os\nos.execv('a', [])", "os.exec"),
        ("def f():\n    import pickle", "pickle"),
        ("from importlib import import_module", "importlib"),
        ("import numpy as np\nx = np.load('a.npy')", "numpy.load"),
        ("load = eval", "eval"),
        ("import urllib.request", "urllib"),
    ],
)
def test_the_search_finds_what_it_is_for(source, expected):
    assert suspicious(source) == {expected}
    assert suspicious("import numpy as np\nos_system = np.loadtxt; evaluate = 1; x.compile()") == set()


def test_cython_sources_run_no_code():
    sources = [path for kind in ("*.pyx", "*.pxi") for path in (PACKAGE.parent / "fastmlp").rglob(kind)]
    for path in sources:  # an installed package has none; the checkout has
        words = set(path.read_text(encoding="utf-8").replace("(", " ").replace(".", " ").split())
        assert not words & {"eval", "exec", "__import__", "pickle", "subprocess", "system", "popen", "importlib"}, path


def test_shipped_arrays_are_read_without_pickle():
    tree = ast.parse((PACKAGE / "datasets.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load"]
    assert calls
    assert all("allow_pickle=False" in ast.unparse(call) for call in calls)


# ---- files ----

# Texts that would do something, were a text of a file ever looked up anywhere but in fastmlp's own tables.
HOSTILE = [
    "os.system", "__import__('os').system('exit 3')", "eval", "builtins.eval", "__class__", "__init__", "__reduce__",
    "Layer", "Model", "Sequential", "../../../etc/passwd", "fastmlp.model.Model", "\0", "\ud7ff", "{0.__class__}", "",
]  # fmt: skip

# Run in a process of its own: an audit hook stays. Python tells it of every import, compilation, execution, program
# started, connection and file opened. Nothing of that may happen but the reading of the file.
TRIAL = """
import copy, json, os, sys, warnings
import fastmlp as fm

folder, hostile = sys.argv[1], json.loads(sys.argv[2])
X, y = fm.datasets.load_digits()
layers = [fm.Dense(8, "relu", initializer=fm.initializers.VarianceScaling(2.0)), fm.BatchNorm(), fm.Dropout(0.1),
          fm.Residual([fm.Dense(8, "tanh"), fm.LayerNorm()]), fm.PReLU(), fm.Dense(10)]
rate = fm.schedules.Warmup(5, fm.schedules.Exponential(1e-2, 100, 0.9))
model = fm.Model(layers, "softmax_cross_entropy", fm.Adam(rate), preprocessing="standardize",
                 metrics=["accuracy", fm.metrics.Metric("top_k_accuracy", k=3)])
stop = fm.EarlyStopping(patience=1, restore_best_weights=True)
path = os.path.join(folder, "model.safetensors")
model.fit(X[:300] / 16, y[:300], epochs=3, validation_split=0.2, callbacks=[stop], verbose=0)
model.save(path)
with open(path, "rb") as file:
    content = file.read()
size = int.from_bytes(content[:8], "little")
header, arrays = json.loads(content[8 : 8 + size]), content[8 + size :]
described = json.loads(header["__metadata__"]["fastmlp"])


def written(changed):
    header["__metadata__"]["fastmlp"] = json.dumps(changed)
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    with open(path, "wb") as file:
        file.write(len(packed).to_bytes(8, "little") + packed + arrays)


def places(value, way=()):
    # Every text of the description, keys included: where it is, and whether it is a key.
    if isinstance(value, str):
        yield way, False
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield (*way, key), True
            yield from places(inner, (*way, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from places(inner, (*way, i))


def replaced(way, is_key, text):
    changed = copy.deepcopy(described)
    inside = changed
    for step in way[:-1]:
        inside = inside[step]
    if is_key:
        inside[text] = inside.pop(way[-1])
    else:
        inside[way[-1]] = text
    return changed


seen, watching = [], False


def hook(event, arguments):
    # object.__getattr__: layers read, but do not call, __code__ of functions, to name a wrong argument's right name.
    if watching and event != "object.__getattr__" and (event, arguments[:1]) != ("open", (path,)):
        seen.append((event, repr(arguments)[:200]))


written(described)
fm.load(path)  # what it imports, once
sys.addaudithook(hook)
loaded, refused, count = 0, 0, 0
all_places = list(places(described))
for i, (way, is_key) in enumerate(all_places):
    for text in (hostile + hostile)[5 * i % len(hostile):][:5]:  # five at each place, in turn
        written(replaced(way, is_key, text))
        watching, count = True, count + 1
        try:
            fm.load(path)
            loaded += 1
        except ValueError:
            refused += 1
        finally:
            watching = False
written(described)
watching = True
fm.load(path)
watching = False
print(json.dumps({"places": len(all_places), "count": count, "loaded": loaded, "refused": refused, "seen": seen[:9]}))
"""


def test_texts_in_a_file_are_only_looked_up(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRIAL), str(tmp_path), json.dumps(HOSTILE)],
        capture_output=True, text=True, cwd=PACKAGE.parent, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["seen"] == [], found
    assert found["places"] > 100
    assert found["count"] == found["loaded"] + found["refused"] == found["places"] * 5
    assert found["refused"] > found["count"] / 2
