"""Rules select what they say, and say so when they select nothing."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

import gossamer as gs  # noqa: E402
from gossamer.nn.rules import match  # noqa: E402

A, B = gs.L1(0.1), gs.MCP(0.2)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.layers = nn.ModuleList(
            nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2), "mlp": nn.Linear(8, 8)})
            for _ in range(2)
        )
        self.head = nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.ones(3))


@pytest.fixture
def net():
    return Net()


def names(model, rules):
    return [found.name for found in match(model, rules)]


def test_star_takes_every_weight_and_nothing_of_one_axis(net):
    assert names(net, {"*": A}) == [
        "conv1.weight",
        "layers.0.attention.in_proj_weight",
        "layers.0.attention.out_proj.weight",
        "layers.0.mlp.weight",
        "layers.1.attention.in_proj_weight",
        "layers.1.attention.out_proj.weight",
        "layers.1.mlp.weight",
        "head.weight",
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("conv*", ["conv1.weight"]),
        ("head", ["head.weight"]),
        ("head.weight", ["head.weight"]),
        ("head.bias", ["head.bias"]),
        ("norm.weight", ["norm.weight"]),
        ("scale", ["scale"]),
        ("layers.*.mlp", ["layers.0.mlp.weight", "layers.1.mlp.weight"]),
        ("layers.*.mlp.bias", ["layers.0.mlp.bias", "layers.1.mlp.bias"]),
        ("layers.0.*proj*", ["layers.0.attention.out_proj.weight"]),
        (nn.Conv2d, ["conv1.weight"]),
        (lambda name, module: getattr(module, "out_features", 0) == 3, ["head.weight"]),
    ],
)
def test_a_key_selects(net, key, expected):
    assert names(net, {key: A}) == expected


def test_a_module_on_its_own():
    assert names(nn.Linear(2, 2), {"*": A}) == names(nn.Linear(2, 2), {"weight": A}) == ["weight"]


def test_recurrent_weights():
    expected = ["weight_ih_l0", "weight_hh_l0"]
    assert names(nn.GRU(2, 3), {nn.GRU: A}) == expected


def test_the_first_rule_wins_and_none_leaves_alone(net):
    found = match(net, {"head": None, nn.Linear: B, "*": A})
    said = {m.name: m.penalty for m in found}
    assert "head.weight" not in said
    assert said["layers.0.mlp.weight"] is B
    assert said["conv1.weight"] is A
    assert getattr(found[0].module, found[0].tensor_name) is found[0].parameter


def test_tied_parameters_come_once_with_all_their_names():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5))
    model[1].weight = model[0].weight
    (found,) = match(model, {"1": A})
    assert found.names == ("0.weight", "1.weight")
    assert found.tied[0][1] is model[1]
    shared = nn.Linear(2, 2)
    (found,) = match(nn.Sequential(shared, nn.ReLU(), shared), {"*": A})
    assert found.names == ("0.weight", "2.weight")


def test_frozen_parameters_are_skipped_but_not_when_asked_for(net):
    net.head.requires_grad_(False)
    assert "head.weight" not in names(net, {"*": A})
    with pytest.raises(ValueError, match=r"'head.weight'.*requires_grad_\(\)"):
        match(net, {"head.weight": A})


@pytest.mark.parametrize(
    ("rules", "error", "message"),
    [
        ({}, ValueError, "rules is empty"),
        (A, TypeError, "must be a mapping"),
        ({"*": 0.1}, TypeError, r"rules\['\*'\] is 0.1.*gs.L1"),
        ({"*": gs.Channels()}, TypeError, "gs.L1"),
        ({0: A}, TypeError, "got 0"),
        ({int: A}, TypeError, "module classes"),
        ({"haed": A}, ValueError, "'haed' selects no weight.*'head'"),
        ({"layers": A}, ValueError, r"'layers.\*' would select"),
        ({"norm": A}, ValueError, "selects no weight"),
        ({nn.Conv1d: A}, ValueError, "Conv1d selects no module"),
        ({"*": A, "head": B}, ValueError, "'head' has no effect"),
    ],
)
def test_refusals(net, rules, error, message):
    with pytest.raises(error, match=message):
        match(net, rules)


def test_a_model_is_needed():
    with pytest.raises(TypeError, match=r"torch\.nn\.Module, got list"):
        match([], {"*": A})


def test_parametrised_weights_are_refused_or_left_alone(net):
    nn.utils.parametrizations.weight_norm(net.head)
    with pytest.raises(ValueError, match=r"'head.weight', which is parametrised already"):
        match(net, {"*": A})
    assert "head.weight" not in names(net, {"head.weight": None, "*": A})


def test_lazy_weights_are_refused():
    with pytest.raises(ValueError, match="on one batch first"):
        match(nn.Sequential(nn.LazyLinear(3)), {"*": A})
