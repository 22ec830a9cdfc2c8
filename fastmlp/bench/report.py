"""What `fastmlp bench` measured, as Markdown: tables, and each target of the project beside its figure."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastmlp.bench.alone import linearity
from fastmlp.bench.measure import Result, Row

# At least so many times as fast as the fastest peer, where a step has fewer operations than this.
TARGETS = ((2e7, 3.0), (2e8, 2.2), (1e9, 1.3), (float("inf"), 1.1))

# At least so many times as fast as torch, by batch, on networks up to 64 wide.
TORCH_TARGETS = {"b32": 20, "b128": 12}
# At least such a share of the multiply-add peak of all threads.
SHARE_TARGETS = {
    "64-64-10 b32": 0.40, "784-512-512-10 b32": 0.60, "784-512-512-10 b1024": 0.72, "784-512-512-10 b2048": 0.72,
    "784-512-512-10 b4096": 0.72,
}  # fmt: skip
# AVX2 of its own peak, in steps of at least so many operations, where products are nearly all.
AVX2_TARGET, AVX2_OPERATIONS = 0.75, 5e8

ROOF = (
    "The roof is what traffic alone would allow: each weight read by the products that multiply with it, read and "
    "written by the update, and each input read once, at the rate of the triad over as many bytes as the weights have."
)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown whose columns line up; numbers to the right."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])])


def number(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(quartiles: Sequence[float], form: Any = number) -> str:
    """Median and, in parentheses, first and third quartile."""
    low, middle, high = (form(value) for value in quartiles)
    return f"{middle} ({low} to {high})"


def percent(share: float) -> str:
    """Of one."""
    return f"{100 * share:.0f} %"


def versus(rows: list[Row], key: str) -> str:
    """Microseconds of fastmlp and of each peer; beneath, how many times as fast fastmlp is."""
    labels = list(dict.fromkeys(row[key] for row in rows))
    names = list(dict.fromkeys(row["peer"] for row in rows))
    by = {(row[key], row["peer"]): row for row in rows}

    def cells(label: str, entry: str, form: Any) -> list[str]:
        return [form(by[label, name][entry]) if (label, name) in by else "-" for name in names]

    times, ratios = [], []
    for label in labels:
        ours = float(np.median([row["fastmlp_us"][1] for row in rows if row[key] == label]))
        times.append([label, number(ours), *cells(label, "peer_us", lambda q: number(q[1]))])
        ratios.append([label, *cells(label, "times_as_fast", spread)])
    cpu = [[label, *cells(label, "times_as_fast_cpu", lambda q: number(q[1]))] for label in labels]
    return "\n\n".join([
        "Microseconds (medians):",
        table([key, "fastmlp", *names], times),
        "How many times as fast fastmlp is: median, and quartiles of the rounds:",
        table([key, *names], ratios),
        "The same by processor time, over all threads:",
        table([key, *names], cpu),
    ])  # fmt: skip


def verdicts(result: Result) -> list[tuple[str, str, bool]]:
    """Each target with what was measured, and whether that meets it."""
    found: list[tuple[str, str, bool]] = []

    def add(target: str, measured: str, kept: bool) -> None:
        found.append((target, measured, bool(kept)))

    for label in dict.fromkeys(row["workload"] for row in result["training"]):
        rows = [row for row in result["training"] if row["workload"] == label]
        fastest = min(rows, key=lambda row: row["times_as_fast"][1])
        factor = next(factor for most, factor in TARGETS if fastest["operations"] < most)
        ratio = fastest["times_as_fast"][1]
        add(f"{label}: {factor} times the fastest peer", f"{ratio:.2f} times {fastest['peer']}", ratio >= factor)
    for row in result["training"]:
        widths = [int(w) for w in row["workload"].split()[0].split("-")]
        batch = row["workload"].split()[1]
        if row["peer"] == "torch" and max(widths) <= 64 and batch in TORCH_TARGETS:
            ratio = row["times_as_fast"][1]
            target = f"{row['workload']}: {TORCH_TARGETS[batch]} times torch"
            add(target, f"{ratio:.1f} times", ratio >= TORCH_TARGETS[batch])
    shares = {row["workload"]: row["share"][1] for row in [*result["shares"], *result["shares_of_workloads"]]}
    for label, least in SHARE_TARGETS.items():
        if label in shares:
            add(f"{label}: {percent(least)} of the peak", percent(shares[label]), shares[label] >= least)
    for row in result.get("avx2", []):
        if row["operations"] >= AVX2_OPERATIONS:
            share = row["share"][1]
            add(f"{row['workload']}, AVX2: {percent(AVX2_TARGET)} of its peak", percent(share), share >= AVX2_TARGET)
    for name, most in (("SGD", 1.05), ("Adam", 1.25)):
        for row in result["updates"]:
            ratio = row["ratio"][name][1]
            add(f"{row['workload']}: {name} at most {most} times no update", f"{ratio:.2f} times", ratio <= most)
    for row in result["threads"]:
        if "2" in row["ratio"] and row["operations"] >= 5e8:
            ratio = 1 / row["ratio"]["2"][1]
            add(f"{row['workload']}: two threads 1.8 times one", f"{ratio:.2f} times", ratio >= 1.8)
        ratio = row["ratio"]["chosen"][1]
        target = f"{row['workload']}: threads chosen, never slower than one (3 % for noise)"
        add(target, f"{ratio:.2f} of its time", ratio <= 1.03)
    if len(result["linearity"]) > 2:
        worst = linearity(result["linearity"])["worst"]
        add("784-512-512-10: time within 10 % of a line over batch 64 to 4000", percent(worst), worst <= 0.1)
    us_of = {row["workload"]: row["us"]["chosen"][1] for row in result["linearity"]}
    if {"784-512-512-10 b400", "784-512-512-10 b4000"} <= us_of.keys():
        ratio = us_of["784-512-512-10 b4000"] / us_of["784-512-512-10 b400"]
        target = "784-512-512-10: ten times the rows, ten times the time (10 % for noise)"
        add(target, f"{ratio:.2f} times", 9 <= ratio <= 11)
    for row in result["dtypes"]:
        ratio = row["ratio"]["float64"][1]
        add(f"{row['workload']}: float64 at most 2.2 times float32", f"{ratio:.2f} times", ratio <= 2.2)
    for row in result["calls"]:
        for call, most in (("train_on_batch", 3), ("fit", 150)):
            over = row[f"{call}_us"][1]
            add(f"{row['workload']}: {call} at most {most} µs over its steps", f"{over:.1f} µs", over <= most)
    return found


def markdown(result: Result) -> str:
    """The whole report.

    Parameters
    ----------
    result : dict
        Of `fastmlp.bench.command.measure`.

    Returns
    -------
    str
    """
    parts: list[str] = []

    def section(title: str, *texts: str) -> None:
        parts.extend([f"## {title}", *texts])

    described = {**result["machine"], **{f"version of {name}": v for name, v in result["versions"].items()}}
    section(
        "Machine",
        f"`{result['command']}`, {result['date']}; {result['rounds']} rounds of turns of about "
        f"{1e3 * result['seconds']:.0f} ms. All times in microseconds. Everyone trains the same batches in the same "
        "order, unshuffled, from the same weights, and has come to the same loss.",
        table(["what", "here"], [[name, str(value)] for name, value in described.items()]),
        *[f"Without {name}: {why}." for name, why in result.get("absent", {}).items()],
        *[f"Not timed: {why}." for why in result["refused"]],
    )
    section(
        "What the machine can do",
        "10^9 operations, or bytes, a second. The peaks of the shares below were probed again, in turn with each.",
        table(
            ["probe", "threads", "10^9"], [[r["probe"], str(r["threads"]), number(r["giga"])] for r in result["peaks"]]
        ),
    )
    section("A training step with SGD", versus(result["training"], "workload"))
    if result["adam"]:
        section("A training step with Adam", versus(result["adam"], "workload"))
    if result["prediction"]:
        calls = [{**row, "call": f"{row['network']}, {row['rows']} rows"} for row in result["prediction"]]
        section("A call of predict, from NumPy to NumPy", versus(calls, "call"))
    for title, key in (("Share of the peak", "shares_of_workloads"), ("Share of the peak by batch size", "shares"),
                       ("Share of AVX2's peak, on AVX2", "avx2")):  # fmt: skip
        if result.get(key):
            rows = [[r["workload"], number(r["us"][1]), number(r["gflops"][1]), spread(r["share"], percent),
                     percent(r["roof"])] for r in result[key]]  # fmt: skip
            section(title, table(["step", "µs", "GFLOP/s", "share of all threads' peak", "roof"], rows), ROOF)
    for title, key in (("Threads", "threads"), ("What an update costs", "updates"), ("float64", "dtypes"),
                       ("Time by batch size", "linearity")):  # fmt: skip
        if result[key]:
            names = list(result[key][0]["us"])
            rows = [
                [r["workload"], *(number(r["us"][n][1]) for n in names), *(spread(r["ratio"][n]) for n in names[1:])]
                for r in result[key]
            ]
            header = ["step", *(f"{n}, µs" for n in names), *(f"{n} / {names[0]}" for n in names[1:])]
            section(title, table(header, rows))
    if len(result["linearity"]) > 2:
        line = linearity(result["linearity"])
        parts.append(
            f"The line nearest to them: {line['a_us']:.1f} µs + {line['b_us_per_gigaoperation']:.0f} µs for each 10^9 "
            f"operations; the farthest lies {percent(line['worst'])} off."
        )
    rows = [[r["workload"], number(r["step_us"][1]), spread(r["train_on_batch_us"]), spread(r["fit_us"])]
            for r in result["calls"]]  # fmt: skip
    section("What a call costs over its steps, in µs", table(["step", "a step", "train_on_batch", "fit"], rows))
    rows = [[target, measured, "kept" if kept else "MISSED"] for target, measured, kept in verdicts(result)]
    section(
        "Targets",
        "Medians. Not measured here: memory, which `tests/test_memory.py` holds to its budget, and the time to 98 % of "
        "MNIST, which `fastmlp demo --data mnist --until 0.98` tells.",
        table(["target", "measured", "verdict"], rows),
    )
    return "\n\n".join(["# Benchmarks", *parts])
