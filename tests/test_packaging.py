"""How fastmlp is built: what a build says that cannot work, for which processor it is, and one version everywhere."""

import importlib.metadata
import os
import re
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import fastmlp

ROOT = Path(__file__).parents[1]
# Nothing else is missing where one thing is taken away.
BUILD = """import runpy, sys
sys.argv = ["setup.py", "-q", "build_ext", "--build-temp", {0!r}, "--build-lib", {0!r}]
{1}
runpy.run_path("setup.py")
"""


@pytest.fixture
def built(monkeypatch):
    """The names in setup.py, without a build."""
    setuptools = pytest.importorskip("setuptools", reason="setuptools is not installed: pip install '.[test]'")
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: None)
    monkeypatch.chdir(ROOT)
    return lambda: runpy.run_path("setup.py")


def ended(tmp_path, change="", **environment):
    """The last lines that a build writes which ends at once, after `change`."""
    pytest.importorskip("setuptools", reason="setuptools is not installed: pip install '.[test]'")
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(str(tmp_path), change)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.rstrip().splitlines()[-3:]


# ---- what a build says that cannot work ----


@pytest.mark.skipif(os.name != "posix", reason="on Windows CC names clang-cl")
def test_no_compiler(tmp_path):
    problem, *remedy = ended(tmp_path, CC="/nonexistent/cc")
    assert problem.startswith("fastmlp cannot be built: no C compiler that it can use (")
    assert "/nonexistent/cc" in problem
    assert ("build-essential" if sys.platform == "linux" else "Install") in "\n".join(remedy)


@pytest.mark.skipif(os.name != "posix", reason="on Windows CC names clang-cl")
def test_compiler_without_vectors(tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\ngrep -q vector_size $(printf '%s\\n' \"$@\" | grep '[.]c$') && exit 1\nexit 0\n")
    compiler.chmod(0o700)
    problem = next(line for line in ended(tmp_path, CC=str(compiler)) if "cannot be built" in line)
    assert "no C compiler that it can use" in problem


@pytest.mark.skipif(sys.platform != "linux", reason="names Debian's package")
def test_no_python_headers(tmp_path):
    change = "import setuptools, distutils.sysconfig as d; d.get_python_inc = lambda *a, **k: '/nonexistent'"
    problem, *remedy = ended(tmp_path, change, CFLAGS="", CPPFLAGS="")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert problem.startswith(f"fastmlp cannot be built: Python.h, of Python {version} in ")
    assert "python3-dev" in "\n".join(remedy)


def test_machines_for_which_nothing_is_written(built):
    check_machine = built()["check_machine"]
    check_machine(64, "little")
    with pytest.raises(SystemExit, match=r"this Python has 32 bits[.]\nUse a Python of 64 bits"):
        check_machine(32, "little")
    with pytest.raises(SystemExit, match="big-endian"):
        check_machine(64, "big")


class FakeMSVC:
    """What use_clang_cl sees of setuptools' compiler for Windows."""

    initialized, cc = False, "cl.exe"

    def initialize(self):
        self.initialized = True


def test_windows_takes_clang_cl_in_the_place_of_cl(built, monkeypatch, tmp_path):
    module, program = built(), tmp_path / "clang-cl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    command = object.__new__(module["BuildExt"])
    command.compiler = FakeMSVC()
    monkeypatch.delenv("VCINSTALLDIR", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        SystemExit, match=r"there is no clang-cl[.]\nInstall LLVM(.|\n)*Microsoft's own compiler, cl, will not do"
    ):
        command.use_clang_cl()
    monkeypatch.setenv("CC", str(program))
    command.use_clang_cl()
    assert command.compiler.initialized
    assert command.compiler.cc == str(program)


# ---- for which processor ----


@pytest.mark.parametrize(
    ("system", "host", "flags", "expected"),
    [
        ("linux", "linux-x86_64", "", ["baseline", "avx2", "avx512"]),
        ("linux", "linux-aarch64", "", ["baseline"]),
        ("darwin", "macosx-11.0-arm64", "-arch arm64", ["baseline"]),  # cibuildwheel, on any Mac
        ("darwin", "macosx-10.13-x86_64", "-arch x86_64", ["baseline", "avx2", "avx512"]),
        ("darwin", "macosx-10.13-universal2", "", ["baseline"]),  # no flag for AVX2 may reach the other half
        ("darwin", "macosx-10.13-universal2", "-arch arm64 -arch x86_64", ["baseline"]),
        ("darwin", "macosx-10.13-universal2", "-arch x86_64", ["baseline", "avx2", "avx512"]),
        ("win32", "win-amd64", "", ["baseline", "avx2", "avx512"]),
        ("win32", "win-arm64", "", ["baseline"]),
    ],
)
def test_instruction_sets_are_those_of_the_target(built, monkeypatch, system, host, flags, expected):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: host)
    monkeypatch.setenv("ARCHFLAGS", flags)
    assert built()["ISAS"] == expected


@pytest.mark.skipif(os.name != "posix", reason="only there it is looked at")
def test_python_host_platform_is_followed(built, monkeypatch):
    monkeypatch.delenv("ARCHFLAGS", raising=False)
    monkeypatch.setenv("_PYTHON_HOST_PLATFORM", "linux-aarch64")
    assert built()["ISAS"] == ["baseline"]
    monkeypatch.setenv("_PYTHON_HOST_PLATFORM", "linux-x86_64")
    assert built()["ISAS"] == ["baseline", "avx2", "avx512"]


def test_compiled_for_the_oldest_numpy_that_is_allowed():
    oldest = re.search(r'^dependencies = \["numpy>=(\d+)[.](\d+)"', text("pyproject.toml"), re.MULTILINE).groups()
    target = re.search(r'"NPY_TARGET_VERSION", "NPY_(\d+)_(\d+)_API_VERSION"', text("setup.py")).groups()
    assert tuple(map(int, target)) <= tuple(map(int, oldest))
    assert tuple(map(int, oldest)) <= tuple(map(int, np.__version__.split(".")[:2]))


# ---- one version ----


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_version_is_everywhere_that_of_one_file():
    version = runpy.run_path(str(ROOT / "fastmlp" / "_version.py"))["__version__"]
    assert fastmlp.__version__ == version
    folder = Path(fastmlp.__file__).parents[1]
    command = [sys.executable, "-m", "fastmlp", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, timeout=200)
    assert version in done.stdout.split()
    assert 'dynamic = ["version"]' in text("pyproject.toml")
    assert 'version = { attr = "fastmlp._version.__version__" }' in text("pyproject.toml")
    assert "release = version = fastmlp.__version__\n" in text("docs/conf.py")


def test_the_installed_package_has_this_version():
    try:
        installed = importlib.metadata.version("fastmlp")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("built in place, not installed")
    assert installed == fastmlp.__version__


def test_changelog_begins_with_this_version():
    release, _, unfinished = fastmlp.__version__.partition(".dev")
    title, first = re.search(r"^## \[(.*?)\].*\n\n(.*)$", text("CHANGELOG.md"), re.MULTILINE).groups()
    assert title == ("Unreleased" if unfinished else release)
    assert not unfinished or release in first


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "setup.py", ".ci/run", "docs/conf.py", ".github/workflows/wheels.yml"]
)
def test_no_other_file_states_the_version(name):
    release = fastmlp.__version__.partition(".dev")[0]
    assert re.search(rf"(?<![\d.=]){re.escape(release)}(?![\d.])", text(name)) is None


# ---- what CI installs and calls ----


def test_every_pin_is_one_release():
    lines = [line for line in text(".ci/constraints.txt").splitlines() if not line.startswith("#")]
    assert len(lines) > 100
    assert not [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)]
    assert lines == sorted(set(lines), key=lambda line: line.partition("==")[0])
    assert "torch==2.13.0" in lines


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_by_hash_and_may_read_only(path):
    workflow = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: *(.*)", workflow)
    assert used
    assert not [line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)]
    assert re.search(r"^permissions:\n  contents: read\n\n", workflow, re.MULTILINE)
    granted = re.findall(r"^ +([\w-]+: write)\b", workflow, re.MULTILINE)
    assert granted == (["id-token: write"] if path.name == "wheels.yml" else [])
    assert "secrets." not in workflow
    assert "pull_request_target" not in workflow
