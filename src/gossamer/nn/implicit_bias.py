"""Sparsity from training alone: small models whose descent prefers sparse or low-rank weights.

No penalty is used here. A product of factors (the smooth forms of L1 and of the nuclear norm)
changes what gradient descent finds among all weights that fit: large steps and a penalised
gradient favour sparse products, a small start makes the rank grow one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


class DiagonalLinear(nn.Module):
    """Linear regression with a product as its coefficients: ``x -> x @ (u * v)``.

    The simplest network with two layers and a sparse implicit bias. It starts at ``u = scale,
    v = 0``, so that all coefficients are zero: descent then ends near the interpolator of least
    L2 norm for a large scale (the kernel regime), of least L1 norm for a small one (the rich
    regime).

    Parameters
    ----------
    n_features : int > 0
    scale : float > 0, default 0.1

    References
    ----------
    Woodworth et al. (2020), Kernel and rich regimes in overparametrized models.

    Examples
    --------
    >>> model = DiagonalLinear(3)
    >>> model(torch.ones(2, 3)).tolist(), model.coef.tolist()
    ([0.0, 0.0], [0.0, 0.0, 0.0])
    """

    def __init__(self, n_features: int, scale: float = 0.1) -> None:
        super().__init__()
        if n_features < 1:
            raise ValueError(f"n_features must be >= 1, got {n_features}.")
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"scale must be > 0, got {scale}: at zero both factors stay zero.")
        self.u = nn.Parameter(torch.full((n_features,), float(scale)))
        self.v = nn.Parameter(torch.zeros(n_features))

    @property
    def coef(self) -> Tensor:
        """(n_features,) the coefficients ``u * v``."""
        return (self.u * self.v).detach()

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.u * self.v)


@dataclass(frozen=True, eq=False)
class DiagonalPath:
    """Where :func:`diagonal_sgd` went; one run for each step size.

    steps : (n_records,) number of steps made when each record was taken.
    coefs : (n_records, n_runs, p) coefficients; not finite from where a run diverged.
    losses : (n_records, n_runs) half the mean squared error on all samples.
    """

    steps: np.ndarray
    coefs: np.ndarray
    losses: np.ndarray

    @property
    def coef(self) -> np.ndarray:
        """(n_runs, p) the coefficients at the end."""
        return self.coefs[-1]


def diagonal_sgd(
    X: np.ndarray,
    y: np.ndarray,
    step_sizes: Sequence[float],
    *,
    scale: float = 0.5,
    n_steps: int = 100_000,
    warm_up: float = 0.4,
    large_until: float = 0.8,
    final_step: float = 2e-3,
    n_records: int = 100,
    seed: int = 0,
) -> DiagonalPath:
    """Single-sample gradient descent on ``(x @ (u * v) - y)^2 / 2`` with growing, then small steps.

    Where the loss is too curved for the step size, descent jumps from side to side and the loss
    goes up. This noise is multiplied by the factors and shrinks every coordinate that the fit
    does not need, until the curvature suits the step. The small steps at the end fit the data
    with what is left. The larger the steps were, the sparser the end.

    Parameters
    ----------
    X, y : (n, p) and (n,) arrays
    step_sizes : sequence of floats > 0
        One run for each, all with the same samples in the same order.
    scale : float > 0, default 0.5
        Start of ``u``; ``v`` starts at zero.
    n_steps : int, default 100,000
    warm_up : float in [0, 1], default 0.4
        Share of the steps in which the step sizes grow in proportion to time. It allows steps
        that would diverge at once: the curvature falls on the way.
    large_until : float in [0, 1], default 0.8
        Share of the steps before the step sizes fall to ``final_step`` (or stay, if smaller).
    final_step : float > 0, default 2e-3
    n_records : int, default 100
        How often the coefficients are recorded.
    seed : int, default 0
        Of the order of the samples.

    References
    ----------
    Andriushchenko, Varre, Pillaud-Vivien and Flammarion (2023), SGD with large step sizes learns
    sparse features.

    Examples
    --------
    >>> path = diagonal_sgd(np.eye(2), np.array([1.0, 0.0]), [0.1], n_steps=2000)
    >>> path.coef.round(3)
    array([[1., 0.]])
    """
    X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    large = np.asarray(step_sizes, dtype=float)[:, None]
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise ValueError(f"X must be (n, p) and y (n,), got shapes {X.shape} and {y.shape}.")
    if not (0 <= warm_up <= 1 and 0 <= large_until <= 1):
        raise ValueError(
            f"warm_up and large_until are shares in [0, 1], got {warm_up} and {large_until}."
        )
    if not (large > 0).all() or final_step <= 0:
        raise ValueError(f"step sizes must be > 0, got {list(step_sizes)} and {final_step}.")
    small = np.minimum(large, final_step)
    order = np.random.default_rng(seed).integers(len(y), size=n_steps)
    recorded = np.unique(np.linspace(0, n_steps, n_records).astype(int))
    u, v = np.full((len(large), X.shape[1]), float(scale)), np.zeros((len(large), X.shape[1]))
    coefs = []
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges ends as nan
        for first, last in zip([0, *recorded], recorded, strict=False):
            for t in range(first, last):
                x = X[order[t]]
                if t >= large_until * n_steps:
                    step = small
                else:
                    step = large * min(1.0, (t + 1) / (warm_up * n_steps + 1))
                pull = step * ((u * v) @ x - y[order[t]])[:, None] * x
                u, v = u - pull * v, v - pull * u
            coefs.append(u * v)
        path = np.stack(coefs)
        losses = ((path @ X.T - y) ** 2).mean(axis=-1) / 2
    return DiagonalPath(recorded, path, losses)


@dataclass(frozen=True, eq=False)
class SensingPath:
    """Where :func:`sensing_descent` went.

    steps : (n_records,) number of steps made when each record was taken.
    matrices : (n_records, d, d) the estimates ``U U'``.
    """

    steps: np.ndarray
    matrices: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """(d, d) the estimate at the end."""
        return self.matrices[-1]

    @property
    def singular_values(self) -> np.ndarray:
        """(n_records, d) of each estimate, largest first."""
        return np.linalg.eigvalsh(self.matrices)[:, ::-1]

    def distances(self, matrix: np.ndarray) -> np.ndarray:
        """(n_records,) Frobenius distance to ``matrix``, in units of its own norm."""
        gaps = np.linalg.norm(self.matrices - matrix, axis=(1, 2))
        return gaps / np.linalg.norm(matrix)


def sensing_descent(
    measurements: np.ndarray,
    y: np.ndarray,
    start: np.ndarray,
    *,
    step_size: float = 0.1,
    n_steps: int = 4000,
    n_records: int = 400,
) -> SensingPath:
    """Gradient descent on ``1/(4 m) sum_i (<A_i, U U'> - y_i)^2`` from ``start``.

    From a tiny start the rank of ``U U'`` grows one by one: near the end of stage s the estimate
    is close to the best fit of rank s, with the gap going to zero with the size of the start.

    Parameters
    ----------
    measurements : (m, d, d) array of symmetric matrices ``A_i``
    y : (m,) array
    start : (d, r) array
        The first ``U``; ``r`` bounds the rank, and ``r = d`` leaves it free.
    step_size : float > 0, default 0.1
        Fit for a target whose largest singular value is about one; in inverse proportion to it.
    n_steps : int, default 4000
    n_records : int, default 400

    References
    ----------
    Jin, Li, Lyu, Du and Lee (2023), Understanding incremental learning of gradient descent: a
    fine-grained analysis of matrix sensing.

    Examples
    --------
    >>> basis = np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    >>> path = sensing_descent(basis, np.array([1.0, 0.2]), np.full((2, 1), 0.1))
    >>> path.singular_values[-1].round(3)
    array([1.2, 0. ])
    """
    A = np.asarray(measurements, dtype=float)
    y, U = np.asarray(y, dtype=float), np.array(start, dtype=float)
    if A.ndim != 3 or A.shape[1] != A.shape[2] or y.shape != A.shape[:1]:
        raise ValueError(
            f"measurements must be (m, d, d) and y (m,), got shapes {A.shape} and {y.shape}."
        )
    if U.ndim != 2 or len(U) != A.shape[1]:
        raise ValueError(f"start must be ({A.shape[1]}, r), got shape {U.shape}.")
    flat, d = A.reshape(len(y), -1), A.shape[1]
    recorded = np.unique(np.linspace(0, n_steps, n_records).astype(int))
    matrices = []
    for first, last in zip([0, *recorded], recorded, strict=False):
        for _ in range(first, last):
            residual = flat @ (U @ U.T).ravel() - y
            U -= step_size * (residual @ flat / len(y)).reshape(d, d) @ U
        matrices.append(U @ U.T)
    return SensingPath(recorded, np.stack(matrices))
