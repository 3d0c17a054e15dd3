"""What the papers claim of their solvers, at small scale.

The figures, beside times: ``python -m benchmarks.paper_solvers``.
"""

from __future__ import annotations

from itertools import islice, product

import numpy as np
import pytest
from benchmarks.paper_solvers import (
    autoregressive,
    block_descent,
    first_below,
    identified,
    passes_to,
    proximal_gradient,
    signal,
)

import gossamer as gs
from gossamer.core import Status, UnsupportedProblem
from gossamer.solvers import (
    ACODER,
    VRACODER,
    DampedGradient,
    GreedyBlocks,
    ProximalConjugateGradient,
)
from gossamer.solvers.cyclic_averages import split
from gossamer.solvers.iterating import settled
from gossamer.solvers.sampled_coder import Sampler, Snapshot


def lasso(ratio: float, correlation: float = 0.5, loss: str = "quadratic") -> gs.Problem:
    return autoregressive(100, 150, correlation, gs.L1(1.0), ratio, loss)


@pytest.mark.parametrize("penalty", [gs.MCP(1.0), gs.SCAD(1.0)], ids=repr)
@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_damped_gradient_needs_fewer_steps_than_proximal_gradient(penalty, correlation):
    problem = autoregressive(100, 150, correlation, penalty, 0.3)
    damped = problem.solve("dampedgradient", tol=1e-6, max_iter=2000)
    plain, certificate = proximal_gradient(problem, 1e-6)
    assert 2 * damped.n_iter <= plain
    np.testing.assert_array_equal(damped.certificate.support, certificate.support)
    np.testing.assert_allclose(damped.certificate.objective, certificate.objective, rtol=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(
    ("penalty", "loss"),
    [
        (gs.MCP(1.0), "quadratic"),
        (gs.SCAD(1.0), "quadratic"),
        (gs.MCP(1.0, gamma=20.0), "logistic"),
        (gs.SCAD(1.0, gamma=20.0), "logistic"),
    ],
    ids=repr,
)
def test_conjugate_gradient_needs_fewer_steps_than_proximal_gradient(penalty, loss, correlation):
    n, p, ratio = (100, 150, 0.3) if loss == "quadratic" else (300, 100, 0.5)
    problem = autoregressive(n, p, correlation, penalty, ratio, loss)
    conjugate = problem.solve("proximalconjugategradient", tol=1e-6)
    accelerated = problem.solve("proximalgradient", tol=1e-6)
    plain, certificate = proximal_gradient(problem, 1e-6)
    assert 3 * conjugate.n_iter <= plain
    assert conjugate.n_iter < accelerated.n_iter
    np.testing.assert_array_equal(conjugate.certificate.support, certificate.support)
    np.testing.assert_allclose(conjugate.certificate.objective, certificate.objective, rtol=1e-6)


def test_conjugate_gradient_ends_in_few_steps_once_nothing_is_penalised(rng):
    """Exact on a quadratic: as many steps as the Hessian has different eigenvalues."""
    X = np.linalg.qr(rng.standard_normal((60, 12)))[0] * np.repeat([1.0, 10.0, 100.0], 4)
    y = X.sum(axis=1) + rng.standard_normal(60)
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.0), fit_intercept=False)
    solver = ProximalConjugateGradient()
    points = [w for w, _ in islice(solver.steps(problem, problem.start()), 12)]
    exact = np.linalg.lstsq(X, y, rcond=None)[0]
    errors = [np.abs(w[:, 0] - exact).max() for w in points]
    assert errors[1] > 1e-3
    assert errors[4] < 1e-8


@pytest.mark.parametrize("penalty", [gs.MCP(1.0), gs.L1(1.0)], ids=repr)
def test_the_objective_falls_with_every_conjugate_step(penalty):
    problem = autoregressive(100, 150, 0.9, penalty, 0.1)
    solver = ProximalConjugateGradient()
    steps = islice(solver.steps(problem, problem.start()), 60)
    points = [settled(problem, w, b) for w, b in steps]
    objectives = [point.loss + problem.penalty.value(point.w) for point in points]
    assert (np.diff(objectives) <= 1e-12 * objectives[0]).all()


def test_conjugate_gradient_takes_groups_signs_and_counts(rng):
    X = rng.standard_normal((80, 12))
    counts = rng.poisson(np.exp(0.5 * X[:, 0] - 0.3 * X[:, 1]))
    for penalty in (gs.MCP(0.05, on=gs.Groups(np.arange(12) // 3)), gs.L1(0.02, nonnegative=True)):
        problem = gs.Problem(X, counts, gs.losses.Poisson(), penalty)
        result = problem.solve("proximalconjugategradient", tol=1e-8)
        expected = problem.solve(tol=1e-8).certificate.objective
        np.testing.assert_allclose(result.certificate.objective, expected, rtol=1e-7)


def test_conjugate_gradient_refuses_kinks_elsewhere(rng):
    X, y = rng.standard_normal((30, 6)), rng.standard_normal(30)
    ordered = gs.Problem(X, y, gs.losses.Quadratic(), gs.Fused(0.1))
    with pytest.raises(UnsupportedProblem, match="split by unit"):
        ordered.solve("proximalconjugategradient")
    with pytest.raises(UnsupportedProblem, match="kinks"):
        gs.Problem(X, y, gs.losses.LeastAbsolute(), gs.L1(0.1)).solve("proximalconjugategradient")


def test_damped_gradient_recovers_the_support():
    problem = autoregressive(200, 300, 0.0, gs.MCP(1.0), 0.2)
    found = problem.solve("dampedgradient", tol=1e-6).certificate.support
    np.testing.assert_array_equal(found, np.flatnonzero(signal(300)))


def test_damped_gradient_refuses_what_it_cannot_split():
    problem = lasso(0.1)
    with pytest.raises(UnsupportedProblem, match="neither MCP nor SCAD"):
        problem.solve("dampedgradient")
    counts = gs.Problem(problem.X, np.arange(100) % 4, gs.losses.Poisson(), gs.MCP(0.1))
    with pytest.raises(UnsupportedProblem, match="curvature"):
        counts.solve(DampedGradient())


@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
def test_greedy_blocks_beat_cyclic_and_random_ones(loss):
    problem = lasso(0.1, loss=loss)
    n_iter = {
        rule: first_below(GreedyBlocks(rule, 5, finish=False).certificates(problem, 100), 1e-2)
        for rule in ("gsd", "gs", "cyclic", "random")
    }
    assert 2 * max(n_iter["gsd"], n_iter["gs"]) <= min(n_iter["cyclic"], n_iter["random"])


@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
def test_greedy_blocks_identify_the_support_and_end_by_newton(loss):
    problem = lasso(0.1, loss=loss)
    certificates = GreedyBlocks(size=5).certificates(problem, 80)
    support = problem.solve(tol=1e-11).certificate.support
    at = identified(certificates, support)
    assert at < 80
    # a few looks at the same support, then its system: exact at once
    assert first_below(certificates, 1e-9) <= at + 4
    without = GreedyBlocks(size=5, finish=False).certificates(problem, 80)
    assert first_below(without, 1e-9) >= at + 10


def test_greedy_blocks_check_their_arguments():
    with pytest.raises(ValueError, match="rule must be one of"):
        GreedyBlocks("best")
    with pytest.raises(ValueError, match="size must be >= 1"):
        GreedyBlocks(size=0)
    whole = lasso(0.1).solve(GreedyBlocks(size=10**6), tol=1e-9)
    assert whole.status is Status.CONVERGED


@pytest.mark.parametrize("penalty", [gs.L1(1.0), gs.ElasticNet(1.0, l1_ratio=0.9)], ids=repr)
@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
def test_acoder_needs_fewer_cycles_than_cyclic_descent_on_its_blocks(penalty, loss):
    problem = autoregressive(100, 150, 0.9, penalty, 0.1, loss)
    cycles = problem.solve(ACODER(10), tol=1e-5, max_iter=1000).n_iter
    # a cycle takes two passes over X: blocks, and the full gradient for the extrapolation
    assert 2 * cycles <= block_descent(problem, 10, 1e-5)


def test_acoder_has_blocks_of_whole_units(rng):
    X = rng.standard_normal((60, 12))
    y = X[:, 0] + rng.standard_normal(60)
    on = gs.Groups([0, 5, 5, 1, 2, 1, 0, 3, 3, 2, 4, 4])
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.05) + gs.L1(0.1, on=on))
    one, many = (problem.solve(ACODER(blocks), tol=1e-10) for blocks in (1, 6))
    np.testing.assert_allclose(one.coef, many.coef, atol=1e-6)
    with pytest.raises(ValueError, match="blocks must be >= 1"):
        ACODER(0)


@pytest.mark.parametrize(
    ("penalty", "loss"),
    [(gs.L1(1.0), "quadratic"), (gs.ElasticNet(1.0, l1_ratio=0.9), "logistic")],
    ids=repr,
)
def test_sampled_coder_needs_fewer_passes_than_full_gradients(penalty, loss):
    problem = autoregressive(1000, 20, 0.9, penalty, 0.02, loss, seed=1)
    passes = {name: count for name, (count, _) in passes_to(problem, 1e-5, 300).items()}
    assert 2 * passes["VR-A-CODER"] <= min(passes["A-CODER"], passes["FISTA"])


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize(
    ("penalty", "loss"),
    [(gs.L1(1.0), "quadratic"), (gs.ElasticNet(1.0, l1_ratio=0.5), "logistic")],
    ids=repr,
)
def test_sampled_coder_reaches_the_optimum(penalty, loss, blocks):
    problem = autoregressive(200, 20, 0.5, penalty, 0.05, loss)
    exact = problem.solve("activesetnewton", tol=1e-12)
    first, again, other = (
        problem.solve(VRACODER(blocks, random_state=seed), tol=1e-9) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.coef, again.coef)
    assert not np.array_equal(first.coef, other.coef)
    for result in (first, other):
        assert result.status is Status.CONVERGED
        assert result.certificate.kind == "global"
        np.testing.assert_array_equal(result.certificate.support, exact.certificate.support)
        np.testing.assert_allclose(result.coef, exact.coef, atol=1e-3)


@pytest.mark.parametrize("batch", [1, 2])
def test_sampled_gradients_are_unbiased(rng, batch):
    """The mean over all batches that can be drawn is the gradient of all samples."""
    X, weights = rng.standard_normal((7, 5)), np.array([1.0, 2, 0, 1, 3, 1, 0.5])
    problem = gs.Problem(
        X, np.arange(7) % 2, gs.losses.Logistic(), gs.L1(0.1), sample_weight=weights,
        offset=rng.standard_normal(7),
    )  # fmt: skip
    blocks = split(problem, 2)
    sampler = Sampler.of(problem, blocks, batch, 0)
    point = settled(problem, rng.standard_normal((5, 1)), np.zeros(1))
    snapshot, paths = Snapshot(point, sampler), rng.standard_normal((5, 3))
    there, before, path = (gradient_at(problem, w, point.b) for w in paths.T)
    chances = np.diff(sampler.edges, prepend=0.0)
    for part in blocks:
        at, mean = part.features, 0.0
        for drawn in product(range(7), repeat=batch):
            estimate = snapshot.estimate(at, np.array(drawn), paths, 0.7)
            mean = mean + chances[list(drawn)].prod() * estimate
        np.testing.assert_allclose(mean, (there + 0.7 * (before - path))[at], atol=1e-12)


def gradient_at(problem: gs.Problem, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(p,) gradient at ``w`` with the intercept ``b``."""
    coef, intercept = problem.design.to_public(w[:, None], b)
    return problem.gradient(coef[:, 0], intercept)


def test_samples_are_drawn_by_their_chances(rng):
    X = rng.standard_normal((6, 3)) * np.array([1.0, 2, 0.1, 1, 3, 1])[:, None]
    problem = gs.Problem(
        X, np.arange(6.0), gs.losses.Quadratic(), gs.L1(0.1), fit_intercept=False,
        sample_weight=np.array([1.0, 1, 1, 0, 1, 1]),
    )  # fmt: skip
    sampler = Sampler.of(problem, split(problem, 2), 4, 0)
    counts = np.bincount(sampler.draw(5000, 2).ravel(), minlength=6)
    assert counts[3] == 0
    np.testing.assert_allclose(counts / counts.sum(), np.diff(sampler.edges, prepend=0), atol=0.01)


def test_sampled_coder_refuses_what_is_no_sum_and_checks_its_arguments(rng):
    for name in ("blocks", "batch", "cycles"):
        with pytest.raises(ValueError, match=f"{name} must be >= 1"):
            VRACODER(**{name: 0})
    X, times = rng.standard_normal((30, 4)), rng.exponential(size=30)
    cox = gs.Problem(X, np.column_stack([times, np.ones(30)]), gs.losses.Cox(), gs.L1(0.1))
    with pytest.raises(UnsupportedProblem, match="samples interact"):
        cox.solve("vracoder")
    several = gs.Problem(X, X[:, :2], gs.losses.Quadratic(), gs.L1(0.1))
    with pytest.raises(UnsupportedProblem, match="2 columns"):
        several.solve("vracoder")
    assert lasso(0.1).solve().solver != "VRACODER"
    problem = gs.Problem(X, times, gs.losses.Quadratic(), gs.L1(0.01))
    # a snapshot, and ceil(30 / 16) cycles of two blocks and eight samples each
    assert VRACODER().passes(problem) == 1 + 32 / 30
    assert VRACODER(cycles=15).passes(problem) == 1 + 15 * 16 / 30
