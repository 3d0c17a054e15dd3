"""One-shot pruning of a real model; ``python -m benchmarks.language.one_shot`` has the table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.language import peers, texts

from gossamer.nn.language import Layer, methods, tokens_of


@pytest.mark.slow
def test_errors_on_text_not_seen() -> None:
    """Of the layers of one block, calibrated on docstrings and judged by pydoc; ``-s`` prints."""
    pytest.importorskip("transformers")
    pairs = [
        (methods.Wanda(), methods.DSnoT()),
        (methods.SparseGPT(), methods.Shrunk("sparsegpt")),
    ]
    layers = peers.layers_of_block(
        10,
        lambda tokenizer: texts.calibration(tokenizer, 8, source="docstrings"),
        lambda tokenizer: tokens_of(tokenizer, texts.pydoc(), 512, 2),
    )
    for name, weight, (seen, other) in layers:
        for before, after in pairs:
            layer = Layer(name, weight, seen, before.on, 0.4)
            judge = Layer(name, weight, other, before.on, 0.4)
            plain, better = (judge.error(method.solve(layer).weight) for method in (before, after))
            print(f"{name:20} {before!r} {plain:.4f}, {after!r} {better:.4f}")
            assert better < plain
