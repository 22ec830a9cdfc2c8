"""How Sphinx builds the manual: ``pip install '.[docs]' && sphinx-build -W docs docs/_build/html``.

FASTMLP_GALLERY=quick runs the examples that take less than 20 seconds, FASTMLP_GALLERY=none runs none; all are shown.
Those that need MNIST run where `fastmlp.datasets.load_mnist` finds it. A page whose example did not run says so, and
what it finds.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
sys.path[:0] = [str(HERE), str(EXAMPLES)]
sys.dont_write_bytecode = True

# These are found by the path above, so they cannot stand before it.
import drawings  # noqa: E402
import manual  # noqa: E402
import run_all  # noqa: E402

import fastmlp  # noqa: E402

project = "fastmlp"
author = "The fastmlp developers"
copyright = author
release = version = fastmlp.__version__

extensions = [
    "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "numpydoc",
    "sphinx_gallery.gen_gallery",
]  # fmt: skip
exclude_patterns = ["_build", "sg_execution_times.rst"]
templates_path = ["templates"]
html_theme = "furo"
html_title = f"fastmlp {release}"
html_static_path = ["static"]
html_css_files = ["manual.css"]
# The settings of the gallery hold functions, which Sphinx cannot keep between two builds and says so.
suppress_warnings = ["config.cache"]
nitpicky = True

# ---- Markdown ----

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
myst_links_external_new_tab = False

# ---- the API reference, from the docstrings ----

default_role = "py:obj"
add_module_names = False
autosummary_generate = True
# Classes whose methods are shown: those that users call, and those that they override.
autosummary_context = {
    "with_members": [
        *("fastmlp.Model", "fastmlp.History", "fastmlp.Callback", "fastmlp.gradcheck.Result", "fastmlp.layers.Layer"),
        *("fastmlp.losses.Loss", "fastmlp.optimizers.Optimizer", "fastmlp.schedules.Schedule"),
        *("fastmlp.initializers.Initializer", "fastmlp.preprocessing.Preprocessing"),
    ],
    "purposes": {name: manual.purposes(name) for name in manual.PURPOSES},
    "without_examples": ["fastmlp.Model", "fastmlp.Dense"],  # nearly all have them
}
autosummary_imported_members = True
autodoc_member_order = "bysource"  # as they are read, not by the alphabet
autodoc_typehints = "none"  # the docstrings say them in words
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# ---- the gallery ----

CHOICE = os.environ.get("FASTMLP_GALLERY", "all")
if CHOICE not in ("all", "quick", "none"):
    raise ValueError(f"FASTMLP_GALLERY must be all, quick or none, not {CHOICE!r}")
shown = [name for name in run_all.ORDER if (EXAMPLES / f"{name}.py").exists()]
not_run = {}  # and why
if CHOICE == "none":
    not_run = dict.fromkeys(shown, "This manual was built without running the examples.")
if CHOICE == "quick":
    not_run = dict.fromkeys(run_all.SLOW, "This manual was built with the examples that take less than 20 seconds.")
with_mnist = [name for name in shown if "load_mnist()" in (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")]
if set(with_mnist) - set(not_run):
    try:
        fastmlp.datasets.load_mnist()
    except (OSError, ValueError) as error:
        print(f"without the examples that need MNIST: {error}")
        why = "This example needs MNIST, which was not there when this manual was built."
        not_run = {**dict.fromkeys(with_mnist, why), **not_run}
executed = [name for name in shown if name not in not_run]
sphinx_gallery_conf = {
    "examples_dirs": str(EXAMPLES),
    "gallery_dirs": "gallery",
    "filename_pattern": rf"[/\\]({'|'.join(executed) or '(?!)'})\.py$",
    "ignore_pattern": rf"(?:^|[/\\])(?!(?:{'|'.join(shown)})\.py$)[^/\\]*\.py$",
    "within_subsection_order": "manual.BySection",
    "default_thumb_file": str(HERE / "drawings" / "not_run.png"),
    "doc_module": ("fastmlp",),
    "backreferences_dir": "api/examples",
    "reference_url": {"fastmlp": None},
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "show_signature": False,
    "download_all_examples": False,
    "plot_gallery": "True",
    "write_computation_times": False,
    "min_reported_time": 1,
}


def setup(app):
    """Connect what manual.py and drawings.py do."""
    drawings.draw(HERE / "drawings")
    app.add_config_value("not_run", {}, "env")
    app.connect("builder-inited", manual.thumbnails, priority=900)  # when the gallery is there
    app.connect("source-read", manual.read_page)
    app.connect("missing-reference", manual.missing_reference)
    app.connect("autodoc-process-signature", manual.signature)
    app.connect("doctree-read", manual.tables_without_citations)
