"""Forgetting: the loss by hand, and digits that are forgotten one after the other."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from math import log
from statistics import fmean

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import gossamer as gs
from gossamer.nn.fairness import group_accuracies
from gossamer.nn.language import (
    ForgettingLoss,
    GroupSparseLoRA,
    class_prototypes,
    fine_tune,
    forget,
)

Labelled = tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def digits() -> tuple[Labelled, Labelled]:
    """1200 images and labels to train on, the others to test."""
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(pixels / 16 - 0.3, dtype=torch.float32).reshape(-1, 1, 8, 8)[order]
    targets = torch.tensor(labels)[order]
    return (images[:1200], targets[:1200]), (images[1200:], targets[1200:])


@pytest.fixture(scope="module")
def dense(digits) -> nn.Module:
    torch.manual_seed(0)
    model = gs.nn.VisionTransformer(8, 4, width=32, depth=4, hidden=64)
    fine_tune(model, batches(digits[0], range(10)), steps=250, lr=3e-3,
              loss=lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]))  # fmt: skip
    return model


def batches(data: Labelled, classes: Iterable[int], size: int = 64) -> DataLoader:
    chosen = torch.isin(data[1], torch.tensor(list(classes)))
    part = TensorDataset(data[0][chosen], data[1][chosen])
    return DataLoader(part, size, shuffle=True, generator=torch.Generator().manual_seed(0))


def accuracies(model: nn.Module, data: Labelled) -> Tensor:
    return group_accuracies(model, [data], 10)[0]


@pytest.mark.parametrize(("digits_in_turn", "prototypes"), [((3, 8), False), ((8,), True)])
def test_digits_are_forgotten_in_turn_and_the_others_kept(
    digits, dense, digits_in_turn, prototypes
):
    """Near chance, one in ten, where it was above nine in ten; the others within two points."""
    train, test = digits
    model, gone = copy.deepcopy(dense), []
    before = accuracies(model, test)
    assert before.min() > 0.9
    for digit in digits_in_turn:
        gone.append(digit)
        weights = copy.deepcopy(model.state_dict())
        kept = [c for c in range(10) if c not in gone]
        data = batches(train, [digit], 32), batches(train, kept)
        loss = ForgettingLoss(
            prototypes=class_prototypes(model, [*data[0], *data[1]]) if prototypes else None
        )
        adapter = GroupSparseLoRA(model, rank=4, penalty=gs.L1(0.2))
        forget(model, *data, adapter, loss=loss, steps=80)
        alive = adapter.alive()
        assert 1 <= len(alive) <= 2
        adapter.merge()
        for name, value in model.state_dict().items():
            touched = any(name.startswith(f"{group}.linear") for group in alive)
            assert torch.equal(value, weights[name]) != (touched and name.endswith("weight"))
    after = accuracies(model, test)
    print(f"forgotten {after[gone]}, kept {before[kept].mean():.3f} to {after[kept].mean():.3f}")
    assert after[gone].max() < 0.2
    assert (before - after)[kept].mean() < 0.02


@pytest.mark.parametrize("each", [True, False])
def test_the_loss_is_its_formula(each):
    torch.manual_seed(0)
    outputs, targets = torch.randn(6, 4), torch.tensor([0, 1, 1, 2, 3, 2])
    batch = (outputs[:3], targets[:3]), (outputs[3:], targets[3:])
    prototypes = {c: torch.randn(4) for c in range(4)}
    loss = ForgettingLoss(
        2.5, 0.7, prototypes=prototypes, push=0.3, pull=0.6, push_bound=1.0, each=each
    )

    def entropy(i: int) -> float:
        return -log(outputs[i].double().softmax(0)[targets[i]])

    def divergence(i: int) -> float:
        p = prototypes[int(targets[i])].double().softmax(0)
        return float((p * (p / outputs[i].double().softmax(0)).log()).sum())

    def short_of(bound: float, values: list[float]) -> float:
        means = values if each else [fmean(values)]
        return fmean(max(0.0, bound - value) for value in means)

    lost, kept = range(3), range(3, 6)
    expected = (
        0.7 * short_of(2.5, [entropy(i) for i in lost])
        + fmean(entropy(i) for i in kept)
        + 0.3 * short_of(1.0, [divergence(i) for i in lost])
        + 0.6 * fmean(divergence(i) for i in kept)
    )
    assert float(loss(nn.Identity(), batch)) == pytest.approx(expected, rel=1e-5)


def test_beyond_the_bound_what_is_forgotten_counts_no_more():
    wrong, right = torch.tensor([[0.0, 50.0]]), torch.tensor([[50.0, 0.0]])
    label = torch.tensor([0])
    batch = (wrong.requires_grad_(), label), (right, label)
    value = ForgettingLoss()(nn.Identity(), batch)
    value.backward()
    assert float(value.detach()) == 0.0 and not wrong.grad.any()
    # twice the loss of guessing, by default
    guess = (torch.zeros(1, 2), label), (right, label)
    assert float(ForgettingLoss()(nn.Identity(), guess)) == pytest.approx(log(2))


def test_texts_are_forgotten_by_a_decoder(plain_decoder):
    """Of one token a sequence follows, of another one its reverse: the latter is lost."""
    up, down = torch.arange(2, 12).repeat(2, 1), torch.arange(40, 30, -1).repeat(2, 1)
    learnt = fine_tune(plain_decoder, [torch.cat([up, down])], steps=80, lr=1e-2)
    assert learnt.losses[-1] < 0.1
    adapter = GroupSparseLoRA(plain_decoder, "*", rank=2, penalty=gs.L1(0.1))
    pairs = [(down[:, :-1], down[:, 1:])], [(up[:, :-1], up[:, 1:])]
    forget(plain_decoder, *pairs, adapter, steps=80, lr=2e-2)
    adapter.merge()
    with torch.no_grad():
        lost, kept = ((plain_decoder(t[:, :-1]).argmax(-1) == t[:, 1:]).float().mean()
                      for t in (down, up))  # fmt: skip
    assert lost < 0.2 and kept == 1.0


def test_several_inputs_and_outputs_with_logits_are_understood():
    class Scaled(nn.Module):
        def forward(self, outputs: Tensor, scale: Tensor) -> object:
            return type("Output", (), {"logits": outputs * scale})()

    inputs, label = (torch.tensor([[1.0, 0.0]]), torch.tensor(2.0)), torch.tensor([0])
    assert class_prototypes(Scaled(), [(inputs, label)])[0].tolist() == [2.0, 0.0]
    loss = ForgettingLoss(5.0)(Scaled(), ((inputs, label), (inputs, label)))
    assert float(loss) == pytest.approx(5.0)


def test_wrong_arguments_are_refused(digits, dense):
    for name in ("bound", "weight", "push", "pull", "push_bound"):
        with pytest.raises(ValueError, match=f"{name} must be >= 0, got -1"):
            ForgettingLoss(**{name: -1.0})
    with pytest.raises(ValueError, match="data is empty"):
        class_prototypes(dense, [])
    loss = ForgettingLoss(prototypes={0: torch.zeros(2)})
    batch = torch.zeros(1, 2), torch.tensor([1])
    with pytest.raises(ValueError, match=r"prototypes has none of \[1\]"):
        loss(nn.Identity(), (batch, batch))
    with pytest.raises(ValueError, match="batches has no more"):
        forget(dense, [], [digits[0]], steps=1)
