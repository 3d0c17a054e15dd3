"""Accelerated gradient for MCP and SCAD, damped as the nonconvex complexity bound asks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.unit_form import gradient_of_form
from gossamer.penalties import L1, MCP, SCAD
from gossamer.solvers.iterating import IterativeSolver, settled, steepest_curvature

# share of the longest step that the bound allows, and steps between two restarts
_SHARE, _APART = 0.99, 3


@SOLVERS.register
class DampedGradient(IterativeSolver):
    r"""Nonconvex accelerated gradient with the damping that minimises its complexity bound.

    The penalty is an L1 plus a smooth concave rest, which joins the loss. With a bound ``L`` of
    the curvature of both, a step goes

    .. math:: \bar w &= (1 - \alpha) w + \alpha v, \\
              v &\leftarrow \operatorname{prox}_{\beta / \alpha}(v - \beta g(\bar w) / \alpha), \\
              w &\leftarrow \operatorname{prox}_{\beta}(\bar w - \beta g(\bar w)),

    with :math:`\beta < 1 / L` and :math:`\alpha \leftarrow 2 / (1 + \sqrt{1 + 4 / \alpha^2})`, back
    to one when the middle point slows down.

    References
    ----------
    Yang, Asgharian and Bhatnagar (2024), Accelerated gradient methods for sparse statistical
    learning with nonconvex penalties.
    Ghadimi and Lan (2016), Accelerated gradient methods for nonconvex nonlinear and stochastic
    programming, algorithm 1.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((80, 300))
    >>> y = X[:, 3] - 2 * X[:, 7] + 0.1 * rng.standard_normal(80)
    >>> problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.MCP(0.3))
    >>> problem.solve("dampedgradient").certificate.support
    array([3, 7])
    """

    preference = 22

    def refuses(self, problem: Problem) -> str | None:
        if type(problem.penalty) not in (MCP, SCAD):
            return f"{problem.penalty!r} is neither MCP nor SCAD"
        if problem.penalty.unit_form(problem.shape) is None:
            return f"the prox of {problem.penalty!r} does not split by unit"
        if not problem.loss.is_smooth or problem.loss.smoothness is None:
            return f"the curvature of {problem.loss!r} is not bounded"
        return None

    def steps(self, problem: Problem, start: Point) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        penalty = problem.penalty
        assert isinstance(penalty, MCP | SCAD)
        norm = L1(
            penalty.strength, on=penalty.on, weights=penalty.weights,
            nonnegative=penalty.nonnegative,
        )  # fmt: skip
        whole, linear = penalty.form(problem.shape), norm.form(problem.shape)
        steepest = max(steepest_curvature(problem), concavity(penalty) * whole.weights.max())
        length = _SHARE / max(steepest, 1e-300)
        w = lead = middle = start.w
        b, damping, speed, since = start.b, 1.0, 0.0, 0
        while True:
            before, slower = middle, speed
            middle = (1 - damping) * w + damping * lead
            speed, since = float(np.linalg.norm(middle - before)), since + 1
            point = settled(problem, middle, b)
            b = point.b
            rest = gradient_of_form(whole, middle) - gradient_of_form(linear, middle)
            gradient = point.gradient + rest
            lead = norm.prox(lead - length / damping * gradient, length / damping)
            w = norm.prox(middle - length * gradient, length)
            yield w, b
            if speed < slower and since >= _APART:
                damping, since = 1.0, 0
            else:
                damping = 2 / (1 + np.sqrt(1 + 4 / damping**2))


def concavity(penalty: MCP | SCAD) -> float:
    """The largest number by which the slope of the shape falls, over the way it takes."""
    return 1 / penalty.gamma if isinstance(penalty, MCP) else 1 / (penalty.gamma - 1)
