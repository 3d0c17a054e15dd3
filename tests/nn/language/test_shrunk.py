"""Shrunken correlations: exactly what the formula says, and better on inputs not seen."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import gossamer as gs
from gossamer.nn.language import InputStatistics, Layer, methods


def seen_of(inputs: torch.Tensor) -> InputStatistics:
    seen = InputStatistics(inputs.shape[1])
    seen.add(inputs)
    return seen


def test_it_is_the_method_on_a_shrunken_matrix() -> None:
    torch.manual_seed(0)
    inputs, weight = torch.randn(40, 16) @ torch.randn(16, 16), torch.randn(8, 16)
    layer = Layer("fc", weight, seen_of(inputs), gs.Elements(), 0.5)
    gram = inputs.T @ inputs
    other = seen_of(inputs)
    other.gram = 0.6 * gram + 0.4 * torch.diag(gram.diagonal())
    expected = methods.SparseGPT().solve(Layer("fc", weight, other, gs.Elements(), 0.5))
    found = methods.Shrunk("sparsegpt", 0.4).solve(layer)
    torch.testing.assert_close(found.weight, expected.weight)
    assert torch.equal(found.mask, expected.mask)
    shared = layer.statistics.shrunk(0.4)
    assert layer.statistics.shrunk(0.4) is shared
    assert torch.equal(shared.mean_squares, layer.statistics.mean_squares)
    none = methods.Shrunk("sparsegpt", 0.0).solve(layer)
    torch.testing.assert_close(none.weight, methods.SparseGPT().solve(layer).weight)
    layer.statistics.add(inputs)
    assert layer.statistics.shrunk(0.4) is not shared


@pytest.mark.parametrize("method", [methods.SparseGPT(), methods.SparseGPT(start="wanda")])
def test_few_tokens_and_other_text(method: methods.SparseGPT) -> None:
    torch.manual_seed(0)
    mixing = torch.randn(64, 64) / 20 + torch.eye(64)
    few, many = torch.randn(64, 64) @ mixing, torch.randn(4000, 64) @ mixing
    layer = Layer("fc", torch.randn(32, 64), seen_of(few), gs.Elements(), 0.5)
    judge = Layer("fc", layer.weight, seen_of(many), gs.Elements(), 0.5)
    plain, shrunk = method.solve(layer), methods.Shrunk(method).solve(layer)
    assert judge.error(shrunk.weight) < 0.95 * judge.error(plain.weight)


def test_structure_of_the_method() -> None:
    assert methods.Shrunk("wanda").on == methods.Wanda().on
    assert methods.Shrunk().on == gs.Elements()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"amount": 1.5}, "amount must be in"), ({"method": "wandaa"}, "Did you mean 'wanda'")],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        methods.Shrunk(**settings)
