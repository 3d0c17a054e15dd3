"""Multi-sample splitting: tests as in scipy and by definition, p-values aggregated as published."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import linregress, norm

import gossamer as gs
from gossamer.core.errors import ConvergenceWarning
from gossamer.linear.inference import aggregated_p_values
from gossamer.linear.inference.classical import wald_p_values


def data(n: int = 100, p: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    return X, X[:, 3] - X[:, 7] + 0.5 * rng.standard_normal(n)


def test_t_tests_are_those_of_scipy() -> None:
    X, y = np.random.default_rng(1).standard_normal((2, 20, 1))
    y = y[:, 0]
    ours = wald_p_values(X, y[:, None], gs.losses.Quadratic())
    assert ours[0] == pytest.approx(linregress(X[:, 0], y).pvalue)


@pytest.mark.parametrize("loss", [gs.losses.Logistic(), gs.losses.Poisson()])
def test_wald_tests_follow_from_the_likelihood(loss: gs.core.Loss) -> None:
    """Against a general minimiser and a Hessian by differences."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 3))
    z = 0.3 + X @ [0.8, -0.4, 0.0]
    y = (rng.random(150) < 1 / (1 + np.exp(-z))) if type(loss).__name__ == "Logistic" else None
    target = loss.encode(rng.poisson(np.exp(z)) if y is None else y.astype(int))
    table = np.column_stack([np.ones(150), X])

    def value(w: np.ndarray) -> float:
        return float(loss.value((table @ w)[:, None], target).sum())

    def slope(w: np.ndarray) -> np.ndarray:
        return table.T @ loss.gradient((table @ w)[:, None], target)[:, 0]

    best = minimize(value, np.zeros(4), jac=slope, method="BFGS", options={"gtol": 1e-8}).x
    hessian = np.array([(slope(best + h) - slope(best - h)) / 2e-5 for h in 1e-5 * np.eye(4)])
    error = np.sqrt(np.diag(np.linalg.inv(hessian)))
    expected = 2 * norm.sf(np.abs(best) / error)[1:]
    np.testing.assert_allclose(wald_p_values(X, target, loss), expected, rtol=1e-4)


def test_what_cannot_be_told_apart_gets_one() -> None:
    X, y = data(60, 8)
    X, y = X[:, :5], X[:, 3] + 0.1 * y
    X[:, 4] = 2 * X[:, 3]
    p_values = wald_p_values(X, y[:, None], gs.losses.Quadratic())
    assert p_values[4] == 1
    assert p_values[3] < 1e-6
    # classes that one feature separates: its coefficient grows without end, and so does its error
    split = gs.losses.Logistic().encode((X[:, 0] > 0).astype(int))
    assert wald_p_values(X[:, :1], split, gs.losses.Logistic())[0] > 0.5
    assert len(wald_p_values(X[:, :0], y[:, None], gs.losses.Quadratic())) == 0


def test_aggregation_is_the_infimum_over_all_quantiles() -> None:
    p_values = np.random.default_rng(0).random((20, 6)) ** 4
    shares = np.linspace(0.05, 1, 20_001)[1:]
    # the quantile of the definition is the smallest value that so large a share is at most
    quantiles = np.quantile(p_values, shares, axis=0, method="inverted_cdf")
    by_grid = (1 - np.log(0.05)) * (quantiles / shares[:, None]).min(axis=0)
    ours = aggregated_p_values(p_values, 0.05)
    np.testing.assert_allclose(ours, np.minimum(by_grid, 1), rtol=1e-3)
    assert (ours <= np.minimum(by_grid, 1) + 1e-12).all()
    assert aggregated_p_values(np.full((7, 1), 0.01))[0] == pytest.approx(0.01 * (1 - np.log(0.05)))


def test_threads_and_seeds() -> None:
    X, y = data()
    one, two = (
        gs.MultiSplit(gs.Lasso(alpha=0.2), n_splits=6, random_state=1, n_jobs=jobs).fit(X, y)
        for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.p_values_, two.p_values_)
    np.testing.assert_array_equal(one.selected_, [3, 7])
    assert one.summary()["feature"].tolist()[:2] == ["x3", "x7"]


@pytest.mark.parametrize("kind", ["logistic", "poisson", "sklearn"])
def test_other_losses_and_estimators(kind: str) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 20))
    z = X[:, 3] - X[:, 7]
    y = np.where(z + rng.logistic(size=300) > 0, "yes", "no")
    model = {
        "logistic": gs.SparseLogistic(alpha=0.05),
        "poisson": gs.SparsePoisson(alpha=0.2),
        "sklearn": LogisticRegression(C=0.05, l1_ratio=1.0, solver="liblinear"),
    }[kind]
    if kind == "poisson":
        y = rng.poisson(np.exp(0.5 * z))
    found = gs.MultiSplit(model, n_splits=8, random_state=0).fit(X, y)
    np.testing.assert_array_equal(found.selected_, [3, 7])


def test_an_interrupt_keeps_the_splits_that_are_done() -> None:
    X, y = data()
    steps = iter([None, None, KeyboardInterrupt()])

    def step() -> None:
        if (error := next(steps, None)) is not None:
            raise error

    with pytest.warns(ConvergenceWarning, match="rests? on"):
        found = gs.MultiSplit(gs.Lasso(alpha=0.2), n_splits=9).fit(X, y, on_step=step)
    assert 2 <= found.n_splits_ < 9


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_splits": 0}, "n_splits"),
        ({"fwer": 5}, "fwer"),
        ({"smallest_share": 0.0}, "smallest_share"),
        ({"estimator": gs.SparseModel(gs.losses.Huber())}, "quadratic, logistic and Poisson"),
    ],
)
def test_what_makes_no_sense_is_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gs.MultiSplit(**parameters).fit(*data())


def test_too_few_samples_and_too_many_classes() -> None:
    X, y = data(6)
    with pytest.raises(ValueError, match="too few to split"):
        gs.MultiSplit().fit(X, y)
    X, y = data(60)
    with pytest.raises(ValueError, match="two classes"):
        gs.MultiSplit(gs.SparseLogistic()).fit(X, np.arange(60) % 3)


def test_what_is_no_estimator_is_refused(rng):
    with pytest.raises(TypeError, match=r"estimator must be one such as Lasso\(0.1\), got 3"):
        gs.MultiSplit(3).fit(rng.standard_normal((30, 3)), rng.standard_normal(30))
