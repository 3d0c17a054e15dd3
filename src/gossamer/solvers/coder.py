"""A-CODER: accelerated cyclic blocks with extrapolated gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.solvers.cyclic_averages import Averages, CyclicAverages, Part, split

# curvature along a single unit, of which the bound over a whole cycle is at first this often
_FIRST = 1.0


@SOLVERS.register
class ACODER(CyclicAverages):
    r"""Accelerated cyclic coordinate dual averaging with extrapolation.

    Blocks take turns. The gradient of block ``j`` is taken where the blocks before it have moved,
    and corrected by what the last cycle's gradient lacked of the full one:

    .. math:: q_j = p_j + \frac{a'}{a} (\nabla_j f(x') - p'_j), \quad
              v_j = \operatorname{prox}_{A}(x_{0j} - \sum a\, q_j), \quad
              y_j = \frac{A'}{A} y'_j + \frac{a}{A} v_j,

    where primes are of the cycle before. Lengths are measured by the curvature along each unit. The
    averages start anew where momentum points uphill, and after a cycle that raises the objective,
    which is not taken; where that comes early, the assumed curvature across blocks is doubled.

    Parameters
    ----------
    blocks : int >= 1, default 20
        Blocks of about as many units each.

    References
    ----------
    Lin, Song and Diakonikolas (2023), Accelerated cyclic coordinate dual averaging with
    extrapolation for composite convex optimization, algorithm 1.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((80, 300))
    >>> y = X[:, 3] - 2 * X[:, 7] + 0.1 * rng.standard_normal(80)
    >>> gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.1)).solve("acoder").certificate.support
    array([3, 7])
    """

    preference = 24

    def __init__(self, blocks: int = 20) -> None:
        super().__init__(blocks)

    def prepare(self, problem: Problem) -> tuple[Callable[[Point, float], Averages], float]:
        blocks = split(problem, self.blocks)
        return lambda start, bound: _Cycles(problem, blocks, start, bound), _FIRST


class _Cycles(Averages):
    """One cycle a time, with the gradients of all samples."""

    def __init__(self, problem: Problem, blocks: list[Part], start: Point, bound: float) -> None:
        super().__init__(problem, blocks, start, bound)
        self.z = start.z[:, 0] - start.b[0]
        self.lead_z = self.z
        self.lacking = np.zeros(len(self.origin))  # gradient at x less the one used, last cycle

    def cycle(self) -> Point:
        """Where all blocks have moved once."""
        problem, s = self.problem, self.problem.sample_weight
        # a^2 = (A' + a) / (2 bound), the longest step of the analysis
        rate = 1 / (2 * self.bound)
        step = 0.5 * (rate + np.sqrt(rate * rate + 4 * rate * self.total))
        self.total += step
        share = step / self.total
        x = (1 - share) * self.mixed + share * self.lead
        z = (1 - share) * self.z + share * self.lead_z
        full = problem.design.rmatvec((s * self._slope(z))[:, None])[:, 0]
        lead, mixed, lead_z = self.lead.copy(), self.mixed.copy(), self.lead_z.copy()
        used = np.empty_like(full)
        for part in self.blocks:
            at = part.features
            used[at] = part.columns.T @ (s * self._slope(z))
            pull = used[at] + self.last / step * self.lacking[at]
            v = self.stepped(part, step * pull, self.total)
            mixed[at] = (1 - share) * self.mixed[at] + share * v
            z = z + part.columns @ (mixed[at] - x[at])
            lead_z = lead_z + part.columns @ (v - lead[at])
            lead[at] = v
        self.lacking, self.last = full - used, step
        self.z, self.lead_z = z, lead_z
        return self.arrive(lead, mixed)

    def _slope(self, z: np.ndarray) -> np.ndarray:
        """(n,) gradient of each sample's loss at the linear part ``z``."""
        return self.problem.loss.gradient((z + self.b[0])[:, None], self.problem.y)[:, 0]
