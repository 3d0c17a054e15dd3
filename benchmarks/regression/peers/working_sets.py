"""celer and skglm: working sets and extrapolation, straight to the strength that is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.regression.peers.base import Peer, offered
from benchmarks.regression.problems import Problem


class Celer(Peer):
    name = "celer"
    module = distribution = "celer"

    def refuses(self, problem: Problem) -> str | None:
        if problem.penalty == "rows":
            return "its multi-task lasso does not run with scikit-learn 1.9"
        return offered(problem, ("quadratic", "l1"), ("logistic", "l1"), ("quadratic", "group"))

    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        import celer

        strength, shared = float(problem.strengths[-1]), {"tol": tol, "max_iter": 1000}
        if problem.is_path:
            return celer.celer_path(
                data, problem.y, "lasso", alphas=problem.strengths, **shared
            )[1].T  # fmt: skip
        if problem.loss == "logistic":
            c = 1 / (len(problem.y) * strength)
            return celer.LogisticRegression(C=c, **shared).fit(data, problem.y).coef_
        shared["fit_intercept"] = False
        if problem.penalty == "group":
            model = celer.GroupLasso(problem.group_size, strength, **shared)
        else:
            model = celer.Lasso(strength, **shared)
        return model.fit(data, problem.y).coef_


class Skglm(Peer):
    name = "skglm"
    module = distribution = "skglm"

    def prepare(self, problem: Problem) -> Any:
        from skglm import datafits, penalties
        from skglm.utils.jit_compilation import compiled_clone

        s, g = float(problem.strengths[-1]), problem.gamma
        kind = {"quadratic": "Quadratic", "logistic": "Logistic", "poisson": "Poisson"}
        datafit = getattr(datafits, kind[problem.loss])
        if problem.penalty == "group":
            p, size = problem.X.shape[1], problem.group_size
            blocks = {
                "grp_ptr": np.arange(0, p + 1, size, dtype=np.int32),
                "grp_indices": np.arange(p, dtype=np.int32),
            }
            stated = penalties.WeightedGroupL2(s, np.ones(p // size), **blocks)
            fitted = datafits.QuadraticGroup(**blocks)
        elif problem.penalty == "rows":
            stated, fitted = penalties.L2_1(s), datafits.QuadraticMultiTask()
        else:
            make = {"l1": penalties.L1, "mcp": penalties.MCPenalty, "scad": penalties.SCAD}
            more = () if problem.penalty == "l1" else (g,)
            stated, fitted = make[problem.penalty](s, *more), datafit()
        y = 2 * problem.y - 1 if problem.loss == "logistic" else problem.y
        return problem.X, y, compiled_clone(fitted), compiled_clone(stated)

    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        from skglm import solvers

        X, y, datafit, penalty = data
        kind = {"group": solvers.GroupBCD, "rows": solvers.MultiTaskBCD}.get(
            problem.penalty, solvers.AndersonCD
        )
        if problem.loss != "quadratic":
            kind = solvers.ProxNewton
        solver = kind(max_iter=1000, tol=tol, fit_intercept=False)
        if problem.is_path:
            return solver.path(X, y, datafit, penalty, alphas=problem.strengths)[1].T
        return solver.solve(X, y, datafit, penalty)[0]
