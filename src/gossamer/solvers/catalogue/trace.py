"""What a method of the catalogue did, beside what it is proven to do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.problem import Problem
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
    """

    objective: np.ndarray
    bound: np.ndarray
    w: np.ndarray = field(repr=False)


def ball_of(problem: Problem, method: str, elements: bool = True) -> L1Ball:
    """The budget of a problem that the catalogue takes.

    elements : whether units have to be single coefficients of one output, without weights or signs.
    """
    ball, loss = problem.penalty, problem.loss
    if not isinstance(ball, L1Ball) or np.isinf(ball.radius):
        raise UnsupportedProblem(f"{method}: the penalty must be L1Ball(radius), got {ball!r}.")
    if not loss.is_smooth or loss.smoothness is None:
        raise UnsupportedProblem(f"{method}: the curvature of {loss!r} is not bounded.")
    form = ball.norm(1.0).form(problem.shape)
    if form.has_free:
        raise UnsupportedProblem(f"{method}: coefficients without a weight are not bounded.")
    plain = form.elementwise and form.has_unit_weights and not form.nonnegative
    if elements and not (plain and problem.shape[1] == 1):
        raise UnsupportedProblem(
            f"{method}: the ball must be of single coefficients, without weights or signs, of one "
            f"output; got {ball!r} and {problem.shape[1]} outputs."
        )
    return ball


def norm_curvature(problem: Problem, ball: L1Ball) -> float:
    """The constant of the gradient between the ball's norm and its dual: the largest curvature
    along a direction within one unit, over the square of its weight."""
    form = ball.norm(1.0).form(problem.shape)
    largest = 0.0
    for u in range(form.units.count):
        at = form.units.positions(np.array([u]))[0]
        features = np.unique(at // problem.shape[1])
        columns = problem.design.dense(features) * np.sqrt(problem.sample_weight)[:, None]
        steepest = np.linalg.norm(columns, 2) ** 2 if len(features) else 0.0
        largest = max(largest, steepest / form.weights[u] ** 2)
    assert problem.loss.smoothness is not None
    return problem.loss.smoothness * float(largest)
