"""The smooth form as a solver: gates by quasi-Newton, coefficients in closed form."""

from __future__ import annotations

import time

import numpy as np

from gossamer.core.certificate import Evaluation, certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver
from gossamer.factorisations import MatrixProduct, Ridged
from gossamer.solvers.continuation import best_branch
from gossamer.solvers.factor_search import FactorSearch
from gossamer.solvers.gate_search import GateSearch, Kernels
from gossamer.solvers.gates import Gates
from gossamer.solvers.spectral_search import FactorSpectrum, ProjectedSpectrum, SpectralSearch
from gossamer.solvers.threads import one_blas_thread
from gossamer.solvers.working_gates import WorkingGates

# depths beyond which a gate's power leaves the range of numbers
_DEEPEST = 8
# iterations without a gain after which a search is given up
_MAX_IDLE = 4
# attempts to improve a critical point, unit by unit
_MAX_TRIES = 10
# of X, whose singular values are computed for a penalty on those of the coefficients
_MAX_RANK = 500
# the tolerance of a problem that is only on the way
_LOOSE = 1e-3


@SOLVERS.register
class Factorised(Solver):
    """Smooth forms: the penalty as ridge on factors, minimised by quasi-Newton and Newton's steps.

    For the quadratic loss the ridge in the leading factor has a closed form, and what is left is a
    smooth function of one gate a unit (variable projection); other losses are minimised over both
    factors at once. The nuclear norm (L1 on Spectrum) is a product of two matrices, one of them in
    closed form. Bridge penalties are reached by depth continuation from several lassos: mostly
    a better local optimum than other solvers find from twenty random starts, for about their work.
    Zeros are exact, and every point is certified as by any other solver.

    "auto" takes it for the problems of :meth:`suits`.

    References
    ----------
    Poon and Peyre (2021), Smooth bilevel programming for sparse regularization.
    Poon and Peyre (2022), Smooth over-parameterized solvers for non-smooth structured optimization.
    """

    preference = 0

    def refuses(self, problem: Problem) -> str | None:
        penalty = problem.penalty
        smooth = penalty.factorise(problem.shape)
        if smooth is None:
            return f"{penalty!r} has no smooth form"
        if not problem.loss.is_smooth:
            return f"{problem.loss!r} has kinks"
        if penalty.strength == 0 or penalty.free(problem.shape).any():
            return "coefficients without a penalty have no gate"
        base = smooth.base if isinstance(smooth, Ridged) else smooth
        if isinstance(base, MatrixProduct):
            return None if base.depth == 2 else "powers of singular values have several minima"
        if problem.design.is_operator:
            return "X is a LinearOperator and has no columns of a unit"
        form = penalty.unit_form(problem.shape)
        gates = None if form is None else Gates.of(smooth, form)
        if gates is None:
            return f"the smooth form of {penalty!r} has no single gate a unit with either sign"
        if gates.depth > _DEEPEST:
            return f"its smooth form has depth {gates.depth:.3g}, more than {_DEEPEST}"
        return None

    def suits(self, problem: Problem) -> bool:
        """Units of at least as many columns as there are samples, and low rank, for the quadratic
        loss and a plain array X: where it is faster than the others (docs/theory/factorised)."""
        if not (problem.loss.is_quadratic and isinstance(problem.X, np.ndarray)):
            return False
        form = problem.penalty.unit_form(problem.shape)
        n, p = problem.X.shape
        if form is None:
            return min(n, p) <= _MAX_RANK
        length = p * problem.shape[1] / max(form.units.count, 1)
        return problem.penalty.convex and length >= n * problem.shape[1]

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        with one_blas_thread:
            return self._run(problem, start, tol, max_iter)

    def _run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        begun, history = time.perf_counter(), []
        search = search_for(problem, start)
        status, n_iter, idle, tries = Status.MAX_ITER, 0, 0, 0
        best = evaluation = certify(problem, start, tol)
        try:
            for n_iter in range(max_iter + 1):
                history.append((time.perf_counter() - begun, evaluation.certificate.value))
                if _is_better(evaluation, best):
                    best = evaluation
                tries += int(best.certificate.kind == "critical")
                branches = n_iter == 0 and _has_branches(problem, search, start)
                if best.certificate.holds and not branches:
                    if best.certificate.kind != "critical" or tries > _MAX_TRIES:
                        break
                if idle > _MAX_IDLE:
                    status = Status.STALLED
                    break
                if n_iter == max_iter:
                    break
                last = evaluation
                point = self._branch(search) if branches else search.improve(last)
                evaluation = certify(problem, point, tol)
                idle = 0 if _gains(evaluation, last) else idle + 1
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        except np.linalg.LinAlgError:  # beyond the precision of numbers
            status = Status.STALLED
        if best.certificate.holds:
            status = Status.CONVERGED
        best.point.workspace = search.kernels if isinstance(search, GateSearch) else None
        return Outcome(best.point, best.certificate, status, n_iter, history)

    def _branch(self, search: WorkingGates | SpectralSearch) -> Point:
        assert isinstance(search, WorkingGates)
        return best_branch(search, lambda lasso, start: self._run(lasso, start, _LOOSE, 50).point)


def search_for(problem: Problem, start: Point) -> WorkingGates | SpectralSearch:
    """The way to improve a point of the problem, which is not refused."""
    smooth = problem.penalty.factorise(problem.shape)
    assert smooth is not None
    plain = problem.loss.is_quadratic and isinstance(problem.X, np.ndarray)
    base = smooth.base if isinstance(smooth, Ridged) else smooth
    if isinstance(base, MatrixProduct):
        ridge = smooth.strength * smooth.ridge if isinstance(smooth, Ridged) else 0.0
        return (ProjectedSpectrum if plain else FactorSpectrum)(problem, base.strength, ridge)
    form = problem.penalty.unit_form(problem.shape)
    assert form is not None
    gates = Gates.of(smooth, form)
    assert gates is not None
    if not plain:
        return FactorSearch(problem, form, gates)
    kernels = start.workspace if isinstance(start.workspace, Kernels) else None
    return GateSearch(problem, form, gates, kernels)


def _has_branches(problem: Problem, search: WorkingGates | SpectralSearch, start: Point) -> bool:
    """Whether there are several local optima and nobody said near which to look."""
    is_local = isinstance(search, WorkingGates) and not problem.penalty.convex
    return is_local and not start.w.any()


def _gains(new: Evaluation, old: Evaluation) -> bool:
    """Whether the objective has fallen, or the gap: the one that the other's rounding hides."""
    fall = old.certificate.objective - new.certificate.objective
    closer = new.certificate.value < 0.5 * old.certificate.value
    return closer or fall > 1e-12 * abs(old.certificate.null_objective)


def _is_better(new: Evaluation, old: Evaluation) -> bool:
    """Gaps are compared where there are any; descent of the objective counts elsewhere."""
    if new.certificate.kind == "global":
        return new.certificate.value <= old.certificate.value
    return new.certificate.objective <= old.certificate.objective
