"""What conf.py needs beside settings: pages that live elsewhere in the tree, links to them, short names in docstrings,
the sections of the gallery, what is said of a class by purpose, and words that a search finds."""

import contextlib
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import run_all
from docutils import nodes
from PIL import Image, ImageOps
from sphinx.addnodes import pending_xref
from sphinx.errors import NoUri
from sphinx.ext.autosummary import autosummary_table

ROOT = Path(__file__).resolve().parents[1]
# Pages whose text is a file of the tree, and what a link to such a file leads to in the manual.
TAKEN = {"contributing": "CONTRIBUTING.md", "kernels": "csrc/README.md", "changes": "CHANGELOG.md"}
LINKS = {
    **{path: f"{page}.md" for page, path in TAKEN.items()},
    **{f"examples/{name}.py": f"gallery/{name}.rst" for name in run_all.ORDER},
    "README.md": "index.md",
}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]+)?(?=\))")

# The gallery, by what an example shows.
SECTIONS = {
    "First steps": ("xor", "letters", "arrays", "weights_as_a_tree", "three_frameworks", "programs_for_files"),
    "Handwritten digits": ("mnist_twenty_epochs", "mnist_by_hand", "five_runs"),
    "Tables: telling tumours apart": ("perceptron_network", "layers_as_matrices", "softmax_classifier"),
    "How it learns": ("worked_example", "losses_by_hand", "two_conventions", "automatic_differentiation", "whitening"),
    "Without labels": (
        "denoising", "autoencoder", "restricted_boltzmann_machine", "deep_belief_network",
        "generative_adversarial_network",
    ),
    "Before backpropagation": ("perceptron", "hopfield_network"),
}  # fmt: skip

# Members of a class with many, by purpose. What is not named comes last, as "More": tests/test_manual.py wants none.
PURPOSES = {
    "fastmlp.Model": {
        "Train": ("fit", "train_on_batch", "build", "adapt", "average_weights", "history"),
        "Within a callback": ("stop_training", "stop_reason"),
        "Predict": ("predict", "scores"),
        "Judge": ("evaluate",),
        "Look at it": ("summary", "plot"),
        "Save": ("save",),
        "A loop of your own": ("loss_and_gradients", "apply_gradients"),
        "Derivatives": ("input_gradients", "vjp", "jvp", "jacobian"),
        "What it is made of": (
            "weights", "layers", "loss", "optimizer", "metrics", "preprocessing", "statistics", "targets",
            "target_statistics", "n_inputs", "n_outputs", "dtype", "n_threads", "seed", "built",
        ),
    },
}  # fmt: skip

# What people look for, where the page says it in other words: entries of the index, which a search finds first.
WORDS = {
    "getting_started": ("installation", "quick start", "tutorial"),
    "recipes": ("overfitting", "regularization", "imbalanced classes", "resume training", "data augmentation"),
    "programs": ("command line", "csv files", "missing values"),
    "performance": ("number of threads", "slow training", "cpu cores"),
    "reproducibility": ("random seed", "deterministic results", "bit-identical"),
    "troubleshooting": ("loss is nan", "import error", "does not learn"),
    "api/generated/fastmlp.Model": ("predict probabilities", "class weights", "sample weights", "train model"),
    "api/generated/fastmlp.load": ("load model", "saved model"),
    "api/generated/fastmlp.EarlyStopping": ("patience", "restore best weights"),
    "api/generated/fastmlp.Dense": ("fully connected layer", "linear layer"),
    "api/generated/fastmlp.BatchNorm": ("batch normalization",),
    "api/generated/fastmlp.LayerNorm": ("layer normalization",),
    "api/generated/fastmlp.Residual": ("skip connection",),
    "api/generated/fastmlp.ModelCheckpoint": ("save best model",),
    "api/generated/fastmlp.Standardize": ("feature scaling", "normalize inputs", "standardscaler"),
    "api/generated/fastmlp.losses.SoftmaxCrossEntropy": ("multiclass classification", "categorical cross-entropy"),
    "api/generated/fastmlp.losses.BinaryCrossEntropy": ("binary classification", "multilabel classification"),
    "api/generated/fastmlp.losses.Custom": ("custom loss",),
    "api/schedules": ("learning rate schedule", "learning rate decay"),
    "api/generated/fastmlp.TensorBoard": ("tensorboard logs",),
    "api/generated/fastmlp.find_learning_rate": ("learning rate finder",),
    "api/plotting": ("learning curve", "plot history"),
    "api/initializers": ("weight initialization",),
}


def read_page(app: Any, docname: str, source: list[str]) -> None:
    """Fetch the text of a page that lives elsewhere, and turn links between files of the tree into links of the manual.

    A page that lives elsewhere ends with the line ``{{ text }}``.
    """
    if docname.startswith("gallery/"):  # what linters read is not for readers
        source[0] = re.sub(r"  # (?:noqa: \w+|fmt: skip)$", "", source[0], flags=re.MULTILINE)
        source[0] = gallery_page(app, docname.removeprefix("gallery/"), source[0])
    if docname == "api/index":
        source[0] = source[0].replace(".. names::", names(Path(app.srcdir) / "api", source[0]))
    page = Path(app.srcdir) / f"{docname}.md"
    if docname == "index" and not (page.parent / "experiments.md").exists():  # examples/run_all.py writes it
        source[0] = source[0].replace("\nexperiments\n", "\n")
    if docname in WORDS and not page.exists():
        source[0] = behind_the_title(source[0], f".. index:: {main_entries(docname)}")
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
    if docname in WORDS:
        title, rest = source[0].split("\n", 1)
        source[0] = f"{title}\n\n```{{index}} {main_entries(docname)}\n```\n{rest}"


def main_entries(docname: str) -> str:
    """Words of a page for the index, as main entries: a search puts these before pages that only hold the words."""
    return ", ".join(f"! {word}" for word in WORDS[docname])


def behind_the_title(text: str, addition: str) -> str:
    """A page in reStructuredText with something between its title and what follows."""
    return re.sub(r"^(\S.*\n([=-])\2+\n)", lambda title: f"{title[1]}\n{addition}\n", text, count=1, flags=re.MULTILINE)


def gallery_page(app: Any, name: str, text: str) -> str:
    """The gallery's own page with its sections, and what an example that did not run has found elsewhere."""
    if name == "index":
        for title, examples in SECTIONS.items():
            first = re.compile(
                r"\.\. raw:: html\n\n    <div class=\"sphx-glr-thumbcontainer\"(?:(?!raw:: html).)*?"
                rf":doc:`/gallery/{examples[0]}`", re.DOTALL,
            )  # fmt: skip
            heading = f"{title}\n{'-' * len(title)}\n\n"
            between = '.. raw:: html\n\n    <div class="sphx-glr-thumbnails">\n\n'
            end = ".. raw:: html\n\n    </div>\n\n"
            text = first.sub(lambda found, new=end + heading + between: new + found[0], text, count=1)
        return text
    why = app.config.not_run.get(name)
    if why is None:
        return text
    rows = (Path(app.srcdir) / "experiments.md").read_text(encoding="utf-8").splitlines()
    found = [row.strip("| ").split(" | ") for row in rows if f"](../examples/{name}.py)" in row]
    lines = [
        ".. admonition:: Not run",
        "",
        f"   {why} What it found when the :doc:`experiments </experiments>` were made:",
        "",
    ]
    lines += ["   .. list-table::", "      :header-rows: 1", ""]
    for what, said, got, *_ in [("", "published", "fastmlp"), *found]:
        plain = what.removeprefix("[").partition("](")[0]
        lines += [f"      * - {plain}", f"        - {said.strip()}", f"        - {got.strip()}"]
    return behind_the_title(text, "\n".join([*lines, ""]))


def first_panel(picture: Image.Image) -> Image.Image:
    """Of a picture with panels beside each other the first, cut where it is blank from top to bottom."""
    width, height = picture.size
    if width <= 1.7 * height:
        return picture
    blank = (np.asarray(picture.convert("L")) >= 250).all(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], blank.astype(np.int8), [0]])))
    stripes = [(first, end) for first, end in edges.reshape(-1, 2) if 0.6 * height < first < 0.55 * width]
    if not stripes:
        return picture
    first, end = min(
        stripes, key=lambda stripe: abs(stripe[0] - 1.4 * height) - height * min(stripe[1] - stripe[0], 12)
    )
    return picture.crop((0, 0, (first + end) // 2, height))


def thumbnails(app: Any) -> None:
    """Draw those of the gallery anew: several panels would be too small to see anything."""
    images = Path(app.srcdir) / "gallery" / "images"
    for path in images.glob("sphx_glr_*_001.png"):
        with Image.open(path) as picture:
            shown = ImageOps.pad(first_panel(picture.convert("RGB")), (400, 280), color="white")
        shown.save(images / "thumb" / path.name.replace("_001.png", "_thumb.png"))


def names(folder: Path, index: str) -> str:
    """For the index of the reference: a section for each of its pages, and a line of text for each name on it."""
    found = []
    for page in re.findall(r"^   (\w+)$", index, re.MULTILINE):
        text = (folder / f"{page}.rst").read_text(encoding="utf-8")
        title = text.partition("\n")[0]
        heading = f":doc:`{title} <{page}>`"
        found += [heading, "-" * len(heading), ""]
        for module, lines in re.findall(
            r"^\.\. currentmodule:: (\S+)\n\n\.\. autosummary::\n(?:   :.*\n)+\n((?:   \S+\n)+)", text, re.MULTILINE
        ):
            found += [f".. currentmodule:: {module}", "", ".. autosummary::", "   :nosignatures:", "", lines]
    return "\n".join(found)


def purposes(name: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """The members of a class by purpose, each with the directive that describes it; at the end what has none."""
    thing = object_at(name)
    members = [member for member in dir(thing) if member[0] != "_"]
    chosen = PURPOSES[name]
    more = [member for member in members if member not in {each for some in chosen.values() for each in some}]
    return [
        (title, [(each, "automethod" if callable(getattr(thing, each)) else "autoproperty") for each in some])
        for title, some in [*chosen.items(), *([("More", more)] if more else [])]
    ]


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


class BySection:
    """Key by which sphinx-gallery sorts the examples."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, file: str) -> int:
        """Position in SECTIONS; what is in none behind them."""
        order = [name for names in SECTIONS.values() for name in names]
        name = file.removesuffix(".py")
        return order.index(name) if name in order else len(order)
