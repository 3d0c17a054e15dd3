"""MobileNetV2 with fewer multiplications: the example's parts, and what it promises."""

from __future__ import annotations

import mobilenet_channels as example
import pytest
import torch
from photographs import crops, seen

import gossamer as gs
from gossamer.nn.models import MobileNetV2

STAGES = [(1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 1, 2)]


@pytest.fixture
def small() -> MobileNetV2:
    torch.manual_seed(0)
    return MobileNetV2(classes=5, stages=STAGES, stem=16, head=32).eval()


def test_the_cost_of_a_channel_is_what_shrinking_saves(small: MobileNetV2) -> None:
    for name, cost in example.channel_costs(small).items():
        with torch.no_grad():
            saved = small.get_parameter(name)[:, 3].clone()
            small.get_parameter(name)[:, 3] = 0
        before, after = gs.nn.shrink(small, example.IMAGE).shrinkage.macs
        assert before - after == cost
        with torch.no_grad():
            small.get_parameter(name)[:, 3] = saved


def test_a_regression_tells_the_error_of_a_block(small: MobileNetV2) -> None:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tables = example.regressions(small, [images[:2], images[2:]])
    name, block = next(iter(example.blocks(small).items()))
    table, convolution = tables[name], example.reader(block)
    with torch.no_grad():
        inside = block.conv[:-2](small.features[0](images))
        aim = example.pixels(convolution(inside))
        convolution.weight[:, ::2] = 0
        made = example.pixels(convolution(inside))
    expected = (made - aim).var(0, correction=0).sum()
    weight = convolution.weight[:, :, 0, 0]
    torch.testing.assert_close(table.error(weight), expected, rtol=1e-4, atol=0)


def test_fitting_again_undoes_what_the_other_channels_can(small: MobileNetV2) -> None:
    """With a channel doubled, one of the two is not needed: the fit finds the old outputs."""
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    block = small.features[2]
    with torch.no_grad():
        for layer in (block.conv[0][0], block.conv[1][0]):
            layer.weight[1] = layer.weight[0]
    dense, cut = small, example.deepcopy(small)
    with torch.no_grad():
        example.reader(cut.features[2]).weight[:, 1] = 0
        before = (cut(images) - dense(images)).abs().max()
        example.refit_(cut, dense, [images])
        after = (cut(images) - dense(images)).abs().max()
    # the ridge leaves about its share of the change
    assert after < 0.1 * before


@pytest.mark.slow
def test_mobilenet_does_with_thirty_percent_fewer_multiplications() -> None:
    dense, photographs = example.pretrained(), seen()
    batches = crops(photographs, 160, 64, seed=0)
    new = torch.cat(crops(photographs, 160, 16, seed=1))
    tables = example.regressions(dense, batches)
    keep = example.share_to_keep(dense, 0.3)
    chosen = example.choose_by_lasso(dense, tables, keep, steps=100)
    norms = {name: table.weight.norm(dim=0) for name, table in tables.items()}
    largest = example.choose_by_size(dense, norms, keep)
    for student in (chosen, largest):
        example.refit_(student, dense, batches)
    account = gs.nn.shrink(chosen, example.IMAGE).shrinkage
    assert account.macs[1] <= 0.7 * account.macs[0]
    assert account.difference < 1e-5
    kept = example.agreement(chosen, dense, new)
    assert kept.seen >= 7
    assert kept.crops < 0.5 * example.agreement(largest, dense, new).crops
