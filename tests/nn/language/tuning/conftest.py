"""A tiny random Llama."""

import pytest
import torch
from torch import nn


@pytest.fixture
def tiny() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=2,
        vocab_size=64,
        tie_word_embeddings=True,
    )
    return transformers.LlamaForCausalLM(config)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(64, (2, 12), generator=torch.Generator().manual_seed(1))
