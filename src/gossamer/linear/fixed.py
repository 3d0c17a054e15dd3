"""Fitting at a given strength."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.utils.metaestimators import available_if

from gossamer.core.problem import Problem
from gossamer.core.result import Result
from gossamer.linear.base import SparseLinearModel
from gossamer.linear.batches import gather
from gossamer.linear.moments import Moments


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
        self.__dict__.pop("moments_", None)  # of rows that this fit does not see
        return self._solve(problem, self.warm_start)

    @available_if(lambda model: model._has_moments())
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, *, offset: Any = None) -> Self:
        """Add rows to those of earlier calls and find the optimum for all of them.

        For the quadratic loss. What is kept of the rows is ``moments_``; the result does not depend
        on how they were cut. ``fit`` forgets them, and the first call begins anew.

        Parameters
        ----------
        X : (n, p) array, sparse matrix or DataFrame
        y : (n,) or (n, K)
        sample_weight : (n,), default None
            On one scale in all calls.
        offset : (n,), default None
            Added to the linear prediction.
        """
        moments: Moments | None = getattr(self, "moments_", None)
        strength = self._strength()
        rows = self._rows(X, y, sample_weight, offset, reset=moments is None)
        self.moments_ = rows.moments() if moments is None else moments.merge(rows.moments())
        problem = self._problem_of_moments(self.moments_, strength)
        # the optimum of a non-convex penalty would depend on where it starts
        return self._solve(problem, warm=problem.penalty.convex)

    def fit_batches(self, batches: Iterable[Any]) -> Self:
        """Find the optimum for the rows of all batches, one of which is in memory at a time.

        Equal to ``fit`` on all rows. For the quadratic loss they are read once, and
        ``partial_fit`` may add more; other losses read them some dozens of times.

        Parameters
        ----------
        batches : iterable of (X, y) or (X, y, sample_weight)
            For example :func:`~gossamer.linear.parquet_batches`. With ``verbose``, a line is
            printed about each.
        """
        strength = self._strength()
        self._refuse_parts("batches")
        if not self._has_moments():
            from gossamer.linear.distributed.estimating import parts_of_batches, problem_of_parts

            parts = parts_of_batches(self, batches)
            return self._solve(problem_of_parts(self, parts, strength), self.warm_start)
        (moments,) = gather(self, batches)
        self._solve(self._problem_of_moments(moments, strength), self.warm_start)
        self.moments_ = moments
        return self

    def _solve(self, problem: Problem, warm: bool) -> Self:
        previous: Result | None = getattr(self, "result_", None) if warm else None
        if previous is not None and np.atleast_2d(previous.coef.T).T.shape == problem.shape:
            result = problem.solve(
                self.solver, w0=previous.coef, intercept0=previous.intercept, tol=self.tol,
                max_iter=self.max_iter,
            )  # fmt: skip
        else:
            result = problem.solve(self.solver, tol=self.tol, max_iter=self.max_iter)
        self._report(0, problem.penalty.level, result)
        self.result_, self.certificate_ = result, result.certificate
        self.n_iter_ = max(1, result.n_iter)
        self._keep(problem, result.coef, result.intercept)
        return self
