"""What a method of the catalogue did, beside what it is proven to do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.problem import Problem
from gossamer.core.unit_form import UnitForm
from gossamer.penalties import L1Ball


@dataclass(frozen=True, eq=False)
class Trace:
    """Iterations of a method.

    Attributes
    ----------
    objective : (T,)
        Of what the method returns after one iteration, two, and so on.
    bound : (T,)
        Proven upper bound of the objective less the optimum.
    w : (p, K)
        Coefficients at the end, for the working design.
    lower : (T,), optional
        Proven lower bound of the optimum, of methods that have one.
    """

    objective: np.ndarray
    bound: np.ndarray
    w: np.ndarray = field(repr=False)
    lower: np.ndarray | None = None


def ball_of(problem: Problem, method: str, elements: bool = True, curved: bool = True) -> L1Ball:
    """The budget of a problem that the catalogue takes.

    elements : whether units have to be single coefficients of one output, without weights or signs.
    curved : whether the curvature of the loss has to be bounded.
    """
    ball, loss = problem.penalty, problem.loss
    if not isinstance(ball, L1Ball) or np.isinf(ball.radius):
        raise UnsupportedProblem(f"{method}: the penalty must be L1Ball(radius), got {ball!r}.")
    if curved and (not loss.is_smooth or loss.smoothness is None):
        raise UnsupportedProblem(f"{method}: the curvature of {loss!r} is not bounded.")
    form = form_of(problem, ball)
    if form.has_free:
        raise UnsupportedProblem(f"{method}: coefficients without a weight are not bounded.")
    plain = form.elementwise and form.has_unit_weights and not form.nonnegative
    if elements and not (plain and problem.shape[1] == 1):
        raise UnsupportedProblem(
            f"{method}: the ball must be of single coefficients, without weights or signs, of one "
            f"output; got {ball!r} and {problem.shape[1]} outputs."
        )
    return ball


def form_of(problem: Problem, ball: L1Ball) -> UnitForm:
    """The units of the ball and their weights."""
    return ball.norm(1.0).form(problem.shape)


def coefficients(shares: np.ndarray, radius: float) -> np.ndarray:
    """(p, 1) coefficients of shares (2 p,) of the atoms of the ball: ``radius e_j``, then those
    with the other sign."""
    p = len(shares) // 2
    return radius * (shares[:p] - shares[p:])[:, None]


def slopes_of(gradient: np.ndarray, radius: float) -> np.ndarray:
    """(2 p,) gradient in the shares, of the gradient (p, 1) in the coefficients."""
    return radius * np.concatenate([gradient[:, 0], -gradient[:, 0]])


def weighted_columns(problem: Problem, features: np.ndarray) -> np.ndarray:
    """(n, m) columns of the working design, times the roots of the sample weights."""
    return np.asarray(problem.design.dense(features) * np.sqrt(problem.sample_weight)[:, None])


def norm_curvature(problem: Problem, ball: L1Ball) -> float:
    """The constant of the gradient between the ball's norm and its dual: the largest curvature
    along a direction within one unit, over the square of its weight."""
    form = form_of(problem, ball)
    largest = 0.0
    for u in range(form.units.count):
        at = form.units.positions(np.array([u]))[0]
        features = np.unique(at // problem.shape[1])
        columns = weighted_columns(problem, features)
        steepest = np.linalg.norm(columns, 2) ** 2 if len(features) else 0.0
        largest = max(largest, steepest / form.weights[u] ** 2)
    assert problem.loss.smoothness is not None
    return problem.loss.smoothness * float(largest)
