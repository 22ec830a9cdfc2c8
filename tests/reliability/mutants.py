"""Change one thing in a Python module and see whether a test notices.

A mutant is the package with one operator, constant, condition, argument or statement changed. Of the test files that
fit its module, those tests run that reach the changed line, quick ones first. A mutant whose tests pass survives: a
test is missing there, or the change changes nothing (an equivalent mutant).

    python tests/reliability/mutants.py                        300 mutants of all modules
    python tests/reliability/mutants.py --modules losses --count 20 --seed 7
    python tests/reliability/mutants.py --only losses:213:4    one again, by the name that a run printed

Works on a copy. Wants an in-place build (python setup.py build_ext --inplace), and coverage and pytest installed. Exits
with 1 when a mutant survives that KNOWN does not explain.
"""

import argparse
import ast
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import coverage
import hypothesis.strategies  # noqa: F401  (what test modules import, once for all mutants)
import numpy.testing  # noqa: F401  (the same)
import pytest
import safetensors.numpy  # noqa: F401  (the same)

ROOT = Path(__file__).resolve().parents[2]

# Which test files fit a module, a path in the package without its ending. Of these the tests run that reach the changed
# line.
FITTING = {
    "_validation": ["bounds", "bad_input", "options", "sample_weight", "split"],
    "core": ["model", "bad_input", "options", "files"],
    "_evaluation": ["batches", "habits", "targets"],
    "training/fit": ["training", "batches", "resume", "split"],
    "training/session": ["training", "batches", "resume", "callbacks"],
    "training/batches": ["batches", "resume"],
    "training/reader": ["batches"],
    "training/lbfgs": ["lbfgs"],
    "schedules/cycles": ["bounds", "schedules", "other_names"],
    "schedules/decays": ["bounds", "schedules", "other_names"],
    "optimizers/adam": ["bounds", "optimizers", "options", "other_names"],
    "optimizers/descent": ["bounds", "optimizers", "options", "other_names"],
    "losses/classes": ["bounds", "losses", "other_names", "sample_weight"],
    "losses/values": ["bounds", "losses", "other_names", "sample_weight"],
    "losses/custom": ["custom_loss"],
    "metrics/classes": ["metrics", "bad_input"],
    "metrics/values": ["metrics", "bad_input"],
    "metrics/metric": ["metrics", "bad_input"],
    "tables/numbers": ["tables", "programs"],
    "tables/reading": ["tables", "programs"],
    "tables/classes": ["programs"],
    "history": ["history", "training"],
    "files": ["files", "resume", "regressions"],
    "_writing": ["files", "faults"],
    "preprocessing": ["preprocessing", "files"],
    "initializers/kinds": ["bounds", "initializers", "other_names"],
    "layers/stack": ["bounds", "layers", "other_names", "files", "summary"],
    "layers/dense": ["bounds", "layers", "other_names", "files", "summary"],
}

# Equivalent mutants, and those whose difference nobody promises: "module: what -> what it became", each with its
# reason. The groups are in docs/reliability.md.
KNOWN: dict[str, str] = {}

# ---- what is changed ----

COMPARISONS = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
ARITHMETIC = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "/", ast.Mod: "*", ast.Pow: "*",
    ast.BitAnd: "|", ast.BitOr: "&", ast.MatMult: "*",
}  # fmt: skip


class Finder(ast.NodeVisitor):
    """All changes of one module, as (first offset, last offset, new text)."""

    def __init__(self, source):
        self.source = source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line.encode()))
        self.bytes = source.encode()
        self.found = []
        self.visit(ast.parse(source))

    def at(self, line, column):
        return self.starts[line - 1] + column

    def change(self, node, text):
        self.found.append((self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset), text))

    def text(self, node):
        return self.bytes[
            self.at(node.lineno, node.col_offset) : self.at(node.end_lineno, node.end_col_offset)
        ].decode()

    # What no test should hold: annotations, documentation, the words of an error message.
    def visit_FunctionDef(self, node):
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        self.block(node.body)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_ClassDef(self, node):
        self.block(node.body)

    def visit_Module(self, node):
        self.block(node.body)

    def visit_Raise(self, node):
        self.change(node, "pass")

    def visit_JoinedStr(self, node):
        pass

    def visit_Import(self, node):
        pass

    visit_ImportFrom = visit_Import  # noqa: N815  (a name of ast.NodeVisitor)

    def visit_Subscript(self, node):
        if not (isinstance(node.value, ast.Name) and node.value.id in ("Literal", "Union", "Optional", "Callable")):
            self.generic_visit(node)

    def block(self, body):
        first = body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            body = body[1:]
        for statement in body:
            self.visit(statement)

    # Statements.
    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            self.change(node, "pass")
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        if type(node.op) in ARITHMETIC:
            target, value = self.text(node.target), self.text(node.value)
            self.change(node, f"{target} {ARITHMETIC[type(node.op)]}= {value}")
        self.generic_visit(node)

    def visit_Assign(self, node):
        if all(isinstance(target, ast.Attribute) for target in node.targets):
            self.change(node.value, "None")
        self.generic_visit(node)

    def visit_Return(self, node):
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.change(node, "return None")
        self.generic_visit(node)

    def visit_If(self, node):
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        self.change(node.test, f"not ({self.text(node.test)})")
        self.generic_visit(node)

    def visit_IfExp(self, node):
        self.change(node.test, f"(not ({self.text(node.test)}))")
        self.generic_visit(node)

    def visit_Continue(self, node):
        self.change(node, "break")

    def visit_Break(self, node):
        self.change(node, "continue")

    # Expressions.
    def visit_Compare(self, node):
        operands = [node.left, *node.comparators]
        for i, operator in enumerate(node.ops):
            parts = [self.text(node.left)]
            for j, each in enumerate(node.ops):
                symbol = COMPARISONS[type(operator)] if i == j else self.operator(operands[j], operands[j + 1])
                parts += [symbol, self.text(operands[j + 1])]
                _ = each
            self.change(node, f"({' '.join(parts)})")
        self.generic_visit(node)

    def operator(self, left, right):
        """The text between two operands."""
        begin, end = self.at(left.end_lineno, left.end_col_offset), self.at(right.lineno, right.col_offset)
        return self.bytes[begin:end].decode().strip()

    def visit_BoolOp(self, node):
        word = " and " if isinstance(node.op, ast.Or) else " or "
        self.change(node, "(" + word.join(f"({self.text(value)})" for value in node.values) + ")")
        self.generic_visit(node)

    def visit_BinOp(self, node):
        sides = (node.left, node.right)
        strings = any(isinstance(n, ast.JoinedStr) or isinstance(getattr(n, "value", 0), str) for n in sides)
        if type(node.op) in ARITHMETIC and not strings:
            self.change(node, f"({self.text(node.left)} {ARITHMETIC[type(node.op)]} {self.text(node.right)})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not | ast.USub):
            self.change(node, f"({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            self.change(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self.change(node, repr(node.value + 1))
        elif isinstance(node.value, str) and node.value and " " not in node.value:  # words are for people
            self.change(node, repr(node.value + "X"))

    def visit_Call(self, node):
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            self.generic_visit(node)
            return
        for keyword in node.keywords:  # one left out: its default takes its place
            if keyword.arg is not None:
                kept = [self.text(a) for a in node.args]
                kept += [self.text(k) for k in node.keywords if k is not keyword]
                self.change(node, f"{self.text(node.func)}({', '.join(kept)})")
        self.generic_visit(node)


def mutants_of(module):
    """{name: (line, source of the whole mutant, what changed)} of a module of fastmlp; names are module:line:number."""
    source = (ROOT / "fastmlp" / f"{module}.py").read_text(encoding="utf-8")
    finder, mutants, numbers = Finder(source), {}, {}
    data = source.encode()
    for begin, end, text in finder.found:
        mutant = data[:begin] + text.encode() + data[end:]
        line = data[:begin].count(b"\n") + 1
        try:
            if ast.dump(ast.parse(mutant)) == ast.dump(ast.parse(data)):
                continue
        except SyntaxError:
            continue
        numbers[line] = numbers.get(line, 0) + 1
        was = " ".join(data[begin:end].decode().split())
        mutants[f"{module}:{line}:{numbers[line]}"] = (line, mutant, f"{was} -> {text}")
    return mutants


# ---- which tests reach a line ----

PLUGIN = """
import json, os

times = {}


def pytest_runtest_logreport(report):
    name = report.nodeid.split("[")[0]
    times[name] = times.get(name, 0) + report.duration


def pytest_sessionfinish():
    with open(os.environ["MUTANTS_TIMES"], "w") as file:
        json.dump(times, file)
"""


def begin(folder, tests, log):
    """A process that runs these tests on the package in folder. Forked from this one, which has imported what takes
    seconds, but nothing of fastmlp."""

    def run():
        os.setsid()
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)
        os.environ.pop("PYTEST_ADDOPTS", None)
        with open(log, "wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        # Modules that this process imported are not rewritten by pytest, which says so.
        quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *quiet, *tests])
        sys.stdout.flush()
        os._exit(code)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    return process


def make_copy(folder):
    shutil.copytree(ROOT / "fastmlp", folder / "fastmlp", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, folder)


def reach(folder, modules):
    """({module: {line: tests}}, {test: seconds}) from one run of all fitting test files."""
    files = sorted({f"tests/test_{name}.py" for module in modules for name in FITTING[module]})
    (folder / "mutants_times.py").write_text(PLUGIN)
    (folder / "coverage.toml").write_text(
        '[tool.coverage.run]\nsource = ["fastmlp"]\ndynamic_context = "test_function"\ndata_file = ".reach"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "coverage", "run", "--rcfile=coverage.toml", "-m", "pytest", "-x", "-q", "-p",
         "no:cacheprovider", "-p", "mutants_times", *files],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(folder), "MUTANTS_TIMES": str(folder / "times.json")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        sys.exit(f"the tests fail without any change:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    times = json.loads((folder / "times.json").read_text())
    data = coverage.CoverageData(str(folder / ".reach"))
    data.read()
    found = {}
    for module in modules:
        fits = {f"test_{name}" for name in FITTING[module]}
        found[module] = {}
        for line, contexts in data.contexts_by_lineno(str(folder / "fastmlp" / f"{module}.py")).items():
            tests = set()
            for context in contexts:
                file, _, test = context.rpartition(".")
                tests.add(f"tests/{file.rpartition('.')[2]}.py::{test}")
            if "" in contexts:  # at import: any of them may notice
                tests |= {name for name in times if Path(name.partition("::")[0]).stem in fits}
            tests = {test for test in tests & set(times) if Path(test.partition("::")[0]).stem in fits}
            found[module][str(line)] = sorted(tests, key=lambda test: (times[test], test))
    return found, times


def tests_of(lines, line):
    """Those that reach a line, or the statement that it is the middle of."""
    found = lines.get(str(line))
    if not found:
        before = [int(at) for at in lines if int(at) < line]
        found = lines[str(max(before))] if before else []
    return found


# ---- the mutants ----


class Trial:
    """One mutant under test, in a folder of its own."""

    def __init__(self, name, mutant, folder, tests, seconds):
        self.name, self.folder, self.tests = name, folder, tests
        self.target = folder / "fastmlp" / f"{name.partition(':')[0]}.py"
        self.original = self.target.read_bytes()
        self.set(mutant)
        self.log = folder / "log"
        self.process = begin(folder, tests, self.log)
        self.deadline = time.monotonic() + 60 + 10 * seconds

    def set(self, source):
        for stale in (self.folder / "fastmlp" / "__pycache__").glob(f"{self.target.stem}.*"):
            stale.unlink()
        self.target.write_bytes(source)

    def finish(self):
        """(whether a test noticed, which)"""
        late = self.process.is_alive()
        if late:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.set(self.original)
        if late:
            return True, "it does not end"
        if self.process.exitcode == 0:
            return False, f"passed {len(self.tests)} tests"
        log = self.log.read_text(errors="replace")
        failed = [line.split()[1] for line in log.splitlines() if line.startswith(("FAILED", "ERROR "))]
        if not failed and "while loading conftest" in log:
            failed = ["tests/conftest.py"]
        if not failed:
            sys.exit(f"{self.name}: neither passed nor failed, exit code {self.process.exitcode}:\n{log}")
        return True, failed[0]


def trials(names, mutants, lines, times, folders):
    """(name, noticed, how) of each, as they end."""
    running, free, names = [], list(folders), list(names)[::-1]
    while names or running:
        while names and free:
            name = names.pop()
            line, mutant, _ = mutants[name]
            tests = tests_of(lines[name.partition(":")[0]], line)
            if tests:
                running.append(Trial(name, mutant, free.pop(), tests, sum(times[test] for test in tests)))
            else:
                yield name, False, "no test reaches it"
        multiprocessing.connection.wait([trial.process.sentinel for trial in running], timeout=5)
        for trial in list(running):
            if not trial.process.is_alive() or time.monotonic() > trial.deadline:
                running.remove(trial)
                result = trial.finish()
                free.append(trial.folder)
                yield trial.name, *result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", nargs="+", default=list(FITTING), choices=list(FITTING), metavar="MODULE")
    parser.add_argument(
        "--count", type=int, default=300, help="mutants, drawn at random from all modules (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="at a time (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these mutants")
    parser.add_argument("--reach", type=Path, help="a file to keep in which tests reach which lines, for the next run")
    parser.add_argument("--list", action="store_true", help="only say how many there are")
    options = parser.parse_args()
    modules = sorted({name.partition(":")[0] for name in options.only}) or options.modules
    mutants = {name: mutant for module in modules for name, mutant in mutants_of(module).items()}
    if options.list:
        for module in modules:
            print(f"{module:<15}{sum(name.startswith(module + ':') for name in mutants):>6}")
        return 0
    names = sorted(mutants)
    drawn = options.only or random.Random(options.seed).sample(names, min(options.count, len(names)))
    survivors, caught = [], 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        folders = [Path(place, str(i)) for i in range(options.jobs)]
        for folder in folders:
            make_copy(folder)
        if options.reach and options.reach.exists():
            lines, times = json.loads(options.reach.read_text())
        else:
            lines, times = reach(folders[0], modules)
            if options.reach:
                options.reach.write_text(json.dumps([lines, times]))
        print(f"{len(mutants)} mutants of {len(modules)} modules, {len(drawn)} of them run", flush=True)
        # A trial of what is not changed must pass, or every mutant would seem caught.
        module = modules[0]
        same = Trial(
            f"{module}:0:0", (ROOT / "fastmlp" / f"{module}.py").read_bytes(), folders[0], list(times)[:20], 60
        )
        same.process.join()
        if same.finish()[0]:
            sys.exit(f"tests fail without any change: {same.log.read_text()}")
        for name, noticed, how in trials(drawn, mutants, lines, times, folders):
            change = mutants[name][2]
            known = KNOWN.get(f"{name.partition(':')[0]}: {change}")
            caught += noticed
            word = "caught" if noticed else "known" if known else "SURVIVED"
            if word == "SURVIVED":
                survivors.append(name)
            print(f"{word:<9}{name:<24}{change}   [{known if word == 'known' else how}]", flush=True)
    print(f"{len(drawn)} mutants: {caught} caught, {len(drawn) - caught - len(survivors)} explained, "
          f"{len(survivors)} survived")  # fmt: skip
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
