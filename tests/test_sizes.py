"""The sizes of the package's own sources: a file that can be read at once, functions that can be seen at once."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fastmlp"
pytestmark = pytest.mark.skipif(not (PACKAGE / "_engine.pyx").is_file(), reason="the sources are not here")
MOST_LINES, MOST_LINES_OF_FUNCTION = 500, 80


def sources(*kinds):
    """{path from the root: text}."""
    paths = sorted(path for path in PACKAGE.rglob("*") if path.suffix in kinds)
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def python_functions(text):
    """(name, lines without docstring and decorators) of all functions."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node) is not None:
                lines -= node.body[0].end_lineno - node.body[0].lineno + 1
            found.append((node.name, lines))
    return found


def cython_functions(text):
    """The same of Cython: from a def, cdef or cpdef to the next line that is indented no deeper."""
    found, lines = [], text.splitlines()
    for i, line in enumerate(lines):
        head = re.match(r"( *)(?:def|cpdef|cdef(?! (?:class|struct|enum|extern)\b)) [^=(]*?(\w+)\(", line)
        if not head:
            continue
        end = i + 1
        while end < len(lines) and (not lines[end].strip() or re.match(" *", lines[end])[0] > head[1]):
            end += 1
        function = "\n".join(lines[i:end]).rstrip()
        # The first thing behind the head, which ends with a colon.
        docstring = re.match(r'.*?:\n( *"""(?:.*?)""" *(?:\n|$))', function, re.DOTALL)
        if docstring and docstring[0].count('"""') == 2:
            function = function.replace(docstring[1], "", 1)
        found.append((head[2], len(function.splitlines())))
    return found


@functools.cache
def functions():
    """(path:name, lines) of all functions of the package."""
    found = []
    for path, text in sources(".py", ".pyi", ".pyx", ".pxi", ".pxd").items():
        of_file = python_functions(text) if path.endswith((".py", ".pyi")) else cython_functions(text)
        found += [(f"{path}:{name}", lines) for name, lines in of_file]
    return found


def test_no_file_is_too_long():
    texts = sources(".py", ".pyx", ".pxi", ".pxd", ".pyi")
    over = {path for path, text in texts.items() if len(text.splitlines()) > MOST_LINES}
    assert not over


def test_no_function_is_too_long():
    over = {name for name, lines in functions() if lines > MOST_LINES_OF_FUNCTION}
    assert not over


def test_all_functions_are_seen():
    names = {name.partition(":")[2] for name, _ in functions()}
    assert {"fit", "dense_forward", "run_steps", "has_b", "__init__", "predict", "call_python_loss"} <= names


@pytest.mark.parametrize("docstring", ["", '    """One line."""\n', '    """Some.\n\n    More: (than) one.\n    """\n'])
def test_lines_are_counted_without_docstring(docstring):
    body = "    x = 1\n\n" + 77 * "    x += 1\n"
    python = f"@decorated\ndef f(a,\n      b):\n{docstring}{body}\n\ny = 1\n"
    assert python_functions(python) == [("f", 81)]
    cython = (
        f"cdef const int *f(int a,\n                  int b) except NULL:\n{docstring}{body}\n\ncdef int y = g(1)\n"
    )
    assert cython_functions(cython) == [("f", 81)]
    within = "cdef class C(B):\n" + "".join(f"    {line}".rstrip() + "\n" for line in cython.splitlines())
    assert cython_functions(within) == [("f", 81)]
