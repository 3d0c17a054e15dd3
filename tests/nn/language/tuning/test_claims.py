"""SPP on a real model; ``python -m benchmarks.language.tuning`` shows it beside other ways."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

from benchmarks.language import models, texts, tuning


@pytest.mark.slow
def test_half_of_what_pruning_costs_comes_back_and_no_zero_goes() -> None:
    pytest.importorskip("transformers")
    _, tokenizer = models.smollm2()
    windows = texts.calibration(tokenizer, 48, 256, seed=1)
    judged = texts.evaluation(tokenizer, count=4, length=256)
    dense, pruned, tuned = (
        tuning.measure(name, windows, judged) for name in ("dense", "pruned", "SPP")
    )
    for text in judged:
        print(f"{text}: {dense[text]:.2f}, {pruned[text]:.2f} pruned, {tuned[text]:.2f} tuned")
        assert tuned[text] < (dense[text] + pruned[text]) / 2
    assert tuned["zeros"] == 1
