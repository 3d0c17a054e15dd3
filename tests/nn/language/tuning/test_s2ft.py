"""S2FT: the model's function is kept, and the update is that of the sub-matrices alone."""

import copy

import pytest
import torch
from torch import nn

import gossamer as gs
from gossamer.nn.language.tuning.coupled import attentions, mlps
from gossamer.nn.language.tuning.training import next_token_loss
from gossamer.nn.memory import backward_bytes

S2FT = gs.nn.language.S2FT


def _gradients_of_readers(model, tokens):
    """Of full fine-tuning, by name."""
    full = copy.deepcopy(model)
    next_token_loss(full, tokens).backward()
    return {name: p.grad for name, p in full.named_parameters()}


@pytest.mark.parametrize("seed", range(4))
def test_permutation_leaves_the_function(tiny, tokens, seed):
    before = tiny(tokens).logits.detach()
    weights = {name: p.clone() for name, p in tiny.named_parameters()}
    S2FT(tiny, heads=0.4, channels=0.3, seed=seed)
    after = tiny(tokens).logits.detach()
    moved = tiny.model.layers[0].mlp.gate_proj.weight
    assert not torch.equal(moved, weights["model.layers.0.mlp.gate_proj.weight"])
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)


def test_gradient_is_that_of_full_training_at_the_selected_columns(tiny, tokens):
    full = _gradients_of_readers(tiny, tokens)
    adapter = S2FT(tiny, heads=0.4, channels=0.3)
    next_token_loss(tiny, tokens).backward()
    assert len(adapter.selected) > 3
    for name, chosen in adapter.selected.items():
        expected = full[f"{name}.weight"][:, chosen]
        torch.testing.assert_close(adapter.layers[name].delta.grad, expected, atol=1e-6, rtol=1e-4)


def test_training_equals_full_training_restricted_to_the_columns(tiny, tokens):
    """Adam on all weights, with the gradients of all others set to zero."""
    full = copy.deepcopy(tiny)
    adapter = S2FT(tiny, heads=0.4, channels=0.3)
    columns = {f"{name}.weight": chosen for name, chosen in adapter.selected.items()}
    ours = torch.optim.Adam(adapter.parameters(), lr=1e-2)
    theirs = torch.optim.Adam(full.parameters(), lr=1e-2)
    for _ in range(5):
        for model, optimiser in ((tiny, ours), (full, theirs)):
            optimiser.zero_grad()
            next_token_loss(model, tokens).backward()
            if model is full:
                for name, p in full.named_parameters():
                    kept = torch.zeros_like(p)
                    if name in columns:
                        kept[:, columns[name]] = 1
                    p.grad *= kept
            optimiser.step()
    adapter.merge()
    for (name, p), q in zip(tiny.named_parameters(), full.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=2e-5, rtol=1e-3, msg=name)


def test_merge_changes_only_the_selected_columns_and_puts_the_order_back(tiny, tokens):
    before = copy.deepcopy(tiny.state_dict())
    adapter = S2FT(tiny, heads=0.3, channels=0.2)
    gs.nn.language.fine_tune(tiny, [tokens], adapter, steps=3, lr=1e-2)
    tuned = tiny(tokens).logits.detach()
    selected = adapter.selected
    assert adapter.merge() is tiny
    torch.testing.assert_close(tiny(tokens).logits, tuned, atol=1e-5, rtol=0)
    for name, value in tiny.state_dict().items():
        layer = name.removesuffix(".weight")
        same = value == before[name]
        if layer in selected:
            same[:, selected[layer]] = True
            assert (value != before[name])[:, selected[layer]].any()
        assert same.all(), name


def test_zeros_of_a_pruned_model_stay(tiny, tokens):
    masks = gs.nn.prune(tiny, keep=0.5, on={"*_proj": gs.Elements()})
    adapter = S2FT(tiny, heads=0.5, channels=0.5)
    gs.nn.language.fine_tune(tiny, [tokens], adapter, steps=3, lr=1e-2)
    tuned = tiny(tokens).logits.detach()
    adapter.merge()
    torch.testing.assert_close(tiny(tokens).logits, tuned, atol=1e-5, rtol=0)
    assert all(torch.equal(weight != 0, mask) for weight, mask in masks.masks.items())


def test_remove_restores_the_model(tiny, tokens):
    before = copy.deepcopy(tiny.state_dict())
    adapter = S2FT(tiny)
    gs.nn.language.fine_tune(tiny, [tokens], adapter, steps=2)
    adapter.remove()
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
    assert all(p.requires_grad for p in tiny.parameters())


def test_counts_are_shares_of_all_blocks(tiny):
    adapter = S2FT(tiny, heads=0.25, channels=0.125)  # 6 of 24 heads of 4, 18 of 144 channels
    sizes = {name: len(chosen) for name, chosen in adapter.selected.items()}
    assert sum(n for name, n in sizes.items() if "o_proj" in name) == 24
    assert sum(n for name, n in sizes.items() if "down_proj" in name) == 18
    assert adapter.trained == 32 * (24 + 18)


def test_backward_keeps_the_selected_inputs_only(tiny, tokens):
    """Of all adapted layers, no more than k inputs a token stay for the backward pass."""
    adapter = S2FT(tiny, heads=0, channels=0.05)
    layer = next(iter(adapter.layers.values()))
    seen = []
    pack = lambda t: seen.append(t) or t  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        layer(torch.randn(100, 48, requires_grad=True))
    activations = [t for t in seen if t.shape[0] == 100]
    assert [t.untyped_storage().nbytes() // 400 for t in activations] == [layer.delta.shape[1]]


def test_state_is_the_change_and_goes_to_another_copy(tiny, tokens):
    other = copy.deepcopy(tiny)
    adapter = S2FT(tiny)
    gs.nn.language.fine_tune(tiny, [tokens], adapter, steps=2, lr=1e-2)
    again = S2FT(other)
    again.load_state_dict(adapter.state_dict())
    torch.testing.assert_close(other(tokens).logits, tiny(tokens).logits)
    again.remove()
    with pytest.raises(ValueError, match="other heads or channels"):
        S2FT(other, seed=1).load_state_dict(adapter.state_dict())


def test_other_architectures(tokens):
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=64)
    model = transformers.GPT2LMHeadModel(config).eval()
    before = model(tokens).logits.detach()
    with pytest.raises(ValueError, match="no separate layers"):
        S2FT(model)
    adapter = S2FT(model, heads=0, channels=0.1)
    torch.testing.assert_close(model(tokens).logits, before, atol=1e-5, rtol=0)
    gs.nn.language.fine_tune(model, [tokens], adapter, steps=2, lr=1e-2)
    tuned = model(tokens).logits.detach()
    torch.testing.assert_close(adapter.merge()(tokens).logits, tuned, atol=1e-5, rtol=0)


def test_errors(tiny):
    with pytest.raises(ValueError, match="heads must be a share"):
        S2FT(tiny, heads=2)
    with pytest.raises(ValueError, match="select nothing"):
        S2FT(tiny, heads=0, channels=0.001)
    with pytest.raises(ValueError, match="blocks"):
        S2FT(nn.Sequential(nn.Linear(2, 2)))
    del tiny.config
    with pytest.raises(ValueError, match="how many heads"):
        attentions(tiny)
    assert len(mlps(tiny)) == 3


def test_function_is_kept_in_all_architectures(any_model):
    tokens = torch.randint(64, (2, 9), generator=torch.Generator().manual_seed(0))
    found = gs.nn.language.architecture_of(any_model)
    if not found.widening:
        with pytest.raises(ValueError, match="has no MLP that is known"):
            S2FT(any_model, heads=0)
        return
    outputs = any_model(tokens).logits.detach()
    heads = 0.25 if len(found.queries_keys_values) == 3 else 0
    adapter = S2FT(any_model, heads=heads, channels=0.1)
    assert len(adapter.layers) >= (2 if heads else 1)
    torch.testing.assert_close(any_model(tokens).logits, outputs, atol=1e-5, rtol=0)


def test_less_waits_for_the_backward_pass_than_with_low_rank(tiny, tokens):
    def bytes_with(make):
        adapter = make(copy.deepcopy(tiny))
        loss = lambda: next_token_loss(adapter.model, tokens)  # noqa: E731
        return adapter.trained, backward_bytes(adapter.model, loss)

    entries, ours = bytes_with(lambda model: S2FT(model, heads=0.25, channels=0.25))
    more, low_rank = bytes_with(lambda model: gs.nn.language.SparseLoRA(model, 1, channels=1.0))
    _, full = bytes_with(lambda model: S2FT(model, heads=1.0, channels=1.0))
    assert entries > more and ours < 0.75 * low_rank
    assert ours < full
