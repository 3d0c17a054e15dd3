"""gossamer.compile: same outputs, the layers that win replaced, the others left."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from compiled_models import Block, close, pruned, sparse_layers_win
from torch import Tensor, nn

import gossamer as gs
from gossamer.nn.models import LeNet300, ResidualNet
from gossamer.runtime import LayoutModule, RuntimeLinear, choosing, compiling

STRUCTURES = {
    "elements": gs.Elements(),
    "16 x 1": gs.Blocks((16, 1)),
    "4 x 4": gs.Blocks((4, 4)),
    "fan-in": gs.FanIn(),
    "2 of 16": gs.NofM(2, 16),
}


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.Tanh())


def runtime_layers(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, LayoutModule)]


@pytest.mark.parametrize("on", STRUCTURES.values(), ids=STRUCTURES)
@pytest.mark.parametrize("batch", [1, 3, 40])
def test_same_outputs_for_every_structure(
    on: object, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = pruned(mlp(), on)
    fast = gs.compile(model, torch.randn(batch, 64))
    assert runtime_layers(fast) == ["0", "2"]
    for size in (batch, 1, 5, 0):
        x = torch.randn(size, 64)
        assert close(fast(x), model(x))


MODELS = {
    "lenet": (LeNet300, (2, 784)),
    "residual": (ResidualNet, (2, 1, 8, 8)),
    "block": (Block, (2, 5, 32)),
}


@pytest.mark.parametrize("make, shape", MODELS.values(), ids=MODELS)
def test_whole_models(make: type, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = pruned(make())
    parameters = copy.deepcopy(model.state_dict())
    x = torch.randn(shape)
    wanted = model(x)
    fast = gs.compile(model, x)
    assert type(fast) is type(model)
    assert runtime_layers(fast)
    assert close(fast(x), wanted)
    assert close(fast(x[:1]), model(x[:1]))
    assert all(torch.equal(model.state_dict()[name], t) for name, t in parameters.items())
    assert not any(p.requires_grad for p in fast.parameters())
    assert all(p.requires_grad for p in model.parameters())


def test_a_race_that_nothing_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "race", lambda runs, **_: [1.0, *[2.0] * (len(runs) - 1)])
    model = pruned(mlp())
    fast = gs.compile(model, torch.randn(1, 64))
    assert runtime_layers(fast) == []
    assert [row.layout for row in gs.runtime.report(fast).layers] == ["dense"] * 2


def test_what_slows_the_whole_model_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    slow = iter([[1.0], [1.0, 2.0], [1.0, 0.9]])
    monkeypatch.setattr(compiling, "race", lambda *runs: next(slow))
    fast = gs.compile(pruned(mlp()), torch.randn(1, 64))
    assert len(runtime_layers(fast)) == 1
    assert sorted(row.layout == "dense" for row in gs.runtime.report(fast).layers) == [False, True]


@pytest.mark.parametrize("objective, stay", [("latency", 0), ("memory", 2)])
def test_fewer_bytes_may_cost_some_time(
    objective: str, stay: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One per cent of the model's for each layer."""
    sparse_layers_win(monkeypatch)
    monkeypatch.setattr(compiling, "race", lambda runs, *_: [1.0, 1.019][: len(runs)])
    fast = gs.compile(pruned(mlp()), torch.randn(1, 64), objective)
    assert len(runtime_layers(fast)) == stay


def test_nothing_is_slower_where_it_is_measured() -> None:
    torch.manual_seed(0)
    model = pruned(nn.Sequential(nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)), keep=0.1)
    found = gs.runtime.report(gs.compile(model, torch.randn(1, 256)))
    assert found.total.seconds <= found.total.dense_seconds
    assert all(row.seconds <= row.dense_seconds for row in found.layers)


def test_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    said: list[str] = []
    fast = gs.compile(pruned(mlp()), torch.randn(1, 64), progress=said.append)
    found = gs.runtime.report(fast)
    assert said == ["0", "2"] == [row.name for row in found.layers]
    assert found.total.bytes < found.total.dense_bytes
    assert found.layers[0].sparsity == 0.75
    assert gs.runtime.CompileReport.from_dict(found.to_dict()) == found
    lines = str(found).splitlines()
    assert lines[0].split()[:4] == ["layer", "kind", "sparsity", "layout"]
    assert lines[2].split()[:3] == ["0", "Linear", "75.0%"]
    assert lines[-1].split()[0] == "(model)"
    with pytest.raises(ValueError, match=r"not made by gossamer.compile"):
        gs.runtime.report(nn.Linear(2, 2))


def test_a_model_that_is_one_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(nn.Linear(64, 32))
    x = torch.randn(3, 64)
    fast = gs.compile(model, x)
    assert isinstance(fast, RuntimeLinear)
    assert close(fast(x), model(x))
    assert gs.runtime.report(fast).layers[0].kind == "Linear"


class Tied(nn.Module):
    """Two layers with one weight, and one layer in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.twice = (
            nn.Linear(32, 32),
            nn.Linear(32, 32),
            nn.Linear(32, 32),
        )
        self.second.weight = self.first.weight
        self.again = self.twice

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.twice(self.second(self.first(x).relu())))


def test_ties_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = pruned(Tied())
    x = torch.randn(3, 32)
    fast = gs.compile(model, x)
    assert close(fast(x), model(x))
    assert fast.twice is fast.again
    assert fast.first.values is fast.second.values
    assert fast.first.bias is not fast.second.bias


def test_copies_threads_and_modes(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    fast = gs.compile(pruned(Block()), torch.randn(2, 5, 32))
    xs = [torch.randn(n, 5, 32) for n in (1, 2, 3)] * 5
    wanted = [fast(x) for x in xs]
    for other in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert all(map(torch.equal, map(other, xs), wanted))
        with ThreadPoolExecutor(2) as pool:
            assert all(map(torch.equal, pool.map(other, xs), wanted))
    with torch.inference_mode():
        assert torch.equal(fast(xs[0]), wanted[0])


def test_memory_takes_fewer_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = nn.Sequential(nn.Embedding(100, 64), nn.Linear(64, 64))
    with torch.no_grad():
        model[0].weight[10:] = 0
    pruned(model[1])
    x = torch.arange(100)
    small = gs.compile(model, x, objective="memory")
    assert close(small(x), model(x))
    assert close(small(x[:0].view(0, 2)), model(x[:0].view(0, 2)))
    rows = gs.runtime.report(small).layers
    assert rows[0].bytes < 0.2 * rows[0].dense_bytes
    assert rows[1].bytes < 0.5 * rows[1].dense_bytes
    with pytest.raises(IndexError):
        small(torch.tensor([100]))
    with pytest.raises(IndexError):
        small(torch.tensor([-1]))
    # speed is not to be had here
    assert gs.runtime.report(gs.compile(model, x)).layers[0].layout == "dense"


def test_embeddings_of_sparse_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = nn.Embedding(50, 64)
    with torch.no_grad():
        model.weight *= torch.rand(50, 64) < 0.1
        model.weight[7] = 0
    x = torch.randint(50, (4, 6))
    small = gs.compile(model, x, objective="memory")
    assert isinstance(small, LayoutModule)
    assert torch.equal(small(x), model(x))
    assert torch.equal(small(torch.tensor(7)), torch.zeros(64))
    with pytest.raises(IndexError):
        small(torch.tensor([50]))


def test_layers_with_hooks_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(mlp())
    model[0].register_forward_hook(lambda module, inputs, output: output + 1)
    x = torch.randn(2, 64)
    fast = gs.compile(model, x)
    assert runtime_layers(fast) == ["2"]
    assert close(fast(x), model(x))


def test_masks_that_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = mlp()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    masks = gs.nn.prune(model, keep=0.25)
    held = masks.hold(optimiser)
    x = torch.randn(4, 64)
    model(x).square().sum().backward()
    optimiser.step()
    fast = gs.compile(model, x)
    held.remove()
    assert runtime_layers(fast) == ["0", "2"]
    assert close(fast(x), model(x))


def test_weights_that_are_computed_are_refused() -> None:
    x = torch.randn(1, 64)
    model = mlp()
    torch.nn.utils.prune.l1_unstructured(model[0], "weight", 0.9)
    with pytest.raises(ValueError, match=r"0 has masks of torch.nn.utils.prune: .*remove\("):
        gs.compile(model, x)
    model = mlp()
    gs.nn.sparsify(model, {"*.weight": gs.Lq(1e-3, q=2 / 3)})
    with pytest.raises(ValueError, match=r"is parametrised: call finalise\(\)"):
        gs.compile(model, x)


def test_arguments_are_checked() -> None:
    x = torch.randn(1, 64)
    with pytest.raises(ValueError, match=r"objective must be one of .*'latency'.* got 'speed'"):
        gs.compile(mlp(), x, "speed")
    with pytest.raises(ValueError, match=r"values must be one of .*got 'float16'"):
        gs.compile(mlp(), x, values="float16")
    with pytest.raises(ValueError, match=r"threads must be at least 1"):
        gs.compile(mlp(), x, threads=0)
    with pytest.raises(ValueError, match=r"0.weight is on meta: compile a model on the CPU"):
        gs.compile(mlp().to("meta"), x)
    with pytest.raises(TypeError, match=r"example_inputs must be a tensor"):
        gs.compile(mlp(), "x")


def test_other_results_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(mlp())
    x = torch.randn(2, 64)
    with pytest.raises(ValueError, match=r"layer '0': its output .* tolerance of 0: allow more"):
        gs.compile(model, x, tolerance=0.0)
    right = RuntimeLinear.forward
    monkeypatch.setattr(RuntimeLinear, "forward", lambda self, x: right(self, x) + 1)
    with pytest.raises(ValueError, match=r"layer '0': its output by RuntimeLinear"):
        gs.compile(model, x)


def test_infinity_in_the_example_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    x = torch.ones(1, 64)
    x[0, 3] = torch.inf
    with pytest.raises(ValueError, match="example_inputs with which no layer meets NaN"):
        gs.compile(pruned(mlp()), x)


def test_other_types_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(mlp()).bfloat16()
    x = torch.randn(2, 64).bfloat16()
    with pytest.warns(UserWarning, match=r"in torch\.bfloat16, .* call model\.float\(\)"):
        fast = gs.compile(model, x)
    assert runtime_layers(fast) == []
    assert torch.equal(fast(x), model(x))
    fast = gs.compile(model.float(), x.float())
    with pytest.raises(TypeError, match=r"x must be float32"):
        fast(x)


def test_threads_are_those_of_torch_or_those_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model, x = pruned(mlp()), torch.randn(70, 64)
    before = torch.get_num_threads()
    two = gs.compile(model, x, threads=2)
    assert two[0].allowed_threads() == 2
    np.testing.assert_allclose(two(x), model(x).detach(), atol=1e-5)
    assert gs.compile(model, x)[0].allowed_threads() == before


def test_rounded_weights_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = pruned(
        nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32)), gs.Blocks((16, 1))
    )
    x = torch.randn(2, 64)
    exact = gs.compile(model, x, "memory")
    rounded = gs.compile(model, x, "memory", values="bfloat16")
    assert close(exact(x), model(x))
    found = gs.runtime.report(rounded)
    assert all("bfloat16" in row.layout for row in found.layers)
    assert found.total.bytes < 0.75 * gs.runtime.report(exact).total.bytes
    assert 1e-6 < found.deviation < 0.05
    no_blocks = nn.Sequential(nn.Linear(64, 60))
    dense = gs.compile(no_blocks, x, values="bfloat16")
    assert [row.layout for row in gs.runtime.report(dense).layers] == ["bfloat16"]


def test_export_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    x = torch.randn(2, 64)
    fast = gs.compile(pruned(mlp()), x)
    with pytest.raises(RuntimeError, match=r"gossamer.runtime.to_dense\(model\)"):
        torch.export.export(fast, (x,))
    dense = gs.runtime.to_dense(fast)
    assert close(torch.export.export(dense, (x,)).module()(x), fast(x))


class Reading(nn.Module):
    """Calls one layer by name, and reads the weight of another that it calls too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(32, 32) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(input=x))
        return self.third(y @ self.second.weight)


def test_layers_that_the_model_reads_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = pruned(Reading())
    x = torch.randn(2, 32)
    fast = gs.compile(model, x)
    assert runtime_layers(fast) == ["third"]
    assert close(fast(x), model(x))


class Restless(nn.Module):
    """Gives something else at each call: by chance, by what it counts, by what it writes."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.layer, self.why, self.calls = nn.Linear(32, 32), why, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.why == "chance":
            x = nn.functional.dropout(x, 0.5, training=True)
        x = x.mul_(2) if self.why == "writes" else x
        return self.layer(x) * (self.calls if self.why == "counts" else 1)


@pytest.mark.parametrize("why", ["chance", "counts", "writes"])
def test_outputs_that_change_are_named(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    with pytest.raises(ValueError, match="model gives other outputs at each call"):
        gs.compile(pruned(Restless(why)), torch.randn(2, 32))


class Spectrum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(self.layer(x))


def test_complex_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model, x = pruned(Spectrum()), torch.randn(2, 32)
    fast = gs.compile(model, x)
    assert runtime_layers(fast) == ["layer"]
    torch.testing.assert_close(fast(x), model(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("tolerance", [-1, float("nan"), "much"])
def test_tolerances_that_are_none(tolerance: object) -> None:
    with pytest.raises(ValueError, match="tolerance must be a number"):
        gs.compile(mlp(), torch.randn(2, 64), tolerance=tolerance)


@pytest.mark.parametrize("model", [None, nn.Linear, torch.relu])
def test_what_is_no_model(model: object) -> None:
    with pytest.raises(TypeError, match=r"model must be an nn\.Module"):
        gs.compile(model, torch.randn(2, 64))


@pytest.mark.parametrize("place", [0, 1])
def test_modules_with_a_forward_method_of_their_own_stay(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse_layers_win(monkeypatch)
    model, x = pruned(mlp()), torch.randn(2, 64)
    was = model[place].forward
    model[place].forward = lambda x: was(x) + 1
    fast = gs.compile(model, x)
    assert runtime_layers(fast) == ["0", "2"][place == 0 :]
    assert close(fast(x), model(x))
