"""The peers: each solves a problem at some strengths, as tightly as it is asked to.

A peer gives coefficients (m, p) and the CPU seconds they took, compilation left out.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np

import gossamer as gs
from benchmarks import r
from gossamer.linear.path import solve_path

Solved = tuple[np.ndarray, float]
_STEPS = 20


def own(problem: gs.Problem, strengths: np.ndarray, tol: float) -> Solved:
    begun = time.process_time()
    path = solve_path(problem, strengths, tol=tol)
    return path.coefs, time.process_time() - begun


def scikit_survival(problem: gs.Problem, strengths: np.ndarray, tol: float) -> Solved:
    from sksurv.linear_model import CoxnetSurvivalAnalysis

    y = np.array([(e > 0, t) for t, e in problem.y[:, :2]], dtype=[("e", "?"), ("t", "f8")])
    path = _with_steps(problem, strengths)
    model = CoxnetSurvivalAnalysis(l1_ratio=1.0, alphas=path, tol=tol, max_iter=10**7)
    begun = time.process_time()
    model.fit(problem.X, y)
    seconds = time.process_time() - begun
    return model.coef_.T[-len(strengths) :], seconds


def glmnet(problem: gs.Problem, strengths: np.ndarray, tol: float) -> Solved:
    if r.version("glmnet") is None:
        raise ModuleNotFoundError("R with glmnet")
    arrays = {"X": problem.X, "y": problem.y[:, :2], "tol": np.array([tol])}
    arrays["path"] = _with_steps(problem, strengths)
    found = r.run(r.TOOLS, arrays, tool="glmnet", family="cox", l1_ratio=1.0)
    coefs = found["coef"].reshape((problem.shape[0], -1), order="F").T
    return coefs[-len(strengths) :], float(found["seconds"][0])


def skglm(problem: gs.Problem, strengths: np.ndarray, tol: float) -> Solved:
    from skglm.datafits import Cox
    from skglm.penalties import L1
    from skglm.solvers import ProxNewton
    from skglm.utils.jit_compilation import compiled_clone

    X, y = np.asfortranarray(problem.X), np.ascontiguousarray(problem.y[:, :2])
    coefs, seconds, w = [], 0.0, np.zeros(problem.shape[0])
    for strength in strengths:
        datafit, penalty = compiled_clone(Cox()), compiled_clone(L1(strength))
        solver = ProxNewton(fit_intercept=False, max_iter=200, tol=tol)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not coefs:  # what is compiled is not timed
                datafit.initialize(X, y)
                solver.solve(X, y, datafit, penalty, np.zeros_like(w), np.zeros(len(y)))
            begun = time.process_time()
            datafit.initialize(X, y)
            w = solver.solve(X, y, datafit, penalty, w.copy(), X @ w)[0]
            seconds += time.process_time() - begun
        coefs.append(w.copy())
    return np.array(coefs), seconds


def _with_steps(problem: gs.Problem, strengths: np.ndarray) -> np.ndarray:
    """A path from the null model, which path solvers need, when one strength is asked for."""
    if len(strengths) > 1:
        return strengths
    return np.geomspace(problem.strength_max(), strengths[0], _STEPS)


Peer = Callable[[gs.Problem, np.ndarray, float], Solved]
# the tolerances tried, the loosest first
PEERS: dict[str, tuple[Peer, tuple[float, ...]]] = {
    "gossamer": (own, (1e-6,)),
    "skglm": (skglm, (1e-4, 1e-5, 1e-6, 1e-8, 1e-10)),
    "scikit-survival": (scikit_survival, (1e-7, 1e-9, 1e-11, 1e-13, 1e-15)),
    "R glmnet": (glmnet, (1e-7, 1e-9, 1e-11, 1e-13, 1e-15)),
}
