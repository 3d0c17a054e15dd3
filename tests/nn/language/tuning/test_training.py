"""The training loop of tuning."""

from __future__ import annotations

import copy
import re
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gossamer as gs
from gossamer.nn.language import fine_tune
from gossamer.nn.language.tuning.training import next_token_loss


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 8), nn.Dropout(0.2), nn.Linear(8, 5))


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.arange(5).repeat(2, 3)


def test_loss_is_the_cross_entropy_of_the_next_token(model, tokens):
    model.eval()
    chances = model(tokens).log_softmax(-1)
    expected = -sum(
        chances[row, place, tokens[row, place + 1]] for row in range(2) for place in range(14)
    )
    assert torch.allclose(next_token_loss(model, tokens), expected / 28)


def test_the_same_seed_trains_the_same_and_leaves_the_random_state(model, tokens):
    twin = copy.deepcopy(model)
    state = torch.get_rng_state()
    first = fine_tune(model, [tokens], steps=5, lr=0.01, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert fine_tune(twin, [tokens], steps=5, lr=0.01, seed=3).losses == first.losses
    assert first.complete and first.trained == sum(p.numel() for p in model.parameters())


def test_accumulated_batches_make_the_step_of_one_large_batch(tokens):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 5))
    twin = copy.deepcopy(model)
    halves = [tokens[:, :7], tokens[:, 7:14]]
    fine_tune(model, [torch.cat(halves)], steps=3, lr=0.1)
    fine_tune(twin, halves, steps=3, lr=0.1, accumulate=2)
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_the_rate_rises_and_falls_to_zero(model, tokens, monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def watched(optimiser, *args):
        rates.append(optimiser.param_groups[0]["lr"])
        return step(optimiser, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    fine_tune(model, [tokens], steps=20, lr=0.3, warm_up=0.2)
    assert rates[:5] == pytest.approx([0.06, 0.12, 0.18, 0.24, 0.3])
    assert all(a > b for a, b in pairwise(rates[4:])) and 0 < rates[-1] < 0.01
    rates.clear()
    fine_tune(model, [tokens], steps=20, lr=0.3, floor=0.5)
    assert max(rates) == pytest.approx(0.3) and min(rates[2:]) == rates[-1] == pytest.approx(
        0.151, abs=1e-3
    )


def test_masks_are_held_and_set_free(model, tokens):
    masks = gs.nn.prune(model, keep=0.5, on={"1": gs.Elements(), "3": gs.Elements()})
    fine_tune(model, [tokens], steps=5, lr=0.1, hold=masks)
    for parameter, mask in masks.masks.items():
        assert torch.equal(parameter != 0, mask)
    fine_tune(model, [tokens], steps=1, lr=0.1)
    assert any((p != 0).sum() > mask.sum() for p, mask in masks.masks.items())


def test_a_fisher_mask_tunes_a_language_model_in_few_entries_and_no_zeros():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=16, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32,
    )  # fmt: skip
    llama = transformers.LlamaForCausalLM(config).eval()
    masks = gs.nn.prune(llama, keep=0.5, on={"model.layers.*": gs.Elements()})
    tokens = torch.arange(16).repeat(4, 1).roll(3, 1)
    before = {name: p.detach().clone() for name, p in llama.named_parameters()}
    settings = {"within": masks, "loss": gs.nn.language.token_loss, "samples": 4}
    few = gs.nn.fish_mask(llama, [(tokens, tokens)], 0.05, **settings)
    tuned = fine_tune(llama, [tokens], steps=40, lr=0.02, hold=few)
    assert tuned.losses[-1] < tuned.losses[0] / 2
    changed = {name: p != before[name] for name, p in llama.named_parameters()}
    assert all(torch.equal(changed[few.names[p]], chosen) for p, chosen in few.masks.items())
    assert all((p[~mask] == 0).all() for p, mask in masks.masks.items())


def test_an_interruption_keeps_what_is_learnt(model, tokens):
    def stop(log):
        if len(log.losses) == 3:
            raise KeyboardInterrupt

    model.eval()
    before = model[3].weight.clone()
    tuned = fine_tune(model, [tokens], steps=10, lr=0.1, progress=stop)
    assert len(tuned.losses) == 3 and not tuned.complete
    assert not model.training and not torch.equal(model[3].weight, before)
    assert repr(tuned).startswith("Tuned(3 steps, loss ")


def test_an_adapter_is_told_the_progress(model, tokens):
    adapter, told = gs.nn.language.SPP(model), []
    adapter.at = told.append
    fine_tune(model, [tokens], adapter, steps=4)
    assert told == [0, 0.25, 0.5, 0.75]


def test_another_loss_takes_any_batch(model, tokens):
    def classify(model, batch):
        inputs, targets = batch
        return F.cross_entropy(model(inputs)[:, -1], targets)

    tuned = fine_tune(model, [(tokens, tokens[:, 0])], steps=30, lr=0.05, loss=classify)
    assert tuned.losses[-1] < 0.1 < tuned.losses[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be an integer >= 1, got 0"),
        ({"steps": 1, "accumulate": True}, "accumulate must be an integer >= 1"),
        ({"steps": 1, "lr": 0.0}, "lr must be > 0"),
        ({"steps": 1, "clip": float("nan")}, "clip must be > 0"),
        ({"steps": 1, "floor": 1.5}, re.escape("floor must be a share in [0, 1], got 1.5")),
        ({"steps": 1, "warm_up": 1.0}, re.escape("warm_up must be a share in [0, 1), got 1.0")),
    ],
)
def test_settings_out_of_range_are_refused(model, tokens, settings, message):
    with pytest.raises(ValueError, match=message):
        fine_tune(model, [tokens], **settings)


def test_batches_that_end_are_refused(model, tokens):
    with pytest.raises(ValueError, match="batches has no more"):
        fine_tune(model, iter([tokens]), steps=2)


def test_a_loss_that_is_not_finite_is_refused(model, tokens):
    nn.init.constant_(model[3].bias, float("nan"))
    with pytest.raises(ValueError, match="loss is nan at step 0"):
        fine_tune(model, [tokens], steps=2)


def test_a_model_that_does_not_train_is_refused(model, tokens):
    adapter = gs.nn.language.SPP(copy.deepcopy(model))
    with pytest.raises(ValueError, match="on another model"):
        fine_tune(model, [tokens], adapter, steps=1)
    with pytest.raises(ValueError, match="Nothing trains"):
        fine_tune(model.requires_grad_(False), [tokens], steps=1)
