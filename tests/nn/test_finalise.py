"""finalise: exact zeros that change nothing more than was asked."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import gossamer as gs

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def trained(penalty=None, steps=150, **arguments):
    """A small network at moderate sparsity, with its data."""
    X = torch.randn(128, 10)
    y = (X[:, :1] - 2 * X[:, 1:2]).tanh()
    model = nn.Sequential(nn.Linear(10, 12), nn.Dropout(0.1), nn.Tanh(), nn.Linear(12, 1))
    sparse = gs.nn.sparsify(model, {"*": penalty or gs.L1(3e-3)}, **arguments)
    optimiser = torch.optim.Adam(sparse.param_groups(lr=0.02))
    for _ in range(steps):
        optimiser.zero_grad()
        (F.mse_loss(model(X), y) + sparse.penalty()).backward()
        optimiser.step()
    return model, sparse, X, y


def linear(weight, penalty):
    """A linear layer of a given weight, on balanced factors."""
    model = nn.Linear(weight.shape[1], weight.shape[0], bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.as_tensor(weight))
    return model, gs.nn.sparsify(model, {"*": penalty}, spread=0.0)


def predictions(model, X):
    model.eval()
    with torch.no_grad():
        return model(X)


# -- which units go ----------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [0.0, 1e-3, 0.1, 0.5])
def test_the_smallest_units_within_the_tolerance_go(tolerance):
    w = np.array([[4.0, -0.3, 0.0], [0.02, -0.001, 2.0]])
    model, sparse = linear(w, gs.L1(0.1))
    done = sparse.finalise(tolerance=tolerance)
    kept = model.weight.detach().numpy()
    sizes = np.sort(np.abs(w[w != 0]))
    gone = np.cumsum(sizes) <= tolerance * sizes.sum()
    expected = np.where(np.abs(w) > sizes[gone].max(initial=0.0), w, 0.0)
    np.testing.assert_allclose(kept, expected, rtol=1e-12)
    assert done.lost == pytest.approx(sizes[gone].sum() / sizes.sum(), abs=1e-15)
    assert done.sparsity == pytest.approx((expected == 0).mean())
    np.testing.assert_array_equal(done.masks["weight"].numpy(), expected != 0)


@pytest.mark.parametrize("keep", [1.0, 0.5, 1 / 3, 0.2, 0.01])
def test_keep_is_kept_exactly(keep):
    w = np.random.default_rng(0).standard_normal((6, 5))
    model, sparse = linear(w, gs.L1(0.1))
    sparse.finalise(keep=keep)
    count = int(keep * 30 + 1e-9)
    expected = np.zeros(30)
    largest = np.argsort(-np.abs(w).ravel())[:count]
    expected[largest] = w.ravel()[largest]
    np.testing.assert_allclose(model.weight.detach().numpy().ravel(), expected, rtol=1e-12)


def test_of_equal_units_as_many_as_fit_stay():
    model, sparse = linear(np.ones((4, 5)), gs.L1(0.1))
    sparse.finalise(keep=0.35)
    assert int((model.weight != 0).sum()) == 7


def test_a_threshold_is_on_the_size_of_units():
    w = np.array([[3.0, 4.0], [0.3, 0.4], [0.6, 0.8]])
    model, sparse = linear(w, gs.Lq(0.1, on=gs.Rows()))
    sparse.finalise(threshold=0.75)
    np.testing.assert_allclose(model.weight.detach().numpy(), [[3, 4], [0, 0], [0.6, 0.8]])


def test_low_rank_ends_at_low_rank():
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.standard_normal((8, 6)))
    right, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    w = (left * [5, 3, 1, 1e-4, 1e-5, 1e-6]) @ right
    model, sparse = linear(w, gs.L1(0.1, on=gs.Spectrum()))
    done = sparse.finalise()
    assert done.units["weight"] == (3, 6)
    assert np.linalg.matrix_rank(model.weight.detach().numpy()) == 3
    np.testing.assert_allclose(model.weight.detach().numpy(), w, atol=1e-3)


def test_units_without_a_penalty_stay():
    w = np.array([[1e-6, 2.0, 1e-6, 1.0]])
    rule = gs.L1(0.1, weights=[0.0, 1.0, 1.0, 1.0])
    for arguments in ({}, {"keep": 0.5}, {"tolerance": 0.5}):
        model, sparse = linear(w, rule)
        sparse.finalise(**arguments)
        assert model.weight[0, 0] != 0 and model.weight[0, 2] == 0
    model, sparse = linear(w, gs.L1(0.0))
    sparse.finalise(tolerance=0.5)
    assert (model.weight != 0).all()


# -- judged by the loss ------------------------------------------------------------------------


def lasso_data(p=20):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((200, p))
    w = np.zeros(p)
    w[:4] = [3.0, -2.0, 1.0, 0.096]  # with strength 0.1 the last one is hardly there
    return X, X @ w + 0.01 * rng.standard_normal(200)


def test_a_small_unit_of_the_optimum_stays():
    """Its share of the penalty is far below the tolerance, but the objective is lower for it."""
    X, y = lasso_data()
    exact = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.1), fit_intercept=False)
    exact = exact.solve(tol=1e-12)
    optimum, rubbish = exact.coef.ravel(), np.zeros(20)
    rubbish[10:15] = 1e-6
    least = np.abs(optimum[optimum != 0]).min()
    share = least / np.abs(optimum).sum()
    assert 1e-4 < share < 9e-4
    Xt, yt = torch.from_numpy(X), torch.from_numpy(y)[:, None]
    for judged in (False, True):
        model, sparse = linear((optimum + rubbish)[None], gs.L1(0.1))
        loss = (lambda m=model: ((m(Xt) - yt) ** 2).mean() / 2) if judged else None
        (row,) = sparse.report(loss)
        done = sparse.finalise(loss=loss)
        kept = np.flatnonzero(model.weight.detach().numpy())
        expected = np.flatnonzero(optimum)
        if not judged:
            expected = expected[np.abs(optimum[expected]) > least]
        np.testing.assert_array_equal(kept, expected)
        assert done.units["weight"] == (len(expected), 20) == (row.alive, row.units)


def test_a_shrunk_network_keeps_its_objective():
    model, sparse, X, y = trained(steps=300)
    model.eval()

    def objective(w1, w2):
        return F.mse_loss(model(X), y).item() + 3e-3 * (w1.abs().sum() + w2.abs().sum()).item()

    before = objective(model[0].weight, model[3].weight)
    done = sparse.finalise(tolerance=0.3, loss=lambda: F.mse_loss(model(X), y))
    assert done.sparsity > 0.3
    assert objective(model[0].weight, model[3].weight) <= before * (1 + 1e-2)


def test_entries_of_a_dead_group_go_with_it():
    """Sparse-group lasso: entries of a group at zero are judged together."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 6))
    y = X @ [2.0, -1.0, 0.0, 0.2, 0.2, 0.2]
    Xt, yt = torch.from_numpy(X), torch.from_numpy(y)[:, None]
    penalty = gs.L1(0.05) + gs.L1(0.5, on=gs.Blocks((1, 3)))
    table = gs.L1(0.05) + gs.L1(0.5, on=gs.Groups([0, 0, 0, 1, 1, 1]))
    problem = gs.Problem(X, y, gs.losses.Quadratic(), table, fit_intercept=False)
    optimum = problem.solve(tol=1e-12).coef.ravel()
    assert not optimum[3:].any() and optimum[:2].all()
    rubbish = np.array([0, 0, 0, 1e-5, 2e-6, 1e-7])
    model, sparse = linear((optimum + rubbish)[None], penalty)
    sparse.finalise(loss=lambda: ((model(Xt) - yt) ** 2).mean() / 2)
    np.testing.assert_array_equal(model.weight.detach().numpy()[0] != 0, optimum != 0)


# -- what the model computes -------------------------------------------------------------------


def test_without_tolerance_nothing_changes_at_all():
    model, sparse, X, _ = trained()
    before = predictions(model, X)
    done = sparse.finalise(tolerance=0.0, inputs=X)
    assert done.change == 0.0 and done.lost == 0.0
    assert torch.equal(predictions(model, X), before)


@pytest.mark.parametrize("max_change", [1e-1, 1e-2, 1e-4])
def test_max_change_is_kept(max_change):
    model, sparse, X, _ = trained()
    before = predictions(model, X)
    done = sparse.finalise(tolerance=0.9, inputs=X, max_change=max_change)
    change = ((predictions(model, X) - before).norm() / before.norm()).item()
    assert change <= max_change
    assert done.change == pytest.approx(change, rel=1e-3)
    # and used: not all units stay
    assert done.sparsity > 0 or max_change < 1e-3


@pytest.mark.parametrize(
    "arguments", [{"keep": 0.1}, {"threshold": 0.2}, {"loss": "mse", "tolerance": 0.9}], ids=str
)
def test_too_large_a_change_is_refused_and_the_model_untouched(arguments):
    model, sparse, X, y = trained(steps=50)
    if "loss" in arguments:
        arguments = {**arguments, "loss": lambda: F.mse_loss(model(X), y) * 0 + sum(
            (p * 0).sum() for p in model.parameters())}  # fmt: skip
    model.train()
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"the outputs move by .*, more than max_change=1e-06"):
        sparse.finalise(inputs=X, max_change=1e-6, **arguments)
    assert model.training and all(module.training for module in model.modules())
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key])
    assert sparse.finalise(tolerance=0.0).lost == 0


def test_outputs_of_any_shape_are_compared():
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x, *, scale):
            made = self.inner(x)
            return {"logits": made, "parts": [made * scale, None], "label": made.argmax(1)}

    model = Many()
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1)})
    done = sparse.finalise(keep=0.5, inputs={"x": torch.randn(3, 4), "scale": 2.0}, max_change=10.0)
    assert 0 < done.change < 10
    assert "outputs moved by" in str(done)


def test_a_model_without_outputs_is_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Softmax(1))
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1)})
    model.forward = lambda x: x.argmax()
    with pytest.raises(TypeError, match="no floating-point tensors"):
        sparse.finalise(inputs=torch.zeros(1, 3), max_change=1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0.1, "threshold": 0.1}, "give keep or threshold"),
        ({"keep": 0.1, "loss": lambda: None}, "give keep or loss"),
        ({"keep": 0.0}, "in \\(0, 1\\]"),
        ({"keep": 2}, "in \\(0, 1\\]"),
        ({"tolerance": 1.0}, "tolerance must be in"),
        ({"tolerance": -0.1}, "tolerance must be in"),
        ({"tolerance": float("nan")}, "tolerance must be in"),
        ({"threshold": -1.0}, "threshold must be >= 0"),
        ({"threshold": float("nan")}, "threshold must be >= 0"),
        ({"max_change": 0.1}, "max_change needs inputs"),
        ({"max_change": -0.1, "inputs": torch.zeros(1, 10)}, "max_change must be >= 0"),
    ],
)
def test_contradictions_are_refused(arguments, message):
    model, sparse, _, _ = trained(steps=1)
    with pytest.raises(ValueError, match=message):
        sparse.finalise(**arguments)
    assert not isinstance(model[0].weight, nn.Parameter)


# -- refitting ---------------------------------------------------------------------------------

OPTIMISERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=1e-3),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=1e-2),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9),
}


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_refitting_holds_the_zeros_and_lowers_the_loss(make):
    model, sparse, X, y = trained()
    done = sparse.finalise(keep=0.3, refit=True)
    zeros = [model[i].weight == 0 for i in (0, 3)]
    model.eval()
    before = F.mse_loss(model(X), y).item()
    optimiser = make(model.parameters())
    for _ in range(100):
        optimiser.zero_grad()
        F.mse_loss(model(X), y).backward()
        optimiser.step()
    assert F.mse_loss(model(X), y).item() < before
    for i, zero in zip((0, 3), zeros, strict=True):
        assert not model[i].weight[zero].any()
        assert model[i].weight[~zero].all()
    done.release()
    F.mse_loss(model(X), y).backward()
    make(model.parameters()).step()
    assert any(model[i].weight[zero].any() for i, zero in zip((0, 3), zeros, strict=True))


def test_what_was_done_is_printed():
    _, sparse, _, _ = trained(gs.Lq(2e-3, on=gs.Channels()))
    done = sparse.finalise(keep=0.5)
    lines = str(done).splitlines()
    assert lines[0].split() == [
        "0.weight", str(done.units["0.weight"][0]), "of", "12", "units", "kept",
    ]  # fmt: skip
    assert lines[-1].startswith(f"{done.sparsity:.2%} of the entries are zero;")
    assert [type(module).__name__ for module in sparse.model] == [
        "Linear", "Dropout", "Tanh", "Linear",
    ]  # fmt: skip
    assert not hasattr(sparse.model[0], "parametrizations")


def test_a_finalised_model_is_plain():
    """It saves and loads as the architecture does, as a whole too."""
    model, sparse, X, _ = trained()
    sparse.finalise()
    expected = predictions(model, X)
    plain = nn.Sequential(nn.Linear(10, 12), nn.Dropout(0.1), nn.Tanh(), nn.Linear(12, 1))
    plain.load_state_dict(model.state_dict())
    assert torch.equal(predictions(plain, X), expected)
    assert type(model[0]) is nn.Linear
