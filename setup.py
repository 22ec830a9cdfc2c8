"""Compile the kernels once per instruction set and dtype, and link them with the Cython engine.

Only files in csrc/isa/ get instruction-set flags; everything else is built for the least machine of the architecture
and finds out at run time. FASTMLP_NO_OPENMP=1 builds without OpenMP, and so does a compiler that has none.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Contraction off: a multiply-add is fused where the source says so. No fast-math, no LTO across instruction sets.
# No-math-errno and no-trapping-math promise only that nobody looks at errno or traps; they change no result. Without
# debug information (many Pythons were built with -g and hand that on) the wheel is a fifth of its size.
# fmt: off
GNU_FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=off", "-fno-lto", "-fno-math-errno", "-fno-trapping-math", "-fwrapv",
             "-fvisibility=hidden", "-g0"]
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
X86_64 = platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32
ISAS = list(ISA_FLAGS) if X86_64 else ["baseline"]

HEADERS = [str(path) for path in sorted(Path("csrc").rglob("*.h"))]


class BuildExt(build_ext):
    """Adds the objects of csrc/isa/ and, where it works, OpenMP."""

    def build_extensions(self):
        """Compile the kernels, probe for OpenMP, then build as usual."""
        self.force = True  # setuptools would not link again for other flags or kernel objects
        msvc = self.compiler.compiler_type == "msvc"
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

    def build_kernels(self, flags, msvc):
        """One object for each instruction set and dtype."""
        objects = []
        for isa in ISAS:
            for is_f64 in (0, 1):
                objects += self.compiler.compile(
                    [f"csrc/isa/{isa}.c"],
                    output_dir=os.path.join(self.build_temp, f"f{64 if is_f64 else 32}"),
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
            candidates = [(["/openmp"], [])]
        elif sys.platform == "darwin":  # gcc as elsewhere; Apple's clang: libomp from a package manager
            candidates.append((["-Xpreprocessor", "-fopenmp"], ["-lomp"]))
        program = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
        for compile_flags, link_flags in candidates:
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder, "probe.c")
                source.write_text(program)
                try:
                    objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=compile_flags)
                    self.compiler.link_executable(objects, str(Path(folder, "probe")), extra_postargs=link_flags)
                    subprocess.run([str(Path(folder, "probe"))], check=True)
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
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    )


setup(
    ext_modules=cythonize(
        [extension("_engine", "csrc/dispatch.c", "csrc/random.c"), extension("_kernels")],
        build_dir="build/cython",
        language_level=3,
    ),
    cmdclass={"build_ext": BuildExt},
)
