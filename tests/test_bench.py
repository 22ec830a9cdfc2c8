"""`fastmlp bench`: timing in turn, counting operations, deciding targets; and a small run of everything."""

import contextlib
import functools
import io
import json
import re
import shlex
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fastmlp import cli
from fastmlp.bench import alone, command, comparison, machine, measure, peers, pictures, report
from fastmlp.bench.workloads import WORKLOADS, Workload

SMALL = Workload((30, 16, 2), 32, 20)


# ---- timing ----


class Clock:
    """Stands in for the module time: two processors work, and a sleep takes no time."""

    def __init__(self):
        self.now, self.sleeps, self.calls = 7.0, [], []

    def sleep(self, seconds):
        self.sleeps.append(seconds)

    def perf_counter(self):
        return self.now

    def process_time(self):
        return 2 * self.now

    def work(self, name, seconds):
        """Takes so long a unit."""

        def work(units):
            self.calls.append((name, units))
            self.now += units * seconds

        return work


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(measure, "time", clock)
    return clock


def test_works_take_turns_after_a_pause(clock):
    works = [clock.work("A", 1e-3), clock.work("B", 25e-3), clock.work("C", 2.0)]
    timings = measure.in_turn(works, 4, 0.1)
    assert clock.calls[-12:] == [("A", 100), ("B", 4), ("C", 1)] * 4
    assert set(clock.sleeps) == {measure.PAUSE_SECONDS}
    assert len(clock.sleeps) == 12  # none before the calls that warm up and find the units
    for timing, seconds in zip(timings, (1e-3, 25e-3, 2.0), strict=True):
        np.testing.assert_allclose(timing.wall, [seconds] * 4)
        np.testing.assert_allclose(timing.cpu, [2 * seconds] * 4)


def test_entry_i_of_every_timing_belongs_to_round_i(clock):
    """A machine that becomes slower from call to call."""
    works = [clock.work("A", 0.1), clock.work("B", 0.1)]

    def slower(work):
        def slow(units):
            work(units)
            clock.now += 0.01 * len(clock.calls)

        return slow

    a, b = measure.in_turn([slower(work) for work in works], 5, 0.01)
    np.testing.assert_allclose(np.diff(a.wall), 0.02)
    np.testing.assert_allclose(b.wall - a.wall, 0.01)


@pytest.mark.parametrize("seconds", [1e-8, 3e-6, 1e-3, 0.04, 0.06, 3.0])
def test_a_turn_lasts_as_long_as_it_should(clock, seconds):
    units = measure.units_for(clock.work("A", seconds), 0.06)
    assert units == pytest.approx(0.06 / seconds, rel=0.01, abs=0.5 if seconds < 0.06 else 1)
    assert units >= 1
    assert clock.calls[0] == ("A", 1)


def test_quartiles_and_timings():
    assert measure.quartiles(np.array([5.0, 1, 2, 3, 4])) == [2, 3, 4]
    timing = measure.Timing(np.array([1.0, 2, 6]), np.array([2.0, 4, 12])).scaled(0.5)
    assert (timing.wall.tolist(), timing.cpu.tolist()) == ([0.5, 1, 3], [1, 2, 6])


def test_a_ratio_is_that_of_each_round():
    ours = measure.Timing(np.array([1.0, 2, 4]), np.array([1.0, 2, 0]))
    theirs = measure.Timing(np.array([3.0, 4, 20]), np.array([8.0, 8, 8]))
    row = comparison.row_of(ours, theirs)
    assert row["times_as_fast"] == [2.5, 3, 4]
    assert row["fastmlp_us"] == [1.5e6, 2e6, 3e6]
    assert (row["fastmlp_cpu_us"], row["peer_cpu_us"]) == (1e6, 8e6)
    assert row["times_as_fast_cpu"][0] == 6


# ---- workloads ----


def test_operations_are_those_of_the_products():
    """5 rows through 3-4-2: 3 x 4 and 4 x 2 weights forward and in their gradients, 4 x 2 in the input gradients."""
    assert Workload((3, 4, 2), 5, 1).operations == 2 * 5 * ((12 + 8) + (12 + 8) + 8)
    assert Workload((3, 2), 1, 9).operations == 2 * (6 + 6)


def test_a_workload_has_a_name_and_data_of_its_own():
    workload = Workload((6, 5, 4, 3), 7, 2, "adam")
    assert (str(workload), workload.network, workload.learning_rate) == ("6-5-4-3 b7 adam", "6-5-4-3", 1e-4)
    X, y = workload.data()
    assert (X.shape, X.dtype, y.shape) == ((14, 6), np.float32, (14,))
    np.testing.assert_array_equal(workload.data()[0], X)
    assert set(y) <= {0, 1, 2}
    assert len({str(w) for w in WORKLOADS}) == len(WORKLOADS)


def test_workloads_are_chosen_by_parts_of_their_names():
    assert command.select(None) == WORKLOADS
    assert [str(w) for w in command.select(["30-16-2"])] == ["30-16-2 b32"]
    assert [str(w) for w in command.select(["b10", "64-64"])] == ["64-64-10 b32", "784-100-10 b10",
                                                                  "784-512-512-10 b1024"]  # fmt: skip
    assert command.select(["nothing"]) == []


# ---- fastmlp alone ----


def test_steps_are_those_of_fit():
    for dtype in ("float32", "float64"):
        steps, peer = alone.EngineSteps(SMALL, dtype=dtype), peers.FastMLP(SMALL, dtype=dtype)
        steps(3 * SMALL.batches)
        peer.train(3)
        for ours, theirs in zip(steps.run.network.get_weights(), peer.model.weights, strict=True):
            assert [a.tobytes() for a in ours] == [a.tobytes() for a in theirs]


def test_steps_without_update_change_nothing():
    steps = alone.EngineSteps(SMALL, update=False)
    steps(3)
    for (W, b), (V, c) in zip(steps.run.network.get_weights(), SMALL.model().weights, strict=True):
        assert (W == V).all()
        assert (b == c).all()


def test_a_share_is_of_the_peak_of_its_round(monkeypatch, clock):
    """Where a turn is two probes, the better one counts."""
    found = iter([9.0, *[1e9, 2e9] * 8])
    calls = []

    def peak(isa, dtype, threads, seconds):
        clock.now += 0.6 * seconds
        calls.append((isa, dtype))
        return next(found)

    def steps(workload, dtype, isa):
        return clock.work("steps", workload.operations / 1e9)

    monkeypatch.setattr(alone, "peak_fma", peak)
    monkeypatch.setattr(alone, "EngineSteps", steps)
    monkeypatch.setattr(alone, "bandwidth", lambda *_: 1e9)
    (row,) = alone.shares([SMALL], 3, 0.1, "avx2", "float64")
    assert len(calls) == 2 + 3 * 2
    assert set(calls) == {("avx2", "float64")}
    assert row["gflops"] == pytest.approx([1, 1, 1])
    assert row["share"] == pytest.approx([0.5, 0.5, 0.5])
    assert (row["workload"], row["batch"], row["isa"], row["dtype"]) == ("30-16-2 b32", 32, "avx2", "float64")


def line_rows(*off):
    """Rows of `variants` on the line 12 us + 3 us for a gigaoperation, the last ones off by so many parts of it."""
    operations = np.array([1e6, 1e7, 1e8, 1e9, 1e10])
    us = (12 + 3e-9 * operations) * (1 + np.array([*[0.0] * (5 - len(off)), *off]))
    return [
        {"workload": "w", "operations": n, "us": {"chosen": [0, t, 1e9]}} for n, t in zip(operations, us, strict=True)
    ]


def test_a_line_is_found():
    line = alone.linearity(line_rows())
    assert line["a_us"] == pytest.approx(12)
    assert line["b_us_per_gigaoperation"] == pytest.approx(3)
    assert line["worst"] < 1e-9
    assert 0.1 < alone.linearity(line_rows(0.5, 0.0))["worst"] < 0.5


# ---- the report ----


def tables(text):
    """Cells of every table of a Markdown text, the rule among them."""
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        yield [[cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()]


def assert_valid(text):
    """Every table has a header, a rule that aligns the numbers to the right, and rows of as many cells."""
    found = list(tables(text))
    assert found
    for header, rule, *rows in found:
        assert re.fullmatch("-+", rule[0])
        assert all(re.fullmatch("-+:", cell) for cell in rule[1:])
        assert {len(row) for row in (header, rule, *rows)} == {len(header)}


@pytest.mark.parametrize("rows", [[], [["a", "1"]], [["a long name", "1"], ["b", "1,000,000"]]])
def test_a_table_is_markdown(rows):
    text = report.table(["what", "µs"], rows)
    assert_valid(text)
    assert len({len(line) for line in text.splitlines()}) == 1
    assert next(tables(text))[2:] == rows


def test_numbers_have_three_digits():
    values = [0.1234, 1.234, 12.34, 123.4, 1234.5]
    assert [report.number(v) for v in values] == ["0.12", "1.23", "12.3", "123", "1,234"]
    assert report.spread([0.5, 1, 20]) == "1.00 (0.50 to 20.0)"
    assert report.percent(0.256) == "26 %"


def compared(workload, operations, peer, ratio):
    """A row of `comparison.training`; the quartiles would decide otherwise."""
    return {"workload": workload, "operations": operations, "peer": peer, "times_as_fast": [0.0, ratio, 1e3]}


def verdicts(**sections):
    """Of a result that is empty otherwise."""
    names = ("training", "shares", "shares_of_workloads", "updates", "threads", "linearity", "dtypes", "calls")
    return report.verdicts({**{name: [] for name in names}, **sections})


@pytest.mark.parametrize(
    ("operations", "factor"),
    [(1e3, 3.0), (1.9e7, 3.0), (2.1e7, 2.2), (1.9e8, 2.2), (2.1e8, 1.3), (9e8, 1.3), (1.1e9, 1.1), (1e15, 1.1)],
)
def test_the_fastest_peer_decides_by_the_operations(operations, factor):
    rest = [compared("99-9 b7", operations, name, 50.0) for name in ("twin", "keras")]
    for ratio, kept in ((factor + 0.001, True), (factor - 0.001, False)):
        ((target, measured, found),) = verdicts(
            training=[rest[0], compared("99-9 b7", operations, "jax", ratio), rest[1]]
        )
        assert target == f"99-9 b7: {factor} times the fastest peer"
        assert measured == f"{ratio:.2f} times jax"
        assert found is kept


def test_every_workload_has_its_own_fastest_peer():
    rows = [compared("90-9 b1", 1e6, "numpy", 4.0), compared("90-9 b1", 1e6, "torch", 9.0),
            compared("80-8 b1", 1e6, "numpy", 9.0), compared("80-8 b1", 1e6, "torch", 2.0)]  # fmt: skip
    assert [found[1:] for found in verdicts(training=rows)] == [("4.00 times numpy", True), ("2.00 times torch", False)]


@pytest.mark.parametrize(("workload", "least"), [("64-64-10 b32", 20), ("10-46-46-10 b128", 12)])
@pytest.mark.parametrize("above", [True, False])
def test_torch_has_a_target_of_its_own_on_small_networks(workload, least, above):
    rows = [compared(workload, 1e6, name, least + (0.1 if above else -0.1)) for name in ("torch", "torch.compile")]
    *_, (target, _, kept) = found = verdicts(training=rows)
    assert len(found) == 2
    assert target == f"{workload}: {least} times torch"
    assert kept is above


def test_torch_has_none_on_other_networks():
    for workload in ("64-65-10 b32", "64-64-10 b10", "784-100-10 b128"):
        assert len(verdicts(training=[compared(workload, 1e6, "torch", 9.0)])) == 1


SHARES = [("shares_of_workloads", workload, least) for workload, least in report.SHARE_TARGETS.items()]


@pytest.mark.parametrize(("section", "workload", "least"), [*SHARES, ("avx2", "784-512-512-10 b1024", 0.75)])
def test_a_share_of_the_peak_is_decided(section, workload, least):
    for share, kept in ((least + 0.001, True), (least - 0.001, False)):
        rows = [{"workload": workload, "share": [0.0, share, 1.0], "operations": 1e9},
                {"workload": "1-1 b1", "share": [0.0, 0.0, 0.0], "operations": 1e8}]  # fmt: skip
        ((target, _, found),) = verdicts(**{section: rows})
        assert target.startswith(workload)
        assert ("AVX2" in target) == (section == "avx2")
        assert found is kept


@pytest.mark.parametrize(
    ("section", "rows", "targets"),
    [
        ("updates", lambda x: {"ratio": {"SGD": [0, 1.05 * x, 9], "Adam": [0, 1.25 * x, 9]}},
         ["w: SGD at most 1.05 times no update", "w: Adam at most 1.25 times no update"]),
        ("dtypes", lambda x: {"ratio": {"float64": [0, 2.2 * x, 9]}}, ["w: float64 at most 2.2 times float32"]),
        ("calls", lambda x: {"train_on_batch_us": [0, 3 * x, 99], "fit_us": [0, 150 * x, 999]},
         ["w: train_on_batch at most 3 µs over its steps", "w: fit at most 150 µs over its steps"]),
        ("threads", lambda x: {"operations": 4e8, "ratio": {"2": [0, 0.9, 9], "chosen": [0, 1.03 * x, 0]}},
         ["w: threads chosen, never slower than one (3 % for noise)"]),
        ("threads", lambda x: {"operations": 5e8, "ratio": {"2": [0, x / 1.8, 9], "chosen": [0, 0.1, 2]}},
         ["w: two threads 1.8 times one", "w: threads chosen, never slower than one (3 % for noise)"]),
        ("threads", lambda x: {"operations": 1e9, "ratio": {"chosen": [0, 1.03 * x, 99]}},
         ["w: threads chosen, never slower than one (3 % for noise)"]),
    ],
)  # fmt: skip
def test_a_ratio_is_decided(section, rows, targets):
    for x, kept in ((0.999, True), (1.001, False)):
        found = verdicts(**{section: [{"workload": "w", **rows(x)}]})
        assert [target for target, _, _ in found] == targets
        assert found[0][2] is kept
        assert section == "threads" or {k for _, _, k in found} == {kept}


def test_a_line_is_decided():
    for off, kept in ((0.1, True), (0.5, False)):
        ((_, _, found),) = verdicts(linearity=line_rows(off, 0.0))
        assert found is kept
    assert verdicts(linearity=line_rows()[:2]) == []  # two points are always on a line


@pytest.mark.parametrize(("ratio", "kept"), [(8.9, False), (9.1, True), (10.9, True), (11.1, False)])
def test_ten_times_the_rows_are_ten_times_the_time(ratio, kept):
    rows = [{"workload": f"784-512-512-10 b{batch}", "operations": 1e6 * batch, "us": {"chosen": [0, us, 0]}}
            for batch, us in ((400, 7.0), (4000, 7.0 * ratio))]  # fmt: skip
    ((target, measured, found),) = verdicts(linearity=rows)
    assert "ten times the rows" in target
    assert measured == f"{ratio:.2f} times"
    assert found is kept


# ---- the command ----


def failure(capsys, arguments):
    """The line on stderr of a command that must fail before it prints or makes anything."""
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastmlp: error: ")
    assert err.count("\n") == 1
    return err


def test_unknown_peers_are_named_with_those_there_are(capsys, tmp_path):
    message = failure(capsys, ["bench", "--peers", "numpy", "tensorflow", "jax  scan", "--out", str(tmp_path / "out")])
    assert "--peers tensorflow 'jax  scan': none of twin numpy" in message
    assert "'jax scan'" in message
    assert list(tmp_path.iterdir()) == []


def test_unknown_workloads_are_named_with_those_there_are(capsys, tmp_path):
    message = failure(capsys, ["bench", "--workloads", "b31", "1-1", "--out", str(tmp_path / "out")])
    assert "--workloads b31 1-1: none of 30-16-2 b32, 64-64-10 b32, " in message
    assert list(tmp_path.iterdir()) == []


def test_few_rounds_are_refused(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["bench", "--rounds", "2"])
    assert exit_.value.code == 2
    assert "argument --rounds: must be at least 3" in capsys.readouterr().err


ARGUMENTS = ["bench", "--quick", "--peers", "numpy", "--workloads", "30-16-2", "--rounds", "3"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Folder, stdout and stderr of a run of a second."""
    folder = tmp_path_factory.mktemp("bench") / "new" / "folder"
    out, err = io.StringIO(), io.StringIO()
    arguments = [*ARGUMENTS, "--silent", "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(measure, "PAUSE_SECONDS", 0)
        patch.setattr(command, "QUICK_SECONDS", 1e-3)
        patch.setattr(command, "BATCHES", (1, 32))
        patch.setattr(machine, "peak_fma", functools.partial(machine.peak_fma, seconds=1e-3))
        patch.setattr(machine, "bandwidth", functools.partial(machine.bandwidth, megabytes=1, seconds=1e-3))
        patch.setattr(sys, "argv", ["fastmlp", *arguments])
        assert cli.main(arguments) == 0
    return SimpleNamespace(folder=folder, arguments=arguments, out=out.getvalue(), err=err.getvalue())


def test_results_are_kept_as_json(ran):
    result = json.loads((ran.folder / "results.json").read_text(encoding="utf-8"))
    assert result["command"] == shlex.join(["fastmlp", *ran.arguments])
    assert (result["rounds"], result["seconds"], result["absent"]) == (3, 1e-3, {})
    assert [(row["workload"], row["peer"]) for row in result["training"]] == [("30-16-2 b32", "numpy")]
    assert [(row["network"], row["rows"]) for row in result["prediction"]] == [("30-16-2", 1), ("30-16-2", 1000)]
    for name in ("peaks", "shares", "shares_of_workloads", "threads", "updates", "dtypes", "calls", "linearity"):
        assert result[name], name
    for row in result["threads"]:
        assert list(row["us"])[-1] == "chosen"
        assert all(0 < low <= middle <= high for low, middle, high in row["us"].values())
    assert report.markdown(result) == ran.out.rstrip("\n")


def test_the_report_is_printed_and_kept(ran):
    assert (ran.folder / "report.md").read_text(encoding="utf-8") == ran.out
    assert_valid(ran.out)
    *_, (header, _, *targets) = tables(ran.out)
    assert header[0] == "target"
    assert len(targets) > 5
    assert {verdict for _, _, verdict in targets} <= {"kept", "MISSED"}


def test_silence_leaves_one_line(ran):
    (line,) = [line for line in ran.err.splitlines() if not line.startswith("without")]
    assert line.startswith(f"written to {ran.folder}: results.json, report.md")
    assert sorted(line.partition(": ")[2].split(", ")) == sorted(path.name for path in ran.folder.iterdir())


def test_pictures_are_drawn(ran):
    pytest.importorskip("matplotlib", reason="pictures need fastmlp[plot]")
    assert sorted(path.stem for path in ran.folder.glob("*.png")) == ["ratios", "roofline", "threads"]
    for path in ran.folder.glob("*.png"):
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG\r\n")
        assert len(content) > 10_000


def test_pictures_without_any_peer_are_drawn(ran, tmp_path):
    pytest.importorskip("matplotlib", reason="pictures need fastmlp[plot]")
    pictures.draw({**json.loads((ran.folder / "results.json").read_text(encoding="utf-8")), "training": []}, tmp_path)
    assert (tmp_path / "ratios.png").stat().st_size > 1000


def test_missing_peers_and_matplotlib_are_told(ran, tmp_path, monkeypatch, capsys):
    result = json.loads((ran.folder / "results.json").read_text(encoding="utf-8"))
    asked = []
    monkeypatch.setattr(command, "measure", lambda workloads, names, *_: asked.append(names) or result)
    monkeypatch.setattr(peers, "missing", lambda name: "torch is not installed: pip" if "torch" in name else None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli.main(["bench", "--peers", "torch", "numpy", "torch.compile", "--out", str(tmp_path)]) == 0
    assert asked == [["numpy"]]
    out, err = capsys.readouterr()
    for name in ("torch", "torch.compile"):
        assert f"without {name}: torch is not installed: pip\n" in err
    assert "without pictures: pictures need matplotlib: pip install 'fastmlp[plot]'" in err
    assert "Without torch: torch is not installed: pip" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.md", "results.json"]


def test_progress_names_what_was_measured(monkeypatch):
    monkeypatch.setattr(command, "peaks", lambda: [{"probe": "triad", "giga": 7.0}])
    monkeypatch.setattr(comparison, "training", lambda *_: [compared("30-16-2 b32", 1e6, "numpy", 3.0)])
    monkeypatch.setattr(comparison, "prediction", lambda *_: [])
    for name in ("shares", "threads", "variants", "calls"):
        monkeypatch.setattr(alone, name, lambda *_, **__: [])
    told = []
    command.measure(command.select(["30-16-2"]), ["numpy"], 3, 1e-3, True, told.append)
    assert told == ["peaks: triad", "SGD: 30-16-2 b32 numpy"]
