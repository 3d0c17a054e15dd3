"""Branch and bound: the best subset, with a proof."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gossamer.core.certificate import certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Certificate, Status
from gossamer.core.solver import Outcome, Solver
from gossamer.core.validation import finite_number
from gossamer.penalties import AtMost
from gossamer.solvers.refit import refit
from gossamer.solvers.relaxation import Node, relax
from gossamer.solvers.splicing import Splicing
from gossamer.solvers.subset_model import SubsetModel

_NODES_AN_ITERATION, _SPLICING_STEPS = 100, 100
# a model with fewer columns than this share of another replaces it
_WORTH_SHRINKING = 0.8


@dataclass(frozen=True)
class Progress:
    """What a search knows: the best value found, the bound proven, and how much it looked at."""

    value: float
    bound: float
    seconds: float
    nodes: int
    open_nodes: int


@SOLVERS.register
class BranchAndBound(Solver):
    r"""Proves how far from the best subset of at most ``k`` features a subset can be.

    Splits the supports into those with and without a feature, bounds each part by its perspective
    relaxation, and leaves out what cannot beat the best subset known, best bound first. For the
    quadratic loss and single features, ``p`` up to about 10^4 and ``k`` up to 10 where the signal
    is clear; where it is not, the gap that is left when time runs out is reported.

    Parameters
    ----------
    time_limit : float, default 60.0
        Seconds, after which the best subset is returned with its gap. Infinite for no limit.
    box : float > 1 or None, default 2.0
        Only where features outnumber samples and there is no ridge: coefficients, times the norm of
        their columns, are taken to be at most ``box`` times the largest of the first good subset.
        The proof then is among those (``kind`` says so). ``None`` asks for a proof without.
    on_step : callable, default None
        Called with a :class:`Progress` a hundred nodes.

    Raises
    ------
    ValueError
        When ``time_limit`` or ``box`` make no sense, or there is neither a box nor a ridge where
        one is needed.

    Notes
    -----
    The certificate's ``gap`` is the value found minus the bound proven, ``value`` the same
    divided by the null objective. ``tol`` is asked of the latter.

    References
    ----------
    Hazimeh, Mazumder and Saab (2022), Sparse regression at scale: branch-and-bound rooted in
    first-order optimization.
    Bertsimas, King and Mazumder (2016), Best subset selection via a modern optimization lens.
    Dong, Chen and Linderoth (2015), Regularization vs. relaxation, for the curvature taken out.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 30))
    >>> y = X[:, :3] @ [1.0, -1.0, 0.5] + 0.5 * rng.standard_normal(100)
    >>> problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(3))
    >>> result = problem.solve(solver=gs.solvers.BranchAndBound())
    >>> result.certificate.support, result.certificate.kind, result.certificate.holds
    (array([0, 1, 2]), 'global', True)
    """

    preference = 21

    def __init__(
        self,
        time_limit: float = 60.0,
        box: float | None = 2.0,
        on_step: Callable[[Progress], object] | None = None,
    ) -> None:
        if not time_limit > 0:
            raise ValueError(f"time_limit must be > 0 seconds, got {time_limit}.")
        if box is not None and finite_number(box, "box", 0.0) <= 1:
            raise ValueError(f"box must be above 1 (times the largest coefficient), got {box}.")
        self.time_limit, self.box, self.on_step = time_limit, box, on_step

    def refuses(self, problem: Problem) -> str | None:
        penalty = problem.penalty
        if not isinstance(penalty, AtMost):
            return f"{penalty!r} is not a budget of units such as AtMost(10)"
        if not problem.loss.is_quadratic or problem.shape[1] > 1:
            return "its bounds hold for the quadratic loss and one target only"
        if not penalty.units(problem.shape).are_single:
            return f"its bounds hold for single features, not for {penalty.on!r}"
        if penalty.nonnegative:
            return "its bounds are for coefficients of either sign"
        if problem.design.is_operator or problem.design.is_sparse:
            return "it needs a dense X: give X.toarray()"
        return None

    def suits(self, problem: Problem) -> bool:
        return False

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        search = _Search(self, problem, start, tol)
        status = Status.CONVERGED
        try:
            search.prepare()
            status = search.go(max_iter * _NODES_AN_ITERATION)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        point = search.point()
        certificate = search.certificate(point)
        status = Status.CONVERGED if certificate.holds else status
        return Outcome(point, certificate, status, search.iterations, search.history)


class _Search:
    """The tree: open nodes by their bounds, and the best subset so far."""

    def __init__(self, solver: BranchAndBound, problem: Problem, start: Point, tol: float) -> None:
        self.solver, self.problem, self.tol, self.start = solver, problem, tol, start
        assert isinstance(problem.penalty, AtMost)
        self.budget = problem.penalty
        self.begun = time.perf_counter()
        self.history: list[tuple[float, float]] = []
        self.model = SubsetModel.of(problem)
        self.k = min(self.budget.k, len(self.model.features))
        self.heap: list[Node] = []
        self.boxed, self.nodes, self.rooted = False, 0, False
        self.features, self.value = np.empty(0, dtype=np.intp), self.model.total

    # -- what is known -----------------------------------------------------------------------------
    @property
    def cutoff(self) -> float:
        """What a support must stay below to be of interest."""
        return self.value - 0.5 * self.tol * self.problem.null_objective

    @property
    def bound(self) -> float:
        if not self.rooted:
            return 0.0
        return min(self.heap[0].bound, self.cutoff) if self.heap else self.cutoff

    @property
    def gap(self) -> float:
        return max(self.value - self.bound, 0.0)

    @property
    def iterations(self) -> int:
        return -(-self.nodes // _NODES_AN_ITERATION)

    def point(self) -> Point:
        """The best subset, refitted on X itself."""
        return refit(self.problem, np.sort(self.features), self.start)

    def certificate(self, point: Point) -> Certificate:
        plain = certify(self.problem, point, self.tol).certificate
        null = plain.null_objective
        value = self.gap / null if null > 0 else self.gap
        kind = "global in the box" if self.boxed else "global"
        return replace(plain, value=value, gap=self.gap, kind=kind)

    # -- the search --------------------------------------------------------------------------------
    def prepare(self) -> None:
        """A good subset, a box if one is needed, and the root."""
        found = Splicing().run(self.problem, self.start, self.tol, _SPLICING_STEPS).point
        self._offer(np.flatnonzero(np.isin(self.model.features, np.flatnonzero(found.w[:, 0]))))
        self._enclose()
        p = self.model.shape[1]
        price = max(self.model.total - self.value, 1e-12 * self.model.total) / max(self.k, 1)
        nothing = np.empty(0, dtype=np.intp)
        root: Node | None = Node(
            nothing, np.arange(p), 0.0, price, nothing, np.empty(0), np.empty(0)
        )
        while root is not None:
            root = self._processed(root, root=True)
            if root is None or len(root.free) + len(root.forced) > _WORTH_SHRINKING * p:
                break
            root = self._shrunk(root)
            p = self.model.shape[1]
        self.heap = [root] if root is not None else []
        self.rooted = True

    def go(self, limit: int) -> Status:
        """Split the open node of least bound until none is of interest, or a limit is reached."""
        while self.heap and self.heap[0].bound < self.cutoff:
            seconds = time.perf_counter() - self.begun
            if seconds > self.solver.time_limit:
                return Status.TIME_LIMIT
            if self.nodes >= limit:
                return Status.MAX_ITER
            children = [self._processed(child) for child in _split(self.heap[0])]
            # the node stays until its children are known: an interrupt must not lose it
            heapq.heappop(self.heap)
            for child in children:
                if child is not None:
                    heapq.heappush(self.heap, child)
            if self.nodes % _NODES_AN_ITERATION < len(children):
                self.history.append((seconds, self.gap / (self.problem.null_objective or 1.0)))
                if self.solver.on_step is not None:
                    self.solver.on_step(
                        Progress(self.value, self.bound, seconds, self.nodes, len(self.heap))
                    )
        return Status.CONVERGED

    def _processed(self, node: Node, root: bool = False) -> Node | None:
        """The node with its bound, or ``None`` when nothing in it is better than what is known."""
        self.nodes += 1
        if node.bound >= self.cutoff or self._is_solved(node):
            return None
        node = relax(self.model, node, self.k, self.cutoff, root=root)
        if node.bound >= self.cutoff or self._is_solved(node):
            return None
        strongest = np.argsort(-node.gates)[: self.k - len(node.forced)]
        self._offer(np.append(node.forced, node.free[strongest]))
        return node if node.bound < self.cutoff else None

    def _is_solved(self, node: Node) -> bool:
        """Whether so few choices are left that the best is found at once."""
        left = self.k - len(node.forced)
        if len(node.free) <= left or left == 0:
            self._offer(np.append(node.forced, node.free if left else node.free[:0]))
            return True
        if left == 1:
            self._offer(self.model.best_with_one_more(node.forced, node.free))
            return True
        return False

    def _offer(self, chosen: np.ndarray) -> None:
        """Take a subset, of columns of the model, if it is the best so far."""
        value, _ = self.model.best(chosen)
        if value < self.value:
            self.value, self.features = value, self.model.features[chosen]

    def _enclose(self) -> None:
        """Where nothing else bounds the coefficients, a box does."""
        self.model.tighten(self.value)
        if self.model.lift > 0 or (self.budget.ridge > 0 and self.solver.box is None):
            return
        if self.solver.box is None:
            raise ValueError(
                "box=None: without a box, columns must be independent or the budget have a ridge, "
                "as AtMost(10, ridge=1e-3)."
            )
        chosen = np.flatnonzero(np.isin(self.model.features, self.features))
        largest = np.abs(self.model.best(chosen)[1]).max(initial=0.0)
        self.model.bounds[:] = self.solver.box * (largest or np.sqrt(2 * self.model.total))
        self.boxed = True

    def _shrunk(self, root: Node) -> Node:
        """The root on the columns that are left, with the curvature that these have."""
        kept = np.sort(np.append(root.forced, root.free))
        slot = np.full(self.model.shape[1], -1)
        slot[kept] = np.arange(len(kept))
        self.model = self.model.restricted(kept)
        self.model.tighten(self.value)
        alive = np.isin(root.places, kept)
        return replace(
            root, forced=slot[root.forced], free=slot[root.free], places=slot[root.places[alive]],
            values=root.values[alive],
        )  # fmt: skip


def _split(node: Node) -> tuple[Node, Node]:
    """With and without the column that is most undecided."""
    undecided = np.minimum(node.gates, 1 - node.gates)
    at = int(np.argmax(undecided if undecided.max() > 1e-6 else node.gates))
    free = np.delete(node.free, at)
    return replace(node, forced=np.append(node.forced, node.free[at]), free=free), replace(
        node, free=free
    )
