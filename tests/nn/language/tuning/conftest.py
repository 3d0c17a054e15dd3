"""A tiny random Llama."""

import pytest
import torch
from tiny_language import make_llama
from torch import nn


@pytest.fixture
def tiny() -> nn.Module:
    return make_llama(3, intermediate_size=48, num_attention_heads=8).train()


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(64, (2, 12), generator=torch.Generator().manual_seed(1))
