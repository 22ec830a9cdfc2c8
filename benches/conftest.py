"""Fixtures of the benches: peers, optimizer. The table of the kernels' rates.

``pytest benches --benchmark-only`` measures; ``pytest benches --benchmark-disable`` runs each bench once, as a test, on
epochs of few steps.
"""

import dataclasses

import pytest

from fastmlp.bench import peers


@pytest.fixture
def peer(request):
    """Name of an implementation that is installed."""
    why = peers.missing(request.param)
    if why:
        pytest.skip(why)
    return request.param


@pytest.fixture(params=["sgd", "adam"])
def optimizer(request):
    """Name of an optimizer."""
    return request.param


@pytest.fixture
def sized(benchmark):
    """Function of a workload: as it is measured; where nothing is, with epochs of three steps, which a training tells
    from one and from none. Widths and batches stay: what a peer compiles, and where kernels change their ways."""
    if not benchmark.disabled:
        return lambda workload: workload
    return lambda workload: dataclasses.replace(workload, batches=min(3, workload.batches))


# ---- bench_kernels.py: rates and shares of the peak, which pytest-benchmark's own table does not show ----

RATES = pytest.StashKey[list]()


@pytest.fixture(scope="session")
def rates(pytestconfig):
    """List that takes a dict for each measured kernel: case, isa, dtype, threads, size, seconds, rate, unit, share."""
    return pytestconfig.stash.setdefault(RATES, [])


@pytest.hookimpl(hookwrapper=True)
def pytest_terminal_summary(terminalreporter, config):
    """Print the rates below the tables of pytest-benchmark, one line for each measurement."""
    yield
    rows = [row for row in config.stash.get(RATES, []) if "share" in row]  # not so where the run was cut short
    if not rows:
        return
    width = max(len(row["case"]) for row in rows)
    terminalreporter.section("kernels: best of the rounds; share of the machine's peak in the same threads")
    terminalreporter.write_line(
        f"{'case':{width}} {'isa':8} {'dtype':7} threads {'size':>13} {'time':>11} {'rate':>16}  share of peak"
    )
    for row in rows:
        terminalreporter.write_line(
            f"{row['case']:{width}} {row['isa']:8} {row['dtype']:7} {row['threads']:7} {row['size']:>13} "
            f"{1e6 * row['seconds']:8.2f} us {row['rate']:8.1f} {row['unit']:7}  {row['share']:13.0%}"
        )
