"""Local privacy: the promise of the mechanisms is exact, and the error falls as the bound says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.utils.estimator_checks import parametrize_with_checks

import gossamer as gs
from gossamer.linear.online import (
    GaussianMechanism,
    PrivacyLedger,
    PrivateSparseRegression,
    SphereMechanism,
)
from gossamer.linear.online.mechanisms import gaussian_delta
from gossamer.linear.online.private import largest


@parametrize_with_checks(
    [PrivateSparseRegression(), PrivateSparseRegression(interactive=False, delta=1e-6)]
)
def test_scikit_learn_contract(estimator: Any, check: Any) -> None:
    check(estimator)


# -- the mechanisms


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_reports_of_two_people_are_as_likely_up_to_the_factor(
    epsilon: float, dimension: int, rng: np.random.Generator
) -> None:
    mechanism = SphereMechanism(epsilon, 2.0, dimension)
    reports = mechanism.report(rng.standard_normal((400, dimension)), rng)
    np.testing.assert_allclose(np.linalg.norm(reports, axis=1), mechanism.reach)
    worst = 0.0
    for _ in range(200):
        one, two = 3 * rng.standard_normal((2, dimension))
        ratio = mechanism.density(reports, one) / mechanism.density(reports, two)
        worst = max(worst, float(ratio.max()))
        assert ratio.max() <= np.exp(epsilon) * (1 + 1e-12)
    # the promise is used up, not merely kept
    assert worst > 0.99 * np.exp(epsilon)


def test_the_density_is_that_of_the_reports(rng: np.random.Generator) -> None:
    mechanism = SphereMechanism(1.0, 1.0, 3)
    vector = np.array([0.3, 0.4, 0.0])
    reports = mechanism.report(np.tile(vector, (50_000, 1)), rng)
    uniform = rng.standard_normal((50_000, 3))
    uniform *= mechanism.reach / np.linalg.norm(uniform, axis=1)[:, None]
    assert abs(mechanism.density(uniform, vector).mean() - 1) < 0.01
    for direction in (vector, np.array([1.0, -1.0, 2.0])):
        found = (reports @ direction >= 0).mean()
        inside = uniform @ direction >= 0
        expected = (mechanism.density(uniform, vector) * inside).mean()
        assert abs(found - expected) < 0.01


def test_the_normal_deviation_is_the_smallest(rng: np.random.Generator) -> None:
    mechanism = GaussianMechanism(0.7, 1.5, 4, 1e-5)
    assert gaussian_delta(0.7, mechanism.noise / 3.0) == pytest.approx(1e-5, rel=1e-6)
    # the same by integration: the mass by which one density exceeds exp(epsilon) times the other
    z = np.linspace(-80, 80, 400_001)
    one, two = norm.pdf(z, 0.0, mechanism.noise / 3.0), norm.pdf(z, 1.0, mechanism.noise / 3.0)
    assert np.trapezoid(np.maximum(one - np.exp(0.7) * two, 0), z) == pytest.approx(1e-5, rel=1e-3)
    classical = 3.0 * np.sqrt(2 * np.log(1.25 / 1e-5)) / 0.7
    assert mechanism.noise < classical


@pytest.mark.parametrize(
    "kind", [SphereMechanism(1.0, 1.0, 4), GaussianMechanism(1.0, 1.0, 4, 1e-3)]
)
def test_reports_are_unbiased_and_noise_is_bounded(kind: Any, rng: np.random.Generator) -> None:
    vector = np.array([0.5, -0.2, 0.0, 0.1])
    reports = kind.report(np.tile(vector, (100_000, 1)), rng)
    np.testing.assert_allclose(reports.mean(axis=0), vector, atol=5 * kind.noise / np.sqrt(1e5))
    assert reports.std(axis=0).max() < 1.02 * kind.noise
    far = kind.report(np.tile(100 * vector, (100_000, 1)), rng).mean(axis=0)
    np.testing.assert_allclose(np.linalg.norm(far), 1.0, atol=0.05)


def test_what_is_no_number_is_reported_as_nothing(rng: np.random.Generator) -> None:
    reports = SphereMechanism(1.0, 1.0, 2).report(np.array([[np.nan, 1.0], [np.inf, 0.0]]), rng)
    assert np.isfinite(reports).all()


# -- the ledger


def test_a_ledger_sums_and_refuses() -> None:
    ledger = PrivacyLedger(max_epsilon=1.0, max_delta=1e-5)
    ledger.charge(np.array(["a", "b"]), 0.5, 1e-6, "Gaussian")
    ledger.charge(np.array(["b"]), 0.5, 1e-6, "Gaussian")
    with pytest.raises(ValueError, match=r"user .*'b'.* would have given away epsilon = 1.5"):
        ledger.charge(np.array(["a", "b"]), 0.5, 0.0, "sphere")
    assert ledger.spent("a") == (0.5, 1e-6) and ledger.worst == (1.0, 2e-6)
    assert PrivacyLedger().worst == (0.0, 0.0)


def test_many_small_reports_compose_by_their_root() -> None:
    ledger = PrivacyLedger()
    for _ in range(400):
        ledger.charge(np.array([7]), 0.01, 0.0, "sphere")
    epsilon, delta = ledger.spent(7, slack=1e-6)
    assert delta == 1e-6
    expected = np.sqrt(2 * 400 * np.log(1e6)) * 0.01 + 400 * 0.01 * np.expm1(0.01)
    assert epsilon == pytest.approx(expected) and epsilon < ledger.spent(7)[0]


# -- the estimator


def study(
    n: int, rng: np.random.Generator, p: int = 16
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of a known length, and targets of a known bound."""
    X = rng.choice([-1.0, 1.0], (n, p)) / np.sqrt(p)
    w = np.zeros(p)
    w[[1, p // 2]] = 1.2, -0.8
    return X, X @ w + rng.uniform(-0.1, 0.1, n), w


def private(p: int = 16, **arguments: Any) -> PrivateSparseRegression:
    """Steps of one over the second moment; a gradient is seldom longer than half."""
    plain = {"random_state": 0, "step": float(p), "n_rounds": 4, "gradient_bound": 1.0}
    return PrivateSparseRegression(2, **(plain | arguments))


@pytest.mark.parametrize("interactive", [True, False])
@pytest.mark.parametrize("delta", [0.0, 1e-6])
def test_the_support_is_found(interactive: bool, delta: float, rng: np.random.Generator) -> None:
    X, y, w = study(60_000, rng)
    model = private(interactive=interactive, epsilon=4.0, delta=delta).fit(X, y)
    np.testing.assert_array_equal(np.flatnonzero(model.coef_), np.flatnonzero(w))
    assert model.ledger_.worst == (4.0, delta)
    users, epsilons, _ = model.ledger_.totals()
    assert len(users) == 60_000 and (epsilons == 4.0).all()


def test_without_noise_the_moments_give_least_squares(rng: np.random.Generator) -> None:
    X, y, _ = study(2000, rng, p=4)
    model = private(4, interactive=False, target_bound=2.0)
    model.noise_level_ = 0.0
    found = model._estimate(model._moments(X, y).mean(axis=0), 4)
    np.testing.assert_allclose(found, largest(np.linalg.lstsq(X, y, rcond=None)[0], 2))


def test_reports_of_users_add_up_to_the_fit(rng: np.random.Generator) -> None:
    X, y, _ = study(3000, rng, p=4)
    model = private(4, interactive=False, epsilon=2.0)
    reports = model.reports(X, y)
    server = private(4, interactive=False, epsilon=2.0).fit_reports(reports)
    np.testing.assert_allclose(server.coef_, model.fit(X, y).coef_)
    assert server.ledger_.worst == (2.0, 0.0) and server.predict(X).shape == (3000,)
    with pytest.raises(ValueError, match=r"13 columns, which are not p \(p \+ 3\) / 2"):
        server.fit_reports(reports[:, :13])
    with pytest.raises(ValueError, match="interactive=False"):
        private(4).fit_reports(reports)
    gradient = private(4, epsilon=30.0).reports(X, y, np.zeros(4)).mean(axis=0)
    np.testing.assert_allclose(gradient, -(X.T @ y) / len(y), atol=0.1)


def test_rows_of_one_user_need_a_larger_limit(rng: np.random.Generator) -> None:
    X, y, _ = study(100, rng)
    users = np.arange(100) // 2
    with pytest.raises(ValueError, match="max_epsilon"):
        private().fit(X, y, users=users)
    assert private(max_epsilon=2.0).fit(X, y, users=users).ledger_.worst == (2.0, 0.0)
    with pytest.raises(ValueError, match="users must have shape"):
        private().fit(X, y, users=users[:5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": 0.0}, "epsilon must be > 0"),
        ({"delta": 1.0}, "delta must be in"),
        ({"feature_bound": -1.0}, "feature_bound must be"),
        ({"gradient_bound": 0.0}, "gradient_bound must be > 0"),
        ({"n_rounds": 0}, "n_rounds must be"),
    ],
)
def test_arguments_are_named(arguments: dict, message: str, rng: np.random.Generator) -> None:
    X, y, _ = study(50, rng)
    with pytest.raises(ValueError, match=message):
        private(**arguments).fit(X, y)


def test_a_model_file_keeps_the_ledger(rng: np.random.Generator, tmp_path: Path) -> None:
    X, y, _ = study(200, rng)
    model = private().fit(X, y)
    gs.save(model, tmp_path / "model.gossamer")
    again = gs.load(tmp_path / "model.gossamer")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.ledger_.worst == model.ledger_.worst


@pytest.mark.slow
@pytest.mark.parametrize("interactive", [True, False])
def test_the_error_falls_as_the_bound(interactive: bool) -> None:
    """Row 119: the error goes as 1 / (sqrt(n) epsilon) both ways."""

    def error(n: int, epsilon: float, p: int = 4) -> float:
        errors = []
        for seed in range(20):
            X, y, w = study(n, np.random.default_rng(seed), p)
            model = private(p, interactive=interactive, epsilon=epsilon, random_state=seed)
            errors.append(float(np.linalg.norm(model.fit(X, y).coef_ - w)))
        return float(np.mean(errors))

    sizes, budgets = np.array([20_000, 80_000, 320_000]), np.array([0.35, 0.7, 1.4])
    of_size = [error(n, 1.0) for n in sizes]
    of_budget = [error(80_000, epsilon) for epsilon in budgets]
    in_n = np.polyfit(np.log(sizes), np.log(of_size), 1)[0]
    in_epsilon = np.polyfit(np.log(budgets), np.log(of_budget), 1)[0]
    print(
        f"\ninteractive={interactive}: error {np.round(of_size, 3)} at n {sizes}, slope {in_n:.2f}"
    )
    print(f"error {np.round(of_budget, 3)} at epsilon {budgets}, slope {in_epsilon:.2f}")
    assert -0.7 < in_n < -0.35 and -1.4 < in_epsilon < -0.7
