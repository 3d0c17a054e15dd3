"""adelie, python-glmnet and pycasso: at their best along a path that ends at the strength."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from benchmarks.regression.peers.base import Peer, offered, wanted
from benchmarks.regression.problems import Problem

# they compare steps, not gaps: far below what a gap of the same number needs
_FINE = tuple(10.0**-k for k in range(7, 25))


class Adelie(Peer):
    name = "adelie"
    module = distribution = "adelie"
    tolerances: ClassVar = _FINE

    def refuses(self, problem: Problem) -> str | None:
        return offered(
            problem, ("quadratic", "l1"), ("logistic", "l1"), ("poisson", "l1"),
            ("quadratic", "group"), ("quadratic", "rows"),
        )  # fmt: skip

    def prepare(self, problem: Problem) -> Any:
        import adelie as ad

        if problem.is_sparse:
            return ad.matrix.sparse(problem.X, method="naive")
        return ad.matrix.dense(problem.X, method="naive")

    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        import adelie as ad

        p, size = problem.X.shape[1], problem.group_size
        family = {"quadratic": "gaussian", "logistic": "binomial", "poisson": "poisson"}
        make = getattr(ad.glm, family[problem.loss])
        strengths, tasks = problem.approach(), 1
        if problem.penalty == "rows":
            # adelie divides the loss by the number of tasks
            make, tasks = ad.glm.multigaussian, problem.y.shape[1]
        groups = np.arange(0, p, size)
        state = ad.grpnet(
            data, make(np.ascontiguousarray(problem.y)),
            groups=None if tasks > 1 else groups, penalty=np.ones(len(groups)),
            lmda_path=strengths / tasks, intercept=False, early_exit=False, progress_bar=False,
            tol=tol, irls_tol=tol, max_iters=10_000_000,
        )  # fmt: skip
        betas = wanted(problem, state.betas).toarray()
        return betas.reshape(p, tasks) if tasks > 1 else betas


class PythonGlmnet(Peer):
    name = "python-glmnet"
    module = "glmnet"
    distribution = "python-glmnet"
    tolerances: ClassVar = _FINE

    def refuses(self, problem: Problem) -> str | None:
        return offered(problem, ("quadratic", "l1"), ("logistic", "l1"))

    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        import glmnet

        kind = glmnet.LogitNet if problem.loss == "logistic" else glmnet.ElasticNet
        strengths = problem.approach()
        model = kind(
            alpha=1, lambda_path=strengths, n_splits=0, fit_intercept=False, standardize=False,
            tol=tol, max_iter=10_000_000,
        )  # fmt: skip
        model.fit(data, problem.y)
        path = model.coef_path_.reshape(data.shape[1], -1).T
        return wanted(problem, path)


class Pycasso(Peer):
    name = "pycasso"
    module = distribution = "pycasso"
    tolerances: ClassVar = tuple(10.0**-k for k in range(4, 19))

    def refuses(self, problem: Problem) -> str | None:
        if problem.is_sparse:
            return "dense X only"
        kinds = [("quadratic", penalty) for penalty in ("l1", "mcp", "scad")]
        return offered(problem, *kinds, ("logistic", "l1"), ("poisson", "l1"))

    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        import pycasso

        family = {"quadratic": "gaussian", "logistic": "binomial", "poisson": "poisson"}
        y = problem.y.astype(int) if problem.loss != "quadratic" else problem.y
        solver = pycasso.Solver(
            data, y, lambdas=problem.approach(), family=family[problem.loss],
            penalty=problem.penalty, gamma=problem.gamma, useintercept=False, standardize=False,
            prec=tol, max_ite=1_000_000,
        )  # fmt: skip
        solver.train()
        return wanted(problem, solver.coef()["beta"])
