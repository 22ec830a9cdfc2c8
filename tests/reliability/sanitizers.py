"""fastmlp compiled with sanitizers, at work.

    python tests/reliability/sanitizers.py address    # needs gcc with libasan and libubsan
    python tests/reliability/sanitizers.py thread     # needs clang, libomp with archer, and Python's headers

`address`: AddressSanitizer and UndefinedBehaviorSanitizer over the whole test suite. The kernels of every instruction
set are built, and signed integers do not wrap (-fno-wrapv), so what -fwrapv would hide is reported.

`thread`: ThreadSanitizer over races.py and the tests that use threads or callbacks. LLVM's archer tells it where OpenMP
starts and joins threads. It watches accesses of at most 16 bytes, so the kernels are those of the `baseline`; threads
share the work in the same way on every instruction set.

--prove seeds faults instead, and fails where one of them is not reported.

A copy of the sources is built in a temporary folder, with the Python that runs this: it needs cython, numpy and
setuptools, the test extra and pytest-xdist. Arguments that are not known go to pytest. Needs Linux.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from checkout import copy_to

# A sanitizer's flags come after those of setup.py, which ask for -O3, -g0 and -fwrapv, and win: so not CFLAGS, but a
# compiler of our own that appends them.
COMPILERS = {
    "address": "gcc {} -O1 -g1 -fno-omit-frame-pointer -fno-wrapv -fsanitize=address,undefined,float-cast-overflow "
    "-fno-sanitize-recover=all",
    "thread": "clang {} -O1 -g1 -fno-omit-frame-pointer -fsanitize=thread",
}

# What is not run: arguments of pytest, each with its reason. Nor do the tests run that need MNIST, which FASTMLP_DATA
# names: whole trainings, whose every step others do, and which take minutes here.
LEFT_OUT = {
    "address": {
        "--deselect=tests/test_model.py::test_ctrl_c_is_answered_and_the_model_goes_on": "measures seconds",
        "--deselect=tests/test_model.py::test_ctrl_c_keeps_the_epochs_so_far": "wants an epoch within 0.3 s",
        "--deselect=tests/test_model.py::test_ctrl_c_outside_of_training_is_raised": "measures seconds",
        "--deselect=tests/test_faults.py::test_memory_that_ends": "preloads an allocator, which the sanitizer has, too",
        "--deselect=tests/test_files.py::test_faults_of_a_reader_are_noticed": (
            "bounds the address space, of which the sanitizer takes terabytes"
        ),
        "--deselect=tests/test_memory.py": "counts bytes of the process: the sanitizer keeps what is freed",
        "--deselect=tests/test_far_rows.py": "arrays of 2.7 GB, few pages of which are used elsewhere",
        "--deselect=tests/test_pace.py": "simulated machines: nothing that is compiled runs",
        "--deselect=tests/test_time_limits.py": "starts tests that have seconds",
        "--deselect=tests/test_bench_peers.py": "is about other projects, whose code is not instrumented",
        "-mnot torch": "compares with other projects, and what of fastmlp it calls is called by other tests too",
    },
    "thread": {
        "--deselect=tests/test_regressions.py::test_predictions_while_batches_of_changing_size_are_trained": (
            "predicts with a model that another thread trains, whose weights are being written: docs/performance.md"
        ),
        "--deselect=tests/test_model.py::test_ctrl_c": "measures seconds; races.py has a Ctrl-C",
        "--deselect=tests/test_batches.py::test_ctrl_c": "measures seconds; races.py has a Ctrl-C",
    },
}

# The tests in which threads of Python or callbacks share something; races.py is run besides.
THREAD_TESTS = [
    "tests/test_callbacks.py",
    "tests/test_batches.py",
    "tests/test_custom_loss.py",
    "tests/test_regressions.py",
    "tests/test_processes.py",
    "tests/test_threads.py",
    "tests/test_model.py",
]
THREAD_NAMES = "thread or side_by_side or ctrl_c or callback or batches or custom or child"

# Another project's code, none of it compiled by us: ThreadSanitizer cannot see how it synchronises, so accesses made in
# libraries that are not instrumented (Python, NumPy, libomp) are not judged. Synchronisation by pthreads, and with it
# the GIL, is seen everywhere.
# The child of a fork may start threads.
TSAN_OPTIONS = "ignore_noninstrumented_modules=1:die_after_fork=0"

# Faults to seed: the file, what stands there, what is put instead, what must be reported, and where it shows: arguments
# of pytest, or the parts of races.py. Those of `address` are seeded together.
FAULTS = {
    "address": {
        "the gradient of the weights reads a row too many": (
            "csrc/kernels/dense.inc.h",
            "tile_accumulate(M, N, &acc, rows, x, 1, LINE, dz, dz_stride);\n    else",
            "tile_accumulate(M, N, &acc, rows + 1, x, 1, LINE, dz, dz_stride);\n    else",
            "ERROR: AddressSanitizer",
            ["tests/test_dense.py", "-k", "weight_gradient"],
        ),
        "the product reads lines of weights that there are not": (
            "csrc/kernels/dense.inc.h",
            "tile_accumulate(M, N, &acc, MIN(LINE, n_in - k), x, LINE, 1, w, w_stride);",
            "tile_accumulate(M, N, &acc, LINE, x, LINE, 1, w, w_stride);",
            "ERROR: AddressSanitizer",
            ["tests/test_dense.py", "-k", "forward"],
        ),
        "the gather reads past the end of a user's array": (
            "csrc/kernels/rows.inc.h",
            "if (columns == LINE) {",
            "if (columns >= LINE - 1) {",
            "ERROR: AddressSanitizer",
            ["tests/test_rows.py", "-k", "gather"],
        ),
        "a sum reads at odd addresses": (
            "csrc/kernels/rows.inc.h",
            "if (is_one_stretch(n, n)) return sum_of_shard(n, x);",
            "if (is_one_stretch(n, n)) return sum_of_shard(n, (const real *)((const char *)x + 1));",
            "misaligned address",
            ["tests/test_rows.py", "-k", "sum"],
        ),
        "a counter overflows": (
            "csrc/random.c",
            "for (ptrdiff_t i = 0; i < n; i++) index[i] = i;",
            "for (int i = 2147483647 - (int)n; (i += 1) > 0;) index[0] = i;",
            "signed integer overflow",
            ["tests/test_random.py", "-k", "shuffle"],
        ),
    },
    "thread": {
        "a thread passes every fifth barrier without waiting": (
            "csrc/team.h",
            "if (n_threads == 1) return;",
            "if (n_threads == 1 || (team[thread].rounds % 5 == 4 && ++team[thread].rounds)) return;",
            "data race",
            ["training"],
        ),
        "the barrier does not acquire what the others wrote": (
            "csrc/team.h",
            "&team[other].rounds, memory_order_acquire",
            "&team[other].rounds, memory_order_relaxed",
            "data race",
            ["training"],
        ),
    },
}


def run(command, environment, **options):
    """Run a command, which is printed first; what it returns."""
    print("+", shlex.join(str(word) for word in command), flush=True)
    return subprocess.run([str(word) for word in command], env=environment, check=False, **options)


def require(program, what):
    """The path of a program, or the end."""
    found = shutil.which(program)
    if not found:
        sys.exit(f"sanitizers.py: {program} is missing; {what}")
    return found


def llvm_library(clang, name):
    """A library beside clang's own, or the end."""
    places = [Path(clang).resolve().parents[1] / "lib", *sorted(Path("/usr/lib").glob("llvm-*/lib"), reverse=True)]
    for place in places:
        if (place / name).exists():
            return place / name
    sys.exit(
        f"sanitizers.py: {name} is missing in {', '.join(map(str, places))}; on Debian: apt-get install libomp-dev"
    )


class Build:
    """A copy of the sources, compiled."""

    def __init__(self, kind, folder):
        self.kind, self.folder = kind, Path(folder)
        self.tree, self.logs = self.folder / "tree", self.folder / "reports"
        self.compiler = self.folder / "cc"
        self.python = sys.executable
        self.environment = {**os.environ, "PYTHONPATH": str(self.tree), "CC": str(self.compiler)}
        self.environment.pop("FASTMLP_ISA", None)
        self.environment.pop("FASTMLP_DATA", None)
        program, flags = COMPILERS[kind].split(" {} ")
        self.program = require(program, "on Debian: apt-get install gcc clang libomp-dev")
        if not self.tree.exists():
            copy_to(self.tree)
        self.logs.mkdir(exist_ok=True)
        self.compiler.write_text(f'#!/bin/sh\nexec {self.program} "$@" {flags}\n')
        self.compiler.chmod(0o755)
        self.set_runtime()

    def set_runtime(self):
        """The environment in which the modules run."""
        if self.kind == "address":
            # Before Python comes the sanitizer, and before its first exception the C++ library, whose own it wraps.
            preloaded = [
                subprocess.run([self.program, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
                for name in ("libasan.so", "libstdc++.so")
            ]
            self.runtime = {
                "LD_PRELOAD": ":".join(done.stdout.strip() for done in preloaded),
                # Python keeps much until its end, so leaks are for long_run.py and tests/test_memory.py to find. An
                # allocation that is too large is a MemoryError, as without the sanitizer.
                "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:malloc_context_size=6:"
                f"quarantine_size_mb=64:log_path={self.logs}/address",
                "UBSAN_OPTIONS": "print_stacktrace=1",
            }
        else:
            archer = llvm_library(self.program, "libarcher.so")
            self.runtime = {
                "TSAN_OPTIONS": f"{TSAN_OPTIONS}:log_path={self.logs}/thread",
                "OMP_TOOL_LIBRARIES": str(archer),
                "FASTMLP_ISA": "baseline",
                "FASTMLP_REQUIRE_ISAS": "",
            }
            self.environment["TSAN_OPTIONS"] = TSAN_OPTIONS  # for the probe of setup.py

    def compile(self):
        """All modules, and for threads the Python that runs them."""
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        began = time.perf_counter()
        if run(command, self.environment, cwd=self.tree).returncode:
            sys.exit("sanitizers.py: the build failed")
        print(f"built in {time.perf_counter() - began:.0f} s", flush=True)
        if self.kind == "thread":
            self.make_python()

    def make_python(self):
        """A Python whose main program starts the runtime, which cannot be preloaded: in a virtual environment like that
        of the Python that runs this."""
        variables = sysconfig.get_config_vars()
        source = self.folder / "python.c"
        source.write_text("#include <Python.h>\nint main(int n, char **words) { return Py_BytesMain(n, words); }\n")
        home = self.folder / "env"
        (home / "bin").mkdir(parents=True, exist_ok=True)
        self.python = str(home / "bin" / "python")
        command = [self.program, "-fsanitize=thread", source, "-o", self.python, f"-I{sysconfig.get_path('include')}"]
        folder = variables["LIBDIR"] if variables.get("Py_ENABLE_SHARED") else variables["LIBPL"]
        command += [f"-L{folder}", f"-Wl,-rpath,{folder}", f"-lpython{variables['LDVERSION']}", "-Wl,--export-dynamic"]
        command += shlex.split(f"{variables['LIBS']} {variables['SYSLIBS']} {variables['LIBM']}")
        if run(command, self.environment).returncode:
            sys.exit("sanitizers.py: no Python could be linked; on Debian: apt-get install python3-dev")
        base, inherits = Path(sys._base_executable).resolve().parent, str(sys.prefix == sys.base_prefix).lower()
        (home / "pyvenv.cfg").write_text(f"home = {base}\ninclude-system-site-packages = {inherits}\n")
        if sys.prefix != sys.base_prefix and not (home / "lib").exists():
            (home / "lib").symlink_to(Path(sys.prefix) / "lib")

    def call(self, words, silent=False):
        """Run Python with these words in the runtime; what it returns, and the reports. Those of UndefinedBehavior-
        Sanitizer come among what it prints, the others in files, also those of its children."""
        for old in self.logs.iterdir():
            old.unlink()
        settings = [f"{name}={value}" for name, value in self.runtime.items()]
        command = [self.python, *words]
        print("+ env", shlex.join([*settings, *command]), flush=True)
        reports = []
        with subprocess.Popen(
            command,
            env={**self.environment, **self.runtime},
            cwd=self.tree,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout:
                if "runtime error:" in line:
                    reports.append(line)
                if not silent:
                    print(line, end="", flush=True)
        for path in sorted(self.logs.iterdir()):
            text = path.read_text(errors="replace")
            if "AddressSanitizer failed to allocate" in text and "ERROR: " not in text:
                continue  # more than there is was asked for: a MemoryError
            reports.append(text)
            if not silent:
                print("\n".join(reports[-1].splitlines()[:60]))
        return process.returncode, reports


def pytest_words(words):
    """Arguments of Python for a run of the tests, whose standard error is not captured."""
    return ["-m", "pytest", "-q", "--capture=sys", "-p", "no:cacheprovider", *words]


def check(build, jobs, more):
    """1 where anything was reported or failed."""
    left_out = LEFT_OUT[build.kind]
    for words, reason in left_out.items():
        print(f"left out, {words}: {reason}")
    print("left out, tests that need MNIST: whole trainings, whose every step others do")
    common = [*left_out, "-n", jobs, "--timeout=1800", *more]  # all is many times slower here
    calls = [["tests/reliability/races.py"], pytest_words([*THREAD_TESTS, "-k", THREAD_NAMES, *common])]
    if build.kind == "address":
        calls = [pytest_words(["tests", *common])]
    failed = False
    for words in calls:
        status, reports = build.call(words)
        failed = failed or bool(status or reports)
    print(f"{build.kind}: {'FAILED' if failed else 'no report'}")
    return 1 if failed else 0


def prove(build):
    """Seed faults, build again, and see a report of each; 1 where there is none."""
    silent = 0
    if build.kind == "thread":  # threads that lost each other may wait for ever
        build.runtime["TSAN_OPTIONS"] += ":halt_on_error=1"
    faults = list(FAULTS[build.kind].items())
    for group in [faults] if build.kind == "address" else [[fault] for fault in faults]:
        before = {}
        for _, (file, right, wrong, *_) in group:
            text = (build.tree / file).read_text()
            before.setdefault(file, text)
            if text.count(right) != 1:
                sys.exit(f"sanitizers.py: {file} does not hold once: {right}")
            (build.tree / file).write_text(text.replace(right, wrong))
        build.compile()
        for file, text in before.items():
            (build.tree / file).write_text(text)
        for what, (*_, expected, where) in group:
            words = ["tests/reliability/races.py", "--parts", *where]
            _, reports = build.call(pytest_words(["-x", *where]) if build.kind == "address" else words, silent=True)
            found = [line for report in reports for line in report.splitlines() if expected in line]
            print(f"seeded: {what}: {found[0].strip() if found else 'NOT REPORTED'}", flush=True)
            silent += not found
    return 1 if silent else 0


def main():
    """Build, and run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=list(COMPILERS))
    parser.add_argument("--prove", action="store_true", help="seed faults instead, and see that each is reported")
    parser.add_argument("--jobs", default="2", help="processes of pytest-xdist")
    parser.add_argument("--folder", help="build here, and keep it; a build that is there is used as it is")
    options, more = parser.parse_known_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests of Ctrl-C want it even if a shell ignores it
    with tempfile.TemporaryDirectory(prefix="fastmlp-sanitizers.") as folder:
        build = Build(options.kind, options.folder or folder)
        if options.prove:
            return prove(build)
        if not list(build.tree.glob("fastmlp/_engine*.so")):
            build.compile()
        elif build.kind == "thread":
            build.make_python()
        return check(build, options.jobs, more)


if __name__ == "__main__":
    sys.exit(main())
