"""Hard-concrete gates: closed forms against Monte Carlo, a small fit, an end with exact zeros."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import gossamer as gs

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from gossamer.nn import ExpectedL0, HardConcrete  # noqa: E402


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def gate_of(model, *path):
    return model.get_submodule(".".join([*path, "parametrizations", "weight", "0"]))


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.4}, {"stretch": (-0.5, 1.2), "open": 0.3}]
)
def test_the_probability_of_an_open_gate_is_its_frequency(options):
    model = nn.Linear(1, 5)
    HardConcrete(model, {"*": ExpectedL0(1.0, on=gs.Channels())}, **options)
    gate = gate_of(model)
    with torch.no_grad():
        gate.log_alpha.copy_(torch.linspace(-3, 3, 5))
        draws = torch.stack([gate.sample() for _ in range(20_000)])
        frequency = (draws > 0).double().mean(0)
        # five standard errors of 20 000 draws
        np.testing.assert_allclose(frequency, gate.probability(), atol=5 * 0.5 / 20_000**0.5)
    assert (draws == 0).any() and (draws == 1).any() and ((draws > 0) & (draws < 1)).any()


def test_the_gradient_of_the_expectation_is_right():
    """P(z != 0) as the authors write it, differentiated by torch and by hand."""
    model = nn.Linear(1, 5)
    gates = HardConcrete(model, {"*": ExpectedL0(0.3, on=gs.Channels(), weights=[1, 2, 0, 4, 5])})
    gate = gate_of(model)
    gates.penalty().backward()
    likely = 1 / (1 + np.exp(-(gate.log_alpha.detach().numpy() - 2 / 3 * np.log(0.1 / 1.1))))
    expected = 0.3 * np.array([1, 2, 0, 4, 5]) * likely * (1 - likely)
    np.testing.assert_allclose(gate.log_alpha.grad, expected, rtol=1e-5)
    np.testing.assert_allclose(gates.expected()["weight"], likely.sum(), rtol=1e-5)


def test_starts_as_open_as_asked():
    model = nn.Sequential(nn.Linear(3, 400), nn.Linear(400, 3))
    gates = HardConcrete(model, {"0": ExpectedL0(1.0, on=gs.Rows())}, open=0.4)
    assert gates.expected()["0.weight"] == pytest.approx(160, rel=1e-2)


def test_evaluation_is_deterministic_and_training_is_not():
    model = nn.Linear(4, 3)
    HardConcrete(model, {"*": ExpectedL0(1.0)}, open=0.5)
    x = torch.ones(1, 4)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_finds_the_features_that_matter():
    """Linear regression on 20 inputs, three of which count: the gates of the others close."""
    X = torch.randn(400, 20)
    y = X[:, :3] @ torch.tensor([[2.0], [-1.5], [1.0]]) + 0.1 * torch.randn(400, 1)
    model = nn.Linear(20, 1)
    gates = HardConcrete(model, {"*": ExpectedL0(0.05, on=gs.Channels(axis=1))})
    optimiser = torch.optim.Adam(gates.param_groups(gate_lr=0.1), lr=0.02)
    for _ in range(600):
        optimiser.zero_grad()
        (nn.functional.mse_loss(model(X), y) + gates.penalty()).backward()
        optimiser.step()
    assert gates.alive() == {"weight": 3}
    model.eval()
    before = model(X)
    gates.finalise()
    assert torch.equal(model(X), before)
    assert model.weight.detach().nonzero()[:, 1].tolist() == [0, 1, 2]
    assert float(nn.functional.mse_loss(model(X), y).detach()) < 0.05


def test_finalise_gives_the_parameter_back():
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 1)).train()
    weight, names = model[0].weight, set(model.state_dict())
    gates = HardConcrete(model, {"0": ExpectedL0(1.0, on=gs.Channels())})
    with torch.no_grad():
        gate_of(model, "0").log_alpha.copy_(torch.tensor([9.0, -9.0, 9.0, -9.0, -9.0, 9.0]))
    gates.finalise()
    assert model[0].weight is weight
    assert set(model.state_dict()) == names
    assert (weight != 0).any(dim=3).any(dim=2).any(dim=1).tolist() == [1, 0, 1, 0, 0, 1]


def test_tied_weights_share_their_gates():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    model[1].weight = model[0].weight
    gates = HardConcrete(model, {"*": ExpectedL0(1.0, on=gs.Rows())})
    with torch.no_grad():
        gate_of(model, "0").log_alpha.copy_(torch.tensor([-9.0, 0.3, 9.0, 9.0, 9.0]))
    model.eval()
    computed = model[0].weight.clone()
    assert torch.equal(model[0].weight, model[1].weight)
    gates.finalise()
    assert model[0].weight is model[1].weight
    assert torch.equal(model[0].weight, computed)
    assert not model[0].weight[0].any()


def test_state_and_copies():
    def made():
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
        return model, HardConcrete(model, {"*": ExpectedL0(1.0)}, open=0.7)

    (model, gates), (other, _) = made(), made()
    other.load_state_dict(model.state_dict())
    x = torch.ones(2, 4)
    assert torch.equal(model.eval()(x), other.eval()(x))
    copied = copy.deepcopy(gates)
    assert copied.penalty() == gates.penalty()
    copied.finalise()
    assert torch.equal(copied.model.eval()(x), model(x))
    assert gates.matches and not copied.matches


def test_refusals():
    model = nn.Linear(4, 3)
    rules = {"*": ExpectedL0(1.0)}
    with pytest.raises(TypeError, match="ExpectedL0"):
        HardConcrete(model, {"*": gs.L1(0.1)})
    with pytest.raises(ValueError, match=r"'weight'.*5 equal heads"):
        HardConcrete(model, {"*": ExpectedL0(1.0, on=gs.Heads(5))})
    with pytest.raises(ValueError, match="3 finite numbers"):
        HardConcrete(model, {"*": ExpectedL0(1.0, on=gs.Rows(), weights=[1.0])})
    for wrong in ({"open": 1.0}, {"temperature": 0.0}, {"stretch": (0.0, 1.1)}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            HardConcrete(model, rules, **wrong)
    with pytest.raises(ValueError, match="strength"):
        ExpectedL0(-1.0)
    with pytest.raises(TypeError, match="structure"):
        ExpectedL0(1.0, on="rows")
    HardConcrete(model, rules)
    with pytest.raises(ValueError, match="parametrised already"):
        HardConcrete(model, rules)
