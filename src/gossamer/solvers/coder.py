"""A-CODER: accelerated cyclic blocks with extrapolated gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.unit_form import UnitForm, prox_of_form
from gossamer.core.units import Units
from gossamer.solvers.iterating import IterativeSolver, settled

# curvature along a single unit, of which the bound over a whole cycle is at first this often
_FIRST = 1.0
# a restart after so few cycles says that the bound was too low
_EARLY = 4


@SOLVERS.register
class ACODER(IterativeSolver):
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
        if blocks < 1:
            raise ValueError(f"ACODER: blocks must be >= 1, got {blocks}.")
        self.blocks = int(blocks)

    def refuses(self, problem: Problem) -> str | None:
        if problem.design.is_operator:
            return "X is a LinearOperator and has no columns to cycle over"
        if problem.shape[1] > 1:
            return f"the prediction has {problem.shape[1]} columns"
        if not problem.penalty.convex:
            return f"{problem.penalty!r} is not convex"
        if problem.penalty.unit_form(problem.shape) is None:
            return f"the prox of {problem.penalty!r} does not split by unit"
        if not problem.loss.is_smooth or problem.loss.smoothness is None:
            return f"the curvature of {problem.loss!r} is not bounded"
        return None

    def steps(self, problem: Problem, start: Point) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        blocks, bound = split(problem, self.blocks), _FIRST
        value, cycles = start.loss + problem.penalty.value(start.w), 0
        averages = _Averages(problem, blocks, start, bound)
        while True:
            point, cycles = averages.cycle(), cycles + 1
            new = point.loss + problem.penalty.value(point.w)
            # rounding must not end the averages for ever
            rises = new > value + 1e-15 * abs(value)
            if rises:
                bound *= 2.0 if cycles <= _EARLY else 1.0
            else:
                start, value = point, new
            if rises or averages.uphill:
                averages, cycles = _Averages(problem, blocks, start, bound), 0
            yield start.w, start.b


@dataclass(frozen=True, eq=False)
class Part:
    """A block: its features, its columns, its units, and the curvature along each of those."""

    features: np.ndarray
    columns: np.ndarray
    form: UnitForm
    curvature: np.ndarray

    @property
    def scale(self) -> np.ndarray:
        """(m,) curvature of the unit of each feature."""
        return self.form.units.spread(self.curvature)


def split(problem: Problem, count: int) -> list[Part]:
    """The units in blocks of about equal size; columns are copied once."""
    form, smoothness = problem.penalty.unit_form(problem.shape), problem.loss.smoothness
    assert form is not None
    assert smoothness is not None
    squares = np.bincount(form.units.labels, problem.design.squares[:, 0], form.units.count)
    curvature = smoothness * np.maximum(squares, 1e-14 * squares.max(initial=0.0) + 1e-100)
    parts = []
    for chosen in np.array_split(np.arange(form.units.count), min(count, form.units.count)):
        at, starts = form.units.positions(chosen)
        local = replace(
            form, units=Units(np.arange(len(at)), starts), weights=form.weights[chosen],
            inner=None if form.inner is None else form.inner[at],
        )  # fmt: skip
        parts.append(Part(at, problem.design.dense(at), local, curvature[chosen]))
    return parts


class _Averages:
    """The sums of one start, and a cycle over all blocks."""

    def __init__(self, problem: Problem, blocks: list[Part], start: Point, bound: float) -> None:
        self.problem, self.blocks, self.bound = problem, blocks, bound
        self.origin = self.mixed = self.lead = start.w[:, 0]
        self.z = start.z[:, 0] - start.b[0]
        self.lead_z, self.b = self.z, start.b
        self.total = self.last = 0.0
        self.sums = np.zeros(len(self.origin))
        self.scale = np.empty(len(self.origin))
        for part in blocks:
            self.scale[part.features] = part.scale
        self.uphill = False
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
            at, scale = part.features, part.scale
            used[at] = part.columns.T @ (s * self._slope(z))
            pull = used[at] + self.last / step * self.lacking[at]
            self.sums[at] += step * pull
            v = prox_of_form(
                part.form, self.origin[at] - self.sums[at] / scale, self.total / part.curvature
            )
            mixed[at] = (1 - share) * self.mixed[at] + share * v
            z = z + part.columns @ (mixed[at] - x[at])
            lead_z = lead_z + part.columns @ (v - lead[at])
            lead[at] = v
        self.lacking, self.last = full - used, step
        self.uphill = bool(((x - mixed) * (mixed - self.mixed) * self.scale).sum() > 0)
        self.lead, self.mixed, self.z, self.lead_z = lead, mixed, z, lead_z
        point = settled(problem, mixed[:, None], self.b)
        self.b = point.b
        return point

    def _slope(self, z: np.ndarray) -> np.ndarray:
        """(n,) gradient of each sample's loss at the linear part ``z``."""
        return self.problem.loss.gradient((z + self.b[0])[:, None], self.problem.y)[:, 0]
