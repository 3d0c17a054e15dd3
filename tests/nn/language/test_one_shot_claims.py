"""One-shot pruning of a real model; ``python -m benchmarks.language.one_shot`` has the table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.language import models, texts

from gossamer.nn.language import compress, perplexity, tokens_of


@pytest.mark.slow
def test_smollm2_is_better_than_by_wanda() -> None:
    """Perplexity and errors of layers at 60 and 70 % zeros; ``-s`` prints them."""
    pytest.importorskip("transformers")
    for keep in (0.4, 0.3):
        perplexities, errors = {}, {}
        for method in ("wanda", "dsnot"):
            model, tokenizer = models.smollm2(torch.bfloat16)
            calibration = texts.calibration(tokenizer, 8, 256, source="docstrings")
            compression = compress(model, calibration, method, keep=keep)
            judged = tokens_of(tokenizer, texts.pydoc(), 512, 2)
            perplexities[method] = perplexity(model, judged)
            errors[method] = sum(row.error for row in compression) / len(compression.layers)
        print(f"{keep:.0%} stay: perplexity {perplexities}, error {errors}")
        assert perplexities["dsnot"] < 0.95 * perplexities["wanda"]
        assert errors["dsnot"] < errors["wanda"]
