"""Target: the budget is met exactly, by the schedule, and training survives it."""

from __future__ import annotations

import numpy as np
import pytest

import gossamer as gs

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.Flatten(), nn.Linear(96, 3)
    )


def train(sparse, steps, optimiser=None, watch=None):
    images = torch.randn(32, 1, 8, 8)
    labels = torch.randint(0, 3, (32,))
    optimiser = optimiser or torch.optim.Adam(sparse.param_groups(lr=0.01))
    for _ in range(steps):
        optimiser.zero_grad()
        (F.cross_entropy(sparse.model(images), labels) + sparse.penalty()).backward()
        optimiser.step()
        sparse.step()
        if watch is not None:
            watch.append([(w.made() != 0).float().mean().item() for w in sparse.weights])


RULES = {
    "elements": {"*": gs.L1(1e-3)},
    "depth 3": {"*": gs.Lq(1e-3)},
    "channels": {"*": gs.L1(1e-3, on=gs.Channels())},
    "mixed": {"0": gs.L1(1e-3, on=gs.Channels()), "2": gs.Lq(1e-3, q=0.5), "4": gs.L1(1e-3)},
    "blocks": {"2": gs.L1(1e-3, on=gs.Blocks((2, 8))), "*": gs.ElasticNet(1e-3)},
    "sums": {"*": gs.L1(1e-3) + gs.L1(1e-3, on=gs.Channels())},
}
OPTIMISERS = {
    "SGD": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9),
    "Adam": lambda groups: torch.optim.Adam(groups, lr=0.01),
}


@pytest.mark.parametrize("keep", [0.5, 0.1])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_the_budget_is_met_at_the_end_and_used(rules, optimiser, keep):
    model = network()
    sparse = gs.nn.sparsify(model, rules, keep=keep, total_steps=60)
    train(sparse, 60, OPTIMISERS[optimiser](sparse.param_groups()))
    entries = sum(weight.made().numel() for weight in sparse.weights)
    largest = max(
        (weight.costs().max() for weight in sparse.weights if weight.costs().max() > 1), default=1
    )
    done = sparse.finalise()
    kept = sum(int((model.get_parameter(name) != 0).sum()) for name in done.masks)
    assert kept <= keep * entries
    # what is left over is less than one unit
    assert kept > keep * entries - largest
    # and finalise had nothing left to cut
    assert done.lost < 1e-6


@pytest.mark.parametrize("keep", [0.3, 0.05])
def test_costs_are_what_is_kept(keep):
    """Here an entry of a convolution costs as often as it is used."""
    model = network()
    costs = {"0.weight": 36.0, "2.weight": 16.0, "4.weight": 1.0}
    sparse = gs.nn.sparsify(model, {"*": gs.L1(1e-3)}, keep=keep, total_steps=40, costs=costs)
    train(sparse, 40)
    sparse.finalise()
    spent = {name: int((model.get_parameter(name) != 0).sum()) * costs[name] for name in costs}
    total = sum(model.get_parameter(name).numel() * costs[name] for name in costs)
    assert keep * total - 36 < sum(spent.values()) <= keep * total


def test_the_support_is_final_when_the_budget_is_met():
    """From ``until`` on the same entries live: factors at zero have no gradient."""
    model, seen = network(), []
    sparse = gs.nn.sparsify(
        model, {"*": gs.L1(1e-3)}, keep=gs.nn.Target(0.2, until=0.5, every=5), total_steps=100
    )
    train(sparse, 100, torch.optim.SGD(sparse.param_groups(lr=0.1)), seen)
    shares = np.array(seen)
    assert (np.diff(shares[50:], axis=0) == 0).all()
    assert sparse.strength == 0.0
    entries = [weight.made().numel() for weight in sparse.weights]
    assert np.average(shares[-1], weights=entries) == pytest.approx(0.2, abs=1 / sum(entries))


def test_the_budget_follows_the_cubic_schedule():
    target = gs.nn.Target(0.1, until=0.8)
    assert target.budget(0.0) == 1.0
    assert target.budget(0.4) == pytest.approx(1 - 0.9 * (1 - 0.5**3))
    assert target.budget(0.8) == target.budget(1.0) == pytest.approx(0.1)
    model = network()
    sparse = gs.nn.sparsify(model, {"*": gs.L1(1e-3)}, keep=target, total_steps=100)
    seen = []
    train(sparse, 100, torch.optim.SGD(sparse.param_groups(lr=0.1)), seen)
    entries = [weight.made().numel() for weight in sparse.weights]
    for moment in sparse.history:
        share = np.average(seen[moment.step - 1], weights=entries)
        assert share <= target.budget(moment.step / 100) + 1e-9
    assert [moment.step for moment in sparse.history] == [20, 40, 60, 80, 100]


def test_settling_keeps_a_share_of_the_strength():
    sparse = gs.nn.sparsify(
        network(), {"*": gs.L1(1e-3)}, keep=gs.nn.Target(0.5, settle=0.25), total_steps=10
    )
    for step in range(10):
        assert sparse.strength == (1.0 if step < 7 else 0.25)
        sparse.step()


def test_keeping_everything_cuts_nothing():
    model = network()
    sparse = gs.nn.sparsify(model, {"*": gs.L1(1e-4)}, keep=1.0, total_steps=40)
    train(sparse, 40)
    assert sparse.finalise().sparsity == 0.0


def test_units_without_a_penalty_count_and_stay():
    model = nn.Linear(10, 1, bias=False)
    rule = gs.L1(0.1, weights=[0.0, 0.0, *[1.0] * 8])
    sparse = gs.nn.sparsify(model, {"*": rule}, keep=0.3, total_steps=2)
    for _ in range(2):
        sparse.step()
    sparse.finalise()
    alive = model.weight[0] != 0
    assert alive[:2].all() and int(alive.sum()) == 3
    with pytest.raises(ValueError, match="charges nothing"):
        gs.nn.sparsify(nn.Linear(3, 2), {"*": gs.L1(0.0)}, keep=0.5, total_steps=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0.0}, r"keep must be the share to keep"),
        ({"keep": 0.1, "until": 0.0}, r"until must be in \(0, 1\]"),
        ({"keep": 0.1, "settle": -1.0}, "settle must be >= 0"),
        ({"keep": 0.1, "settle": float("nan")}, "settle must be >= 0"),
        ({"keep": 0.1, "every": 0}, "every must be >= 1"),
    ],
)
def test_bad_targets_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        gs.nn.Target(**arguments)


# -- the selection of units, against a plain sort ------------------------------------------------


def reference_within(contributions, costs, keep):
    order = np.argsort(-contributions / costs, kind="stable")
    fits = np.cumsum(costs[order]) <= keep * costs.sum() * (1 + 1e-12)
    alive = np.zeros(len(order), dtype=bool)
    alive[order[fits]] = True
    return alive & (contributions > 0)


@pytest.mark.parametrize("keep", [1e-3, 0.1, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("priced", [False, True])
def test_thresholds_select_what_sorting_selects(keep, ties, priced, rng):
    from gossamer.nn.budget import Units

    sizes = rng.exponential(size=500)
    if ties:
        sizes = np.round(sizes, 1)  # zeros among them
    costs = rng.integers(1, 5, 500).astype(float) if priced else np.broadcast_to(2.0, 500)
    units = Units(sizes, costs, np.broadcast_to(False, 500), np.array([0, 500]))
    alive = units.within(keep)
    if priced and ties:
        # equal ratios of unequal costs: any of them may be the last that fits
        assert abs(int(alive.sum()) - int(reference_within(sizes, costs, keep).sum())) <= 4
        assert costs[alive].sum() <= keep * costs.sum() * (1 + 1e-9)
    else:
        np.testing.assert_array_equal(alive, reference_within(sizes, costs, keep))
    above = units.above(1 - keep)
    assert sizes[~above].sum() <= (1 - keep) * sizes.sum() * (1 + 1e-12)
    if above.any():
        next_out = sizes == sizes[above].min()
        assert sizes[~above | next_out].sum() > (1 - keep) * sizes.sum()
    assert units.lost(above) == pytest.approx(sizes[~above].sum() / sizes.sum())
