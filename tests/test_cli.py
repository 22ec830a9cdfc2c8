"""The command line, in this process and as `python -m fastmlp`: what it prints, saves, refuses and returns."""

import dataclasses
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fastmlp
from fastmlp import _figures, _writing, cli, reference
from fastmlp.bench import measure
from fastmlp.programs import demo

# A Python in another folder that finds the package which is tested here, be it installed or built in place.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fastmlp.__file__).parents[1])}


@pytest.fixture(autouse=True)
def short_timings(monkeypatch):
    """The demo times one turn, without pauses."""
    monkeypatch.setattr(measure, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(demo, "_TURNS", 1)


def failure(capsys, arguments):
    """Exit code and stderr of a command that must fail before it prints anything else."""
    try:
        code = cli.main(arguments)
    except SystemExit as exit_:
        code = exit_.code
    captured = capsys.readouterr()
    assert captured.err.startswith("fastmlp: error: ")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    return code, captured.err


def test_demo_shows_summary_epochs_accuracy_and_twin(capsys):
    assert cli.main(["demo", "--epochs", "3"]) == 0
    out, err = capsys.readouterr()
    assert f"fastmlp {fastmlp.__version__}" in out
    assert "1,500 to learn from, 297 held out" in out
    assert "8,970 parameters" in out
    assert len(re.findall(r"epoch \d/3 .*loss [\d.]+  accuracy [\d.]+  val_loss [\d.]+  val_accuracy [\d.]+", err)) == 3
    accuracy = float(re.search(r"test accuracy ([\d.]+)", out)[1])
    assert accuracy > 0.9
    assert re.search(r"val_accuracy ([\d.]+)\n$", err)[1] == f"{accuracy:.4f}"
    assert "losses agree" in out
    assert re.search(r"a step takes [\d.]+ ms here and [\d.]+ ms there: [\d.]+ times its speed", out)


def test_demo_learns_the_digits_with_its_defaults(capsys):
    assert cli.main(["demo"]) == 0
    assert float(re.search(r"test accuracy ([\d.]+)", capsys.readouterr().out)[1]) > 0.96


def test_seed_and_threads_are_used(capsys):
    def epochs(*options):
        assert cli.main(["demo", "--epochs", "1", *options]) == 0
        return re.search(r"loss .*", capsys.readouterr().err)[0]

    assert epochs() == epochs("--seed", "0") == epochs("--threads", "2")
    assert epochs() != epochs("--seed", "1")


def test_out_saves_a_model_and_a_picture(capsys, tmp_path):
    folder = tmp_path / "new" / "results"
    assert cli.main(["demo", "--epochs", "2", "--out", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["learning_curve.png", "model.safetensors"]
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG\r\n")
    data = demo.load_data("digits", None, seed=0)
    accuracy = fastmlp.load(folder / "model.safetensors").evaluate(data.X_test, data.y_test)["accuracy"]
    out = capsys.readouterr().out
    assert f"test accuracy {accuracy:.4f}" in out
    assert str(folder / "model.safetensors") in out


def test_a_failed_picture_leaves_no_file(monkeypatch, tmp_path):
    history = fastmlp.History()  # holds no epoch: cannot be drawn
    with pytest.raises(ValueError, match="no epoch"):
        _figures.save(history.plot, tmp_path / "curve.png")
    assert list(tmp_path.iterdir()) == []


def test_missing_matplotlib_is_named_before_training(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(fastmlp.Model, "fit", lambda *_, **__: pytest.fail("trained"))
    code, message = failure(capsys, ["demo", "--out", str(tmp_path / "out")])
    assert code == 1
    assert "pip install 'fastmlp[plot]'" in message
    assert not (tmp_path / "out").exists()


def test_until_stops_and_tells_the_time(capsys):
    assert cli.main(["demo", "--until", "0.8"]) == 0
    out, err = capsys.readouterr()
    found = re.search(r"accuracy 0\.8 reached ([\d.]+) s after (.+), epoch (\d+)\n", out)
    assert err.count("epoch ") == int(found[3]) < 20
    if sys.platform == "linux":
        assert found[2] == "the start of the process"


def test_until_out_of_reach_fails(capsys):
    assert cli.main(["demo", "--until", "1", "--epochs", "1"]) == 1
    assert "accuracy 1 not reached in 1 epoch\n" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the time counts from the import")
def test_seconds_since_start_count_from_the_process(tmp_path):
    began = time.perf_counter()
    code = (
        "import time; time.sleep(0.3); from fastmlp.programs import demo; print(*demo.seconds_since_start(), sep='|')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        timeout=200,
    )
    outside = time.perf_counter() - began
    seconds, since = done.stdout.strip().split("|")
    assert since == "the start of the process"
    assert 0.29 <= float(seconds) <= outside + 0.02  # the clock of /proc ticks every 10 ms


def test_losses_that_differ_fail(capsys, monkeypatch):
    monkeypatch.setattr(reference.network, "dense_forward", lambda x, w, b: x @ w + b + np.float32(0.01))
    assert cli.main(["demo", "--epochs", "1"]) == 1
    assert "losses DO NOT AGREE" in capsys.readouterr().out


def test_info_and_version(capsys):
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"fastmlp {fastmlp.__version__}, Python ")
    assert "active" in out
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"fastmlp {fastmlp.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "required: {demo,bench,info,data,split,train,predict}"),
        (["tune"], "'tune'"),
        (["demo", "--epochs", "0"], "at least 1 and below 1000000, not 0"),
        (["demo", "--epochs", "two"], "must be an integer, not 'two'"),
        (["demo", "--seed", "-1"], "at least 0"),
        (["demo", "--threads", "100000"], "not 100000"),
        (["demo", "--until", "98"], "above 0 and at most 1, not 98"),
        (["demo", "--until", "nan"], "above 0 and at most 1, not nan"),
        (["demo", "--until", "high"], "must be a number, not 'high'"),
        (["demo", "--data", "cifar"], "'cifar'"),
        (["demo", "--root", "."], "--root: belongs to --data mnist"),
        (["demo", "--frobnicate"], "--frobnicate"),
    ],
)
def test_wrong_arguments_are_named(capsys, arguments, named):
    code, message = failure(capsys, arguments)
    assert code == 2
    assert named in message


def test_wrong_folders_are_named(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        code, message = failure(capsys, ["demo", "--out", str(out)])
        assert code == 1
        assert "file" in message


def test_a_failure_of_a_command_is_one_line(capsys, monkeypatch):
    for error in (ConnectionError("no network"), MemoryError(), fastmlp.DivergedError(3, 0.1, fastmlp.History())):
        monkeypatch.setattr(demo, "load_data", lambda *_, error=error: (_ for _ in ()).throw(error))
        assert cli.main(["demo"]) == 1
        message = capsys.readouterr().err
        assert message == f"fastmlp: error: {str(error) or 'MemoryError'}\n"


def test_mnist_without_its_files_is_told(capsys, tmp_path):
    assert cli.main(["demo", "--data", "mnist", "--root", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert message.startswith("fastmlp: error: There is neither train-images-idx3-ubyte nor")
    assert message.count("\n") == 1
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"cut off")
    for name in ("train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (tmp_path / name).write_bytes(b"")
    assert cli.main(["demo", "--data", "mnist", "--root", str(tmp_path)]) == 1
    assert "is damaged or not the original train-images-idx3-ubyte" in capsys.readouterr().err


@pytest.mark.skipif(not os.environ.get("FASTMLP_DATA"), reason="needs MNIST: set FASTMLP_DATA")
def test_mnist_is_learned(capsys, monkeypatch):
    monkeypatch.setitem(demo.TASKS, "mnist", dataclasses.replace(demo.TASKS["mnist"], twin_steps=3))  # slow in NumPy
    assert cli.main(["demo", "--data", "mnist", "--epochs", "1"]) == 0
    out = capsys.readouterr().out
    assert "60,000 to learn from, 10,000 held out" in out
    assert float(re.search(r"test accuracy ([\d.]+)", out)[1]) > 0.95


def test_module_runs_in_an_empty_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "fastmlp", "demo", "--epochs", "1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert "losses agree" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_with_130_and_a_line(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "fastmlp", "demo", "--epochs", "500000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    process.stderr.readline()  # an epoch is over: it trains
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.endswith("fastmlp: interrupted\n")
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="pipes")
def test_a_closed_pipe_is_no_traceback(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "fastmlp", "demo", "--epochs", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_picture_is_drawn_without_pyplots_figures(tmp_path):
    plt = _figures.pyplot()
    before = plt.get_fignums()
    history = fastmlp.History()
    history.append(0, {"loss": 1.0, "accuracy": 0.5})
    _figures.save(history.plot, tmp_path / "curve.png")
    assert plt.get_fignums() == before


# ---- streams and folders that cannot be written to ----

COMMANDS = [["info"], ["--help"], ["--version"], ["data", "digits", "--out", "d.csv", "--force"], ["nonsense"]]


def shell(line, tmp_path, **environment):
    """Exit code and stderr of a line for bash, in which $fastmlp is the program."""
    environment = {**ENVIRONMENT, "fastmlp": f"{sys.executable} -W error -m fastmlp", **environment}
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=200
    )
    for sign in ("Traceback", "Exception ignored", "Error:"):
        assert sign not in done.stderr + done.stdout
    return done.returncode, done.stderr


def shells(lines, tmp_path, **environment):
    """`shell` of each line. Two at a time: most of the time is that of the start of Python."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda line: shell(line, tmp_path, **environment), lines))


def is_full():
    """Whether /dev/full is what it is called; in some containers it takes everything."""
    try:
        with open("/dev/full", "w") as file:
            file.write("x")
    except OSError as error:
        return error.errno == errno.ENOSPC
    return False


needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")


@needs_bash
@pytest.mark.parametrize("arguments", COMMANDS)
def test_closed_streams_and_dead_readers_are_no_traceback(tmp_path, arguments):
    words = " ".join(arguments)
    expected = 2 if arguments == ["nonsense"] else 0
    lines = [
        f"$fastmlp {words} >&-", f"$fastmlp {words} >&- 2>&- <&-", f"set -o pipefail; $fastmlp {words} | true",
        f"set -o pipefail; $fastmlp {words} 2>&1 >/dev/null | true",
    ]  # fmt: skip
    no_output, nothing, dead_output, dead_errors = shells(lines, tmp_path)
    assert no_output[0] == expected
    assert nothing == (expected, "")
    assert dead_output[0] in (expected, 1)
    assert dead_errors[0] in (expected, 1)


@needs_bash
@pytest.mark.skipif(not is_full(), reason="no device here that is always full")
def test_output_that_finds_no_room_is_told(tmp_path):
    told = (1, "fastmlp: error: No space left on device: standard output\n")
    by_argparse = ["--help", "--version", "train --help"]  # which passes over errors
    for unbuffered, commands in {"": ["info", "data digits", *by_argparse], "1": by_argparse}.items():
        lines = [f"$fastmlp {command} >/dev/full" for command in commands]
        found = shells(lines, tmp_path, PYTHONUNBUFFERED=unbuffered)
        assert dict(zip(commands, found, strict=True)) == dict.fromkeys(commands, told)


@needs_bash
def test_a_wrong_instruction_set_is_one_line(tmp_path):
    script = tmp_path / "fastmlp"  # as an installation makes it
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom fastmlp.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
    for program in ("$fastmlp", str(script)):
        code, err = shell(f"cd / && {program} info", tmp_path, FASTMLP_ISA="avx9")
        assert code == 1
        assert err.startswith("fastmlp: error: FASTMLP_ISA='avx9': ")
        assert err.count("\n") == 1
    code = "try:\n    import fastmlp\nexcept ImportError as error:\n    print(error)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "FASTMLP_ISA": "avx9"},
        cwd=tmp_path,  # in a checkout Python would find its sources first
        timeout=200,
    )
    assert done.stdout.startswith("FASTMLP_ISA='avx9': ")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT])
def test_a_folder_that_cannot_be_written_to_is_told_in_the_systems_words(capsys, monkeypatch, tmp_path, number):
    def refused(path, *arguments, **options):
        raise OSError(number, os.strerror(number), path)

    monkeypatch.chdir(tmp_path)
    Path("there.csv").write_text("x")
    monkeypatch.setattr(os, "access", lambda *arguments, **options: False)
    monkeypatch.setattr(os, "open", refused)
    said = []
    for out in ("new.csv", "there.csv"):
        assert cli.main(["data", "digits", "--out", out, "--force"]) == 1
        said.append(capsys.readouterr().err)
    assert said == [
        f"fastmlp: error: cannot write into the folder: {os.strerror(number)}: {tmp_path}\n",
        f"fastmlp: error: {os.strerror(number)}: there.csv\n",
    ]
    with pytest.raises(OSError, match=os.strerror(number)) as error:
        _writing.output_folder(tmp_path)
    assert error.value.errno == number
