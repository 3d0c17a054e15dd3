"""Lasso supports of layers, and the smooth form, against cvxpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from gossamer.core.structure import Structure
from gossamer.nn.language.alternation import Alternation
from gossamer.nn.language.methods import ADMM, Lasso, Reconstruction, Smooth
from gossamer.nn.language.methods.lasso import Penalised
from gossamer.nn.language.quadratic import Quadratic
from gossamer.structures import Blocks, Elements, NofM

from .test_reconstruction import make_layer

TOLERANCE = {Lasso: 1e-6, Smooth: 1e-4}


def solved_by_cvxpy(convex: Penalised, rows: int | None = None) -> float:
    """The optimum of the penalised problem in scaled units; blocks of so many rows, or entries."""
    cvxpy = pytest.importorskip("cvxpy")
    weight = convex.problem.weight.double().numpy()
    root = np.linalg.cholesky(convex.problem.hessian.double().numpy())
    prices = convex.strength * convex.weights.double().numpy()
    U = cvxpy.Variable(weight.shape)
    if rows is None:
        penalty = cvxpy.sum(cvxpy.multiply(prices.reshape(weight.shape), cvxpy.abs(U)))
    else:
        prices = prices.reshape(weight.shape[0] // rows, -1)
        penalty = sum(
            prices[i] @ cvxpy.norm(U[rows * i : rows * (i + 1)], 2, axis=0)
            for i in range(len(prices))
        )
    problem = cvxpy.Problem(cvxpy.Minimize(0.5 * cvxpy.sum_squares((weight - U) @ root) + penalty))
    # the solver's own 1e-8 is out of reach on some processors
    limits = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-7)
    return float(problem.solve(solver="CLARABEL", **limits))


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize(("on", "rows"), [(Elements(), None), (Blocks((4, 1)), 4)])
@pytest.mark.parametrize("kind", [Lasso, Smooth])
def test_the_optimum_is_that_of_cvxpy(
    kind: type[Lasso], on: Structure, rows: int | None, power: float
) -> None:
    layer = make_layer(outputs=8, inputs=10, on=on, keep=0.4)
    method = kind(power=power, tol=TOLERANCE[kind], max_iter=2000)
    problem = Quadratic.of(layer, method.ridge)
    convex = Penalised.of(problem, layer, power)
    alternation = Alternation(problem, problem.weight, method.rho)
    convex = method.priced(convex, alternation)
    weight, certificate = method.optimum(convex, alternation)
    best = solved_by_cvxpy(convex, rows)
    assert certificate.holds
    assert certificate.objective - best <= certificate.gap + 1e-6 * best
    if kind is Lasso:
        assert certificate.objective == pytest.approx(best, rel=1e-4)
        alive = int((convex.sizes(weight) > 0).sum())
        assert abs(alive - layer.count) <= 1 + 0.1 * layer.count


def test_the_gap_bounds_the_distance_to_the_optimum_at_any_weight() -> None:
    layer = make_layer(outputs=8, inputs=10)
    problem = Quadratic.of(layer, 0.01)
    convex = Penalised(problem, layer, torch.linspace(0.5, 1.5, 80), strength=0.3)
    best = solved_by_cvxpy(convex)
    for shrink in (0.0, 0.5, 1.0):
        weight = shrink * problem.weight
        found = convex.certify(weight, -problem.gradient(weight), 1e-3)
        assert best <= found.objective <= best + found.gap


@pytest.mark.parametrize("kind", [Lasso, Smooth])
@pytest.mark.parametrize("on", [Elements(), NofM(2, 4), Blocks((4, 1))])
def test_structures_are_honoured(kind: type[Lasso], on: Structure) -> None:
    layer = make_layer(on=on)
    solved = kind().solve(layer)
    assert solved.certificate is not None
    assert solved.certificate.holds
    assert solved.mask.sum() == layer.weight.numel() // 2
    torch.testing.assert_close(solved.mask, layer.mask(solved.mask.float()))
    assert not solved.weight[~solved.mask].any()
    assert solved.facts["strength"] > 0
    if not isinstance(on, NofM):  # which the convex problem does not know
        assert layer.error(solved.weight) < solved.facts["shrunk_error"]


def test_supports_lie_between_those_of_wanda_and_of_admm() -> None:
    layer = make_layer(outputs=32, inputs=48, keep=0.3)
    errors = [
        layer.error(method.solve(layer).weight)
        for method in (Reconstruction("wanda"), Lasso(power=0), Lasso(), ADMM())
    ]
    assert errors[3] < errors[2] < min(errors[:2])


def test_the_smooth_form_finds_the_supports_of_the_lasso() -> None:
    layer = make_layer()
    first, second = Lasso(tol=1e-6).solve(layer), Smooth(tol=1e-4, max_iter=1000).solve(layer)
    assert (first.mask != second.mask).float().mean() < 0.02
    assert first.facts["strength"] == second.facts["strength"]


def test_all_may_stay() -> None:
    layer = make_layer(keep=1.0)
    solved = Lasso().solve(layer)
    assert bool(solved.mask.all())
    torch.testing.assert_close(solved.weight, layer.weight, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lasso(rho=0.0), "Lasso: rho must be > 0"),
        (lambda: Lasso(power=-1.0), "Lasso: power must be a finite number >= 0"),
        (lambda: Smooth(max_iter=0), "Smooth: max_iter must be an integer >= 1"),
    ],
)
def test_senseless_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
