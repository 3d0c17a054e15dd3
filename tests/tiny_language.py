"""A tiny language model of random weights with a tokenizer of bytes, as a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

VOCABULARY = 64
TEXT = " ".join(f"The {n} foxes of year {3 * n} saw {n * n} hens and left." for n in range(400))


def make_llama(blocks: int = 2, **changes: Any) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": blocks,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes | changes)).eval()


def make_tokenizer() -> Any:
    """Bytes, and the three special tokens that a model expects."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    special = ["<pad>", "<s>", "</s>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def write_model(folder: Path, **changes: Any) -> tuple[nn.Module, Any]:
    """Write the directory; the model and the tokenizer that are in it."""
    tokenizer = make_tokenizer()
    model = make_llama(vocab_size=len(tokenizer), **changes)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def write_model_and_text(folder: Path) -> Path:
    """The directory of a model of three blocks, with ``text.txt`` in it."""
    write_model(folder, blocks=3)
    (folder / "text.txt").write_text(TEXT)
    return folder
