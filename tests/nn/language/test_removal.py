"""Heads and neurons taken out of a model, against masking and exact least squares."""

from __future__ import annotations

import copy
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gossamer as gs
from gossamer.nn.language.column_groups import refitted, surviving_groups
from gossamer.nn.language.quadratic import Quadratic
from gossamer.nn.language.removal import remove

from .test_reconstruction import make_layer, objective


def logits(model: nn.Module, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(tokens).logits
    return found


@pytest.mark.parametrize(("size", "count"), [(1, 9), (3, 2)])
def test_one_group_less_is_the_best_of_all(size: int, count: int) -> None:
    layer = make_layer(outputs=6, inputs=size * (count + 1))
    problem = Quadratic.of(layer, 0.01)
    alive = surviving_groups(problem, size, count)
    assert int(alive.sum()) == count
    losses = []
    for gone in range(count + 1):
        kept = torch.arange(count + 1) != gone
        losses.append(loss_without(layer, problem, kept, size))
    assert int((~alive).nonzero()) == int(np.argmin(losses))


def loss_without(layer: Any, problem: Quadratic, kept: Tensor, size: int) -> float:
    columns = kept.repeat_interleave(size).nonzero()[:, 0]
    weight = torch.zeros_like(layer.weight)
    weight[:, columns] = refitted(problem, columns)
    return objective(layer, weight)


def test_several_groups_less_are_near_the_best_of_all() -> None:
    layer = make_layer(outputs=6, inputs=20)
    problem = Quadratic.of(layer, 0.01)
    found = loss_without(layer, problem, surviving_groups(problem, 2, 6), 2)
    every = []
    for kept in combinations(range(10), 6):
        flags = torch.zeros(10, dtype=torch.bool)
        flags[list(kept)] = True
        every.append(loss_without(layer, problem, flags, 2))
    assert min(every) - 1e-6 <= found <= 1.05 * min(every)


def test_the_refit_solves_the_normal_equations() -> None:
    layer = make_layer(outputs=5, inputs=12)
    problem = Quadratic.of(layer, 0.01)
    columns = torch.tensor([0, 2, 5, 6, 11])
    hessian = layer.hessian.double()
    hessian = hessian + 0.01 * hessian.diagonal().mean() * torch.eye(12)
    right = (layer.weight.double() @ hessian)[:, columns]
    expected = torch.linalg.solve(hessian[columns][:, columns], right.T).T
    torch.testing.assert_close(refitted(problem, columns).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("heads", "neurons"), [(0.5, 0.75), (1.0, 0.5), (0.5, 1.0)])
def test_the_smaller_model_computes_what_the_masked_one_does(
    make_llama: Any, tokens: Tensor, heads: float, neurons: float, bias: bool
) -> None:
    model = make_llama(attention_bias=bias, mlp_bias=bias)
    small = copy.deepcopy(model)
    removal = remove(small, tokens, heads=heads, neurons=neurons)
    for big, block in zip(model.model.layers, small.model.layers, strict=True):
        fill(big.self_attn, block.self_attn, ("q_proj", "k_proj", "v_proj"), "o_proj")
        fill(big.mlp, block.mlp, ("gate_proj", "up_proj"), "down_proj")
    torch.testing.assert_close(logits(small, tokens), logits(model, tokens))
    after = sum(parameter.numel() for parameter in small.parameters())
    assert removal.parameters == (sum(p.numel() for p in model.parameters()), after)
    assert after < removal.parameters[0]
    assert small.config.num_key_value_heads == 2 * heads
    assert small.config.intermediate_size == 64 * neurons
    assert {layer.left / layer.units for layer in removal.layers} == {heads, neurons} - {1.0}


def fill(big: nn.Module, small: nn.Module, makers: tuple[str, ...], reader: str) -> None:
    """The reader's new weight put where the same rows of the makers are; zero elsewhere."""
    first, kept = big.get_submodule(makers[0]), small.get_submodule(makers[0])
    same = (first.weight[:, None] == kept.weight[None]).all(-1)
    at = same.nonzero()[:, 0]
    assert len(at) == len(kept.weight)
    new = torch.zeros_like(big.get_submodule(reader).weight)
    new[:, at] = small.get_submodule(reader).weight
    big.get_submodule(reader).weight.data = new.detach()


def test_it_loses_less_than_without_what_the_others_do_instead(
    make_llama: Any, tokens: Tensor
) -> None:
    model = make_llama()
    small = copy.deepcopy(model)
    removal = remove(small, tokens, neurons=0.5)
    crude = gs.nn.language.compress(
        copy.deepcopy(model), tokens, "wanda", keep={"*down_proj": 0.5}, on=gs.Channels(1)
    )
    for repaired, row in zip(removal.layers, crude, strict=True):
        assert repaired.name == row.name
        assert repaired.error < row.error


def test_the_smaller_model_is_loaded_and_writes_on(
    make_llama: Any, tokens: Tensor, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    model = make_llama()
    remove(model, tokens, heads=0.5, neurons=0.75)
    model.save_pretrained(tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(logits(again, tokens), logits(model, tokens))
    settings = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    torch.testing.assert_close(
        again.generate(tokens[:1], **settings), model.generate(tokens[:1], **settings)
    )


def test_all_may_stay(make_llama: Any, tokens: Tensor) -> None:
    model = make_llama()
    before = logits(model, tokens)
    removal = remove(model, tokens)
    assert removal.layers == ()
    assert removal.to_dict()["parameters"][0] == removal.parameters[1]
    torch.testing.assert_close(logits(model, tokens), before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 0.0}, r"heads must be a share in \(0, 1\], got 0.0"),
        ({"neurons": 1.5}, r"neurons must be a share in \(0, 1\], got 1.5"),
        ({"neurons": float("nan")}, "neurons must be a finite number"),
        ({"ridge": 0.0}, "ridge must be > 0"),
    ],
)
def test_what_is_refused(
    tiny_llama: nn.Module, tokens: Tensor, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        remove(tiny_llama, tokens, **settings)


def test_other_shapes_are_refused(tiny_gpt2: nn.Module, tokens: Tensor) -> None:
    with pytest.raises(ValueError, match="remove takes models of the shape of Llama"):
        remove(tiny_gpt2, tokens, neurons=0.5)
