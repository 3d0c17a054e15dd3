"""Block coordinate descent whose blocks are chosen by a rule, ended by Newton on the support."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gossamer.core.certificate import Evaluation, certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Certificate
from gossamer.core.unit_form import UnitForm, prox_of_form
from gossamer.solvers.working_set import Search, WorkingSetSolver, columns_of

_RULES = ("gsd", "gs", "cyclic", "random")
# iterations with one support after which it is taken as identified
_SETTLED = 2
# rounds over all blocks without a gain after which the search is given up
_ROUNDS = 8


@SOLVERS.register
class GreedyBlocks(WorkingSetSolver):
    """A few units an iteration, those that promise most, minimised over exactly.

    Once the support stays the same, the support is the block: as zeros are identified after
    finitely many iterations, the end is that of Newton's method, and at once for the quadratic
    loss.

    Parameters
    ----------
    rule : {"gsd", "gs", "cyclic", "random"}, default "gsd"
        Which units: "gsd" those whose own step, of the length their curvature allows, lowers the
        bound of the objective most (Gauss, Southwell and the diagonal of the curvature); "gs" the
        largest violations; the others do not look.
    size : int >= 1, default 10
        Units of a block.
    finish : bool, default True
        Whether an identified support is a block of its own.

    Raises
    ------
    ValueError
        For a rule that is not known, or an empty block.

    References
    ----------
    Nutini, Laradji and Schmidt (2022), Let's make block coordinate descent converge faster: faster
    greedy rules, message-passing, active-set complexity, and superlinear convergence.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((80, 300))
    >>> y = X[:, 3] - 2 * X[:, 7] + 0.1 * rng.standard_normal(80)
    >>> problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.1))
    >>> problem.solve(gs.solvers.GreedyBlocks(size=4)).certificate.support
    array([3, 7])
    """

    preference = 23
    newton = True

    def __init__(self, rule: str = "gsd", size: int = 10, finish: bool = True) -> None:
        if rule not in _RULES:
            raise ValueError(f"GreedyBlocks: rule must be one of {_RULES}, got {rule!r}.")
        if size < 1:
            raise ValueError(f"GreedyBlocks: size must be >= 1, got {size}.")
        self.rule, self.size, self.finish = rule, int(size), finish

    def milestones(self, problem: Problem, start: Point, tol: float) -> list[tuple[float, float]]:
        return []

    def search(self, problem: Problem, form: UnitForm, start: Point, tol: float) -> Search:
        columns = columns_of(problem, start)
        return _Blocks(problem, form, True, tol, columns, solver=self)

    def certificates(self, problem: Problem, n_iter: int) -> list[Certificate]:
        """The certificate of the start and of ``n_iter`` iterations; their supports show when the
        last one is identified."""
        form = problem.penalty.unit_form(problem.shape)
        assert form is not None
        start = problem.start()
        search = self.search(problem, form, start, 0.0)
        evaluation = certify(problem, start, 0.0)
        found = [evaluation.certificate]
        for _ in range(n_iter):
            evaluation = certify(problem, search.improve(evaluation), 0.0)
            found.append(evaluation.certificate)
        return found


@dataclass(eq=False)
class _Blocks(Search):
    """Blocks in place of working sets."""

    solver: GreedyBlocks = field(kw_only=True)
    turn: int = 0
    same: int = 0
    support: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def is_exhausted(self, value: float) -> bool:
        if value < 0.9 * self.best:
            self.best, self.idle = value, 0
        else:
            self.idle += 1
        rounds = -(-self.form.units.count // self.solver.size)
        return self.idle > _ROUNDS * max(rounds, 10)

    def inner_tolerance(self, value: float, is_all: bool) -> float:
        """Blocks are minimised over, as the rules' bounds of the progress suppose."""
        return self.problem.null_objective * 1e-2 * max(self.tol, 1e-12) ** 2

    def choose(self, evaluation: Evaluation) -> tuple[np.ndarray, bool]:
        support = evaluation.certificate.support
        known = self.support is not None and np.array_equal(self.support, support)
        self.same, self.support = self.same + 1 if known else 0, support
        if self.solver.finish and self.same >= _SETTLED and len(support):
            self.same = 0
            return support, True
        self.turn += 1
        count, size = self.form.units.count, min(self.solver.size, self.form.units.count)
        if self.solver.rule == "cyclic":
            return np.sort((np.arange(size) + (self.turn - 1) * size) % count), True
        if self.solver.rule == "random":
            return np.sort(self.rng.choice(count, size, replace=False)), True
        scores = evaluation.distances if self.solver.rule == "gs" else self._progress(evaluation)
        return np.sort(np.argpartition(-scores, size - 1)[:size]), True

    def _progress(self, evaluation: Evaluation) -> np.ndarray:
        """(n_units,) how much a step of each unit alone lowers a bound of the objective."""
        form, point = self.form, evaluation.point
        labels, count = form.units.labels, form.units.count
        curvature = np.bincount(labels, point.curvatures.ravel(), count)
        curvature = np.maximum(curvature, 1e-14 * curvature.max(initial=0.0) + 1e-100)
        w, gradient, bend = point.w.ravel(), point.gradient.ravel(), form.units.spread(curvature)
        change = prox_of_form(form, w - gradient / bend, 1 / curvature) - w
        model = np.bincount(labels, gradient * change + 0.5 * bend * change**2, count)
        return self._prices(w) - self._prices(w + change) - model

    def _prices(self, w: np.ndarray) -> np.ndarray:
        """(n_units,) the penalty of each unit."""
        form = self.form
        prices = form.weights * form.value(form.units.norms(w), form.par)
        if form.inner is None:
            return prices
        return prices + np.bincount(form.units.labels, form.inner * np.abs(w), form.units.count)
