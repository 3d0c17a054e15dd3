"""Two processes train one sparse model: their masks and weights are the same."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from two_processes_of_torch import spawn_two
from two_processes_pruning import batch, network, replicated, train

pytestmark = [
    pytest.mark.skipif(
        not (dist.is_available() and dist.is_gloo_available()), reason="torch without gloo"
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.mark.parametrize("recipe", ["gmp", "rigl"])
def test_masks_are_identical_on_all_ranks(recipe, tmp_path):
    spawn_two(replicated, recipe, tmp_path)
    first, second = (torch.load(f"{tmp_path}/{rank}", weights_only=True) for rank in range(2))
    for mine, its in zip(first, second, strict=True):
        for name, value in mine.items():
            assert torch.equal(value, its[name]), name
    weights, masks = first
    for name, mask in masks.items():
        assert not weights[name][~mask].any()
    assert sum(int(mask.sum()) for mask in masks.values()) == 48

    # one process with the whole batch sees the same gradients but for the order of sums
    model = network()
    alone = train(model, model, recipe, *batch()).state_dict()
    same = sum(int((alone[name] == mask).sum()) for name, mask in masks.items())
    assert same >= 0.95 * sum(mask.numel() for mask in masks.values())
