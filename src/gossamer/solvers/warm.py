"""Compile kernels before they are needed, by solving tiny problems."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import sparse

from gossamer.core import design
from gossamer.core.errors import ConvergenceWarning, UnsupportedProblem
from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty
from gossamer.core.problem import Problem
from gossamer.core.registry import LOSSES, PENALTIES
from gossamer.penalties import L1, MCP
from gossamer.solvers import model
from gossamer.structures import Elements, Groups

_N, _P = 12, 6


@dataclass(frozen=True)
class TinyProblem:
    """One combination of pieces that needs a kernel of its own.

    large : as a problem with thousands of features in its working set, which works on the
        residual in place of a Gram matrix.
    """

    loss: Loss
    penalty: Penalty
    is_sparse: bool = False
    large: bool = False

    def solve(self) -> None:
        """Solve it, so that its kernel is compiled and in the cache."""
        X = np.asfortranarray(np.random.default_rng(0).standard_normal((_N, _P)))
        y = np.arange(_N) % (3 if self.loss.coupled else 2)
        if (
            self.loss.comparative and not self.loss.classifies
        ):  # times, and whether an event ended them
            y = np.column_stack([np.arange(_N), y])
        problem = Problem(sparse.csc_array(X) if self.is_sparse else X, y, self.loss, self.penalty)
        with warnings.catch_warnings(), _as_if_large(self.large):
            warnings.simplefilter("ignore", ConvergenceWarning)
            with suppress(UnsupportedProblem):  # what no solver takes needs no kernel
                problem.solve(max_iter=1)


def tiny_problems(everything: bool = False) -> list[TinyProblem]:
    """Problems to be solved for their kernels.

    By default the kernels that most fits need: every penalty on single features, L1 and MCP on
    groups, and L1 on large working sets. ``everything`` takes all combinations.
    """
    return list(_everything() if everything else _common())


def _common() -> Iterator[TinyProblem]:
    groups = Groups(np.arange(_P) // 2)
    quadratic, multinomial = LOSSES["quadratic"](), LOSSES["multinomial"]()
    for kind in PENALTIES:
        yield TinyProblem(quadratic, kind(0.05))
    for penalty in (L1(0.05, on=groups), MCP(0.05, on=groups)):
        yield TinyProblem(quadratic, penalty)
    for loss, is_sparse in product((quadratic, multinomial), (False, True)):
        yield TinyProblem(loss, L1(0.05), is_sparse, large=True)


def _everything() -> Iterator[TinyProblem]:
    structures = (Elements(), Groups(np.arange(_P) // 2))
    penalties = [kind(0.05, on=on) for on in structures for kind in PENALTIES]
    losses = [kind() for kind in LOSSES]
    for large, is_sparse, penalty, loss in product((False, True), (False, True), penalties, losses):
        yield TinyProblem(loss, penalty, is_sparse, large)


@contextmanager
def _as_if_large(working_set: bool) -> Iterator[None]:
    """X counts as large, and is read by compiled passes; so does the working set, if asked."""
    limits = design._LARGE, model._MAX_GRAM
    design._LARGE = 0
    if working_set:
        model._MAX_GRAM = 0
    try:
        yield
    finally:
        design._LARGE, model._MAX_GRAM = limits
