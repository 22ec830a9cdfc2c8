"""Run the gallery: every example, one after the other, and one table of what it found.

    python run_all.py                    the table to stdout
    python run_all.py --out FILE         and to a Markdown file, with the machine
    python run_all.py --quick            without those that take more than 20 seconds
    python run_all.py xor letters        some of them

Each example leaves its figures in ``results``, a list of rows: what, published, fastmlp, seconds with fastmlp, seconds
with plain NumPy (None where there is nothing to compare).
"""

import argparse
import platform
import runpy
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# All examples, in the order of the gallery.
ORDER = (
    "mnist_twenty_epochs", "letters", "arrays", "three_frameworks", "automatic_differentiation", "perceptron_network",
    "layers_as_matrices", "softmax_classifier", "perceptron", "autoencoder", "generative_adversarial_network",
    "restricted_boltzmann_machine", "deep_belief_network", "hopfield_network", "worked_example", "programs_for_files",
    "two_conventions", "xor", "mnist_by_hand", "denoising", "losses_by_hand", "five_runs", "whitening",
    "weights_as_a_tree",
)  # fmt: skip
# Those that take more than 20 seconds on two cores.
SLOW = ("autoencoder", "generative_adversarial_network")


def run(name: str) -> list[tuple]:
    """Run one example with pictures that nobody sees, and return its results.

    Raises
    ------
    SystemExit
        Where it leaves none.
    """
    import matplotlib

    matplotlib.use("Agg")
    found = runpy.run_path(str(HERE / f"{name}.py"), run_name="__main__")
    matplotlib.pyplot.close("all")
    if "results" not in found:
        raise SystemExit(f"{name}.py leaves no results")
    return found["results"]


def seconds(value: float | None) -> str:
    """Seconds with two significant digits."""
    return "" if value is None else f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def table(rows: list[tuple]) -> str:
    """The rows as Markdown, each with a link to its example, which comes first."""
    lines = ["| experiment | published | fastmlp | seconds | plain NumPy, seconds |", "|---|---|---|---:|---:|"]
    for name, what, said, found, a, b in rows:
        lines.append(f"| [{what}](../examples/{name}.py) | {said} | {found} | {seconds(a)} | {seconds(b)} |")
    return "\n".join(lines)


def machine() -> str:
    """What the figures were measured on."""
    import numpy

    import fastmlp
    from fastmlp.bench.machine import blas, processor
    from fastmlp.config import cores

    versions = (
        f"Python {platform.python_version()}, fastmlp {fastmlp.__version__}, NumPy {numpy.__version__} ({blas()})"
    )
    return f"{processor()}, {cores()} cores, {versions}"


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*ORDER, []], help="all by default")
    parser.add_argument("--quick", action="store_true", help="leave out those that take more than 20 seconds")
    parser.add_argument("--out", type=Path, help="Markdown file to write the table to")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(HERE))
    rows = []
    for name in options.names or ORDER:
        if options.quick and name in SLOW:
            print(f"{name}: left out, it takes more than 20 seconds", file=sys.stderr)
            continue
        began = time.perf_counter()
        rows += [(name, *row) for row in run(name)]
        print(f"{name}: {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    print(table(rows))
    if options.out is not None:
        options.out.write_text(
            "# The experiments\n\nWhat five teaching texts publish, and what fastmlp finds: the table that "
            "`python examples/run_all.py --out docs/experiments.md` wrote.\n\n"
            "Published is what the text of an experiment says, or the paper that it names; a formula, a bound or the "
            "figure of real data where there is no result. Seconds are those of one run. Those of plain NumPy "
            "(`examples/plain_numpy.py`, all cores) are the median of the steps that fit into two seconds, times their "
            "number. An empty field: nothing to compare.\n\n"
            f"{machine()}.\n\n{table(rows)}\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
