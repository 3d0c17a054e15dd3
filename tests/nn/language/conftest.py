"""Tiny random transformers, of transformers' own classes and a plain one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_language import VOCABULARY, make_llama
from torch import Tensor, nn


def make_gpt2() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


def make_neox() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return transformers.GPTNeoXForCausalLM(config).eval()


def make_opt() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        ffn_dim=64, max_position_embeddings=64, word_embed_proj_dim=32, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    return transformers.OPTForCausalLM(config).eval()


def make_bert() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    return transformers.BertForMaskedLM(config).eval()


class PlainBlock(nn.Module):
    """Attention and an MLP, in plain PyTorch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reading = nn.Linear(width, 3 * width)
        self.mixing = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.reading(nn.functional.layer_norm(x, x.shape[-1:])).chunk(3, -1)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mixing(mixed)
        hidden = nn.functional.gelu(self.up(nn.functional.layer_norm(x, x.shape[-1:])))
        return x + self.down(hidden)


class PlainDecoder(nn.Module):
    """A decoder that knows nothing of Hugging Face."""

    def __init__(self, width: int = 32, blocks: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.steps = nn.ModuleList([PlainBlock(width) for _ in range(blocks)])

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for step in self.steps:
            x = step(x)
        return x @ self.embedding.weight.T


def make_plain() -> nn.Module:
    torch.manual_seed(0)
    return PlainDecoder().eval()


MAKERS = {
    "llama": make_llama,
    "gpt2": make_gpt2,
    "neox": make_neox,
    "opt": make_opt,
    "bert": make_bert,
    "plain": make_plain,
}


@pytest.fixture(name="make_llama")
def llama_maker() -> Callable[..., nn.Module]:
    return make_llama


@pytest.fixture(name="make_plain")
def plain_maker() -> Callable[..., nn.Module]:
    return make_plain


@pytest.fixture
def tiny_llama() -> nn.Module:
    return make_llama()


@pytest.fixture
def tiny_gpt2() -> nn.Module:
    return make_gpt2()


@pytest.fixture
def plain_decoder() -> nn.Module:
    return make_plain()


@pytest.fixture(params=MAKERS)
def any_model(request: pytest.FixtureRequest) -> nn.Module:
    return MAKERS[request.param]()


@pytest.fixture
def tokens() -> Tensor:
    """(6, 16)"""
    return torch.randint(3, VOCABULARY, (6, 16), generator=torch.Generator().manual_seed(0))
