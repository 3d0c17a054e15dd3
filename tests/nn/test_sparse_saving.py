"""Sparse models are saved, copied, interrupted, and say when they diverged."""

from __future__ import annotations

import copy
import io
import math

import pytest

import gossamer as gs

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from small_networks import Tied, data, mlp, train  # noqa: E402
from torch import nn  # noqa: E402

L1 = gs.L1(0.01)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def setting():
    torch.manual_seed(1)
    model = mlp()
    sparse = gs.nn.sparsify(
        model, {"0": gs.L1(0.02, on=gs.Channels()), "*": gs.Lq(0.01)}, keep=0.4, total_steps=60,
        schedule="cosine", scale="fan-in",
    )  # fmt: skip
    return model, sparse, torch.optim.Adam(sparse.param_groups(lr=0.01))


def test_training_goes_on_from_a_checkpoint_bit_by_bit():
    batch = data()
    model, sparse, optimiser = setting()
    train(model, sparse, optimiser, 30, batch)
    file = io.BytesIO()
    parts = (model, sparse, optimiser)
    torch.save([part.state_dict() for part in parts], file)
    train(model, sparse, optimiser, 30, batch)

    file.seek(0)
    loaded = setting()
    for part, state in zip(loaded, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    train(*loaded, 30, batch)
    assert loaded[1].strength == sparse.strength
    for one, other in zip(model.parameters(), loaded[0].parameters(), strict=True):
        assert torch.equal(one, other)
    assert sparse.finalise().units == loaded[1].finalise().units


def test_a_checkpoint_of_other_rules_is_refused():
    _, sparse, _ = setting()
    other = gs.nn.sparsify(mlp(), {"0": L1})
    with pytest.raises(ValueError, match="sparsify with the same rules"):
        other.load_state_dict(sparse.state_dict())


def test_plain_weights_load_into_the_architecture():
    X, _ = data()
    model, sparse, optimiser = setting()
    train(model, sparse, optimiser, 5)
    plain = mlp()
    plain.load_state_dict(sparse.plain_state_dict())
    torch.testing.assert_close(plain(X), model(X))
    tied = Tied()
    sparse = gs.nn.sparsify(tied, {"*": L1})
    plain = Tied()
    plain.load_state_dict(sparse.plain_state_dict())
    torch.testing.assert_close(plain(torch.arange(9)), tied(torch.arange(9)))


@pytest.mark.parametrize("how", ["model", "sparse"])
def test_copies_are_independent(how):
    X, _ = data()
    model, sparse, optimiser = setting()
    train(model, sparse, optimiser, 10)
    before = model(X).detach()
    if how == "model":
        twin = copy.deepcopy(model)
        other = sparse.of(twin)
    else:
        other = copy.deepcopy(sparse)
        twin = other.model
    assert other.strength == sparse.strength
    assert other.target == sparse.target and other.target is not sparse.target
    other.finalise()
    assert isinstance(twin[0].weight, nn.Parameter)
    torch.testing.assert_close(model(X), before, rtol=0, atol=0)
    train(model, sparse, optimiser, 5)
    assert (twin[0].weight == 0).any()


def test_an_interrupt_loses_nothing():
    """Ctrl-C anywhere in the loop: the next call goes on, the model still computes."""

    def interrupted():
        raise KeyboardInterrupt

    batch = data()
    model, sparse, optimiser = setting()
    train(model, sparse, optimiser, 10, batch)
    with pytest.raises(KeyboardInterrupt):
        sparse.report(interrupted)
    with pytest.raises(KeyboardInterrupt):
        sparse.finalise(loss=interrupted)
    state = copy.deepcopy(model.state_dict())

    calls = iter([False, True])

    def interrupted_later():
        return interrupted() if next(calls) else F.mse_loss(model(batch[0]), batch[1])

    with pytest.raises(KeyboardInterrupt):
        sparse.finalise(loss=interrupted_later)
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key])
    train(model, sparse, optimiser, 50, batch)
    assert sparse.finalise().sparsity >= 0.6


def test_weights_that_are_not_finite_are_named():
    model = mlp()
    sparse = gs.nn.sparsify(model, {"*": L1}, keep=0.5, total_steps=10)
    with torch.no_grad():
        next(iter(sparse.weights[1].factors)).fill_(math.nan)
    for _ in range(9):
        sparse.step()
    for call in (sparse.step, sparse.report, sparse.finalise):
        with pytest.raises(ValueError, match=r"2\.weight is not finite: training diverged"):
            call()
