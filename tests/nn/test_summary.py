"""The layer table: its numbers against closed forms and the papers' own."""

from __future__ import annotations

import json
import re

import pytest
import torch
from torch import nn

from gossamer.nn.comparison import compare
from gossamer.nn.flops import count_macs, uses
from gossamer.nn.layer_table import summary
from gossamer.nn.memory import backward_bytes, parameter_bytes, peak_activation_bytes
from gossamer.nn.models import LeNet5, MobileNetV2
from gossamer.nn.shrinking import shrink


def test_mobilenet_costs_what_its_paper_says() -> None:
    """300 million multiply-accumulate operations for 224 x 224 pixels: table 4 of the paper."""
    total = summary(MobileNetV2(), torch.zeros(1, 3, 224, 224), latency=False).total
    assert total.macs == pytest.approx(300e6, rel=0.01)
    assert total.parameters == 3_504_872


def test_macs_are_weights_times_positions() -> None:
    macs = count_macs(LeNet5(), torch.zeros(3, 1, 28, 28))
    positions = {"conv1": 24 * 24, "conv2": 8 * 8, "fc1": 1, "fc2": 1}
    weights = {name: LeNet5().get_parameter(f"{name}.weight").numel() for name in positions}
    assert macs == {name: 3 * weights[name] * positions[name] for name in positions}


@pytest.mark.parametrize(
    ("layer", "inputs", "macs"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), torch.zeros(1, 8, 5, 5), 8 * 9 * 9),
        (nn.ConvTranspose1d(4, 6, 3), torch.zeros(2, 4, 5), 2 * 5 * 4 * 6 * 3),
        (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5)), torch.zeros(7, 3), 7 * (12 + 20)),
        (nn.BatchNorm1d(3), torch.zeros(2, 3), 0),
    ],
    ids=["depthwise", "transposed", "batch", "entrywise"],
)
def test_macs_of_layers(layer: nn.Module, inputs: torch.Tensor, macs: int) -> None:
    assert summary(layer, inputs).total.macs == macs


def test_attention_counts_its_products() -> None:
    """Projections 4 d^2 an item, scores and mixing 2 n d an item."""
    attention = nn.MultiheadAttention(16, 4, batch_first=True).eval()
    x = torch.zeros(2, 5, 16)
    assert sum(count_macs(attention, (x, x, x)).values()) == 2 * 5 * (4 * 16**2 + 2 * 5 * 16)


def test_a_module_may_say_what_it_multiplies() -> None:
    class Said(nn.Linear):
        def own_macs(self, output: torch.Tensor) -> int:
            return 3 * len(output)

    said = Said(4, 4)
    model = nn.Sequential(said, nn.ReLU(), said, nn.Linear(4, 5))
    assert count_macs(model, torch.zeros(2, 4)) == {"0": 2 * 2 * 3, "3": 2 * 20}
    assert uses(model, torch.zeros(2, 4))["0.weight"] == 12 / 16


def test_a_layer_that_is_used_twice_works_twice() -> None:
    layer = nn.Linear(4, 4)
    table = summary(nn.Sequential(layer, nn.ReLU(), layer), torch.zeros(1, 4))
    assert (table.total.macs, table.total.parameters) == (32, 20)


def test_zeros_and_zero_channels() -> None:
    layer = nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.weight[0] = 0
        layer.weight[:, 1] = 0
        layer.weight[2, 2] = 0
        layer.bias.fill_(1)
    (row,) = summary(layer, torch.zeros(2, 6)).layers
    assert (row.parameters, row.nonzeros) == (28, 14 + 4)
    assert row.sparsity == pytest.approx(10 / 28)
    assert (row.macs, row.macs_channels, row.macs_nonzeros) == (2 * 24, 2 * 3 * 5, 2 * 14)


def test_what_shrinking_leaves_is_at_most_what_zero_channels_leave() -> None:
    torch.manual_seed(0)
    model, images = LeNet5(), torch.randn(1, 1, 28, 28)
    with torch.no_grad():
        for layer in (model.conv1, model.conv2, model.fc1):
            layer.weight[::2] = 0
    small = shrink(model, images)
    before, after = summary(model, images), summary(small, images)
    assert after.total.macs <= before.total.macs_channels
    assert after.total.macs == small.shrinkage.macs[1]
    assert after.total.macs == after.total.macs_channels == after.total.macs_nonzeros


def test_the_table_has_a_line_a_layer_and_plain_data() -> None:
    table = summary(LeNet5(), torch.zeros(1, 1, 28, 28))
    lines = str(table).splitlines()
    assert len(lines) == 4 + 6
    assert re.search(
        r"^1\.7 MB of weights, .* kB of activations at most, .* a forward pass$", lines[-1]
    )
    assert all(
        line.startswith(layer.name) for line, layer in zip(lines[2:6], table.layers, strict=True)
    )
    plain = json.loads(json.dumps(table.to_dict()))
    assert [row["name"] for row in plain["layers"]] == ["conv1", "conv2", "fc1", "fc2"]
    assert plain["layers"][0]["output"] == [1, 20, 24, 24]
    assert plain["total"]["parameters"] == 431_080


def test_the_model_is_left_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).train()
    model[0].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    summary(model, torch.randn(5, 3))
    assert (model.training, model[0].training, model[1].training) == (True, False, True)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not model[0]._forward_hooks


def test_bytes_of_weights_count_tied_ones_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
            self.second.weight = self.first.weight
            self.half = nn.Linear(4, 2).half()
            self.register_buffer("steps", torch.tensor(0))

    assert parameter_bytes(Tied()) == 4 * 25 + 2 * 10 + 8


@pytest.mark.parametrize(
    ("model", "shape", "numbers"),
    [
        (nn.Linear(6, 10), (3, 6), 30),
        (nn.Sequential(nn.Linear(6, 10), nn.ReLU()), (3, 6), 60),
        (nn.Sequential(nn.Linear(6, 10), nn.ReLU(inplace=True)), (3, 6), 30),
        (nn.Sequential(nn.Linear(6, 10), nn.Linear(10, 4), nn.Linear(4, 9)), (3, 6), 42),
        (nn.Sequential(nn.Linear(6, 10), nn.Flatten(0)), (3, 6), 30),
    ],
    ids=["one", "two at a time", "in place", "the first is gone", "a view"],
)
def test_bytes_of_activations(model: nn.Module, shape: tuple[int, ...], numbers: int) -> None:
    assert peak_activation_bytes(model, torch.zeros(shape)) == 4 * numbers


def test_a_residual_holds_its_branch() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 16), nn.Linear(16, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return x + self.down(self.up(x))

    assert peak_activation_bytes(Residual(), torch.zeros(1, 4)) == 4 * (8 + 16 + 8)


def test_time_is_measured_unless_one_says_no() -> None:
    model, x = nn.Linear(3, 3), torch.zeros(1, 3)
    seconds = summary(model, x).seconds
    assert seconds is not None and 0 < seconds < 1
    table = summary(model, x, latency=False)
    assert table.seconds is None
    assert "forward pass" not in str(table)


def test_before_and_after() -> None:
    torch.manual_seed(0)
    model, images = LeNet5(), torch.randn(1, 1, 28, 28)
    with torch.no_grad():
        for layer in (model.conv1, model.conv2, model.fc1):
            layer.weight[::2] = layer.bias[::2] = 0
    small = shrink(model, images)
    found = compare(model, small, images)
    assert found.layers() == {
        "conv1": (260, 520),
        "conv2": (6275, 25_050),
        "fc1": (100_250, 400_500),
        "fc2": (2510, 5010),
    }
    assert found.layers("macs")["conv2"] == (400_000, 1_600_000)
    assert found.before.weight_bytes == 4 * small.shrinkage.parameters[0]
    assert found.after.weight_bytes == 4 * small.shrinkage.parameters[1]
    assert found.after.activation_bytes < found.before.activation_bytes
    lines = str(found).splitlines()
    assert lines[0].split() == ["parameters", "of", "before", "after", "left"]
    assert lines[1].split() == ["conv1", "520", "260", "50.0%"]
    assert [line.split("  ")[0] for line in lines[-6:]] == [
        *("parameters", "non-zero", "MACs", "weights", "activations", "a forward pass"),
    ]
    assert json.loads(json.dumps(found.to_dict()))["after"]["total"]["parameters"] == 109_295


def test_layers_that_are_gone_or_renamed() -> None:
    before = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    after = nn.Sequential(nn.Linear(3, 2))
    found = compare(before, after, torch.zeros(1, 3), latency=False)
    assert found.layers() == {"0": (8, 16)}
    assert str(found).splitlines()[2].split() == ["1", "10", "0", "0.0%"]
    assert "forward pass" not in str(found)


def test_backward_bytes_count_what_a_view_keeps_alive():
    layer = nn.Linear(10, 5, bias=False)
    x = torch.randn(100, 40)
    whole = backward_bytes(layer, lambda: layer(x[:, :10]).sum())
    copied = backward_bytes(layer, lambda: layer(x[:, :10].contiguous()).sum())
    assert (whole, copied) == (4 * 4000, 4 * 1000)
