"""The relaxed lasso: features selected by an L1, coefficients shrunk less than it asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from gossamer.core.penalty import Penalty
from gossamer.core.problem import Problem
from gossamer.core.result import Result
from gossamer.linear.base import SparseLinearModel
from gossamer.linear.cv import CrossValidated, Version
from gossamer.linear.docstrings import estimator
from gossamer.linear.families import AnyLossFamily
from gossamer.linear.fixed import FixedStrength
from gossamer.penalties import L1, AtMost
from gossamer.solvers.refit import refit


@dataclass(eq=False, repr=False)
class RelaxedFamily(AnyLossFamily):
    def _penalty(self, strength: float) -> Penalty:
        return L1(strength, weights=self.weights, nonnegative=self.nonnegative)

    def _needs_rows(self) -> bool:
        return not self._has_moments()

    def _refitted(self, problem: Problem, coef: np.ndarray, intercept: Any) -> Version:
        """The best coefficients without penalty on the support of ``coef``."""
        point = problem.point(coef, intercept)
        at = np.flatnonzero(point.w)
        budget = AtMost(len(at), nonnegative=self.nonnegative)
        free = refit(problem.with_penalty(budget), at, point)
        return problem.finish(free.w, free.b)


def blend(lasso: Version, free: Version, relaxation: float) -> Version:
    """Between the lasso's coefficients and the free ones."""
    coef, intercept = (
        (1 - relaxation) * np.asarray(a) + relaxation * np.asarray(b)
        for a, b in zip(lasso, free, strict=True)
    )
    return coef, intercept


def _share(value: Any, name: str) -> float:
    if not (isinstance(value, Real) and 0 <= float(value) <= 1):
        raise ValueError(f"{name} must be a number in [0, 1], got {value!r}.")
    return float(value)


@estimator
class RelaxedLasso(RelaxedFamily, FixedStrength):
    r"""Features selected by the lasso, their coefficients freed from its shrinkage.

    .. math:: (1 - \rho)\, \hat w_\alpha + \rho\, \tilde w, \qquad
        \tilde w = \arg\min_{w,\, \mathrm{supp}(w) \subseteq \mathrm{supp}(\hat w_\alpha)}
        \sum_i s_i \ell(x_i^\top w + b, y_i)

    with the lasso's :math:`\hat w_\alpha`, which alone ``certificate_`` speaks of.

    Parameters
    ----------
    alpha : float >= 0, default 0.1
    loss : Loss, default Quadratic()
    relaxation : float in [0, 1], default 1.0
        The share :math:`\rho` of the coefficients without penalty: 0 is the lasso, 1 a fit on its
        support. For two classes that the support separates the free coefficients are infinite:
        less than 1 does not help then.

    References
    ----------
    Meinshausen (2007), Relaxed lasso.
    Hastie, Tibshirani and Tibshirani (2020), Best subset, forward stepwise or lasso?, equation 5.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 200))
    >>> y = 3 * X[:, 4] - 2 * X[:, 9] + 0.5 * rng.standard_normal(100)
    >>> for model in (gs.Lasso(alpha=0.5), gs.RelaxedLasso(alpha=0.5)):
    ...     print(model.fit(X, y).coef_[[4, 9]].round(1))
    [ 2.5 -1.5]
    [ 3. -2.]
    """

    alpha: float = 0.1
    relaxation: float = field(default=1.0, kw_only=True)

    score = SparseLinearModel.score

    def _keep(self, problem: Problem, coef: np.ndarray, intercept: Any) -> None:
        relaxation = _share(self.relaxation, "relaxation")
        free = self._refitted(problem, coef, intercept)
        super()._keep(problem, *blend((coef, intercept), free, relaxation))


@estimator
class RelaxedLassoCV(RelaxedFamily, CrossValidated):
    """:class:`RelaxedLasso` with strength and relaxation chosen together by cross-validation.

    Parameters
    ----------
    loss : Loss, default Quadratic()
    relaxations : numbers in [0, 1], default (0, 0.25, 0.5, 0.75, 1)

    Attributes
    ----------
    relaxation_ : float
        The one chosen. ``cv_results_`` are the scores along its path, ``path_`` is the lasso's.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 200))
    >>> y = 3 * X[:, 4] - 2 * X[:, 9] + 0.5 * rng.standard_normal(100)
    >>> np.flatnonzero(gs.RelaxedLassoCV().fit(X, y).coef_)
    array([4, 9])
    """

    relaxations: Any = field(default=(0.0, 0.25, 0.5, 0.75, 1.0), kw_only=True)

    score = SparseLinearModel.score

    _selections: ClassVar[tuple[str, ...]] = ("min", "1se")

    def _check_selection(self) -> None:
        super()._check_selection()
        shares = [_share(value, "relaxations") for value in np.ravel(self.relaxations)]
        if not shares:
            raise ValueError("relaxations must not be empty.")
        self._shares = shares

    def _versions(self, problem: Problem, result: Result) -> list[Version]:
        lasso = (result.coef, result.intercept)
        free = self._refitted(problem, *lasso)
        return [blend(lasso, free, share) for share in self._shares]

    def _of_one_version(self, curves: np.ndarray) -> np.ndarray:
        best = int(np.argmin(curves.mean(axis=0).min(axis=0)))
        self.relaxation_ = self._shares[best]
        return curves[:, :, best]

    def _keep(self, problem: Problem, coef: np.ndarray, intercept: Any) -> None:
        free = self._refitted(problem, coef, intercept)
        super()._keep(problem, *blend((coef, intercept), free, self.relaxation_))
