"""The baseline does what it is said to do, failures included."""

from __future__ import annotations

import numpy as np
import pytest

import gossamer as gs

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from gossamer.nn import Proximal, subgradient_penalty  # noqa: E402


def test_is_the_penalty_and_its_gradient():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).double()
    rules = {"0": gs.L1(0.3), "1": gs.L1(0.2, on=gs.Channels())}
    with torch.no_grad():
        model[0].weight[0, 0] = 0
        model[1].weight[1] = 0
    value = subgradient_penalty(model, rules)
    first, second = (layer.weight.detach().numpy() for layer in model)
    expected = 0.3 * np.abs(first).sum() + 0.2 * np.linalg.norm(second, axis=1).sum()
    assert value.item() == pytest.approx(expected)
    value.backward()
    np.testing.assert_allclose(model[0].weight.grad, 0.3 * np.sign(first))
    np.testing.assert_allclose(model[1].weight.grad[0], 0.2 * second[0] / np.linalg.norm(second[0]))
    assert not model[1].weight.grad[1].any()


def fit(strength, exact, steps=2000, lr=0.01):
    """Coefficients after full-batch gradient descent on a lasso, p = 20."""
    torch.manual_seed(0)
    X = torch.randn(100, 20)
    y = 2 * X[:, :1] - X[:, 1:2] + 0.3 * torch.randn(100, 1)
    model = nn.Linear(20, 1, bias=False)
    optimiser = torch.optim.SGD(model.parameters(), lr=lr)
    rules = {"*": gs.L1(strength)}
    if exact:
        Proximal(optimiser, model, rules)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = 0.5 * nn.functional.mse_loss(model(X), y)
        (loss if exact else loss + subgradient_penalty(model, rules)).backward()
        optimiser.step()
    return model.weight.detach().ravel()


def test_gives_no_zeros_where_the_prox_does():
    assert (fit(0.2, exact=False) == 0).sum() == 0
    assert (fit(0.2, exact=True) == 0).sum() == 18


def test_more_penalty_gives_a_larger_norm():
    """From the strength on at which the optimum is zero, the norm grows in proportion."""
    norms = [fit(strength, exact=False).abs().sum() for strength in (3.0, 10.0, 30.0)]
    assert norms[0] < norms[1] < norms[2]
    assert norms[2] / norms[1] == pytest.approx(3.0, rel=0.5)
    assert not fit(3.0, exact=True).any()


def test_a_sign_is_refused():
    model = nn.Linear(3, 1)
    with pytest.raises(ValueError, match=r"constrains signs.*gs\.nn\.Proximal"):
        subgradient_penalty(model, {"*": gs.L1(0.1, nonnegative=True)})
