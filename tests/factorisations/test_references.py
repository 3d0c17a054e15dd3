"""Smooth forms against other people's mathematics: convex duals, closed forms, singular values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import gossamer as gs
from gossamer.factorisations import (
    Harmonic,
    Latent,
    Level,
    MatrixProduct,
    Product,
    factorise_gates,
    factorise_overlaps,
    factorise_power,
)
from gossamer.factorisations.cells import cells_of

OVERLAPPING = ([0, 1, 2], [2, 3], [3, 4, 5], [0, 5])
SHAPES = [(7,), (4, 6), (2, 3, 4), (4, 2, 3, 2)]


def sparse(rng, shape, share=0.7):
    return rng.standard_normal(shape) * (rng.random(shape) < share)


# -- regular structures on weights of any shape: written with numpy's own norms --------------------
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [2, 3, 4, 2.5])
def test_element_forms_on_any_shape(rng, shape, k):
    w = sparse(rng, shape)
    expected = 0.7 * (np.abs(w) ** (2 / k)).sum()
    for form in ("auto", "shared", "power", "difference"):
        smooth = factorise_power(0.7, 2 / k, gs.Elements(), shape, form=form)
        np.testing.assert_allclose(smooth.value(w), expected, rtol=1e-12)
        np.testing.assert_allclose(smooth.expand(smooth.balanced(w)), w, rtol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 2.5])
def test_channel_and_block_forms(rng, k):
    w = sparse(rng, (4, 6, 3, 2))
    w[1] = 0
    norms = {
        gs.Channels(): np.sqrt(np.square(w).sum((1, 2, 3))),
        gs.Channels(axis=1): np.sqrt(np.square(w).sum((0, 2, 3))),
        gs.Heads(2): np.sqrt(np.square(w).reshape(2, -1).sum(1)),
        gs.Blocks((2, 3)): np.sqrt(np.square(w).reshape(2, 2, 12, 3).sum((1, 3)).ravel()),
    }
    for on, sizes in norms.items():
        weights = rng.random(len(sizes))
        smooth = factorise_power(0.7, 2 / k, on, w.shape, weights=weights)
        np.testing.assert_allclose(smooth.value(w), 0.7 * weights @ sizes ** (2 / k), rtol=1e-12)
        factors = smooth.balanced(w)
        np.testing.assert_allclose(smooth.expand(factors), w, rtol=1e-12)
        np.testing.assert_allclose(smooth.penalty(factors), smooth.value(w), rtol=1e-12)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_empty_weights(shape):
    w = np.zeros(shape)
    forms = [
        penalty.factorise(shape)
        for on in (gs.Elements(), gs.Rows(), gs.Channels(), gs.Spectrum())
        for penalty in (gs.L1(0.5, on=on), gs.Lq(0.5, on=on))
    ]
    for form in [*forms, (gs.L1(0.1) + gs.L1(0.2, on=gs.Rows())).factorise(shape)]:
        for factors in (form.balanced(w), form.start(w)):
            assert form.expand(factors).shape == shape
        assert form.value(w) == 0


# -- groups that overlap ---------------------------------------------------------------------------
def latent_dual(w, groups, weights):
    """max <w, z> subject to |z_g| <= weight_g, which is the latent norm (Obozinski et al. 2011)."""
    members = [np.isin(np.arange(len(w)), group) for group in groups]
    constraints = [
        {
            "type": "ineq",
            "fun": lambda z, g=g, c=c: c * c - z[g] @ z[g],
            "jac": lambda z, g=g: -2 * np.where(g, z, 0.0),
        }
        for g, c in zip(members, weights, strict=True)
    ]
    found = minimize(
        lambda z: -w @ z, 0.1 * np.sign(w), jac=lambda z: -w, constraints=constraints,
        method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    return -found.fun


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_latent_norm_against_its_dual(rng, share):
    for _ in range(4):
        w, weights = sparse(rng, 6, share), rng.uniform(0.5, 2.0, 4)
        form = Latent(1.0, (6,), [*OVERLAPPING, [1, 4]], [*weights, 1.0])
        expected = latent_dual(w, form.groups, form.weights)
        np.testing.assert_allclose(form.value(w), expected, rtol=1e-8, atol=1e-9)


def test_latent_norm_against_a_convex_solver(rng):
    cvxpy = pytest.importorskip("cvxpy")
    if "CLARABEL" not in cvxpy.installed_solvers():
        pytest.skip("cvxpy has no solver of second-order cones")
    w, weights = sparse(rng, 6), rng.uniform(0.5, 2.0, 4)
    parts = [cvxpy.Variable(len(group)) for group in OVERLAPPING]
    made = sum(np.eye(6)[:, group] @ part for group, part in zip(OVERLAPPING, parts, strict=True))
    cost = sum(c * cvxpy.norm(part) for c, part in zip(weights, parts, strict=True))
    expected = cvxpy.Problem(cvxpy.Minimize(cost), [made == w]).solve(solver="CLARABEL")
    form = Latent(1.0, (6,), OVERLAPPING, weights)
    np.testing.assert_allclose(form.value(w), expected, rtol=1e-7)


def test_a_sum_of_norms_costs_more_than_latent_parts(rng):
    """Overlaps are charged once a group in the sum of norms; the latent norm shares them out."""
    latent = Latent(1.0, (6,), OVERLAPPING)
    overlapping = factorise_overlaps(1.0, OVERLAPPING, (6,))
    for _ in range(10):
        w = rng.standard_normal(6)
        expected = sum(np.linalg.norm(w[group]) for group in OVERLAPPING)
        np.testing.assert_allclose(overlapping.value(w), expected, rtol=1e-12)
        assert latent.value(w) <= expected
    # a weight on one group alone: one part is enough, while every group that it meets is charged
    w = np.array([0.0, 0.0, 3.0, 4.0, 0.0, 0.0])
    np.testing.assert_allclose(latent.value(w), 5.0)
    np.testing.assert_allclose(overlapping.value(w), 3.0 + 5.0 + 4.0)


def test_sparse_group_is_a_sum_of_norms(rng):
    w = sparse(rng, (4, 3))
    form = (gs.L1(0.2) + gs.L1(0.5, on=gs.Channels(axis=1))).factorise((4, 3))
    assert isinstance(form, Harmonic)
    expected = 0.2 * np.abs(w).sum() + 0.5 * np.sqrt(np.square(w).sum(0)).sum()
    np.testing.assert_allclose(form.value(w), expected, rtol=1e-12)


def test_harmonic_gates_reach_the_prox_of_a_tree(rng):
    """Nested groups: the prox is that of the groups in turn, from the leaves up (Jenatton 2011)."""
    tree = ([0, 1], [2, 3], [0, 1, 2, 3], [0, 1, 2, 3, 4, 5])
    form = factorise_overlaps(0.3, tree, (6,))
    for _ in range(3):
        v = 1.5 * rng.standard_normal(6)
        prox = v.copy()
        for group in tree:
            size = np.linalg.norm(prox[group])
            prox[group] *= max(0.0, 1 - 0.3 / size)
        factors, _ = gs.testing.factorisation_laws.nearest_factors(form, v, form.start(v))
        np.testing.assert_allclose(form.expand(factors), prox, atol=1e-5)


@pytest.mark.parametrize(
    "groups", [([0, 0], [1, 2]), ([0, 3],), ([],), ([-1, 0],)], ids=["twice", "out", "empty", "-1"]
)
def test_overlaps_refuse_groups(groups):
    with pytest.raises(ValueError, match="group 0 must list"):
        factorise_overlaps(1.0, groups, (3,))


# -- gates that cross, gates on a tree -------------------------------------------------------------
def test_outer_gates_against_brute_force(rng):
    """Rows and columns: all starts of a generic minimiser over the logarithms end at the value."""
    w = sparse(rng, (3, 4), 0.6) + np.eye(3, 4)
    alive = np.argwhere(w)
    form = factorise_gates(1.0, (gs.Channels(0), gs.Channels(1)), w.shape)

    def cost(logs):
        rows, columns = np.exp(logs[:3]), np.exp(logs[3:])
        leading = [w[i, j] / (rows[i] * columns[j]) for i, j in alive]
        return (np.square(leading).sum() + rows @ rows + columns @ columns) / 3

    ends = [
        minimize(cost, rng.standard_normal(7), method="BFGS", options={"gtol": 1e-9}).fun
        for _ in range(3)
    ]
    np.testing.assert_allclose(ends, form.value(w), rtol=1e-8)


def test_outer_gates_of_one_row_and_one_column():
    """A lone row pays its norm to the power 2/3, and a lone entry its modulus: three factors."""
    form = factorise_gates(1.0, (gs.Channels(0), gs.Channels(1)), (3, 4))
    w = np.zeros((3, 4))
    w[1, 2] = -8.0
    np.testing.assert_allclose(form.value(w), 8 ** (2 / 3))
    w[1] = [1.0, 1.0, 1.0, 1.0]
    # by hand: u r c with |u| = 1 / (r c), and the four columns alike; minimise over r and c
    found = minimize(lambda x: (4 / (x[0] * x[1]) ** 2 + x[0] ** 2 + 4 * x[1] ** 2) / 3, [1.0, 1.0])
    np.testing.assert_allclose(form.value(w), found.fun, rtol=1e-6)


def test_empty_rows_and_columns_of_outer_gates(rng):
    form = factorise_gates(1.0, (gs.Channels(0), gs.Channels(1)), (4, 5))
    w = rng.standard_normal((4, 5))
    w[2], w[:, 3] = 0, 0
    small = factorise_gates(1.0, (gs.Channels(0), gs.Channels(1)), (3, 4))
    inside = np.delete(np.delete(w, 2, axis=0), 3, axis=1)
    np.testing.assert_allclose(form.value(w), small.value(inside), rtol=1e-10)
    _, rows, columns = form.balanced(w)
    assert rows[2] == 0 and columns[3] == 0 and (np.delete(rows, 2) > 0).all()


def tree_value(w, partitions):
    """One factor a level: from the leaves up, t -> (sum t)^(m / (m + 1))."""
    sums = {(i,): value * value for i, value in enumerate(w)}  # squares of level 1, power 1
    for m, labels in enumerate(partitions, start=1):
        merged: dict = {}
        for cell, value in sums.items():
            merged.setdefault(labels[cell[0]], []).append((cell, value))
        sums = {
            tuple(i for cell, _ in members for i in cell): sum(v for _, v in members)
            ** (m / (m + 1))
            for members in merged.values()
        }
    return sum(sums.values())


def test_tree_against_the_recursion(rng):
    fine, coarse = [0, 0, 1, 1, 2, 3], [0, 0, 0, 0, 1, 1]
    form = factorise_gates(0.7, (gs.Groups(fine), gs.Groups(coarse)), (6,))
    assert form.is_nested
    for share in (0.4, 1.0):
        w = sparse(rng, 6, share)
        expected = 0.7 * tree_value(w, (fine, coarse))
        np.testing.assert_allclose(form.value(w), expected, rtol=1e-12)


def test_two_factors_below_a_gate(rng):
    """The sparse group lasso's non-convex sister: sum_g |w_g|_1^(2/3)."""
    w, groups = sparse(rng, 6), gs.Groups([0, 1, 1, 0, 2, 1])
    levels = [Level(cells_of(on, (6,))) for on in (gs.Elements(), gs.Elements(), groups)]
    expected = sum(np.abs(w[np.isin(groups.labels, g)]).sum() ** (2 / 3) for g in range(3))
    np.testing.assert_allclose(Product(1.0, tuple(levels)).value(w), expected, rtol=1e-12)


def test_levels_in_another_order_cost_the_same(rng):
    """The product does not know the order of its gates: the sweep finds the closed form."""
    w = sparse(rng, 6)
    groups = (gs.Groups([0, 0, 1, 1, 2, 3]), gs.Groups([0, 0, 0, 0, 1, 1]))
    nested, reverse = (factorise_gates(0.7, order, (6,)) for order in (groups, groups[::-1]))
    assert nested.is_nested and not reverse.is_nested
    np.testing.assert_allclose(reverse.value(w), nested.value(w), rtol=1e-10)


# -- low rank --------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (3, 2, 4), (5,)])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_matrix_products_are_schatten_norms(rng, shape, depth):
    w = rng.standard_normal(shape)
    sigma = np.linalg.svd(w.reshape(shape[0], -1), compute_uv=False)
    form = MatrixProduct(0.7, shape, depth)
    np.testing.assert_allclose(form.value(w), 0.7 * (sigma ** (2 / depth)).sum(), rtol=1e-12)
    for factors in (form.balanced(w), form.start(w)):
        np.testing.assert_allclose(form.expand(factors), w, atol=1e-12)


def test_rank_is_limited(rng):
    w = rng.standard_normal((5, 2)) @ rng.standard_normal((2, 6))
    form = MatrixProduct(1.0, (5, 6), rank=2)
    assert form.shapes == ((5, 2), (2, 6))
    np.testing.assert_allclose(form.value(w), np.linalg.norm(w, "nuc"), rtol=1e-12)
    np.testing.assert_allclose(form.expand(form.balanced(w)), w, atol=1e-12)
    assert form.value(rng.standard_normal((5, 6))) == np.inf


# -- strengths and arguments -----------------------------------------------------------------------
@pytest.mark.parametrize("strength", [0.0, 1e-12, 1e12])
def test_extreme_strengths(rng, strength):
    w = sparse(rng, (4, 3))
    for penalty in (
        gs.L1(strength),
        gs.Lq(strength, on=gs.Rows()),
        gs.L1(strength, on=gs.Spectrum()),
    ):
        form = penalty.factorise((4, 3))
        np.testing.assert_allclose(form.value(w), penalty.value(w), rtol=1e-12)
        np.testing.assert_allclose(form.expand(form.start(w)), w, atol=1e-12)


def test_zero_weights_leave_units_unpenalised(rng):
    w = rng.standard_normal(6)
    groups = gs.Groups([[0, 3], [1, 2, 5], [4]])
    form = gs.L1(0.7, on=groups, weights=[1.0, 0.0, 2.0]).factorise((6,))
    only = np.zeros(6)
    only[[1, 2, 5]] = w[[1, 2, 5]]
    assert form.value(only) == 0
    np.testing.assert_allclose(form.expand(form.balanced(w)), w, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gs.L1(0.1, weights=[1.0, 2.0]).factorise((3,)), "weights must be 3"),
        (lambda: gs.L1(0.1, weights=[1.0, 2.0]).factorise((3,), "difference"), "weights must be 3"),
        (lambda: gs.L1(0.1).factorise((3,), "sum"), "form must be one of"),
        (lambda: gs.L1(0.1, on=gs.Spectrum()).factorise((3, 3), "power"), "use 'product'"),
        (lambda: gs.Lq(0.1, q=0.8).factorise((3,), "product"), "use 'shared'"),
        (lambda: Latent(1.0, (3,), ([0, 1],)), "must cover the 3 entries"),
        (lambda: Latent(1.0, (3,), ([0, 1], [1, 2, 2])), "each of their entries once"),
        (lambda: Latent(1.0, (2,), ([0, 1], [1]), [1.0, 0.0]), "weights must be > 0"),
        (lambda: Latent(1.0, (2,), ([0, 1], [1]), [1.0]), "weights must be 2"),
        (lambda: MatrixProduct(1.0, (2, 2), depth=1), "depth must be an integer >= 2"),
        (lambda: MatrixProduct(-1.0, (2, 2)), "strength must be a finite number >= 0"),
        (lambda: Product(1.0, ()), "first level must have single entries"),
        (lambda: Product(1.0, (Level(cells_of(gs.Elements(), (2,))),)), "add up to > 1"),
        (lambda: factorise_overlaps(1.0, (), (3,)), "levels and 0 arrays"),
    ],
)
def test_arguments_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_crossing_levels_take_no_weights():
    levels = tuple(Level(cells_of(on, (2, 2))) for on in (gs.Elements(), gs.Rows(), gs.Channels(1)))
    with pytest.raises(ValueError, match="crossing levels take no weights"):
        Product(1.0, levels, np.ones(2))
