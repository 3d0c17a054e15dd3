"""Sparse ratios by coordinate descent, each coefficient minimised over globally."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from gossamer.core.errors import ConvergenceWarning
from gossamer.core.validation import finite_number, float_array


@dataclass(frozen=True, eq=False)
class SparseRatio:
    """A direction and its ratio.

    Attributes
    ----------
    coef : (p,)
        Scaled to ``coef' A coef = 1``.
    ratio : float
        ``(|coef|_A + strength |coef|_1) / |G coef|_1``.
    gain : float
        The largest share by which any single coefficient, moved anywhere, lowers the ratio: at
        most ``tol`` where the search has converged to a coordinate-wise minimum.
    n_iter : int
        Cycles over all coefficients.
    """

    coef: np.ndarray
    ratio: float
    gain: float
    n_iter: int


def sparse_ratio(
    A: Any, G: Any, strength: float = 0.0, *, start: Any = None, tol: float = 1e-8,
    max_iter: int = 1000,
) -> SparseRatio:  # fmt: skip
    r"""Minimise a norm and an L1 over a sum of absolute values: sparse Fisher discriminants, sparse
    and robust generalised eigenvectors.

    .. math:: \min_w \frac{\sqrt{w^\top A w} + \text{strength} \lVert w \rVert_1}
              {\lVert G w \rVert_1}
              = \min_w \frac{\tfrac12 + \tfrac12 w^\top A w + \text{strength} \lVert w \rVert_1}
              {\lVert G w \rVert_1}

    The right side, equal at the best scale of ``w``, has a convex numerator, smooth but for the L1,
    and a convex denominator. Along one coefficient it is a quadratic over a line between any two
    kinks: the best point of all pieces is taken. Where no coefficient can improve, the point is
    stationary in a stronger sense than a critical point, at which methods that linearise the
    denominator end.

    Parameters
    ----------
    A : (p, p)
        Symmetric and positive definite: for a Fisher discriminant the covariance within classes,
        for principal components the identity.
    G : (m, p)
        For two classes one row, the difference of their means; for robust principal components the
        centred samples, whose projections are then as wide as possible in absolute mean.
    strength : float >= 0, default 0
    start : (p,), default None
        Else the best single coefficient.
    tol : float, default 1e-8
    max_iter : int, default 1000

    Returns
    -------
    SparseRatio

    Raises
    ------
    ValueError
        For matrices of other kinds, or a start where ``G start`` is zero.

    Warns
    -----
    ConvergenceWarning
        When ``max_iter`` cycles were not enough.

    References
    ----------
    Yuan (2023), Coordinate descent methods for fractional minimization.

    Examples
    --------
    Two of three measurements tell two classes apart:

    >>> import numpy as np, gossamer as gs
    >>> gs.solvers.sparse_ratio(np.eye(3), np.array([[3.0, 2.0, 0.1]]), 0.3).coef.round(2)
    array([0.88, 0.48, 0.  ])
    """
    A, G = float_array(A, "A"), float_array(G, "G")
    strength, tol = finite_number(strength, "strength", 0.0), finite_number(tol, "tol", 0.0)
    _check(A, G)
    if max_iter < 1:
        raise ValueError(f"max_iter must be >= 1, got {max_iter}.")
    w = _start(A, G, strength, start)
    gain, n_iter = np.inf, 0
    while gain > tol and n_iter < max_iter:
        gain, n_iter = _cycle(A, G, strength, w), n_iter + 1
    if gain > tol:
        warnings.warn(
            f"sparse_ratio: a coefficient still gained {gain:.1e} > tol {tol:.1e} after {max_iter} "
            "cycles. Raise max_iter, or tol if this is close enough.",
            ConvergenceWarning,
            stacklevel=2,
        )
    w = w / np.sqrt(w @ A @ w)
    return SparseRatio(w, ratio_at(A, G, strength, w), gain, n_iter)


def ratio_at(A: np.ndarray, G: np.ndarray, strength: float, w: np.ndarray) -> float:
    """The ratio of :func:`sparse_ratio` at ``w``, whatever its scale."""
    return float((np.sqrt(w @ A @ w) + strength * np.abs(w).sum()) / np.abs(G @ w).sum())


def _cycle(A: np.ndarray, G: np.ndarray, strength: float, w: np.ndarray) -> float:
    """Move every coefficient of ``w`` to its best place; the largest relative gain."""
    largest, Aw, Gw = 0.0, A @ w, G @ w
    for j in range(len(w)):
        before, after, move = _best_move(A, G, strength, w, Aw, Gw, j)
        if after < before:
            largest = max(largest, 1 - after / before)
            w[j] = 0.0 if move == -w[j] else w[j] + move
            Aw, Gw = Aw + move * A[j], Gw + move * G[:, j]
    return largest


def _best_move(
    A: np.ndarray, G: np.ndarray, strength: float, w: np.ndarray, Aw: np.ndarray, Gw: np.ndarray,
    j: int,
) -> tuple[float, float, float]:  # fmt: skip
    """The ratio now, the best along coefficient ``j``, and the move there.

    Between two points where an absolute value has its kink the ratio is a quadratic over a line,
    stationary at the roots of a quadratic.
    """
    g, size = G[:, j], strength * float(np.abs(w).sum())
    kinked = np.flatnonzero(g)
    kinks = np.append(-Gw[kinked] / g[kinked], -w[j])
    order = np.argsort(kinks)
    kinks = kinks[order]
    # slopes and heights of numerator and denominator, left of all kinks and after each
    none = np.zeros(len(kinked))
    flips = 2 * np.column_stack([
        np.append(none, strength), np.append(none, strength * w[j]),
        np.append(np.abs(g[kinked]), 0.0), np.append(np.sign(g[kinked]) * Gw[kinked], 0.0),
    ])[order]  # fmt: skip
    still = float(np.abs(Gw[g == 0]).sum())
    left = np.array([-strength, -strength * w[j], 0.0, still]) - np.array([
        0.0, 0.0, np.abs(g).sum(), (np.sign(g) * Gw).sum()
    ])  # fmt: skip
    n1, n0, d1, d0 = (left + np.vstack([np.zeros(4), np.cumsum(flips, axis=0)])).T
    n2, n1 = 0.5 * A[j, j], n1 + Aw[j]
    n0 = n0 + 0.5 + 0.5 * float(w @ Aw) + size - strength * abs(w[j])
    low, high = np.append(-np.inf, kinks), np.append(kinks, np.inf)
    # n2 d1 t^2 + 2 n2 d0 t + (n1 d0 - d1 n0) = 0; lines without a slope have one root
    root = np.sqrt(np.maximum((n2 * d0) ** 2 - n2 * d1 * (n1 * d0 - d1 * n0), 0.0))
    steep = np.abs(d1) > 1e-14 * np.abs(g).sum()
    slope = np.where(steep, n2 * d1, 1.0)
    either = [np.where(steep, (-n2 * d0 + sign * root) / slope, -n1 / (2 * n2)) for sign in (-1, 1)]
    pieces = np.arange(len(n1))
    t = np.concatenate([*either, kinks, [0.0]])
    at = np.concatenate([pieces, pieces, pieces[:-1], [np.searchsorted(kinks, 0.0)]])
    t = np.where((t >= low[at]) & (t <= high[at]), t, 0.0)
    at = np.searchsorted(kinks, t)
    below = d1[at] * t + d0[at]
    above = (n2 * t + n1[at]) * t + n0[at]
    ratios = np.where(below > 1e-12 * still + 1e-300, above / np.maximum(below, 1e-300), np.inf)
    best = int(ratios.argmin())
    return float(ratios[-1]), float(ratios[best]), float(t[best])


def _start(A: np.ndarray, G: np.ndarray, strength: float, start: Any) -> np.ndarray:
    """The start at scale one, or the best single coefficient."""
    if start is None:
        rates, own = np.sqrt(np.diag(A)) + strength, np.abs(G).sum(axis=0)
        if not own.any():
            raise ValueError("G must not be zero: the ratio would be infinite everywhere.")
        w = np.zeros(len(A))
        w[(own / rates).argmax()] = 1.0
    else:
        w = float_array(start, "start").copy()
        if w.shape != (len(A),) or not np.isfinite(w).all():
            raise ValueError(f"start must be {len(A)} finite numbers, got shape {w.shape}.")
        if not (G @ w).any():
            raise ValueError("start must not have G start = 0: the ratio is infinite there.")
    return np.asarray(w / np.sqrt(w @ A @ w))


def _check(A: np.ndarray, G: np.ndarray) -> None:
    if A.ndim != 2 or A.shape[0] != A.shape[1] or not len(A):
        raise ValueError(f"A must be a square matrix, got shape {A.shape}.")
    if G.ndim != 2 or not len(G) or G.shape[1] != len(A):
        raise ValueError(f"G must have shape (m, {len(A)}), got {G.shape}.")
    if not (np.isfinite(A).all() and np.isfinite(G).all()):
        raise ValueError("A and G must not contain NaN or inf.")
    if not np.allclose(A, A.T, atol=1e-10 * np.abs(A).max()):
        raise ValueError("A must be symmetric: take (A + A.T) / 2.")
    if np.linalg.eigvalsh(A)[0] <= 0:
        raise ValueError("A must be positive definite: add a ridge, such as 1e-3 of its diagonal.")
