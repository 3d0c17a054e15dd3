"""Peer solvers, each driven close to machine precision, in gossamer's parametrisation.

Every function takes a :class:`references.Model` and returns (coef, intercept). Scalings and traps,
each found by checking the peer's optimum with the independent duality gap:

* C of logistic regression is 1 / (n strength). liblinear penalises the intercept, as the
  coefficient of a column of constant value: at 1e4 the optimum moves by less than 1e-8.
  scikit-learn's saga needs minutes for the multinomial tables; glmnet's record stands in.
* scikit-learn takes no weights on the penalty: it gets X / weights, and w is scaled back.
* celer's logistic regression has no intercept; its multi-task lasso does not run with
  scikit-learn 1.9.
* skglm wants y in {-1, 1}, int32 groups, and an explicit ``compiled_clone``. Its coordinate
  descent stalls on uncentred, nearly collinear columns (the meats), and its Poisson datafit has no
  Lipschitz constant: ProxNewton only. Each new (datafit, penalty) pair compiles for 2 to 10 s in
  every process.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from references import Model
from sklearn.exceptions import ConvergenceWarning

Solution = tuple[np.ndarray, Any]
Peer = Callable[[Model], Solution]


def _fit(estimator: Any, X: Any, y: np.ndarray) -> Any:
    """Fit without the warning that the tolerance is below rounding: the result is checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y)


def sklearn_linear(model: Model) -> Solution:
    """Lasso, ElasticNet and MultiTaskLasso of scikit-learn (dense X where there are weights)."""
    from sklearn.linear_model import ElasticNet, MultiTaskLasso

    settings = {"fit_intercept": model.fit_intercept, "tol": 1e-14, "max_iter": 200_000}
    if model.on == "rows":
        fitted = _fit(MultiTaskLasso(model.strength, **settings), model.X, model.y)
        return fitted.coef_.T, fitted.intercept_
    ratio = model.parameter if model.penalty == "elastic_net" else 1.0
    estimator = ElasticNet(model.strength, l1_ratio=ratio, positive=model.nonnegative, **settings)
    if model.weights is None:
        fitted = _fit(estimator, model.X, model.y)
        return fitted.coef_, fitted.intercept_
    fitted = _fit(estimator, model.X / model.weights, model.y)
    return fitted.coef_ / model.weights, fitted.intercept_


def liblinear(model: Model) -> Solution:
    """l1 logistic regression of scikit-learn, by coordinate descent."""
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression(
        l1_ratio=1.0,
        solver="liblinear",
        C=1 / (len(model.y) * model.strength),
        fit_intercept=model.fit_intercept,
        intercept_scaling=1e4,
        tol=1e-10,
        max_iter=100_000,
        random_state=0,
    )
    fitted = _fit(estimator, model.X, model.y)
    return fitted.coef_[0], float(np.ravel(fitted.intercept_)[0])


_CELER = {"tol": 1e-12, "max_iter": 1000, "max_epochs": 200_000}


def celer_linear(model: Model) -> Solution:
    """Lasso, ElasticNet and GroupLasso of celer."""
    import celer

    settings = {
        "alpha": model.strength,
        "weights": model.weights,
        "fit_intercept": model.fit_intercept,
        **_CELER,
    }
    if model.on == "groups":
        estimator = celer.GroupLasso(groups=[g.tolist() for g in model.groups or ()], **settings)
    elif model.penalty == "elastic_net":
        estimator = celer.ElasticNet(l1_ratio=model.parameter, **settings)
    else:
        estimator = celer.Lasso(positive=model.nonnegative, **settings)
    fitted = _fit(estimator, model.X, model.y)
    return fitted.coef_, fitted.intercept_


def celer_logistic(model: Model) -> Solution:
    """l1 logistic regression of celer: without an intercept."""
    import celer

    estimator = celer.LogisticRegression(C=1 / (len(model.y) * model.strength), **_CELER)
    return _fit(estimator, model.X, model.y).coef_.ravel(), 0.0


def skglm(model: Model) -> Solution:
    """Generalised linear models of skglm: l1, weighted, elastic net, group, MCP and SCAD."""
    from skglm import datafits, penalties, solvers
    from skglm.utils.jit_compilation import compiled_clone

    s, a = model.strength, model.parameter
    settings = {"tol": 1e-11, "fit_intercept": model.fit_intercept}
    names = {"quadratic": "Quadratic", "logistic": "Logistic", "poisson": "Poisson"}
    if model.on == "groups":
        groups = model.groups or ()
        blocks = {
            "grp_indices": np.concatenate(groups).astype(np.int32),
            "grp_ptr": np.cumsum([0, *map(len, groups)]).astype(np.int32),
        }
        weights = np.ones(len(groups)) if model.weights is None else model.weights
        penalty = penalties.WeightedGroupL2(s, weights, **blocks)
        datafit = getattr(datafits, names[model.loss] + "Group")(**blocks)
        newton, descent = solvers.GroupProxNewton, solvers.GroupBCD
    else:
        make = {
            "l1": lambda: (
                penalties.L1(s, positive=model.nonnegative)
                if model.weights is None
                else penalties.WeightedL1(s, model.weights, positive=model.nonnegative)
            ),
            "elastic_net": lambda: penalties.L1_plus_L2(s, a),
            "mcp": lambda: penalties.MCPenalty(s, a),
            "scad": lambda: penalties.SCAD(s, a),
        }
        penalty = make[model.penalty]()
        huber = model.loss == "huber"
        datafit = datafits.Huber(model.delta) if huber else getattr(datafits, names[model.loss])()
        newton, descent = solvers.ProxNewton, solvers.AndersonCD
    if model.loss in ("logistic", "poisson"):
        solver = newton(max_iter=200, **settings)
    else:
        solver = descent(max_iter=200, max_epochs=20_000, **settings)
    y = 2 * model.y - 1 if model.loss == "logistic" else model.y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's remarks on the layout of arrays
        w = solver.solve(model.X, y, compiled_clone(datafit), compiled_clone(penalty))[0]
    return (w[:-1], w[-1]) if model.fit_intercept else (w, 0.0)
