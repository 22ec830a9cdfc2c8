"""No test hangs: each has a limit, what it starts has a shorter one, and Ctrl-C comes whoever started pytest."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fastmlp as fm

TESTS = Path(__file__).parent
HANGS = """
import threading
def test_hangs():
    threading.Event().wait()
"""


def run_pytest(folder, *arguments, **options):
    """What a pytest of its own says, with the settings of this one and the package that is tested here."""
    command = [sys.executable, "-m", "pytest", "-c", str(TESTS.parent / "pyproject.toml")]
    for plugin in ("cacheprovider", "hypothesispytest", "benchmark"):  # the last two take longer to start than the test
        command += ["-p", f"no:{plugin}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(fm.__file__).parents[1])}
    return subprocess.run(
        [*command, "--rootdir", str(TESTS.parent), *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False, **options,
    )  # fmt: skip


def test_a_test_that_hangs_is_ended(tmp_path, request):
    assert 0 < float(request.config.getini("timeout")) <= 300
    (tmp_path / "test_hangs.py").write_text(HANGS)
    done = run_pytest(tmp_path, tmp_path / "test_hangs.py", "--timeout=0.2")
    assert done.returncode == 1
    assert "Timeout" in done.stdout
    assert "threading.Event().wait()" in done.stdout  # the stacks


@pytest.mark.skipif(os.name != "posix", reason="no shell there that ignores signals for what it starts")
def test_ctrl_c_comes_also_where_a_shell_ignores_it(tmp_path):
    """As `pytest &` in a script does."""
    selected = TESTS / "test_model.py"
    done = run_pytest(
        tmp_path, selected, "-k", "test_a_second_ctrl_c_while_callbacks_end",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def starts(tree):
    """The calls in a test module that wait for a process."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, name = node.func.value, node.func.attr
            if name == "communicate" or (
                name in ("run", "call", "check_call", "check_output") and ast.unparse(owner) == "subprocess"
            ):
                yield node


def test_what_tests_start_has_a_shorter_limit(request):
    limit, found = float(request.config.getini("timeout")), 0
    for path in sorted(TESTS.glob("*.py")):
        for node in starts(ast.parse(path.read_text(encoding="utf-8"))):
            given = [keyword.value for keyword in node.keywords if keyword.arg == "timeout"]
            where = f"{path.name}:{node.lineno}"
            assert given, f"{where} has no timeout="
            assert not isinstance(given[0], ast.Constant) or given[0].value < limit, f"{where} outlives its test"
            found += 1
    assert found > 20
