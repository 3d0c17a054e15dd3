"""Sphinx configuration: `make docs` builds it, with warnings as errors."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from inspect import ismodule
from pathlib import Path

from sphinx.application import Sphinx
from torch import nn

import gossamer

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))  # for mathml, our own extension

project = "gossamer"
author = "the gossamer developers"
copyright = f"2026, {author}"
version = release = gossamer.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
    "myst_parser",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery/**/*.ipynb"]

html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"gossamer {version}"

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3


def own_names(room: str) -> list[str]:
    """The public names defined in the room: what it passes on has its page where it is at home.

    Rooms within the room, such as gossamer.nn.criteria, are listed by themselves.
    """
    module = import_module(room)
    return [
        name
        for name in sorted(module.__all__)
        if not ismodule(getattr(module, name)) and home_of(getattr(module, name), room) == room
    ]


def home_of(piece: object, room: str) -> str | None:
    """The innermost of the listed rooms that the piece is defined in."""
    defined = getattr(piece, "__module__", room)
    return max((home for home in ROOMS if defined.startswith(home)), key=len, default=None)


ROOMS = re.findall(r"^ +(gossamer\.[\w.]+)$", (DOCS / "api.md").read_text(), flags=re.MULTILINE)

autosummary_generate = True
autosummary_context = {
    "own_names": {room: own_names(room) for room in ROOMS},
    # the constructor's arguments stand with the class; scikit-learn documents its own methods
    "foreign_methods": [
        "__init__",
        "get_params",
        "set_params",
        "get_metadata_routing",
        "set_output",
    ],
    # PyTorch documents what every module has
    "module_methods": [
        name for name in {*dir(nn.Module), *dir(nn.MultiheadAttention)} if not name.startswith("_")
    ],
}
autodoc_typehints = "signature"
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]+\.py$",
    "capture_repr": (),
    "image_srcset": ["2x"],
    "abort_on_example_error": True,
    "show_memory": False,
    "download_all_examples": False,
}


def without_foreign_labels(
    app: Sphinx, what: str, name: str, piece: object, options: object, lines: list[str]
) -> None:
    """Methods inherited from scikit-learn refer to pages of its own documentation."""
    if getattr(piece, "__module__", "").startswith("sklearn."):
        lines[:] = [re.sub(r":ref:`([^<`]+?) *<[^>]+>`", r"\1", line) for line in lines]


def setup(app: Sphinx) -> None:
    # before numpydoc, which takes the lines apart
    app.connect("autodoc-process-docstring", without_foreign_labels, priority=100)
