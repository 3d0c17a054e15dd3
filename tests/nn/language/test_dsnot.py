"""DSnoT against the same said weight by weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gossamer as gs
from gossamer.nn.language import InputStatistics, Layer, compress
from gossamer.nn.language.methods import DSnoT, Magnitude, SparseGPT, Wanda
from gossamer.structures import FanIn

# of one_shot_reference.py
REFERENCE = json.loads(Path(__file__).with_name("one_shot_reference.json").read_text())
WEIGHT, INPUTS = torch.tensor(REFERENCE["weight"]), torch.tensor(REFERENCE["inputs"])


def layer_of(structure: Any, keep: float) -> Layer:
    seen = InputStatistics(INPUTS.shape[1])
    seen.add(INPUTS)
    return Layer("fc", WEIGHT, seen, structure, keep)


def squared_error(row: Tensor, dense: Tensor) -> float:
    return float((INPUTS.double() @ (dense - row)).square().mean())


def literally(row: Tensor, mask: Tensor, dense: Tensor, method: DSnoT, tile: int | None) -> Tensor:
    """One output: the swaps of the paper, one weight after the other."""
    inputs = INPUTS.double()
    mean, variance = inputs.mean(0), inputs.var(0, correction=0)
    size = inputs.square().mean(0)
    row, dense = row.double().clone(), dense.double()
    may_come, may_go = set(torch.where(~mask)[0].tolist()), set(torch.where(mask)[0].tolist())
    for _ in range(method.cycles):
        error = float((dense - row) @ mean)
        if abs(error) <= method.threshold:
            break
        side = 1 if error > 0 else -1
        gains = {
            j: float(side * dense[j] * mean[j] / variance[j] ** method.power) for j in may_come
        }
        comes = max(gains, key=lambda j: gains[j], default=None)
        if comes is None or gains[comes] <= 0:
            break
        if tile is None:
            fitting = [j for j in may_go if side * row[j] * mean[j] < 0]
        else:
            fitting = [j for j in may_go if j // tile == comes // tile]
        if not fitting:
            break
        goes = min(fitting, key=lambda j: float(row[j] ** 2 * size[j]))
        swapped = row.clone()
        swapped[comes], swapped[goes] = dense[comes], 0.0
        may_come.remove(comes)
        may_go.remove(goes)
        if method.checked:
            if squared_error(swapped, dense) < squared_error(row, dense):
                row = swapped
        elif abs(float((dense - swapped) @ mean)) < abs(error):
            row = swapped
        else:
            break
    return row


CASES = {"elements": (gs.Elements(), None), "rows": (FanIn(), None), "2:4": (gs.NofM(2, 4), 4)}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("start", [Wanda(), Magnitude(), SparseGPT(block_size=32)], ids=repr)
def test_swaps_are_those_of_the_paper(name: str, checked: bool, start: Any) -> None:
    structure, tile = CASES[name]
    layer = layer_of(structure, 0.4)
    method = DSnoT(start=start, checked=checked, cycles=20)
    begun, solved = start.solve(layer), method.solve(layer)
    expected = [
        literally(row, mask, dense, method, tile)
        for row, mask, dense in zip(begun.weight, begun.mask, WEIGHT, strict=True)
    ]
    torch.testing.assert_close(solved.weight, torch.stack(expected).float())
    assert torch.equal(solved.mask.sum(1), begun.mask.sum(1))
    assert solved.facts["swaps"] > (0 if isinstance(start, SparseGPT) else 5)
    if tile is not None:
        assert bool((solved.mask.view(-1, tile).sum(1) == 2).all())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("start", ["wanda", "magnitude", "sparsegpt"])
def test_no_output_has_a_larger_error(name: str, start: str) -> None:
    layer = layer_of(CASES[name][0], 0.3)
    before = DSnoT(start=start, threshold=1e9).solve(layer)
    after = DSnoT(start=start).solve(layer)
    assert before.facts == {"swaps": 0}
    errors = [
        ((WEIGHT - s.weight) @ layer.hessian * (WEIGHT - s.weight)).sum(1) for s in (before, after)
    ]
    assert bool((errors[1] <= errors[0] * (1 + 1e-4)).all())
    assert layer.error(after.weight) < 0.97 * layer.error(before.weight)


def test_expected_errors_become_smaller() -> None:
    layer = layer_of(FanIn(), 0.4)
    mean = layer.statistics.mean
    before, after = Wanda().solve(layer), DSnoT(checked=False).solve(layer)
    errors = [((WEIGHT - s.weight * s.mask) @ mean).abs() for s in (before, after)]
    assert bool((errors[1] <= errors[0]).all())
    assert float(errors[1].mean()) < 0.2 * float(errors[0].mean())


def test_a_model(tiny_llama: nn.Module, tokens: Tensor, make_llama: Any) -> None:
    better = compress(tiny_llama, tokens, "dsnot", keep=0.3)
    plain = compress(make_llama(), tokens, "wanda", keep=0.3)
    first = [(b, p) for b, p in zip(better, plain, strict=True) if ".0." in b.name]
    assert all(b.error <= p.error * (1 + 1e-5) for b, p in first)
    assert all(b.alive == p.alive for b, p in zip(better, plain, strict=True))


@pytest.mark.parametrize(
    "structure", [gs.Blocks((4, 1)), gs.NofM(2, 4, axis=0), gs.Rows()], ids=repr
)
def test_structures_without_places_to_change(structure: Any) -> None:
    with pytest.raises(ValueError, match="change places"):
        DSnoT().solve(layer_of(structure, 0.5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cycles": 0}, "cycles must be an integer"),
        ({"threshold": -1.0}, "threshold must be >= 0"),
        ({"power": -1.0}, "power must be >= 0"),
        ({"start": "wandaa"}, "Did you mean 'wanda'"),
    ],
)
def test_refusals(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DSnoT(**settings)
