"""Orthogonal matching pursuit with a price: its formulas, and the claims of the greedy side of the
LASSO (Mohammad-Taheri and Brugiapaglia 2025). With ``-s`` the figures are printed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from gossamer.core import Problem, UnsupportedProblem
from gossamer.losses import LeastAbsolute, Logistic, Quadratic, Quantile, SquareRoot
from gossamer.penalties import L0, L1, AtMost
from gossamer.solvers import OMP, price_gains

_N, _P, _S = 100, 300, 10
_LOSSES = [Quadratic(), SquareRoot(), LeastAbsolute(), Quantile(0.3)]
_PRICES = np.geomspace(1e-4, 0.8, 40)


@pytest.mark.parametrize("price", [L1(0.1), L0(0.02), L1(0.1, weights=np.linspace(0.2, 3, 12))])
@pytest.mark.parametrize(
    "loss", [Quadratic(), SquareRoot(), LeastAbsolute(), Quantile(0.3)], ids=repr
)
def test_gains_are_those_of_a_line_search(loss, price, rng):
    X = rng.standard_normal((40, 12)) * np.linspace(0.5, 2.0, 12)
    problem = Problem(X, X[:, 0] + rng.standard_normal(40), loss, AtMost(3))
    start = problem.start()
    found = price_gains.gains(problem, start, price)

    def cost(t, j):
        w = np.zeros((12, 1))
        w[j] = t
        return problem.mean_loss(problem.linear(w, start.b)) + price.value(w)

    for j, gain in enumerate(found):
        sides = [
            minimize_scalar(cost, bounds=side, args=(j,), method="bounded", options={"xatol": 1e-9})
            for side in ((-4, 0), (0, 4))
        ]
        gained = cost(0.0, j) - min(side.fun for side in sides)
        # below zero, where nothing is gained, a line search ends near zero
        assert max(gain, 0.0) == pytest.approx(max(gained, 0.0), abs=1e-6)


def _signal(seed, noise):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((_N, _P))
    w = np.zeros(_P)
    w[rng.permutation(_P)[:_S]] = rng.standard_normal(_S) + 2 * rng.choice([-1.0, 1.0], _S)
    return X, w, X @ w + noise * rng.standard_normal(_N)


def _errors(loss, noise, prices, seeds=3):
    """(n_prices,) mean relative error of the coefficients."""
    errors = np.zeros(len(prices))
    for seed in range(seeds):
        X, w, y = _signal(seed, noise)
        problem = Problem(X, y, loss, AtMost(3 * _S), fit_intercept=False)
        for i, price in enumerate(prices):
            coef = problem.solve(OMP(price=L1(price)), tol=1e-6).coef
            errors[i] += np.linalg.norm(coef - w) / np.linalg.norm(w) / seeds
    return errors


@pytest.mark.slow
def test_the_square_root_needs_no_noise_level():
    """The best price of the lasso grows with the noise, that of the square root stays."""
    noises = (1e-3, 1e-2, 1e-1)
    best = {}
    for loss in (Quadratic(), SquareRoot()):
        errors = [_errors(loss, noise, _PRICES) for noise in noises]
        best[repr(loss)] = [float(_PRICES[np.argmin(e)]) for e in errors]
        fixed = np.argmin(errors[1])
        losses = [float(e[fixed] / e.min()) for e in errors]
        print(f"\n{loss!r}: best price {np.round(best[repr(loss)], 4)} at noise {noises}; "
              f"error with that of 0.01, beside the best: {np.round(losses, 1)}")  # fmt: skip
        if loss.is_quadratic:
            assert best[repr(loss)][-1] > 20 * best[repr(loss)][0]
            assert max(losses) > 3
        else:
            assert max(losses) < 1.2


@pytest.mark.slow
def test_weights_help_where_the_support_is_half_known():
    """Features known to be likely cost less: fewer samples are needed."""
    found = {}
    for name in ("none", "weights"):
        hits = 0
        for seed in range(20):
            rng = np.random.default_rng(seed)
            X = rng.standard_normal((50, _P))
            support = rng.permutation(_P)[:_S]
            w = np.zeros(_P)
            w[support] = rng.choice([-1.0, 1.0], _S)
            y = X @ w + 1e-2 * rng.standard_normal(50)
            weights = np.ones(_P)
            if name == "weights":
                weights[support[: _S // 2]] = 0.01
            price = L1(0.3, weights=weights)
            problem = Problem(X, y, Quadratic(), AtMost(_S), fit_intercept=False)
            hits += set(problem.solve(OMP(price=price)).certificate.support) == set(support)
        found[name] = hits / 20
    print(f"\nshare of supports found from 50 samples of 300 features: {found}")
    assert found["weights"] >= found["none"] + 0.3


def _corrupted(seed, share):
    """Samples of a sparse signal of which a share is replaced by large errors."""
    rng = np.random.default_rng(seed)
    X, w, y = _signal(seed, 1e-3)
    wrong = rng.permutation(_N)[: int(share * _N)]
    y[wrong] += 100 * rng.standard_normal(len(wrong))
    return X, w, y


@pytest.mark.slow
def test_least_absolute_deviations_tolerate_faults():
    """A tenth of the samples is wrong by far more than the signal."""
    median = {}
    for loss, price in ((Quadratic(), 1.0), (LeastAbsolute(), 0.2)):
        errors = []
        for seed in range(10):
            X, w, y = _corrupted(seed, 0.1)
            problem = Problem(X, y, loss, AtMost(2 * _S), fit_intercept=False)
            coef = problem.solve(OMP(price=L1(price)), tol=1e-6).coef
            errors.append(np.linalg.norm(coef - w) / np.linalg.norm(w))
        median[repr(loss)] = float(np.median(errors))
    print(f"\nrelative error with 10 % of the samples off by 100: {median}")
    assert median["LeastAbsolute()"] < 1e-2
    assert median["Quadratic()"] > 1.0


def test_a_linear_programme_refits_the_absolute_deviations(rng):
    X, _, y = _corrupted(0, 0.05)
    problem = Problem(X, y, LeastAbsolute(), AtMost(_S), fit_intercept=True)
    result = problem.solve(OMP(price=L1(0.2)), tol=1e-5)
    assert result.certificate.holds
    chosen = result.certificate.support
    free = Problem(X[:, chosen], y, LeastAbsolute(), L1(0.0)).solve(tol=1e-8)
    assert problem.objective(result.coef, result.intercept) <= free.certificate.objective + 1e-8


def test_the_search_ends_where_nothing_pays(rng):
    X, w, y = _signal(0, 0.1)
    problem = Problem(X, y, SquareRoot(), AtMost(50), fit_intercept=False)
    result = problem.solve(OMP(price=L1(0.5)))
    assert set(result.certificate.support) == set(np.flatnonzero(w))
    assert result.certificate.holds
    nothing = problem.solve(OMP(price=L1(2.0)))
    assert not nothing.coef.any()


def test_refusals(rng):
    X = rng.standard_normal((20, 5))
    problem = Problem(X, X[:, 0] > 0, Logistic(), AtMost(2))
    with pytest.raises(UnsupportedProblem, match="no closed form"):
        problem.solve(OMP(price=L1(0.1)))
    with pytest.raises(TypeError, match="L1 or L0"):
        OMP(price=0.1)
