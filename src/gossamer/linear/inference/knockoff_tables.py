"""Knockoffs: a second table that looks like X and knows nothing of y."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.covariance import ledoit_wolf

from gossamer.core.validation import float_array
from gossamer.linear.inference.gaps import equicorrelated, semidefinite

CONSTRUCTIONS = {"sdp": semidefinite, "equi": equicorrelated}


@dataclass(frozen=True, eq=False)
class GaussianKnockoffs:
    r"""Model-X knockoffs of rows that are Gaussian, or matched in mean and covariance.

    .. math:: \tilde x \mid x \sim N\bigl(x - D \Sigma^{-1} (x - \mu),\; 2D - D \Sigma^{-1} D\bigr)

    so that the covariance of :math:`(x, \tilde x)` does not change when a feature and its knockoff
    change places.

    mean : (p,).   gaps : (p,) diagonal of D.
    pull : (p, p) :math:`\Sigma^{-1} D`.   root : (p, p) root of the conditional covariance.

    Reference: Candès, Fan, Janson and Lv (2018), Panning for gold, section 3.1.1.
    """

    mean: np.ndarray
    gaps: np.ndarray
    pull: np.ndarray
    root: np.ndarray

    @classmethod
    def of(
        cls, X: np.ndarray, mean: Any = None, covariance: Any = None, construction: str = "sdp"
    ) -> Self:
        """With the rows' mean and Ledoit-Wolf covariance where none are given."""
        p = X.shape[1]
        mean = X.mean(axis=0) if mean is None else float_array(mean, "mean")
        if covariance is None:
            scale = X.std(axis=0)
            shrunk = ledoit_wolf((X - X.mean(axis=0)) / scale, assume_centered=True)[0]
            covariance = shrunk * scale * scale[:, None]
        covariance = float_array(covariance, "covariance")
        if mean.shape != (p,) or covariance.shape != (p, p):
            raise ValueError(
                f"mean and covariance must have shapes ({p},) and ({p}, {p}), got {mean.shape} and "
                f"{covariance.shape}."
            )
        deviation = np.sqrt(np.diag(covariance))
        correlation = covariance / deviation / deviation[:, None]
        gaps = CONSTRUCTIONS[construction](correlation)
        pull = np.linalg.solve(correlation, np.diag(gaps))
        left = 2 * np.diag(gaps) - gaps[:, None] * pull
        pull = pull / deviation[:, None] * deviation
        return cls(mean, gaps * deviation**2, pull, _root(left) * deviation)

    def draw(self, X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n, p) one knockoff of every row."""
        noise = rng.standard_normal(X.shape)
        drawn: np.ndarray = X - (X - self.mean) @ self.pull + noise @ self.root
        return drawn


@dataclass(frozen=True, eq=False)
class FixedKnockoffs:
    r"""Knockoffs of the columns themselves, for the linear model with Gaussian noise.

    Without the mean and with columns of length :math:`\sqrt m`, in m rows,

    .. math:: \tilde X = X (I - R^{-1} D) + U C, \quad C^\top C = 2D - D R^{-1} D,
        \quad U^\top X = 0

    so that :math:`\tilde X^\top \tilde X = X^\top X` and :math:`X^\top \tilde X = X^\top X - m D`.
    With fewer than 2 p rows, rows of zeros are added, and y there is noise of the level that least
    squares estimates.

    X, knockoff : (m, p).   y : (m,).   gaps : (p,).

    Reference: Barber and Candès (2015), sections 2.1.1 and 2.1.2.
    """

    X: np.ndarray
    knockoff: np.ndarray
    y: np.ndarray
    gaps: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, y: np.ndarray, construction: str, rng: np.random.Generator) -> Self:
        """Of a table with an intercept."""
        n, p = X.shape
        if n - 1 <= p:
            raise ValueError(
                f'design="fixed" needs more samples than features, got {n} samples of {p}: use '
                'design="model".'
            )
        X, y = without_mean(X), without_mean(y)
        missing = 2 * p - len(y)
        if missing > 0:
            residual = y - X @ np.linalg.lstsq(X, y)[0]
            noise = np.sqrt(residual @ residual / (len(y) - p))
            X = np.vstack([X, np.zeros((missing, p))])
            y = np.concatenate([y, noise * rng.standard_normal(missing)])
        m = len(y)
        X = X / np.sqrt((X * X).mean(axis=0))
        correlation = X.T @ X / m
        gaps = CONSTRUCTIONS[construction](correlation)
        pull = np.linalg.solve(correlation, np.diag(gaps))
        # orthonormal columns beside those of X, in a direction that y has no part in
        basis = np.linalg.qr(np.hstack([X, rng.standard_normal((m, p))]))[0][:, p:]
        left = 2 * np.diag(gaps) - gaps[:, None] * pull
        knockoff = X - X @ pull + np.sqrt(m) * basis @ _root(left)
        return cls(X, knockoff, y, gaps)


def without_mean(rows: np.ndarray) -> np.ndarray:
    """The rows turned so that the first takes the mean, and without it: one row less.

    Scalar products of the result are those of the centred columns.
    """
    n = len(rows)
    turn = np.full(n, 1 / np.sqrt(n))
    turn[0] -= 1.0
    # the reflection that maps the constant to the first axis
    along = turn @ rows * (2 / (turn @ turn))
    turned: np.ndarray = rows - (np.multiply.outer(turn, along))
    return turned[1:]


def _root(covariance: np.ndarray) -> np.ndarray:
    """C with C' C = covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    return root
