"""Working sets of gates: which units to solve for, where they start, how their support ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gossamer.core.certificate import Evaluation
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.unit_form import UnitForm
from gossamer.solvers.block import Block, minimise
from gossamer.solvers.gates import Gates
from gossamer.solvers.working_columns import WorkingColumns
from gossamer.solvers.working_units import WorkingUnits

# times the root of the number of coefficients: what the first set has; and a few units in any case
_FIRST, _FEW = 2.0, 8


@dataclass(eq=False)
class WorkingGates(ABC):
    """What a search over working sets of gates knows of its problem."""

    problem: Problem
    form: UnitForm
    gates: Gates

    @abstractmethod
    def improve(self, evaluation: Evaluation) -> Point:
        """The optimum on the working set that the evaluation suggests."""

    def deepened(self, w: np.ndarray) -> np.ndarray:
        """(p, K) coefficients of a shallower form, brought to this depth."""
        return w

    def point(self, w: np.ndarray, b: np.ndarray | None = None) -> Point:
        """With the optimal intercept, looked for from ``b``."""
        problem = self.problem
        b = problem.null_intercept if b is None else b
        return Point(problem, w, problem.best_intercept(problem.design.matvec(w), b))

    @cached_property
    def labels(self) -> np.ndarray:
        """(p, K) unit of every coefficient."""
        return self.form.units.labels.reshape(self.problem.shape)

    @cached_property
    def columns(self) -> WorkingColumns:
        """The columns of the support, or of a working set."""
        problem = self.problem
        return WorkingColumns(
            problem.design, problem.fit_intercept and not problem.loss.is_quadratic
        )

    @cached_property
    def curvature(self) -> np.ndarray:
        """(n_units,) sums of squares of each unit's columns: its curvature for the quadratic loss,
        if it is single, and a bound if not."""
        squares = np.broadcast_to(self.problem.design.squares, self.problem.shape)
        curvature = np.bincount(self.form.units.labels, squares.ravel(), self.form.units.count)
        return np.maximum(curvature, 1e-12 * curvature.max(initial=0.0) + 1e-100)

    def choose(self, evaluation: Evaluation) -> np.ndarray:
        """The support and as many violators again, those pulled hardest."""
        form, alive = self.form, evaluation.certificate.support
        assert evaluation.pulls is not None
        violations = evaluation.distances.copy()
        violations[alive] = 0.0
        n_violators = int((violations > 0).sum())
        n_units, size = form.units.count, len(form.units.order)
        first = int(np.ceil(n_units / size * _FIRST * np.sqrt(size)))
        count = min(n_violators, max(first, _FEW, len(alive)))
        order = np.where(violations > 0, evaluation.pulls, -1.0)
        hardest = np.argpartition(-order, count - 1)[:count] if count else np.array([], int)
        return np.union1d(alive, hardest)

    def start(self, evaluation: Evaluation, chosen: np.ndarray) -> np.ndarray:
        """Balanced gates of the units' sizes; of one that is zero, of what a step would make it."""
        form, curvature = self.form, self.curvature[chosen]
        sizes = form.units.norms(evaluation.point.w)[chosen]
        assert evaluation.pulls is not None
        ahead = evaluation.pulls[chosen] * form.weights[chosen] / curvature
        stepped = form.prox(ahead, form.weights[chosen] / curvature, form.par)
        return self.gates.take(chosen).balanced(
            np.where(sizes > 0, sizes, np.maximum(stepped, 0.1 * ahead))
        )

    def polished(self, point: Point, chosen: np.ndarray, aim: float = 1e-10) -> Point:
        """The optimum with the units ``chosen`` alone, from ``point``: mostly Newton's steps.

        aim : root of the gain at which to end, relative to the null objective.
        """
        problem, columns, form = self.problem, self.columns, self.form
        columns.keep(form.units.positions(chosen)[0] // problem.shape[1])
        working = WorkingUnits.choose(form, chosen, problem.shape[1], columns)
        if working.size == 0:
            return point
        null = problem.null_objective or 1.0
        local = minimise(Block(problem, columns, working), point, null * aim**2, True, True)
        coefficients, _ = working.split(local)
        w = point.w.copy()
        w.ravel()[working.flat] = coefficients
        return self.point(w, point.b)
