"""The prox in a diagonal metric against brute force, a convex solver and numpy's prox."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import gossamer as gs
from gossamer.core.registry import PENALTIES
from gossamer.testing import instances

torch = pytest.importorskip("torch")

from gossamer.nn.formulas import tensor_form  # noqa: E402
from gossamer.nn.metric_prox import prox  # noqa: E402

STRUCTURES = [
    (gs.Elements(), (6, 4)),
    (gs.Rows(), (6, 4)),
    (gs.Channels(axis=1), (3, 4, 2, 2)),
    (gs.Heads(2, axis=1), (3, 8)),
    (gs.Blocks((2, 2)), (4, 6)),
    (gs.Groups(["a", "b", "a", "c", "b", "b"]), (6, 2)),
]


def apply(penalty, v, steps):
    if isinstance(steps, np.ndarray):
        steps = torch.from_numpy(steps)
    return prox(tensor_form(penalty, v.shape), torch.from_numpy(v), steps).numpy()


def objective(penalty, w, v, steps):
    return ((w - v) ** 2 / steps).sum() / 2 + penalty.value(w)


@pytest.mark.parametrize("shape", instances(PENALTIES), ids=repr)
@pytest.mark.parametrize(("structure", "of"), STRUCTURES, ids=repr)
def test_one_step_is_the_prox_of_numpy(shape, structure, of, rng):
    penalty = type(shape)(*shape.par, on=structure, nonnegative=bool(rng.integers(2)))
    v = 2 * rng.standard_normal(of)
    v[0] = 0
    expected = penalty.prox(v, 0.4)
    np.testing.assert_allclose(apply(penalty, v, 0.4), expected, rtol=1e-12, atol=1e-14)
    # the way of varying steps, given equal ones: Newton's tolerance instead of rounding
    found = apply(penalty, v, np.full(of, 0.4))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert ((found == 0) == (expected == 0)).all()


@pytest.mark.parametrize(
    "penalty",
    [
        gs.L1(0.7, on=gs.Channels()),
        gs.L1(0.7, on=gs.Channels(), weights=[0.0, 1.0, 2.0, 1.0, 0.5, 3.0], nonnegative=True),
        gs.L1(0.2) + gs.L1(0.7, on=gs.Channels()),
        gs.ElasticNet(0.7, on=gs.Heads(2)),
    ],
    ids=repr,
)
def test_convex_is_what_a_solver_finds(penalty, rng):
    v = 2 * rng.standard_normal((6, 3))
    steps = np.exp(rng.standard_normal((6, 3)))
    found = apply(penalty, v, steps)
    signed = penalty.outer if isinstance(penalty, gs.penalties.SumPenalty) else penalty
    bounds = [(0, None)] * v.size if signed.nonnegative else None
    best = minimize(
        lambda w: objective(penalty, w.reshape(v.shape), v, steps),
        found.ravel() + 0.1,
        bounds=bounds,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-12},
    )
    # the solver only comes near a minimum with kinks; the prox must not be above it
    assert objective(penalty, found, v, steps) <= best.fun + 1e-9
    assert np.abs(found - best.x.reshape(v.shape)).max() < 1e-2
    # strong convexity: no point nearby is better
    for _ in range(200):
        near = found + 1e-4 * rng.standard_normal(v.shape) * rng.integers(0, 2, v.shape)
        near = np.maximum(near, 0) if signed.nonnegative else near
        assert objective(penalty, found, v, steps) <= objective(penalty, near, v, steps)


@pytest.mark.parametrize("spread", [0.5, 2.0, 4.0])
def test_zero_exactly_when_the_weighted_size_is_small(spread, rng):
    """Zero is optimal for L1 on a unit if and only if ``|v / steps| <= strength``."""
    v = rng.standard_normal((500, 5)) * np.exp(2 * rng.standard_normal((500, 1)))
    steps = np.exp(spread * rng.standard_normal((500, 5)))
    found = apply(gs.L1(3.0, on=gs.Rows()), v, steps)
    zero = np.linalg.norm(v / steps, axis=1) <= 3.0
    assert 0.02 < zero.mean() < 0.98
    assert ((found == 0).all(axis=1) == zero).all()


def brute_force(penalty, v, steps):
    """Least objective of each row over zero, v, and a fine grid of multipliers."""

    def costs(w):
        sizes = np.linalg.norm(w, axis=1)
        return ((w - v) ** 2 / steps).sum(1) / 2 + penalty.shape_value(sizes, penalty.par)

    best = np.minimum(costs(np.zeros_like(v)), costs(v))
    for multiplier in np.exp(np.linspace(-14, 20, 1000)):
        best = np.minimum(best, costs(v / (1 + steps * multiplier)))
    return costs(apply(penalty, v, steps)), best


@pytest.mark.parametrize("spread", [0.5, 3.0])
@pytest.mark.parametrize("shape", instances(PENALTIES), ids=repr)
def test_against_brute_force(shape, spread, rng):
    penalty = type(shape)(*shape.par, on=gs.Rows())
    v = rng.standard_normal((400, 6)) * np.exp(2 * rng.standard_normal((400, 1)))
    steps = np.exp(spread * rng.standard_normal((400, 6)))
    found, best = brute_force(penalty, v, steps)
    missed = found > best * (1 + 1e-6)
    # concave shapes have several local minima, and the prox is promised in most units only
    assert missed.mean() <= (0.0 if penalty.convex else 0.015)
    zero, stay = (
        (v**2 / steps).sum(1) / 2,
        penalty.shape_value(np.linalg.norm(v, axis=1), penalty.par),
    )
    assert (found <= np.minimum(zero, stay) * (1 + 1e-12)).all()


def test_steps_of_many_magnitudes_in_single_precision(rng):
    """What Adam's metric has where a gradient was never seen: 1e-3 / 1e-8."""
    v = rng.standard_normal((50, 8)).astype(np.float32)
    steps = np.exp(np.log(10) * rng.uniform(-6, 5, (50, 8))).astype(np.float32)
    for penalty in (gs.L1(2.0, on=gs.Rows()), gs.MCP(2.0, on=gs.Rows())):
        single = apply(penalty, v, steps)
        double = apply(penalty, v.astype(float), steps.astype(float))
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", instances(PENALTIES), ids=repr)
def test_extremes_neither_overflow_nor_grow(shape):
    generator = torch.Generator().manual_seed(0)
    form = tensor_form(type(shape)(*shape.par, on=gs.Rows()), (30, 5))
    for size in (1e-30, 1e-3, 1e8):
        for spread in (0.0, 3.0, 12.0):
            v = size * torch.randn(30, 5, generator=generator)
            noise = torch.randn(30, 5, generator=generator)
            steps = 1e-3 * (spread * noise).exp().clamp(1e-10, 1e10)
            found = prox(form, v, steps)
            assert torch.isfinite(found).all()
            assert (found.abs() <= v.abs() * (1 + 1e-5)).all()
            assert (found * v >= 0).all()


def test_half_precision_is_computed_in_single():
    v = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=torch.bfloat16)
    found = prox(tensor_form(gs.L1(1.0, on=gs.Rows()), (2, 2)), v, torch.ones_like(v))
    assert found.dtype == torch.bfloat16
    assert found.tolist() == torch.tensor([[2.4, 3.2], [0, 0]], dtype=torch.bfloat16).tolist()


def test_zeros_stay(rng):
    v = np.zeros((3, 4))
    steps = np.exp(rng.standard_normal((3, 4)))
    for penalty in (gs.L1(0.1, on=gs.Rows()), gs.LogSum(0.1, on=gs.Rows()), gs.Lq(0.1)):
        assert not apply(penalty, v, steps).any()
