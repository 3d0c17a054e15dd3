"""glum and cyanure: general solvers, by Newton steps and by stochastic gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.regression.peers.base import Peer, offered
from benchmarks.regression.problems import Problem

_GLM = (("quadratic", "l1"), ("logistic", "l1"), ("poisson", "l1"))


class Glum(Peer):
    name = "glum"
    module = distribution = "glum"

    def refuses(self, problem: Problem) -> str | None:
        if problem.X.shape[1] > 2000:
            return "forms a Hessian of p x p"
        return "no path" if problem.is_path else offered(problem, *_GLM)

    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        from glum import GeneralizedLinearRegressor

        family = {"quadratic": "normal", "logistic": "binomial", "poisson": "poisson"}
        model = GeneralizedLinearRegressor(
            alpha=float(problem.strengths[-1]), l1_ratio=1.0, family=family[problem.loss],
            fit_intercept=False, gradient_tol=tol, max_iter=1000, copy_X=False,
        )  # fmt: skip
        return model.fit(data, problem.y).coef_


class Cyanure(Peer):
    name = "cyanure"
    module = distribution = "cyanure"

    def refuses(self, problem: Problem) -> str | None:
        return "no path" if problem.is_path else offered(problem, *_GLM[:2])

    def prepare(self, problem: Problem) -> Any:
        return problem.X.tocsr() if problem.is_sparse else np.ascontiguousarray(problem.X)

    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        from cyanure.estimators import Classifier, Regression

        shared = {
            "penalty": "l1", "lambda_1": float(problem.strengths[-1]), "fit_intercept": False,
            "tol": tol, "max_iter": 100_000, "verbose": False, "n_threads": 1,
        }  # fmt: skip
        if problem.loss == "logistic":
            return Classifier(loss="logistic", **shared).fit(data, problem.y).coef_
        return Regression(**shared).fit(data, problem.y).coef_
