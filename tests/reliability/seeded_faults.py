"""Faults put into the C and the engine by hand, one at a time: does a test notice each?

    python tests/reliability/seeded_faults.py                    all of them
    python tests/reliability/seeded_faults.py --only bias        those whose name contains a word
    python tests/reliability/seeded_faults.py --list             their names

A fault is a text in a file and what takes its place, and the tests that should fail. Works on a copy, built once,
without optimisation but for the AVX2 kernels (other instruction sets have the same sources); each fault then compiles
only what it touches. Exits with 1 when a fault survives, or when its text is no longer there.

A barrier that is missing is noticed by luck alone: mostly the other thread is in time. So those faults run in a build
whose barriers let one thread go and hold each of the others, in turn, for some milliseconds: who does not wait for it
then works on what it has not yet written. The tests must pass in that build without the fault.
"""

import argparse
import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checkout import copy_to

BITS = ["tests/test_same_bits.py::test_threads_do_not_change_a_bit"]
LAYERS_TWIN = ["tests/test_layers.py::test_training_is_the_twins"]
OPTIONS_TWIN = ["tests/test_options.py::test_training_is_the_twins"]
BLOCKS_TWIN = ["tests/test_layers.py::test_blocks_of_rows_are_the_twins"]
STEP_TWIN = ["tests/test_engine.py::test_training_is_the_twins_at_every_batch_size"]
GRADIENTS_TWIN = ["tests/test_engine.py::test_gradients_are_the_twins"]
PREDICT_TWIN = ["tests/test_engine.py::test_predictions_are_the_twins"]
EVALUATE_TWIN = ["tests/test_engine.py::test_evaluation_is_the_twins"]
OPTIMIZERS_TWIN = ["tests/test_engine.py::test_training_is_the_twins_with_every_optimizer"]
STATES = ["tests/test_options.py::test_states_are_what_their_names_say"]


@dataclasses.dataclass(frozen=True)
class Fault:
    """`old` is `new` in a file; `tests` should notice."""

    name: str
    file: str
    old: str
    new: str
    tests: list[str]
    late: bool = False  # with barriers that hold a thread


DENSE, ROWS, OPT = "csrc/kernels/dense.inc.h", "csrc/kernels/rows.inc.h", "csrc/kernels/optimizers.inc.h"
LOSS, LAYERS = "csrc/kernels/losses.inc.h", "csrc/kernels/layers.inc.h"
ENGINE = "fastmlp/engine/"
GATHER, FORWARD, BACKWARD = ENGINE + "gather.pxi", ENGINE + "forward.pxi", ENGINE + "backward.pxi"
UPDATE, PHASES, TRAIN = ENGINE + "update.pxi", ENGINE + "phases.pxi", ENGINE + "train.pxi"
INFER, RUN, MOMENTS = ENGINE + "infer.pxi", ENGINE + "run.pxi", ENGINE + "moments.pxi"
WAIT = "fm_barrier_wait(p.barrier, thread, n_threads)"

FAULTS = [
    # ---- the three products ----
    Fault("forward: the last line of inputs is taken for a whole one", DENSE,
          "tile_accumulate(M, N, &acc, MIN(LINE, n_in - k), x, LINE, 1, w, w_stride);",
          "tile_accumulate(M, N, &acc, LINE, x, LINE, 1, w, w_stride);", ["tests/test_dense.py"]),
    Fault("forward: no bias", DENSE, "acc.a[i][j][v] = b ? v_load(b + j * LINE + v * LANES) : v_zero();",
          "acc.a[i][j][v] = v_zero();", ["tests/test_dense.py"]),
    Fault("forward: the bias of the first panel for all", DENSE, "*bg = b ? b + p * LINE : NULL;", "*bg = b;",
          ["tests/test_dense.py"]),
    Fault("forward: strides of rows and columns swapped", DENSE, "MIN(LINE, n_in - k), x, LINE, 1, w, w_stride);",
          "MIN(LINE, n_in - k), x, 1, LINE, w, w_stride);", ["tests/test_dense.py"]),
    Fault("input gradient: not times the derivative", DENSE,
          "v_store(to, multiply ? acc.a[i][j][v] * v_load(to) : acc.a[i][j][v]);", "v_store(to, acc.a[i][j][v]);",
          ["tests/test_dense.py", *STEP_TWIN]),
    Fault("weight gradient: every stretch of rows lacks its last", DENSE,
          "tile_accumulate(M, N, &acc, s.rows, x + s.block", "tile_accumulate(M, N, &acc, s.rows - 1, x + s.block",
          ["tests/test_dense.py"]),
    Fault("weight gradient: accumulators begin with what was there", DENSE,
          "acc.a[i][j][v] = v_zero();\n    if (is_one_stretch",
          "acc.a[i][j][v] = v_load(dw + j * dw_stride + i * LINE + v * LANES);\n"
          "    if (is_one_stretch", ["tests/test_dense.py", *STEP_TWIN]),
    Fault("bias gradient: every stretch is taken for a whole block", DENSE, "add_rows(s.rows, rows_of(dz, &s)",
          "add_rows(s.block_rows, rows_of(dz, &s)", ["tests/test_dense.py", *STEP_TWIN]),
    Fault("tree: what waits at the end of a batch is left out", "csrc/kernels/tree.inc.h",
          "s->rows == s->left ? s->n_open :", "s->rows == s->left ? (s->n_open > 0) :", ["tests/test_sums.py"]),
    Fault("tree: a shard's sums are not forgotten", "csrc/kernels/tree.inc.h",
          "sum[g * step + v] = v_zero();", "sum[g * step + v] += v_zero();", ["tests/test_sums.py"]),
    Fault("transpose: padding keeps what was there", DENSE, "if (lines < LINE) memset", "if (0) memset",
          ["tests/test_dense.py"]),
    # ---- rows ----
    Fault("gather: out by one row", ROWS, "(index ? (ptrdiff_t)index[r] : r) * row_stride_bytes;",
          "(index ? (ptrdiff_t)index[r ? r - 1 : 0] : r) * row_stride_bytes;", ["tests/test_rows.py"]),
    Fault("gather: a partial line is not moved on", ROWS,
          f"part_##type(many, from, to);{75 * ' '}\\\n{16 * ' '}from += many * (ptrdiff_t)sizeof(source_t);",
          "part_##type(many, from, to);", ["tests/test_rows.py"]),
    Fault("scatter: a whole last line", ROWS, "(size_t)MIN(LINE, n - k) * sizeof(real));",
          "(size_t)LINE * sizeof(real));", ["tests/test_rows.py", "tests/test_engine.py"]),
    Fault("sum: partial sums in another order", ROWS, "part[i % 8] +=", "part[i / 8 % 8] +=", ["tests/test_rows.py"]),
    Fault("within: the last element is not looked at", ROWS, "for (; i < n; i++)\n        if (!(least",
          "for (; i < n - 1; i++)\n        if (!(least", ["tests/test_rows.py", "tests/test_arrays.py"]),
    # ---- losses ----
    Fault("cross-entropy: rows are not scaled", LOSS, "losses[r] = scale * (log_sum[r] + losses[r]);",
          "losses[r] = log_sum[r] + losses[r] + 0 * scale;", ["tests/test_losses.py", *STEP_TWIN]),
    Fault("cross-entropy: the gradient of the label is 1 too large", LOSS, "dscores[at] -= gradient_scale;",
          "dscores[at] -= 0;", ["tests/test_losses.py"]),
    Fault("focal: the loss is not scaled", LOSS, "losses[r] = row_scale * v_line_sum(sum);",
          "losses[r] = v_line_sum(sum);", ["tests/test_losses.py"]),
    # ---- optimizers ----
    Fault("adam: no correction of the second moment", OPT,
          "return w - h->correction_1 * *m / v_fma(v_sqrt(*v), h->correction_2, h->epsilon);",
          "return w - h->correction_1 * *m / (v_sqrt(*v) + h->epsilon);", ["tests/test_optimizers.py"]),
    Fault("1 - beta_2 from beta_1", OPT, "v_set((real)(1 - h->beta_2))", "v_set((real)(1 - h->momentum))",
          ["tests/test_optimizers.py"]),
    Fault("nesterov: looks ahead from the old velocity", OPT, "return w - v_fma(h->momentum, *m, step);",
          "return w - *m;", ["tests/test_optimizers.py"]),
    Fault("lion: moves after its momentum, not before", OPT,
          "    const vec direction = sign_(v_fma(h->momentum, *m, h->one_minus_momentum * g));\n"
          "    *m = v_fma(h->beta_2, *m, h->one_minus_beta_2 * g);\n",
          "    *m = v_fma(h->beta_2, *m, h->one_minus_beta_2 * g);\n"
          "    const vec direction = sign_(v_fma(h->momentum, *m, h->one_minus_momentum * g));\n",
          ["tests/test_optimizers.py"]),
    Fault("clipped by the other sign", OPT, "v_copysign(limit, g_i), g_i)", "limit, g_i)", ["tests/test_optimizers.py",
          *OPTIONS_TWIN]),
    Fault("weight decay without the rate", OPT, "1 - hyper->rate * hyper->weight_decay", "1 - hyper->weight_decay",
          ["tests/test_optimizers.py"]),
    # ---- layers and random numbers ----
    Fault("layer normalisation: padding counts in the mean", LAYERS,
          "sum[v] += v_select(v_before(v, n - k), v_load(line + v * LANES), v_zero());",
          "sum[v] += v_load(line + v * LANES);", ["tests/test_layer_kernels.py"]),
    Fault("batch normalisation: the variance of rows - 1", LAYERS, "squares[v] / v_set((real)rows));",
          "squares[v] / v_set((real)(rows - 1)));", ["tests/test_layer_kernels.py"]),
    Fault("dropout: every step draws the same mask", LAYERS, "c[2] = (words){0} + (uint32_t)mask->step;",
          "c[2] = (words){0};", ["tests/test_layer_kernels.py"]),
    Fault("dropout: blocks of rows draw the same mask", FORWARD, "p.k.dropout(rows, batch_row, panel",
          "p.k.dropout(rows, 0, panel", BLOCKS_TWIN),
    Fault("shuffle: every epoch draws the same order", "csrc/random.c", ".key = {seed, stream}", ".key = {seed, 0}",
          ["tests/test_random.py"]),
    Fault("shuffle: the last position never stays", "csrc/random.c", "(uint64_t)(i + 1)) >> 64", "(uint64_t)i) >> 64",
          ["tests/test_random.py"]),
    # ---- dispatch ----
    Fault("every table is the baseline's", "csrc/dispatch.c", "find(isa)->table[is_f64 ? 1 : 0]",
          'find("baseline")->table[is_f64 ? 1 : 0]', ["tests/test_dispatch.py"]),
    Fault("an unknown instruction set is the first", "csrc/dispatch.c", "strcmp(implementations[i].isa, isa) == 0",
          "strlen(isa) > 8 || strcmp(implementations[i].isa, isa) == 0", ["tests/test_dispatch.py"]),
    # ---- the engine ----
    Fault("the last batch is divided by the rows of a whole one", PHASES, "gradient_scale = p.row_scale / rows",
          "gradient_scale = p.row_scale / p.batch_rows", STEP_TWIN),
    Fault("the last batch begins a row too early", TRAIN, "first_row = now.batch * p.batch_rows",
          "first_row = min(now.batch * p.batch_rows, p.n_samples - p.batch_rows)", STEP_TWIN),
    Fault("the next epoch has the order of the last", TRAIN, "fm_shuffle(p.n_samples, p.seed, epoch, p.index)",
          "fm_shuffle(p.n_samples, p.seed, epoch // 2, p.index)", STEP_TWIN),
    Fault("an optimizer's states in the wrong order", UPDATE, "states[s] = p.states[s] + offset_bytes",
          "states[s] = p.states[p.n_states - 1 - s] + offset_bytes",
          STATES),
    Fault("accumulated gradients are not forgotten", UPDATE,
          "apply(p, offset, n, p.gradients + offset, h)\n                    if p.adds:",
          "apply(p, offset, n, p.gradients + offset, h)\n                    if p.adds and n == 0:",
          OPTIONS_TWIN),
    Fault("the gradient of an l2 penalty is halved", UPDATE, "own.l2 += 2 * layer.l2", "own.l2 += layer.l2",
          ["tests/test_options.py"]),
    Fault("biases of frozen layers move", UPDATE, "if layer.frozen and p.update != NULL:\n        return",
          "if False:\n        return", LAYERS_TWIN),
    Fault("the moving average follows from its zero", UPDATE, "0 if first else p.average_momentum",
          "p.average_momentum", OPTIONS_TWIN),
    Fault("a skip's gradient lacks the derivative", BACKWARD, "if p.has_add and multiply:", "if False:",
          LAYERS_TWIN),
    Fault("running mean from the running variance", UPDATE,
          "layer.momentum, layer.statistics + panel * 64,\n", "layer.momentum, layer.statistics + next + panel * 64,\n",
          LAYERS_TWIN),
    Fault("beta_1's power stays 1", TRAIN, "now.momentum_power *= hyper.momentum\n", "now.momentum_power *= 1\n",
          OPTIMIZERS_TWIN),
    Fault("predictions begin in the first thread's block", INFER, "cdef char *y = at(layer.y, thread * layer.block, p)",
          "cdef char *y = layer.y", PREDICT_TWIN),
    Fault("prediction: rows of a block are those before", INFER,
          "gather_inputs(p, first, rows, at(p.inputs, thread * p.input_block, p), thread)",
          "gather_inputs(p, max(first - 1, 0), rows, at(p.inputs, thread * p.input_block, p), thread)",
          PREDICT_TWIN),
    Fault("a block of rows too few buffers' panels apart", RUN, "(p.block_rows | 1) * line", "p.block_rows * line // 2",
          STEP_TWIN),
    Fault("evaluation sums the first block only", RUN, "return sum_by_tree(n_blocks, &losses[0]) /",
          "return sum_by_tree(1, &losses[0]) /",
          EVALUATE_TWIN),
    Fault("gradients are added to those of the last call", RUN,
          "p.update, p.gradients, p.adds, p.deferred, p.accumulation = NULL, NULL, False, False, 1",
          "p.update, p.gradients, p.adds, p.deferred, p.accumulation = NULL, NULL, True, False, 1",
          GRADIENTS_TWIN),
    Fault("moments: partial sums are not added up", MOMENTS, "self.k.add(n, summand.data, into.data)",
          "memcpy(into.data, part.data, self.n_bytes)", ["tests/test_preprocessing.py"]),
    # ---- barriers ----
    Fault("no barrier after the shuffle", TRAIN,
          f"shuffle_epoch(p, now.epoch)\n            {WAIT}", "shuffle_epoch(p, now.epoch)", BITS, late=True),
    Fault("no barrier between gradients and update", TRAIN, f"fm_flag_get(&p.visit.over)\n        {WAIT}\n",
          "fm_flag_get(&p.visit.over)\n", BITS, late=True),
    Fault("no barrier between a step and the next", TRAIN, f"now = ahead\n        {WAIT}\n", "now = ahead\n",
          BITS, late=True),
    Fault("no barrier between two layers shared by panels", PHASES,
          f"forward(p, i, 0, 0, rows, begin, end, how)\n        {WAIT}\n",
          "forward(p, i, 0, 0, rows, begin, end, how)\n", BITS, late=True),
    Fault("no barrier behind the statistics of a batch", PHASES,
          f"part(panels, n_threads, thread + 1))\n        {WAIT}\n        begin, end",
          "part(panels, n_threads, thread + 1))\n        begin, end", BLOCKS_TWIN, late=True),
    Fault("no barrier before the norm of the gradients", UPDATE,
          f"over_chunks(p, MEASURE, hyper, thread, n_threads)\n        {WAIT}\n",
          "over_chunks(p, MEASURE, hyper, thread, n_threads)\n", [*OPTIONS_TWIN, *BITS], late=True),
]  # fmt: skip

YIELD = "                FM_YIELD();\n        }\n"
LATE = "    if (((round * 2654435761u) >> 16) % (unsigned)n_threads == (unsigned)thread) usleep(FM_LATE);\n"

# ---- build ----


class Build:
    """A copy of the checkout and the commands that compile it."""

    def __init__(self, folder, late):
        self.folder = folder
        copy_to(folder)
        setup = (folder / "setup.py").read_text()
        for old, new in (('"-O3"', '"-O0"'), ('"-mavx2", "-mfma"', '"-mavx2", "-mfma", "-O1"'),
                         ("list(ISA_FLAGS) if architecture", '["baseline", "avx2"] if architecture')):  # fmt: skip
            assert old in setup, f"setup.py no longer has {old}"
            setup = setup.replace(old, new)
        (folder / "setup.py").write_text(setup)
        if late:
            team = (folder / "csrc/team.h").read_text()
            assert team.count(YIELD) == 1, "csrc/team.h: another end of the barrier"
            team = team.replace("#include <sched.h>", "#include <sched.h>\n#include <unistd.h>\n#define FM_LATE 4000")
            (folder / "csrc/team.h").write_text(team.replace(YIELD, YIELD + LATE))
        done = subprocess.run([sys.executable, "setup.py", "build_ext", "--inplace"], cwd=folder, capture_output=True,
                              text=True, check=False)  # fmt: skip
        if done.returncode != 0:
            sys.exit(f"the copy does not compile:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        lines = re.findall(r"^\S*g?cc.* -o .*$", done.stdout + "\n" + done.stderr, re.MULTILINE)
        self.commands = [shlex.split(line) for line in lines if "probe" not in line]
        assert len(self.commands) >= 9, "setup.py printed no commands"

    def compile(self, file):
        """What depends on a file: the AVX2 kernels, the engine, or one C file; then the engine is linked. None, or the
        compiler's complaint."""
        if file.endswith(".pxi"):
            code = 'from Cython.Build import cythonize; cythonize("fastmlp/_engine.pyx", build_dir="build/cython", '
            code += "language_level=3, force=True)"
            touched, before = ["_engine.c"], [[sys.executable, "-c", code]]
        else:
            touched, before = (["isa/avx2.c"] if "kernels" in file else [file]), []
        commands = [c for c in self.commands if "-c" in c and any(part.endswith(t) for part in c for t in touched)]
        commands += [c for c in self.commands if "-shared" in c and any("_engine" in part for part in c)]
        for command in before + commands:
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                return done.stderr[-1500:]
        (linked,) = self.folder.glob("build/lib*/fastmlp/_engine*")  # setup.py links there, and then copies
        used = self.folder / "fastmlp" / linked.name
        used.unlink()
        shutil.copy(linked, used)
        return None

    def test(self, tests):
        """The first test that failed, or None."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        environment.pop("FASTMLP_REQUIRE_ISAS", None)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", "not baseline", *tests]
        try:
            done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True,
                                  check=False, timeout=1800)  # fmt: skip
        except subprocess.TimeoutExpired:
            return "it does not end"
        if done.returncode == 0:
            return None
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        if failed or done.returncode < 0:
            return failed[1] if failed else f"killed by signal {-done.returncode}"
        sys.exit(f"pytest neither passed nor failed: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")


def try_fault(build, fault):
    """(caught, by which test) of one fault; the copy is then as before."""
    path = build.folder / fault.file
    original = path.read_text(encoding="utf-8")
    times = original.count(fault.old)
    if times == 0:
        return False, f"the text is no longer in {fault.file}"
    kept = {each: each.read_bytes() for each in build.folder.rglob("*") if each.suffix in (".o", ".so")}
    path.write_text(original.replace(fault.old, fault.new), encoding="utf-8")
    try:
        complaint = build.compile(fault.file)
        if complaint:
            return False, f"does not compile: {complaint}"
        found = build.test(fault.tests)
    finally:
        path.write_text(original, encoding="utf-8")
        for each, data in kept.items():
            each.unlink()  # a loaded library is not written over
            each.write_bytes(data)
    return (True, found) if found else (False, f"{' '.join(fault.tests)} passed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="faults whose name or file contains this")
    parser.add_argument("--part", default="0/1", metavar="I/N", help="every N-th from the I-th on (%(default)s)")
    parser.add_argument("--no-control", action="store_true", help="do not run the tests without a fault first")
    parser.add_argument("--list", action="store_true", help="names only")
    options = parser.parse_args()
    i, n = map(int, options.part.split("/"))
    faults = [fault for fault in FAULTS if options.only in fault.name + fault.file][i::n]
    if options.list:
        print(*(f"{fault.file:<34}{fault.name}" for fault in faults), sep="\n")
        return 0
    survivors = 0
    for late in (False, True):
        some = [fault for fault in faults if fault.late == late]
        if not some:
            continue
        with tempfile.TemporaryDirectory(prefix="faults-") as place:
            build = Build(Path(place), late)
            began = time.monotonic()
            control = sorted({test for fault in some for test in fault.tests})
            if not options.no_control:
                failed = build.test(control)
                if failed:
                    sys.exit(f"{failed} fails without any fault")
                print(f"without a fault {' '.join(control)} pass, in {time.monotonic() - began:.0f} s", flush=True)
            for fault in some:
                caught, how = try_fault(build, fault)
                survivors += not caught
                print(f"{'caught' if caught else 'SURVIVED':<9}{fault.name:<62}[{how}]", flush=True)
    print(f"{len(faults)} faults, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
