"""Straight-through masks: forward with the largest units, backward with all."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import gossamer as gs

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from gossamer.nn import Keep, TopK, cubic  # noqa: E402
from gossamer.nn.keep import largest  # noqa: E402

STRUCTURES = [
    gs.Elements(),
    gs.Rows(),
    gs.Channels(axis=1),
    gs.Heads(3),
    gs.Blocks((2, 2)),
    gs.Groups(list("abacab")),
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
@pytest.mark.parametrize("k", [1, 2])
def test_forward_keeps_what_the_structure_says(structure, k):
    model = nn.Linear(4, 6).double()
    dense = model.weight.detach().numpy().copy()
    TopK(model, {"*": Keep(k, on=structure)})
    expected = np.where(structure.top_k(dense, k), dense, 0)
    np.testing.assert_array_equal(model.weight.detach().numpy(), expected)


def test_ties_fill_the_budget_from_the_first_on(rng):
    for _ in range(50):
        sizes = rng.integers(0, 3, 12).astype(float)
        k = int(rng.integers(0, 13))
        expected = gs.Elements().top_k(sizes, k)
        assert largest(torch.from_numpy(sizes), k).tolist() == expected.tolist()


def test_backward_is_that_of_the_masked_point_for_all_weights():
    model = nn.Linear(5, 1, bias=False)
    parameter = model.weight
    TopK(model, {"*": Keep(2)})
    x, y = torch.randn(7, 5), torch.randn(7, 1)
    (0.5 * (model(x) - y).square().sum()).backward()
    masked = model.weight.detach()
    assert (masked != 0).sum() == 2
    np.testing.assert_allclose(parameter.grad, (masked @ x.T - y.T) @ x, rtol=1e-4)
    assert (parameter.grad != 0).all()


def test_weights_come_back():
    """A unit that starts too small to be seen, and alone explains the data, is found."""
    X = torch.randn(200, 10)
    y = 3 * X[:, :1]
    model = nn.Linear(10, 1, bias=False)
    nn.init.constant_(model.weight, 0.5)
    with torch.no_grad():
        model.weight[0, 0] = 0.01
    optimiser = torch.optim.SGD(model.parameters(), lr=0.02)
    masks = TopK(model, {"*": Keep(1)})
    for _ in range(200):
        optimiser.zero_grad()
        nn.functional.mse_loss(model(X), y).backward()
        optimiser.step()
    masks.finalise()
    assert model.weight.detach().nonzero().tolist() == [[0, 0]]
    assert model.weight[0, 0].item() == pytest.approx(3.0, abs=1e-3)


def test_schedule_goes_from_dense_to_the_budget():
    model = nn.Linear(10, 10)
    masks = TopK(model, {"*": Keep(0.1)}, schedule=cubic, total_steps=8)
    counts = []
    for _ in range(10):
        counts.append(int((model.weight != 0).sum()))
        assert masks.kept() == {"weight": counts[-1]}
        masks.step()
    assert counts[0] == 100
    assert counts[8] == counts[9] == 10
    assert counts[4] == round(100 - 90 * (1 - 0.5**3))
    assert sorted(counts, reverse=True) == counts


def test_finalise_cuts_to_the_budget_wherever_the_schedule_is():
    model = nn.Conv2d(3, 8, 3)
    parameter, names = model.weight, set(model.state_dict())
    masks = TopK(model, {"*": Keep(0.25, on=gs.Channels())}, schedule=cubic, total_steps=100)
    masks.finalise()
    assert model.weight is parameter
    assert set(model.state_dict()) == names
    assert (parameter.detach().flatten(1).norm(dim=1) > 0).sum() == 2


def test_tied_weights_stay_tied():
    model = nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 6, bias=False))
    model[1].weight = model[0].weight
    masks = TopK(model, {"*": Keep(2, on=gs.Rows())})
    assert torch.equal(model[0].weight, model[1].weight)
    assert len(list(model.parameters())) == 1
    masks.finalise()
    assert model[0].weight is model[1].weight


def test_state_and_copies():
    def made():
        model = nn.Linear(10, 10)
        return model, TopK(model, {"*": Keep(0.1)}, schedule=cubic, total_steps=8)

    (model, masks), (other, again) = made(), made()
    for _ in range(3):
        masks.step()
    other.load_state_dict(model.state_dict())
    again.load_state_dict(masks.state_dict())
    assert torch.equal(other.weight, model.weight)
    copied = copy.deepcopy(masks)
    copied.step()
    assert copied.kept()["weight"] < masks.kept()["weight"]


def test_refusals():
    model = nn.Linear(4, 3)
    with pytest.raises(TypeError, match=r"Keep\(0\.1\)"):
        TopK(model, {"*": gs.L1(0.1)})
    with pytest.raises(ValueError, match=r"'weight'.*5 equal heads"):
        TopK(model, {"*": Keep(1, on=gs.Heads(5))})
    with pytest.raises(TypeError, match="function of progress, got 10"):
        TopK(model, {"*": Keep(1)}, schedule=10, total_steps=5)
    with pytest.raises(ValueError, match=r"schedule\(0\) must be a finite number >= 0, got -3"):
        TopK(model, {"*": Keep(1)}, schedule=lambda progress: -3, total_steps=5)
    with pytest.raises(ValueError, match="total_steps must be an integer"):
        TopK(model, {"*": Keep(1)}, schedule=cubic, total_steps=0.5)
    for amount in (0, 0.0, 1.5, True, "all"):
        with pytest.raises(ValueError, match="amount"):
            Keep(amount)
