"""The benchmark of sparse networks is fair: every method ends at the sparsity that is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.neural import plot, runner, table, training
from benchmarks.neural.data import Split
from benchmarks.neural.method import Method, Setting
from benchmarks.neural.methods import METHODS, Way, names_of, tuner
from benchmarks.neural.training import train
from benchmarks.records import read

from gossamer.nn.pruning.recipes import RECIPES

KEEP = 0.05
SLOW = ("m-fac",)
SPARSE = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name in METHODS
    if name != "dense"
]


@pytest.fixture(scope="module")
def split() -> Split:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(256, 1, 28, 28, generator=generator)
    labels = torch.randint(0, 10, (256,), generator=generator)
    return Split(images, labels, images[:50], labels[:50])


@pytest.mark.parametrize("method", SPARSE)
def test_every_method_keeps_what_is_asked_in_the_same_steps(method: str, split: Split) -> None:
    way = METHODS[method]
    if reason := way.refuses():
        pytest.skip(reason)
    network = "lenet-304" if way.group == "layout" else "lenet-300"
    keep = (way.keeps or (KEEP,))[-1]
    found = train(network, method, keep, 0, Setting(lr=1e-3), split, epochs=10)
    assert found["steps"] == 20
    # whole channels and blocks are coarse; every layer may be rounded
    coarse = {"channels": 0.1, "layout": 0.02}.get(way.group, 0.0)
    if method == "srigl":  # as many weights for every output that is left
        coarse = 0.05
    slack = max(coarse * keep * found["size"], len(found["left"]))
    assert sum(found["left"]) == pytest.approx(keep * found["size"], abs=slack)


@pytest.mark.parametrize("method", ["gmp", "depth-3", "channels"])
def test_a_residual_network_is_made_sparse_too(method: str, split: Split) -> None:
    found = train("resnet", method, 0.2, 0, Setting(), split, epochs=2)
    assert 0.18 * found["size"] < sum(found["left"]) <= 0.2 * found["size"] + 1


def test_training_repeats(split: Split) -> None:
    one, two = (
        train("lenet-300", "depth-3", KEEP, 0, Setting(), split, epochs=3) for _ in range(2)
    )
    assert (one["accuracy"], one["loss"], one["left"]) == (
        two["accuracy"],
        two["loss"],
        two["left"],
    )


def test_a_method_that_misses_the_budget_is_refused(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "lazy", Way("lazy", "recipe", Method))
    with pytest.raises(ValueError, match="266200 weights are left of 266200, 13310 were asked"):
        train("lenet-300", "lazy", KEEP, 0, Setting(), split, epochs=1)
    with pytest.raises(TimeoutError, match="0 of 2 after 0 CPU seconds"):
        train("lenet-300", "gmp", KEEP, 0, Setting(), split, epochs=1, limit=0.0)


def test_every_recipe_is_a_method_and_settings_are_shared_by_methods_that_are_tuned() -> None:
    assert set(RECIPES) <= set(METHODS)
    assert {"random", "random-search"} <= set(names_of("baseline"))
    for name in METHODS:
        assert tuner(tuner(name)) == tuner(name)
    assert tuner("rigl") == "rigl"
    assert tuner("one-shot") == tuner("dense") == "gmp"


def pretend(network, method, keep, seed, setting, split, limit):
    if method == "rigl":
        raise RuntimeError("it is raining")
    return {
        "accuracy": 90.0 + seed, "loss": 0.1, "steps": 1, "size": 10, "left": [1], "cpu": 2.0,
    }  # fmt: skip


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """The runs, which are pretended."""
    found: list[tuple] = []

    def noted(*case, limit):
        found.append(case[:4])
        return pretend(*case, limit)

    monkeypatch.setattr(runner, "train", noted)
    monkeypatch.setattr(runner, "mnist", lambda validation: None)
    return found


def test_an_interrupted_run_goes_on(tmp_path: Path, made: list[tuple]) -> None:
    results, tuning = tmp_path / "r.jsonl", tmp_path / "tuning.jsonl"
    plan = runner.Plan(["lenet-300"], ["dense", "depth-2", "gmp"], 2, (0.1, 0.01))
    cases = list(plan.cases())
    first = dict(zip(runner.KEY, cases[0], strict=True))
    results.write_text(json.dumps(first | pretend(*cases[0], None, None, 1.0)) + "\n")
    runner.run(plan, results, tuning)
    assert len(made) == len(cases) - 1 == 9
    runner.run(plan, results, tuning)
    assert len(made) == 9
    text = table.report(read(results), [], {})
    assert "**90.50** ± 0.50" in text
    assert "The dense network: 90.50 ± 0.50." in text
    plot.draw(read(results), "lenet-300", tmp_path / "p.svg")
    assert "smooth form" in (tmp_path / "p.svg").read_text(encoding="utf-8")


def test_a_failing_method_is_noted_and_tried_again(tmp_path: Path, made: list[tuple]) -> None:
    results, tuning = tmp_path / "r.jsonl", tmp_path / "tuning.jsonl"
    plan = runner.Plan(["lenet-300"], ["rigl", "gmp"], 1, (0.1,))
    runner.run(plan, results, tuning)
    text = table.report(read(results), [], {})
    assert "`rigl` at 90 %: RuntimeError: it is raining" in text
    assert "**90.00**" in text
    runner.run(plan, results, tuning)
    assert [method for _, method, _, _ in made] == ["rigl", "gmp", "rigl"]
    assert len(read(results)) == 2


def test_tuning_tries_as_many_settings_for_each_and_chooses_the_lowest_loss(
    tmp_path: Path, made: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(network, method, keep, seed, setting, split, limit):
        found = pretend(network, method, keep, seed, setting, split, limit)
        return found | {"loss": abs(setting.lr - 0.01) + setting.decay + setting.strength}

    monkeypatch.setattr(runner, "train", loss)
    tuning = tmp_path / "tuning.jsonl"
    plan = runner.Plan(["lenet-300"], ["one-shot", "gmp", "depth-2"], 1)
    runner.tune(plan, tuning)
    trials = read(tuning)
    assert [sum(t["method"] == name for t in trials) for name in ("gmp", "depth-3")] == [5, 5]
    runner.tune(plan, tuning)
    assert len(read(tuning)) == len(trials) == 10
    assert runner.chosen(trials, "lenet-300", "one-shot") == Setting(lr=0.01, decay=0.0002)
    assert runner.chosen(trials, "lenet-300", "depth-2").strength == pytest.approx(3e-5)


def test_differences_from_peers_are_taken_seed_by_seed() -> None:
    by_seed = {("gmp", 0.1, 0): 96.0, ("gmp", 0.1, 1): 95.0, ("nncf", 0.1, 1): 94.0}
    assert table.differences(by_seed, "gmp", "nncf", 0.1) == [1.0]


def test_networks_start_from_he_initialisation_with_normalisation_as_it_is() -> None:
    model = training.NETWORKS["resnet"].build()
    training.initialise(model)
    weight = model.get_parameter("stages.5.conv2.weight")
    assert float(weight.detach().std()) == pytest.approx((2 / (32 * 9)) ** 0.5, rel=0.1)
    assert bool((model.get_parameter("stages.5.bn2.weight") == 1).all())
