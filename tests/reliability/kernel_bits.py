"""The same bits from every compiler and architecture: the C kernels, driven by a small C program.

Compiles csrc/ and kernel_bits.c with the flags of setup.py, runs every table of kernels, that of aarch64 under
qemu-user, and compares a hash for each kernel: tables with fused multiply-add with each other, the x86-64 baseline with
itself. Prints what differs, and what is allowed to; exit code 1 if a bit differs, a build fails, or a named build is
not possible here.

    python tests/reliability/kernel_bits.py                     every build that this machine can make
    python tests/reliability/kernel_bits.py gcc aarch64-gcc     these, all of which it must make
"""

import argparse
import ast
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CROSS = ["clang", "--target=aarch64-linux-gnu"]
QEMU = ["qemu-aarch64"]
# name: compiler, flags, program that runs it
BUILDS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "gcc": (["gcc"], [], []),
    "gcc-O2": (["gcc"], ["-O2"], []),
    "clang": (["clang"], [], []),
    "aarch64-gcc": (["aarch64-linux-gnu-gcc"], ["-static"], QEMU),
    "aarch64-gcc-O2": (["aarch64-linux-gnu-gcc"], ["-static", "-O2"], QEMU),
    "aarch64-clang": (CROSS, ["-static"], QEMU),
}
MODES = ["plain", "flush"]


def constants_of_setup() -> dict[str, object]:
    """The flags in setup.py, which cannot be imported without building."""
    found = {}
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:  # not a constant
                continue
    return found


def run(*command: str | Path) -> str:
    """What a program prints; RuntimeError with its errors if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def missing(name: str) -> str | None:
    """The program that a build needs and this machine lacks."""
    compiler, _, runner = BUILDS[name]
    needed = [*compiler[:1], *runner[:1], *(["aarch64-linux-gnu-ld"] if compiler is CROSS else [])]
    return next((program for program in needed if shutil.which(program) is None), None)


class Build:
    """A program for each build, with every table of its architecture."""

    def __init__(self, name: str, folder: Path, pool: ThreadPoolExecutor) -> None:
        compiler, flags, self.runner = BUILDS[name]
        setup = constants_of_setup()
        is_x86 = not self.runner and platform.machine() == "x86_64"
        self.name, self.program = name, folder / name
        self.isas = [*setup["ISA_FLAGS"]] if is_x86 else ["baseline"]
        have = [f"-DFM_HAVE_{isa.upper()}" for isa in self.isas if isa != "baseline"]
        common = [*compiler, *setup["GNU_FLAGS"], *flags, "-Wall", "-Wextra", "-Werror", "-Icsrc", *have]
        common = [word.replace("-Icsrc", f"-I{ROOT / 'csrc'}") for word in common]
        jobs = {}
        for isa in self.isas:
            for f64 in "01":
                target = folder / f"{name}-{isa}-{f64}.o"
                own = [*setup["ISA_FLAGS"][isa][0], f"-DFM_F64={f64}"]
                jobs[target] = pool.submit(run, *common, *own, "-c", ROOT / f"csrc/isa/{isa}.c", "-o", target)
        sources = [Path(__file__).with_suffix(".c"), ROOT / "csrc/dispatch.c", ROOT / "csrc/random.c"]
        self.jobs, self.link = jobs, [*common, *sources, *jobs, "-o", self.program]

    def finish(self) -> None:
        """Wait for the objects, link."""
        for job in self.jobs.values():
            job.result()
        run(*self.link)

    def lines(self, isa: str, mode: str) -> list[str] | str:
        """The program's lines, or why this machine does not run them."""
        try:
            return run(*self.runner, self.program, isa, mode).splitlines()
        except RuntimeError as error:
            if "does not run it" in str(error):
                return str(error).splitlines()[-1]
            raise

    def is_fused(self, isa: str) -> bool:
        """Whether a table has fused multiply-add."""
        return isa != "baseline" or bool(self.runner) or platform.machine() == "aarch64"


def main() -> int:
    """Build, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("builds", nargs="*", metavar="BUILD", help=f"among {', '.join(BUILDS)}")
    asked = parser.parse_args().builds
    if unknown := sorted(set(asked) - set(BUILDS)):
        parser.error(f"no such builds: {unknown}; there are {', '.join(BUILDS)}")
    names, failed = [], False
    for name in asked or BUILDS:
        if program := missing(name):
            print(f"NOT TESTED: {name}, for want of {program}")
            failed |= bool(asked)
        else:
            names.append(name)
    references: dict[tuple[bool, str], tuple[str, list[str]]] = {}
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(cores) as pool:
        builds = [Build(name, Path(folder), pool) for name in names]
        for build in builds:
            build.finish()
        jobs = {
            (build, isa, mode): pool.submit(build.lines, isa, mode)
            for build in builds
            for isa in build.isas
            for mode in MODES
        }
        print(f"{'build':16} {'table':10} {'mode':6} {'lines':>5}  digest")
        for (build, isa, mode), job in jobs.items():
            lines, what = job.result(), f"{build.name:16} {isa:10} {mode:6}"
            if isinstance(lines, str):
                print(f"{what}        NOT TESTED: {lines}")
                continue
            key = (build.is_fused(isa), mode)
            other, expected = references.setdefault(key, (f"{build.name} {isa}", lines))
            differing = [a for a, b in zip(lines, expected, strict=True) if a != b]
            digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
            against = "" if expected is lines else f"as {other}" if not differing else f"NOT as {other}:"
            print(f"{what} {len(lines):5}  {digest} {against}")
            for line in differing:
                print(f"    {line}")
            failed |= bool(differing)
        for build in builds:  # one table of each architecture is enough
            if build.name in ("gcc", "aarch64-gcc"):
                print(f"exceptions, {build.name}:")
                print("".join(f"    {line}\n" for line in build.lines("baseline", "exceptions")), end="")
    print("DIFFERENT" if failed else "all bits are the same")
    return failed


if __name__ == "__main__":
    sys.exit(main())
