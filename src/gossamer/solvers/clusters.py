"""SLOPE by working sets: proximal steps find the clusters, their linear system ends the work."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.optimize import isotonic_regression

from gossamer.core.certificate import Evaluation, certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver
from gossamer.penalties import SLOPE
from gossamer.solvers.threads import one_blas_thread
from gossamer.solvers.working_columns import WorkingColumns

# columns beside the support in the first sets
_FEW = 200
# proximal steps between two Newton moves: long runs, as Newton's system costs many of them
_STEPS, _MAX_MOVES, _MAX_ROUNDS = 150, 10, 3
# iterations without a gain after which a search is given up
_MAX_IDLE = 15


@SOLVERS.register
class ClusterNewton(Solver):
    """Newton's steps on the clusters of SLOPE, for the quadratic loss.

    Coefficients of one size are one coefficient of a merged column. On a working set, whose
    columns take the largest strengths, accelerated proximal steps merge and split clusters; with
    clusters, signs and order given the problem is a linear system of their number. Where its
    solution leaves the order, neighbours merge.

    References
    ----------
    Larsson, Klopfenstein, Massias and Wallin (2023), Coordinate descent for SLOPE: the clusters.
    Luo, Sun, Toh and Xiu (2019), Solving the OSCAR and SLOPE models using a semismooth
    Newton-based augmented Lagrangian method.
    """

    preference = 3

    def refuses(self, problem: Problem) -> str | None:
        penalty = problem.penalty
        if not isinstance(penalty, SLOPE):
            return f"{penalty!r} is no SLOPE"
        if problem.design.is_operator:
            return "X is a LinearOperator and has no columns"
        if not problem.loss.is_quadratic or problem.shape[1] > 1:
            return "the loss is not quadratic in one output"
        if not penalty.on.units(problem.shape).are_single:
            return "units have several coefficients"
        return None

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        with one_blas_thread:
            return self._search(problem, start, tol, max_iter)

    def _search(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        begun, history = time.perf_counter(), []
        columns = start.workspace
        if not (isinstance(columns, WorkingColumns) and columns.design is problem.design):
            columns = WorkingColumns(problem.design, False)
        status, n_iter, idle, precision = Status.MAX_ITER, 0, 0, 0.1
        best = evaluation = certify(problem, start, tol)
        try:
            for n_iter in range(max_iter + 1):
                value = evaluation.certificate.value
                history.append((time.perf_counter() - begun, value))
                if value < 0.9 * best.certificate.value or n_iter == 0:
                    idle = 0
                else:
                    idle, precision = idle + 1, precision / 10
                if value <= best.certificate.value:
                    best = evaluation
                if best.certificate.holds:
                    status = Status.CONVERGED
                    break
                if idle > _MAX_IDLE:
                    status = Status.STALLED
                    break
                if n_iter < max_iter:
                    point = _improved(problem, evaluation, columns, precision)
                    evaluation = certify(problem, point, tol)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        best.point.workspace = columns
        return Outcome(best.point, best.certificate, status, n_iter, history)


def _improved(
    problem: Problem, evaluation: Evaluation, columns: WorkingColumns, precision: float
) -> Point:
    """A better point, from a solve on the support and the columns pulled hardest."""
    point, alive = evaluation.point, evaluation.certificate.support
    pulls = np.abs(point.gradient[:, 0])
    pulls[alive] = np.inf
    count = min(len(alive) + max(_FEW, len(alive)), len(pulls))
    chosen = np.argpartition(-pulls, count - 1)[:count]
    columns.keep(chosen)
    columns.extend(chosen)
    features = columns.features
    assert isinstance(problem.penalty, SLOPE)
    penalty = SLOPE(
        problem.penalty.strengths[: len(features)], nonnegative=problem.penalty.nonnegative
    )
    local = point.w[features, 0]
    model = _Model(columns.quadratic_gram(), point.gradient[features, 0], local, penalty)
    w = point.w.copy()
    w[features, 0] = model.minimise(local, precision * evaluation.certificate.violation)
    return Point(problem, w, problem.best_intercept(problem.design.matvec(w), point.b))


@dataclass(eq=False)
class _Model:
    """The quadratic loss on a working set, exact, plus the penalty."""

    gram: np.ndarray
    slope: np.ndarray
    origin: np.ndarray
    penalty: SLOPE

    def gradient(self, w: np.ndarray) -> np.ndarray:
        return self.slope + self.gram @ (w - self.origin)

    def minimise(self, w: np.ndarray, aim: float) -> np.ndarray:
        """Rounds of accelerated proximal steps and Newton moves until the violation is ``aim``."""
        step = 1.0 / max(_largest_eigenvalue(self.gram), 1e-300)
        w = w.copy()
        for _ in range(_MAX_ROUNDS):
            w = self._proximal_steps(w, step)
            w = self._newton(w)
            distances = self.penalty.subdiff_distance(w, self.gradient(w))
            if distances.max(initial=0.0) <= aim:
                break
        return w

    def _proximal_steps(self, w: np.ndarray, step: float) -> np.ndarray:
        ahead, momentum = w, 1.0
        for _ in range(_STEPS):
            new = self.penalty.prox(ahead - step * self.gradient(ahead), step)
            if (ahead - new) @ (new - w) > 0:
                momentum = 1.0
            following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
            ahead = new + (momentum - 1) / following * (new - w)
            w, momentum = new, following
        return w

    def _newton(self, w: np.ndarray) -> np.ndarray:
        """Towards the optimum of the clusters of ``w``, merging what meets on the way."""
        for _ in range(_MAX_MOVES):
            clusters = _Clusters.of(w)
            if not clusters.sizes.size:
                return w
            gram, slope = clusters.reduced(self.gram, self.gradient(w))
            slope = slope + clusters.sums(self.penalty.strengths)
            try:
                # the ridge is far below what a certificate of 1e-12 can see
                ridge = 1e-13 * np.trace(gram) * np.eye(len(gram)) / len(gram)
                change = -cho_solve(cho_factor(gram + ridge), slope)
            except LinAlgError:
                return w
            target, is_full = self._best_move(clusters, change, gram, slope)
            if target is not None:
                w = clusters.spread(target, len(w))
            if target is None or is_full:
                break
        return w

    def _best_move(
        self, clusters: _Clusters, change: np.ndarray, gram: np.ndarray, slope: np.ndarray
    ) -> tuple[np.ndarray | None, bool]:
        """The sizes of least objective among a few steps along ``change``, put in order."""
        sizes, best, chosen = clusters.sizes, 0.0, None
        for length in (1.0, 0.5, clusters.first_meeting(change)):
            trial = sizes + length * change
            ordered = isotonic_regression(trial, weights=clusters.counts, increasing=False).x
            ordered = np.maximum(ordered, 0.0)
            move = ordered - sizes
            gain = float(slope @ move + 0.5 * move @ (gram @ move))
            if gain < best or (gain == 0.0 and chosen is None):
                best, chosen = gain, ordered
            if length == 1.0 and np.array_equal(ordered, trial):
                return chosen, True
        return chosen, False


@dataclass(frozen=True, eq=False)
class _Clusters:
    """Coefficients of one size, largest size first."""

    members: np.ndarray  # positions of coefficients that are not zero, cluster after cluster
    starts: np.ndarray
    signs: np.ndarray  # of the members
    sizes: np.ndarray  # (n_clusters,)

    @classmethod
    def of(cls, w: np.ndarray) -> _Clusters:
        alive = np.flatnonzero(w)
        members = alive[np.argsort(-np.abs(w[alive]), kind="stable")]
        ranked = np.abs(w[members])
        starts = np.flatnonzero(np.diff(ranked, prepend=np.inf))
        return cls(members, starts, np.sign(w[members]), ranked[starts])

    @property
    def counts(self) -> np.ndarray:
        return np.diff(np.append(self.starts, len(self.members)))

    def reduced(self, gram: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gram matrix and gradient of the merged columns."""
        part = gram[np.ix_(self.members, self.members)] * np.outer(self.signs, self.signs)
        if len(self.starts) < len(self.members):
            part = np.add.reduceat(np.add.reduceat(part, self.starts, 0), self.starts, 1)
        return part, self.sums(slope[self.members] * self.signs)

    def sums(self, values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values[: len(self.members)], self.starts)

    def first_meeting(self, change: np.ndarray) -> float:
        """The share of a change after which two neighbours, or the last and zero, first meet."""
        gaps = self.sizes - np.append(self.sizes[1:], 0.0)
        closing = np.append(change[1:], 0.0) - change
        return float((gaps[closing > 0] / closing[closing > 0]).min(initial=1.0))

    def spread(self, sizes: np.ndarray, count: int) -> np.ndarray:
        """(count,) coefficients with other sizes of the clusters."""
        w = np.zeros(count)
        w[self.members] = self.signs * np.repeat(sizes, self.counts)
        return w


def _largest_eigenvalue(gram: np.ndarray) -> float:
    """An upper estimate by the power method, a little above."""
    v = np.random.default_rng(0).standard_normal(len(gram))
    size = 0.0
    for _ in range(30):
        v = gram @ v
        size = float(np.linalg.norm(v))
        if size == 0.0:
            return 0.0
        v /= size
    return 1.1 * size
