"""Fitting at a given strength."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Self

import numpy as np

from gossamer.core.result import Result
from gossamer.linear.base import SparseLinearModel
from gossamer.linear.path import continuation


@dataclass(eq=False, repr=False)
class FixedStrength(SparseLinearModel):
    """Fits one model; ``warm_start`` begins where the last fit ended."""

    warm_start: bool = field(default=False, kw_only=True)

    def _strength(self) -> float:
        """The strength asked for."""
        alpha: Any = self.alpha
        if not (isinstance(alpha, Real) and 0 <= float(alpha) < np.inf):
            raise ValueError(f"alpha must be a finite number >= 0, got {alpha!r}.")
        return float(alpha)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, offset: Any = None) -> Self:
        """Find the optimum.

        Parameters
        ----------
        X : (n, p) array, sparse matrix or DataFrame
        y : (n,) or (n, K)
        sample_weight : (n,), default None
        offset : (n,), default None
            Added to the linear prediction, for example log-exposure.

        Returns
        -------
        self
            With ``coef_``, ``intercept_``, ``certificate_``, ``n_iter_`` and ``result_``.
        """
        problem = self._problem(X, y, sample_weight, offset, self._strength())
        previous: Result | None = getattr(self, "result_", None) if self.warm_start else None
        if previous is not None and np.atleast_2d(previous.coef.T).T.shape == problem.shape:
            result = problem.solve(
                self.solver, w0=previous.coef, intercept0=previous.intercept, tol=self.tol,
                max_iter=self.max_iter,
            )  # fmt: skip
        else:
            result = continuation(problem, solver=self.solver, tol=self.tol, max_iter=self.max_iter)
        self._report(0, self._strength(), result)
        self.result_, self.certificate_ = result, result.certificate
        self.n_iter_ = max(1, result.n_iter)
        self._take(result.coef, result.intercept)
        return self
