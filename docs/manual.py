"""What conf.py needs beside settings: pages that live elsewhere in the tree, links to them, short names in docstrings,
the order of the gallery."""

import contextlib
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import run_all
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.errors import NoUri
from sphinx.ext.autosummary import autosummary_table

ROOT = Path(__file__).resolve().parents[1]
# Pages whose text is a file of the tree, and what a link to such a file leads to in the manual.
TAKEN = {"contributing": "CONTRIBUTING.md", "kernels": "csrc/README.md", "changes": "CHANGELOG.md"}
LINKS = {
    **{path: f"{page}.md" for page, path in TAKEN.items()},
    "README.md": "index.md",
}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]+)?(?=\))")


def read_page(app: Any, docname: str, source: list[str]) -> None:
    """Fetch the text of a page that lives elsewhere, and turn links between files of the tree into links of the manual.

    A page that lives elsewhere ends with the line ``{{ text }}``.
    """
    if docname.startswith("gallery/"):  # what linters read is not for readers
        source[0] = re.sub(r"  # (?:noqa: \w+|fmt: skip)$", "", source[0], flags=re.MULTILINE)
    page = Path(app.srcdir) / f"{docname}.md"
    if docname == "index" and not (page.parent / "experiments.md").exists():  # examples/run_all.py writes it
        source[0] = source[0].replace("\nexperiments\n", "\n")
    if not page.exists():
        return
    folder = page.parent
    if docname in TAKEN:
        path = ROOT / TAKEN[docname]
        app.env.note_dependency(str(path))
        folder = path.parent
        source[0] = source[0].replace("{{ text }}", path.read_text(encoding="utf-8"))

    def moved(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        if not target.is_relative_to(ROOT):
            return match[0]
        path, anchor = target.relative_to(ROOT).as_posix(), match[2] or ""
        for key, anchor_left in ((path + anchor, ""), (path, anchor)):
            if key in LINKS:
                return LINKS[key] + anchor_left
        return path.removeprefix("docs/") + anchor if folder != page.parent else match[0]

    source[0] = LINK.sub(moved, source[0])


def parameters(docname: str) -> set[str]:
    """The names of all arguments of what a page of the reference describes."""
    found: set[str] = set()
    with contextlib.suppress(ImportError, AttributeError):
        thing = object_at(docname.rpartition("/")[2])
        members = (
            [getattr(thing, name) for name in dir(thing) if not name.startswith("_")] if inspect.isclass(thing) else []
        )
        for one in [thing, *members]:
            with contextlib.suppress(TypeError, ValueError):
                found |= set(inspect.signature(one).parameters)
    return found


def object_at(name: str) -> Any:
    """What a dotted name names."""
    module, _, rest = name.partition(".")
    thing: Any = importlib.import_module(module)
    for part in rest.split("."):
        try:
            thing = getattr(thing, part)
        except AttributeError:
            thing = importlib.import_module(f"{thing.__name__}.{part}")
    return thing


def missing_reference(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Docstrings say `Model.fit` and `fit`, and name arguments: a link where there is such a thing, code for arguments.

    Anything else stays unresolved, which Sphinx warns of.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    inner = target.removeprefix("fastmlp.")
    page = node.get("refdoc", "")
    candidates = [f"fastmlp.{inner}"]
    described = page.rpartition("/")[2]
    candidates += [f"{described}.{inner}", f"{described.rpartition('.')[0]}.{inner}", f"fastmlp.Model.{inner}"]
    candidates += [
        f"fastmlp.{module}.{inner}" for module in ("layers", "losses", "optimizers", "schedules", "callbacks")
    ]
    domain = env.get_domain("py")
    for name in candidates:
        if name in domain.objects:
            with contextlib.suppress(NoUri):
                return domain.resolve_xref(env, page, app.builder, "obj", name, node, contnode)
    for name in candidates:
        owner, _, attribute = name.rpartition(".")
        if owner in domain.objects and re.search(
            rf"^{attribute} : ", inspect.getdoc(object_at(owner)) or "", re.MULTILINE
        ):
            return domain.resolve_xref(env, page, app.builder, "obj", owner, node, contnode)
    if inner in parameters(page):
        return nodes.literal(target, target)
    return None


def signature(app: Any, what: str, name: str, thing: Any, options: Any, found: str, returns: str) -> Any:
    """Of a class its own signature, not that of the base that answers other libraries' names; without types."""
    if what != "class":
        return None
    with contextlib.suppress(TypeError, ValueError):
        plain = inspect.signature(thing)
        arguments = [one.replace(annotation=inspect.Parameter.empty) for one in plain.parameters.values()]
        return str(plain.replace(parameters=arguments, return_annotation=inspect.Signature.empty)), returns
    return None


def tables_without_citations(app: Any, doctree: Any) -> None:
    """The first line of a docstring stands in tables too, without its citation."""
    for table in doctree.findall(nodes.table):
        if not isinstance(table.parent, autosummary_table):
            continue
        for reference in [one for one in table.findall(pending_xref) if one.get("refdomain") == "citation"]:
            parent, at = reference.parent, reference.parent.index(reference)
            parent.remove(reference)
            if at and isinstance(parent[at - 1], nodes.Text):
                parent[at - 1] = nodes.Text(parent[at - 1].rstrip())


class AsRunAll:
    """Key by which sphinx-gallery sorts the examples."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, file: str) -> int:
        """Position in ORDER; files that are no examples behind it."""
        name = file.removesuffix(".py")
        return run_all.ORDER.index(name) if name in run_all.ORDER else len(run_all.ORDER)
