"""Shares of blocks, against a plain run of the whole model."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn

import gossamer as gs
from gossamer.nn.language.layer_curves import least_error
from gossamer.nn.language.sharing_out import shared_out, shares


def plain_run(model: nn.Module, tokens: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The hidden states between blocks, and what each layer has read, of one dense forward pass."""
    states: list[Tensor] = []
    inputs: dict[str, Tensor] = {}
    stack = model.model.layers
    for name, module in stack.named_modules():
        if isinstance(module, nn.Linear):

            def read(module: Any, args: Any, name: str = name) -> None:
                inputs[name] = args[0].flatten(0, 1)

            module.register_forward_pre_hook(read)
    for block in stack:
        block.register_forward_pre_hook(lambda module, args: states.append(args[0]))
        block.register_forward_hook(lambda module, args, output: states.append(output))
    with torch.no_grad():
        model(tokens)
    return states, inputs


@pytest.fixture
def llama(make_llama: Any) -> nn.Module:
    """Three blocks of different sizes of weights, so that their measures differ."""
    model = make_llama(blocks=3)
    with torch.no_grad():
        for scale, block in zip((1.0, 6.0, 3.0), model.model.layers, strict=True):
            block.mlp.down_proj.weight *= scale
            block.self_attn.q_proj.weight[0] *= 10 * scale
    return model


def measured(model: nn.Module, tokens: Tensor, by: str) -> list[float]:
    states, inputs = plain_run(model, tokens)
    found = []
    for number, block in enumerate(model.model.layers):
        if by == "influence":
            before, after = states[2 * number], states[2 * number + 1]
            found.append(float(1 - nn.functional.cosine_similarity(before, after, dim=-1).mean()))
            continue
        scores = torch.cat(
            [
                (layer.weight.abs() * inputs[f"{number}.{name}"].square().mean(0).sqrt()).flatten()
                for name, layer in block.named_modules()
                if isinstance(layer, nn.Linear)
            ]
        )
        found.append(float((scores > 5 * scores.mean()).double().mean()))
    return found


@pytest.mark.parametrize("by", ["outliers", "influence"])
def test_shares_follow_the_measure_of_a_plain_run(
    llama: nn.Module, tokens: Tensor, by: str
) -> None:
    found = shares(llama, tokens, keep=0.4, by=by, spread=0.1, batch_size=4)
    expected = measured(llama, tokens, by)
    assert max(expected) > 1.1 * min(expected)
    low, high = min(expected), max(expected)
    z = torch.tensor([(d - low) / (high - low) for d in expected])
    by_block = (0.4 + 0.2 * (z - z.mean())).tolist()
    assert len(found) == 21
    for name, share in found.items():
        assert share == pytest.approx(by_block[int(name.split(".")[2])], abs=1e-5)


def test_compress_takes_them_and_on_the_whole_as_much_is_gone(
    llama: nn.Module, tokens: Tensor
) -> None:
    found = gs.nn.language.shares(llama, tokens, keep=0.5, spread=0.1)
    compression = gs.nn.language.compress(llama, tokens, "magnitude", keep=found)
    assert compression.sparsity == pytest.approx(0.5, abs=2e-3)
    for row in compression:
        assert row.alive / row.weights == pytest.approx(found[row.name], abs=2e-3)


def test_sensitivity_is_the_best_of_all_shares_in_whole_percents() -> None:
    """Three layers' hulls of any shape: the optimum of a linear programme."""
    rng = np.random.default_rng(0)
    slopes = [np.sort(rng.exponential(size=100) * scale)[::-1] for scale in (1.0, 3.0, 0.5)]
    sizes, keep, spread = [10, 40, 20], 0.4, 0.15
    found = least_error(slopes, sizes, keep, spread)
    assert np.dot(found, sizes) == pytest.approx(keep * sum(sizes))
    assert min(found) >= 0.1 - 1e-9
    assert max(found) <= 0.7 + 1e-9
    inside = np.arange(10, 70)  # each percent is taken whole, in part or not at all
    costs = np.repeat(sizes, len(inside)) / 100
    best = linprog(
        -np.concatenate([row[inside] for row in slopes]),
        A_eq=costs[None],
        b_eq=[(keep - 0.1) * sum(sizes)],
        bounds=(0, 1),
    )
    taken = [np.interp(100 * share, np.arange(101), np.r_[0, row.cumsum()])
             for share, row in zip(found, slopes, strict=True)]  # fmt: skip
    fixed = sum(row[:10].sum() for row in slopes)
    assert sum(taken) - fixed == pytest.approx(-best.fun, abs=1e-9)


def test_sensitivity_lowers_the_errors_of_layers_in_sum(llama: nn.Module, tokens: Tensor) -> None:
    errors = []
    found = shares(llama, tokens, keep=0.4, by="sensitivity", spread=0.15)
    for keep in (0.4, found):
        model = copy.deepcopy(llama)
        _, inputs = plain_run(copy.deepcopy(llama), tokens)
        compression = gs.nn.language.compress(model, tokens, "wanda", keep=keep)
        assert compression.sparsity == pytest.approx(0.6, abs=0.01)
        total = 0.0
        for name, x in inputs.items():
            before = llama.model.layers.get_submodule(name).weight.detach()
            change = before - model.model.layers.get_submodule(name).weight.detach()
            total += float((x @ change.T).square().sum() / (x @ before.T).square().sum())
        errors.append(total)
    assert errors[1] < 0.98 * errors[0]


def test_blocks_that_are_alike_keep_the_same() -> None:
    assert shared_out([2.0, 2.0], [5, 5], keep=0.3, spread=0.1) == [0.3, 0.3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "size"}, "by: one of outliers, influence, sensitivity, got 'size'"),
        ({"keep": 0.0}, r"keep: a number in \(0, 1\)"),
        ({"spread": 1.0}, r"spread: a number in \(0, 1\)"),
        ({"keep": 0.1, "spread": 0.4}, "give a smaller one"),
    ],
)
def test_what_is_refused(
    llama: nn.Module, tokens: Tensor, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        shares(llama, tokens, **settings)
