"""Best-subset estimators: a number of features in place of a strength."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import ClassVar

from gossamer.core.problem import Problem
from gossamer.core.result import Result
from gossamer.linear.cv import Selecting
from gossamer.linear.docstrings import subset_estimator
from gossamer.linear.families import SubsetFamily
from gossamer.linear.fixed import FixedStrength
from gossamer.linear.path import Path, budget_grid, solve_path


@subset_estimator
class BestSubset(SubsetFamily, FixedStrength):
    r"""The best model with at most so many features.

    .. math:: \min_{w, b} \sum_i s_i \ell(x_i^\top w + b + o_i, y_i)
        + \tfrac12\, \text{ridge}\, \|w\|^2 \quad \text{with at most } k \text{ features in use}

    A regressor, or a classifier where the loss takes labels. A feature counts once for all targets
    or classes. What is selected is not shrunk, other than by ``ridge``.

    Parameters
    ----------
    n_nonzero : int >= 0, default 10
        The number of features, or of groups.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 200))
    >>> y = X[:, 3] - 2 * X[:, 7] + 0.5 * rng.standard_normal(100)
    >>> model = gs.BestSubset(n_nonzero=2).fit(X, y)
    >>> np.flatnonzero(model.coef_), model.certificate_.kind
    (array([3, 7]), 'coordinate-wise')
    """

    n_nonzero: int = 10

    _step_name: ClassVar[str] = "n_nonzero"

    def _strength(self) -> float:
        k = self.n_nonzero
        if not isinstance(k, Integral) or isinstance(k, bool) or k < 0:
            raise ValueError(f"n_nonzero must be a whole number >= 0, got {k!r}.")
        return float(k)


@subset_estimator
class BestSubsetCV(SubsetFamily, Selecting):
    """:class:`BestSubset` with the number of features chosen by cross-validation or a criterion.

    Parameters
    ----------
    max_nonzero : int >= 1, default None
        The path has all numbers of features, or groups, from none up to this one; by default
        ``n / (log(p) log(log(n)))``, beyond which subsets can hardly be told apart.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 200))
    >>> y = X[:, 3] - 2 * X[:, 7] + 0.5 * rng.standard_normal(100)
    >>> model = gs.BestSubsetCV(max_nonzero=5, selection="ebic").fit(X, y)
    >>> model.n_nonzero_, np.flatnonzero(model.coef_)
    (2, array([3, 7]))
    """

    max_nonzero: int | None = None

    _step_name: ClassVar[str] = "n_nonzero"

    def _n_steps(self) -> int:
        return 1 + (self.max_nonzero or 20)

    def _whole_path(
        self, problem: Problem, on_step: Callable[[int, float, Result], None] | None = None
    ) -> Path:
        return solve_path(
            problem, budget_grid(problem, self.max_nonzero), solver=self.solver, tol=self.tol,
            max_iter=self.max_iter, stop_saturated=True, on_step=on_step or self._report,
        )  # fmt: skip

    def _keep_step(self, path: Path, index: int) -> None:
        self.n_nonzero_ = int(path.alphas[index])
