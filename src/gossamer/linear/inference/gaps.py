"""How far knockoffs may be from their features: the gaps s of ``2 R - diag(s)``."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.lapack import dpotri

# a correlation matrix with a smaller eigenvalue leaves knockoffs no room
_SINGULAR = 1e-10
_NEWTON_STEPS, _SHRINK = 50, 0.2


def equicorrelated(correlation: np.ndarray) -> np.ndarray:
    """The largest gap that all features can have: ``min(1, 2 lambda_min)``.

    >>> equicorrelated(np.array([[1.0, 0.6], [0.6, 1.0]]))
    array([0.8, 0.8])
    """
    return np.full(len(correlation), min(1.0, 2 * _least_eigenvalue(correlation)))


def semidefinite(correlation: np.ndarray, tol: float = 1e-5) -> np.ndarray:
    r"""The gaps of the largest sum, by a barrier method with its own certificate.

    .. math:: \max_{0 \le s \le 1} \sum_j s_j \quad\text{such that}\quad
        2 R - \operatorname{diag}(s) \succeq 0

    Newton's method follows the maximisers of
    :math:`\sum_j s_j + \mu (\log\det(2R - \operatorname{diag} s) + \sum_j \log s_j (1 - s_j))`,
    where :math:`Z = \mu (2R - \operatorname{diag} s)^{-1}` gives the upper bound
    :math:`2 \langle R, Z \rangle + \sum_j (1 - Z_{jj})_+`; a step costs two Cholesky factors.

    Parameters
    ----------
    correlation : (p, p) correlation matrix R, positive definite
    tol : float, default 1e-5
        Gap to the upper bound, as a share of p.

    References
    ----------
    Barber and Candès (2015), Controlling the false discovery rate via knockoffs, section 2.1.1.
    Vandenberghe and Boyd (1996), Semidefinite programming.

    Examples
    --------
    >>> R = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> semidefinite(R).round(3)
    array([0.8, 0.8, 1. ])
    """
    p = len(correlation)
    s = np.full(p, min(0.5, _least_eigenvalue(correlation)))
    barrier = 1.0
    while True:
        s, inverse = _centre(correlation, s, barrier)
        bound = 2 * barrier * np.sum(correlation * inverse)
        bound += np.maximum(1 - barrier * np.diag(inverse), 0.0).sum()
        if bound - s.sum() <= tol * p or barrier < 1e-9:
            return s
        barrier *= _SHRINK


def _centre(
    correlation: np.ndarray, s: np.ndarray, barrier: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gaps on the central path, from feasible ones, and the inverse of ``2 R - diag(s)`` there."""
    inverse = _inverse(correlation, s)
    for _ in range(_NEWTON_STEPS):
        assert inverse is not None
        gradient = 1 / barrier - np.diag(inverse) + 1 / s - 1 / (1 - s)
        curvature = inverse * inverse
        curvature[np.diag_indices_from(curvature)] += 1 / s**2 + 1 / (1 - s) ** 2
        step = cho_solve(cho_factor(curvature, overwrite_a=True), gradient)
        decrement = float(gradient @ step)
        if decrement < 1e-14:
            break
        # the damped step of a self-concordant function stays inside; a full one ends the work
        length = 1.0 if decrement < 0.05 else 1 / (1 + np.sqrt(decrement))
        s = s + length * step
        inverse = _inverse(correlation, s)
    assert inverse is not None
    return s, inverse


def _inverse(correlation: np.ndarray, s: np.ndarray) -> np.ndarray:
    matrix = 2 * correlation - np.diag(s)
    factor, _ = cho_factor(matrix, lower=True, overwrite_a=True)
    inverse, _ = dpotri(factor, lower=1)
    lower = np.tril(inverse)
    return lower + np.tril(inverse, -1).T


def _least_eigenvalue(correlation: np.ndarray) -> float:
    try:
        least = float(np.linalg.eigvalsh(correlation)[0])
    except (np.linalg.LinAlgError, LinAlgError) as error:
        raise ValueError("the correlation of X has no eigenvalues: X has NaN or inf.") from error
    if least < _SINGULAR:
        raise ValueError(
            f"the correlation matrix of the features is singular (least eigenvalue {least:.1e}): "
            "knockoffs would equal their features. Remove duplicate and constant columns, or give "
            "a covariance that is positive definite."
        )
    return least
