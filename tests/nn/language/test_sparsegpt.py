"""SparseGPT against least squares, and against the code of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gossamer as gs
from gossamer.nn.language import InputStatistics, Layer, compress
from gossamer.nn.language.methods import SparseGPT, Wanda
from gossamer.nn.language.methods.sparsegpt import swept
from gossamer.structures import FanIn

# of one_shot_reference.py
REFERENCE = json.loads(Path(__file__).with_name("one_shot_reference.json").read_text())
WEIGHT, INPUTS = torch.tensor(REFERENCE["weight"]), torch.tensor(REFERENCE["inputs"])
BLOCK = 32


def layer_of(structure: Any, keep: float = 0.5, inputs: Tensor = INPUTS) -> Layer:
    seen = InputStatistics(inputs.shape[1])
    seen.add(inputs)
    return Layer("fc", WEIGHT, seen, structure, keep)


def damped(layer: Layer, damping: float) -> Tensor:
    size = layer.hessian.diagonal().double().mean()
    return layer.hessian.double() + damping * size * torch.eye(len(layer.hessian))


def least_squares(weight: Tensor, mask: Tensor, hessian: Tensor) -> Tensor:
    """Column by column: what goes is set to zero, and what is to the right solved for anew."""
    result = weight.double().clone()
    for row, alive in zip(result, mask, strict=True):
        dense = row.clone()
        for j in range(len(row)):
            if alive[j]:
                continue
            row[j] = 0.0
            done, left = slice(0, j + 1), slice(j + 1, len(row))
            lost = hessian[left, done] @ (dense - row)[done]
            row[left] = dense[left] + torch.linalg.solve(hessian[left, left], lost)
    return result


@pytest.mark.parametrize("block_size", [1, 7, 64, 100])
def test_each_column_is_made_up_for_by_those_after_it(block_size: int) -> None:
    layer = layer_of(gs.Elements())
    mask = torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    root = layer.statistics.inverse_root(0.01)
    found, kept = swept(
        layer.weight, root, lambda at, columns: mask[:, at : at + len(columns)].T, block_size
    )
    assert torch.equal(kept, mask)
    expected = least_squares(layer.weight, mask, damped(layer, 0.01))
    torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=2e-4)


def test_one_weight_goes_as_in_the_optimal_brain_surgeon() -> None:
    layer = layer_of(gs.Elements())
    mask = torch.ones_like(layer.weight, dtype=torch.bool)
    mask[:, 0] = False
    root = layer.statistics.inverse_root(1e-3)
    found, _ = swept(layer.weight, root, lambda at, columns: mask[:, at : at + len(columns)].T, 16)
    inverse = torch.linalg.inv(damped(layer, 1e-3))
    expected = layer.weight - torch.outer(layer.weight[:, 0].double() / inverse[0, 0], inverse[0])
    torch.testing.assert_close(found.double(), expected, rtol=2e-3, atol=2e-4)
    weight, hessian = layer.weight.double(), damped(layer, 1e-3)
    lost = ((found - weight) @ hessian * (found - weight)).sum(1)
    torch.testing.assert_close(lost, weight[:, 0].square() / inverse[0, 0], rtol=1e-3, atol=0)


@pytest.mark.parametrize("whose", ["sparsegpt", "llmcompressor sparsegpt"])
@pytest.mark.parametrize("pattern", ["50%", "2:4", "4:8"])
def test_others_have_the_same_weights(whose: str, pattern: str) -> None:
    expected = torch.tensor(REFERENCE[f"{whose} {pattern}"])
    n, _, m = pattern.partition(":")
    layer = layer_of(gs.NofM(int(n), int(m)) if m else gs.Elements())
    solved = SparseGPT(block_size=BLOCK).solve(layer)
    assert torch.equal(solved.mask, expected != 0)
    torch.testing.assert_close(solved.weight, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pattern", ["50%", "2:4", "4:8"])
def test_others_have_the_same_wanda(pattern: str) -> None:
    stored = REFERENCE[f"llmcompressor wanda {pattern}"]
    n, _, m = pattern.partition(":")
    solved = Wanda().solve(layer_of(gs.NofM(int(n), int(m)) if m else FanIn()))
    torch.testing.assert_close(solved.weight * solved.mask, torch.tensor(stored))


STRUCTURES = {
    "elements": gs.Elements(),
    "rows of as many": FanIn(),
    "five in a row": FanIn(5),
    "2:4": gs.NofM(2, 4),
    "2:4 down": gs.NofM(2, 4, axis=0),
    "4x1": gs.Blocks((4, 1)),
    "4x8": gs.Blocks((4, 8)),
    "columns": gs.Channels(1),
    "whole rows": gs.Rows(),
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("start", [None, "wanda"])
def test_structures(name: str, start: str | None) -> None:
    """As many units as asked for, each as a whole, and a smaller error than without updates."""
    layer = layer_of(STRUCTURES[name], keep=0.37)
    solved = SparseGPT(start=start, block_size=24).solve(layer)
    (parameter,) = layer.part.parameters
    flags = layer.part.flags({parameter: solved.mask})
    assert torch.equal(layer.part.masks(flags)[parameter], solved.mask)
    assert int(flags.sum()) == layer.count
    if layer.part.quota is not None:
        assert len(layer.part.quota.rows(solved.mask).sum(1).unique()) == 1
    assert not solved.weight[~solved.mask].any()
    plain = Wanda().solve(layer)
    if start == "wanda":
        assert torch.equal(solved.mask, plain.mask)
    if name != "whole rows":
        assert layer.error(solved.weight) < layer.error(plain.weight)


def test_inputs_that_are_always_zero() -> None:
    inputs = INPUTS.clone()
    inputs[:, ::2] = 0
    solved = SparseGPT().solve(layer_of(gs.NofM(2, 4), inputs=inputs))
    assert bool(solved.weight.isfinite().all())
    assert bool((solved.mask | (WEIGHT == 0))[:, 1::2].all())
    solved = SparseGPT().solve(layer_of(gs.Elements(), inputs=torch.zeros_like(inputs)))
    assert bool(solved.weight.isfinite().all())
    assert int(solved.mask.sum()) == WEIGHT.numel() // 2


def test_the_factor_is_shared_until_more_tokens_come() -> None:
    layer = layer_of(gs.Elements())
    root = layer.statistics.inverse_root(0.01)
    assert layer.statistics.inverse_root(0.01) is root
    assert layer.statistics.inverse_root(0.02) is not root
    product = root.double().T @ root.double() @ damped(layer, 0.01)
    torch.testing.assert_close(product, torch.eye(len(root)).double(), rtol=0, atol=1e-3)
    assert not root.tril(-1).any()
    layer.statistics.add(torch.ones(500, len(root)))
    assert not torch.allclose(layer.statistics.inverse_root(0.01), root)


def test_a_model(tiny_llama: nn.Module, tokens: Tensor, make_llama: Any) -> None:
    compression = compress(tiny_llama, tokens, "sparsegpt", keep=0.5)
    plain = compress(make_llama(), tokens, "wanda", keep=0.5)
    assert compression.sparsity == 0.5
    pairs = list(zip(compression, plain, strict=True))
    assert sum(row.error < other.error for row, other in pairs) > 0.9 * len(pairs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"damping": 0.0}, "damping must be > 0"),
        ({"block_size": 0}, "block_size must be an integer"),
        ({"start": "wandaa"}, "Did you mean 'wanda'"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparseGPT(**settings)
