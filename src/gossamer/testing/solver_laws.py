"""Laws of a solver: the optimum of every problem it accepts, and a certificate that is true."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import chain, combinations

import numpy as np

from gossamer.core.errors import ConvergenceWarning, UnsupportedProblem
from gossamer.core.problem import Problem
from gossamer.core.registry import LOSSES
from gossamer.core.result import Result, Status
from gossamer.core.solver import Solver
from gossamer.penalties import L1, AtMost
from gossamer.solvers.refit import refit
from gossamer.testing.court import close, generator, hold
from gossamer.testing.problems import (
    Case,
    Explicit,
    budget_cases,
    cases,
    joint_cases,
    ordered_cases,
)

_COUNT = 30
_TOL = 1e-8


def _accepted(solver: Solver, count: int = _COUNT) -> Iterator[Case]:
    for case in chain(cases(count), ordered_cases(count // 3), joint_cases(), budget_cases(count)):
        if solver.refuses(case.problem) is None:
            yield case


def solves(solver: Solver, case: Case, tol: float = _TOL) -> Result:
    """Solve a case and judge the result by explicit gradients and, if convex, by the optimum."""
    problem = case.problem
    result = solver.solve(problem, tol=tol, max_iter=3000)
    certificate = result.certificate
    hold(certificate.holds and result.status is Status.CONVERGED, case=case, found=certificate)
    hold(certificate.kind in ("global", "coordinate-wise", "critical"), kind=certificate.kind)
    explicit = Explicit.of(problem)
    w, b = _scaled(problem, result)
    objective = explicit.objective(w, b)
    close(certificate.objective, objective, 1e-9, case=case)
    close(problem.objective(result.coef, result.intercept), objective, 1e-9, case=case)
    null = problem.null_objective
    hold(objective <= null * (1 + 1e-9), case=case, objective=objective, null=null)
    if not problem.loss.is_smooth:
        # one gradient of many says nothing; the gap, of a dual point, is a proof
        hold(not problem.penalty.convex or certificate.kind == "global", kind=certificate.kind)
        return result
    slopes, slope = explicit.gradients(w, b)
    steepest = np.abs(problem.null_gradient).max()
    violation = problem.penalty.subdiff_distance(w, slopes).max()
    # the gap is quadratic in the violation
    limit = (10 * np.sqrt(tol) if problem.penalty.convex else 2 * tol) * (1 + steepest)
    hold(violation <= limit, case=case, violation=violation)
    hold(np.abs(slope).max() <= limit, case=case, slope=slope)
    if problem.penalty.convex:
        hold(certificate.kind == "global", case=case, kind=certificate.kind)
        least = explicit.optimum()
        hold(objective <= least + 2 * tol * null, case=case, objective=objective, least=least)
    return result


def _scaled(problem: Problem, result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (p, K) of the scaled columns, and intercepts (K,)."""
    w = np.reshape(result.coef, problem.shape)
    scale = problem.design.scale
    b = np.reshape(result.intercept, problem.shape[1])
    return (w if scale is None else w * scale[:, None]), b


def reaches_the_optimum(solver: Solver) -> None:
    """Every problem it accepts is solved, as explicit gradients and a plain method confirm."""
    for case in _accepted(solver):
        solves(solver, case)


def best_subsets_are_proven(solver: Solver) -> None:
    """Where a budget's result is called global, no other support does better."""
    for case in budget_cases(_COUNT):
        problem = case.problem
        if solver.refuses(problem) is not None:
            continue
        result = solver.solve(problem, tol=_TOL, max_iter=3000)
        if result.certificate.kind != "global":
            continue
        assert isinstance(problem.penalty, AtMost)
        units = problem.penalty.units(problem.shape)
        start = problem.start()
        for support in combinations(range(units.count), min(problem.penalty.k, units.count)):
            at = np.sort(units.positions(np.array(support))[0])
            other = refit(problem, at, start)
            value = other.loss + problem.penalty.value(other.w)
            least = result.certificate.objective - _TOL * problem.null_objective
            hold(value >= least, case=case, support=support, value=value, result=result)


def starts_where_it_is_told(solver: Solver) -> None:
    """From the solution it takes no more than one iteration; where the loss has kinks, whose
    slopes have to be found again, no more than before."""
    for case in _accepted(solver, 8):
        first = solver.solve(case.problem, tol=_TOL, max_iter=3000)
        again = solver.solve(case.problem, first.coef, first.intercept, tol=10 * _TOL)
        most = 1 if case.problem.loss.is_smooth else max(first.n_iter, 1)
        hold(again.n_iter <= most, case=case, n_iter=again.n_iter)
        hold(again.certificate.holds, case=case)


def is_deterministic(solver: Solver) -> None:
    """The same problem gives the same result, bit by bit, and X and y stay as they are."""
    for case in _accepted(solver, 3):
        X = case.problem.X.copy()
        first, again = (solver.solve(case.problem) for _ in range(2))
        hold((first.coef == again.coef).all(), case=case)
        hold(abs(case.problem.X - X).max() == 0, case=case)


def zero_above_strength_max(solver: Solver) -> None:
    """Above strength_max nothing is selected, just below it something is (convex problems)."""
    for case in _accepted(solver, 12):
        problem = case.problem
        shape = problem.shape
        free = problem.penalty.free(shape).any() or problem.penalty.flat(shape) is not None
        if not problem.penalty.convex or free or _is_signed(problem):
            continue
        largest = problem.strength_max()
        if np.isinf(largest):
            continue
        for ratio in (1.001, 0.98):
            penalty = problem.penalty.with_strength(ratio * largest)
            result = solver.solve(problem.with_penalty(penalty), tol=1e-10, max_iter=3000)
            hold(bool(result.coef.any()) == (ratio < 1), case=case, ratio=ratio)


def _is_signed(problem: Problem) -> bool:
    form = problem.penalty.unit_form(problem.shape)
    return form is not None and form.nonnegative


def arguments_are_checked(solver: Solver) -> None:
    """tol, max_iter and w0 that make no sense raise ValueError with their name."""
    problem = next(_accepted(solver)).problem
    wrong = np.full(problem.shape, np.nan)
    refusals: tuple[tuple[str, Callable[[], object]], ...] = (
        ("tol", lambda: solver.solve(problem, tol=-1.0)),
        ("tol", lambda: solver.solve(problem, tol=np.nan)),
        ("max_iter", lambda: solver.solve(problem, max_iter=0)),
        ("w0", lambda: solver.solve(problem, np.zeros(1))),
        ("w0", lambda: solver.solve(problem, wrong)),
    )
    for name, action in refusals:
        try:
            action()
        except ValueError as error:
            hold(name in str(error), message=error)
        else:
            raise AssertionError(f"no ValueError that names {name}")


def limits_are_reported(solver: Solver) -> None:
    """A solve that stops short warns, says how far it got, and its certificate does not hold."""
    rng = generator()
    X = rng.standard_normal((60, 30)) + 1.0
    y = X @ rng.standard_normal(30)
    quadratic = next(loss for loss in LOSSES if loss.is_quadratic)()
    problem = Problem(X, y, quadratic, L1(0.01))
    if solver.refuses(problem) is not None:
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = solver.solve(problem, tol=0.0, max_iter=1)
    hold(result.status is not Status.CONVERGED or result.certificate.value == 0, result=result)
    said = [w for w in caught if issubclass(w.category, ConvergenceWarning)]
    hold(bool(said) == (result.status is not Status.CONVERGED), warnings=caught)


def refusals_have_reasons(solver: Solver) -> None:
    """A problem it refuses raises UnsupportedProblem with the reason it gave."""
    from scipy.sparse.linalg import aslinearoperator

    problem = next(cases(1)).problem
    operator = Problem(
        aslinearoperator(np.eye(*problem.X.shape)), problem.y, problem.loss, L1(0.1),
        fit_intercept=False,
    )  # fmt: skip
    reason = solver.refuses(operator)
    if reason is None:
        hold(solver.solve(operator).certificate.holds, problem=operator)
        return
    try:
        solver.solve(operator)
    except UnsupportedProblem as error:
        hold(reason in str(error), message=error)
    else:
        raise AssertionError("solve takes a problem that refuses() refuses")


SOLVER_LAWS = (
    reaches_the_optimum,
    best_subsets_are_proven,
    starts_where_it_is_told,
    is_deterministic,
    zero_above_strength_max,
    arguments_are_checked,
    limits_are_reported,
    refusals_have_reasons,
)
