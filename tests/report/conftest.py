"""Summaries of made-up fits that look like real ones: one a kind of task, and an empty one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gossamer.report import FitSummary, render_report

VERSIONS = {"gossamer": "0.1.0", "numpy": "2.4.6", "scipy": "1.17.1", "python": "3.11.7"}
COUNT_FEATURES = "age income chronic hospital_days insured école 温度 a$b$c h i j k l m".split()


def entering_path(rng, alphas, n_features, n_entering, shape=()):
    """Coefficients that enter one after the other and grow as the penalty weakens."""
    coefs = np.zeros((alphas.size, n_features, *shape))
    which = rng.choice(n_features, n_entering, replace=False)
    enter = alphas[0] * np.exp(-np.sort(rng.exponential(1.3, n_entering)) - 0.02)
    decay = np.exp(-np.linspace(0, 1.4, n_entering))
    size = rng.normal(size=(n_entering, *shape)) * decay.reshape(-1, *(1,) * len(shape))
    growth = np.maximum(np.log(enter[None, :] / alphas[:, None]), 0) ** 0.8
    coefs[:, which] = growth.reshape(*growth.shape, *(1,) * len(shape)) * size
    return coefs


def criterion_curve(alphas, best):
    distance = np.log(alphas / alphas[best])
    stronger, weaker = np.maximum(distance, 0), np.minimum(distance, 0)
    mean = 0.35 + 0.25 * stronger**1.5 / (1 + 0.3 * stronger) + 0.03 * weaker**2
    return mean, 0.03 + 0.04 * mean


def certificate(**changes):
    facts = {
        "value": 3.1e-7,
        "kind": "global",
        "gap": 4.3e-7,
        "violation": 8.8e-6,
        "objective": 0.318442,
        "null_objective": 1.386294,
        "tol": 1e-6,
        "holds": True,
    }
    return {**facts, **changes}


def common(rng, path, alphas, best, n_features):
    mean, se = criterion_curve(alphas, best)
    selected = int(np.argmax(mean <= mean[best] + se[best]))
    sizes = path != 0
    nonzero = sizes.any(axis=2).sum(axis=1) if path.ndim == 3 else sizes.sum(axis=1)
    size = np.abs(path[selected]) if path.ndim == 2 else np.linalg.norm(path[selected], axis=1)
    shares = np.clip(
        size / (size + 0.15 * size.max() + 1e-12) + rng.normal(0, 0.05, n_features), 0, 1
    )
    shares = np.where((size > 0) | (rng.random(n_features) < 30 / n_features), shares, 0)
    return {
        "alphas": alphas,
        "path_coefs": path,
        "path_nonzero": nonzero,
        "path_certificates": 10 ** rng.uniform(-9, -6.05, alphas.size),
        "criterion": "one-standard-error",
        "cv_mean": mean,
        "cv_se": se,
        "index_min": best,
        "index_selected": selected,
        "coef": path[selected],
        "certificate": certificate(),
        "n_iter": 214,
        "seconds": 3.42,
        "stability": shares,
        "n_resamples": 100,
        "versions": VERSIONS,
        "seed": 0,
        "created": "2025-11-21",
    }


def make_classification() -> FitSummary:
    rng = np.random.default_rng(0)
    classes = ["BL", "EWS", "NB", "RMS"]
    alphas = np.geomspace(0.42, 0.0042, 60)
    path = entering_path(rng, alphas, 2308, 46, (4,))
    path[np.abs(path) < 0.18] = 0
    y_test = np.repeat(np.arange(4), [3, 6, 6, 5])
    y_train = np.repeat(np.arange(4), [8, 23, 12, 20])
    logits = 3.2 * np.eye(4)[y_test] + rng.normal(0, 0.7, (20, 4))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return FitSummary(
        title="khan.parquet",
        task="classification",
        n_train=63,
        n_test=20,
        n_features=2308,
        target="tumour",
        loss="Multinomial",
        loss_why="tumour holds 4 classes",
        penalty="group lasso on rows: a gene is in or out for all classes at once",
        objective="mean of log-sum-exp(z) - z_y  +  α sum over genes of ||w_gene||",
        feature_names=[f"gene {i}" for i in range(2308)],
        feature_unit="standard deviation",
        classes=classes,
        intercept=np.array([-0.81, 0.33, 0.12, 0.36]),
        cv_score_name="multinomial deviance",
        y_train=y_train,
        prediction_train=y_train,
        y_test=y_test,
        prediction_test=probability.argmax(axis=1),
        probability_test=probability,
        metrics={"accuracy": (1.0, 1.0), "log loss": (0.0712, 0.1284)},
        command=["gossamer", "fit", "khan.parquet", "--target", "tumour", "-o", "khan out"],
        **common(rng, path, alphas, 26, 2308),
    )


def make_regression() -> FitSummary:
    rng = np.random.default_rng(1)
    alphas = np.geomspace(3.1, 0.031, 100)
    path = entering_path(rng, alphas, 1107, 140)
    y_train, y_test = rng.normal(41, 9, 132), rng.normal(41, 9, 33)
    names = [f"descriptor_{i}" for i in range(1107)]
    for i in np.argsort(-np.abs(path[40]))[:3]:
        names[i] = f"mean_partial_charge_of_the_solvent_accessible_surface_{i}"
    return FitSummary(
        title="permeability.csv",
        task="regression",
        n_train=132,
        n_test=33,
        n_features=1107,
        target="permeability",
        loss="Quadratic",
        loss_why="permeability holds 119 different numbers",
        penalty="lasso (L1 on elements)",
        objective="1/(2n) ||y - Xw - b||² + α ||w||₁",
        feature_names=names,
        intercept=41.27,
        cv_score_name="mean squared error",
        y_train=y_train,
        prediction_train=y_train * 0.8 + 8.2 + rng.normal(0, 3, 132),
        y_test=y_test,
        prediction_test=y_test * 0.7 + 12 + rng.normal(0, 4, 33),
        metrics={"R²": (0.861, 0.634), "RMSE": (3.41, 5.92)},
        notes=["12 constant columns were dropped: they cannot predict anything."],
        command=["gossamer", "fit", "permeability.csv", "--target", "permeability", "-o", "out"],
        **common(rng, path, alphas, 40, 1107),
    )


def make_counts() -> FitSummary:
    rng = np.random.default_rng(2)
    alphas = np.geomspace(1.4, 0.05, 50)
    path = entering_path(rng, alphas, 14, 11)
    mean = np.exp(rng.normal(1.5, 1.2, 2400))
    y = rng.poisson(mean).astype(float)
    facts = common(rng, path, alphas, 30, 14)
    facts |= {
        "certificate": certificate(kind="coordinate-wise", gap=float("nan")),
        "criterion": "ebic",
        "cv_se": None,
        "index_selected": 30,
        "index_min": 30,
        "coef": path[30],
        "stability": None,
        "n_resamples": 0,
    }
    return FitSummary(
        title="visits.csv",
        task="counts",
        n_train=2000,
        n_test=400,
        n_features=14,
        target="visits",
        loss="Poisson",
        loss_why="visits holds whole numbers from 0 to 131",
        penalty="MCP on elements, gamma = 3",
        feature_names=COUNT_FEATURES,
        intercept=1.5,
        cv_score_name="EBIC",
        y_train=y[:2000],
        prediction_train=mean[:2000],
        y_test=y[2000:],
        prediction_test=mean[2000:] * np.exp(rng.normal(0, 0.2, 400)),
        metrics={"deviance explained": (0.81, 0.79)},
        command=["gossamer", "fit", "visits.csv", "--target", "visits", "--penalty", "mcp"],
        **facts,
    )


def make_nothing() -> FitSummary:
    """A fit in which the criterion prefers the empty model."""
    summary = make_regression()
    coef = np.zeros(summary.n_features)
    rising = np.linspace(1, 1.4, summary.alphas.size)
    return replace(
        summary,
        title="noise.csv",
        index_selected=0,
        index_min=0,
        coef=coef,
        cv_mean=rising,
        cv_se=0.1 * rising,
        stability=coef,
        n_train=165,
        n_test=0,
        y_train=np.concatenate([summary.y_train, summary.y_test]),
        prediction_train=np.full(165, 41.27),
        y_test=None,
        prediction_test=None,
        metrics={"R²": (0.0, None), "RMSE": (9.12, None)},
        certificate=certificate(holds=False, value=2.3e-4),
    )


MAKERS = {
    "classification": make_classification,
    "regression": make_regression,
    "counts": make_counts,
    "nothing": make_nothing,
}


@pytest.fixture(params=sorted(MAKERS))
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of fit in turn."""
    return request.param


@pytest.fixture
def summary(kind: str) -> FitSummary:
    """The summary of each kind of fit in turn."""
    return MAKERS[kind]()


@pytest.fixture
def make() -> dict[str, Callable[[], FitSummary]]:
    """The makers by name, for tests that need one kind."""
    return MAKERS


@pytest.fixture(scope="session")
def page_of() -> Callable[[str], str]:
    """The rendered report of a kind of fit; each is rendered once for all tests."""
    return cache(lambda kind: render_report(MAKERS[kind]()))
