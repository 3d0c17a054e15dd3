"""Survival problems on real tables, the same for the peers that solve them and for the tests."""

from __future__ import annotations

import numpy as np
from survival_tables import SURVIVAL_TABLES

import gossamer as gs
from gossamer.penalties import ElasticNet


def strata_and_weights(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Three strata and whole weights, made up."""
    at = np.arange(n)
    return (at * 7) % 3 * 1.0, 1.0 + (at * 5) % 3


def problem_of(
    table: str, ties: str = "breslow", *, stratified: bool, weighted: bool, l1_ratio: float = 1.0
) -> gs.Problem:
    """The problem of a case, at strength one."""
    t = SURVIVAL_TABLES[table]()
    stratum, weight = strata_and_weights(len(t.y))
    y = np.column_stack([t.y, stratum]) if stratified else t.y
    penalty = ElasticNet(1.0, l1_ratio=l1_ratio)
    sample_weight = weight if weighted else None
    return gs.Problem(t.X, y, gs.losses.Cox(ties), penalty, sample_weight=sample_weight)
