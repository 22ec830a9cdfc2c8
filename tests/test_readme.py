"""What README.md says of files and names is so; test_manual.py runs its blocks."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from fastmlp import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_quick_start_is_short():
    first = blocks(README, "python")[0].splitlines()
    assert 0 < len(first) <= 12


def test_programs_for_files_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = next(block for block in blocks(README, "sh") if "fastmlp split" in block).splitlines()
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "fastmlp"
        assert cli.main(arguments) == 0
    assert "rows are right" in capsys.readouterr().out


def test_sources_that_are_not_compiled_say_what_to_do(tmp_path):
    shutil.copytree(ROOT / "fastmlp", tmp_path / "fastmlp", ignore=shutil.ignore_patterns("*.so", "*.pyd"))
    done = subprocess.run(
        [sys.executable, "-c", "import fastmlp"], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: fastmlp is not compiled here")
    assert "`pip install .`" in message


def test_map_of_the_tree_is_right():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = next(block for block in blocks(text, "text") if "csrc/" in block)
    folder, named = ROOT, []
    for line in tree.splitlines():
        words = re.split(r"\s{2,}", line.strip())[0].split()
        if not line.startswith(" "):
            folder = ROOT / words[0] if words[0].endswith("/") else ROOT
            named.append(ROOT / words[0])
            words = words[1:]
        named += [folder / word for word in words]
    assert not [str(path) for path in named if not path.exists()]
