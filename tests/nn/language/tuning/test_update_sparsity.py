"""How much a fine-tuning changed, against counts by hand."""

import copy

import pytest
import torch
from torch import nn

from gossamer.nn.language import update_sparsity


def _pair():
    before = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    after = copy.deepcopy(before)
    with torch.no_grad():
        after[0].weight[1] += 0.5
        after[1].bias[0] += 1e-6
    return before, after


def test_counts_ranks_and_tolerance():
    before, after = _pair()
    found = update_sparsity(before, after, dtype=None)
    assert found.sparsity == pytest.approx(1 - 6 / 38)
    assert [update.rank for update in found.updates] == [1, None, 0, None]
    assert found.rank_share == pytest.approx((1 / 4 + 0) / 2)
    strict = update_sparsity(before, after, dtype=None, tolerance=1e-7, ranks=False)
    assert strict.sparsity == pytest.approx(1 - 7 / 38)
    assert strict.rank_share is None


def test_rounding_loses_small_steps():
    before = {"w": torch.full((10,), 0.02)}
    after = {"w": before["w"] + torch.arange(10) * 2e-5}
    # 0.02 is 0.0200195 in bfloat16, and what is below 0.0200806 is rounded to it
    assert update_sparsity(before, after).sparsity == pytest.approx(0.5)
    assert update_sparsity(before, after, dtype=None).sparsity == pytest.approx(0.1)


def test_overlap_against_chance():
    n = 1000
    places = torch.arange(n)
    zero, one, two = (
        {"w": mask.float()[:, None].expand(n, 4).clone()}
        for mask in (places < 0, places < 200, (places >= 100) & (places < 500))
    )
    first, second = update_sparsity(zero, one), update_sparsity(zero, two)
    overlap = first.overlap(second)
    assert overlap.to_dict() == pytest.approx(
        {"of_first": 0.5, "of_second": 0.25, "chance_first": 0.4, "chance_second": 0.2}
    )


def test_prints_and_logs():
    found = update_sparsity(*_pair(), dtype=None)
    assert "84.21% of all entries are unchanged" in str(found)
    assert found.to_dict()["parameters"][0] == {
        "name": "0.weight", "entries": 24, "sparsity": 0.75, "rank": 1
    }  # fmt: skip


def test_errors():
    before, after = _pair()
    with pytest.raises(ValueError, match="of one model"):
        update_sparsity(before, after[0])
    with pytest.raises(ValueError, match="no parameters"):
        update_sparsity({}, {})
    with pytest.raises(ValueError, match="tolerance"):
        update_sparsity(before, after, tolerance=-1)
    with pytest.raises(ValueError, match="changed something"):
        update_sparsity(before, after).overlap(update_sparsity(before, before))
    with pytest.raises(ValueError, match="parameters differ"):
        update_sparsity(before, after).overlap(update_sparsity(before[0], after[0]))
