"""The programs for files: what split, train and predict write, print and refuse."""

import csv
import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastmlp
from fastmlp import _names, cli, files, tables
from fastmlp.core import core_of
from fastmlp.datasets import BREAST_CANCER_FEATURES, load_breast_cancer, load_digits
from fastmlp.programs import _classes, _examples, _notes, predict, train
from fastmlp.tables import plain

# A Python in another folder that finds the package which is tested here, be it installed or built in place.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """An empty folder, the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    """Run a command that must succeed."""
    assert cli.main([str(argument) for argument in arguments]) == 0


def failure(capsys, *arguments):
    """The message of a command that must fail in one line, before anything is written."""
    there = sorted(Path().iterdir())
    capsys.readouterr()
    try:
        code = cli.main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        code = exit_.code
    err = capsys.readouterr().err
    assert code in (1, 2)
    assert err.startswith("fastmlp: error: ")
    assert err.count("\n") == 1
    assert sorted(Path().iterdir()) == there
    return err


def rows(path, separator=","):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=separator))


def labels(table, column, classes, remedy):
    return _classes.known_labels(table, column, table.cells(column, remedy), classes, remedy)


def write(path, lines):
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def two_classes(n=40):
    """A table that is learned at once: the class is the sign of the column a; b is noise, id counts."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=n), 100 + rng.normal(size=n)
    rows = enumerate(zip(a, b, strict=True))
    return ["id,a,kind,b", *(f"{i},{x},{'up' if x > 0 else 'down'},{y}" for i, (x, y) in rows)]


def trained(*options, lines=None, target="kind", drop=("id",)):
    """Train on a small table, in silence."""
    write("data.csv", two_classes() if lines is None else lines)
    run("train", "data.csv", "--target", target, *(["--drop", *drop] if drop else []), "--silent", *options)


# ---- data ----


def test_breast_cancer_comes_back_bit_by_bit(capsys):
    run("data", "breast-cancer")
    assert "CC BY 4.0" in capsys.readouterr().out
    table = tables.read("breast_cancer.csv")
    X, y = load_breast_cancer()
    assert table.columns == ("diagnosis", *BREAST_CANCER_FEATURES)
    np.testing.assert_array_equal(table.numbers(BREAST_CANCER_FEATURES, ""), X)
    np.testing.assert_array_equal(labels(table, "diagnosis", ("malignant", "benign"), ""), y)


def test_digits_come_back(capsys):
    run("data", "digits", "--out", "d.csv")
    table = tables.read("d.csv")
    X, y = load_digits()
    np.testing.assert_array_equal(table.numbers(table.columns[1:], ""), X)
    np.testing.assert_array_equal(table.numbers(["digit"], "")[:, 0], y)
    assert _classes.task_of(None, table, "digit")[0] is not None


# ---- split ----


def test_split_gives_each_class_its_share_and_keeps_every_row(capsys):
    run("data", "breast-cancer")
    run("split", "breast_cancer.csv", "--target", "diagnosis", "--test", "0.2", "--seed", "0")
    whole, train, test = (rows(f"breast_cancer{part}.csv") for part in ("", "-train", "-test"))
    assert whole[0] == train[0] == test[0]
    assert len(test) - 1 == 114
    assert sorted(train[1:] + test[1:]) == sorted(whole[1:])
    assert sum(row[0] == "malignant" for row in test) == 43  # 0.2 of 212 is 42.4, of 357 it is 71.4
    order = [whole.index(row) for row in train[1:]]
    assert order == sorted(order)
    out = capsys.readouterr().out
    assert "saved breast_cancer-train.csv, 455 rows: benign (286), malignant (169)" in out


def test_split_is_drawn_from_the_seed():
    write("data.csv", two_classes())
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("split", "data.csv", "--target", "kind", "--seed", seed, "--out", f"{name}1", f"{name}2")
    assert Path("a2").read_bytes() == Path("b2").read_bytes() != Path("c2").read_bytes()


def test_split_keeps_cells_as_they_are():
    lines = ['"a;b"; t;"say ""x"""', *(f'{i}.10; {"yn"[i % 2]};"p;\nq é"' for i in range(6))]
    Path("data.csv").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    run("split", "data.csv", "--target", "t", "--test", "0.5", "--separator", ";", "--out", "1", "2")
    train, test = rows("1", ";"), rows("2", ";")
    assert train[0] == test[0] == ["a;b", "t", 'say "x"']
    assert sorted(train[1:] + test[1:]) == [[f"{i}.10", f" {'yn'[i % 2]}", "p;\nq é"] for i in range(6)]


def test_split_of_numbers_and_of_files_without_names(capsys):
    write("data.csv", [f"{i},{i * 0.5}" for i in range(10)])
    run("split", "data.csv", "--target", "2", "--header", "no")
    assert "whatever their target" in capsys.readouterr().out
    assert len(rows("data-train.csv")) == 8
    assert len(rows("data-test.csv")) == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--test", "0.01"], "--test 0.01 of 40 rows holds out 0"),
        (["--test", "1"], "must be above 0 and below 1, not 1"),
        (["--test", "some"], "must be a number, not 'some'"),
        (["--out", "data.csv", "x.csv", "--force"], "data.csv is a file to read"),
        (["--out", "x.csv", "x.csv"], "x.csv is named twice"),
        (["--out", "no/x.csv", "y.csv"], "no such folder"),
        (["--target", "kid"], "data.csv has no column 'kid' (did you mean 'kind'?), but 'id', 'a', 'kind', 'b'"),
        (["--target", "id", "--task", "classification"], "different in every row"),
        (["--target", "kid", "--task", "regression"], "did you mean 'kind'?"),
        (["--separator", "::"], "must be one character, or tab"),
        (["--header", "maybe"], "must be yes or no"),
    ],
)
def test_split_refuses(capsys, arguments, named):
    write("data.csv", two_classes())
    assert named in failure(capsys, "split", "data.csv", "--target", "kind", *arguments)


def test_nothing_is_overwritten_without_force(capsys):
    write("data.csv", two_classes())
    write("data-test.csv", ["mine"])
    assert "data-test.csv is there already" in failure(capsys, "split", "data.csv", "--target", "kind")
    assert not Path("data-train.csv").exists()
    run("split", "data.csv", "--target", "kind", "--force")
    assert len(rows("data-test.csv")) == 9
    for name in ("model.safetensors", "model-history.csv", "model-curves.png"):
        write(name, ["mine"])
        assert name in failure(capsys, "train", "data.csv", "--target", "kind")
        Path(name).unlink()
    trained("--epochs", 1)
    write("data-predictions.csv", ["mine"])
    assert "data-predictions.csv" in failure(capsys, "predict", "model.safetensors", "data.csv")
    assert "model.safetensors is a file" in failure(
        capsys, "predict", "model.safetensors", "data.csv", "--out", "model.safetensors", "--force"
    )


def test_a_file_that_fails_half_way_is_not_there(monkeypatch, capsys):
    write("data.csv", two_classes())
    whole = tables.Table.rows

    def broken(table):
        for i, row in enumerate(whole(table)):
            if i == 20 and any(path.suffix == ".tmp" for path in Path().iterdir()):
                raise OSError("the disk is full")
            yield row

    monkeypatch.setattr(tables.Table, "rows", broken)
    assert "the disk is full" in failure(capsys, "split", "data.csv", "--target", "kind")


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_split_on_a_full_disk_replaces_both_files_or_none(capsys, monkeypatch, call):
    write("data.csv", two_classes())
    for name in ("data-train.csv", "data-test.csv"):
        write(name, ["mine"])
    calls = []

    def full(handle):
        calls.append(handle)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr(os, "fsync", full)
    err = failure(capsys, "split", "data.csv", "--target", "kind", "--force")
    assert "the disk is full" in err
    assert re.search(r"data-(train|test)\.csv$", err)
    assert [rows(f"data-{part}.csv") for part in ("train", "test")] == [[["mine"]]] * 2


@pytest.mark.skipif(os.name == "nt", reason="names of open files")
def test_results_go_to_no_open_file_and_no_pipe(capsys):
    write("data.csv", two_classes())
    trained("--epochs", 1)
    os.mkfifo("pipe")
    Path("link").symlink_to("/dev/stdout")
    with open("all.txt", "w") as file:
        for name in (
            "/dev/stdout",
            "/dev/stderr",
            f"/dev/fd/{file.fileno()}",
            f"/proc/self/fd/{file.fileno()}",
            "link",
            "pipe",
        ):
            err = failure(capsys, "predict", "model.safetensors", "data.csv", "--force", "--out", name)
            assert "not a regular file; give the name of one" in err
            assert err.endswith(f"{name}\n")
        assert os.path.samestat(os.stat("all.txt"), os.fstat(file.fileno()))
    for command in (["predict", "model.safetensors", "data.csv"], ["train", "data.csv", "--target", "kind"]):
        assert "give its name" in failure(capsys, *command, "--out", "-")
    assert "/dev/stdin" in failure(capsys, "train", "-", "--target", "kind", "--force")
    assert "/dev/stdin" in failure(capsys, "predict", "model.safetensors", "-")


# ---- train ----


def test_train_writes_model_history_and_picture(capsys):
    trained("--epochs", 60, "--hidden", 8, "--learning-rate", "0.01")
    out = capsys.readouterr().out
    assert "data.csv: 40 rows, 2 columns and the target 'kind'" in out
    assert "classification, because the target is text: down" in out
    assert "32 rows to learn from, 8 for validation" in out
    model, notes = _notes.load("model.safetensors")
    assert notes == _notes.Notes("kind", ("a", "b"), ("down", "up"))
    assert [layer.units for layer in model.layers] == [8, 2]
    history = rows("model-history.csv")
    assert history[0] == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert len(history) == 61
    assert [int(row[0]) for row in history[1:]] == list(range(1, 61))
    assert [float(row[1]) for row in history[1:]] == model.history["loss"]
    assert float(history[-1][4]) > 0.8
    assert Path("model-curves.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert sorted(path.name for path in Path().iterdir()) == [
        "data.csv", "model-curves.png", "model-history.csv", "model.safetensors",
    ]  # fmt: skip


def test_train_is_what_the_library_does():
    trained("--epochs", 3, "--hidden", 5, 4, "--activation", "tanh", "--optimizer", "rmsprop", "--seed", 3,
            "--batch-size", 7, "--validation-split", "0.25")  # fmt: skip
    table = tables.read("data.csv")
    X = table.numbers(["a", "b"], "")
    y = labels(table, "kind", ("down", "up"), "")
    layers = [fastmlp.Dense(5, "tanh"), fastmlp.Dense(4, "tanh"), fastmlp.Dense(2)]
    model = fastmlp.Model(layers, "softmax_cross_entropy", "rmsprop", seed=3, preprocessing="standardize")
    history = model.fit(X, y, 7, 3, validation_split=0.25, verbose=0)
    found = fastmlp.load("model.safetensors")
    assert found.history["val_loss"] == history["val_loss"]
    for pair, other in zip(found.weights, model.weights, strict=True):
        np.testing.assert_array_equal(pair[0], other[0])
    np.testing.assert_array_equal(found.predict(X), model.predict(X))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_a_pipe_with_a_name_is_opened_once(monkeypatch):
    trained("--epochs", 2)
    os.mkfifo("pipe")
    text, read, written, codes = Path("data.csv").read_text(), tables.read, threading.Event(), []

    def write_all():
        with open("pipe", "w") as pipe:
            written.set()
            pipe.write(text)

    def read_late(*arguments):
        assert not written.wait(0.2)  # nobody has opened it to look
        return read(*arguments)

    monkeypatch.setattr(tables, "read", read_late)

    arguments = [
        "train",
        "pipe",
        "--target",
        "kind",
        "--drop",
        "id",
        "--silent",
        "--epochs",
        "2",
        "--out",
        "p.safetensors",
    ]
    threads = [
        threading.Thread(target=write_all, daemon=True),
        threading.Thread(target=lambda: codes.append(cli.main(arguments)), daemon=True),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert codes == [0]
    assert Path("p.safetensors").read_bytes() == Path("model.safetensors").read_bytes()


def test_a_model_is_not_written_to_a_file_that_promises_another_format(capsys):
    write("data.csv", two_classes())
    message = failure(capsys, "train", "data.csv", "--target", "kind", "--out", "net.h5", "--silent")
    assert "--out: 'net.h5' is the name of a .h5 file of Keras" in message
    assert "call it 'net.safetensors'" in message


def test_lines_of_progress_are_those_of_the_library(capsys):
    write("data.csv", two_classes())
    run("train", "data.csv", "--target", "kind", "--drop", "id", "--epochs", 2)
    err = capsys.readouterr().err
    assert len(re.findall(r"epoch \d/2 .*loss [\d.]+  accuracy [\d.]+  val_loss [\d.]+  val_accuracy [\d.]+", err)) == 2
    run("train", "data.csv", "--target", "kind", "--drop", "id", "--epochs", 2, "--silent", "--force")
    assert capsys.readouterr().err == ""


def test_patience_stops_and_keeps_the_best_weights(capsys):
    trained("--epochs", 5000, "--patience", 3, "--learning-rate", "0.05")
    out = capsys.readouterr().out
    best, last = map(int, re.search(r"weights kept are those of epoch (\d+) of (\d+)", out).groups())
    model = fastmlp.load("model.safetensors")
    losses = model.history["val_loss"]
    assert len(losses) == last == int(rows("model-history.csv")[-1][0]) < 5000
    assert losses.index(min(losses)) == best - 1 == last - 4
    assert f"validation loss {min(losses):.6g}" in out


def test_validation_file_is_matched_by_name():
    lines = two_classes()
    cells = [line.split(",") for line in lines]
    write("other.csv", ["b,kind,note,a", *(f"{b},{kind},x,{a}" for _, a, kind, b in cells[20:])])
    trained("--epochs", 4, "--validation", "other.csv", lines=lines)
    other = tables.read("other.csv")
    X, y = other.numbers(["a", "b"], ""), labels(other, "kind", ("down", "up"), "")
    history = rows("model-history.csv")
    assert float(history[-1][3]) == pytest.approx(fastmlp.load("model.safetensors").evaluate(X, y)["loss"], rel=1e-6)


def test_no_validation():
    trained("--epochs", 2, "--validation-split", 0)
    assert rows("model-history.csv")[0] == ["epoch", "loss", "accuracy"]


def test_without_matplotlib_everything_but_the_picture(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    trained("--epochs", 1)
    out = capsys.readouterr().out
    assert "no picture of the learning curves: pictures need matplotlib: pip install 'fastmlp[plot]'" in out
    assert sorted(path.name for path in Path().iterdir()) == ["data.csv", "model-history.csv", "model.safetensors"]


@pytest.mark.parametrize("loss", train.LOSSES_OF_CLASSES)
def test_losses_of_classes(loss):
    trained("--epochs", 50, "--loss", loss, "--learning-rate", "0.01", "--preprocessing", "whiten")
    run("predict", "model.safetensors", "data.csv")
    found = rows("data-predictions.csv")
    assert found[0] == ["prediction", "probability of down", "probability of up"]
    truth = [row[2] for row in rows("data.csv")[1:]]
    assert np.mean([row[0] == name for row, name in zip(found[1:], truth, strict=True)]) > 0.9
    p = np.array([row[1:] for row in found[1:]], float)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)


def large_numbers():
    """A target far from 0: 250,000 and more, by a law that a line does not have."""
    x = np.random.default_rng(1).uniform(-2, 2, (200, 2))
    return ["x1,price,x2", *(f"{a},{250000 + 40000 * (a * a - b)},{b}" for a, b in x.tolist())]


@pytest.mark.parametrize("loss", train.LOSSES_OF_NUMBERS)
def test_regression_learns_a_target_of_any_scale(capsys, loss):
    trained("--epochs", 150, "--learning-rate", "0.01", "--loss", loss, lines=large_numbers(), target="price", drop=())
    assert "regression, because the target is a number" in capsys.readouterr().out
    run("predict", "model.safetensors", "data.csv")
    out = capsys.readouterr().out
    assert float(re.search(r"R2 ([\d.]+)", out)[1]) > 0.98
    X = tables.read("data.csv").numbers(["x1", "x2"], "")
    found = fastmlp.load("model.safetensors").predict(X)
    written = np.array([row for row in rows("data-predictions.csv")[1:]], np.float32)
    np.testing.assert_array_equal(written, found)
    y = tables.read("data.csv").numbers(["price"], "")
    rmse = float(np.sqrt(np.mean((found - y) ** 2)))
    assert float(re.search(r"root mean squared error ([\d.]+)", out)[1]) == pytest.approx(rmse, rel=1e-5)


def logged_losses(out):
    """Training and validation loss that a command prints in the end."""
    return [float(text) for text in re.search(r"training loss (\S+)\nvalidation loss (\S+)", out).groups()]


@pytest.mark.parametrize("loss", train.LOSSES_OF_NUMBERS)
def test_losses_of_a_regression_say_their_units(capsys, monkeypatch, loss):
    labels, draw = [], train._curves

    def spied(ax, *arguments):
        draw(ax, *arguments)
        labels.append(ax.get_ylabel())

    monkeypatch.setattr(train, "_curves", spied)
    trained("--epochs", 5, "--loss", loss, lines=large_numbers(), target="price", drop=())
    out = capsys.readouterr().out
    scale = float(re.search(r"those of the standardised target: minus \S+, divided by (\S+), its mean", out)[1])
    history = rows("model-history.csv")
    assert history[0] == ["epoch", "loss of the standardised target", "val_loss of the standardised target"]
    assert labels == ["loss of the standardised target"]
    assert "in units of 'price'" in out
    model = fastmlp.load("model.safetensors")
    if loss == "log_cosh":
        assert "log_cosh, which is another function there" in out
        return
    factor = scale if loss == "mean_absolute_error" else scale**2
    assert logged_losses(out)[1] == pytest.approx(factor * float(history[-1][2]), rel=1e-4)
    if loss == "huber":
        assert f"huber with delta {scale:.6g}, the standard deviation:" in out
        assert model.loss.delta == 1


def test_a_regression_is_what_the_library_does():
    trained("--epochs", 3, "--validation-split", "0.25", "--seed", 2, lines=large_numbers(), target="price", drop=())
    table = tables.read("data.csv")
    X, y = table.numbers(["x1", "x2"], ""), table.numbers(["price"], "")[:, 0].astype(float)
    layers = [fastmlp.Dense(24, "relu"), fastmlp.Dense(24, "relu"), fastmlp.Dense(1)]
    model = fastmlp.Model(layers, optimizer="adam", seed=2, preprocessing="standardize", targets="standardize")
    model.fit(X, y, 32, 3, validation_split=0.25, verbose=0)
    found = fastmlp.load("model.safetensors")
    assert found.targets == "standardize"
    assert dict(found.history) == dict(model.history)
    for name, values in model.target_statistics.items():
        np.testing.assert_array_equal(found.target_statistics[name], values)
    np.testing.assert_array_equal(found.predict(X), model.predict(X))


def told_loss(capsys, path):
    """What `fastmlp predict` prints of a model, and the predictions that it writes."""
    capsys.readouterr()
    run("predict", path, "data.csv", "--force")
    told = float(re.search(r"^loss (\S+)$", capsys.readouterr().out, re.MULTILINE)[1])
    return told, np.array(rows("data-predictions.csv")[1:], float)[:, 0]


@pytest.mark.parametrize("loss", train.LOSSES_OF_NUMBERS)
def test_the_loss_that_is_told_is_that_of_predictions_in_units_of_the_target(capsys, loss):
    trained("--epochs", 9, "--loss", loss, "--validation-split", 0, lines=large_numbers(), target="price", drop=())
    out = capsys.readouterr().out
    y = tables.read("data.csv").numbers(["price"], "")[:, 0].astype(float)
    told, predicted = told_loss(capsys, "model.safetensors")
    error, corner = np.abs(predicted - y), y.std()
    assert told == pytest.approx(
        {
            "mean_squared_error": error**2,
            "half_squared_error": error**2 / 2,
            "mean_absolute_error": error,
            "huber": np.where(error < corner, error**2 / 2, corner * (error - corner / 2)),
            "log_cosh": error + np.log1p(np.exp(-2 * error)) - np.log(2),
        }[loss].mean(),
        rel=1e-5,
    )
    assert float(re.search(r"training loss (\S+)", out)[1]) == pytest.approx(told, rel=1e-5)


@pytest.mark.parametrize("loss", ["mean_squared_error", "huber"])
def test_a_regression_of_before_predicts_the_same(capsys, loss):
    """Files had weights in the target's own units, and Huber's corner there; they go on as they did."""
    trained("--epochs", 9, "--loss", loss, lines=large_numbers(), target="price", drop=())
    model, notes = _notes.load("model.safetensors")
    mean, scale = (float(model.target_statistics[name][0]) for name in ("mean", "scale"))
    before = fastmlp.Model(
        model.layers,
        fastmlp.losses.Huber(scale) if loss == "huber" else loss,
        n_inputs=2,
        preprocessing="standardize",
    )
    X = tables.read("data.csv").numbers(["x1", "x2"], "")
    held = _examples.held_out(np.zeros(len(X), np.int64), 0.2, 0, "")
    before.adapt(X[~held])
    *others, (W, b) = model.weights
    before.weights = [*others, (scale * W.astype(float), mean + scale * b.astype(float))]
    files.save(core_of(before), "before.safetensors", notes.written())
    (told, predicted), (told_before, predicted_before) = (
        told_loss(capsys, f"{name}.safetensors") for name in ("model", "before")
    )
    np.testing.assert_array_equal(predicted_before.astype(np.float32), before.predict(X)[:, 0])
    np.testing.assert_allclose(predicted_before, predicted, rtol=1e-6)
    assert told_before == pytest.approx(told, rel=1e-4)


def test_float64_where_float32_would_lose_what_numbers_differ_in(capsys):
    """Which is where nothing takes the mean off: preprocessing and the scaling of a target do so in float64."""
    x = np.random.default_rng(0).uniform(-1, 1, 300).tolist()
    lines = ["x,y", *(f"{a},{1.7e9 + 1000 * a}" for a in x)]
    for preprocessing in ("standardize", "none"):
        trained("--epochs", 200, "--learning-rate", "0.01", "--preprocessing", preprocessing, "--force", lines=lines,
                target="y", drop=())  # fmt: skip
        assert "float64" not in capsys.readouterr().out
        assert fastmlp.load("model.safetensors").dtype == "float32"
        run("predict", "model.safetensors", "data.csv", "--force")
        assert float(re.search(r"root mean squared error (\S+)", capsys.readouterr().out)[1]) < 25
        predicted = np.array(rows("data-predictions.csv")[1:], float)
        assert np.abs(predicted[:, 0] - 1.7e9 - 1000 * np.array(x)).max() < 100

    lines = ["time,x,same,kind", *(f"{1.7e9 + 50 * a},{a * a},5e9,{'ab'[a > 0]}" for a in x)]
    for preprocessing in ("standardize", "whiten"):
        trained("--epochs", 60, "--learning-rate", "0.01", "--preprocessing", preprocessing, "--force", lines=lines,
                drop=())  # fmt: skip
        out = capsys.readouterr().out
        assert "float64" not in out
        assert float(re.search(r"validation loss \S+, validation accuracy (\S+)", out)[1]) > 0.95
        assert fastmlp.load("model.safetensors").dtype == "float32"
    trained("--epochs", 1, "--preprocessing", "none", "--force", lines=lines, drop=())
    assert "the model is one of float64: " in (out := capsys.readouterr().out)
    assert "what the values differ in in 'time'\n" in out
    assert fastmlp.load("model.safetensors").dtype == "float64"
    trained("--epochs", 1, "--preprocessing", "none", "--force", lines=two_classes())
    assert "float64" not in capsys.readouterr().out
    assert fastmlp.load("model.safetensors").dtype == "float32"


@pytest.mark.parametrize("target", ["kind", "y"])
def test_numbers_kept_in_float32_make_the_same_model_bit_by_bit(target):
    class Wide(plain.Numbers):
        """Keeps all in float64."""

        def __init__(self, n_rows, n_columns):
            super().__init__(n_rows, n_columns)
            self._is_single = False

    rng = np.random.default_rng(1)
    X = rng.integers(-9, 300, (60, 5)) / 4
    lines = ["a,b,c,d,y,kind", *(",".join(map(str, [*row, "xyz"[i % 3]])) for i, row in enumerate(X))]
    dtypes, made = [], _examples.arrays
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            _examples, "arrays", lambda *arguments: dtypes.append(made(*arguments)[0].dtype) or made(*arguments)
        )
        trained("--epochs", "3", lines=lines, target=target, drop=["kind" if target == "y" else "y"])
        run("predict", "model.safetensors", "data.csv")
        patch.setattr(plain, "Numbers", Wide)
        trained("--epochs", "3", "--out", "wide.safetensors", lines=lines, target=target,
                drop=["kind" if target == "y" else "y"])  # fmt: skip
        run("predict", "wide.safetensors", "data.csv", "--out", "wide.csv")
    assert dtypes == [np.float32, np.float64]
    assert Path("model.safetensors").read_bytes() == Path("wide.safetensors").read_bytes()
    assert Path("model-history.csv").read_text() == Path("wide-history.csv").read_text()
    assert Path("data-predictions.csv").read_text() == Path("wide.csv").read_text()


def test_one_bad_cell_does_not_make_a_regression_a_classification(capsys):
    write("data.csv", ["x,y", *(f"{i},{'NA' if i == 149 else 100 + i / 2}" for i in range(300))])
    message = "data.csv, line 151, column 'y': 'NA' is not a number, though 299 others are"
    for command in ("train", "split"):
        assert message in failure(capsys, command, "data.csv", "--target", "y")
    write("data.csv", ["x,y", *(f"{i},{'12X'[i % 3]}" for i in range(30))])
    assert "though 20 others are" in failure(capsys, "train", "data.csv", "--target", "y")
    run("train", "data.csv", "--target", "y", "--task", "classification", "--epochs", 1, "--silent")
    assert _notes.load("model.safetensors")[1].classes == ("1", "2", "X")


@pytest.mark.parametrize(
    ("module", "name", "left"),
    [
        (train.files, "save", []),
        (train.plotting, "history", ["model-history.csv", "model.safetensors"]),
        (train, "_write_history", ["model-curves.png", "model.safetensors"]),
    ],
)
def test_train_saves_the_model_whatever_becomes_of_the_other_files(capsys, monkeypatch, module, name, left):
    write("data.csv", two_classes())

    def full(*arguments):
        raise OSError("the disk is full")

    monkeypatch.setattr(module, name, full)
    assert cli.main(["train", "data.csv", "--target", "kind", "--epochs", "1", "--silent"]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["data.csv", *left]


def test_errors_of_tables_name_the_options_of_the_commands(capsys):
    def told(text, target, *options):
        Path("data.csv").write_text(text)
        return failure(capsys, "train", "data.csv", "--target", target, *options)

    assert "Then give --separator ';')" in told("a;b\n1;2\n", "b")
    assert "Then give --separator tab)" in told("a\tb\n1\t2\n", "b")
    assert "give --header no for a file without names, or --header yes\n" in told("1,2\n3,4\n", "2")
    assert "(by --header no columns are called by their numbers)" in told("1,2\n3,4\n", "a", "--header", "no")


def test_arguments_of_train_that_can_not_be_meant(capsys):
    write("data.csv", two_classes())
    command = ["train", "data.csv", "--target", "kind"]
    assert "is the file to learn from" in failure(capsys, *command, "--validation", "./data.csv")
    assert "at least 0 and below 1" in failure(capsys, *command, "--validation-split", "20")
    write("two.csv", ["a,kind", "1,x", "2,y"])
    assert "or 0 for no validation" in failure(capsys, "train", "two.csv", "--target", "kind")
    write("one.csv", ["kind", "x", "y", "x"])
    err = failure(capsys, "train", "one.csv", "--target", "kind")
    assert "no column but the target 'kind'" in err
    assert "--drop" not in err


@pytest.mark.parametrize("text", ["a,b,c\n1,\r2,x\n3,4,y\n", "a,b,c\n1,2,x\r,\n3,4,y\n"])
def test_a_carriage_return_in_the_middle_of_a_line_is_told(capsys, text):
    Path("data.csv").write_bytes(text.encode())
    assert "a carriage return ends line 2 in the middle" in failure(capsys, "train", "data.csv", "--target", "c")


def test_control_characters_of_classes_are_escaped():
    lines = (
        _classes.counts(["a\033[31m", "b\n"], np.array([0, 1])),
        *predict.confusion(["a\033", "b\n"], np.eye(2, dtype=int)),
    )
    assert all(line.isprintable() for line in lines)


def test_task_overrides_what_the_target_looks_like(capsys):
    lines = ["x,n", *(f"{i},{i % 3}" for i in range(30))]
    trained("--epochs", 1, lines=lines, target="n", drop=())
    assert "one of 3 whole numbers: 0 (10), 1 (10), 2 (10)" in capsys.readouterr().out
    assert _notes.load("model.safetensors")[1].classes == ("0", "1", "2")
    trained("--epochs", 1, "--task", "regression", "--force", lines=lines, target="n", drop=())
    assert "regression, because of --task regression" in capsys.readouterr().out
    assert _notes.load("model.safetensors")[1].classes is None


def test_numbers_as_classes_are_the_same_however_they_are_written(capsys):
    trained("--epochs", 1, lines=["x,n", *(f"{i},{i % 2 + 9}" for i in range(30))], target="n", drop=())
    assert _notes.load("model.safetensors")[1].classes == ("9", "10")
    write("other.csv", ["x,n", "1,9.0", "2,1e1"])
    run("predict", "model.safetensors", "other.csv")
    assert "of 2 rows are right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--target", "knd"], "did you mean 'kind'?"),
        (["--drop", "ids"], "did you mean 'id'?"),
        (["--drop", "kind"], "--drop leaves no target"),
        (["--drop", "a", "b", "id"], "or no column to learn from"),
        (["--loss", "huber"], "--loss huber does not suit a classification; choose softmax_cross_entropy"),
        (["--target", "a", "--drop", "kind", "--loss", "focal"], "does not suit a regression"),
        (["--task", "regression"], "line 2, column 'kind': 'up' is not a number"),
        (["--patience", "3", "--validation-split", "0"], "--patience watches the validation loss"),
        (["--validation", "data.csv", "--validation-split", "0.1"], "not allowed with"),
        (["--validation-split", "0.001"], "--validation-split 0.001 of 40 rows holds out 0"),
        (["--validation", "gone.csv"], "No such file or directory: gone.csv"),
        (["--hidden", "0"], "at least 1"),
        (["--activation", "rel"], "'rel'"),
        (["--optimizer", "lbfgs"], "'lbfgs'"),
        (["--learning-rate", "-1"], "must be above 0"),
        (["--learning-rate", "nan"], "must be a finite number"),
        (["--epochs", "0"], "at least 1"),
        (["--out", "."], "directory"),
    ],
)
def test_train_refuses(capsys, arguments, named):
    write("data.csv", two_classes())
    assert named in failure(capsys, "train", "data.csv", "--target", "kind", "--silent", *arguments)


@pytest.mark.parametrize("kind", ["activation", "loss", "optimizer", "preprocessing"])
def test_names_that_mean_something_else_are_refused_with_the_remedy_of_the_library(capsys, kind):
    write("data.csv", two_classes())
    for name, remedy in _names.ELSEWHERE[kind].items():
        for spelled in (name, name.upper().replace("_", "-")):
            told = f"argument --{kind}: {kind} {spelled!r} is no name here; {remedy} ("
            assert told in failure(capsys, "train", "data.csv", "--target", "kind", f"--{kind}", spelled)
    assert f"--{kind}: {kind} 'nonsense' is unknown; choose " in failure(
        capsys, "train", "data.csv", "--target", "kind", f"--{kind}", "nonsense"
    )


def test_divergence_is_one_line(capsys):
    write("data.csv", large_numbers())
    arguments = ["--preprocessing", "none", "--optimizer", "sgd", "--learning-rate", "1e30", "--silent"]
    assert "the loss became NaN or infinite" in failure(capsys, "train", "data.csv", "--target", "price", *arguments)


def test_targets_that_cannot_be_learned(capsys):
    write("one.csv", ["x,t", "1,a", "2,a"])
    assert "the target 't' is 'a' in every row" in failure(capsys, "train", "one.csv", "--target", "t")
    write("flat.csv", ["x,t", "1,0.5", "2,0.5", "3,0.5", "4,0.5", "5,0.5"])
    assert "is 0.5 in every row" in failure(capsys, "train", "flat.csv", "--target", "t")
    write("three.csv", ["x,t", *(f"{i},{'abc'[i % 3]}" for i in range(12))])
    message = failure(capsys, "train", "three.csv", "--target", "t", "--loss", "binary_cross_entropy")
    assert "is for two classes, not 3" in message


def test_ctrl_c_saves_the_model_so_far(capsys, monkeypatch):
    write("data.csv", two_classes())
    write_line, lines = fastmlp.callbacks.ProgressBar.on_epoch_end, []

    def interrupted(bar, epoch, logs):
        write_line(bar, epoch, logs)
        lines.append(epoch)
        if epoch == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(fastmlp.callbacks.ProgressBar, "on_epoch_end", interrupted)
    assert cli.main(["train", "data.csv", "--target", "kind", "--drop", "id"]) == 130
    captured = capsys.readouterr()
    assert captured.err.endswith("fastmlp: interrupted\n")
    assert "saved model.safetensors" in captured.out
    assert len(fastmlp.load("model.safetensors").history.epoch) == len(lines) == 5


# ---- predict ----


def test_predictions_are_those_of_the_model(capsys):
    trained("--epochs", 30, "--learning-rate", "0.01")
    run("predict", "model.safetensors", "data.csv", "--out", "p.csv", "--keep", "id", "kind")
    found = rows("p.csv")
    assert found[0] == ["id", "kind", "prediction", "probability of down", "probability of up"]
    model = fastmlp.load("model.safetensors")
    table = tables.read("data.csv")
    X, y = table.numbers(["a", "b"], ""), labels(table, "kind", ("down", "up"), "")
    p = model.predict(X)
    np.testing.assert_array_equal(np.array([row[3:] for row in found[1:]], np.float32), p)
    assert [row[2] for row in found[1:]] == [("down", "up")[i] for i in p.argmax(axis=1)]
    assert [row[:2] for row in found[1:]] == [[row[0], row[2]] for row in rows("data.csv")[1:]]
    logs, counts = model.evaluate(X, y), fastmlp.metrics.confusion_matrix(y, p)
    out = capsys.readouterr().out
    assert f"loss {logs['loss']:.6g}\naccuracy {logs['accuracy']:.4f}: {np.trace(counts)} of 40 rows are right" in out
    for name, row in zip(("down", "up"), counts.tolist(), strict=True):
        assert re.search(rf"^{name} +{row[0]} +{row[1]}$", out, re.MULTILINE)


def test_columns_are_matched_by_name_and_the_target_may_be_missing(capsys):
    trained("--epochs", 2)
    run("predict", "model.safetensors", "data.csv", "--out", "p.csv")
    cells = rows("data.csv")
    write("turned.csv", ["b,new,a", *(f"{b},?, {a} " for _, a, _, b in cells[1:])])
    capsys.readouterr()
    run("predict", "model.safetensors", "turned.csv", "--out", "q.csv")
    out = capsys.readouterr().out
    assert "turned.csv: 40 rows; not used: 'new'; predicted without comparing with a target 'kind'" in out
    assert "accuracy" not in out
    assert Path("p.csv").read_bytes() == Path("q.csv").read_bytes()


def test_files_without_names(capsys):
    lines = two_classes()[1:]
    trained("--epochs", 2, "--header", "no", lines=lines, target="3", drop=("1",))
    assert _notes.load("model.safetensors")[1].columns == ("2", "4")
    run("predict", "model.safetensors", "data.csv", "--header", "no", "--out", "p.csv")
    assert "accuracy" in capsys.readouterr().out
    write("inputs.csv", [",".join(line.split(",")[1::2]) for line in lines])  # the model's columns alone
    run("predict", "model.safetensors", "inputs.csv", "--header", "no", "--out", "q.csv")
    assert Path("p.csv").read_bytes() == Path("q.csv").read_bytes()
    write("three.csv", [",".join(line.split(",")[1:]) for line in lines])
    message = failure(capsys, "predict", "model.safetensors", "three.csv", "--header", "no")
    assert "three.csv has no names and 3 columns, and the one that the model was trained on has 4" in message


def test_predictions_of_one_column_do_not_shift(capsys):
    trained("--epochs", 1, lines=["x,y", *(f"{i},{i / 2}" for i in range(30))], target="y", drop=())
    write("new.csv", ["x", "1", "", "3", "4"])
    assert "new.csv, line 3 is empty" in failure(capsys, "predict", "model.safetensors", "new.csv")


def test_predict_refuses(capsys):
    trained("--epochs", 1)

    def message(lines, *options):
        return failure(capsys, "predict", "model.safetensors", write("new.csv", lines), *options)

    assert "new.csv has no columns 'a', 'b', but 'c', 'd'" in message(["c,d", "1,2"])
    assert "new.csv has no column 'b'" in message(["a,d", "1,2"])
    assert "line 2, column 'kind': the value is missing" in message(["a,b,kind", "1,2,"])
    assert "the model needs this column" in message(["a,b", "1,two"])
    assert "no column 'id'" in message(["a,b", "1,2"], "--keep", "id")
    assert "'prediction'" in message(["a,b,prediction", "1,2,3"], "--keep", "prediction")
    for names in (["a", "a"], ["b", "a", "b"]):  # two columns of one name make a file that is refused
        assert f"--keep names the column {names[0]!r} twice" in message(["a,b", "1,2"], "--keep", *names)
    one, two = "Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"
    assert "twice; name it once" in message([f"a,b,{one}", "1,2,3"], "--keep", one, two)


def test_files_that_are_no_model_of_train(capsys):
    write("data.csv", two_classes())
    assert "no safetensors file" in failure(capsys, "predict", write("m.safetensors", ["no"]), "data.csv")
    assert "No such file" in failure(capsys, "predict", "gone.safetensors", "data.csv")
    model = fastmlp.Model([fastmlp.Dense(2)], "softmax_cross_entropy", n_inputs=2)
    model.save("plain.safetensors")
    assert "does not name the columns" in failure(capsys, "predict", "plain.safetensors", "data.csv")
    damaged = [
        "{",
        "[]",
        '{"target": "kind"}',
        '{"target": "t", "columns": ["a"], "classes": ["x", "y"]}',
        '{"target": "t", "columns": ["a", "b"], "classes": null}',
        '{"target": "t", "columns": 3, "classes": null}',
    ]
    for text in damaged:
        files.save(core_of(model), "damaged.safetensors", {"table": text})
        fastmlp.load("damaged.safetensors")
        assert "is damaged" in failure(capsys, "predict", "damaged.safetensors", "data.csv")


# ---- spellings and positions ----


def test_split_writes_cells_that_every_reader_reads(capsys):
    """A lone carriage return ends a line where it stands without quotes."""
    Path("data.csv").write_bytes(
        b"note,kind\n" + b"".join(b'"a\rb%d",%s\n' % (i, b"xy"[i % 2 :][:1]) for i in range(40))
    )
    run("split", "data.csv", "--target", "kind")
    found = rows("data-train.csv")[1:] + rows("data-test.csv")[1:]
    assert sorted(found) == sorted([f"a\rb{i}", "xy"[i % 2]] for i in range(40))
    assert Path("data-train.csv").read_bytes().count(b'"a\rb') == len(rows("data-train.csv")) - 1


@pytest.mark.parametrize(
    ("classes", "are_told"),
    [
        (("7", "007", "1E5"), True),
        (("50", "100", "1E2"), True),
        (tuple(str(10**17 + i) for i in range(3)), False),
        (("1.0", "2.0", "3.0"), False),
    ],
)
def test_predictions_are_spelled_as_in_the_training_file(capsys, classes, are_told):
    trained("--epochs", 40, "--learning-rate", "0.05", drop=(), target="code",
            lines=["x,code", *(f"{i % 3 - 1 + i / 1000}, {classes[i % 3]} " for i in range(60))])  # fmt: skip
    assert sorted(_notes.load("model.safetensors")[1].classes) == sorted(classes)
    assert ("classes that are one number, kept apart" in capsys.readouterr().out) is are_told
    run("predict", "model.safetensors", "data.csv", "--keep", "code")
    assert all(row[0] == f" {row[1]} " for row in rows("data-predictions.csv")[1:])


def test_tables_without_names_of_another_width_are_refused(capsys):
    """New rows without the target, or without a column that was left out, would have their columns shifted."""
    cells = [line.split(",") for line in two_classes()[1:]]
    lines = [f"{kind},{a},{b},{i}" for i, a, kind, b in cells]
    trained("--epochs", 2, "--header", "no", lines=lines, target="1", drop=("4",))
    write("new.csv", [f"{a},{b},{i}" for i, a, _, b in cells])
    message = failure(capsys, "predict", "model.safetensors", "new.csv", "--header", "no")
    assert "new.csv has no names and 3 columns, and the one that the model was trained on has 4" in message
    assert "the model's being '2', '3'" in message
    write("wide.csv", [f"{line},1" for line in lines])
    assert "5 columns" in failure(capsys, "predict", "model.safetensors", "wide.csv", "--header", "no")
    assert "3 columns" in failure(
        capsys,
        "train",
        "data.csv",
        "--header",
        "no",
        "--target",
        "1",
        "--drop",
        "4",
        "--validation",
        "new.csv",
        "--force",
    )
    run("predict", "model.safetensors", "data.csv", "--header", "no", "--out", "p.csv")
    write("named.csv", ["2,3,id", *(f"{a},{b},{i}" for i, a, _, b in cells)])  # as the message says
    run("predict", "model.safetensors", "named.csv", "--header", "yes", "--out", "q.csv")
    assert Path("p.csv").read_bytes() == Path("q.csv").read_bytes()
    write("unnamed.csv", [",3", *(f"{a},{b}" for _, a, _, b in cells)])
    assert "column 2 has" not in failure(capsys, "predict", "model.safetensors", "unnamed.csv", "--header", "yes")
    write("unnamed.csv", ["x,", *(f"{a},{b}" for _, a, _, b in cells)])
    assert "column 2 has no name" in failure(capsys, "predict", "model.safetensors", "unnamed.csv")
    trained("--epochs", 1, "--force")
    assert _notes.load("model.safetensors")[1].width is None
    write("data.csv", two_classes()[1:])
    message = failure(capsys, "predict", "model.safetensors", "data.csv", "--header", "no")
    assert "data.csv has no names and 4 columns: which are the model's is not known" in message


def test_names_are_found_however_their_accents_are_written(capsys):
    one, two = "Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"
    trained("--epochs", 1, target=two, drop=(two + "n",),
            lines=[f"a,{one}n,{one}", *(f"{i},{i},{(one, two, 'x')[i % 3]}" for i in range(30))])  # fmt: skip
    assert _notes.load("model.safetensors")[1].classes == (one, "x")
    write("new.csv", [f"{two},a,{two}2", f"{two},1,2"])
    run("predict", "model.safetensors", "new.csv", "--keep", one + "2", one)
    assert "of 1 row are right" in capsys.readouterr().out
    assert rows("new-predictions.csv")[0][:2] == [two + "2", two]


def test_classes_that_a_model_has_not_learned_are_counted(capsys):
    trained("--epochs", 30, "--learning-rate", "0.01")
    lines = two_classes()
    # First, in the middle and last: what is compared are the rows that are known, wherever they stand.
    write("new.csv", [lines[0], "1,2,sideways,100", *lines[1:20], "3,-3,over,100", *lines[20:], "2,3,sideways,100"])
    run("predict", "model.safetensors", "data.csv", "--out", "p.csv")
    alone = capsys.readouterr().out
    run("predict", "model.safetensors", "new.csv", "--out", "q.csv")
    out = capsys.readouterr().out
    assert "3 rows of classes that the model has not learned: sideways (2), over (1)" in out.replace("'", "")
    right = int(re.search(r"(\d+) of 40 rows are right", out)[1])
    assert f"of all 43 rows, on which it cannot be right: accuracy {right / 43:.4f}" in out
    assert re.findall(r"^loss.*|^accuracy.*|^up .*|^down .*", alone, re.MULTILINE) == re.findall(
        r"^loss.*|^accuracy.*|^up .*|^down .*", out, re.MULTILINE
    )
    assert len(rows("q.csv")) == 44
    write("new.csv", ["a,b,kind", "1,2,sideways"])
    run("predict", "model.safetensors", "new.csv")
    assert "accuracy" not in capsys.readouterr().out


def test_a_class_spelled_as_the_same_number_is_told(capsys):
    """By every command that takes it for the class, of every file but the one whose spellings are the classes."""
    lines = ["a,kind", *(f"{i % 2 + i / 100},{i % 2}" for i in range(40))]
    write("other.csv", ["a,kind", "0.1,0.0", "1.1,1", "0.2,00", "1.2,1"])
    trained("--epochs", 1, "--validation", "other.csv", lines=lines, drop=())
    told = [f"other.csv: {text!r} is taken for the class '0', which is the same number\n" for text in ("0.0", "00")]
    out = capsys.readouterr().out
    assert "".join(told) in out
    assert out.count("is taken for the class") == 2
    run("predict", "model.safetensors", "other.csv")
    out = capsys.readouterr().out
    assert "".join(told) in out
    assert out.count("is taken for the class") == 2


@pytest.mark.parametrize(("n", "is_rare"), [(4, True), (5, False)])
def test_rare_is_a_class_of_fewer_than_five_rows_to_learn_from(capsys, n, is_rare):
    lines = [*two_classes(), *(f"{40 + i},1,rare,100" for i in range(n))]
    trained("--epochs", 1, "--validation-split", 0, lines=lines)
    told = f"warning: fewer than 5 rows to learn from of 'rare' ({n}); the model may not know them\n"
    assert (told in capsys.readouterr().out) is is_rare


def test_rare_classes_are_told(capsys):
    lines = two_classes()
    trained("--epochs", 1, lines=[*lines, "40,1,rare,100", "41,1,rare,101", "42,1,once,101"])
    out = capsys.readouterr().out
    assert re.search(r"warning: fewer than 5 rows to learn from of 'once' \(1\), 'rare' \(\d\); the model may not", out)
    assert re.search(r"warning: no row for validation of 'once'(, 'rare')?; nothing", out)
    trained("--epochs", 1, "--force", lines=lines)
    assert "warning" not in capsys.readouterr().out
    write("data.csv", [*lines, "42,1,once,101"])
    run("split", "data.csv", "--target", "kind")
    assert "warning: data-test.csv has no row of 'once'" in capsys.readouterr().out


def test_inputs_are_looked_for_before_outputs(capsys):
    for name in ("new-predictions.csv", "gone-predictions.csv", "gone-test.csv", "model-history.csv"):
        write(name, ["mine"])
    write("new.csv", ["a", "1"])
    assert "No such file or directory: gone.safetensors" in failure(capsys, "predict", "gone.safetensors", "new.csv")
    write("m.safetensors", ["no"])
    assert "no safetensors file" in failure(capsys, "predict", "m.safetensors", "new.csv")
    assert "No such file or directory: gone.csv" in failure(capsys, "split", "gone.csv", "--target", "a")
    assert "No such file or directory: gone.csv" in failure(capsys, "train", "gone.csv", "--target", "a")


def test_columns_in_use_are_not_suggested(capsys):
    write("data.csv", two_classes())
    assert "did you mean" not in failure(capsys, "train", "data.csv", "--target", "kind", "--drop", "kinds")
    assert "did you mean 'kind'?" in failure(capsys, "train", "data.csv", "--target", "kinds", "--drop", "id")
    assert "did you mean" not in failure(capsys, "train", "data.csv", "--target", "kinds", "--drop", "kind")
    trained("--epochs", 1)
    write("new.csv", ["a1,c,a,kind", "1,2,3,up"])
    assert "no column 'b', but" in failure(capsys, "predict", "model.safetensors", "new.csv")


def test_damaged_widths_are_told(capsys):
    trained("--epochs", 1)
    model = fastmlp.load("model.safetensors")
    for width in ("2", "true", '"4"', "2.5"):
        text = f'{{"target": "kind", "columns": ["a", "b"], "classes": ["down", "up"], "width": {width}}}'
        files.save(core_of(model), "damaged.safetensors", {"table": text})
        assert "is damaged" in failure(capsys, "predict", "damaged.safetensors", "data.csv")


# ---- as users run them ----


def test_three_commands_in_an_empty_folder(folder):
    def command(*arguments):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "fastmlp", *arguments],
            capture_output=True,
            text=True,
            cwd=folder,
            env=ENVIRONMENT,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    command("data", "breast-cancer", "--out", "data.csv")
    command("split", "data.csv", "--target", "diagnosis", "--test", "0.2", "--seed", "0")
    command("train", "data-train.csv", "--target", "diagnosis", "--patience", "10", "--seed", "0")
    out = command("predict", "model.safetensors", "data-test.csv")
    accuracy, right = re.search(r"accuracy ([\d.]+): (\d+) of 114 rows are right", out).groups()
    assert float(accuracy) > 0.93
    found = rows("data-test-predictions.csv")
    truth = rows("data-test.csv")
    assert sum(row[0] == other[0] for row, other in zip(found[1:], truth[1:], strict=True)) == int(right)
    X = np.array([row[1:] for row in truth[1:]], float)
    p = np.array([row[1:] for row in found[1:]], np.float32)
    np.testing.assert_array_equal(fastmlp.load("model.safetensors").predict(X), p)
    assert sorted(path.name for path in folder.iterdir()) == [
        "data-test-predictions.csv", "data-test.csv", "data-train.csv", "data.csv",
        "model-curves.png", "model-history.csv", "model.safetensors",
    ]  # fmt: skip
