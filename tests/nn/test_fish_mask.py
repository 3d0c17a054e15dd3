"""FISH masks: what is held, and the paper's claim small."""

import copy

import pytest
import torch
from digits_lenet import batches, digits, judged, lenet, train
from torch import nn
from torch.nn import functional as F

import gossamer as gs
from gossamer.nn.fish_mask_training import FishMask, fish_mask


def random_mask(model, keep, seed):
    parameters = list(model.parameters())
    sizes = [p.numel() for p in parameters]
    order = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(seed))
    flags = (order < round(keep * sum(sizes))).split(sizes)
    return FishMask(model, {p: f.view_as(p) for p, f in zip(parameters, flags, strict=True)})


def task(samples=30):
    torch.manual_seed(0)
    return [(torch.randn(samples, 6), torch.randint(3, (samples,)))]


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def test_it_takes_the_entries_of_the_largest_information():
    model, data = network(), task()
    mask = fish_mask(model, data, 0.1)
    model.eval()
    squares = {p: torch.zeros_like(p) for p in model.parameters()}
    for x, y in zip(*data[0], strict=True):
        loss = F.cross_entropy(model(x[None]), y[None])
        for p, g in zip(squares, torch.autograd.grad(loss, list(squares)), strict=True):
            squares[p] += g.square()
    together = torch.cat([s.reshape(-1) for s in squares.values()])
    least = together.sort(descending=True).values[round(0.1 * len(together)) - 1]
    assert mask.count == round(0.1 * len(together))
    assert all(torch.equal(mask.masks[p], squares[p] >= least) for p in squares)


@pytest.mark.parametrize(
    "optimiser",
    [
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.5),
    ],
)
def test_only_chosen_entries_move(optimiser):
    model, data = network(), task()
    mask, before = fish_mask(model, data, 0.1), copy.deepcopy(model)
    steps = optimiser(model.parameters())
    holding = mask.hold(steps)
    for _ in range(20):
        steps.zero_grad()
        F.cross_entropy(model(data[0][0]), data[0][1]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        steps.step()
    for (p, chosen), old in zip(mask.masks.items(), before.parameters(), strict=True):
        assert torch.equal(p[~chosen], old[~chosen])
        assert (p[chosen] != old[chosen]).all()
        assert (p.grad[~chosen] == 0).all()
    holding.remove()
    F.cross_entropy(model(data[0][0]), data[0][1]).backward()
    steps.step()
    assert not torch.equal(model[0].weight, before[0].weight)


def test_a_task_is_its_entries():
    model, data = network(), task()
    pretrained = copy.deepcopy(model)
    mask = fish_mask(model, data, 0.1)
    train(model, *data[0], mask)
    state = mask.state_dict()
    assert sum(entries["values"].numel() for entries in state.values()) == mask.count
    other = fish_mask(pretrained, task(5), 0.2)
    other.load_state_dict(state)
    for p, q in zip(model.parameters(), pretrained.parameters(), strict=True):
        assert torch.equal(p, q)
    assert other.count == mask.count
    with pytest.raises(ValueError, match="another model"):
        other.load_state_dict({"odd": state["0.weight"]})


def test_whole_parameters_are_trained_and_count():
    model = network()
    mask = fish_mask(model, task(), 0.3, whole=["3.*"])
    assert mask.masks[model[3].weight].all() and mask.masks[model[3].bias].all()
    assert mask.count == round(0.3 * sum(p.numel() for p in model.parameters()))
    assert repr(mask) == "FishMask(30 of 99 entries, 30.30%)"


def test_what_is_pruned_is_not_chosen():
    model = network()
    masks = gs.nn.prune(model, keep=0.5, on={"0": gs.Elements()})
    mask = fish_mask(model, task(), 0.5, whole=["0.weight"], within=masks)
    assert torch.equal(mask.masks[model[0].weight], masks.masks[model[0].weight])
    assert mask.count == round(0.5 * 99)
    with pytest.raises(ValueError, match="only 75 live"):
        fish_mask(model, task(), 0.8, within=masks)


def test_frozen_parameters_are_left_out_and_the_model_is_left_alone():
    model = network()
    model[0].weight.requires_grad_(False)
    state = copy.deepcopy(model.state_dict())
    mask = fish_mask(model, task(), 0.2)
    assert model[0].weight not in mask.masks and model.training
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"keep": 0.0}, "keep"),
        ({"keep": 1e-6}, "ask for"),
        ({"keep": 0.1, "whole": ["3.*"]}, "ask for"),
        ({"whole": ["head"]}, "head"),
        ({"samples": 0}, "samples"),
    ],
)
def test_what_cannot_be_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        gs.nn.fish_mask(network(), task(), **wrong)
    with pytest.raises(TypeError, match="patterns"):
        gs.nn.fish_mask(network(), task(), whole="3.*")


def tuned(pretrained, X, y, choose):
    model = copy.deepcopy(pretrained)
    return train(model, X, y, None if choose is None else choose(model), learning_rate=1e-2)


def test_half_a_percent_comes_near_full_training_where_the_task_is_related():
    """Pretrained on digits, tuned to digits of less contrast on grey."""
    for seed in (0, 1):
        X, y, X_test, y_test = digits(seed)
        pretrained = train(lenet(seed), X, y, epochs=30)
        X, X_test = 0.4 * X + 0.3, 0.4 * X_test + 0.3
        full, few, random = (
            judged(tuned(pretrained, X, y, choose), X_test, y_test)[0]
            for choose in (
                None,
                lambda model, X=X, y=y: fish_mask(model, batches(X, y), 0.005),
                lambda model, seed=seed: random_mask(model, 0.005, seed),
            )
        )
        assert judged(pretrained, X_test, y_test)[0] < 50
        assert few > full - 2 and few > random + 1


def test_it_beats_a_random_mask_where_classes_are_new():
    """Pretrained on digits to 6, tuned to all."""
    for seed in (0, 1):
        X, y, X_test, y_test = digits(seed)
        pretrained = train(lenet(seed), X[y < 7], y[y < 7], epochs=30)
        for keep, ahead in ((0.005, 15), (0.02, 1)):
            few, random = (
                judged(tuned(pretrained, X, y, choose), X_test, y_test)[0]
                for choose in (
                    lambda model, X=X, y=y, keep=keep: fish_mask(model, batches(X, y), keep),
                    lambda model, seed=seed, keep=keep: random_mask(model, keep, seed),
                )
            )
            assert few > random + ahead
