"""Gradient regularisation against double backpropagation and closed forms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gossamer.nn import GradientRegularisation


def small_problem(seed: int = 0) -> tuple[nn.Module, Callable[[], Tensor]]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    X, y = torch.randn(20, 5, dtype=torch.float64), torch.randint(0, 3, (20,))
    return model, lambda: nn.functional.cross_entropy(model(X), y)


def exact_gradient(model: nn.Module, closure: Callable[[], Tensor], strength: float) -> Tensor:
    """By double backpropagation."""
    parameters = list(model.parameters())
    loss = closure()
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    total = loss + strength / 2 * sum((g * g).sum() for g in gradient)
    return torch.cat([g.ravel() for g in torch.autograd.grad(total, parameters)])


def flat_gradient(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.ravel() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("sign", [1, -1])
def test_reaches_double_backpropagation_as_epsilon_vanishes(sign: int) -> None:
    model, closure = small_problem()
    exact = exact_gradient(model, closure, strength=0.7)
    errors = []
    for epsilon in (1e-1, 1e-2, 1e-3):
        model.zero_grad()
        GradientRegularisation(model, 0.7, sign * epsilon).backward(closure)
        errors.append((flat_gradient(model) - exact).norm() / exact.norm())
    # a one-sided difference: the error falls in proportion to epsilon
    assert errors[2] < 1e-4
    assert errors[1] / errors[0] == pytest.approx(0.1, rel=0.1)
    assert errors[2] / errors[1] == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("epsilon", [10.0, 0.1, -0.5])
def test_exact_for_any_epsilon_on_a_quadratic(epsilon: float) -> None:
    torch.manual_seed(1)
    root = torch.randn(4, 4, dtype=torch.float64)
    hessian = root @ root.T
    model = nn.Linear(4, 1, bias=False).double()
    w = model.weight
    GradientRegularisation(model, 0.3, epsilon).backward(lambda: (w @ hessian @ w.T / 2).sum())
    gradient = hessian @ w.detach()[0]
    torch.testing.assert_close(w.grad[0], gradient + 0.3 * hessian @ gradient)


def test_equals_sharpness_aware_minimisation_when_strength_is_epsilon() -> None:
    model, closure = small_problem()
    GradientRegularisation(model, 0.2, 0.2).backward(closure)
    found = flat_gradient(model)
    model.zero_grad()
    closure().backward()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.2 * p.grad
    model.zero_grad()
    closure().backward()
    torch.testing.assert_close(found, flat_gradient(model))


def test_strength_zero_is_plain_backward_and_adds_up() -> None:
    model, closure = small_problem()
    closure().backward()
    once = flat_gradient(model)
    loss = GradientRegularisation(model, 0.0).backward(closure)
    torch.testing.assert_close(flat_gradient(model), 2 * once)
    assert loss.item() == closure().item()
    assert not loss.requires_grad


def test_the_model_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 1))
    twin = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 1))
    twin.load_state_dict(model.state_dict())
    X = torch.randn(16, 4)

    torch.manual_seed(5)
    loss = GradientRegularisation(model, 0.1).backward(lambda: model(X).square().mean())
    after = torch.rand(1)

    torch.manual_seed(5)
    expected = twin(X).square().mean()
    assert loss == expected
    assert after == torch.rand(1)  # the random numbers of one pass were used up
    for name, value in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_the_same_units_are_dropped_in_both_passes() -> None:
    # loss = sum(mask * w): linear, so both gradients agree if and only if the masks do
    model = nn.Linear(64, 1, bias=False)
    regularised = GradientRegularisation(model, 1.0, 1e-3)
    regularised.backward(lambda: nn.functional.dropout(model.weight, 0.5).sum())
    assert set(model.weight.grad.ravel().tolist()) == {0.0, 2.0}


def test_parameters_that_the_loss_does_not_use_or_that_are_frozen() -> None:
    model = nn.ModuleDict({name: nn.Linear(2, 1, bias=False) for name in ("a", "b", "frozen")})
    model["frozen"].requires_grad_(False)
    GradientRegularisation(model, 0.1).backward(lambda: model["a"].weight.square().sum())
    assert (model["b"].weight.grad == 0).all()
    assert model["frozen"].weight.grad is None


def test_the_model_is_restored_when_the_closure_fails() -> None:
    model, closure = small_problem()
    before = [p.detach().clone() for p in model.parameters()]
    calls = []

    def failing() -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no memory")
        return closure()

    with pytest.raises(RuntimeError, match="no memory"):
        GradientRegularisation(model, 0.1).backward(failing)
    for p, value in zip(model.parameters(), before, strict=True):
        assert torch.equal(p, value)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"strength": -1.0}, ValueError, "strength"),
        ({"strength": float("nan")}, ValueError, "strength"),
        ({"strength": 1.0, "epsilon": 0.0}, ValueError, "epsilon"),
        ({"strength": 1.0, "model": 3}, TypeError, "model"),
        ({"strength": 1.0, "model": nn.ReLU()}, ValueError, "requires a gradient"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        GradientRegularisation(**{"model": nn.Linear(1, 1), **arguments})


def test_a_closure_without_a_loss_is_refused() -> None:
    model = nn.Linear(2, 1)
    regularised = GradientRegularisation(model, 1.0)
    with pytest.raises(TypeError, match="one number"):
        regularised.backward(lambda: model(torch.ones(3, 2)))
    with pytest.raises(ValueError, match="without a graph"):
        regularised.backward(lambda: torch.zeros(()))
