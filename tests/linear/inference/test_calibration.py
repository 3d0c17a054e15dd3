"""Each method keeps its promise over repeated simulations; ``-s`` prints the figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import gossamer as gs

pytestmark = pytest.mark.slow


def chain(p: int, correlation: float) -> np.ndarray:
    return correlation ** np.abs(np.subtract.outer(np.arange(p), np.arange(p)))


def simulated(
    seed: int, n: int, p: int, k: int, size: float, correlation: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of a chain of features, k of them with effects, and noise of variance one."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) @ np.linalg.cholesky(chain(p, correlation)).T
    w = np.zeros(p)
    w[rng.choice(p, k, replace=False)] = size * rng.choice([-1.0, 1.0], k)
    return X, X @ w + rng.standard_normal(n), w


def at_most(values: np.ndarray, promise: float, what: str) -> None:
    """The mean is at most what was promised, within two standard errors of the simulation."""
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    print(f"{what}: {mean:.4f} (± {error:.4f}), promised at most {promise:.4f}, {len(values)} runs")
    assert mean <= promise + 2 * error


# folds few and strengths coarse: the promise does not depend on how good the lasso is
QUICK = gs.LassoCV(n_alphas=20, cv=3, alpha_min_ratio=0.05, tol=1e-3)
FILTERS = {
    "model-X sdp": {"estimator": QUICK, "covariance": chain(40, 0.4), "mean": np.zeros(40)},
    "model-X equi": {
        "estimator": QUICK,
        "covariance": chain(40, 0.4),
        "mean": np.zeros(40),
        "construction": "equi",
    },
    "model-X estimated": {"estimator": QUICK},
    "model-X derandomised": {"estimator": gs.Lasso(alpha=0.1), "n_draws": 5},
    "fixed-X sdp": {"estimator": QUICK, "design": "fixed"},
    "fixed-X equi": {"estimator": QUICK, "design": "fixed", "construction": "equi"},
}


def false_share(selected: np.ndarray, w: np.ndarray) -> float:
    return float((w[selected] == 0).sum() / max(len(selected), 1))


@pytest.mark.parametrize("name", FILTERS)
def test_knockoffs_keep_the_false_discovery_rate(name: str) -> None:
    shares, power = [], []
    for seed in range(200):
        X, y, w = simulated(seed, 200, 40, 12, 0.35, 0.4)
        found = gs.Knockoffs(fdr=0.2, random_state=seed, **FILTERS[name]).fit(X, y)
        shares.append(false_share(found.selected_, w))
        power.append((w[found.selected_] != 0).sum() / 12)
    at_most(np.array(shares), 0.2, f"knockoffs {name}, power {np.mean(power):.2f}, FDR")


def test_knockoffs_keep_it_for_classes() -> None:
    model = gs.SparseLogistic(alpha=0.03)
    shares, power = [], []
    for seed in range(200):
        X, z, w = simulated(seed, 300, 40, 12, 1.0, 0.4)
        filtered = gs.Knockoffs(model, fdr=0.2, covariance=chain(40, 0.4), random_state=seed)
        found = filtered.fit(X, z > 0)
        shares.append(false_share(found.selected_, w))
        power.append((w[found.selected_] != 0).sum() / 12)
    at_most(np.array(shares), 0.2, f"knockoffs logistic, power {np.mean(power):.2f}, FDR")


@pytest.mark.parametrize(("n", "p"), [(100, 200), (200, 60)])
def test_debiased_intervals_cover(n: int, p: int) -> None:
    inactive, active, wrong = [], [], []
    for seed in range(200):
        X, y, w = simulated(seed, n, p, 5, 1.0, 0.5)
        model = gs.DebiasedLasso().fit(X, y)
        low, high = model.confidence_intervals(0.95).T
        covered = (low <= w) & (w <= high)
        inactive.append(covered[w == 0].mean())
        active.append(covered[w != 0].mean())
        wrong.append((model.adjusted_p_values()[w == 0] <= 0.05).any())
    print(
        f"debiased lasso, {n} x {p}: 95 % intervals cover {np.mean(inactive):.4f} of the "
        f"coefficients without and {np.mean(active):.4f} of those with an effect, 200 runs; "
        f"Holm at 5 % has a false one in {np.mean(wrong):.3f} of them"
    )
    assert 0.93 <= np.mean(inactive) <= 0.97
    assert 0.93 <= np.mean(active) <= 0.97


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_post_selection_intervals_cover(correlation: float) -> None:
    covered: list[bool] = []
    for seed in range(400):
        X, y, w = simulated(seed, 60, 80, 3, 0.5, correlation)
        model = gs.PostSelection(alpha=0.3, noise=1.0).fit(X, y)
        centred = X - X.mean(axis=0)
        target = np.linalg.lstsq(centred[:, model.selected_], centred @ w)[0]
        low, high = model.confidence_intervals(0.9).T
        covered.extend((low <= target) & (target <= high))
    print(
        f"post-selection, correlation {correlation}: 90 % intervals cover {np.mean(covered):.4f} "
        f"of {len(covered)} targets"
    )
    # four standard errors of independent draws: those of one fit are related
    assert abs(np.mean(covered) - 0.9) <= 4 * np.sqrt(0.09 / len(covered))


@pytest.mark.parametrize("k", [0, 3])
def test_multi_split_keeps_the_family_wise_error(k: int) -> None:
    wrong, power = [], []
    model = gs.Lasso(alpha=0.25)
    for seed in range(200):
        X, y, w = simulated(seed, 120, 80, k, 1.0, 0.3)
        found = gs.MultiSplit(model, n_splits=20, random_state=seed).fit(X, y)
        wrong.append((w[found.selected_] == 0).any())
        power.append((w[found.selected_] != 0).sum() / max(k, 1))
    name = f"multi-split, {k} effects, power {np.mean(power):.2f}, family-wise error"
    at_most(np.array(wrong, dtype=float), 0.05, name)


NOISES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "heavy": lambda rng, n: rng.standard_t(3, n),
}


@pytest.mark.parametrize("assumption", ["none", "unimodal", "r-concave"])
@pytest.mark.parametrize("noise", NOISES)
def test_stability_selection_keeps_its_bound(noise: str, assumption: str) -> None:
    false, power, bound = [], [], np.inf
    for seed in range(60):
        X, y, w = simulated(seed, 100, 100, 4, 1.0, 0.3)
        y = X @ w + NOISES[noise](np.random.default_rng([seed, 1]), 100)
        stable = gs.StabilitySelection(
            gs.Lasso(standardise=True, tol=1e-3), max_false=1.0, threshold=0.6, n_pairs=25,
            assumption=assumption, n_alphas=25, random_state=seed,
        ).fit(X, y)  # fmt: skip
        false.append((w[stable.selected_] == 0).sum())
        power.append((w[stable.selected_] != 0).sum() / 4)
        bound = stable.bound_
    name = f"stability selection, {noise} noise, {assumption}, q = {stable.n_selected_}"
    at_most(np.array(false, dtype=float), bound, f"{name}, power {np.mean(power):.2f}, E[V]")
