"""Writes one_shot_reference.json: what other implementations make of one small layer.

Once, in a folder FOLDER::

    git clone https://github.com/IST-DASLab/sparsegpt FOLDER/sparsegpt
    git clone https://github.com/zyxxmu/DSnoT FOLDER/dsnot
    pip install --no-deps --target FOLDER llmcompressor==0.14.0.1

and then ``python tests/nn/language/one_shot_reference.py FOLDER``. The commits that were used are
147d2159 of SparseGPT and 4c029dfa of DSnoT.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

OUTPUTS, INPUTS, TOKENS, BLOCK = 12, 64, 80, 32
FILE = Path(__file__).with_suffix(".json")


def example() -> tuple[Tensor, Tensor]:
    """A weight (m, p) and inputs (n, p) that are correlated, of different scales and means."""
    draws = np.random.RandomState(0)
    mixing = draws.standard_normal((INPUTS, INPUTS)) + 3 * np.eye(INPUTS)
    inputs = draws.standard_normal((TOKENS, INPUTS)) @ mixing
    inputs = (inputs + 6 * draws.standard_normal(INPUTS)) * np.exp(draws.standard_normal(INPUTS))
    weight = draws.standard_normal((OUTPUTS, INPUTS)) / 8
    rounded = [torch.tensor(values.round(3), dtype=torch.float32) for values in (weight, inputs)]
    return rounded[0], rounded[1]


def main(folder: Path) -> None:
    root = Path(__file__).parents[3]
    sys.path.insert(0, str(root))
    from benchmarks.language import peers

    weight, inputs = example()
    found = {"weight": weight, "inputs": inputs}
    for name, (n, m) in {"50%": (0, 0), "2:4": (2, 4), "4:8": (4, 8)}.items():
        # the authors' code cuts one weight more than the share says: those equal to the threshold
        share = (BLOCK * OUTPUTS // 2 - 1) / (BLOCK * OUTPUTS)
        pattern = {"sparsity": share, "n": n, "m": m}
        found[f"sparsegpt {name}"] = peers.sparsegpt(
            folder, weight, inputs.T @ inputs, BLOCK, **pattern
        )
        found[f"llmcompressor sparsegpt {name}"] = peers.llmcompressor_sparsegpt(
            folder, weight, inputs.T @ inputs, BLOCK, **pattern
        )
        found[f"llmcompressor wanda {name}"] = peers.llmcompressor_wanda(
            folder, weight, inputs.square().sum(0), sparsity=0.5, n=n, m=m
        )
    rounded = {
        name: [[float(f"{value:.7g}") for value in row] for row in result.tolist()]
        for name, result in found.items()
    }
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(rows)}" for name, rows in rounded.items())
    FILE.write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
