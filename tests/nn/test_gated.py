"""Penalties that are known by their smooth form alone, in a network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gossamer as gs

RULES = {
    "outer": gs.Gates(0.05, (gs.Channels(0), gs.Channels(1))),
    "overlaps": gs.Overlaps(0.05, ([0, 1, 2], [2, 3, 4], [4, 5, 6, 7])),
    "latent": gs.Overlaps(0.05, ([0, 1, 2], [2, 3, 4], [4, 5, 6, 7]), latent=True),
}


def trained(penalty, steps=800, **options):
    torch.manual_seed(0)
    model = nn.Linear(4, 2, bias=False)
    X = torch.randn(200, 4)
    y = X[:, [0]] * torch.tensor([[2.0, 0.0]])
    sparse = gs.nn.sparsify(model, {"*": penalty}, total_steps=steps, **options)
    optimiser = sparse.attach(torch.optim.Adam(sparse.param_groups(lr=0.03)))
    for _ in range(steps):
        optimiser.zero_grad()
        ((model(X) - y) ** 2).mean().backward()
        optimiser.step()
    return model, sparse


@pytest.mark.parametrize("penalty", RULES.values(), ids=RULES)
def test_they_train_report_and_end_in_zeros(penalty):
    model, sparse = trained(penalty)
    row = next(iter(sparse.report(lambda: model(torch.ones(1, 4)).sum())))
    value = penalty.value(model.weight.detach().numpy())
    # the entries' shares add up to the penalty at balance
    assert row.penalty == pytest.approx(value, rel=1e-2)
    assert row.imbalance < 1e-2
    assert row.distance is None
    sparse.finalise()
    assert model.weight[0, 0] > 1.5
    assert (model.weight == 0).sum() >= 3


@pytest.mark.parametrize("penalty", RULES.values(), ids=RULES)
def test_budgets_hold(penalty):
    model, sparse = trained(penalty, 200, keep=0.25)
    assert sparse.finalise().sparsity >= 0.75
    assert model.weight[0, 0] > 1


def test_outer_gates_take_neurons_and_inputs_at_once():
    model, sparse = trained(RULES["outer"])
    sparse.finalise()
    weight = model.weight.detach().numpy()
    assert (np.abs(weight).sum(axis=1) > 0).tolist() == [True, False]
    assert (np.abs(weight).sum(axis=0) > 0).tolist() == [True, False, False, False]


def test_what_they_cannot_do_is_refused():
    penalty = RULES["outer"]
    with pytest.raises(gs.UnsupportedProblem, match="sparsify"):
        penalty.prox(np.ones((2, 2)), 1.0)
    with pytest.raises(ValueError, match="one smooth form"):
        penalty.factorise((2, 2), "shared")
    with pytest.raises(TypeError, match="structures"):
        gs.Gates(1.0, ("rows",))
    with pytest.raises(ValueError, match="strength"):
        gs.Overlaps(-1.0, ([0],))
    assert penalty.with_strength(2.0).strength == 2.0
