"""One judge for all tools: the objective, the deviance explained and what is selected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import gossamer as gs
from benchmarks.tables.cases import Case
from benchmarks.tables.peers import Answer, Peer, solution, timed

EQUAL = 1e-8


@dataclass(frozen=True)
class Judged:
    """``objective`` is relative to the null objective, ``explained`` a share of the null loss;
    ``support`` are the places of the coefficients that are not zero."""

    objective: float
    explained: float
    support: np.ndarray
    seconds: float


@dataclass(frozen=True)
class Own:
    """What gossamer finds, its certificate, and whether the optimum is known to be unique."""

    judged: Judged
    certificate: gs.Certificate
    unique: bool


def judge(problem: gs.Problem, answer: Answer) -> Judged:
    """The best of an answer's points."""
    null = problem.null_objective
    points = list(zip(answer.coefs, answer.intercepts, strict=True))
    if isinstance(problem.penalty, gs.AtMost | gs.L0):
        points = [refitted(problem, coef) for coef in answer.coefs]
    values = [problem.objective(*point) / null for point in points]
    best = int(np.argmin(values))
    coef, intercept = points[best]
    explained = 1 - problem.point(coef, intercept).loss / null
    return Judged(values[best], explained, np.flatnonzero(coef), answer.seconds)


def refitted(problem: gs.Problem, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best coefficients on a support, which is all that a subset method decides."""
    chosen = np.flatnonzero(coef.any(axis=1))
    if not chosen.size:
        return coef, problem.null_intercept
    free = gs.Problem(problem.X[:, chosen], problem.y, problem.loss, gs.L1(0.0))
    result = free.solve(tol=1e-12)
    full = np.zeros_like(coef)
    full[chosen] = np.reshape(result.coef, (len(chosen), -1))
    return full, np.ravel(result.intercept)


def estimator(case: Case, penalty: gs.Penalty) -> Any:
    """gossamer's for a loss and a penalty, to a certificate of 1e-9."""
    loss = case.loss()
    if isinstance(loss, gs.losses.Cox):
        return gs.SparseCox(penalty.strength, penalty=penalty, ties=loss.ties, tol=1e-9)
    if isinstance(loss, gs.losses.Ordinal):
        return gs.SparseOrdinal(penalty.strength, penalty=penalty, tol=1e-9)
    return gs.SparseModel(loss, penalty, tol=1e-9)


def ours(case: Case, problem: gs.Problem) -> Own:
    """What gossamer's estimator finds."""
    table = case.data()
    model, seconds = timed(lambda: estimator(case, problem.penalty).fit(table.X, table.y))
    coef, intercept = solution(model, table.X.shape[1])
    judged = judge(problem, Answer(coef[None], intercept[None], seconds))
    return Own(judged, model.certificate_, is_unique(problem, coef, intercept))


def is_unique(problem: gs.Problem, coef: np.ndarray, intercept: np.ndarray) -> bool:
    """Whether theory says that the optimum is the only one.

    It is where the loss is smooth and the columns that pull with full strength (and the
    intercept's) are independent, or the penalty has a ridge (Tibshirani 2013, The lasso problem
    and uniqueness).
    """
    if not (problem.penalty.convex and problem.loss.is_smooth):
        return False
    if isinstance(problem.penalty, gs.penalties.ElasticNet):
        return True
    form = problem.penalty.unit_form(problem.shape)
    pull = form.units.norms(problem.gradient(coef, intercept))
    full = pull >= (1 - 1e-6) * form.weights * problem.penalty.strength
    columns = full[form.units.labels].reshape(problem.shape).any(axis=1)
    X = problem.X[:, columns]
    return bool(np.linalg.matrix_rank(X - X.mean(axis=0)) == columns.sum())


def theirs(problem: gs.Problem, peer: Peer, goal: float) -> Judged:
    """The loosest of a peer's answers that reaches an objective, or the best it has."""
    best = None
    for answer in peer(problem):
        judged = judge(problem, answer)
        if best is None or judged.objective < best.objective - EQUAL:
            best = judged
        if judged.objective <= goal + EQUAL:
            break
    assert best is not None
    return best
