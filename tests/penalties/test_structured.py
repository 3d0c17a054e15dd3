"""Exclusive, tree, latent groups and balls against convex programmes, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import gossamer as gs
from gossamer.structures import Elements, Groups, Rows, Spectrum

cp = pytest.importorskip("cvxpy")

P = 12
LABELS = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2]
NESTED = ([0], [1, 2], [0, 1, 2, 3], [4, 5], [6], [4, 5, 6, 7, 8], list(range(12)))
OVERLAPPING = ([0, 1, 2, 3], [3, 4, 5], [5, 6, 7, 8, 0], [8, 9, 10, 11])
WEIGHTS = [1.0, 0.5, 2.0, 1.5, 1.0, 0.3, 0.8]

# what the interior-point method leaves of its own gap: objectives agree to the root of rounding
TOLERANCE = 1e-7


def exclusive(w):
    groups = [np.flatnonzero(np.array(LABELS) == g) for g in range(3)]
    return 0.5 * sum(cp.square(cp.norm1(w[group])) for group in groups), []


def tree(w):
    return sum(c * cp.norm2(w[g]) for c, g in zip(WEIGHTS, NESTED, strict=True)), []


def latent(w):
    parts = [cp.Variable(len(group)) for group in OVERLAPPING]
    total = sum(np.eye(P)[:, group] @ part for group, part in zip(OVERLAPPING, parts, strict=True))
    return sum(map(cp.norm2, parts)), [total == w]


NORMS = {
    "exclusive": (gs.Exclusive(1.0, on=Groups(LABELS)), exclusive),
    "tree": (gs.Tree(1.0, NESTED, weights=WEIGHTS), tree),
    "latent": (gs.Overlaps(1.0, OVERLAPPING, latent=True), latent),
}


def solved(cost, constraints=()):
    problem = cp.Problem(cp.Minimize(cost), list(constraints))
    problem.solve(solver=cp.CLARABEL)
    return float(problem.value)


@pytest.mark.parametrize("name", NORMS)
def test_value_and_prox(name):
    penalty, form = NORMS[name]
    rng = np.random.default_rng(0)
    for step in (0.2, 1.0):
        v, w = rng.standard_normal(P), cp.Variable(P)
        norm, constraints = form(w)
        best = solved(cp.sum_squares(w - v) / (2 * step) + norm, constraints)
        p = penalty.prox(v, step)
        cost = float(np.square(p - v).sum() / (2 * step) + penalty.value(p))
        assert cost == pytest.approx(best, rel=TOLERANCE)
        assert cost <= best * (1 + 1e-9)
        assert penalty.value(v) == pytest.approx(
            solved(norm, [*constraints, w == v]), rel=TOLERANCE
        )


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("loss", ["quadratic", "logistic"])
def test_problem(name, loss):
    penalty, form = NORMS[name]
    penalty = penalty.with_strength(0.05)
    rng = np.random.default_rng(1)
    X = rng.standard_normal((50, P))
    signal = X[:, :4] @ [1.0, -1.0, 0.5, 1.0] + 0.3 * rng.standard_normal(50)
    w, b = cp.Variable(P), cp.Variable()
    norm, constraints = form(w)
    if loss == "quadratic":
        y, kind = signal, gs.losses.Quadratic()
        fit = cp.sum_squares(signal - X @ w - b) / 100
    else:
        y, kind = (signal > 0).astype(int), gs.losses.Logistic()
        fit = cp.sum(cp.logistic(cp.multiply(1 - 2 * y, X @ w + b))) / 50
    best = solved(fit + 0.05 * norm, constraints)
    result = gs.Problem(X, y, kind, penalty).solve(tol=1e-10, max_iter=5000)
    certificate = result.certificate
    assert certificate.holds and certificate.kind == "global"
    assert certificate.objective == pytest.approx(best, rel=TOLERANCE)
    assert certificate.objective - certificate.gap <= best * (1 + TOLERANCE)


BALLS = [
    (gs.L1Ball(2.0), lambda W: cp.sum(cp.abs(W))),
    (gs.L1Ball(2.0, on=Groups(LABELS)),
     lambda W: sum(cp.norm(W[np.array(LABELS) == g], "fro") for g in range(3))),
    (gs.L1Ball(2.0, on=Rows()), lambda W: cp.sum(cp.norm2(W, axis=1))),
    (gs.L1Ball(2.0, on=Spectrum()), cp.normNuc),
]  # fmt: skip


@pytest.mark.parametrize(("ball", "norm"), BALLS, ids=[repr(ball) for ball, _ in BALLS])
def test_ball(ball, norm):
    """Projection and whole problem; the trace-constrained multi-task model is the last."""
    rng = np.random.default_rng(2)
    V, W = rng.standard_normal((P, 4)), cp.Variable((P, 4))
    best = solved(cp.sum_squares(W - V), [norm(W) <= 2.0])
    projected = ball.prox(V, 0.7)
    assert np.square(projected - V).sum() == pytest.approx(best, rel=TOLERANCE)
    assert ball.value(projected) == 0.0
    X = rng.standard_normal((40, P))
    Y = X @ np.outer(rng.standard_normal(P), rng.standard_normal(4)) + rng.standard_normal((40, 4))
    b = cp.Variable((1, 4))
    fit = cp.sum_squares(Y - X @ W - np.ones((40, 1)) @ b) / 80
    best = solved(fit, [norm(W) <= 2.0])
    result = gs.Problem(X, Y, gs.losses.Quadratic(), ball).solve(tol=1e-9, max_iter=5000)
    assert result.certificate.holds
    assert result.certificate.objective == pytest.approx(best, rel=TOLERANCE)


def test_nuclear_norm_regression():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((40, P))
    Y = X @ np.outer(rng.standard_normal(P), rng.standard_normal(4)) + rng.standard_normal((40, 4))
    model = gs.MultiTaskLasso(alpha=0.3, on=Spectrum(), tol=1e-9).fit(X, Y)
    W, b = cp.Variable((P, 4)), cp.Variable((1, 4))
    fit = cp.sum_squares(Y - X @ W - np.ones((40, 1)) @ b) / 80
    best = solved(fit + 0.3 * cp.normNuc(W))
    assert model.certificate_.objective == pytest.approx(best, rel=TOLERANCE)
    with pytest.raises(TypeError, match="on must be a Structure"):
        gs.MultiTaskLasso(on="spectrum").fit(X, Y)


def test_budget_and_price_are_two_sides_of_one_model():
    """At the radius that a lasso spends, the ball has the lasso's solution."""
    rng = np.random.default_rng(4)
    X, y = rng.standard_normal((60, 30)), rng.standard_normal(60)
    lasso = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.1)).solve(tol=1e-12)
    radius = float(np.abs(lasso.coef).sum())
    ball = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1Ball(radius)).solve(tol=1e-12)
    # the gap bounds the objective, the coefficients by its root
    np.testing.assert_allclose(ball.coef, lasso.coef, atol=1e-5)


def test_special_cases_are_older_penalties():
    v = np.random.default_rng(5).standard_normal(P)
    for penalty, same in (
        (gs.Tree(0.4, [[j] for j in range(P)]), gs.L1(0.4)),
        (gs.Tree(0.4, [np.flatnonzero(np.array(LABELS) == g) for g in range(3)]),
         gs.L1(0.4, on=Groups(LABELS))),
        (gs.Tree(0.4, [[j] for j in range(P)] + [[0, 1, 2], [3, 4], list(range(5, P))]),
         gs.L1(0.4) + gs.L1(0.4, on=Groups([[0, 1, 2], [3, 4], list(range(5, P))]))),
        (gs.Exclusive(0.4, on=Elements()), gs.ElasticNet(0.4, l1_ratio=0.0)),
        (gs.Overlaps(0.4, [[0, 1, 2], [3, 4], range(5, P)], latent=True),
         gs.L1(0.4, on=Groups([[0, 1, 2], [3, 4], list(range(5, P))]))),
    ):  # fmt: skip
        np.testing.assert_allclose(penalty.prox(v, 0.7), same.prox(v, 0.7), atol=1e-14)
        assert penalty.value(v) == pytest.approx(same.value(v), rel=1e-12)


def test_latent_supports_are_unions_and_the_solver_is_chosen():
    rng = np.random.default_rng(6)
    X = rng.standard_normal((80, P))
    y = X[:, [3, 4, 5]] @ [1.0, -1.0, 1.0] + 0.1 * rng.standard_normal(80)
    penalty = gs.Overlaps(0.2, OVERLAPPING, latent=True)
    result = gs.Problem(X, y, gs.losses.Quadratic(), penalty).solve(tol=1e-10)
    assert result.solver == "Duplicated"
    assert result.certificate.holds
    np.testing.assert_array_equal(np.flatnonzero(result.coef), [3, 4, 5])
    again = gs.Problem(X, y, gs.losses.Quadratic(), penalty).solve(
        "proximalgradient", tol=1e-9, max_iter=3000
    )
    np.testing.assert_allclose(again.coef, result.coef, atol=1e-4)


def test_names_weights_files_and_paths(tmp_path):
    import pandas as pd

    rng = np.random.default_rng(7)
    frame = pd.DataFrame(rng.standard_normal((60, 4)), columns=list("abcd"))
    y = (2 * frame["a"] + frame["b"]).to_numpy() + 0.1 * rng.standard_normal(60)
    for penalty in (
        gs.Tree(0.1, {"pair": ["a", "b"], "all": ["a", "b", "c", "d"], "lone": ["d"]}),
        gs.Overlaps(0.1, [["a", "b"], ["b", "c", "d"]], latent=True),
        gs.Exclusive(0.1, on=Groups({"x": ["a", "c"], "y": ["b", "d"]})),
        gs.L1Ball(2.0, on=Groups({"x": ["a", "b"], "y": ["c", "d"]})),
        gs.GroupEnvelope(0.1, 1),
    ):
        model = gs.SparseModel(penalty=penalty).fit(frame, y)
        assert model.certificate_.holds
        gs.save(model, tmp_path / "m.gossamer")
        again = gs.load(tmp_path / "m.gossamer")
        assert type(again.penalty) is type(penalty)
        np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
        if not isinstance(penalty, gs.GroupEnvelope):
            with pytest.raises(ValueError, match="name columns"):
                gs.SparseModel(penalty=penalty).fit(frame.to_numpy(), y)
    chosen = gs.SparseModelCV(penalty=gs.Tree(1.0, [["a"], ["a", "b", "c", "d"]]), n_alphas=10)
    assert chosen.fit(frame, y).score(frame, y) > 0.95
    with pytest.raises(ValueError, match="give alphas"):
        gs.SparseModelCV(penalty=gs.Exclusive(1.0)).fit(frame, y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gs.Tree(0.1, [[0, 1], [1, 2]]), "groups 0 and 1 overlap and neither holds"),
        (lambda: gs.Tree(0.1, [[0, 1], []]), "group 1 is empty"),
        (lambda: gs.Tree(0.1, [[0, 0]]), "repeats a member"),
        (lambda: gs.Tree(0.1, []), "groups is empty"),
        (lambda: gs.Tree(0.1, [[-1]]), "positions from 0 on"),
        (lambda: gs.Tree(0.1, [[0]], weights=[1, 2]), "weights must be 1"),
        (lambda: gs.Tree(-0.1, [[0]]), "strength"),
        (lambda: gs.Tree(0.1, [[7]]).value(np.ones(3)), "list column 7, but X has 3"),
        (lambda: gs.Tree(0.1, [["z"]]).resolve(["a"]), "X does not have"),
        (lambda: gs.Overlaps(0.1, [[0, 1]], latent=True).value(np.ones(3)), "must cover"),
        (lambda: gs.L1Ball(0.0), "radius must be a number > 0"),
        (lambda: gs.L1Ball(float("nan")), "radius must be a number > 0"),
        (lambda: gs.L1Ball(1.0, on=Spectrum(), nonnegative=True), "L1Ball: weights and nonneg"),
        (lambda: gs.Exclusive(0.1, weights=[-1.0]), "weights must be"),
        (lambda: gs.Exclusive(0.1, weights=[1.0, 2.0]).value(np.ones(3)), "2 entries"),
        (lambda: gs.Exclusive(np.inf), "strength"),
    ],
)  # fmt: skip
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_types_and_the_sum_of_overlapping_norms_are_refused():
    with pytest.raises(TypeError, match="lists of column positions"):
        gs.Tree(0.1, "ab")
    with pytest.raises(TypeError, match="positions or names"):
        gs.Tree(0.1, [[0.5]])
    with pytest.raises(gs.UnsupportedProblem, match="latent=True"):
        gs.Overlaps(0.1, [[0, 1], [1, 2]]).prox(np.ones(3), 1.0)


def test_large_trees_are_fast_enough_to_solve():
    """A binary tree over 1024 features and a wide design: the gap closes."""
    rng = np.random.default_rng(8)
    width = 1024
    groups = [list(range(i, i + 2**h)) for h in range(11) for i in range(0, width, 2**h)]
    X = rng.standard_normal((100, width))
    y = X[:, 8:12].sum(axis=1) + 0.1 * rng.standard_normal(100)
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.Tree(1.0, groups))
    problem = problem.with_penalty(gs.Tree(0.1 * problem.strength_max(), groups))
    result = problem.solve(tol=1e-6)
    assert result.certificate.holds
    assert set(range(8, 12)) <= set(np.flatnonzero(result.coef))
