"""fastmlp/_progress.py: lines on stdout, and one bar for a whole training where somebody watches."""

import io
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import fastmlp as fm
from fastmlp import _progress

LINE = r"epoch +\d+/\d+ +\d+\.\d\d s  loss \d\.\d{4}  accuracy \d\.\d{4}  val_loss \d\.\d{4}  val_accuracy \d\.\d{4}"


def data(n=64):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 5)), rng.integers(0, 3, n)


def train(epochs=3, batch_size=16, validated=True, **options):
    X, y = data()
    model = fm.Model([fm.Dense(8, "tanh"), fm.Dense(3)], "softmax_cross_entropy", "adam")
    validation = {"validation_data": (X, y)} if validated else {}
    return model.fit(X, y, batch_size, epochs, verbose=1, **validation, **options)


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True

    def shows(self):
        """The lines that are seen in the end: each carriage return begins the line anew."""
        lines = []
        for line in self.getvalue().split("\n"):
            cells = []
            for part in line.split("\r"):
                cells[: len(part)] = part
            lines.append("".join(cells).rstrip())
        return lines

    def bars(self):
        """What was drawn in between."""
        return [text for text in re.split(r"[\r\n]", self.getvalue()) if "step" in text]


def terminal(monkeypatch):
    """Called in a test: pytest has a stdout of its own for each part of one."""
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    return screen


def test_a_terminal_shows_one_bar_below_the_lines(monkeypatch):
    screen = terminal(monkeypatch)
    history = train()
    shown = screen.shows()
    assert len(shown) == 4
    assert all(re.fullmatch(LINE, line) for line in shown[:3])
    assert shown[3] == ""  # the bar is gone
    bars = screen.bars()
    assert all("/12 [" in bar or "| 0/12" in bar or "?step" in bar for bar in bars)  # 3 epochs of 4 steps
    last = bars[-1]
    assert last.startswith("epoch 3/3:")
    assert f"loss={history['loss'][2]:.4f}" in last
    assert f"accuracy={history['accuracy'][2]:.4f}" in last
    assert any(f"val_loss={history['val_loss'][1]:.4f}" in bar for bar in bars)
    assert any(f"val_accuracy={history['val_accuracy'][1]:.4f}" in bar for bar in bars)


def test_verbose_2_has_no_bar(monkeypatch):
    screen = terminal(monkeypatch)
    X, y = data()
    fm.Model([fm.Dense(3)], "softmax_cross_entropy").fit(X, y, epochs=2, verbose=2)
    assert "\r" not in screen.getvalue()
    assert len(screen.getvalue().splitlines()) == 2


def test_lines_of_other_callbacks_begin_where_a_line_begins(monkeypatch):
    screen = terminal(monkeypatch)

    class Prints(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            print(f"after {epoch}")

    train(callbacks=[Prints()])
    shown = screen.shows()
    assert [line for line in shown if line.startswith("after")] == ["after 0", "after 1", "after 2"]
    assert not any("step" in line for line in shown)


def test_steps_of_an_iterable_are_known_after_an_epoch(monkeypatch):
    screen = terminal(monkeypatch)
    X, y = data()
    batches = [(X[i : i + 16], y[i : i + 16]) for i in range(0, 64, 16)]
    fm.Model([fm.Dense(3)], "softmax_cross_entropy").fit(batches, epochs=3, verbose=1)
    assert "/12 [" in screen.bars()[-1]
    assert len(screen.shows()) == 4


def test_a_training_that_goes_on_counts_its_own_steps(monkeypatch):
    screen = terminal(monkeypatch)
    X, y = data()
    model = fm.Model([fm.Dense(3)], "softmax_cross_entropy")
    model.fit(X, y, 16, 2, verbose=0)
    model.fit(X, y, 16, 5, initial_epoch=2, verbose=1)
    assert "/12 [" in screen.bars()[-1]
    assert screen.shows()[0].startswith("epoch 3/5")


def test_lbfgs(monkeypatch):
    screen = terminal(monkeypatch)
    pytest.importorskip("scipy", reason="scipy is not installed: pip install '.[lbfgs]'")
    X, y = data()
    fm.Model([fm.Dense(3)], "softmax_cross_entropy", fm.LBFGS(max_iterations=5)).fit(X, y, verbose=1)
    assert "5/5 [" in screen.bars()[-1] or "4/5 [" in screen.bars()[-1]
    assert len(screen.shows()) == 6


def test_a_bar_is_closed_where_training_ends_early(monkeypatch):
    screen = terminal(monkeypatch)

    class Fails(fm.Callback):
        def on_epoch_end(self, epoch, logs):
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        train(callbacks=[Fails()])
    assert screen.shows() == [""]


# ---- notebooks ----


class Display:
    """IPython's display: what a saved notebook holds is the last text of each."""

    def __init__(self):
        self.texts = []

    def display(self, data, raw, display_id):
        assert raw
        assert display_id
        assert list(data) == ["text/plain"]
        self.texts.append([data["text/plain"]])
        return types.SimpleNamespace(update=self.update)

    def update(self, data, raw):
        assert raw
        self.texts[-1].append(data["text/plain"])


@pytest.fixture
def notebook(monkeypatch):
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    shown = Display()
    fake = types.ModuleType("IPython")
    fake.get_ipython, fake.display = (lambda: shell), types.ModuleType("IPython.display")
    fake.display.display = shown.display
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", fake.display)
    return shown


def test_a_notebook_has_one_display_that_is_updated(notebook, capsys):
    history = train(epochs=4)
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 4
    assert all(re.fullmatch(LINE, line) for line in out.splitlines())
    (texts,) = notebook.texts
    assert len(texts) > 4
    assert texts[-1].startswith("epoch 4/4: 100%|")
    assert "16/16 [" in texts[-1]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert f"{name}={history[name][-1]:.4f}" in texts[-1]
    assert not any("\r" in text or "\n" in text for text in texts)


def test_a_notebook_is_not_flooded(notebook, monkeypatch):
    monkeypatch.setattr(_progress, "NOTEBOOK_SECONDS", 1e9)
    monkeypatch.setattr("fastmlp._pace.CHUNK_SECONDS", 1e-6)
    monkeypatch.setattr("fastmlp._pace.FIRST_STEPS", 1)
    X, y = data(640)
    fm.Model([fm.Dense(3)], "softmax_cross_entropy").fit(X, y, 1, 1, verbose=1)
    assert len(notebook.texts[0]) <= 3  # of 640 steps: the first, and those at the end


def test_ipython_without_a_kernel_is_a_terminal_or_none(notebook, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: types.SimpleNamespace(config={}))
    train()
    assert notebook.texts == []
    assert "\r" not in capsys.readouterr().out


# ---- where it goes ----


def test_programs_keep_stdout_for_results(capsys):
    with _progress.on_stderr():
        train()
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 3
    train()
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 3


def test_a_process_without_streams_trains(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert len(train()["loss"]) == 3


def test_a_pipe_gets_plain_lines(tmp_path):
    code = "import fastmlp as fm, numpy as np; fm.Model([fm.Dense(1)]).fit(np.ones((9, 2)), np.ones(9), epochs=2)"
    done = subprocess.run(  # elsewhere than in a checkout, whose sources Python would find first
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, timeout=200, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(fm.__file__).parents[1])},
    )  # fmt: skip
    assert done.stderr == ""
    assert [line.partition(" s ")[0][:9] for line in done.stdout.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert "\r" not in done.stdout
