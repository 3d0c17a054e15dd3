"""Penalties on singular values: laws on matrices, the nuclear norm against a convex solver."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

import gossamer as gs
from gossamer.core.penalty import Penalty, UnitPenalty
from gossamer.core.registry import PENALTIES
from gossamer.testing import apply, check_penalty, instances
from gossamer.testing.penalty_laws import CONVEX_PENALTY_LAWS, PENALTY_LAWS

SHAPES = [x for x in instances(PENALTIES) if isinstance(x, UnitPenalty)]


@dataclass(frozen=True)
class AsMatrix(Penalty):
    """A penalty that sees six coefficients as a matrix, so that the laws of vectors apply."""

    penalty: UnitPenalty
    shape: tuple[int, int]

    @property
    def convex(self):
        return self.penalty.convex

    @property
    def strength(self):
        return self.penalty.strength

    def value(self, w):
        return self.penalty.value(np.reshape(w, self.shape))

    def prox(self, v, step):
        return self.penalty.prox(np.reshape(v, self.shape), step).reshape(np.shape(v))

    def subdiff_distance(self, w, grad):
        return self.penalty.subdiff_distance(*(np.reshape(x, self.shape) for x in (w, grad)))

    def conjugate(self, z):
        return self.penalty.conjugate(np.reshape(z, self.shape))

    def dual_scale(self, z):
        return self.penalty.dual_scale(np.reshape(z, self.shape))

    def strength_max(self, grad0):
        return self.penalty.strength_max(np.reshape(grad0, self.shape))

    def with_strength(self, strength):
        return replace(self, penalty=self.penalty.with_strength(strength))

    def resolve(self, feature_names):
        return self


@pytest.mark.parametrize("shape", [(3, 2), (2, 3)])
@pytest.mark.parametrize("penalty", SHAPES, ids=repr)
def test_laws_on_matrices(penalty, shape):
    seen = AsMatrix(replace(penalty, on=gs.Spectrum()), shape)
    for law in PENALTY_LAWS + (CONVEX_PENALTY_LAWS if penalty.convex else ()):
        apply(law, seen)


@pytest.mark.parametrize("penalty", [gs.L1(0.3), gs.MCP(0.4), gs.Lq(0.4), gs.ElasticNet(0.3)])
def test_laws_on_one_output(penalty):
    check_penalty(replace(penalty, on=gs.Spectrum()))


def test_one_output_is_one_group(rng):
    w, g = rng.standard_normal((2, 6))
    one, group = gs.L1(0.3, on=gs.Spectrum()), gs.L1(0.3, on=gs.Groups([0] * 6))
    np.testing.assert_allclose(one.value(w), group.value(w))
    np.testing.assert_allclose(one.prox(w, 0.7), group.prox(w, 0.7))
    np.testing.assert_allclose(one.subdiff_distance(w, g), group.subdiff_distance(w, g))


def test_distance_is_to_the_nearest_subgradient(rng):
    """Against the projection on {U V' + W, |W| <= 1, U'W = 0, WV = 0}, found by a convex solver."""
    cvxpy = pytest.importorskip("cvxpy")
    pytest.importorskip("clarabel")
    left, right = np.linalg.qr(rng.standard_normal((5, 2)))[0], np.linalg.qr(np.eye(4)[:, :2])[0]
    w, grad = (left * [2.0, 0.5]) @ right.T, rng.standard_normal((5, 4))
    rest = cvxpy.Variable((5, 4))
    nearest = cvxpy.Problem(
        cvxpy.Minimize(cvxpy.norm(grad + left @ right.T + rest, "fro")),
        [cvxpy.sigma_max(rest) <= 1, left.T @ rest == 0, rest @ right == 0],
    )
    expected = nearest.solve(solver="CLARABEL")
    found = gs.L1(1.0, on=gs.Spectrum()).subdiff_distance(w, grad)
    np.testing.assert_allclose(np.linalg.norm(found), expected, rtol=1e-5)


def multitask(rng):
    X = rng.standard_normal((30, 8))
    Y = X @ rng.standard_normal((8, 2)) @ rng.standard_normal((2, 5))
    return X, Y + 0.3 * rng.standard_normal((30, 5))


def test_nuclear_norm_against_a_convex_solver(rng):
    cvxpy = pytest.importorskip("cvxpy")
    pytest.importorskip("clarabel")
    X, Y = multitask(rng)
    W, b = cvxpy.Variable((8, 5)), cvxpy.Variable((1, 5))
    residual = Y - X @ W - np.ones((30, 1)) @ b
    objective = cvxpy.sum_squares(residual) / 60 + 0.5 * cvxpy.normNuc(W)
    cvxpy.Problem(cvxpy.Minimize(objective)).solve(solver="CLARABEL")
    problem = gs.Problem(X, Y, gs.losses.Quadratic(), gs.L1(0.5, on=gs.Spectrum()))
    result = problem.solve(tol=1e-10)
    np.testing.assert_allclose(result.certificate.objective, objective.value, rtol=1e-7)
    np.testing.assert_allclose(result.coef, W.value, atol=1e-4)
    rank = np.linalg.matrix_rank(result.coef, tol=1e-9)
    assert result.certificate.support.tolist() == list(range(rank)) and 0 < rank < 5


@pytest.mark.parametrize("penalty", [gs.MCP(0.3), gs.SCAD(0.3), gs.Lq(0.3, q=1 / 2)], ids=repr)
def test_shapes_that_are_not_convex(penalty, rng):
    X, Y = multitask(rng)
    penalty = replace(penalty, on=gs.Spectrum())
    result = gs.Problem(X, Y, gs.losses.Quadratic(), penalty).solve("ProximalGradient")
    certificate = result.certificate
    assert certificate.holds and certificate.kind == "critical"
    assert len(certificate.support) < 5


def test_zero_at_the_largest_strength(rng):
    X, Y = multitask(rng)
    problem = gs.Problem(X, Y, gs.losses.Quadratic(), gs.L1(1.0, on=gs.Spectrum()))
    largest = problem.strength_max()
    for ratio, rank in ((1.0001, 0), (0.99, 1)):
        penalty = problem.penalty.with_strength(ratio * largest)
        coef = problem.with_penalty(penalty).solve(tol=1e-12).coef
        assert np.linalg.matrix_rank(coef, tol=1e-9) == rank


def test_solvers_by_unit_refuse(rng):
    X, Y = multitask(rng)
    problem = gs.Problem(X, Y, gs.losses.Quadratic(), gs.L1(0.5, on=gs.Spectrum()))
    for solver in ("ActiveSetNewton", "CoordinateDescent"):
        with pytest.raises(gs.UnsupportedProblem, match="does not split by unit"):
            problem.solve(solver)


@pytest.mark.parametrize("argument", [{"weights": [1.0, 2.0]}, {"nonnegative": True}])
def test_weights_and_signs_are_refused(argument):
    with pytest.raises(ValueError, match="do not apply on Spectrum"):
        gs.L1(0.1, on=gs.Spectrum(), **argument)


def test_no_sum_with_elements():
    with pytest.raises(gs.UnsupportedProblem, match="no joint prox"):
        gs.L1(0.1) + gs.L1(0.1, on=gs.Spectrum())
