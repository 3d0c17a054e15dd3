"""The quadratic loss: working sets of gates by variable projection."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gossamer.core.certificate import Evaluation
from gossamer.core.design import Design
from gossamer.core.point import Point
from gossamer.solvers.continuation import depths, shallower
from gossamer.solvers.gates import Gates
from gossamer.solvers.reduced import Reduced, Store, gram_store, kernel_store, sample_store
from gossamer.solvers.varpro import open_gates, polish
from gossamer.solvers.working_gates import WorkingGates

# entries of the kernels of a working set: 256 MB
_MAX_KERNELS = 32_000_000


@dataclass(eq=False)
class Kernels:
    """``X_u S X_u'`` of units with all outputs in common, each computed once."""

    design: Design
    known: dict[int, np.ndarray] = field(default_factory=dict)

    def of(self, unit: int, features: np.ndarray) -> np.ndarray:
        if unit not in self.known:
            X = np.sqrt(self.design.sample_weight)[:, None] * self.design.columns(features)
            self.known[unit] = X @ X.T
        return self.known[unit]


@dataclass(eq=False)
class GateSearch(WorkingGates):
    """The quadratic loss: its ridge is solved in closed form, what is left is smooth in the gates.

    kernels : those that an earlier solve on the same data has computed.
    """

    kernels: Kernels | None = None

    def improve(self, evaluation: Evaluation) -> Point:
        chosen = self.choose(evaluation)
        if not chosen.size:
            return self.point(np.zeros(self.problem.shape))
        is_new = len(chosen) > len(evaluation.certificate.support)
        if not self.problem.penalty.convex:
            return self.polished(evaluation.point, chosen)
        gates = self.gates.take(chosen)
        w = self.optimal(chosen, gates, self.start(evaluation, chosen), is_new)
        return self.point(w)

    def deepened(self, w: np.ndarray) -> np.ndarray:
        for depth in depths(self.gates.depth):
            sizes = self.form.units.norms(w)
            alive = np.flatnonzero(sizes)
            if not alive.size:
                break
            gates = shallower(self.gates, self.curvature, depth).take(alive)
            w = self.optimal(alive, gates, gates.balanced(sizes[alive]))
        return w

    def optimal(
        self, chosen: np.ndarray, gates: Gates, v: np.ndarray, is_new: bool = True
    ) -> np.ndarray:
        """(p, K) coefficients at the optimal gates of some units; quasi-Newton steps come first
        where some are new."""
        store = self.store(chosen)
        if is_new:
            v = open_gates(store, gates, v)
        v = polish(store, gates, v)
        return store(gates.variances(v)[0]).coefficients()

    @cached_property
    def target(self) -> np.ndarray:
        """(n, K) target, centred and weighted as the columns are."""
        problem = self.problem
        y = problem.y if problem.offset is None else problem.y - problem.offset
        if problem.fit_intercept:
            y = y - problem.sample_weight @ y
        return self._root * y

    @cached_property
    def _root(self) -> np.ndarray:
        return np.sqrt(self.problem.sample_weight)[:, None]

    @cached_property
    def _is_shared(self) -> bool:
        """Whether units have all outputs in common: they then share one system."""
        return bool((self.labels == self.labels[:, :1]).all())

    # -- the reduced loss ------------------------------------------------------------------------
    def store(self, chosen: np.ndarray) -> Store:
        """The reduced loss of some units, by the cheapest systems."""
        if self._is_shared:
            return self._block(chosen, np.arange(self.problem.shape[1]))
        taken = np.flatnonzero(np.isin(self.labels, chosen).any(axis=0))
        blocks = [self._block(chosen, np.array([k])) for k in taken]
        rest = 0.5 * float(np.delete(self.target**2, taken, axis=1).sum())

        def evaluate(variances: np.ndarray) -> Reduced:
            parts = [block(variances) for block in blocks]
            return Reduced(
                rest + sum(part.value for part in parts),
                np.sum([part.squares for part in parts], axis=0),
                lambda: np.sum([part.coefficients() for part in parts], axis=0),
                lambda: np.sum([part.curvature() for part in parts], axis=0),
            )

        return evaluate

    def _block(self, chosen: np.ndarray, outputs: np.ndarray) -> Store:
        """That of some outputs, in which each feature has one unit."""
        unit = self.labels[:, outputs[0]]
        features = np.flatnonzero(np.isin(unit, chosen))
        here, labels = np.unique(unit[features], return_inverse=True)
        place = np.searchsorted(chosen, here)
        inner = self._systems(features, labels, here, self.target[:, outputs])

        def evaluate(variances: np.ndarray) -> Reduced:
            found = inner(variances[place])

            def coefficients() -> np.ndarray:
                w = np.zeros(self.problem.shape)
                w[np.ix_(features, outputs)] = found.coefficients()
                return w

            def curvature() -> np.ndarray:
                full = np.zeros((len(chosen), len(chosen)))
                full[np.ix_(place, place)] = found.curvature()
                return full

            squares = np.bincount(place, found.squares, len(chosen))
            return Reduced(found.value, squares, coefficients, curvature)

        return evaluate

    def _systems(
        self, features: np.ndarray, labels: np.ndarray, units: np.ndarray, Y: np.ndarray
    ) -> Store:
        n, design = len(Y), self.problem.design
        few = 2 * len(units) <= len(features) and len(units) * n * n <= _MAX_KERNELS
        if len(features) > n and few and self._is_shared:
            kernels = self._kernels_of(units)
            transposed = lambda theta: design.rmatvec(self._root * theta)[features]  # noqa: E731
            return kernel_store(kernels, Y, labels, transposed)
        X = self._root * design.columns(features)
        store = gram_store if len(features) <= n else sample_store
        return store(X, Y, labels, len(units))

    def _kernels_of(self, units: np.ndarray) -> list[np.ndarray]:
        if self.kernels is None or self.kernels.design is not self.problem.design:
            self.kernels = Kernels(self.problem.design)
        members = self.form.units
        n_outputs = self.problem.shape[1]
        return [
            self.kernels.of(unit, np.unique(members.positions(np.array([unit]))[0] // n_outputs))
            for unit in units
        ]
