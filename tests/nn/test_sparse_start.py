"""How factors start, feel gradients, come into balance, and are scaled and attached."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import gossamer as gs

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from small_networks import data, mlp, train  # noqa: E402
from torch import nn  # noqa: E402

L1 = gs.L1(0.01)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


STRUCTURES = {
    "elements": gs.Elements(),
    "channels": gs.Channels(),
    "inputs": gs.Channels(1),
    "heads": gs.Heads(2),
    "blocks": gs.Blocks((2, 3)),
    "groups": gs.Groups([0, 1, 0, 2]),
    "spectrum": gs.Spectrum(),
}


def penalties(structure):
    yield gs.L1(0.1, on=structure)
    yield gs.Lq(0.1, q=2 / 3, on=structure)
    yield gs.Lq(0.1, q=0.5, on=structure)
    if not structure.is_spectral:
        yield gs.Lq(0.1, q=0.8, on=structure)
        yield gs.ElasticNet(0.1, on=structure)
        if structure != gs.Elements():
            yield gs.L1(0.1) + gs.L1(0.2, on=structure)


ALL = [penalty for structure in STRUCTURES.values() for penalty in penalties(structure)]


@pytest.mark.parametrize("penalty", ALL, ids=repr)
def test_a_zero_weight_feels_its_gradient(penalty):
    """No dead start: one small step of gradient descent moves every entry downhill."""
    model = nn.Linear(6, 4, bias=False).double()
    nn.init.zeros_(model.weight)
    sparse = gs.nn.sparsify(model, {"*": penalty})
    slope = torch.randn(4, 6, dtype=torch.float64)
    start = model.weight.detach()
    (model.weight * slope).sum().backward()
    with torch.no_grad():
        for factor in sparse.factors():
            factor -= 1e-3 * factor.grad
    assert ((model.weight - start) * slope < 0).all()


@pytest.mark.parametrize("penalty", ALL, ids=repr)
def test_the_start_is_the_weight(penalty):
    model = nn.Linear(6, 4)
    w = model.weight.detach().clone()
    sparse = gs.nn.sparsify(model, {"*": penalty})
    if isinstance(penalty, gs.Lq) and penalty.q == 0.8 and penalty.on == gs.Elements():
        w = model.weight.detach()  # an odd power starts a little above zero
    torch.testing.assert_close(model.weight.detach(), w, atol=1e-4, rtol=1e-4)
    # balanced factors cost what the penalty says
    sparse = gs.nn.sparsify(copy.deepcopy(nn.Linear(6, 4)).double(), {"*": penalty}, spread=0.0)
    weight = sparse.weights[0]
    assert sparse.penalty().item() == pytest.approx(penalty.value(weight.plain()), rel=1e-6)


@pytest.mark.parametrize("penalty", [L1, gs.Lq(0.01), gs.L1(0.01, on=gs.Channels(1))], ids=repr)
def test_signs_can_change(penalty):
    """From weights of the wrong sign to the right one, through zero."""
    X, _ = data(200, 3)
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-0.5, 0.5, 0.5]]))
    sparse = gs.nn.sparsify(model, {"*": penalty})
    optimiser = torch.optim.SGD(sparse.param_groups(lr=0.1))
    y = X @ torch.tensor([[1.0], [-1.0], [1.0]])
    train(model, sparse, optimiser, 300, (X, y))
    torch.testing.assert_close(
        model.weight.detach(), torch.tensor([[1.0, -1, 1]]), atol=0.1, rtol=0
    )


def test_balanced_starts_keep_their_signs():
    model = nn.Linear(4, 1, bias=False)
    signs = model.weight.detach().sign()
    sparse = gs.nn.sparsify(model, {"*": L1}, spread=0.0)
    X, _ = data(50, 4)
    train(model, sparse, torch.optim.SGD(sparse.param_groups(lr=0.01)), 500, (X, -X @ signs.T))
    assert not (model.weight.detach() * signs < -1e-6).any()


def test_imbalance_decays_at_the_rate_of_theory():
    """Under gradient flow u^2 - v^2 decays as exp(-2 strength t), whatever the loss does."""
    model = nn.Linear(5, 1, bias=False).double()
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.5)})
    X, y = (tensor.double() for tensor in data(50, 5))
    lr, steps = 1e-3, 2000
    u, v = sparse.factors()
    start = (u**2 - v**2).detach().clone()
    train(model, sparse, torch.optim.SGD(sparse.param_groups(lr=lr)), steps, (X, y))
    expected = start * math.exp(-2 * 0.5 * lr * steps)
    torch.testing.assert_close((u**2 - v**2).detach(), expected, rtol=0.02, atol=1e-4)


def test_the_report_sees_balance_come():
    model = mlp()
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.05)})
    before = [row.imbalance for row in sparse.report()]
    train(model, sparse, torch.optim.Adam(sparse.param_groups(lr=0.02)), 300)
    after = [row.imbalance for row in sparse.report()]
    assert min(before) > 0.2
    assert max(after) < 0.01


def test_units_have_weights():
    """A unit of weight zero is free, one of a large weight is the first to go."""
    X, _ = data(200, 3)
    model = nn.Linear(3, 1, bias=False)
    rule = gs.L1(0.1, weights=[0.0, 1.0, 50.0])
    sparse = gs.nn.sparsify(model, {"*": rule})
    train(
        model, sparse, torch.optim.Adam(sparse.param_groups(lr=0.03)), 600,
        (X, X.sum(dim=1, keepdim=True)),
    )  # fmt: skip
    sparse.finalise(tolerance=1e-2)
    first, second, third = model.weight.detach()[0].tolist()
    assert first == pytest.approx(1.0, abs=0.1)
    assert 0.8 < second < 1.0
    assert third == 0.0


# -- left to the optimiser ---------------------------------------------------------------------


@pytest.mark.parametrize("penalty", ALL, ids=repr)
def test_attached_is_the_penalty_in_the_loss(penalty):
    X, _ = data(40, 6)
    y = X[:, :4].sin()
    ends = []
    for attached in (False, True):
        torch.manual_seed(2)
        model = nn.Linear(6, 4).double()
        sparse = gs.nn.sparsify(model, {"*": penalty}, schedule="cosine", total_steps=20, keep=0.9)
        optimiser = torch.optim.SGD(sparse.param_groups(lr=0.05), momentum=0.9)
        if attached:
            assert sparse.attach(optimiser) is optimiser
        for _ in range(20):
            optimiser.zero_grad()
            loss = F.mse_loss(model(X.double()), y.double())
            (loss if attached else loss + sparse.penalty()).backward()
            optimiser.step()
            if not attached:
                sparse.step()
        assert sparse.steps == 20
        ends.append(model.weight.detach())
    torch.testing.assert_close(*ends, rtol=1e-10, atol=1e-12)


def test_what_cannot_be_attached_is_refused():
    model = mlp()
    optimisers = {
        "make it after sparsify": torch.optim.SGD(model.parameters(), lr=0.1),
    }
    sparse = gs.nn.sparsify(model, {"*": L1})
    optimisers["put sparse.penalty\\(\\) into it"] = torch.optim.LBFGS(model.parameters())
    optimisers["Remedy"] = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    for message, optimiser in optimisers.items():
        with pytest.raises(ValueError, match=message):
            sparse.attach(optimiser)
    optimiser = sparse.attach(torch.optim.Adam(model.parameters()))
    with pytest.raises(RuntimeError, match="count twice"):
        sparse.penalty()
    with torch.no_grad():
        assert sparse.penalty() > 0
    other = torch.optim.Adam(model.parameters())
    assert sparse.attach(other) is other  # and the first one is let go
    optimiser.step()
    assert sparse.steps == 0
    other.step()
    assert sparse.steps == 1
    # what has no gradient is skipped, as the optimiser does
    before = model[0].weight.detach()
    optimiser.step()
    assert torch.equal(model[0].weight, before)
    sparse.finalise()
    model(data()[0]).sum().backward()
    optimiser.step()


# -- relative strengths ------------------------------------------------------------------------

SCALES = {
    "fan-in": lambda w: w.shape[1] ** 0.5,
    "size": lambda w: w.shape[1] ** 0.5,  # of a row
    "gain": lambda w: 1 / w.square().mean().sqrt().item(),  # the root of the fan-in cancels
    None: lambda w: 1.0,
    "auto": lambda w: 1.0,
}


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_scales_of_layers(scale):
    """As documented, and of geometric mean one over all entries."""
    model = mlp()
    expected = np.array([SCALES[scale](model[i].weight.detach()) for i in (0, 2)])
    expected /= np.exp(np.average(np.log(expected), weights=[12 * 16, 16]))
    sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1, on=gs.Rows())}, scale=scale)
    assert [weight.scale for weight in sparse.weights] == pytest.approx(expected.tolist())
    values = [w.scale * gs.L1(0.1, on=gs.Rows()).value(w.plain()) for w in sparse.weights]
    assert [row.penalty for row in sparse.report()] == pytest.approx(values, rel=1e-5)


def test_gradient_scales_balance_the_layers():
    """The scale of a layer is the size of the gradient in its units, relative to the others'."""
    X, y = data()
    model = mlp()
    sparse = gs.nn.sparsify(model, {"*": L1})
    sizes = []
    plain = mlp()
    plain.load_state_dict(sparse.plain_state_dict())
    F.mse_loss(plain(X), y).backward()
    sizes = [plain[i].weight.grad.square().mean().sqrt().item() for i in (0, 2)]
    sparse.scale_by_gradient(lambda: F.mse_loss(model(X), y))
    first, second = (weight.scale for weight in sparse.weights)
    assert first / second == pytest.approx(sizes[0] / sizes[1], rel=1e-5)
    entries = np.array([12 * 16, 16])
    assert np.average(np.log([first, second]), weights=entries) == pytest.approx(0, abs=1e-12)
