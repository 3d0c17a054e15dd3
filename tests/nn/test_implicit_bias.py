"""Claims about training dynamics, each against an independent reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from gossamer.nn import DiagonalLinear, GradientRegularisation, diagonal_sgd, sensing_descent


# -- large steps ------------------------------------------------------------------------------
def sparse_regression(seed: int, n: int = 40, p: int = 100, k: int = 3) -> tuple:
    X = np.random.default_rng(seed).standard_normal((n, p))
    truth = np.zeros(p)
    truth[:k] = 1.0
    return X, X @ truth, truth


def test_sparsity_grows_with_the_step_size() -> None:
    """Andriushchenko et al. (2023): of SGD runs that all fit, large steps end sparser."""
    steps = [0.01, 0.1, 0.16]
    nonzero, norms, errors = [], [], []
    for seed in range(4):
        X, y, truth = sparse_regression(seed)
        path = diagonal_sgd(X, y, steps, n_steps=40_000, n_records=2)
        assert path.losses[-1].max() < 1e-6
        nonzero.append((np.abs(path.coef) > 0.01).sum(axis=1))
        norms.append(np.abs(path.coef).sum(axis=1))
        errors.append(((path.coef - truth) ** 2).sum(axis=1))
    for measure in (nonzero, norms, errors):
        medians = np.median(measure, axis=0)
        assert medians[2] < 0.95 * medians[1] < medians[0]
    assert np.median(errors, axis=0)[2] < 0.4 * np.median(errors, axis=0)[0]


def test_large_steps_are_thrown_out_of_curved_places() -> None:
    """The loss of a large-step run rises by orders of magnitude after it had fallen."""
    X, y, _ = sparse_regression(0)
    path = diagonal_sgd(X, y, [0.01, 0.16], n_steps=40_000)
    lowest_before = np.minimum.accumulate(path.losses, axis=0)
    rises = (path.losses / lowest_before).max(axis=0)
    assert rises[0] < 10
    assert rises[1] > 1e6


def test_small_start_reaches_the_least_l1_norm() -> None:
    """Small steps from a small start end at the interpolator of least L1 norm (linear program)."""
    X, y, _ = sparse_regression(0, n=25, p=50)
    ones = np.ones(2 * X.shape[1])
    least = linprog(ones, A_eq=np.hstack([X, -X]), b_eq=y).fun
    path = diagonal_sgd(X, y, [0.01], scale=1e-3, n_steps=60_000, large_until=1.0, n_records=2)
    assert path.losses[-1, 0] < 1e-5  # the last coordinates leave the saddle slowly
    assert np.abs(path.coef).sum() == pytest.approx(least, rel=2e-2)


def test_large_start_reaches_the_least_l2_norm() -> None:
    X, y, _ = sparse_regression(0, n=25, p=50)
    path = diagonal_sgd(X, y, [1e-4], scale=10.0, n_steps=20_000, n_records=2)
    least = np.linalg.lstsq(X, y, rcond=None)[0]
    np.testing.assert_allclose(path.coef[0], least, atol=2e-2)


def test_a_diverged_run_leaves_the_others_alone() -> None:
    X, y, _ = sparse_regression(0)
    alone = diagonal_sgd(X, y, [0.01], n_steps=2000)
    both = diagonal_sgd(X, y, [0.01, 5.0], n_steps=2000)
    assert not np.isfinite(both.coef[1]).all()
    np.testing.assert_allclose(both.coef[0], alone.coef[0], rtol=1e-9)  # rounding only


# -- gradient regularisation ------------------------------------------------------------------
def regularised_error(strength: float, epsilon: float) -> float:
    """Squared error of a diagonal network's coefficients after training."""
    n, p, k = 50, 100, 5
    rng = np.random.default_rng(0)
    X = torch.from_numpy(5.0 + np.sqrt(5.0) * rng.standard_normal((n, p)))
    truth = torch.zeros(p, dtype=torch.float64)
    truth[:k] = 1.0
    y = X @ truth
    model = DiagonalLinear(p, scale=0.3).double()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    regularised = GradientRegularisation(model, strength, epsilon)
    for _ in range(2000):
        optimiser.zero_grad()
        loss = regularised.backward(lambda: (model(X) - y).square().mean() / 2)
        optimiser.step()
    assert loss < 1e-4 * y.square().mean()
    return float((model.coef - truth).square().sum())


def test_gradient_regularisation_leads_to_the_rich_regime_and_ascent_strengthens_it() -> None:
    """Karakida et al. (2023): error of descent > none > exact > ascent."""
    descent = regularised_error(0.004, -0.01)
    none = regularised_error(0.0, 0.01)
    exact = regularised_error(0.004, 1e-6)
    ascent = regularised_error(0.004, 0.01)
    assert ascent < 0.85 * exact
    assert exact < 0.95 * none
    assert none < 0.95 * descent


# -- matrix sensing ---------------------------------------------------------------------------
def sensing_problem(d: int = 20, m: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((d, 3)))[0]
    target = (basis * [1.0, 0.6, 0.3]) @ basis.T
    A = rng.standard_normal((m, d, d))
    A = (A + A.transpose(0, 2, 1)) / 2
    return A, np.einsum("mij,ij->m", A, target), target


def best_of_rank(A: np.ndarray, y: np.ndarray, rank: int) -> np.ndarray:
    """The best fit of a rank: descent on a narrow factor from the leading eigenvectors."""
    values, vectors = np.linalg.eigh(np.einsum("m,mij->ij", y, A) / len(y))
    start = vectors[:, -rank:] * np.sqrt(values[-rank:])
    return sensing_descent(A, y, start, n_steps=2000, n_records=2).matrix


def test_descent_passes_the_best_fit_of_every_rank_in_turn() -> None:
    """Jin et al. (2023): the gap to each rank's best fit goes to zero with the start's size."""
    A, y, target = sensing_problem()
    direction = np.random.default_rng(1).standard_normal((20, 20)) / np.sqrt(20)
    best = [best_of_rank(A, y, rank) for rank in (1, 2)]
    gaps, times = [], []
    for size in (1e-2, 1e-5, 1e-8):
        path = sensing_descent(A, y, size * direction, n_steps=1600)
        assert path.distances(target)[-1] < 1e-2
        gaps.append([path.distances(matrix).min() for matrix in best])
        times.append([path.distances(matrix).argmin() for matrix in best])
    gaps_array, times_array = np.array(gaps), np.array(times)
    assert (gaps_array[1:] < 0.5 * gaps_array[:-1]).all()
    assert gaps_array[-1].max() < 0.05
    assert (times_array[:, 0] < times_array[:, 1]).all()
    assert (times_array[1:] > times_array[:-1]).all()


def test_the_rank_grows_by_one_at_a_time() -> None:
    A, y, _ = sensing_problem()
    start = 1e-8 * np.random.default_rng(1).standard_normal((20, 20))
    values = sensing_descent(A, y, start, n_steps=1200).singular_values
    for s in range(2):
        learned = values[:, s] > 0.9 * values[-1, s]
        assert values[learned.argmax(), s + 1] < 0.02


def test_a_narrow_factor_ends_at_its_ranks_best_fit() -> None:
    """The claim's under-parameterised part: the same stages, then the best fit of the width."""
    A, y, _ = sensing_problem()
    start = 1e-4 * np.random.default_rng(1).standard_normal((20, 2))
    path = sensing_descent(A, y, start, n_steps=2000)
    assert path.distances(best_of_rank(A, y, 2))[-1] < 1e-6
    assert path.distances(best_of_rank(A, y, 1)).min() < 0.15


def test_the_gradient_is_that_of_the_stated_objective() -> None:
    A, y, _ = sensing_problem(d=4, m=7)
    U = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    U.requires_grad_(True)
    fit = torch.einsum("mij,ij->m", torch.from_numpy(A), U @ U.T) - torch.from_numpy(y)
    (fit.square().sum() / (4 * len(y))).backward()
    after = U.detach() - 0.01 * U.grad
    path = sensing_descent(A, y, U.detach().numpy(), step_size=0.01, n_steps=1, n_records=2)
    np.testing.assert_allclose(path.matrix, (after @ after.T).numpy(), rtol=1e-12)


# -- refusals ---------------------------------------------------------------------------------
def test_bad_arguments_are_refused() -> None:
    X, y = np.ones((2, 3)), np.ones(2)
    with pytest.raises(ValueError, match="shapes"):
        diagonal_sgd(X, np.ones(3), [0.1])
    with pytest.raises(ValueError, match="step sizes"):
        diagonal_sgd(X, y, [0.1, 0.0])
    with pytest.raises(ValueError, match="warm_up"):
        diagonal_sgd(X, y, [0.1], warm_up=2.0)
    with pytest.raises(ValueError, match="measurements"):
        sensing_descent(np.ones((2, 3, 4)), y, np.ones((3, 1)))
    with pytest.raises(ValueError, match="start"):
        sensing_descent(np.ones((2, 3, 3)), y, np.ones((4, 1)))
    with pytest.raises(ValueError, match="n_features"):
        DiagonalLinear(0)
    with pytest.raises(ValueError, match="scale"):
        DiagonalLinear(3, scale=0.0)
