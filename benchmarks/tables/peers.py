"""The peers: each yields its answers to a problem, from loose to tight tolerances of its own."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from typing import Any

import numpy as np

import gossamer as gs
from benchmarks import r

TIGHTER = (1e-7, 1e-10, 1e-14)


@dataclass(frozen=True)
class Answer:
    """Points (m, p, K) with their intercepts (m, K), the best of which counts; CPU seconds."""

    coefs: np.ndarray
    intercepts: np.ndarray
    seconds: float


Peer = Callable[[gs.Problem], Iterator[Answer]]


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """The result and mean CPU seconds, after one call that compiles."""
    result, used, calls = action(), 0.0, 0
    while used < 0.2 and calls < 100:
        begun = time.process_time()
        action()
        used, calls = used + time.process_time() - begun, calls + 1
    return result, used / calls


def fitted(make: Callable[[], Any], X: np.ndarray, y: np.ndarray) -> Answer:
    """A model in scikit-learn's shapes, fitted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, seconds = timed(lambda: make().fit(X, y))
    coef, intercept = solution(model, X.shape[1])
    return Answer(coef[None], intercept[None], seconds)


def solution(model: Any, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (p, K) and intercept (K,) of a fitted model."""
    coef = np.reshape(model.coef_, (-1, p)).T
    intercept = np.ravel(getattr(model, "intercept_", 0.0))
    return coef, np.broadcast_to(intercept, coef.shape[1:])


def _family(problem: gs.Problem) -> str:
    return type(problem.loss).__name__.lower()


def _words(problem: gs.Problem) -> dict[str, Any]:
    """What tools.R is told about the loss and the penalty."""
    loss, penalty = problem.loss, problem.penalty
    words: dict[str, Any] = {"family": _family(problem)}
    for name, otherwise in {"l1_ratio": 1.0, "gamma": 3.0, "k": 100}.items():
        words[name] = getattr(penalty, name, otherwise)
    words["penalty"] = type(penalty).__name__
    words["ties"], words["level"] = getattr(loss, "ties", ""), getattr(loss, "level", 0.5)
    words["theta"] = 1 / getattr(loss, "dispersion", 1.0)
    return words


def _target(problem: gs.Problem) -> np.ndarray:
    """The target as tools take it: times and events, class numbers, columns or numbers."""
    if _family(problem) == "cox":
        return problem.y[:, :2]
    if _family(problem) == "multinomial":
        return problem.y.argmax(axis=1)
    return problem.y[:, 0] if problem.y.shape[1] == 1 else problem.y


def _group_labels(problem: gs.Problem) -> np.ndarray | None:
    """Each column's group, from zero; None where the units are no groups."""
    if not isinstance(getattr(problem.penalty, "on", None), gs.Groups):
        return None
    return problem.penalty.unit_form(problem.shape).units.labels


def by_r(tool: str, problem: gs.Problem) -> Iterator[Answer]:
    """A tool of R; where it goes along a path, that takes 20 strengths."""
    if r.version(tool) is None:
        raise ModuleNotFoundError(f"R with {tool}")
    words = _words(problem)
    arrays = {"X": problem.X, "y": _target(problem)}
    arrays |= {"tol": np.array(TIGHTER), "path": np.zeros(1)}
    if not isinstance(problem.penalty, gs.AtMost) and problem.penalty.strength > 0:
        arrays["path"] = np.geomspace(problem.strength_max(), problem.penalty.strength, 20)
    if tool == "L0Learn":  # at other tolerances its paths are of other lengths
        arrays["tol"] = np.array([1e-6])
    if (labels := _group_labels(problem)) is not None:
        arrays["groups"] = labels + 1.0
        arrays["weights"] = problem.penalty.unit_form(problem.shape).weights
        words["penalty"] = "grLasso" if isinstance(problem.penalty, gs.L1) else "grMCP"
    found = r.run(r.TOOLS, arrays, tool=tool, **words)
    p, K = problem.shape
    T = len(arrays["tol"])
    coefs = found["coef"].reshape((p, K, -1, T), order="F")
    intercepts = found["intercept"].reshape((K, -1, T), order="F")
    for t, seconds in enumerate(found["seconds"]):
        yield Answer(np.moveaxis(coefs[..., t], 2, 0), intercepts[..., t].T, float(seconds))


def scikit_learn(problem: gs.Problem) -> Iterator[Answer]:
    from sklearn import linear_model

    X, y, strength = problem.X, _target(problem), problem.penalty.strength
    family, n_outputs = _family(problem), problem.shape[1]
    for tol in TIGHTER:
        limits = {"tol": tol, "max_iter": 10**6}
        if family == "quantile":
            level = problem.loss.level
            make = partial(linear_model.QuantileRegressor, quantile=level, alpha=strength)
        elif n_outputs > 1:
            make = partial(linear_model.MultiTaskLasso, strength, **limits)
        else:
            share = getattr(problem.penalty, "l1_ratio", 1.0)
            make = partial(linear_model.ElasticNet, alpha=strength, l1_ratio=share, **limits)
        yield fitted(make, X, y)


def skglm(problem: gs.Problem) -> Iterator[Answer]:
    from skglm import GeneralizedLinearEstimator, GroupLasso, Lasso, MCPRegression
    from skglm.datafits import Logistic
    from skglm.experimental.sqrt_lasso import SqrtLasso
    from skglm.penalties import L1
    from skglm.solvers import ProxNewton

    X, y, penalty = problem.X, _target(problem), problem.penalty
    strength, family, labels = penalty.strength, _family(problem), _group_labels(problem)
    for tol in TIGHTER:
        limits = {"tol": tol, "max_iter": 1000}
        if family == "squareroot":
            # its loss is the residual's norm
            scaled = strength * np.sqrt(len(y))
            make = partial(SqrtLasso, scaled, fit_intercept=True, **limits)
        elif family == "logistic":
            solver = partial(ProxNewton, fit_intercept=True, **limits)
            make = lambda s=solver: GeneralizedLinearEstimator(Logistic(), L1(strength), s())  # noqa: E731
        elif isinstance(penalty, gs.MCP):
            make = partial(MCPRegression, strength, penalty.gamma, **limits)
        elif labels is not None:
            groups = [np.flatnonzero(labels == g).tolist() for g in range(labels.max() + 1)]
            make = partial(GroupLasso, groups, strength, penalty.weights, **limits)
        else:
            make = partial(Lasso, strength, **limits)
        target = np.where(y > 0, 1.0, -1.0) if family == "logistic" else y
        yield fitted(make, X, target)


def celer(problem: gs.Problem) -> Iterator[Answer]:
    from celer import Lasso

    for tol in TIGHTER:
        make = partial(Lasso, problem.penalty.strength, tol=tol)
        yield fitted(make, problem.X, _target(problem))


def glum(problem: gs.Problem) -> Iterator[Answer]:
    from glum import GeneralizedLinearRegressor, NegativeBinomialDistribution

    family = {"quadratic": "normal", "logistic": "binomial"}.get(_family(problem), _family(problem))
    if family == "negativebinomial":
        family, link = NegativeBinomialDistribution(problem.loss.dispersion), "log"
    else:
        link = "log" if family in ("poisson", "gamma") else "auto"
    share = getattr(problem.penalty, "l1_ratio", 1.0)
    for tol in TIGHTER:
        make = partial(
            GeneralizedLinearRegressor, alpha=problem.penalty.strength, l1_ratio=share,
            family=family, link=link, gradient_tol=tol, max_iter=1000,
        )  # fmt: skip
        yield fitted(make, problem.X, _target(problem))


def abess(problem: gs.Problem) -> Iterator[Answer]:
    from abess import CoxPHSurvivalAnalysis, LinearRegression, LogisticRegression, PoissonRegression

    models = {
        "quadratic": LinearRegression, "logistic": LogisticRegression,
        "poisson": PoissonRegression, "cox": CoxPHSurvivalAnalysis,
    }  # fmt: skip
    X = np.ascontiguousarray(problem.X)
    make = partial(models[_family(problem)], support_size=problem.penalty.k, thread=1)
    yield fitted(make, X, _target(problem))


def scikit_survival(problem: gs.Problem) -> Iterator[Answer]:
    from sksurv.linear_model import CoxnetSurvivalAnalysis

    y = np.array([(e > 0, t) for t, e in problem.y[:, :2]], dtype=[("e", "?"), ("t", "f8")])
    path = np.geomspace(problem.strength_max(), problem.penalty.strength, 20)
    for tol in TIGHTER:
        make = partial(
            CoxnetSurvivalAnalysis, l1_ratio=1.0, alphas=path, tol=tol, max_iter=10**7,
        )  # fmt: skip
        model, seconds = timed(lambda make=make: make().fit(problem.X, y))
        yield Answer(model.coef_.T[-1:, :, None], np.zeros((1, 1)), seconds)


R_TOOLS = ("glmnet", "ncvreg", "grpreg", "L0Learn", "survival", "MASS", "quantreg")
PEERS: dict[str, Peer] = {f"R {tool}": partial(by_r, tool) for tool in R_TOOLS}
PEERS |= {
    "scikit-learn": scikit_learn, "skglm": skglm, "celer": celer, "glum": glum, "abess": abess,
    "scikit-survival": scikit_survival,
}  # fmt: skip


def version_of(peer: str) -> str | None:
    """Its version, None where it is not installed."""
    if peer.startswith("R "):
        return r.version(peer[2:])
    try:
        return distribution_version(peer)
    except PackageNotFoundError:
        return None
