"""The level of the noise: the standard deviation of y around its mean given X."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from gossamer.core.problem import Problem
from gossamer.linear.estimators import LassoCV
from gossamer.losses import Quadratic
from gossamer.penalties import L1

METHODS = ("auto", "cv", "scaled", "least_squares")
_MAX_ROUNDS = 100


def noise_level(
    X: np.ndarray, y: np.ndarray, method: Any = "auto", lasso: LassoCV | None = None
) -> float:
    r"""Standard deviation of the noise.

    Parameters
    ----------
    method : {"auto", "cv", "scaled", "least_squares"} or float, default "auto"
        "least_squares" divides the residuals' squares by n - p - 1; "cv" those of the lasso of the
        strength that predicts best by n - 1 - (number of features selected); "scaled" is the scaled
        lasso with :math:`\lambda_0 = \sqrt{2 \log(p) / n}`. "auto" takes least squares where there
        are twice as many samples as features, else "cv".
    lasso : fitted LassoCV, default None
        The lasso of "cv", where there is one already.

    References
    ----------
    Sun and Zhang (2012), Scaled sparse linear regression.
    Reid, Tibshirani and Friedman (2016), A study of error variance estimation in lasso regression.
    """
    n, p = X.shape
    if isinstance(method, Real) and not isinstance(method, bool):
        if not 0 < float(method) < np.inf:
            raise ValueError(f"noise must be a finite number > 0, got {method!r}.")
        return float(method)
    if method not in METHODS:
        raise ValueError(f"noise must be a number or one of {', '.join(METHODS)}, got {method!r}.")
    if method == "auto":
        method = "least_squares" if n > 2 * p + 2 else "cv"
    if method == "scaled":
        return _scaled(X, y)
    centred, target = X - X.mean(axis=0), y - y.mean()
    if method == "least_squares":
        if n <= p + 1:
            raise ValueError(
                f'noise="least_squares" needs more samples than features, got {n} of {p}: use "cv".'
            )
        residual = target - centred @ np.linalg.lstsq(centred, target)[0]
        return float(np.sqrt(residual @ residual / (n - 1 - p)))
    model = lasso_by_folds(n, p).fit(X, y) if lasso is None else lasso
    residual = y - model.predict(X)
    freedom = n - 1 - int((model.coef_ != 0).sum())
    return float(np.sqrt(residual @ residual / max(freedom, 1)))


def lasso_by_folds(n: int, p: int) -> LassoCV:
    """The lasso whose strength predicts best, on standardised columns, for n samples of p."""
    # far down, a path only says something where rows outnumber columns
    ratio = 1e-3 if n > p else 1e-2
    return LassoCV(standardise=True, cv=min(5, n), n_alphas=40, alpha_min_ratio=ratio, tol=1e-5)


def _scaled(X: np.ndarray, y: np.ndarray) -> float:
    """Alternate between the lasso at strength ``noise * lambda_0`` and the level it leaves."""
    n, p = X.shape
    unit = np.sqrt(2 * np.log(max(p, 2)) / n)
    problem = Problem(X, y, Quadratic(), L1(1.0), standardise=True)
    noise = float(y.std())
    coef, intercept = np.zeros(p), float(y.mean())
    for _ in range(_MAX_ROUNDS):
        step = problem.with_penalty(L1(unit * noise))
        result = step.solve(w0=coef, intercept0=intercept, tol=1e-8)
        coef, intercept = result.coef, float(result.intercept)
        before, noise = noise, float(np.std(y - X @ coef))
        if abs(noise - before) <= 1e-6 * before:
            break
    return noise
