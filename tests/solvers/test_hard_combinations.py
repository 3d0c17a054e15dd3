"""Losses and penalties in combinations and at numbers that once went wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gossamer as gs
from gossamer.core import Problem, UnsupportedProblem
from gossamer.losses import (
    Hinge,
    LeastAbsolute,
    Logistic,
    Multinomial,
    Ordinal,
    Poisson,
    Quantile,
    SquaredHinge,
)


@pytest.mark.parametrize("loss", [Hinge(), LeastAbsolute(), Quantile(0.3)], ids=repr)
@pytest.mark.parametrize("penalty", [gs.Fused(0.05), gs.L1(0.05) + gs.Bounds(-1, 1)], ids=repr)
def test_kinks_are_refused_where_what_is_left_is_no_smooth_lasso(
    loss: Any, penalty: Any, rng: np.random.Generator
) -> None:
    X, y = rng.standard_normal((12, 5)), np.arange(12) % 2.0
    with pytest.raises(UnsupportedProblem, match=r"kinks; .*Smooth losses") as found:
        Problem(X, y, loss, penalty).solve()
    assert str(found.value).count(";") < 3
    assert "budget" not in str(found.value)


@pytest.mark.parametrize(
    "penalty",
    [
        gs.Exclusive(0.01, on=gs.Groups([0, 0, 1])),
        gs.SLOPE([0.02, 0.01], on=gs.Groups([0, 0, 1])),
        gs.L1Ball(1.0, on=gs.Groups([0, 0, 1])),
        gs.Tree(0.01, [[0], [0, 1]]),
    ],
    ids=repr,
)
def test_groups_of_features_with_several_classes(penalty: Any, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((60, 3)), np.arange(60) % 3
    assert Problem(X, y, Multinomial(), penalty).solve(tol=1e-4).certificate.holds


@pytest.mark.parametrize("penalty", [gs.AtMost(1, ridge=0.1), gs.MCP(1e-3)], ids=repr)
def test_constant_columns_do_not_pull(penalty: Any, rng: np.random.Generator) -> None:
    """Rounding over rounding once stood for a violation."""
    offset, y = rng.standard_normal(5), np.array([0.0, 1.0, 0.0, 1.0, 1.0])
    problem = Problem(np.full((5, 2), 3.1), y, Logistic(), penalty, offset=offset)
    assert not problem.null_gradient.any()
    assert problem.solve().certificate.holds


def test_no_curvature_on_a_support(rng: np.random.Generator) -> None:
    """All samples beyond the hinge: the support's Hessian is zero."""
    X = rng.standard_normal((30, 12))
    y = np.sign(X[:, 0])
    penalty = gs.AtMost(4, nonnegative=True)
    result = Problem(X, y, SquaredHinge(), penalty, sample_weight=10.0 ** rng.uniform(-3, 6, 30))
    assert np.isfinite(result.solve(max_iter=3).coef).all()


def test_predictions_that_leave_no_room_between_thresholds() -> None:
    y, s = np.array([[0.0], [1.0], [2.0]]), np.full(3, 1 / 3)
    loss = Ordinal().bind(y, s)
    assert np.isinf(s @ loss.value(np.array([[1e20], [2e20], [3e20]]), y))


def test_steps_of_proximal_gradient_that_overflow(rng: np.random.Generator) -> None:
    X = rng.standard_normal((60, 10)) * 10.0 ** rng.integers(-4, 4, 10)
    y = rng.poisson(1.0, 60).astype(float)
    problem = Problem(X, y, Poisson(), gs.ElasticNet(0.9, l1_ratio=0.4))
    expected = problem.solve().certificate.objective
    result = problem.solve("proximalgradient", tol=1e-4)
    assert result.certificate.objective == pytest.approx(expected, rel=1e-3)
