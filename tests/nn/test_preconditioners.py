"""The metric of an optimiser is what it does: under a constant gradient it moves by steps * g."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import optim  # noqa: E402

from gossamer.nn.preconditioners import METRICS, metric_of  # noqa: E402

OPTIMISERS = {
    "SGD": lambda w: optim.SGD(w, lr=0.1),
    "momentum": lambda w: optim.SGD(w, lr=0.1, momentum=0.9),
    "dampened": lambda w: optim.SGD(w, lr=0.1, momentum=0.8, dampening=0.5),
    "nesterov": lambda w: optim.SGD(w, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda w: optim.Adam(w, lr=0.1, eps=0.1),
    "amsgrad": lambda w: optim.Adam(w, lr=0.1, amsgrad=True, eps=0.1),
    "AdamW": lambda w: optim.AdamW(w, lr=0.1, weight_decay=0, betas=(0.5, 0.9)),
    "NAdam": lambda w: optim.NAdam(w, lr=0.1, eps=0.1),
    "RAdam": lambda w: optim.RAdam(w, lr=0.1, eps=0.1),
    "Adamax": lambda w: optim.Adamax(w, lr=0.1),
    "RMSprop": lambda w: optim.RMSprop(w, lr=0.1, eps=0.1),
    "RMSprop with momentum": lambda w: optim.RMSprop(w, lr=0.1, momentum=0.9, eps=0.1),
    "Adagrad": lambda w: optim.Adagrad(w, lr=0.1, lr_decay=0.01, eps=0.1),
    "Adagrad with a start": lambda w: optim.Adagrad(w, lr=0.1, initial_accumulator_value=2.0),
}


def moved(make, n_steps, gradient):
    """The last step under a constant gradient, and what the metric says of it."""
    w = torch.nn.Parameter(torch.zeros_like(gradient))
    optimiser = make([w])
    for _ in range(n_steps):
        before = w.detach().clone()
        w.grad = gradient.clone()
        optimiser.step()
    steps = metric_of(optimiser)(optimiser.state.get(w, {}), optimiser.param_groups[0])
    return before - w.detach(), steps * gradient


@pytest.mark.parametrize("name", OPTIMISERS)
def test_under_a_constant_gradient_it_moves_by_the_steps(name):
    gradient = torch.tensor([0.03, -0.5, 2.0, -40.0], dtype=torch.float64)
    step, expected = moved(OPTIMISERS[name], 2000, gradient)
    # buffers are full but for 0.99^2000; NAdam's momentum still rises by half a percent
    torch.testing.assert_close(step, expected, rtol=1e-2 if name == "NAdam" else 1e-6, atol=0)


@pytest.mark.parametrize(
    "name", ["Adam", "amsgrad", "Adamax", "Adagrad", "RMSprop", "SGD", "RAdam"]
)
def test_from_the_first_step_on_where_nothing_builds_up(name):
    gradient = torch.tensor([0.03, -0.5, 2.0, -40.0], dtype=torch.float64)
    for n_steps in (1, 2, 7):
        step, expected = moved(OPTIMISERS[name], n_steps, gradient)
        torch.testing.assert_close(step, expected, rtol=1e-6, atol=0)


def test_centred_variances_are_those_of_the_optimiser():
    """Gradients that alternate have a variance; the steps divide by its root."""
    w = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimiser = optim.RMSprop([w], lr=0.1, centered=True)
    for turn in range(200):
        before = w.detach().clone()
        w.grad = torch.tensor([1.0, 3.0], dtype=torch.float64) * (1 if turn % 2 else -0.5)
        optimiser.step()
    steps = metric_of(optimiser)(optimiser.state[w], optimiser.param_groups[0])
    torch.testing.assert_close(before - w.detach(), steps * w.grad, rtol=1e-6, atol=0)


def test_names_and_functions():
    w = [torch.nn.Parameter(torch.zeros(2))]
    optimiser = optim.SGD(w, lr=0.1)
    assert metric_of(optimiser, "adam") is METRICS["adam"]
    own = lambda state, group: 3.0  # noqa: E731
    assert metric_of(optimiser, own) is own
