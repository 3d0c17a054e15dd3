"""Points one after the other, judged every few steps: the loop that first-order methods share."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

import numpy as np

from gossamer.core.certificate import Evaluation, certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver

# room above an eigenvalue that Lanczos' method approaches from below
_ROOM = 1.001


class IterativeSolver(Solver):
    """A solver whose steps are cheaper than a certificate. Subclasses write :meth:`steps`."""

    #: steps between two certificates; ``max_iter`` counts certificates
    check_every: ClassVar[int] = 10

    @abstractmethod
    def steps(self, problem: Problem, start: Point) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Coefficients (p, K) after each step and a guess of the intercepts (K,); ends where the
        method gets no further."""

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        begun, history = time.perf_counter(), []
        status, n_iter = Status.MAX_ITER, 0
        w, b, steps = start.w, start.b, self.steps(problem, start)
        evaluation = certify(problem, start, tol)
        try:
            while True:
                history.append((time.perf_counter() - begun, evaluation.certificate.value))
                if evaluation.certificate.holds or n_iter >= max_iter * self.check_every:
                    break
                stretch = list(islice(steps, self.check_every))
                if not stretch:
                    status = Status.STALLED
                    break
                n_iter, (w, b) = n_iter + len(stretch), stretch[-1]
                evaluation = _judge(problem, w, b, tol)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
            evaluation = _judge(problem, w, b, tol)
        if evaluation.certificate.holds:
            status = Status.CONVERGED
        return Outcome(evaluation.point, evaluation.certificate, status, n_iter, history)


def _judge(problem: Problem, w: np.ndarray, b: np.ndarray, tol: float) -> Evaluation:
    return certify(problem, settled(problem, w, b), tol)


def settled(problem: Problem, w: np.ndarray, b: np.ndarray) -> Point:
    """The point of some coefficients with the best intercept, from the guess ``b``."""
    return predicting(problem, w, problem.design.matvec(w), b)


def predicting(problem: Problem, w: np.ndarray, z: np.ndarray, b: np.ndarray) -> Point:
    """The same where the linear part ``z`` (n, K) of the prediction is known."""
    b = problem.best_intercept(z, b)
    return Point(problem, w, b, z=problem.shifted(z, b))


def steepest_curvature(problem: Problem) -> float:
    """A bound of the mean loss's second derivative: that of a sample's loss times the largest
    eigenvalue of the weighted Gram matrix, by Lanczos' method."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    design, s, smoothness = problem.design, problem.sample_weight[:, None], problem.loss.smoothness
    assert smoothness is not None
    p = design.shape[1]

    def product(v: np.ndarray) -> np.ndarray:
        return design.rmatvec(s * design.matvec(v.reshape(-1, 1)))[:, 0]

    if p == 1:
        return smoothness * float(product(np.ones(1))[0])
    start = np.random.default_rng(0).standard_normal(p)
    if not product(start).any():
        return 0.0
    operator = LinearOperator((p, p), matvec=product, dtype=float)
    largest = eigsh(operator, k=1, v0=start, tol=1e-4, return_eigenvectors=False)
    return smoothness * _ROOM * float(largest[0])
