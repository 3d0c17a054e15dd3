"""Real tables, read from installed data packages (see examples/real_tables.py)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _tables() -> Any:
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    import real_tables

    return real_tables


def _centred(X: np.ndarray, y: np.ndarray, tiny: bool) -> tuple[np.ndarray, np.ndarray]:
    """Without their means, in place of an intercept; the first 30 x 60 of them when tiny."""
    if tiny:
        X, y = X[:30, :60], y[:30]
    return np.asfortranarray(X - X.mean(axis=0)), y - y.mean(axis=0)


def expression(tiny: bool) -> tuple[np.ndarray, np.ndarray]:
    """NCI60: one gene's expression in 58 tumours from that of all the others."""
    X = _tables().nci60().X
    return _centred(X[:, 1:], X[:, 0], tiny)


def permeability(tiny: bool) -> tuple[np.ndarray, np.ndarray]:
    """Permeability of 165 compounds from binary fingerprints: rank deficient."""
    table = _tables().permeability()
    return _centred(table.X, table.y, tiny)


def meats(tiny: bool) -> tuple[np.ndarray, np.ndarray]:
    """Fat of 215 samples from nearly collinear spectra."""
    table = _tables().meats()
    return _centred(table.X, table.y, tiny)


def newsgroups(tiny: bool) -> tuple[Any, np.ndarray]:
    """TF-IDF of the training posts of all 20 Newsgroups, and 1 for recreation and science."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    folder = _tables().package_folder("orangecontrib") / "text" / "datasets"
    with (folder / "20newsgroups-train.tab").open(encoding="utf-8") as lines:
        posts = [line.rstrip("\n").split("\t", 1) for line in list(lines)[3:] if "\t" in line]
    posts = posts[:: len(posts) // 60] if tiny else posts
    X = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform([text for _, text in posts])
    y = np.array([group.startswith(("rec.", "sci.")) for group, _ in posts], dtype=float)
    return X.tocsc(), y
