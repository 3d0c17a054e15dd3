"""The laws catch mistakes: each broken penalty is refused by the law it breaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from gossamer.penalties import L1, MCP, ElasticNet
from gossamer.testing import check_penalty


@dataclass(frozen=True, repr=False, eq=False)
class LongStep(L1):
    """Thresholds a thousandth too far."""

    @staticmethod
    def shape_prox(v, step, par):
        return np.sign(v) * np.maximum(np.abs(v) - 1.001 * par[0] * step, 0.0)


@dataclass(frozen=True, repr=False, eq=False)
class SoftOnly(MCP):
    """The prox of L1 with the value of MCP: shrinks what MCP leaves alone."""

    @staticmethod
    def shape_prox(v, step, par):
        return np.sign(v) * np.maximum(np.abs(v) - par[0] * step, 0.0)


@dataclass(frozen=True, repr=False, eq=False)
class NoSlope(MCP):
    """Forgets the penalty's slope off zero."""

    @staticmethod
    def shape_dist(t, g, par):
        return np.where(t == 0, np.maximum(np.abs(g) - par[0], 0.0), np.abs(g))


@dataclass(frozen=True, repr=False, eq=False)
class WideDual(L1):
    """A conjugate whose domain is a tenth too wide: certificates would lie."""

    @staticmethod
    def shape_conjugate(s, par):
        return np.where(np.abs(s) <= 1.1 * par[0], 0.0, np.inf)


@dataclass(frozen=True, repr=False, eq=False)
class IgnoresRatio(ElasticNet):
    """strength_max without l1_ratio."""

    def strength_max(self, grad0):
        return float(np.abs(grad0).max())


@dataclass(frozen=True, repr=False, eq=False)
class Writes(L1):
    """Thresholds in place."""

    def prox(self, v, step):
        v[np.abs(v) <= step * self.strength] = 0.0
        return super().prox(v, step)


@dataclass(frozen=True, repr=False)
class ComparesArrays(L1):
    """Lets the dataclass compare weights, which are arrays."""


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (LongStep, "prox_beats_a_grid|prox_beats_descent|stationary"),
        (SoftOnly, "prox_beats"),
        (NoSlope, "stationary"),
        (WideDual, "conjugate_is_a_supremum|dual_scale"),
        (IgnoresRatio, "strength_max_is_tight"),
        (Writes, "inputs_stay|prox"),
        (ComparesArrays, "parameters_are_equality"),
    ],
)
def test_caught(broken, law):
    with pytest.raises(AssertionError, match=rf"breaks the law .*({law})"):
        check_penalty(broken)
