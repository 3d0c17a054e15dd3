"""The penalty inside the optimiser's step, however the loop calls it."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

import gossamer as gs

STEPS = 150


def problem():
    torch.manual_seed(0)
    X = torch.randn(64, 10)
    return X, 2 * X[:, :1] + X[:, 1:2]


def model_and_sparse():
    torch.manual_seed(1)
    model = nn.Linear(10, 1)
    return model, gs.nn.sparsify(model, {"*": gs.L1(0.5)}, total_steps=STEPS)


def by_hand():
    (X, y), (model, sparse) = problem(), model_and_sparse()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(STEPS):
        optimiser.zero_grad()
        (F.mse_loss(model(X), y) + sparse.penalty()).backward()
        optimiser.step()
        sparse.step()
    return model.weight.detach()


def test_a_closure_gets_the_penalty_too():
    (X, y), (model, sparse) = problem(), model_and_sparse()
    optimiser = sparse.attach(torch.optim.SGD(model.parameters(), lr=0.05))

    def closure():
        optimiser.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        return loss

    for number in range(STEPS):
        if number % 2:
            optimiser.step(closure)
        else:
            optimiser.step(closure=closure)
    torch.testing.assert_close(model.weight.detach(), by_hand())
    assert sparse.progress == 1


def test_the_optimiser_keeps_what_is_attached():
    X, y = problem()
    model, sparse = model_and_sparse()
    optimiser = sparse.attach(torch.optim.SGD(model.parameters(), lr=0.05))
    del sparse
    gc.collect()
    for _ in range(STEPS):
        optimiser.zero_grad()
        F.mse_loss(model(X), y).backward()
        optimiser.step()
    torch.testing.assert_close(model.weight.detach(), by_hand())


@pytest.mark.parametrize("fused", [False, True])
def test_scaled_gradients_get_a_scaled_penalty(fused):
    (X, y), (model, sparse) = problem(), model_and_sparse()
    optimiser = sparse.attach(torch.optim.SGD(model.parameters(), lr=0.05, fused=fused))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for number in range(STEPS + 1):
        optimiser.zero_grad()
        loss = F.mse_loss(model(X), y)
        scaler.scale(loss * torch.inf if number == 0 else loss).backward()
        scaler.step(optimiser)
        scaler.update()
    assert sparse.steps == STEPS  # the step that was skipped does not count
    torch.testing.assert_close(model.weight.detach(), by_hand(), rtol=1e-4, atol=1e-5)


def test_maximising_is_refused():
    model, sparse = model_and_sparse()
    with pytest.raises(ValueError, match="maximize"):
        sparse.attach(torch.optim.SGD(model.parameters(), lr=0.1, maximize=True))


def test_an_average_is_finalised():
    model, sparse = model_and_sparse()
    average = AveragedModel(model)
    sparse.of(average).finalise(threshold=10.0)
    assert not average.module.weight.any()
    assert model.weight.any()


def test_attention_is_counted():
    layer = nn.TransformerEncoderLayer(12, 3, 24, batch_first=True)
    found = gs.nn.uses(layer, torch.randn(2, 5, 12))
    assert found["self_attn.in_proj_weight"] == found["self_attn.out_proj.weight"] >= 10
    assert found["linear1.weight"] == 10
