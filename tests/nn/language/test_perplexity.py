"""Perplexity, against transformers' own loss."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gossamer.nn.language import perplexity


def test_is_that_of_transformers(tiny_llama: nn.Module, tokens: Tensor) -> None:
    with torch.no_grad():
        expected = math.exp(float(tiny_llama(tokens, labels=tokens).loss))
    for batch_size in (1, 4):
        assert perplexity(tiny_llama, tokens, batch_size) == pytest.approx(expected, rel=1e-5)


def test_of_a_plain_model(plain_decoder: nn.Module, tokens: Tensor) -> None:
    assert 1 < perplexity(plain_decoder, tokens) < math.inf


def test_refusals(plain_decoder: nn.Module) -> None:
    with pytest.raises(ValueError, match="two tokens or more"):
        perplexity(plain_decoder, torch.ones(3, 1, dtype=torch.long))
    with pytest.raises(TypeError, match="integer tensor"):
        perplexity(plain_decoder, torch.ones(3, 4))
