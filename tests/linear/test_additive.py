"""Additive models: bases in closed form, optima against convex programmes, shapes and manners."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.interpolate import BSpline

import gossamer as gs
from gossamer.linear.splines import SplineBasis

RNG = np.random.default_rng(0)
N = 120
X = RNG.uniform(-1, 1, (N, 5))
Y = np.sin(3 * X[:, 0]) + 1.5 * X[:, 1] + 0.2 * RNG.standard_normal(N)
WEIGHT = RNG.integers(0, 3, N).astype(float)


def test_columns_are_orthonormal_and_span_the_splines():
    basis = SplineBasis(n_knots=5, smoothness=0.0).fit(X, sample_weight=WEIGHT)
    Z, share = basis.transform(X), WEIGHT / WEIGHT.sum()
    np.testing.assert_allclose(share @ Z, 0, atol=1e-12)
    for j in range(5):
        mine = Z[:, basis.features_ == j]
        # the eigenvectors of a Gram matrix of condition 1e3, in double precision
        np.testing.assert_allclose((share[:, None] * mine).T @ mine, np.eye(8), atol=1e-10)
        curve = basis.curves_[j]
        splines = BSpline.design_matrix(np.clip(X[:, j], curve.low, curve.high), curve.knots, 3)
        inside = (X[:, j] >= curve.low) & (X[:, j] <= curve.high)
        full = np.column_stack([np.ones(N), mine])[inside]
        target = splines.toarray()[inside]
        fitted = full @ np.linalg.lstsq(full, target, rcond=None)[0]
        np.testing.assert_allclose(fitted, target, atol=1e-9)


def test_damping_orders_by_roughness():
    basis = SplineBasis(n_knots=6, smoothness=0.5).fit(X[:, :1])
    assert basis.freedom_[:2].tolist() == [1.0, 1.0]
    assert (np.diff(basis.freedom_[1:]) < 0).all()
    grid = np.linspace(*np.quantile(X[:, 0], [0.02, 0.98]), 400)
    turns = np.sign(np.diff(basis.curves_[0](grid), axis=0))
    counts = (np.diff(turns, axis=0) != 0).sum(axis=0)
    assert counts[1] == 1 and counts[-1] >= 5  # a bend, and wiggles


def test_beyond_the_data_curves_are_lines():
    basis = SplineBasis().fit(X)
    for side in (-1.0, 1.0):
        far = np.tile(side * np.array([1.5, 2.0, 2.5])[:, None], (1, 5))
        Z = basis.transform(far)
        np.testing.assert_allclose(Z[2] - Z[1], Z[1] - Z[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("parts", ["joint", "separate", "nested"])
def test_optimum_of_a_convex_programme_in_functions(parts):
    """The penalty is the size of functions: stated with B-splines of scipy, it is the same."""
    cp = pytest.importorskip("cvxpy")
    model = gs.SparseAdditive(alpha=0.05, parts=parts, smoothness=0.0, n_knots=4, tol=1e-9)
    model.fit(X, Y)
    b, f, price = cp.Variable(), 0, 0
    for j in range(5):
        knots = model.basis_.curves_[j].knots
        splines = BSpline.design_matrix(X[:, j], knots, 3).toarray()
        line = (X[:, j] - X[:, j].mean()) / X[:, j].std()
        slope, c = cp.Variable(), cp.Variable(splines.shape[1])
        bend = splines @ c
        f = f + slope * line + bend
        size, m = cp.norm2(cp.hstack([slope * line + bend])) / np.sqrt(N), splines.shape[1] - 1
        constraints = [cp.sum(bend) == 0, line @ bend == 0]
        if parts == "joint":
            price = price + np.sqrt(m) * size
        else:
            alone = cp.norm2(bend) / np.sqrt(N)
            first = cp.abs(slope) if parts == "separate" else np.sqrt(m) * size
            price = price + first + np.sqrt(m - 1) * alone
        b_and = constraints if j == 0 else [*b_and, *constraints]  # noqa: F821
    cost = cp.sum_squares(Y - b - f) / (2 * N) + 0.05 * price
    problem = cp.Problem(cp.Minimize(cost), b_and)
    problem.solve(solver=cp.CLARABEL)
    assert model.certificate_.holds
    # what the interior-point method leaves of its own gap
    assert model.certificate_.objective == pytest.approx(float(problem.value), rel=1e-6)


def test_monotone_curves_rise_and_fall_and_the_others_are_free():
    cp = pytest.importorskip("cvxpy")
    y = np.exp(X[:, 0]) - X[:, 1] + np.cos(3 * X[:, 2]) + 0.2 * RNG.standard_normal(N)
    shapes = {0: "increasing", 1: "decreasing"}
    model = gs.SparseAdditive(alpha=0.02, monotone=shapes, tol=1e-9).fit(X, y)
    grid = np.linspace(-2, 2, 300)[:, None].repeat(5, axis=1)
    effects = np.diff(model.partial_effects(grid), axis=0)
    assert (effects[:, 0] >= -1e-12).all() and (effects[:, 1] <= 1e-12).all()
    assert (effects[:, 2] > 0.001).any() and (effects[:, 2] < -0.001).any()
    # with free signs where nothing is asked, the optimum is the same
    Z, basis = model.basis_.transform(X), model.basis_
    c, b, price = cp.Variable(Z.shape[1]), cp.Variable(), 0
    constraints, used = [], np.zeros(Z.shape[1], dtype=bool)
    for j in range(5):
        mine = np.flatnonzero(basis.features_ == j)
        mine = mine if j in shapes else mine[: len(mine) // 2]
        constraints += [c[mine] >= 0] if j in shapes else []
        freedom = basis.freedom_[mine].sum() / (2 if j in shapes else 1)
        price = price + np.sqrt(freedom) * cp.norm2(c[mine])
        used[mine] = True
    fit = cp.sum_squares(y - b - Z[:, used] @ c[used]) / (2 * N)
    problem = cp.Problem(cp.Minimize(fit + 0.02 * price), constraints)
    problem.solve(solver=cp.CLARABEL)
    assert model.certificate_.objective == pytest.approx(float(problem.value), rel=1e-6)


def test_effects_add_up_and_have_mean_zero():
    model = gs.SparseAdditive(alpha=0.02).fit(X, Y, sample_weight=WEIGHT)
    effects = model.partial_effects(X)
    np.testing.assert_allclose(effects.sum(axis=1) + model.intercept_, model.predict(X), atol=1e-12)
    np.testing.assert_allclose(WEIGHT @ effects, 0, atol=1e-9)
    curve = model.shape_functions()[0]
    assert (curve.name, curve.kind, curve.x.shape) == ("x0", "smooth", (100,))
    centred = curve.y - curve.y.mean() - np.sin(3 * curve.x)
    assert np.abs(centred - centred.mean()).max() < 0.3


def test_terms_are_chosen_as_absent_linear_or_smooth():
    for parts in ("separate", "nested"):
        model = gs.SparseAdditive(alpha=0.06, parts=parts).fit(X, Y)
        assert model.term_kinds_ == ["smooth", "linear", "absent", "absent", "absent"]
    model = gs.SparseAdditiveCV(penalty="mcp", selection="1se").fit(X, Y)
    assert [kind != "absent" for kind in model.term_kinds_] == [True, True, False, False, False]


def test_losses_and_classes():
    labels = np.array(["a", "b", "c"])[np.digitize(Y, [-0.5, 0.8])]
    model = gs.SparseAdditive(0.01, loss=gs.losses.Multinomial()).fit(X, labels)
    assert model.score(X, labels) > 0.8
    assert model.partial_effects(X).shape == (N, 5, 3)
    counts = RNG.poisson(np.exp(Y))
    model = gs.SparseAdditive(0.05, loss=gs.losses.Poisson()).fit(X, counts)
    np.testing.assert_allclose(
        np.exp(model.partial_effects(X).sum(axis=1) + model.intercept_), model.predict(X)
    )


def test_tables_names_groups_and_files(tmp_path):
    frame = pd.DataFrame({"age": X[:, 0], "size": X[:, 1], "town": RNG.choice(list("uvw"), N)})
    encoder = gs.TableEncoder().fit(frame)
    Z = pd.DataFrame(encoder.transform(frame), columns=encoder.feature_names_out_)
    y = Y + (frame["town"] == "u")
    model = gs.SparseAdditive(
        0.01, groups=list(encoder.groups_), monotone={"size": "increasing"}, parts="separate"
    ).fit(Z, y)
    kinds = dict(zip(Z.columns, model.term_kinds_, strict=True))
    assert kinds["town=u"] == kinds["town=v"] == "linear"
    assert kinds["age"] == "smooth"
    gs.save(model, tmp_path / "curves.gossamer")
    again = gs.load(tmp_path / "curves.gossamer")
    np.testing.assert_array_equal(again.predict(Z), model.predict(Z))
    assert [f.name for f in again.shape_functions()] == list(Z.columns)
    names = model.basis_.get_feature_names_out(list(Z.columns))
    assert names[0] == "age[0]" and len(names) == model.basis_.transform(Z.to_numpy()).shape[1]
    weighted = gs.SparseAdditive(10.0, weights=[0, 1, 1], groups=list(encoder.groups_)).fit(Z, y)
    assert [kind != "absent" for kind in weighted.term_kinds_] == [True, False, False, False, False]


def test_hard_columns():
    few = np.column_stack([np.ones(N), RNG.integers(0, 2, N), RNG.integers(0, 4, N), 1e9 + X[:, 0]])
    basis = SplineBasis().fit(few)
    assert [len(curve.means) for curve in basis.curves_] == [1, 1, 3, 11]
    Z = basis.transform(few)
    assert not Z[:, 0].any()
    model = gs.SparseAdditive(0.01).fit(few, Y)
    assert model.term_kinds_[0] == "absent" and model.certificate_.holds
    assert np.isfinite(model.predict(few * 2)).all()
    twice = gs.SparseAdditive(0.01).fit(np.hstack([X, X]), Y)
    assert twice.certificate_.holds
    nothing = gs.SparseAdditive(1e6).fit(X, Y)
    assert set(nothing.term_kinds_) == {"absent"} and not nothing.partial_effects(X).any()
    straight = gs.SparseAdditive(0.01, degree=1, n_knots=3).fit(X, Y)
    assert straight.certificate_.holds and straight.score(X, Y) > 0.9


def test_zero_weights_leave_samples_out():
    seen = WEIGHT > 0
    whole = gs.SparseAdditive(0.02).fit(X, Y, sample_weight=WEIGHT)
    part = gs.SparseAdditive(0.02).fit(X[seen], Y[seen], sample_weight=WEIGHT[seen])
    # both within their gaps of one optimum
    np.testing.assert_allclose(whole.predict(X), part.predict(X), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parts": "all"}, "parts must be one of"),
        ({"parts": "nested", "penalty": "mcp"}, "nested"),
        ({"n_knots": 0}, "n_knots must be a whole number"),
        ({"degree": 2.5}, "degree must be a whole number"),
        ({"smoothness": -1}, "smoothness"),
        ({"monotone": {9: "increasing"}}, "monotone names 9"),
        ({"monotone": {"age": "increasing"}}, "monotone names 'age'"),
        ({"monotone": {0: "up"}}, "increasing"),
        ({"nonnegative": True}, "no meaning for curves"),
        ({"standardise": True}, "no meaning for curves"),
        ({"weights": [1.0]}, "one entry for each of the 5 terms"),
        ({"penalty": "l7"}, "not known"),
        ({"alpha": -1.0}, "alpha"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        gs.SparseAdditive(**arguments).fit(X, Y)


def test_nan_types_and_weights_are_refused():
    broken = X.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        gs.SparseAdditive().fit(broken, Y)
    with pytest.raises(TypeError, match="monotone must map"):
        gs.SparseAdditive(monotone=[1, 0]).fit(X, Y)
    with pytest.raises(TypeError, match="penalty must be a name"):
        gs.SparseAdditive(penalty=gs.L1(0.1)).fit(X, Y)
    with pytest.raises(ValueError, match="non-zero"):
        SplineBasis().fit(X, sample_weight=np.zeros(N))


def test_plot_effects():
    from gossamer.report import plot_effects
    from gossamer.report.plots.style import to_svg

    model = gs.SparseAdditive(0.05, parts="separate").fit(X, Y)
    axes = plot_effects(model, X)
    assert [ax.get_title() for ax in axes] == ["x1", "x0"]
    assert axes[0].get_ylim() == axes[1].get_ylim()
    assert to_svg(axes[0], "effects").startswith("<svg")
    (empty,) = plot_effects(gs.SparseAdditive(1e6).fit(X, Y))
    assert "No feature" in empty.texts[0].get_text()
    with pytest.raises(ValueError, match="top"):
        plot_effects(model, top=0)
