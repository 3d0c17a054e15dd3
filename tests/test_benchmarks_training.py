"""The benchmark of sparse training trains what it says, and says what it measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.runtime import training


def test_everybody_computes_the_same() -> None:
    x = torch.randn(5, training.INPUTS, generator=torch.Generator().manual_seed(0))
    models = dict(training.contestants(32, 0.8))
    blocks = models.pop("SparseLinear 16x1")
    expected = models["dense"](x)
    for name, model in models.items():
        torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5, msg=name)
    torch.testing.assert_close(blocks(x), training.perceptron(32, 0.8, 16)(x))


def test_the_table_has_a_row_for_everybody(capsys: pytest.CaptureFixture[str]) -> None:
    training.main(["--width", "32", "--batch", "4", "--sparsity", "0.5", "--rounds", "1"])
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 * len(dict(training.contestants(32, 0.5)))
    assert {row.count("|") for row in rows} == {title.count("|")}


@pytest.mark.slow
def test_both_passes_are_twice_as_fast_as_dense_ones_at_95_per_cent() -> None:
    rows = list(training.measure(4096, 64, 0.95, "sgd", rounds=3))
    speeds = {(cells := row.split(" | "))[3]: float(cells[-2]) for row in rows}
    assert speeds["SparseLinear"] > 2
