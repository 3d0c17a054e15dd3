"""The square-root lasso: a lasso whose strength does not wait for the noise to be known."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from scipy.stats import norm
from sklearn.base import RegressorMixin

from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty
from gossamer.core.problem import Problem
from gossamer.linear.base import Rows, SparseLinearModel
from gossamer.linear.docstrings import estimator
from gossamer.linear.fixed import FixedStrength
from gossamer.losses import SquareRoot
from gossamer.penalties import L1

_SLACK, _RISK = 1.1, 0.05


@dataclass(eq=False, repr=False)
class SquareRootFamily(SparseLinearModel):
    def _loss(self, n_classes: int) -> Loss:
        return SquareRoot()

    def _penalty(self, strength: float) -> Penalty:
        return L1(strength, weights=self.weights, nonnegative=self.nonnegative)


@estimator
class SquareRootLasso(RegressorMixin, SquareRootFamily, FixedStrength):
    r"""Least squares with an L1 penalty whose right strength is the same for all noise levels.

    .. math:: \min_{w, b} \sqrt{\frac{1}{n} \|y - Xw - b\|^2} + \alpha \|w\|_1

    Parameters
    ----------
    alpha : float >= 0, default None
        By default :math:`1.1\, \Phi^{-1}(1 - 0.05 / 2p) / \sqrt n` times the largest standard
        deviation of a column: with pure Gaussian noise of any size, nothing is selected with
        a probability of about 0.95. Multiplied by the residual's deviation it is the strength
        of the :class:`Lasso` with the same solution.

    References
    ----------
    Belloni, Chernozhukov and Wang (2011), Square-root lasso: pivotal recovery of sparse signals
    via conic programming, equation 10.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X, noise = rng.standard_normal((100, 300)), rng.standard_normal(100)
    >>> for size in (0.01, 1.0):
    ...     y = size * (3 * X[:, 7] + noise)
    ...     print(np.flatnonzero(gs.SquareRootLasso().fit(X, y).coef_))
    [7]
    [7]
    """

    alpha: float | None = None

    def _strength(self) -> float:
        if self.alpha is None:
            return 1.0  # until the data are known
        if not isinstance(self.alpha, Real):
            raise ValueError(f"alpha must be a finite number >= 0 or None, got {self.alpha!r}.")
        return super()._strength()

    def _problem_of_rows(self, rows: Rows, strength: float) -> Problem:
        problem = super()._problem_of_rows(rows, strength)
        if self.alpha is None:
            problem = problem.with_penalty(problem.penalty.with_strength(_theory(problem)))
        return problem

    def _keep(self, problem: Problem, coef: np.ndarray, intercept: Any) -> None:
        super()._keep(problem, coef, intercept)
        self.alpha_ = problem.penalty.strength


def _theory(problem: Problem) -> float:
    """The strength that pure noise rarely exceeds."""
    s, p = problem.sample_weight, problem.shape[0]
    # of weights, as many equal ones as carry the same information
    n = 1 / float(s @ s)
    design = problem.design
    squares = design.squares[:, 0]
    if problem.fit_intercept and design.center is None:
        squares = squares - (design.means / (1.0 if design.scale is None else design.scale)) ** 2
    deviation = np.sqrt(squares.max(initial=0.0))
    return float(_SLACK * norm.ppf(1 - _RISK / (2 * p)) * deviation / np.sqrt(n))
