"""Proximal training ends at the exact optimum, whatever the optimiser."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from real_tables import birthwt, hitters

import gossamer as gs

torch = pytest.importorskip("torch")

from torch import nn, optim  # noqa: E402

from gossamer.nn import Keep, Proximal  # noqa: E402

n, p = 120, 24
GROUPS = np.arange(p) // 3


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)) + 0.3 * rng.standard_normal((n, 1))
    truth = np.zeros((p, 3))
    truth[:6] = rng.standard_normal((6, 3))
    return X, X @ truth + 0.5 * rng.standard_normal((n, 3))


# name: the exact problem's penalty on coefficients (p, K), and the same on a weight (K, p)
PROBLEMS = {
    "lasso": (1, gs.L1(0.15), gs.L1(0.15)),
    "group lasso": (1, gs.L1(0.3, on=gs.Groups(GROUPS)), gs.L1(0.3, on=gs.Blocks((1, 3)))),
    "sparse group": (
        1,
        gs.L1(0.1) + gs.L1(0.2, on=gs.Groups(GROUPS)),
        gs.L1(0.1) + gs.L1(0.2, on=gs.Blocks((1, 3))),
    ),
    "multi-task": (3, gs.L1(0.3, on=gs.Rows()), gs.L1(0.3, on=gs.Channels(axis=1))),
    "logistic": (0, gs.L1(0.05), gs.L1(0.05)),
}
OPTIMISERS = {
    "SGD": lambda w: optim.SGD(w, lr=0.1),
    "momentum": lambda w: optim.SGD(w, lr=0.05, momentum=0.9),
    "dampened": lambda w: optim.SGD(w, lr=0.1, momentum=0.9, dampening=0.9),
    "nesterov": lambda w: optim.SGD(w, lr=0.01, momentum=0.9, nesterov=True),
    "Adam": lambda w: optim.Adam(w, lr=0.03),
    "amsgrad": lambda w: optim.Adam(w, lr=0.02, amsgrad=True),
    "AdamW": lambda w: optim.AdamW(w, lr=0.03, weight_decay=0),
    "NAdam": lambda w: optim.NAdam(w, lr=0.03),
    "RAdam": lambda w: optim.RAdam(w, lr=0.1),
    "Adamax": lambda w: optim.Adamax(w, lr=0.02),
    "RMSprop": lambda w: optim.RMSprop(w, lr=0.01),
    "RMSprop with momentum": lambda w: optim.RMSprop(w, lr=0.001, momentum=0.9),
    "Adagrad": lambda w: optim.Adagrad(w, lr=0.5),
}


def trained(X, Y, loss, make, rules, steps=800, scale=1.0, metric=None):
    """The coefficients (p, K) after full-batch training with a decaying rate, and the wrapper."""
    model = nn.Linear(X.shape[1], Y.shape[1], bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    inputs, targets = torch.from_numpy(X), torch.from_numpy(Y)
    optimiser = make(model.parameters())
    proximal = Proximal(optimiser, model, rules, metric=metric)
    proximal.scale = scale
    schedule = optim.lr_scheduler.LambdaLR(optimiser, lambda t: min(1.0, 3.0 - 2.999 * t / steps))
    for _ in range(steps):
        optimiser.zero_grad()
        loss(model(inputs), targets).backward()
        optimiser.step()
        schedule.step()
    optimiser.zero_grad()
    loss(model(inputs), targets).backward()
    return model.weight.detach().numpy().T, proximal


def half_squares(z, y):
    return 0.5 * (z - y).square().sum() / len(y)


def exact(X, Y, problem):
    """The problem, its exact coefficients (p, K), and the loss for torch."""
    outputs, penalty, _ = PROBLEMS[problem]
    if outputs:
        Y = Y[:, :outputs]
        reference = gs.Problem(X, Y, gs.losses.Quadratic(), penalty, fit_intercept=False)
        loss = half_squares
    else:
        Y = (Y[:, :1] > 0).astype(float)
        reference = gs.Problem(X, Y[:, 0], gs.losses.Logistic(), penalty, fit_intercept=False)
        loss = nn.functional.binary_cross_entropy_with_logits
    coef = np.asarray(reference.solve(tol=1e-10).coef).reshape(X.shape[1], -1)
    return reference, coef, Y, loss


CASES = [(problem, name) for problem in PROBLEMS for name in ("momentum", "Adam")]
CASES += [("lasso", name) for name in OPTIMISERS if ("lasso", name) not in CASES]


@pytest.mark.parametrize(("problem", "optimiser"), CASES)
def test_ends_at_the_exact_optimum(table, problem, optimiser):
    reference, coef, Y, loss = exact(*table, problem)
    found, proximal = trained(table[0], Y, loss, OPTIMISERS[optimiser], {"*": PROBLEMS[problem][2]})
    gap = reference.objective(found) - reference.objective(coef)
    assert gap <= 1e-6 * reference.null_objective
    assert ((found != 0) == (coef != 0)).all()
    assert 0 < (found != 0).sum() < found.size
    assert max(proximal.violations().values()) < 1e-3
    assert proximal.value() == pytest.approx(reference.penalty.value(coef), rel=1e-3)


@pytest.mark.parametrize("optimiser", ["SGD", "Adam"])
@pytest.mark.parametrize(
    "penalty",
    [gs.MCP(0.2), gs.SCAD(0.2), gs.Lq(0.1), gs.LogSum(0.05, epsilon=0.5)],
    ids=repr,
)
def test_concave_penalties_end_stationary(table, penalty, optimiser):
    X, Y = table
    found, proximal = trained(X, Y[:, :1], half_squares, OPTIMISERS[optimiser], {"*": penalty})
    # of gradients of about 0.2: the rate ends at a thousandth, so that a last digit may be missing
    assert max(proximal.violations().values()) < 1e-3
    assert 0 < (found != 0).sum() < p


def test_concave_penalty_on_groups_ends_stationary(table):
    X, Y = table
    penalty = gs.MCP(0.4, on=gs.Channels(axis=1))
    found, proximal = trained(X, Y, half_squares, OPTIMISERS["Adam"], {"*": penalty})
    assert max(proximal.violations().values()) < 1e-3
    alive = (found != 0).any(axis=1)
    assert 0 < alive.sum() < p
    assert (found[alive] != 0).all()


def test_scale_is_a_factor_of_the_strength(table):
    X, Y = table
    make = OPTIMISERS["Adam"]
    twice, _ = trained(X, Y[:, :1], half_squares, make, {"*": gs.L1(0.1)}, 300, scale=2.0)
    direct, _ = trained(X, Y[:, :1], half_squares, make, {"*": gs.L1(0.2)}, 300)
    np.testing.assert_array_equal(twice, direct)


def test_nonnegative(table):
    X, Y = table
    penalty = gs.L1(0.1, nonnegative=True)
    found, _ = trained(X, Y[:, :1], half_squares, OPTIMISERS["Adam"], {"*": penalty})
    reference = gs.Problem(X, Y[:, 0], gs.losses.Quadratic(), penalty, fit_intercept=False)
    best = reference.solve(tol=1e-10)
    assert (found >= 0).all()
    np.testing.assert_allclose(found[:, 0], best.coef, atol=1e-5)


@pytest.mark.parametrize("optimiser", ["SGD", "Adam"])
def test_budget_keeps_that_many_and_finds_them(table, optimiser):
    X, _ = np.linalg.qr(table[0])
    X = X * np.sqrt(n)
    truth = np.zeros((p, 1))
    truth[[2, 9, 20]] = [[1.0], [-2.0], [1.5]]
    found, proximal = trained(X, X @ truth, half_squares, OPTIMISERS[optimiser], {"*": Keep(3)})
    # without noise the budget's optimum is the truth
    np.testing.assert_allclose(found, truth, atol=1e-4)
    assert proximal.value() == 0


def test_budget_on_channels_as_a_share():
    model = nn.Conv2d(3, 10, 3)
    optimiser = optim.SGD(model.parameters(), lr=0.1)
    Proximal(optimiser, model, {"*": Keep(0.3, on=gs.Channels())})
    model(torch.ones(1, 3, 5, 5)).sum().backward()
    before = (model.weight - 0.1 * model.weight.grad).detach().double().numpy()
    optimiser.step()
    mask = gs.Channels().top_k(before, 3)
    np.testing.assert_allclose(model.weight.detach().numpy(), np.where(mask, before, 0), atol=1e-7)


def test_a_schedule_leads_to_budgets_and_strengths():
    model = nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10))
    optimiser = optim.SGD(model.parameters(), lr=1e-3)
    rules = {"0": Keep(0.1), "1": gs.L1(1.0)}
    proximal = Proximal(optimiser, model, rules, schedule=lambda t: t, total_steps=4)
    counts, costs = [], []
    for _ in range(6):
        costs.append(proximal.value() / model[1].weight.abs().sum().item())
        model(torch.ones(1, 10)).square().sum().backward()
        optimiser.step()
        counts.append(proximal.alive()["0.weight"])
    assert counts == [100, 78, 55, 32, 10, 10]
    np.testing.assert_allclose(costs, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0], rtol=1e-5)
    proximal.scale = 3.0
    assert proximal.value() == pytest.approx(3 * model[1].weight.abs().sum().item(), rel=1e-5)


def test_a_soft_threshold_after_adam_solves_another_problem(table):
    """The prox with the learning rate alone, in place of Adam's metric."""
    reference, coef, Y, loss = exact(*table, "lasso")
    rules = {"*": PROBLEMS["lasso"][2]}
    found, _ = trained(table[0], Y, loss, OPTIMISERS["Adam"], rules, metric="sgd")
    gap = reference.objective(found) - reference.objective(coef)
    assert gap > 1e-3 * reference.null_objective


@pytest.mark.parametrize("optimiser", ["SGD", "momentum"])
def test_nuclear_norm_ends_at_the_exact_optimum(table, optimiser):
    X, Y = table
    penalty = gs.L1(1.2, on=gs.Spectrum())
    reference = gs.Problem(X, Y, gs.losses.Quadratic(), penalty, fit_intercept=False)
    best = reference.solve(tol=1e-9)
    found, proximal = trained(X, Y, half_squares, OPTIMISERS[optimiser], {"*": penalty})
    gap = reference.objective(found) - reference.objective(best.coef)
    assert gap <= 1e-6 * reference.null_objective
    assert proximal.alive()["weight"] == np.linalg.matrix_rank(best.coef, tol=1e-6) < 3
    assert proximal.value() == pytest.approx(penalty.value(best.coef), rel=1e-3)


def test_rank_as_a_budget():
    model = nn.Conv2d(4, 6, 3)
    optimiser = optim.SGD(model.parameters(), lr=0.1)
    proximal = Proximal(optimiser, model, {"*": Keep(2, on=gs.Spectrum())})
    model(torch.ones(1, 4, 5, 5)).square().sum().backward()
    before = (model.weight - 0.1 * model.weight.grad).detach().flatten(1)
    optimiser.step()
    left, values, right = torch.linalg.svd(before, full_matrices=False)
    best = (left[:, :2] * values[:2]) @ right[:2]
    torch.testing.assert_close(model.weight.detach().flatten(1), best, rtol=1e-4, atol=1e-5)
    assert proximal.alive() == {"weight": 2}
    assert proximal.value() == 0


def test_singular_values_in_adams_metric_are_refused(small):
    model, optimiser = small
    Proximal(optimiser, model, {"0": gs.L1(0.1, on=gs.Spectrum())})
    with pytest.raises(gs.UnsupportedProblem, match=r"use SGD, or gs\.nn\.sparsify"):
        step(model, optimiser)


class Coefficients(nn.Module):
    """A plain linear model with coefficients as in a table: (p, 1)."""

    def __init__(self, n_features):
        super().__init__()
        self.coef = nn.Parameter(torch.zeros(n_features, 1, dtype=torch.float64))

    def forward(self, X):
        return X @ self.coef


@pytest.mark.parametrize("name", ["hitters", "birthwt"])
def test_real_tables(name):
    """Groups of unequal sizes on a real table, and correlated columns."""
    real = {"hitters": hitters, "birthwt": lambda: birthwt("bwt")}[name]()
    X = np.ascontiguousarray((real.X - real.X.mean(0)) / real.X.std(0))
    y = (real.y - real.y.mean()) / real.y.std()
    on = gs.Elements() if real.groups is None else gs.Groups(real.groups)
    steepest = gs.L1(1.0, on=on).strength_max(-(X.T @ y)[:, None] / len(y))
    penalty = gs.L1(0.4 * steepest, on=on)
    reference = gs.Problem(X, y, gs.losses.Quadratic(), penalty, fit_intercept=False)
    best = reference.solve(tol=1e-10)
    model = Coefficients(X.shape[1])
    optimiser = optim.Adam(model.parameters(), lr=0.02)
    Proximal(optimiser, model, {"coef": penalty})
    schedule = optim.lr_scheduler.LambdaLR(optimiser, lambda t: min(1.0, 3.0 - 2.999 * t / 1500))
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)[:, None]
    for _ in range(1500):
        optimiser.zero_grad()
        half_squares(model(inputs), targets).backward()
        optimiser.step()
        schedule.step()
    found = model.coef.detach().numpy()[:, 0]
    gap = reference.objective(found) - reference.objective(best.coef)
    assert gap <= 1e-6 * reference.null_objective
    assert ((found != 0) == (best.coef != 0)).all()
    assert 0 < (found != 0).sum() < len(found)


@pytest.fixture
def small():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    return model, optim.Adam(model.parameters(), lr=0.1)


def step(model, optimiser):
    optimiser.zero_grad()
    model(torch.arange(12.0).reshape(2, 6)).square().sum().backward()
    optimiser.step()


def test_only_what_rules_select_is_touched(small):
    model, optimiser = small
    Proximal(optimiser, model, {"0": gs.L1(1e3)})
    step(model, optimiser)
    assert not model[0].weight.any()
    assert model[0].bias.all()
    assert model[2].weight.all()


def test_parameters_that_the_optimiser_skips_stay(small):
    model, optimiser = small
    Proximal(optimiser, model, {"*": gs.L1(1e3)})
    model(torch.ones(1, 6)).sum().backward()
    model[2].weight.grad = None
    optimiser.step()
    assert not model[0].weight.any()
    assert model[2].weight.all()


def test_a_rate_of_zero_changes_nothing(small):
    model, optimiser = small
    Proximal(optimiser, model, {"*": gs.L1(1e3)})
    optimiser.param_groups[0]["lr"] = 0.0
    step(model, optimiser)
    assert model[0].weight.all()


def test_removed_it_steps_no_more(small):
    model, optimiser = small
    Proximal(optimiser, model, {"*": gs.L1(1e3)}).remove()
    step(model, optimiser)
    assert model[0].weight.all()


def test_deepcopy_and_state(small):
    model, optimiser = small
    rules, options = {"*": gs.L1(0.02)}, {"schedule": "warm-up", "total_steps": 20}
    proximal = Proximal(optimiser, model, rules, **options)
    proximal.scale = 3.0
    step(model, optimiser)
    copied = copy.deepcopy(proximal)
    assert copied.scale == 3.0
    assert copied.model is not model
    for _ in range(3):
        step(model, optimiser)
        step(copied.model, copied.optimiser)
    for a, b in zip(model.parameters(), copied.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not model[0].weight.all()
    # neither the model's nor the optimiser's state knows of it
    plain = copy.deepcopy(model)
    plain.load_state_dict(model.state_dict())
    again = Proximal(optim.Adam(plain.parameters()), plain, rules, **options)
    again.optimiser.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    again.load_state_dict(proximal.state_dict())
    step(model, optimiser)
    step(plain, again.optimiser)
    assert torch.equal(plain[0].weight, model[0].weight)


def test_parameter_groups_have_their_own_rates():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 1e-9}]
    optimiser = optim.SGD(groups, lr=1.0)
    Proximal(optimiser, model, {"*": gs.L1(1e3)})
    model(torch.ones(1, 4)).sum().backward()
    optimiser.step()
    assert not model[0].weight.any()
    assert model[1].weight.all()


def test_refusals(small):
    model, optimiser = small
    rules = {"*": gs.L1(0.1)}
    with pytest.raises(TypeError, match=r"torch\.optim\.Optimizer, got 'adam'"):
        Proximal("adam", model, rules)
    with pytest.raises(ValueError, match=r"L-BFGS.*gs\.nn\.sparsify"):
        Proximal(optim.LBFGS(model.parameters()), model, rules)
    with pytest.raises(ValueError, match=r"does not hold '2\.weight'"):
        Proximal(optim.SGD(model[0].parameters()), model, rules)
    with pytest.raises(ValueError, match="got 'lion'"):
        Proximal(optimiser, model, rules, metric="lion")
    with pytest.raises(ValueError, match=r"'0\.weight'.*5 equal heads"):
        Proximal(optimiser, model, {"*": Keep(1, on=gs.Heads(5))})
    with pytest.raises(TypeError, match=r"gs\.L1"):
        Proximal(optimiser, model, {"*": 0.1})
    with pytest.raises(ValueError, match="scale must be"):
        Proximal(optimiser, model, rules).scale = -1.0
    with pytest.raises(ValueError, match="total_steps is needed"):
        Proximal(optimiser, model, rules, schedule="cosine")
    with pytest.raises(ValueError, match=r"call backward\(\)"):
        Proximal(optimiser, model, rules).violations()
    for amount in (0, 0.0, 1.5, True, "all"):
        with pytest.raises(ValueError, match="amount"):
            Keep(amount)
    with pytest.raises(TypeError, match="structure"):
        Keep(3, on="channels")


class Lion(optim.Optimizer):
    """Moves by the gradient's sign: no metric of its own."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= group["lr"] * parameter.grad.sign()


def test_unknown_optimisers_warn_or_take_a_metric(small):
    model, _ = small
    optimiser = Lion(model.parameters())
    with pytest.warns(UserWarning, match="How Lion scales"):
        Proximal(optimiser, model, {"*": gs.L1(1.0)}).remove()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Proximal(optimiser, model, {"*": gs.L1(1.0)}, metric=lambda state, group: 1e3)
    step(model, optimiser)
    assert not model[0].weight.any()
