"""The report of sparse weights, and the path over strengths."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gossamer as gs

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def linear(weight, penalty, spread=0.0, **arguments):
    model = nn.Linear(weight.shape[1], weight.shape[0], bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.as_tensor(weight))
    return model, gs.nn.sparsify(model, {"*": penalty}, spread=spread, **arguments)


W = np.array([[3.0, -0.5, 0.0, 1e-9], [0.0, 4.0, 0.0, 0.0]])

PENALTIES = [
    gs.L1(0.3),
    gs.Lq(0.3),
    gs.Lq(0.3, q=0.5),
    gs.Lq(0.3, q=0.7),
    gs.L1(0.3, on=gs.Rows()),
    gs.L1(0.3, on=gs.Channels(1), weights=[1.0, 2.0, 1.0, 0.5]),
    gs.L1(0.3, on=gs.Spectrum()),
    gs.ElasticNet(0.3, l1_ratio=0.4),
    gs.L1(0.1) + gs.L1(0.2, on=gs.Rows()),
]


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_rows_hold_the_penalty_and_the_imbalance(penalty):
    model, sparse = linear(W, penalty)
    (row,) = sparse.report()
    assert row.name == "weight" and row.distance is None
    # a small entry vanishes in the rounding of its factors
    assert row.penalty == pytest.approx(penalty.value(W), rel=1e-6)
    assert row.imbalance < 1e-9
    # out of balance by a factor: the smooth penalty is larger by what it says
    with torch.no_grad():
        next(sparse.factors()).mul_(2.0)
    (row,) = sparse.report()
    smooth = sparse.penalty().item()
    induced = penalty.value(model.weight.detach().numpy())
    assert row.penalty == pytest.approx(induced, rel=1e-6)
    assert row.imbalance == pytest.approx(smooth / induced - 1, rel=1e-6)
    assert row.imbalance > 0.01


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_contributions_add_up_to_the_penalty(penalty):
    _, sparse = linear(W, penalty)
    (weight,) = sparse.weights
    w = weight.made()
    assert weight.contributions(w).sum().item() == pytest.approx(penalty.value(w.numpy()))
    # and inner products with a gradient to the whole one
    gradient = torch.randn_like(w)
    whole = (w * gradient).sum().item()
    assert weight.products(w, gradient).sum().item() == pytest.approx(whole)


def test_alive_is_what_finalise_keeps():
    _, sparse = linear(W, gs.L1(0.3))
    shown = sparse.report()
    (row,) = shown
    assert (row.units, row.alive, row.sparsity) == (8, 3, 5 / 8)
    assert shown.sparsity == 5 / 8
    assert sparse.finalise().units["weight"] == (row.alive, row.units)


@pytest.mark.parametrize("penalty", [gs.L1(0.3), gs.Lq(0.3), gs.L1(0.3, on=gs.Rows())], ids=repr)
def test_distance_is_that_of_the_penalty(penalty):
    """By hand for a quadratic: the gradient, against the subdifferential."""
    model, sparse = linear(W, penalty)
    goal = torch.randn(2, 4, dtype=torch.float64)
    (row,) = sparse.report(lambda: ((model.weight - goal) ** 2).sum() / 2)
    kept = np.where(np.abs(W) > 1e-6, W, 0.0)
    expected = penalty.subdiff_distance(kept, model.weight.detach().numpy() - goal.numpy())
    assert row.distance == pytest.approx(expected.max(), rel=1e-6)


def test_distance_is_zero_at_the_optimum_and_scales_with_the_strength():
    goal = torch.tensor([[2.0, -1.0, 0.2]], dtype=torch.float64)
    optimum = np.array([[1.5, -0.5, 0.0]])
    model, sparse = linear(optimum, gs.L1(0.5))

    def loss():
        return ((model.weight - goal) ** 2).sum() / 2

    (row,) = sparse.report(loss)
    assert row.distance < 1e-12
    # half the strength: the optimum is elsewhere by as much
    model, sparse = linear(optimum, gs.L1(1.0), schedule=gs.nn.WarmUp(1.0), total_steps=4)
    sparse.step()
    (row,) = sparse.report(loss)
    assert sparse.report().strength == 0.25
    assert row.distance == pytest.approx(0.25)


def test_reports_of_dead_weights():
    _, sparse = linear(np.zeros((2, 3)), gs.L1(0.1))
    (row,) = sparse.report()
    assert (row.alive, row.sparsity, row.penalty, row.imbalance) == (0, 1.0, 0.0, 0.0)


def test_a_report_is_a_table_and_plain_numbers():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1)})
    X = torch.randn(8, 4)
    shown = sparse.report(lambda: model(X).square().mean())
    lines = str(shown).splitlines()
    assert lines[0].split() == [
        "weight", "units", "alive", "sparsity", "penalty", "imbalance", "distance",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:3]] == ["0.weight", "1.weight"]
    assert lines[3] == f"{shown.sparsity:.2%} of all units are zero at 1 times the strength"
    assert len({len(line) for line in lines[:3]}) == 1
    assert "distance" not in str(sparse.report())
    plain = shown.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert [row["name"] for row in plain["weights"]] == [row.name for row in shown]


def test_looking_changes_nothing():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1)})
    model.eval()
    X = torch.randn(8, 4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    sparse.report(lambda: model(X).square().mean())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    with torch.no_grad():
        sparse.report(lambda: model(X).square().mean())


# -- the path over strengths -------------------------------------------------------------------


def lasso():
    X = torch.randn(100, 8, dtype=torch.float64)
    X = (X - X.mean(0)) / X.std(0, correction=0)
    w = torch.tensor([3.0, -2.0, 1.0, 0.5, 0, 0, 0, 0], dtype=torch.float64)
    y = (X @ w)[:, None]
    model = nn.Linear(8, 1, bias=False).double()
    sparse = gs.nn.sparsify(model, {"*": gs.L1(1.0)})

    def train(sparse):
        optimiser = torch.optim.LBFGS(
            list(sparse.factors()), max_iter=300, tolerance_grad=1e-10, tolerance_change=1e-14,
            line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure():
            optimiser.zero_grad()
            value = ((sparse.model(X) - y) ** 2).mean() / 2 + sparse.penalty()
            value.backward()
            return value

        optimiser.step(closure)

    return X, y, sparse, train


def test_a_path_of_the_lasso_is_exact():
    """Each point is the optimum at its strength, whatever came before."""
    X, y, sparse, train = lasso()
    strengths = [2.0, 0.1, 0.7, 0.3]
    path = gs.nn.path(sparse, strengths, train, evaluate=lambda model: -F.mse_loss(model(X), y))
    assert [point.strength for point in path] == sorted(strengths)
    for point in path:
        problem = gs.Problem(
            X.numpy(), y.numpy()[:, 0], gs.losses.Quadratic(), gs.L1(point.strength),
            fit_intercept=False,
        )  # fmt: skip
        exact = problem.solve(tol=1e-12).coef.ravel()
        w = point.state["weight"].numpy().ravel()
        np.testing.assert_allclose(w, exact, atol=1e-5)
        np.testing.assert_array_equal(w != 0, exact != 0)
        assert point.sparsity == (exact == 0).mean()
        assert point.score == pytest.approx(
            -((X.numpy() @ exact - y.numpy()[:, 0]) ** 2).mean(), rel=1e-3
        )
    assert [point.sparsity for point in path] == sorted(point.sparsity for point in path)
    # the model stays factorised, and plain weights are in the states
    assert sparse.penalty() > 0
    assert path.sparsest(slack=0.05) is path[0]
    assert path.sparsest(slack=1e9) is path[-1]
    assert len(str(path).splitlines()) == 1 + len(path) == 5


def test_an_interrupted_path_keeps_its_points():
    _, _, sparse, train = lasso()

    def interrupted(sparse):
        if sparse.strength > 0.5:
            raise KeyboardInterrupt
        train(sparse)

    with pytest.warns(UserWarning, match="the path has 2 of 4 points"):
        path = gs.nn.path(sparse, [0.1, 0.3, 0.7, 2.0], interrupted)
    assert len(path) == 2
    with pytest.raises(ValueError, match="no scores"):
        path.sparsest()


def test_paths_are_refused_without_strengths_or_with_a_target():
    _, _, sparse, train = lasso()
    for strengths in ([], [0.0, 1.0], [-1.0]):
        with pytest.raises(ValueError, match="strengths must be numbers > 0"):
            gs.nn.path(sparse, strengths, train)
    sparse = gs.nn.sparsify(nn.Linear(3, 2), {"*": gs.L1(0.1)}, keep=0.5, total_steps=5)
    with pytest.raises(ValueError, match="without keep"):
        gs.nn.path(sparse, [1.0], train)
