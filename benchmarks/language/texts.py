"""Real texts, read from what is installed: nothing is downloaded.

========================  ==================================================
`pydoc`                   Python itself
`novel`                   Debian's ``r-cran-janeaustenr``, which brings R
`python_documentation`    Debian's ``python3.11-doc``
`docstrings`              the packages that gossamer needs
========================  ==================================================

Models are judged on `evaluation` and calibrated on `calibration`, which share no text.
"""

from __future__ import annotations

import ast
import functools
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gossamer.nn.language import tokens_of

NOVELS = (
    "emma",
    "mansfieldpark",
    "northangerabbey",
    "persuasion",
    "prideprejudice",
    "sensesensibility",
)
EVALUATED = "persuasion"
DOCUMENTATION = Path("/usr/share/doc/python3.11/html/_sources")
# The pages from which Python makes pydoc's topics; a slow test looks for others.
TOPICS = (
    "reference/",
    "library/stdtypes.",
    "library/string.",
    "library/pdb.",
    "library/constants.",
)
DOCUMENTED = ("sklearn", "scipy")


@functools.cache
def pydoc() -> str:
    """The topics of Python's ``help()``: 0.5 MB of technical prose and code."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics.values())


@functools.cache
def novel(name: str) -> str:
    """One of Jane Austen's six novels: 0.4 to 0.9 MB each."""
    if name not in NOVELS:
        raise ValueError(f"name: one of {', '.join(NOVELS)}, got {name!r}.")
    remedy = "Install Debian's package: apt install r-cran-janeaustenr."
    if shutil.which("Rscript") is None:
        raise ModuleNotFoundError(f"Jane Austen's novels are read by Rscript. {remedy}")
    read = ["Rscript", "-e", f"writeLines(janeaustenr::{name})"]
    done = subprocess.run(read, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise ModuleNotFoundError(f"R has no package janeaustenr. {remedy}\n{done.stderr}")
    return done.stdout


@functools.cache
def python_documentation() -> str:
    """The sources of Python's documentation, without those of pydoc's topics: 10 MB."""
    pages = sorted(documentation_pages())
    if not pages:
        raise ModuleNotFoundError(
            f"There is no Python documentation in {DOCUMENTATION}. Install Debian's package: apt "
            "install python3.11-doc. Or calibrate on docstrings, which need nothing."
        )
    return "\n\n".join(page.read_text(encoding="utf-8") for page in pages)


def documentation_pages() -> Iterator[Path]:
    """The pages that share no text with pydoc's topics."""
    for page in DOCUMENTATION.rglob("*.rst.txt"):
        if not page.relative_to(DOCUMENTATION).as_posix().startswith(TOPICS):
            yield page


@functools.cache
def docstrings() -> str:
    """What scikit-learn and SciPy say of their functions: 6 MB, installed wherever gossamer is."""
    return "\n\n".join(doc for package in DOCUMENTED for doc in _docstrings_of(package))


def _docstrings_of(package: str) -> Iterator[str]:
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations is not None
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for file in sorted(Path(spec.submodule_search_locations[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, documented) and (doc := ast.get_docstring(node)):
                yield doc


def evaluation(tokenizer: Any, count: int = 8, length: int = 512) -> dict[str, Tensor]:
    """The windows on which perplexity is measured: the first of each text, (count, length)."""
    texts = {"pydoc": pydoc(), "Persuasion": novel(EVALUATED)}
    return {name: tokens_of(tokenizer, text, length, count) for name, text in texts.items()}


def calibration(
    tokenizer: Any, count: int = 64, length: int = 512, seed: int = 0, source: str = "mixed"
) -> Tensor:
    """Windows drawn at random from text that no model is judged on, (count, length).

    source: "mixed", half of them from Python's documentation and half from the five other novels,
    or "docstrings", which need no Debian package.
    """
    if source == "docstrings":
        return tokens_of(tokenizer, docstrings(), length, count, seed)
    if source != "mixed":
        raise ValueError(f"source: 'mixed' or 'docstrings', got {source!r}.")
    half = count // 2
    parts = []
    for text, share in ((python_documentation(), count - half), (_other_novels(), half)):
        if share:
            parts.append(tokens_of(tokenizer, text, length, share, seed))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return torch.cat(parts)[order]


@functools.cache
def _other_novels() -> str:
    return "\n\n".join(novel(name) for name in NOVELS if name != EVALUATED)
