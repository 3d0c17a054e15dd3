"""Norms folded, activations fused: where nothing else reads what lies between."""

from __future__ import annotations

from math import inf

import pytest
import torch
import torch.nn.functional as F
from compiled_models import close, pruned, sparse_layers_win
from torch import Tensor, nn

import gossamer as gs
from gossamer.nn.models import ResidualNet
from gossamer.runtime import Bounds, LayoutModule
from gossamer.runtime.example_calls import Example, example_calls
from gossamer.runtime.fusing import bounds_of, fold_norms, readers


def settled(model: nn.Module) -> nn.Module:
    """The model in evaluation mode, with statistics and scales that are no blank."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            with torch.no_grad():
                module.weight.uniform_(-2, 2)
                module.bias.normal_()
    return model.eval()


def folded(model: nn.Module, x: Tensor) -> nn.Module:
    calls, _ = example_calls(model, model.modules(), Example((x,)))
    return fold_norms(model, calls)


def norms(model: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


CHAINS = {
    "linear": (nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU()), (4, 6)),
    "1d": (nn.Sequential(nn.Conv1d(3, 5, 3, bias=False), nn.BatchNorm1d(5)), (2, 3, 9)),
    "2d": (nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)), (2, 4, 7, 7)),
    "dropout": (nn.Sequential(nn.Linear(6, 5), nn.Dropout(), nn.BatchNorm1d(5)), (4, 6)),
    "residual": (ResidualNet(), (2, 1, 8, 8)),
}


@pytest.mark.parametrize("model, shape", CHAINS.values(), ids=CHAINS)
def test_norms_are_folded(model: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    wanted = settled(model)(x)
    assert norms(model) > 0
    model = folded(model, x)
    assert norms(model) == 0
    torch.testing.assert_close(model(x), wanted, atol=1e-4, rtol=1e-4)


class Branching(nn.Module):
    """What the first layer gives is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.relu = nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        return self.relu(self.norm(y)) + y


class Twice(nn.Module):
    """One layer and one activation for two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.relu = nn.Linear(32, 32), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.relu(self.layer(x)))


class Deciding(nn.Module):
    """torch.fx cannot follow it, but its parts in a sequence can be."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))

    def forward(self, x: Tensor) -> Tensor:
        return self.parts(x) if x.sum() > -1e9 else x


@pytest.mark.parametrize("make", [Branching, Twice, Deciding])
def test_only_what_nothing_else_reads(make: type, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(settled(make()))
    x = torch.randn(6, 32)
    fast = gs.compile(model, x)
    assert close(fast(x), model(x))
    assert norms(fast) == norms(model)
    fused = [m for m in fast.modules() if isinstance(m, LayoutModule) and m.low == 0]
    assert len(fused) == (make is Deciding)


def test_sequences_are_known_without_tracing() -> None:
    model = Deciding()
    calls, _ = example_calls(model, model.modules(), Example((torch.ones(1, 32),)))
    assert readers(model, calls)[model.parts[0]] is model.parts[1]


class OneByOne(Deciding):
    """Calls the parts of a sequence itself, and reads what each gives."""

    def forward(self, x: Tensor) -> list[Tensor]:
        found = [x]
        for part in self.parts:
            found += [part(found[-1])] if x.sum() > -1e9 else []
        return found


class Optional(nn.Module):
    """Reads the layer once more where an argument is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.relu = nn.Linear(32, 32), nn.ReLU()

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        y = self.layer(x)
        return self.relu(y) + y if scale is None else self.relu(y) * scale


@pytest.mark.parametrize("make", [OneByOne, Optional])
def test_ways_that_the_trace_does_not_see(make: type, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model, x = pruned(make()), torch.randn(6, 32)
    fast = gs.compile(model, x)
    assert any(isinstance(m, LayoutModule) for m in fast.modules())
    for found, wanted in zip(fast(x), model(x), strict=True):
        assert close(found, wanted)
    if make is Optional:
        assert close(fast(x, x), model(x, x))


class Leaky(nn.ReLU):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.1 * x if x.sum() > -1e9 else x


def test_classes_that_inherit_are_not_what_they_inherit_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sparse_layers_win(monkeypatch)
    assert bounds_of(Leaky()) is None
    model, x = pruned(nn.Sequential(nn.Linear(32, 32), Leaky())), torch.randn(6, 32)
    assert close(gs.compile(model, x)(x), model(x))


def test_linear_layers_over_channels_that_come_last_keep_their_norm() -> None:
    model = settled(nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5)))
    x = torch.randn(2, 5, 6)
    wanted = model(x)
    model = folded(model, x)
    assert norms(model) == 1
    assert torch.equal(model(x), wanted)


def test_norms_of_the_batch_itself_stay() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5, track_running_stats=False)).eval()
    assert norms(folded(model, torch.randn(3, 6))) == 1


ACTIVATIONS = {
    "relu": (nn.ReLU(), Bounds(0, inf)),
    "relu in place": (nn.ReLU(inplace=True), Bounds(0, inf)),
    "relu6": (nn.ReLU6(), Bounds(0, 6)),
    "hardtanh": (nn.Hardtanh(-0.5, 0.25), Bounds(-0.5, 0.25)),
    "gelu": (nn.GELU(), None),
    "leaky": (nn.LeakyReLU(), None),
}


@pytest.mark.parametrize("activation, bounds", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_activations_are_fused(
    activation: nn.Module, bounds: Bounds | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse_layers_win(monkeypatch)
    assert bounds_of(activation) == bounds
    model = pruned(nn.Sequential(nn.Linear(32, 32), nn.Dropout(), activation))
    x = 3 * torch.randn(5, 32)
    fast = gs.compile(model, x)
    assert close(fast(x.clone()), model(x.clone()))
    assert isinstance(fast[2], nn.Identity) == (bounds is not None)
    if bounds is not None:
        assert fast[0].bounds == bounds


def test_norm_and_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = settled(nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU()))
    pruned(model)
    x = torch.randn(5, 32)
    fast = gs.compile(model, x)
    assert [type(m) for m in fast][1:] == [nn.Identity, nn.Identity]
    assert close(fast(x), F.relu(model[1](model[0](x))))
