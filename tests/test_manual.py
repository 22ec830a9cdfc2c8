"""Every Python block of README.md and of the manual runs, and every link within them leads somewhere.

The blocks of a page follow one another in one namespace, in an empty folder. Those that import another library are run
where it is installed, all blocks of their page in one fresh process.
"""

import ast
import contextlib
import importlib.util
import os
import re
import runpy
import subprocess
import sys
import types
from pathlib import Path

import pytest

from fastmlp import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FOREIGN = ("torch", "keras")  # what the manual shows beside fastmlp, and tests do not need
# Pages that hold no Python, and pages whose text is another file of the tree.
WITHOUT = {
    "CONTRIBUTING.md", "csrc/README.md", "docs/benchmarks.md", "docs/changes.md", "docs/contributing.md",
    "docs/engine.md", "docs/experiments.md", "docs/how_it_works.md", "docs/kernels.md", "docs/programs.md",
    "docs/reliability.md",
}  # fmt: skip
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "csrc" / "README.md", *sorted(DOCS.glob("*.md"))]
}


def blocks(path, language="python"):
    """The fenced blocks of a page, with as many empty lines before each as make the numbers of its lines right."""
    text = path.read_text(encoding="utf-8")
    found = re.finditer(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text[: match.start(2)].count("\n") + match[2] for match in found]


def imported(code):
    """Top-level names of the modules that a block imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found


def foreign(code):
    return sorted(imported(code) & set(FOREIGN))


WITH_FOREIGN = [page for page, path in PAGES.items() if any(map(foreign, blocks(path)))]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WITHOUT])
def test_blocks_run(page, tmp_path, monkeypatch, capsys):
    found = blocks(PAGES[page])
    assert found, "a page of the manual without Python; name it in WITHOUT if so it should be"
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page}
    for code in found:
        if not foreign(code):  # the others below
            exec(compile(code, str(PAGES[page]), "exec"), names)


@pytest.mark.parametrize("page", sorted(WITHOUT & set(PAGES)))
def test_pages_without_python_have_none(page):
    assert not blocks(PAGES[page])


def test_the_right_pages_show_other_libraries():
    assert WITH_FOREIGN == ["docs/from_keras.md", "docs/from_pytorch.md"]


@pytest.mark.torch
@pytest.mark.parametrize("page", WITH_FOREIGN)
def test_blocks_run_beside_other_libraries(page, tmp_path):
    needed = sorted({name for code in blocks(PAGES[page]) for name in foreign(code)})
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{page} also shows programs of {', '.join(missing)}, not installed: pip install '.[bench-peers]'")
    backend = next((name for name in ("jax", "torch") if importlib.util.find_spec(name)), "tensorflow")
    script = tmp_path / "page.py"
    script.write_text("\n".join(code.lstrip("\n") for code in blocks(PAGES[page])), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env={"KERAS_BACKEND": backend, **os.environ}, capture_output=True,
        text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_pages_of_the_reference_hold_no_code_of_their_own():
    pages = [path for path in DOCS.rglob("*.rst") if not {"_build", "generated", "gallery"} & set(path.parts)]
    assert len(pages) > 10
    for path in pages:
        text = re.sub(
            r"^\.\. ((?!code-)[a-z-]+|\{\{ \w+ \}\})::", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        assert not re.search(r"::$|>>>|code-block", text, re.MULTILINE), path


@pytest.mark.parametrize("command", ["data", "split", "train", "predict"])
def test_the_options_of_the_programs_are_described(command, capsys):
    with contextlib.suppress(SystemExit):
        cli.main([command, "--help"])
    usage = capsys.readouterr().out.partition("\n\n")[0]
    assert usage.startswith("usage: ")
    text = (DOCS / "programs.md").read_text(encoding="utf-8")
    common, *sections = re.split(r"^## `fastmlp ", text, flags=re.MULTILINE)
    section = common + next(section for section in sections if section.startswith(command))
    described = set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE))
    found = set(re.findall(r"--[a-z-]+", usage))
    assert found <= described
    assert described - found <= {"--separator", "--header"}, "which data has not"


def anchors(path):
    """What links to the headings of a page end with."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    path = PAGES[page]
    for link, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", path.read_text(encoding="utf-8")):
        if "://" in link or link.startswith("gallery/"):  # the gallery is made when the manual is built
            continue
        if link.startswith("drawings/"):  # so are these pictures, each by a function of its name
            drawings = (DOCS / "drawings.py").read_text(encoding="utf-8")
            assert f"def {Path(link).stem}(" in drawings, f"docs/drawings.py does not draw {link}"
            continue
        target = path.parent / link if link else path
        assert target.exists(), f"{link} does not exist"
        assert not anchor or anchor in anchors(target), f"{link} has no heading #{anchor}"


@pytest.fixture
def building(monkeypatch):
    """What Sphinx builds the manual with: docs/manual.py."""
    pytest.importorskip("sphinx", reason="sphinx is not installed: pip install '.[docs]'")
    pytest.importorskip("PIL", reason="pillow is not installed: pip install '.[docs]'")
    monkeypatch.setattr(sys, "path", [str(DOCS), str(ROOT / "examples"), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return importlib.import_module("manual")


def test_every_method_of_a_model_has_a_purpose(building):
    for name in building.PURPOSES:
        found = [member for _, members in building.purposes(name) for member, _ in members]
        assert len(found) == len(set(found))
        assert set(found) == {member for member in dir(building.object_at(name)) if member[0] != "_"}
        assert "More" not in dict(building.purposes(name)), "docs/manual.py says nothing of these"


def test_every_example_is_in_a_section(building):
    examples = building.run_all.ORDER
    assert sorted(name for names in building.SECTIONS.values() for name in names) == sorted(examples)
    rows = (DOCS / "experiments.md").read_text(encoding="utf-8")
    assert all(f"](../examples/{name}.py)" in rows for name in examples)


def test_without_mnist_an_example_says_what_it_finds(building, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FASTMLP_DATA", str(tmp_path))
    monkeypatch.setenv("FASTMLP_GALLERY", "all")
    conf = runpy.run_path(str(DOCS / "conf.py"))
    needs = [name for name in conf["shown"] if "load_mnist" in (ROOT / "examples" / f"{name}.py").read_text("utf-8")]
    assert len(needs) == 7
    assert sorted(conf["not_run"]) == sorted(needs)
    assert sorted(conf["executed"]) == sorted(set(conf["shown"]) - set(needs))
    app = types.SimpleNamespace(srcdir=str(DOCS), config=types.SimpleNamespace(not_run=conf["not_run"]))
    page = building.gallery_page(app, "mnist_by_hand", "MNIST by hand\n=============\n\nA text.\n")
    assert page.startswith("MNIST by hand\n=============\n\n.. admonition:: Not run\n")
    assert "needs MNIST" in page
    assert "0.9649" in page  # published
    assert page.endswith("\nA text.\n")
    assert building.gallery_page(app, "xor", "XOR\n===\n") == "XOR\n===\n"
