"""Draws programs at random (layers, loss, optimizer, options, data, ways to train) and checks each against the twin
in plain NumPy, and that its bits are the same for other threads, other memory, a file in the middle: what is drawn and
what must hold is in tests/programs_strategy.py.

A case that fails is printed, shrunk, and the program ends with 1. Seeds are those of the parts of 500 cases; --seed and
--cases 500 repeat one.

    python tests/reliability/random_programs.py --cases 20000 --processes 2
"""

import argparse
import multiprocessing
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PART = 500


def run_part(part):
    """Some cases of one seed: how many ran, their outcomes, seconds of the processor, and what failed."""
    import hypothesis
    import programs_strategy

    seed, cases = part
    warnings.simplefilter("error")
    programs_strategy.outcomes.clear()
    n, began, failed = 0, time.process_time(), None

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(programs_strategy.programs())
    def check(program):
        nonlocal n
        n += 1
        programs_strategy.check(program)

    try:
        check()
    except BaseException:
        failed = traceback.format_exc()
    return seed, n, Counter(programs_strategy.outcomes), time.process_time() - began, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=20_000, help="programs to draw (default 20000)")
    parser.add_argument("--seed", type=int, default=1, help="of the first part")
    parser.add_argument("--processes", type=int, default=1)
    chosen = parser.parse_args()
    parts = [(chosen.seed + i, min(PART, chosen.cases - first)) for i, first in enumerate(range(0, chosen.cases, PART))]
    total, seconds, outcomes, failures = 0, 0.0, Counter(), 0
    with multiprocessing.get_context("spawn").Pool(chosen.processes, maxtasksperchild=1) as pool:
        for seed, n, found, took, failed in pool.imap_unordered(run_part, parts):
            total, seconds, outcomes, failures = (
                total + n,
                seconds + took,
                outcomes + found,
                failures + (failed is not None),
            )
            print(f"seed {seed}: {n} cases, {took:.0f} s", "FAILED" if failed else "passed", flush=True)
            if failed:
                print(failed, flush=True)
    print(f"{total} cases in {seconds:.0f} s of processor time; {failures} of {len(parts)} parts failed")
    for name, n in outcomes.most_common():
        print(f"  {name}: {n}")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
