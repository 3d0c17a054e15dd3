"""Plots along the regularisation path: coefficients and the criterion that picks one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from scipy.sparse import issparse

from gossamer.report.plots.labels import (
    alpha_axis,
    is_budget,
    label_ends,
    label_gap,
    level_label,
    mark_strengths,
)
from gossamer.report.plots.style import (
    BLUE,
    FAINT,
    MUTED,
    PALETTE,
    new_axes,
    quiet,
    say,
)
from gossamer.report.summary import Array
from gossamer.report.text import counted, names_or_default


def plot_path(
    alphas: Array,
    coefs: Any,
    feature_names: Sequence[str] | None = None,
    *,
    nonzero: Array | None = None,
    minimum: int | None = None,
    selected: int | None = None,
    top: int = 30,
    n_labels: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """Coefficients against strength: which features enter, when, and how large they grow.

    Parameters
    ----------
    alphas : (m,) array
        Positive, decreasing strengths; or numbers of features allowed, from zero up.
    coefs : (m, p) array or scipy sparse matrix, or (m, p, K) array
        Coefficients along the path. With K classes, each feature's norm over them is drawn; for
        one plot a class pass ``coefs[:, :, k]`` and axes that share their y axis.
    feature_names : sequence of str, optional
    nonzero : (m,) array, optional
        Model sizes for the upper axis; counted from `coefs` when missing.
    minimum, selected : int, optional
        Positions in `alphas` to mark.
    top : int
        Features drawn: the largest at `selected` (else at the end), then the largest elsewhere.
    n_labels : int
        Features named at the end of their lines, fewer where there is no room.
    ax : Axes, optional
        Limits of the y axis that are set already are kept.

    Returns
    -------
    Axes
    """
    alphas = _strengths(alphas)
    coefs = coefs if issparse(coefs) else np.asarray(coefs, dtype=float)
    many = coefs.ndim == 3
    if many:
        coefs = np.linalg.norm(coefs, axis=2)
    names = names_or_default(feature_names, coefs.shape[1])
    ax = quiet(new_axes(3.7) if ax is None else ax)

    shown, n_entered = _largest(coefs, -1 if selected is None else selected, top)
    if not n_entered:
        return say(ax, "No feature enters the model at any strength.")
    n_labels = min(n_labels, int(0.9 / label_gap(ax)))
    lines = _dense(coefs[:, shown])
    colours = [PALETTE[i % len(PALETTE)] if i < n_labels else FAINT for i in range(shown.size)]
    marker = "o" if alphas.size == 1 else ""
    for line, colour in reversed(list(zip(lines.T, colours, strict=True))):
        width = 0.8 if colour == FAINT else 1.3
        ax.plot(alphas, line, color=colour, linewidth=width, marker=marker, markersize=4)
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    ax.margins(y=0.04)
    counts = _model_sizes(coefs) if nonzero is None else np.asarray(nonzero)
    alpha_axis(ax, alphas, counts, label=_strength_label(alphas, shown.size, n_entered))
    mark_strengths(ax, alphas, minimum, selected)
    ax.set_ylabel("size of the coefficients" if many else "coefficient")
    named = [names[index] for index in shown[:n_labels]]
    label_ends(ax, lines[-1, :n_labels], named, colours[:n_labels])
    return ax


def plot_cv(
    alphas: Array,
    mean: Array,
    se: Array | None = None,
    *,
    nonzero: Array | None = None,
    minimum: int | None = None,
    selected: int | None = None,
    score_name: str = "score",
    ax: Axes | None = None,
) -> Axes:
    """The criterion against strength, with one standard error each way where there is one.

    Parameters
    ----------
    alphas : (m,) array
        Positive, decreasing strengths; or numbers of features allowed, from zero up.
    mean, se : (m,) arrays
        Score of which less is better, and its standard error; `se` may be missing.
    nonzero : (m,) array, optional
        Model sizes for the upper axis.
    minimum, selected : int, optional
        Positions in `alphas` to mark. With `se`, a dotted line shows one standard error above the
        minimum: the largest strength below it is the choice of the one-standard-error rule.
    score_name : str
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    alphas, mean = _strengths(alphas), np.asarray(mean, dtype=float)
    ax = quiet(new_axes(3.1) if ax is None else ax)
    if not np.isfinite(mean).any():
        return say(ax, "The criterion is not finite at any strength.")
    errors = np.zeros_like(mean) if se is None else np.asarray(se, dtype=float)
    if se is not None:
        ax.fill_between(alphas, mean - errors, mean + errors, color=BLUE, alpha=0.16, linewidth=0)
        if minimum is not None:
            ax.axhline(mean[minimum] + errors[minimum], color=MUTED, linewidth=0.8, linestyle=":")
    ax.plot(alphas, mean, color=BLUE, linewidth=1.4, marker="o", markersize=2.2)
    ax.set_ylim(*_criterion_limits(mean, errors))
    alpha_axis(ax, alphas, nonzero, label=level_label(alphas))
    mark_strengths(ax, alphas, minimum, selected)
    ax.set_ylabel(score_name, parse_math=False)
    return ax


def _criterion_limits(mean: Array, errors: Array) -> tuple[float, float]:
    """Limits that keep the dip readable where the score explodes at weak strengths."""
    finite = np.isfinite(mean)
    mean, errors = mean[finite], np.nan_to_num(errors[finite])
    low, high = float((mean - errors).min()), float((mean + errors).max())
    depth = float(mean[0] + errors[0] - low)
    if depth > 0:
        high = min(high, low + 3 * depth)
    reach = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - reach, high + reach


def _strengths(alphas: Array) -> Array:
    alphas = np.asarray(alphas, dtype=float)
    if is_budget(alphas):
        return alphas
    if (
        alphas.ndim != 1
        or alphas.size == 0
        or not (alphas > 0).all()
        or (np.diff(alphas) > 0).any()
    ):
        raise ValueError(
            "alphas must be a non-empty, decreasing array of positive strengths: the axis is "
            "logarithmic. Drop a strength of zero and sort the others, largest first."
        )
    return alphas


def _largest(coefs: Any, at: int, top: int) -> tuple[Array, int]:
    """The `top` features by size at one strength, then by peak; and how many ever enter."""
    if issparse(coefs):
        coefs = coefs.tocsc()
        entered = np.flatnonzero(np.diff(coefs.indptr))
    else:
        entered = np.flatnonzero(np.any(coefs != 0, axis=0))
    sizes = np.abs(_dense(coefs[:, entered]))
    if not entered.size:
        return entered, 0
    order = np.lexsort((-sizes.max(axis=0), -sizes[at]))
    return entered[order][:top], entered.size


def _dense(block: Any) -> Array:
    return np.asarray(block.toarray() if issparse(block) else block)


def _model_sizes(coefs: Any) -> Array:
    return np.asarray((coefs != 0).sum(axis=1)).ravel()


def _strength_label(alphas: Array, n_shown: int, n_entered: int) -> str:
    label = level_label(alphas)
    if n_shown == n_entered:
        return label
    return f"{label}\nthe {n_shown} largest of {counted(n_entered, 'feature')} are drawn"
