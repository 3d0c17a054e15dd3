"""A point of a problem and what the loss says of it, computed once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gossamer.core.dual import Dual, conjugate_sum, feasible_for_free
from gossamer.core.kinks import feasible_on_kinks, nearest_subgradient

if TYPE_CHECKING:
    from gossamer.core.problem import Problem


class Point:
    """Working coefficients ``w`` (p, K) and intercepts ``b`` (K,) of a problem.

    Everything here follows from the data and the loss alone: a path hands its last point on to
    the next strength, which then needs no pass over X to see where it stands.

    subgradient : (n, K) the one of each sample's loss to be judged by, where the loss has kinks.
    workspace : what the solver that ended here can use again when it goes on from here.
    """

    def __init__(
        self, problem: Problem, w: np.ndarray, b: np.ndarray, gradient: np.ndarray | None = None,
        subgradient: np.ndarray | None = None, z: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.problem, self.w, self.b = problem, w, b
        self.subgradient = subgradient
        self.workspace: object = None
        if gradient is not None:
            self.__dict__["gradient"] = gradient
        if z is not None:
            self.__dict__["z"] = z

    @cached_property
    def z(self) -> np.ndarray:
        """(n, K) prediction, offset included."""
        return self.problem.linear(self.w, self.b)

    @cached_property
    def loss(self) -> float:
        """Weighted mean loss."""
        return self.problem.mean_loss(self.z)

    @cached_property
    def residual(self) -> np.ndarray:
        """(n, K) gradient of each sample's loss in its prediction, zero without a weight."""
        if self.subgradient is not None:
            gradient = self.subgradient
        elif self.problem.loss.is_smooth:
            gradient = self.problem.loss.gradient(self.z, self.problem.y)
        else:
            gradient = nearest_subgradient(self.problem, self.w, self.z)
        # the prediction of a sample that is not there may overflow
        return np.where(self.problem.sample_weight[:, None] > 0, gradient, 0.0)

    @cached_property
    def pull(self) -> np.ndarray:
        """(K,) gradient of the mean loss in the intercepts, zero where none are fitted."""
        if not self.problem.fit_intercept:
            return np.zeros(self.w.shape[1])
        return np.asarray(self.problem.sample_weight @ self.residual)

    @cached_property
    def peak(self) -> float:
        """The largest gradient of a sample's loss."""
        return float(np.abs(self.residual).max(initial=0.0))

    @cached_property
    def is_centred(self) -> bool:
        """Whether the intercept is optimal but for rounding."""
        return bool(np.abs(self.pull).max() <= 1e-10 * self.peak)

    @cached_property
    def gradient(self) -> np.ndarray:
        """(p, K) gradient of the mean loss in the coefficients: one pass over X."""
        return self.dual_gradient if self.is_centred else self._pass(self.residual)

    @cached_property
    def dual_gradient(self) -> np.ndarray:
        """(p, K) the same for residuals made to sum to zero, as the dual of an intercept asks."""
        if self.is_centred and "gradient" in self.__dict__:
            return self.gradient
        return self._pass(self.residual - self.pull)

    @cached_property
    def curvatures(self) -> np.ndarray:
        """(p, K) second derivative of the mean loss along each coefficient, or a bound of it."""
        problem = self.problem
        if problem.loss.is_quadratic:
            return np.broadcast_to(problem.design.squares, self.w.shape)
        h = problem.loss.curvature(self.z, problem.y) * problem.sample_weight[:, None]
        return problem.design.weighted_squares(h)

    def dual(self, free: np.ndarray) -> Dual:
        """The dual point that the residuals give; ``free`` (p, K) are unpenalised coefficients."""
        problem, u, gradient = self.problem, self.residual - self.pull, self.dual_gradient
        if not problem.loss.is_smooth:
            u = feasible_on_kinks(problem, self.residual, free)
        elif free.any():
            u = feasible_for_free(problem, u, free)
        if free.any() or not problem.loss.is_smooth:
            gradient = np.where(free, 0.0, self._pass(u))
        return Dual(gradient, lambda scale: conjugate_sum(problem, u, scale))

    def flat_dual(self, flat: np.ndarray) -> Dual:
        """The same where no coefficient is free, but the directions ``flat`` (p, r) are."""
        problem, root = self.problem, np.sqrt(self.problem.sample_weight)[:, None]
        block = problem.design.matvec(flat)
        if problem.fit_intercept:
            block = np.column_stack([block, np.ones(len(block))])
        u = self.residual - self.pull
        u = u - block @ np.linalg.lstsq(root * block, root * u, rcond=None)[0]
        gradient = self._pass(u)
        gradient -= flat @ (flat.T @ gradient)
        return Dual(gradient, lambda scale: conjugate_sum(problem, u, scale))

    @cached_property
    def slack(self) -> float:
        """What the residual lacks of a subgradient in the mean loss (Fenchel and Young): zero if
        it is one."""
        if self.problem.loss.is_smooth:
            return 0.0
        conjugate = self.problem.loss.conjugate(self.residual, self.problem.y)
        product = (self.residual * self.z).sum(axis=1)
        s = self.problem.sample_weight
        return max(self.loss + float(s @ np.where(s > 0, conjugate - product, 0.0)), 0.0)

    def curvature_among(self, at: np.ndarray) -> np.ndarray:
        """(a, a) second derivatives of the mean loss in the coefficients of the flat positions
        ``at``, the intercept fitted along; outputs are taken not to interact."""
        from gossamer.core.hessian import Hessian

        return Hessian.at(self.problem, self, 0.0).among(at)

    def _pass(self, residual: np.ndarray) -> np.ndarray:
        return self.problem.design.rmatvec(residual * self.problem.sample_weight[:, None])
