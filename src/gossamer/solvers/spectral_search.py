"""The nuclear norm by its smooth form: W = U V' with ridge on both factors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, minres

from gossamer.core.certificate import Evaluation
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.spectral import decompose

# steps that L-BFGS remembers, and takes at most: first, and where no direction is new
_MEMORY, _FIRST_STEPS, _STEPS = 20, 60, 500
_NEWTON_STEPS = 6
# directions that come in at a time, at least
_FEW = 8
# of singular values beside the largest: below, a direction is closed
_CLOSED = 1e-7
# rounding of a pull beyond the strength
_SLACK = 1e-6

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(eq=False)
class SpectralSearch(ABC):
    """``min loss(X W + b) + strength |W|_* + ridge / 2 |W|^2`` on few directions at a time.

    The directions in use, and those along which the gradient pulls harder than the strength, span
    the factors; the certificate says whether others are missing (Haeffele, Young and Vidal 2014).
    """

    problem: Problem
    strength: float
    ridge: float

    def improve(self, evaluation: Evaluation) -> Point:
        """The optimum on the directions that the evaluation suggests."""
        W, pulls = evaluation.point.w, -evaluation.point.gradient
        left, sizes, right = decompose(W)
        alive = sizes > 0
        left, sizes, right = left[:, alive], sizes[alive], right[alive]
        rest = pulls - left @ (left.T @ pulls)
        new_left, beyond, new_right = np.linalg.svd(rest - (rest @ right.T) @ right, False)
        count = int((beyond > self.strength * (1 + _SLACK)).sum())
        count = min(count, max(_FEW, 2 * len(sizes)))
        share = self.problem.null_objective / (self.strength * min(W.shape)) if count else 0.0
        seeds = np.full(count, 0.01 * (sizes.mean() if sizes.size else share))
        return self.optimal(
            np.hstack([left, new_left[:, :count]]),
            np.concatenate([sizes, seeds]),
            np.vstack([right, new_right[:count]]).T,
            is_new=count > 0,
            b=evaluation.point.b,
        )

    @abstractmethod
    def optimal(
        self, left: np.ndarray, sizes: np.ndarray, right: np.ndarray, is_new: bool, b: np.ndarray
    ) -> Point:
        """The optimum near the directions of singular vectors ``left`` (p, r), ``right`` (K, r).

        Newton's steps end the work where no direction is new.
        """

    def descended(self, function: Function, x: np.ndarray, is_new: bool) -> np.ndarray:
        """A stationary point of a function and its gradient, from ``x``."""
        null = self.problem.null_objective or 1.0
        steps = _FIRST_STEPS if is_new else _STEPS

        def scaled(flat: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = function(flat.reshape(x.shape))
            return value / null, slope.ravel() / null

        with np.errstate(over="ignore", invalid="ignore"):
            found = minimize(
                scaled, x.ravel(), jac=True, method="L-BFGS-B",
                options={"maxcor": _MEMORY, "maxiter": steps, "ftol": 0, "gtol": 0, "maxls": 40},
            )  # fmt: skip
            x = found.x.reshape(x.shape)
            return x if is_new else stationary(lambda at: function(at)[1], x)


@dataclass(eq=False)
class ProjectedSpectrum(SpectralSearch):
    """The quadratic loss. With ``X = E diag(s) Q'`` and ``B = Q' W`` the problem is diagonal,

        min_B  1/2 |diag(s) B - E'Y|^2 + strength |B|_* ,

    and the ridge in one factor is solved in closed form by a decomposition of the other's: that of
    the outputs or of the features, whichever are fewer.
    """

    @cached_property
    def _diagonal(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``Q`` (p, r), ``s`` (r,), ``E'Y`` (r, K); the ridge is taken into ``s``."""
        problem = self.problem
        root = np.sqrt(problem.sample_weight)[:, None]
        X = root * problem.design.columns(np.arange(problem.shape[0]))
        y = problem.y if problem.offset is None else problem.y - problem.offset
        if problem.fit_intercept:
            y = y - problem.sample_weight @ y
        left, s, right = np.linalg.svd(X, full_matrices=False)
        kept = s > 1e-14 * s.max(initial=0.0)
        Y = s[kept, None] * (left.T @ (root * y))[kept]
        s = np.sqrt(s[kept] ** 2 + self.ridge)
        return right[kept].T, s, Y / s[:, None]

    @cached_property
    def _few_outputs(self) -> bool:
        return self.problem.shape[1] <= len(self._diagonal[1])

    def optimal(
        self, left: np.ndarray, sizes: np.ndarray, right: np.ndarray, is_new: bool, b: np.ndarray
    ) -> Point:
        problem, (Q, s, Y) = self.problem, self._diagonal
        gate = (right if self._few_outputs else Q.T @ left) * np.sqrt(self.strength * sizes)
        function = self._of_outputs if self._few_outputs else self._of_features
        gate = self.descended(function, gate, is_new)
        frame, sizes, _ = np.linalg.svd(gate, full_matrices=False)
        kept = sizes > np.sqrt(_CLOSED) * sizes.max(initial=0.0)
        gate = frame[:, kept] * (sizes[kept] / self.strength)
        if self._few_outputs:
            squares = (sizes[kept] / self.strength) ** 2
            held = s[:, None] * squares / (1 + s[:, None] ** 2 * squares)
            B = ((Y @ frame[:, kept]) * held) @ frame[:, kept].T
        else:
            B = gate @ (gate.T @ (s[:, None] * self._residual(gate)))
        W = Q @ B
        return Point(problem, W, problem.best_intercept(problem.design.matvec(W), b))

    def _of_outputs(self, V: np.ndarray) -> tuple[float, np.ndarray]:
        """1/2 |V|^2 and the ridge in U, V (K, r) in the unit of the root of a size's charge."""
        _, s, Y = self._diagonal
        frame, sizes, _ = np.linalg.svd(V / self.strength, full_matrices=False)
        squares = s[:, None] ** 2
        shrunk = Y @ frame
        taken = shrunk * (squares * sizes**2 / (1 + squares * sizes**2))
        theta = Y - taken @ frame.T
        moved = (squares * theta).T @ (theta @ V) / self.strength**2
        value = 0.5 * float((V * V).sum() + (Y * Y).sum() - (shrunk * taken).sum())
        return value, V - moved

    def _of_features(self, U: np.ndarray) -> tuple[float, np.ndarray]:
        """The same for the other factor, in the frame of Q."""
        _, s, Y = self._diagonal
        theta = self._residual(U / self.strength)
        pulls = s[:, None] * theta
        moved = pulls @ (pulls.T @ U) / self.strength**2
        return 0.5 * float((U * U).sum() + (Y * theta).sum()), U - moved

    def _residual(self, gate: np.ndarray) -> np.ndarray:
        """(r, K) ``(I + diag(s) G G' diag(s))^-1 E'Y`` for the gates G (r, rank)."""
        _, s, Y = self._diagonal
        scaled = s[:, None] * gate
        system = np.eye(scaled.shape[1]) + scaled.T @ scaled
        return Y - scaled @ lapack.dposv(system, scaled.T @ Y, lower=1)[1]


@dataclass(eq=False)
class FactorSpectrum(SpectralSearch):
    """Any smooth loss: both factors at once. Needs products with X and its transpose only."""

    def optimal(
        self, left: np.ndarray, sizes: np.ndarray, right: np.ndarray, is_new: bool, b: np.ndarray
    ) -> Point:
        problem, root = self.problem, np.sqrt(self.strength)
        p, rank = left.shape
        s = problem.sample_weight[:, None]

        def factors(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            both = x[: (p + len(right)) * rank].reshape(-1, rank)
            return both[:p], both[p:], x[both.size :]

        def function(x: np.ndarray) -> tuple[float, np.ndarray]:
            U, V, b = factors(x)
            W = U @ V.T / self.strength
            z = problem.linear(W, b)
            residual = s * problem.loss.gradient(z, problem.y)
            pulls = (problem.design.rmatvec(residual) + self.ridge * W) / self.strength
            value = problem.mean_loss(z) + 0.5 * float((U * U).sum() + (V * V).sum())
            parts = (U + pulls @ V, V + pulls.T @ U, residual.sum(axis=0) * problem.fit_intercept)
            ridge = self.ridge / 2 * float((W * W).sum())
            return value + ridge, np.concatenate([part.ravel() for part in parts])

        halves = np.vstack([left, right]) * (root * np.sqrt(sizes))
        x = self.descended(function, np.concatenate([halves.ravel(), b]), is_new)
        U, V, b = factors(x)
        frame, sizes, other = np.linalg.svd(U @ V.T / self.strength, full_matrices=False)
        kept = sizes > _CLOSED * sizes.max(initial=0.0)
        W = (frame[:, kept] * sizes[kept]) @ other[kept]
        return Point(problem, W, problem.best_intercept(problem.design.matvec(W), b))


def stationary(gradient: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """A nearby zero of a gradient, by Newton's steps whose products are differences.

    Where objectives differ by rounding only, gradients still show the way. Directions along which
    nothing changes, as rotations of a factor, are left alone by the Krylov space.
    """
    slope = gradient(x)
    for _ in range(_NEWTON_STEPS):
        reach = 1e-6 * float(np.linalg.norm(x))

        def bend(d: np.ndarray, x: np.ndarray = x, reach: float = reach) -> np.ndarray:
            size = float(np.linalg.norm(d))
            h = reach / max(size, 1e-300) * d.reshape(x.shape)
            return np.ravel(gradient(x + h) - gradient(x - h)) * (size / (2 * reach))

        hessian = LinearOperator((x.size, x.size), matvec=bend, dtype=float)
        step, _ = minres(hessian, -slope.ravel(), rtol=1e-6, maxiter=100)
        moved = x + step.reshape(x.shape)
        after = gradient(moved)
        if not np.linalg.norm(after) < 0.5 * np.linalg.norm(slope):
            break
        x, slope = moved, after
    return x
