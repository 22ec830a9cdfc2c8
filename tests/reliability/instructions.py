"""Look whether a build runs on every processor of its architecture: AVX may be in the code of its own tables alone.

    python tests/reliability/instructions.py [modules]

Reads the compiled modules of the installed fastmlp, or those named, with readelf and objdump (binutils). Ends with 1 if
an instruction of AVX or later is in code that was not compiled from csrc/isa/avx2.c or csrc/isa/avx512.c.
"""

import argparse
import bisect
import collections
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

MAY = ("avx2.c", "avx512.c")


def output(*command):
    """What a program prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def sources(module):
    """Addresses at which functions begin, ascending, and the source file of each: "" where it is visible to others."""
    found, source = {}, ""
    for line in output("readelf", "--symbols", "--wide", module).partition("'.symtab'")[2].splitlines():
        words = line.split()
        if len(words) == 8 and words[3] == "FILE":
            source = words[7]
        elif len(words) == 8 and words[3] == "FUNC" and words[6] != "UND":
            found[int(words[1], 16)] = source if words[4] == "LOCAL" else ""
    return sorted(found), found


def counts(module):
    """For each source file: its instructions, and those of AVX."""
    begins, source = sources(module)
    of_all, of_avx = collections.Counter(), collections.Counter()
    for line in output("objdump", "--disassemble", "--no-show-raw-insn", module).splitlines():
        words = re.fullmatch(r" *([0-9a-f]+):\t(\S+)(.*)", line)
        if words is None:
            continue
        before = bisect.bisect_right(begins, int(words[1], 16)) - 1
        file = source[begins[before]] if before >= 0 else ""
        of_all[file] += 1
        # All of them begin with v; verr and verw, which do too, are of systems.
        of_avx[file] += words[2].startswith("v") or "%ymm" in words[3] or "%zmm" in words[3]
    return of_all, of_avx


def main():
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("modules", nargs="*", help="shared libraries; those of the installed fastmlp if none is named")
    modules = parser.parse_args().modules
    if not modules:
        folder = Path(importlib.util.find_spec("fastmlp").origin).parent
        modules = sorted(map(str, folder.glob("*.so")))
    strange, in_tables = [], 0
    for module in modules:
        of_all, of_avx = counts(module)
        if sum(of_all.values()) < 1000 or not any(of_all):
            sys.exit(f"{module} holds {sum(of_all.values())} instructions: stripped, or not for this program")
        for file, n in sorted(of_all.items()):
            print(f"{Path(module).name}: {file or '(visible to others)'}: {n} instructions, {of_avx[file]} of AVX")
        strange += [
            f"{file or 'a visible function'} in {module}" for file in of_avx if of_avx[file] and file not in MAY
        ]
        in_tables += sum(of_avx[file] for file in MAY)
    if in_tables == 0:
        strange.append("none at all in the tables where they should be")
    if strange:
        sys.exit(f"instructions of AVX: {', '.join(strange)}")
    print("AVX is in its own tables alone")


if __name__ == "__main__":
    main()
