"""Blocks in turn under accelerated dual averages: what A-CODER and its sampled form share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gossamer.core.design import Design
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.unit_form import UnitForm, prox_of_form
from gossamer.core.units import Units
from gossamer.solvers.iterating import IterativeSolver, settled

# a restart after so few cycles says that the bound was too low
_EARLY = 4
# of an objective: it must not end the averages for ever
_ROUNDING = 1e-15


@dataclass(frozen=True, eq=False)
class Part:
    """A block: its features, its units, and the curvature along each of those."""

    features: np.ndarray
    form: UnitForm
    curvature: np.ndarray
    design: Design

    @cached_property
    def columns(self) -> np.ndarray:
        """(n, m) the working columns, copied once."""
        return self.design.dense(self.features)

    @cached_property
    def scale(self) -> np.ndarray:
        """(m,) curvature of the unit of each feature."""
        return self.form.units.spread(self.curvature)


def split(problem: Problem, count: int) -> list[Part]:
    """The units in blocks of about equal size."""
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
        parts.append(Part(at, local, curvature[chosen], problem.design))
    return parts


def scales(blocks: list[Part]) -> np.ndarray:
    """(p,) the metric: for each feature the curvature of its unit."""
    at = np.concatenate([part.features for part in blocks])
    scale = np.empty(len(at))
    scale[at] = np.concatenate([part.scale for part in blocks])
    return scale


class Averages(ABC):
    """The sums of one start, and a cycle (or several) over all blocks.

    origin : where they start; ``lead`` is the prox step from there, ``mixed`` the average of leads.
    total : the sum of step lengths so far.
    """

    def __init__(self, problem: Problem, blocks: list[Part], start: Point, bound: float) -> None:
        self.problem, self.blocks, self.bound = problem, blocks, bound
        self.origin = self.mixed = self.lead = start.w[:, 0]
        self.b = start.b
        self.total = self.last = 0.0
        self.sums = np.zeros(len(self.origin))
        self.scale = scales(blocks)
        self.uphill = False

    @abstractmethod
    def cycle(self) -> Point:
        """Where all blocks have moved."""

    def stepped(self, part: Part, pull: np.ndarray, weight: float) -> np.ndarray:
        """(m,) the block's prox step with all gradients so far, ``pull`` being the newest times its
        length, and with ``weight`` times the penalty."""
        at = part.features
        self.sums[at] += pull
        return prox_of_form(
            part.form, self.origin[at] - self.sums[at] / part.scale, weight / part.curvature
        )

    def arrive(self, lead: np.ndarray, mixed: np.ndarray) -> Point:
        """End the cycle there; momentum points uphill where leads turned against the average."""
        self.uphill = bool(((self.lead - lead) * (mixed - self.mixed) * self.scale).sum() > 0)
        self.lead, self.mixed = lead, mixed
        point = settled(self.problem, mixed[:, None], self.b)
        self.b = point.b
        return point


class CyclicAverages(IterativeSolver):
    """Dual averages that start anew where momentum points uphill, and after a cycle that raises the
    objective, which is not taken; where that comes early, the assumed curvature across blocks is
    doubled."""

    def __init__(self, blocks: int) -> None:
        if blocks < 1:
            raise ValueError(f"{type(self).__name__}: blocks must be >= 1, got {blocks}.")
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

    @abstractmethod
    def prepare(self, problem: Problem) -> tuple[Callable[[Point, float], Averages], float]:
        """How averages begin at a point under a bound of the curvature across blocks, and the
        bound to try first, in units of the curvature along a unit."""

    def steps(self, problem: Problem, start: Point) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        begin, bound = self.prepare(problem)
        value, cycles = _objective(start), 0
        averages = begin(start, bound)
        while True:
            point, cycles = _sparser(averages.cycle(), averages.lead), cycles + 1
            new = _objective(point)
            rises = new > value + _ROUNDING * abs(value)
            if rises:
                bound *= 2.0 if cycles <= _EARLY else 1.0
            else:
                start, value = point, new
            if rises or averages.uphill:
                averages, cycles = begin(start, bound), 0
            yield start.w, start.b


def _objective(point: Point) -> float:
    return point.loss + point.problem.penalty.value(point.w)


def _sparser(point: Point, lead: np.ndarray) -> Point:
    """The point without the traces of what the prox has dropped, which an average keeps for ever;
    itself where they are worth something."""
    w = np.where(lead[:, None] == 0, 0.0, point.w)
    if np.array_equal(w, point.w):
        return point
    sparse, value = settled(point.problem, w, point.b), _objective(point)
    return sparse if _objective(sparse) <= value + _ROUNDING * abs(value) else point
