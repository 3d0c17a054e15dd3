"""Sparse streams beside scikit-learn and river: one pass over sparse rows with two labels.

    python -m benchmarks.online [--rows 20000] [--features 20000]

Rows have 30 entries of a skewed choice of features, of which 200 matter. Every contender sees each
row once; its strength of L1 is the one, on a grid, whose number of weights not zero is closest to
that of FTRL, and learning rates are the best of a grid on the test rows, for all. A contender that
is not installed is left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from scipy import sparse
from scipy.special import expit

import gossamer as gs

Fitted = tuple[float, int, float]  # test log loss, weights not zero, seconds


def rows_of(n: int, p: int, seed: int) -> tuple[sparse.csr_array, np.ndarray]:
    """Sparse rows whose features are as frequent as words are, and labels."""
    rng = np.random.default_rng(seed)
    chance = 1 / np.arange(1, p + 1)
    indices = rng.choice(p, size=(n, 30), p=chance / chance.sum())
    entries = np.full(indices.size, 1 / np.sqrt(30))
    starts = 30 * np.arange(n + 1, dtype=np.int32)
    X = sparse.csr_array((entries, indices.ravel().astype(np.int32), starts), shape=(n, p))
    X.sum_duplicates()
    w = np.zeros(p)
    w[np.random.default_rng(0).choice(min(p, 1000), 200, replace=False)] = 8.0
    w *= np.random.default_rng(1).choice([-1.0, 1.0], p)
    return X, (rng.random(n) < expit(X @ w)).astype(int)


def log_loss(z: np.ndarray, y: np.ndarray) -> float:
    return float(gs.losses.Logistic().value(z[:, None], y[:, None].astype(float)).mean())


def judged(model: object, weights: Callable, seconds: float, X: object, y: np.ndarray) -> Fitted:
    coef, intercept = weights(model)
    return log_loss(X @ coef + intercept, y), int(np.count_nonzero(coef)), seconds


def linear_weights(model: object) -> tuple[np.ndarray, float]:
    return np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])  # type: ignore[attr-defined]


def ftrl(train: tuple, test: tuple, alpha: float, rate: float) -> Fitted:
    start = time.perf_counter()
    model = gs.FTRL("logistic", gs.L1(alpha), learning_rate=rate).partial_fit(*train)
    return judged(model, linear_weights, time.perf_counter() - start, *test)


def sgd(train: tuple, test: tuple, alpha: float, rate: float) -> Fitted:
    from sklearn.linear_model import SGDClassifier

    start = time.perf_counter()
    model = SGDClassifier(
        "log_loss", penalty="l1", alpha=alpha, learning_rate="invscaling", eta0=rate, power_t=0.25
    ).partial_fit(*train, classes=[0, 1])
    return judged(model, linear_weights, time.perf_counter() - start, *test)


def river(train: tuple, test: tuple, alpha: float, rate: float) -> Fitted:
    from river import linear_model, optim

    model = linear_model.LogisticRegression(optim.AdaGrad(rate), l1=alpha, intercept_lr=0.1)
    X, y = train
    rows = [
        dict(zip(X.indices[a:b].tolist(), X.data[a:b].tolist(), strict=True))
        for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True)
    ]
    start = time.perf_counter()
    for row, label in zip(rows, y.tolist(), strict=True):
        model.learn_one(row, bool(label))
    seconds = time.perf_counter() - start
    coef = np.zeros(X.shape[1])
    for feature, weight in model.weights.items():
        coef[feature] = weight
    return judged(model, lambda m: (coef, m.intercept), seconds, *test)


CONTENDERS = {"FTRL": (ftrl, None), "SGDClassifier": (sgd, "sklearn"), "river": (river, "river")}
ALPHAS = (3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
RATES = {"FTRL": (0.3, 1.0, 3.0), "SGDClassifier": (0.3, 1.0, 3.0), "river": (0.1, 0.3, 1.0)}


def best_of(name: str, fit: Callable, train: tuple, test: tuple, size: int | None) -> Fitted:
    """The least test loss, among the fits of about ``size`` weights where it is given."""
    alphas = (1e-4,) if size is None else ALPHAS
    fits = [fit(train, test, alpha, rate) for rate in RATES[name] for alpha in alphas]
    if size is not None:
        nearest = min(abs(np.log((one[1] + 1) / size)) for one in fits)
        fits = [one for one in fits if abs(np.log((one[1] + 1) / size)) <= nearest + 0.1]
    return min(fits)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.online", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=20_000)
    options = parser.parse_args()
    train = rows_of(options.rows, options.features, 2)
    test = rows_of(options.rows, options.features, 3)
    ftrl(train, test, 1e-4, 1.0)  # compiles
    size, base = None, 1.0
    print(f"{'':16}{'test log loss':>14}{'weights':>10}{'time / FTRL':>13}")
    for name, (fit, package) in CONTENDERS.items():
        if package is not None and find_spec(package) is None:
            print(f"{name:16}{'not installed':>14}")
            continue
        loss, kept, seconds = best_of(name, fit, train, test, size)
        if size is None:
            size, base = kept, seconds
        print(f"{name:16}{loss:14.4f}{kept:10d}{seconds / base:13.1f}", flush=True)


if __name__ == "__main__":
    main()
