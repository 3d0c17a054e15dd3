"""Overlapping groups as disjoint ones, of columns that stand in the design once for each."""

from __future__ import annotations

import numpy as np

from gossamer.core.certificate import certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.solver import Outcome, Solver
from gossamer.penalties import L1, Overlaps
from gossamer.solvers.working_set import ActiveSetNewton
from gossamer.structures import Groups


@SOLVERS.register
class Duplicated(Solver):
    """The latent group lasso as a group lasso on duplicated columns, by :class:`ActiveSetNewton`.

    Coefficients of one column in several groups add up; the minimum over how they share is the
    latent norm. A dual point of one problem is one of the other, so that the gap of the sum is at
    most that of the parts.

    References
    ----------
    Jacob, Obozinski and Vert (2009), Group lasso with overlap and graph lasso.
    """

    preference = 3

    def refuses(self, problem: Problem) -> str | None:
        if not (isinstance(problem.penalty, Overlaps) and problem.penalty.latent):
            return "the penalty is not the latent norm of overlapping groups"
        if problem.shape[1] > 1:
            return "groups of entries of several outputs are not columns"
        if problem.penalty.strength == 0:
            return "without a penalty nothing says how columns share their coefficient"
        return ActiveSetNewton().refuses(problem.with_penalty(L1(problem.penalty.strength)))

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        penalty = problem.penalty
        assert isinstance(penalty, Overlaps)
        columns = np.concatenate([np.array(group) for group in penalty.groups])
        owners = np.repeat(np.arange(len(penalty.groups)), [len(g) for g in penalty.groups])
        apart = L1(penalty.strength, on=Groups(owners), weights=penalty.weights)
        wide = Problem(
            problem.X[:, columns], problem.y, problem.loss, apart, problem.fit_intercept,
            problem.sample_weight, problem.offset, problem.standardise,
        )  # fmt: skip
        parts = penalty.parts(start.w) if start.w.any() else np.zeros(len(columns))
        found = ActiveSetNewton().run(wide, Point(wide, parts[:, None], start.b), tol, max_iter)
        w = np.bincount(columns, found.point.w[:, 0], problem.shape[0])[:, None]
        point = Point(problem, w, found.point.b)
        certificate = certify(problem, point, tol).certificate
        return Outcome(point, certificate, found.status, found.n_iter, found.history)
