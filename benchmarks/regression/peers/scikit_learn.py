"""scikit-learn: coordinate descent on the lasso, liblinear on the logistic loss."""

from __future__ import annotations

from typing import Any

from benchmarks.regression.peers.base import Peer, offered, wanted
from benchmarks.regression.problems import Problem

_EPOCHS = 1_000_000


class ScikitLearn(Peer):
    name = "scikit-learn"
    module = "sklearn.linear_model"
    distribution = "scikit-learn"

    def refuses(self, problem: Problem) -> str | None:
        if problem.penalty == "rows" and problem.is_sparse:
            return "the multi-task lasso takes dense X only"
        return offered(problem, ("quadratic", "l1"), ("logistic", "l1"), ("quadratic", "rows"))

    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        from sklearn import linear_model

        strength, shared = float(problem.strengths[-1]), {"tol": tol, "fit_intercept": False}
        if problem.loss == "logistic":
            # liblinear: the only solver that is not far behind on p >> n
            model = linear_model.LogisticRegression(
                C=1 / (len(problem.y) * strength), l1_ratio=1.0, solver="liblinear",
                max_iter=100_000, random_state=0, **shared,
            )  # fmt: skip
            return model.fit(data, problem.y).coef_
        if problem.penalty == "rows":
            model = linear_model.MultiTaskLasso(strength, max_iter=_EPOCHS, **shared)
            return model.fit(data, problem.y).coef_.T
        n, p = data.shape
        gram = n > 5 * p
        if problem.is_path:
            return self._path(problem, data, tol, gram)
        model = linear_model.Lasso(strength, max_iter=_EPOCHS, precompute=gram, **shared)
        return model.fit(data, problem.y).coef_

    def _path(self, problem: Problem, data: Any, tol: float, gram: bool) -> Any:
        from sklearn.linear_model import lasso_path

        alphas = problem.approach()
        path = lasso_path(
            data, problem.y, alphas=alphas, precompute=gram, tol=tol, max_iter=_EPOCHS
        )[1].T  # fmt: skip
        return wanted(problem, path)
