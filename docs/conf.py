"""Sphinx configuration: `make docs` builds it, with warnings as errors."""

from __future__ import annotations

import gossamer

project = "gossamer"
author = "the gossamer developers"
copyright = f"2026, {author}"
version = release = gossamer.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "myst_parser",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery/**/*.ipynb"]

html_theme = "furo"
html_title = f"gossamer {version}"

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

# A room's page lists what the room exports, wherever in the room it is defined.
autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autodoc_typehints = "signature"
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "abort_on_example_error": True,
    "show_memory": False,
    "download_all_examples": False,
}
