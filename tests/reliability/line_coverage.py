"""Which lines of Python, Cython and C the tests run.

    python tests/reliability/line_coverage.py                          the whole suite, a table, 1 if below 95 %
    python tests/reliability/line_coverage.py -- tests/test_dense.py   some tests
    python tests/reliability/line_coverage.py --keep /tmp/cov          keep the build and what it counted
    python tests/reliability/line_coverage.py --report /tmp/cov        only the table of what is kept there

Builds a copy of the checkout with gcc and --coverage, for every instruction set, and runs the tests on it.

Python: coverage.py, subprocesses and threads included.
C: gcov. The kernels are compiled once for each instruction set and dtype; a line counts where any build ran it, and
   what single builds miss is listed below the table.
Cython: gcov of the generated C, whose comments say which line of a .pyx or .pxi file it comes from. A line counts
   where any C of it ran; the code at the end of a function belongs to no line. (Cython's own tracing would slow the
   engine down, and wants the GIL where the engine has none.)

Wants gcc with gcov, and coverage, cython, numpy, setuptools and the test extra installed.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from checkout import copy_to

ENOUGH = 95.0

# ---- build and run ----


def build(folder):
    """A copy of the checkout, compiled to count lines. At -O1 gcc 12 fails on SSE2 vectors; -O3 only takes longer."""
    copy_to(folder)
    setup = (folder / "setup.py").read_text()
    assert '"-O3"' in setup, "setup.py no longer says -O3"
    (folder / "setup.py").write_text(setup.replace('"-O3"', '"-O2"'))
    compiler = os.environ.get("CC", "gcc") + " --coverage"  # not in CFLAGS: the probe for OpenMP links without them
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", f"-j{os.cpu_count()}"]
    subprocess.run(command, cwd=folder, env={**os.environ, "CC": compiler}, check=True)


def run(folder, arguments):
    """The tests' exit code."""
    command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, check=False).returncode


# ---- what was counted ----


def python_lines(folder):
    """{file: {line: whether it ran}} and {file: excluded lines}."""
    if list(folder.glob(".coverage.*")):
        subprocess.run([sys.executable, "-m", "coverage", "combine", "-q", "--keep"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", "coverage.json"], cwd=folder, check=True)
    found, excluded = {}, {}
    for name, file in json.loads((folder / "coverage.json").read_text())["files"].items():
        found[name] = dict.fromkeys(file["executed_lines"], True) | dict.fromkeys(file["missing_lines"], False)
        excluded[name] = len(file["excluded_lines"])
    return found, excluded


def gcov(folder):
    """{(build, file): {line: count}} of all objects."""
    found = collections.defaultdict(lambda: collections.defaultdict(int))
    for notes in sorted(folder.glob("build/temp*/**/*.gcno")):
        source = next(part for part in ("f32", "f64", "") if part in notes.parts or not part)
        name = f"{source} {notes.stem}".strip()
        command = ["gcov", "--json-format", "--stdout", str(notes.with_suffix(".gcda"))]
        text = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
        for document in filter(None, text.splitlines()):
            for file in json.loads(document)["files"]:
                path = os.path.relpath(os.path.normpath(folder / file["file"]), folder)
                for line in file["lines"]:
                    found[name, path][line["line_number"]] += line["count"]
    return found


POSITION = re.compile(r'\s*/\* "(fastmlp/[\w/]+\.(?:pyx|pxi|pxd))":(\d+)$')


def cython_lines(folder, counts):
    """{file: {line: whether any C of it ran}} from the counts of the generated C."""
    found = collections.defaultdict(dict)
    for (_, path), lines in counts.items():
        if not path.startswith("build/cython/"):
            continue
        place, in_comment = None, False
        for number, text in enumerate((folder / path).read_text().splitlines(), 1):
            position = POSITION.match(text)
            if position:
                place, in_comment = (position[1], int(position[2])), True
            elif re.match(r'\s*/\* "', text):  # of another file
                place, in_comment = None, True
            elif in_comment:
                in_comment = "*/" not in text
            elif "/* function exit code */" in text or text == "}":
                place = None
            elif place and number in lines:
                file, line = place
                found[file][line] = found[file].get(line, False) or lines[number] > 0
    return dict(found)


def c_lines(counts):
    """{file: {line: whether any build ran it}} of csrc/."""
    found = collections.defaultdict(dict)
    for (_, path), lines in counts.items():
        if path.startswith("csrc/"):
            for line, count in lines.items():
                found[path][line] = found[path].get(line, False) or count > 0
    return dict(found)


def runs(numbers):
    """1-3, 7 for 1, 2, 3, 7."""
    text, numbers = [], sorted(numbers)
    for i, number in enumerate(numbers):
        if i and numbers[i - 1] == number - 1:
            text[-1] = f"{text[-1].partition('-')[0]}-{number}"
        else:
            text.append(str(number))
    return ", ".join(text)


def table(title, files, excluded=None):
    """Prints a line for each file; returns the percentage of all."""
    print(f"\n{title:<36}{'lines':>7}{'run':>8}  not run")
    total = ran = 0
    for name, lines in sorted(files.items()):
        count, did = len(lines), sum(lines.values())
        total, ran = total + count, ran + did
        note = f"  ({excluded[name]} excluded)" if excluded and excluded[name] else ""
        share = 100 * did / count if count else 100
        print(f"{name:<36}{count:>7}{share:>7.1f}%  {runs(n for n, yes in lines.items() if not yes)}{note}")
    share = 100 * ran / total
    print(f"{'all of ' + title:<36}{total:>7}{share:>7.2f}%")
    return share


def report(folder):
    """Prints the tables; whether all of them have enough."""
    python, excluded = python_lines(folder)
    counts = gcov(folder)
    c = c_lines(counts)
    shares = [table("Python", python, excluded), table("Cython", cython_lines(folder, counts)), table("C", c)]
    print(f"\n{'Kernels, build by build':<36}{'lines':>7}{'run':>8}  not run, though in another build")
    for build_name in sorted({name for name, path in counts if path.startswith("csrc/kernels/")}):
        files = {path: lines for (name, path), lines in counts.items() if name == build_name}
        files = {path: lines for path, lines in files.items() if path.startswith("csrc/kernels/")}
        total, ran = sum(map(len, files.values())), sum(n > 0 for lines in files.values() for n in lines.values())
        holes = []
        for path, lines in sorted(files.items()):
            missed = [n for n, count in lines.items() if not count and c[path][n]]
            holes += [f"{Path(path).name}: {runs(missed)}"] if missed else []
        print(f"{build_name:<36}{total:>7}{100 * ran / total:>7.1f}%  {'; '.join(holes)}")
    return all(share >= ENOUGH for share in shares)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="build here, in a folder that does not exist, and keep it")
    parser.add_argument("--report", type=Path, help="report again what was kept there")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args()
    if options.report:
        return 0 if report(options.report) else 1
    with tempfile.TemporaryDirectory(prefix="coverage-") as place:
        folder = options.keep.resolve() if options.keep else Path(place, "fastmlp")
        folder.mkdir(parents=True)
        build(folder)
        code = run(folder, options.pytest)
        enough = report(folder)
    if code != 0:
        print(f"\nthe tests failed: exit code {code}")
    return 0 if code == 0 and enough else 1


if __name__ == "__main__":
    sys.exit(main())
