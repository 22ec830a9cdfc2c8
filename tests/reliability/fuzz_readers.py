"""Reads damaged and hostile files for as long as you like: model files, IDX files, tables in CSV.

Every file is either refused by an error that is documented, or read; one that is read must be what it says. Other
errors, a read of more than 5 seconds and memory beyond 48 MB and 50 times the file's size are findings: the program
prints the error, leaves the file in the folder of --artifacts and ends with 1. The changes know the formats (see
tests/hostile.py). With atheris (pip install atheris), which follows the lines of code that a file reaches and keeps
those that reach new ones; without it (--plain) by chance alone.

    python tests/reliability/fuzz_readers.py --reader model --runs 1000000
"""

import argparse
import contextlib
import os
import random
import sys
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", choices=("model", "idx", "table"), required=True)
    parser.add_argument("--runs", type=int, default=1_000_000, help="files to read (default 1000000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--artifacts", type=Path, default=Path("."), help="folder for the file of a finding")
    parser.add_argument("--plain", action="store_true", help="without atheris")
    return parser.parse_args()


def main():
    chosen = arguments()
    warnings.simplefilter("error")  # a reader warns of nothing: it refuses
    if chosen.plain:
        import hostile
    else:
        import atheris

        with atheris.instrument_imports(include=["fastmlp"]):
            import hostile
    reader = hostile.READERS[chosen.reader]()
    began = time.monotonic()

    def tell():
        print(
            f"{chosen.reader}: {reader.n_read} files read, {reader.n_refused} of them refused, "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )

    def found(content):
        path = chosen.artifacts / f"finding-{chosen.reader}-{chosen.seed}"
        path.write_bytes(content)
        print(f"FINDING after {reader.n_read} files; the file is {path}", flush=True)
        traceback.print_exc(file=sys.stdout)
        tell()

    if chosen.plain:
        with contextlib.closing(reader):
            try:
                hostile.try_mutations(reader, chosen.runs, random.Random(chosen.seed))
            except hostile.Finding as error:
                found(error.content)
                return 1
        tell()
        return 0

    def one(content):
        content = bytes(content)
        try:
            reader.try_out(content)
        except BaseException:
            found(content)
            raise
        if reader.n_read % 50_000 == 0:
            tell()

    def mutate(content, max_size, seed):
        changed = reader.mutated(
            bytes(content), random.Random(seed), lambda data: atheris.Mutate(data, max(1, max_size))
        )
        return changed[:max_size] if len(changed) > max_size else changed

    corpus = Path(reader.path).parent / "corpus"
    corpus.mkdir()
    for i, content in enumerate(reader.seeds()):
        (corpus / str(i)).write_bytes(content)
    options = [f"-runs={chosen.runs}", f"-seed={chosen.seed}", "-max_len=20000", "-timeout=30", "-rss_limit_mb=2048"]
    options += [f"-artifact_prefix={chosen.artifacts}/", "-len_control=0", "-mutate_depth=1", str(corpus)]
    atheris.Setup([sys.argv[0], *options], one, custom_mutator=mutate)
    child = os.fork()
    if child == 0:
        atheris.Fuzz()  # ends the process, and knows nothing of exit handlers
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    reader.close()
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
