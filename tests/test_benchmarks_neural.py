"""The benchmark of sparse networks is fair: every method ends at the sparsity that is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.neural import runner, table
from benchmarks.neural.baselines import erk
from benchmarks.neural.data import Split
from benchmarks.neural.method import Setting, largest, scheduled
from benchmarks.neural.training import METHODS, NETWORKS, train

KEEP = 0.05


@pytest.fixture(scope="module")
def split() -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(256, 1, 28, 28, generator=generator)
    labels = torch.randint(0, 10, (256,), generator=generator)
    return Split(images, labels, images[:50], labels[:50])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_what_is_asked_in_the_same_steps(method: str, split: Split) -> None:
    found = train(NETWORKS["lenet-300"], method, KEEP, 0, Setting(lr=1e-3), split, epochs=25)
    assert found["steps"] == 50
    # RigL rounds in every layer
    assert sum(found["left"]) == pytest.approx(KEEP * found["size"], abs=len(found["left"]))


def test_training_repeats(split: Split) -> None:
    one, two = (
        train(NETWORKS["lenet-300"], "depth-3", KEEP, 0, Setting(), split, epochs=3)
        for _ in range(2)
    )
    assert (one["accuracy"], one["loss"], one["left"]) == (
        two["accuracy"],
        two["loss"],
        two["left"],
    )


def test_masks_are_of_the_largest_over_all_layers() -> None:
    masks = largest([torch.tensor([[3.0, -1.0]]), torch.tensor([[0.5], [-4.0]])], 0.5)
    assert [mask.flatten().tolist() for mask in masks] == [[1, 0], [0, 1]]


def test_schedule_goes_from_all_to_the_budget() -> None:
    assert scheduled(0.1, 0.0) == 1
    assert scheduled(0.1, 0.7) == pytest.approx(0.1)
    assert scheduled(0.1, 1.0) == pytest.approx(0.1)


def test_layer_densities_of_rigl_spend_the_budget() -> None:
    shapes = [torch.Size(s) for s in ((300, 784), (100, 300), (10, 100))]
    for keep in (0.005, 0.05, 0.2):
        densities = erk(shapes, keep)
        sizes = [shape.numel() for shape in shapes]
        spent = sum(d * n for d, n in zip(densities, sizes, strict=True))
        assert spent == pytest.approx(keep * sum(sizes))
        assert max(densities) <= 1


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple] = []

    def pretend(network, method, keep, seed, setting, split):
        made.append((method, keep, seed))
        return {"accuracy": 90.0 + seed, "loss": 0.1, "steps": 1, "size": 10, "left": [1]}

    monkeypatch.setattr(runner, "train", pretend)
    monkeypatch.setattr(runner, "mnist", lambda: None)
    results, tuning = tmp_path / "r.jsonl", tmp_path / "tuning.jsonl"
    plan = runner.Plan(["lenet-300"], ["depth-2", "gradual"], 2, (0.1, 0.01))
    cases = list(plan.cases())
    first = dict(zip(runner.KEY, cases[0], strict=True))
    results.write_text(json.dumps(first | pretend(*cases[0], None, None)) + "\n")
    made.clear()
    runner.run(plan, results, tuning)
    assert len(made) == len(cases) - 1 == 7
    runner.run(plan, results, tuning)
    assert len(made) == 7
    text = table.report(runner.read(results), [], [])
    assert "**90.50** ± 0.50" in text
    runner.forget(results, plan)
    assert runner.read(results) == []
