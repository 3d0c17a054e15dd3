"""Criteria that judge a fit by its own samples: what it explains, against what it is free to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.unit_form import smooth_part
from gossamer.linear.path import Path


@dataclass(frozen=True)
class Judged:
    """What a criterion looks at.

    loss : mean loss of a sample.
    fit : minus twice the log-likelihood, but for a constant; the variance of the quadratic loss is
        profiled out.
    freedom : degrees of freedom, without those of intercepts.
    n : numbers explained, samples times outputs.
    p : coefficients to choose from.
    """

    loss: float
    fit: float
    freedom: float
    n: int
    p: int
    n_intercepts: int


def aic(fit: Judged) -> float:
    """Akaike (1973)."""
    return fit.fit + 2 * fit.freedom


def bic(fit: Judged) -> float:
    """Schwarz (1978)."""
    return fit.fit + np.log(fit.n) * fit.freedom


def ebic(fit: Judged) -> float:
    """The extended one of Chen and Chen (2008): also the number of models of this size counts."""
    p, k = fit.p, min(fit.freedom, fit.p)
    return bic(fit) + 2 * float(gammaln(p + 1) - gammaln(k + 1) - gammaln(p - k + 1))


def gic(fit: Judged) -> float:
    """Charges ``log(p) log(log(n))``, as abess does, for p much larger than n (Zhu et al. 2020)."""
    return fit.fit + np.log(fit.p) * np.log(max(np.log(fit.n), 1.0)) * fit.freedom


def gcv(fit: Judged) -> float:
    """Generalised cross-validation (Golub, Heath and Wahba 1979): leaving one sample out, were all
    samples of the same influence."""
    return fit.loss / (1 - (fit.freedom + fit.n_intercepts) / fit.n) ** 2


#: what ``selection=`` takes beside cross-validation; lower is better
CRITERIA: dict[str, Callable[[Judged], float]] = {f.__name__: f for f in (aic, bic, ebic, gic, gcv)}


def criterion_scores(criterion: str, problem: Problem, n: int, path: Path) -> np.ndarray:
    """(m,) scores along a path of ``n`` samples; infinite where a model leaves no freedom: it
    interpolates, and an unbounded likelihood says nothing good of it."""
    K = problem.shape[1]
    scores = np.full(len(path.alphas), np.inf)
    steps = zip(path.alphas, path.coefs, path.intercepts, strict=True)
    for i, (level, coef, intercept) in enumerate(steps):
        step = problem.with_penalty(problem.penalty.at_level(level))
        point = step.point(coef, intercept)
        freedom, loss = freedom_at(step, point), point.loss
        if freedom >= n * K - 1:
            continue
        quadratic = problem.loss.is_quadratic
        fit = n * K * np.log(max(2 * loss / K, 1e-300)) if quadratic else 2 * n * loss
        intercepts = K * int(problem.fit_intercept)
        judged = Judged(loss, fit, freedom, n * K, problem.shape[0] * K, intercepts)
        scores[i] = CRITERIA[criterion](judged)
    return scores


def degrees_of_freedom(problem: Problem, coef: np.ndarray, intercept: object = 0.0) -> float:
    r"""Effective number of free coefficients of a fit, for X as given.

    .. math:: \mathrm{df} = \mathrm{tr}\left( H_{AA} (H_{AA} + \nabla^2 \Omega_{AA})^+ \right)

    on the support A, with the Hessian H of the loss: how predictions move with the target.
    For the lasso this is the number of non-zero coefficients, for ridge the trace of the smoother,
    for the group lasso less than the number of coefficients in the groups selected. Intercepts do
    not count. Penalties that do not split by units count the dimension of what they leave free
    (clusters of SLOPE, pieces of the fused lasso).

    References
    ----------
    Zou, Hastie and Tibshirani (2007), On the degrees of freedom of the lasso.
    Vaiter, Deledalle, Fadili, Peyre and Dossal (2017), The degrees of freedom of partly smooth
    regularizers.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> from gossamer.linear import degrees_of_freedom
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((50, 8)), rng.standard_normal(50)
    >>> for penalty in (gs.L1(0.05), gs.ElasticNet(0.5, l1_ratio=0.0)):
    ...     problem = gs.Problem(X, y, gs.losses.Quadratic(), penalty)
    ...     result = problem.solve()
    ...     print((result.coef != 0).sum(), round(degrees_of_freedom(problem, result.coef), 2))
    3 3.0
    8 5.07
    """
    return freedom_at(problem, problem.point(coef, intercept))


def freedom_at(problem: Problem, point: Point) -> float:
    """The degrees of freedom at a point, in working coordinates."""
    form, w = problem.penalty.unit_form(problem.shape), point.w.ravel()
    if form is None:
        return float(problem.penalty.dimension(point.w))
    at = np.flatnonzero(w)
    inner = np.zeros(len(w)) if form.inner is None else form.inner
    bend = smooth_part(form, form.units, form.weights, inner, w, at)[1]
    if not bend.any():
        # without curvature every coefficient of columns in general position is free
        return float(len(at))
    hessian = point.curvature_among(at)
    total = hessian + (np.diag(bend) if bend.ndim == 1 else bend)
    return float(np.trace(np.linalg.lstsq(total, hessian, rcond=None)[0]))
