"""Compile the kernels once per instruction set and dtype, and link them with the Cython engine.

Only files in csrc/isa/ get instruction-set flags; everything else is built for the least machine of the architecture
and finds out at run time. FASTMLP_NO_OPENMP=1 builds without OpenMP, and so does a compiler that has none.
FASTMLP_KERNELS names a folder where the objects of the kernels are left, and taken from if they are there: for builds
of the same sources for several Pythons.
"""

import os
import re
import shlex
import shutil
import struct
import subprocess  # nosec B404
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Contraction off: a multiply-add is fused where the source says so. No fast-math, no LTO across instruction sets.
# No-math-errno and no-trapping-math promise only that nobody looks at errno or traps; they change no result. Without
# debug information (many Pythons were built with -g and hand that on) the wheel is a fifth of its size. Loops begin at
# cache lines: or code that grows elsewhere in the file moves the products' loops, which cost them up to 9 %.
# fmt: off
GNU_FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-lto", "-fno-math-errno", "-fno-trapping-math", "-fwrapv",
             "-fvisibility=hidden", "-g0", "-falign-functions=64", "-falign-loops=64"]
# fmt: on
# The vectors are GNU extensions, so on Windows the compiler is clang-cl: its flags differ in spelling only.
CLANG_CL_FLAGS = [
    "/O2",
    "/clang:-std=gnu11",
    "/clang:-ffp-contract=off",
    "/clang:-fno-math-errno",
    "/clang:-fno-trapping-math",
    "/clang:-fwrapv",
]

ISA_FLAGS = {
    "baseline": ([], []),
    "avx2": (["-mavx2", "-mfma"], ["/arch:AVX2"]),
    "avx512": (
        ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
        ["/arch:AVX512"],
    ),
}


def architecture():
    """What is built for, which need not be what builds: "x86_64", "arm64", "universal2" (two in one file), ..."""
    asked = re.findall(r"-arch\s+(\S+)", os.environ.get("ARCHFLAGS", "")) if sys.platform == "darwin" else []
    if asked:
        return asked[0] if len(set(asked)) == 1 else "universal2"
    return sysconfig.get_platform().rpartition("-")[2].lower()  # follows _PYTHON_HOST_PLATFORM, which cross builds set


ISAS = list(ISA_FLAGS) if architecture() in ("x86_64", "amd64") else ["baseline"]

HEADERS = [str(path) for path in sorted(Path("csrc").rglob("*.h"))]

COMPILER_REMEDY = {
    "linux": "Install gcc or clang, or name yours: CC=clang pip install .\n"
    "Debian and Ubuntu: apt install build-essential   Fedora: dnf install gcc   Alpine: apk add build-base",
    "darwin": "Install Apple's: xcode-select --install",
    "win32": "Install LLVM, or 'C++ Clang tools for Windows' of the Build Tools for Visual Studio, and put the folder\n"
    "of clang-cl.exe into PATH, or its full name into CC. Microsoft's own compiler, cl, will not do: it lacks the\n"
    "vectors that the kernels are written in.",
}
HEADERS_REMEDY = {
    "linux": "Install its headers.\n"
    "Debian and Ubuntu: apt install python3-dev   Fedora: dnf install python3-devel   Alpine: apk add python3-dev",
}


def fail(problem, remedy):
    """End the build with what to do, as the last lines of its output."""
    raise SystemExit(f"\nfastmlp cannot be built: {problem}\n{remedy}")


def check_machine(bits, byteorder):
    """Refuse machines for which the kernels are not written."""
    if bits != 64:
        fail(f"this Python has {bits} bits.", "Use a Python of 64 bits.")
    if byteorder != "little":
        fail("this processor is big-endian.", "There is no remedy: fastmlp and its files are little-endian.")


class BuildExt(build_ext):
    """Adds the objects of csrc/isa/ and, where it works, OpenMP."""

    def build_extensions(self):
        """Look what there is, compile the kernels, probe for OpenMP, then build as usual."""
        self.force = True  # setuptools would not link again for other flags or kernel objects
        msvc = self.compiler.compiler_type == "msvc"
        check_machine(8 * struct.calcsize("P"), sys.byteorder)
        if msvc:
            self.use_clang_cl()
        self.check_compiler()
        if architecture() == "universal2":
            print("fastmlp: for two architectures, so with the least instruction set of each; ARCHFLAGS='-arch x86_64' "
                  "builds for one, with all it has", file=sys.stderr)  # fmt: skip
        # Here, not in setup(): Cython takes seconds, and neither an sdist nor the metadata needs its C.
        from Cython.Build import cythonize

        made = cythonize(self.extensions, build_dir="build/cython", language_level=3)
        for extension, with_c in zip(self.extensions, made, strict=True):
            extension.sources = with_c.sources
        flags = CLANG_CL_FLAGS if msvc else GNU_FLAGS
        kernels = self.build_kernels(flags, msvc)
        openmp = self.openmp_flags(msvc)
        for extension in self.extensions:
            extension.extra_compile_args += [*flags, *openmp[0]]
            extension.extra_link_args += openmp[1]
            extension.define_macros += [(f"FM_HAVE_{isa.upper()}", None) for isa in ISAS if isa != "baseline"]
            if extension.name == "fastmlp._engine":
                extension.extra_objects += kernels
        super().build_extensions()

    def use_clang_cl(self):
        """Put clang-cl in the place of cl, whose options it takes."""
        if not self.compiler.initialized:
            self.compiler.initialize()
        with_studio = os.path.join(os.environ.get("VCINSTALLDIR", ""), "Tools", "Llvm", "x64", "bin", "clang-cl.exe")
        found = shutil.which(os.environ.get("CC") or "clang-cl") or shutil.which(with_studio)
        if found is None:
            fail("there is no clang-cl.", COMPILER_REMEDY["win32"])
        self.compiler.cc = found

    def check_compiler(self):
        """A compiler that knows vectors, and the headers of this Python; else the build ends with what to do."""
        vectors = "typedef float fm_check __attribute__((vector_size(16)));\n"
        problem = self.problem_with(vectors)
        if problem is not None:
            fail(
                f"no C compiler that it can use ({problem}).",
                COMPILER_REMEDY.get(sys.platform, "Install gcc or clang, or name yours: CC=clang pip install ."),
            )
        problem = self.problem_with("#include <Python.h>\n", include_dirs=self.include_dirs)
        if problem is not None:
            fail(
                f"Python.h, of Python {sys.version_info[0]}.{sys.version_info[1]} in {sys.prefix}, is missing "
                f"({problem}).",
                HEADERS_REMEDY.get(sys.platform, "Install a Python that comes with its headers."),
            )

    def problem_with(self, program, **options):
        """What the compiler says of a program; None if it compiles."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "check.c")
            source.write_text(program)
            try:
                self.compiler.compile([str(source)], output_dir=folder, **options)
            except Exception as error:  # of several kinds, by compiler and setuptools
                return error
        return None

    def build_kernels(self, flags, msvc):
        """One object for each instruction set and dtype."""
        objects, shared = [], os.environ.get("FASTMLP_KERNELS")
        for isa in ISAS:
            for is_f64 in (0, 1):
                folder = os.path.join(shared or self.build_temp, f"f{64 if is_f64 else 32}")
                made = self.compiler.object_filenames([f"csrc/isa/{isa}.c"], output_dir=folder)
                if shared and all(map(os.path.exists, made)):
                    objects += made
                    continue
                objects += self.compiler.compile(
                    [f"csrc/isa/{isa}.c"],
                    output_dir=folder,
                    macros=[("FM_F64", str(is_f64))],
                    extra_preargs=[*flags, *ISA_FLAGS[isa][msvc]],
                    depends=HEADERS,
                )
        return objects

    def openmp_flags(self, msvc):
        """Flags with which a program of two threads compiles, links and runs; none where that fails."""
        if os.environ.get("FASTMLP_NO_OPENMP"):
            return [], []
        candidates = [(["-fopenmp"], ["-fopenmp"])]
        if msvc:
            folder = Path(self.compiler.cc).parents[1] / "lib"  # of LLVM, where its OpenMP is
            candidates = [(["/openmp"], [f"/libpath:{folder}", "/defaultlib:libomp.lib"])]
        elif sys.platform == "darwin":  # gcc as elsewhere; Apple's clang: libomp from a package manager
            candidates.append((["-Xpreprocessor", "-fopenmp"], ["-lomp"]))
        where = shlex.split(os.environ.get("LDFLAGS", ""))  # setuptools adds them to shared libraries alone
        program = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
        for compile_flags, link_flags in candidates:
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder, "probe.c")
                source.write_text(program)
                try:
                    objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
                    self.compiler.link_executable(
                        objects, str(Path(folder, "probe")), extra_postargs=[*where, *link_flags]
                    )
                    # The program above, compiled a moment ago into a folder that nobody else can write to.
                    subprocess.run([str(Path(folder, "probe"))], check=True)  # nosec B603
                except Exception as error:  # whatever fails, the build goes on without threads and says so
                    print(f"fastmlp: no OpenMP with {compile_flags}: {error}", file=sys.stderr)
                else:
                    return compile_flags, link_flags
        print("fastmlp: building without OpenMP: one thread only (see docs/troubleshooting.md)", file=sys.stderr)
        return [], []


def extension(name, *sources):
    """A Cython extension with the headers of csrc/."""
    return Extension(
        f"fastmlp.{name}",
        [f"fastmlp/{name}.pyx", *sources],
        include_dirs=["csrc", np.get_include()],
        depends=HEADERS,
        # Built with NumPy 2, it runs with the oldest that pyproject.toml allows: 1.24 has the interface of 1.23.
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
            ("NPY_TARGET_VERSION", "NPY_1_23_API_VERSION"),
        ],
    )


setup(
    ext_modules=[extension("_engine", "csrc/dispatch.c", "csrc/random.c"), extension("_kernels")],
    cmdclass={"build_ext": BuildExt},
)
