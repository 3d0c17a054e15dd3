"""The certificate tells the truth: an upper bound everywhere, zero at the optimum only."""

from __future__ import annotations

import numpy as np
import pytest

from gossamer.core import Problem
from gossamer.core.unit_form import pulls_of_form
from gossamer.losses import Logistic, Quadratic
from gossamer.penalties import L1, MCP, Lq
from gossamer.structures import Groups
from gossamer.testing.problems import Explicit, cases

CONVEX = [case for case in cases(90) if case.problem.penalty.convex]


def _signed(problem: Problem) -> bool:
    return problem.penalty.unit_form(problem.shape).nonnegative


@pytest.mark.parametrize("case", CONVEX, ids=repr)
def test_gap_bounds_the_suboptimality(case, rng):
    problem = case.problem
    # beside a corner of two lines rounding ends the search earlier
    result = problem.solve(tol=1e-11 if problem.loss.is_smooth else 1e-9)
    least = min(Explicit.of(problem).optimum(), result.certificate.objective)
    for size in (0.0, 1e-6, 1e-3, 0.1, 1.0):
        coef = result.coef + size * rng.standard_normal(result.coef.shape)
        coef = np.maximum(coef, 0) if _signed(problem) else coef
        intercept = result.intercept + size * rng.standard_normal() * problem.fit_intercept
        certificate = problem.certificate(coef, intercept, tol=1e-9)
        true = problem.objective(coef, intercept) - least
        # the reference itself knows the optimum to 1e-13
        assert certificate.gap >= true - 1e-12
        assert certificate.objective == pytest.approx(problem.objective(coef, intercept), rel=1e-12)
        if size >= 0.1:
            assert not certificate.holds
        if size == 0.0 and problem.loss.is_smooth:
            # on kinks the coefficients alone do not tell which slopes prove them
            assert certificate.value <= 2e-11


def test_zero_weights_do_not_loosen_the_gap(rng):
    """Unpenalised units, several at once and collinear with the intercept's column."""
    X = rng.standard_normal((40, 10))
    X[:, 1] = 1.0
    y = X[:, 0] + X[:, 5] + rng.standard_normal(40)
    weights = np.array([0.0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    for loss, target in ((Quadratic(), y), (Logistic(), y > 0)):
        result = Problem(X, target, loss, L1(0.1, weights=weights)).solve(tol=1e-10)
        assert result.certificate.value <= 1e-10


def test_unpenalised_and_nonnegative(rng):
    """Least squares with w >= 0 against scipy's: the dual has no scaling to hide behind."""
    from scipy.optimize import nnls

    X = rng.standard_normal((40, 10))
    y = X @ np.array([1.0, -1, 0.5, 0, 0, 2, -2, 0, 0, 0]) + 0.1 * rng.standard_normal(40)
    expected, _ = nnls(X, y)
    result = Problem(X, y, Quadratic(), L1(0.0, nonnegative=True), fit_intercept=False).solve(
        tol=1e-10
    )
    np.testing.assert_allclose(result.coef, expected, atol=1e-6)
    assert result.certificate.holds
    weights = np.array([0.0, 1, 0, 1, 1, 0, 0, 1, 1, 1])
    for loss, target in ((Quadratic(), y), (Logistic(), y + rng.standard_normal(40) > 0)):
        penalty = L1(0.05, weights=weights, nonnegative=True)
        assert Problem(X, target, loss, penalty).solve(tol=1e-9).certificate.holds


def test_an_unpenalised_unit_held_by_its_sign_does_not_pull():
    """It once took the place of a violator in the working set, and the solver stalled."""
    penalty = L1(0.1, weights=[0.0, 0.0, 2.0], nonnegative=True)
    pulls = pulls_of_form(penalty.unit_form((3,)), np.array([1.0, -1.0, -0.5]))
    np.testing.assert_array_equal(pulls, [0.0, np.inf, 0.25])


@pytest.mark.parametrize(
    "penalty", [MCP(0.1), Lq(0.05), MCP(0.1, on=Groups(np.arange(12) // 3))], ids=repr
)
def test_nonconvex_certificates_see_a_wrong_point(penalty, rng):
    X = rng.standard_normal((60, 12))
    y = X[:, 0] - 2 * X[:, 4] + 0.3 * rng.standard_normal(60)
    problem = Problem(X, y, Quadratic(), penalty)
    result = problem.solve(tol=1e-9)
    assert result.certificate.kind == "coordinate-wise"
    assert np.isnan(result.certificate.gap)
    moved = np.where(result.coef != 0, result.coef + 0.01, 0.0)
    assert not problem.certificate(moved, result.intercept, tol=1e-6).holds
    # zero is stationary for Lq, but single coefficients can be improved
    if isinstance(penalty, Lq):
        assert problem.certificate(np.zeros(12), y.mean()).kind == "critical"


def test_coordinate_wise_is_what_it_says(rng):
    """No single coefficient can be improved: by a dense search along each of them."""
    X = rng.standard_normal((40, 8))
    y = X[:, 0] - X[:, 3] + 0.5 * rng.standard_normal(40)
    for penalty in (MCP(0.2), Lq(0.1, q=0.5)):
        problem = Problem(X, y, Quadratic(), penalty, fit_intercept=False)
        result = problem.solve(tol=1e-10)
        least = result.certificate.objective
        for j in range(8):
            for t in np.linspace(-3, 3, 601):
                coef = result.coef.copy()
                coef[j] = t
                assert problem.objective(coef) >= least - 1e-9


def test_support_and_plain_data(rng):
    X = rng.standard_normal((50, 9))
    y = 3 * X[:, 4] + 0.1 * rng.standard_normal(50)
    groups = Groups(np.arange(9) // 3)
    certificate = Problem(X, y, Quadratic(), L1(0.5, on=groups)).solve().certificate
    np.testing.assert_array_equal(certificate.support, [1])
    again = type(certificate).from_dict(certificate.to_dict())
    assert again.to_dict() == certificate.to_dict()
