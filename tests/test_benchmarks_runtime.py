"""The benchmark of the runtime measures what it says: right products, in turn, resumable."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.records import read
from benchmarks.runtime import __main__ as command
from benchmarks.runtime import (
    engines,
    models,
    networks,
    precisions,
    roofline,
    runner,
    table,
    turns,
)
from benchmarks.runtime.contestants import COMPILED, DENSE, contestants
from benchmarks.runtime.problems import PATTERNS, Case

import gossamer as gs

TINY = Case(threads=1, rows=48, inputs=64, batch=3, sparsity=0.9)
MACHINE = {"bandwidth": [[1_000, 2e10], [1_000_000, 1e10]], "peak": {"torch": 1e11}}


@pytest.fixture(autouse=True)
def uncalibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products are chosen by typical speeds: no test measures the machine."""
    monkeypatch.setenv("GOSSAMER_CALIBRATE", "0")


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_patterns_have_the_zeros_that_they_name(pattern: str, sparsity: float) -> None:
    weight = Case(1, 96, 128, 1, sparsity).weight(pattern)
    assert weight is not None
    there = weight != 0
    nearest = {"n-of-m": {0.5: 0.5, 0.9: 0.125}}.get(pattern, {}).get(sparsity, 1 - sparsity)
    assert there.mean() == pytest.approx(nearest, abs=0.01)
    if pattern == "fan-in":
        assert len(set(there.sum(1))) == 1
    if "x" in pattern:
        height, width = map(int, pattern.split("x"))
        whole = there.reshape(96 // height, height, 128 // width, width)
        assert set(whole.sum((1, 3)).ravel()) == {0, height * width}


def test_blocks_that_do_not_fit_are_cut_and_some_patterns_are_missing() -> None:
    weight = Case(1, 1000, 1536, 1, 0.9).weight("16x1")
    assert weight is not None
    assert weight.shape == (1000, 1536)
    assert Case(1, 32, 32, 1, 0.99).weight("n-of-m") is None


def test_everybody_gets_the_product_right() -> None:
    with runner.at_work(1):
        found = dict(contestants(TINY))
        assert next(iter(found)) == DENSE
        for (who, pattern), one in found.items():
            error = runner.wrong(TINY, pattern, one)["error"]
            assert error < (2e-2 if who == "bfloat16" else 1e-5), who


class Clock:
    """Takes as long as it says."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.turns = seconds, 0

    def turn(self, calls: int) -> tuple[float, float]:
        self.turns += 1
        return 2 * self.seconds, self.seconds


def test_a_round_gives_everybody_one_turn_and_the_hopeless_few() -> None:
    dense, fast, hopeless = Clock(0.01), Clock(0.001), Clock(1.0)
    taken = turns.in_turn([dense, fast, hopeless], budget=10.0)
    assert [one.rounds for one in taken] == [10, 10, 2]
    assert (taken[1].seconds, taken[1].cold) == (0.001, 0.002)


def test_the_roofline_is_sane() -> None:
    curve = [[size, roofline.bandwidth(size, 1, tries=2)] for size in (1 << 16, 1 << 20)]
    peak = roofline.peaks(1, [], side=64)
    assert all(1e8 < speed < 1e13 for _, speed in curve)
    assert all(1e7 < speed < 1e14 for speed in peak.values())
    assert roofline.reading(curve, 1) == curve[0][1]
    assert roofline.reading(curve, 1e12) == curve[1][1]
    middle = roofline.reading(curve, 1 << 18)
    assert middle == pytest.approx((curve[0][1] * curve[1][1]) ** 0.5)
    # bytes bind where little is computed, operations elsewhere
    assert roofline.bound(MACHINE, 1e6, 1) == pytest.approx(1e-4)
    assert roofline.bound(MACHINE, 1e3, 1e9) == pytest.approx(1e-2)


def test_tables_from_tiny_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "started", lambda: engines.started(()))
    monkeypatch.setattr(runner.roofline, "machine", lambda *_: dict(MACHINE))
    monkeypatch.setattr(turns, "MOST_ROUNDS", 2)
    results = tmp_path / "products.jsonl"
    options = ["--shapes", "32x32", "--batches", "1", "8", "--sparsities", "0.9",
               "--budget", "0", "--results", str(results)]  # fmt: skip
    page = tmp_path / "page.md"
    page.write_text(f"# Speed\n{'<!-- begin: measured -->'}\nold\n{'<!-- end: measured -->'}\nend")
    command.main([*options, "--out", str(page)])
    assert len(read(results)) == 2
    text = page.read_text()
    assert text.startswith("# Speed")
    assert text.endswith("end")
    assert "| torch CSR, `F.linear(x, W)` | any zeros |" in text
    assert "numpy 2" in text
    assert "old" not in text
    assert "gossamer, blocks 16x1" in (tmp_path / "_static" / "runtime_1.svg").read_text()

    kept = results.read_text()
    command.main(options)  # nothing is measured twice
    assert results.read_text() == kept
    command.main([*options, "--again"])
    assert len(read(results)) == 2
    assert results.read_text() != kept


def test_a_part_keeps_what_it_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command.PARTS, "models", ("Whole models", (("--help",), ("--help",))))
    for _ in range(2):  # the second time it is read
        text = command.part("models", tmp_path / "products.jsonl", again=False)
        assert text.startswith("## Whole models")
        assert text.count("usage: python -m benchmarks.runtime.models") == 2
        monkeypatch.setitem(command.PARTS, "models", ("Whole models", (("--unknown",),)))


def test_precisions_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    precisions.main(["--side", "64", "--batch", "1", "3", "--budget", "0.001"])
    found = capsys.readouterr().out.splitlines()
    assert len(found) == 2 + 2 * len(precisions.KINDS)
    assert all(line.count("|") == 1 + len(precisions.HEAD) for line in found)
    assert all("0.00 % / 0." in line for line in found[2:])


def record(batch: int, **seconds: float) -> dict:
    """Of one case: dense takes 8 s."""
    found = [
        {"who": who, "pattern": "16x1" if who in ("blocks", COMPILED) else "unstructured",
         "seconds": s, "cold": 2 * s, "bytes": 1000, "nonzero": 10, "choice": "Linear"}
        for who, s in {"dense": 8.0, **seconds}.items()
    ]  # fmt: skip
    return {"case": Case(1, 768, 768, batch, 0.9).as_dict(), "found": found, "machine": MACHINE}


def test_ratios_means_and_the_worst_case() -> None:
    records = [record(1, blocks=1.0, compiled=2.0, csr=4.0, scipy=2.0), record(64, compiled=10.0)]
    results = table.Results.of(records)
    one, other = results.cases(1)
    assert results.speed(one, results.bare(one, "16x1")) == 8
    assert results.speed(one, results.compiled(one, "16x1")) == 4
    assert results.bare(other, "16x1") is None
    assert table.mean([8.0, None, 2.0]) == pytest.approx(4.0)
    assert "0.80 times as fast as dense float32 (768x768, batch 64, 90 %" in table.worst(results, 1)
    assert "it left 2 dense; 1 measured below 1.00" in table.worst(results, 1)
    goals = table.goals(results)
    assert "| blocks 16x1 | 768x768 | 1 | 4 | 8.0 | 4.0 | reached |" in goals
    assert "| blocks 16x1 | 768x768 | 64 | 9 |  | 0.80 | missed |" in goals
    assert "| any zeros | 0.50 | 0.50 (768x768, batch 1, 90 %) | 0 of 1 |" in table.peers(
        results, 1
    )


def test_whole_networks_are_pruned_where_blocks_fit_and_timed_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(40, 48), nn.ReLU(), nn.Linear(48, 10)).eval()

    on = networks.structures(make(), "16x1")
    assert on == {"0": gs.Blocks((16, 1)), "2": gs.Elements()}
    assert networks.block(24) == gs.Blocks((8, 1))
    tiny = networks.Network(
        "Tiny", "zeros", make, networks.pruned, lambda batch: torch.ones(batch, 40),
        score=lambda model: float(model(torch.ones(1, 40)).sum()), batches=(1,),
    )  # fmt: skip
    monkeypatch.setitem(models.NETWORKS, "tiny", tiny)
    monkeypatch.setattr(models, "BUDGET", 0.0)
    results = tmp_path / "models.jsonl"
    for _ in range(2):  # the second time there is nothing to do
        models.run(["tiny"], 1, results, tmp_path)
    (record,) = models.read(results)
    assert record["unstructured"]["sparsity"] == pytest.approx(0.9, abs=0.01)
    assert record["16x1"]["score"] == pytest.approx(record["16x1"]["score_dense"], abs=1e-4)
    text = models.table([record])
    assert "| Tiny | 1 | 90%, any zeros |" in text
    assert "times as fast" in text


def test_an_engine_that_is_not_there_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSAMER_ENGINES", "/nowhere/python")
    with engines.started() as found:
        assert found == {}


def test_an_engine_answers_like_numpy() -> None:
    with engines.started(("onnxruntime",)) as found:
        if not found:
            pytest.skip("onnxruntime is not installed")
        weight = TINY.weight("unstructured")
        assert weight is not None
        with found["onnxruntime"].load("one", weight, TINY.samples(), 1) as loaded:
            right = TINY.samples() @ weight.T
            np.testing.assert_allclose(loaded.result(), right, atol=1e-5)
            assert min(loaded.turn(3)) > 0
