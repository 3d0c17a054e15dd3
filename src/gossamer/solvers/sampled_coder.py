"""VR-A-CODER: A-CODER whose gradients are those of a snapshot, corrected by a few samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.solvers.cyclic_averages import Averages, CyclicAverages, Part, scales, split

# of the bound of a batch's curvature: the fewest passes of five shares, on correlated designs
_FIRST = 0.125


@SOLVERS.register
class VRACODER(CyclicAverages):
    r"""Variance-reduced accelerated cyclic coordinate dual averaging with extrapolation.

    An epoch takes all gradients once, at the average ``s`` of the epoch before, and then cycles
    over the blocks. Block ``j`` draws a few samples ``t`` of its own, and replaces what
    :class:`ACODER` reads from all of them by

    .. math:: q_j = \nabla_j f(s) + \nabla_j f_t(w) - \nabla_j f_t(s)
              + \frac{a'}{a} (\nabla_j f_t(x') - \nabla_j f_t(w')),

    with ``w`` where the blocks before it have moved, ``x`` where the cycle began, and primes of the
    cycle before. The step length of an epoch of ``K`` cycles is ``a^2 = K A' / (2 L)``. Samples are
    drawn by their size in the metric of the curvatures, which bounds what a batch adds to the
    curvature by ``units / batch``; an eighth of that is the first ``L``. Restarts, and how ``L``
    grows, are those of :class:`ACODER`.

    For many more samples than features: an epoch of the default length reads X twice.

    Parameters
    ----------
    blocks : int >= 1, default 2
        Blocks of about as many units each. Each reads whole rows for its samples: more blocks are
        more rows.
    batch : int >= 1, default 8
        Samples that a block draws.
    cycles : int >= 1, default None
        Cycles of an epoch; by default as many as draw n samples.
    random_state : int, default 0

    References
    ----------
    Lin, Song and Diakonikolas (2023), Accelerated cyclic coordinate dual averaging with
    extrapolation for composite convex optimization, algorithm 2.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((2000, 30))
    >>> y = X[:, 3] - 2 * X[:, 7] + 0.1 * rng.standard_normal(2000)
    >>> gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.1)).solve("vracoder").certificate.support
    array([3, 7])
    """

    preference = 25
    check_every = 5

    def __init__(
        self, blocks: int = 2, batch: int = 8, cycles: int | None = None, random_state: int = 0
    ) -> None:
        super().__init__(blocks)
        for name, value in (("batch", batch), ("cycles", cycles)):
            if value is not None and value < 1:
                raise ValueError(f"VRACODER: {name} must be >= 1, got {value}.")
        self.batch, self.cycles, self.random_state = int(batch), cycles, random_state

    def refuses(self, problem: Problem) -> str | None:
        if problem.loss.joint:
            return f"samples interact under {problem.loss!r}: a few do not tell of their sum"
        return super().refuses(problem)

    def passes(self, problem: Problem) -> float:
        """How often an epoch reads as many rows as X has, the snapshot's included."""
        blocks = len(split(problem, self.blocks))
        return 1 + self._cycles(problem) * blocks * self.batch / len(problem.y)

    def prepare(self, problem: Problem) -> tuple[Callable[[Point, float], Averages], float]:
        blocks, cycles = split(problem, self.blocks), self._cycles(problem)
        sampler = Sampler.of(problem, blocks, self.batch, self.random_state)
        units = sum(len(part.curvature) for part in blocks)
        return (
            lambda start, bound: _Epochs(problem, blocks, start, bound, sampler, cycles),
            _FIRST * (1 + units / self.batch),
        )

    def _cycles(self, problem: Problem) -> int:
        return self.cycles or -(-len(problem.y) // (self.blocks * self.batch))


@dataclass(frozen=True, eq=False)
class Sampler:
    """Rows of the working design, and how samples are drawn from them.

    edges : (n,) cumulated chances.
    factors : (n,) weight of a sample in the mean of a batch, so that this is the weighted sum of
        all samples in expectation.
    """

    rows: np.ndarray
    edges: np.ndarray
    factors: np.ndarray
    batch: int
    rng: np.random.Generator

    @classmethod
    def of(cls, problem: Problem, blocks: list[Part], batch: int, seed: int) -> Sampler:
        """Chances by weight and squared size of the row: no gradient then varies more than
        another."""
        rows = np.ascontiguousarray(problem.design.dense(np.arange(problem.shape[0])))
        s = problem.sample_weight
        sizes = s * (np.square(rows) @ (1 / scales(blocks)))
        chances = sizes / sizes.sum() if sizes.any() else s
        factors = np.divide(s, batch * chances, out=np.zeros_like(s), where=chances > 0)
        return cls(rows, np.cumsum(chances), factors, batch, np.random.default_rng(seed))

    def draw(self, cycles: int, blocks: int) -> np.ndarray:
        """(cycles, blocks, batch) samples, with replacement."""
        places = self.rng.random((cycles, blocks, self.batch)) * self.edges[-1]
        return np.searchsorted(self.edges, places, side="right")


class Snapshot:
    """The gradient of all samples at a point, and estimates elsewhere from a few of them."""

    def __init__(self, point: Point, sampler: Sampler) -> None:
        self.problem, self.sampler = point.problem, sampler
        self.full, self.slopes = point.gradient[:, 0], point.residual[:, 0]
        self.shift = point.problem.shifted(np.zeros_like(point.z), point.b)

    def estimate(
        self, features: np.ndarray, drawn: np.ndarray, paths: np.ndarray, ratio: float
    ) -> np.ndarray:
        """(m,) gradient at the first of ``paths`` (p, 3), and ``ratio`` times that at the second
        less that at the third; unbiased over ``drawn``."""
        rows = self.sampler.rows[drawn]
        z, y = rows @ paths + self.shift[drawn], np.repeat(self.problem.y[drawn], 3, axis=0)
        here, before, path = self.problem.loss.gradient(z.reshape(-1, 1), y).reshape(-1, 3).T
        change = here - self.slopes[drawn] + ratio * (before - path)
        return self.full[features] + rows[:, features].T @ (self.sampler.factors[drawn] * change)


class _Epochs(Averages):
    """A snapshot, then several cycles whose average is the next one."""

    def __init__(
        self, problem: Problem, blocks: list[Part], start: Point, bound: float, sampler: Sampler,
        cycles: int,
    ) -> None:  # fmt: skip
        super().__init__(problem, blocks, start, bound)
        self.point, self.sampler, self.cycles = start, sampler, cycles
        # the weight of the start in the average; of the penalty, steps have seen nothing yet
        self.total, self.seen = 1 / (4 * bound), 0.0
        self.x = self.moved = self.origin

    def cycle(self) -> Point:
        """The average of an epoch."""
        snapshot = Snapshot(self.point, self.sampler)
        step = float(np.sqrt(self.cycles * self.total / (2 * self.bound)))
        self.total += step
        ratio, self.last = self.last / step, step
        lead, mean = self.lead.copy(), np.zeros_like(self.lead)
        for drawn in self.sampler.draw(self.cycles, len(self.blocks)):
            self._turn(snapshot, drawn, lead, ratio)
            mean += self.moved / self.cycles
            ratio = 1.0
        self.point = self.arrive(lead, mean)
        return self.point

    def _turn(self, snapshot: Snapshot, drawn: np.ndarray, lead: np.ndarray, ratio: float) -> None:
        """Move all blocks once; ``lead`` is updated in place."""
        share, part_step = self.last / self.total, self.last / self.cycles
        x = (1 - share) * self.mixed + share * lead
        # the points of this cycle and of the last one, as blocks move
        paths = np.column_stack([x, self.x, self.x])
        self.seen += part_step
        for part, chosen in zip(self.blocks, drawn, strict=True):
            at = part.features
            pull = snapshot.estimate(at, chosen, paths, ratio)
            lead[at] = self.stepped(part, part_step * pull, self.seen)
            paths[at, 0] = (1 - share) * self.mixed[at] + share * lead[at]
            paths[at, 2] = self.moved[at]
        self.x, self.moved = x, paths[:, 0].copy()
