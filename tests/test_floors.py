"""The floors of the package: a table in CONTRIBUTING.md says which room stands on which, and no import goes up."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fastmlp"
pytestmark = pytest.mark.skipif(not PACKAGE.is_dir(), reason="the sources are not here")


def floors():
    """{room: number of its floor from the ground}; a room is a module or a folder, the package itself "fastmlp"."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = re.search(r"^## Floors$.*?```text\n(.*?)```", text, re.MULTILINE | re.DOTALL)[1]
    lines = [line.split() for line in table.splitlines()]
    found = {room: len(lines) - i for i, line in enumerate(lines) for room in line}
    assert len(found) == sum(map(len, lines))  # none twice
    return found


def rooms():
    """{room: the files in it}."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found.setdefault("fastmlp" if first == "__init__" else first, []).append(path)
    return found


def imported(path):
    """Rooms that a file imports: anywhere in it, for types too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    known = floors()
    found = set()
    for name in names:
        package, _, rest = name.partition(".")
        if package == "fastmlp":
            room = rest.partition(".")[0]
            found.add(room if room in known else "fastmlp")  # a name of the package itself
    return found


def test_every_room_has_its_floor():
    assert set(floors()) == {*rooms(), "_engine", "_kernels"}


def test_no_import_goes_up():
    floor, up = floors(), {}
    for room, paths in rooms().items():
        for target in set().union(*map(imported, paths)) - {room}:
            if floor[target] > floor[room]:
                up.setdefault(target, set()).add(room)
    assert up == {}


def test_rooms_of_one_floor_make_no_circle():
    floor, own = floors(), rooms()
    down = {room: set().union(*map(imported, paths)) - {room} for room, paths in own.items()}
    left = {room: {t for t in targets if t in own and floor[t] == floor[room]} for room, targets in down.items()}
    while True:
        free = {room for room, targets in left.items() if not targets}
        if not free:
            break
        left = {room: targets - free for room, targets in left.items() if room not in free}
    assert not left


def test_only_the_benches_import_single_kernels():
    assert {room for room, paths in rooms().items() if "_kernels" in set().union(*map(imported, paths))} == {"bench"}


def modules():
    """{dotted name: file} of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["fastmlp", *path.relative_to(PACKAGE).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def test_modules_make_no_circle():
    """Within a room neither. `from fastmlp import x` of a module x is an arrow to that alone."""
    known = modules()
    left = {}
    for module, path in known.items():
        targets = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= {name if name in known else node.module for name in inner}
        left[module] = (targets & known.keys()) - {module, "fastmlp"}
    del left["fastmlp"]  # which names all of them, for types
    while free := {module for module, targets in left.items() if not targets}:
        left = {module: targets - free for module, targets in left.items() if module not in free}
    assert not left


def test_nothing_is_imported_by_a_name_in_a_string():
    """But what the package itself imports when it is asked for: the tests above would not see it."""
    for module, path in modules().items():
        text = path.read_text(encoding="utf-8")
        assert module == "fastmlp" or not re.search(r"import_module\(|__import__\(", text), module


def test_every_folder_with_modules_is_a_package():
    """Or a module of its name that an earlier release left there would come before it."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)
