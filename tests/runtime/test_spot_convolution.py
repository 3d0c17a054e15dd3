"""Convolutions at chosen positions, and networks that are trained with these."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from copy import deepcopy
from time import perf_counter

import pytest
import torch
import torch.nn.functional as F
from digits_lenet import digits
from torch import nn

from gossamer.nn import load_model, save_model
from gossamer.nn.position_masks import MaskedConv2d, PositionMasks
from gossamer.runtime.candidates import Options, candidates
from gossamer.runtime.spot_convolution import SpotConv2d
from gossamer.runtime.swapping import swapped


def masked(conv: nn.Conv2d, x: torch.Tensor, keep: float = 0.6) -> MaskedConv2d:
    MaskedConv2d.take_over(conv, *conv(x).shape[-2:])
    conv.positions.copy_(torch.rand(conv.positions.shape) < keep)
    return conv.eval()


CONVOLUTIONS = {
    "3x3": ((5, 64, 3), {"padding": 1}),
    "1x1, few channels": ((7, 3, 1), {"bias": False}),
    "wide window, strides": ((3, 32, (5, 3)), {"stride": (2, 3), "padding": (2, 0)}),
    "dilated, same": ((4, 80, 3), {"padding": "same", "dilation": 2}),
    "even window, same": ((2, 16, 4), {"padding": "same"}),
}


@pytest.mark.parametrize(("sizes", "options"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("batch", (0, 1, 3))
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@torch.no_grad()
def test_it_gives_what_the_masked_convolution_gives(sizes, options, batch):
    torch.manual_seed(0)
    x = torch.randn(batch, sizes[0], 13, 11)
    conv = masked(nn.Conv2d(*sizes, **options), torch.randn(1, sizes[0], 13, 11))
    fast = SpotConv2d.of(conv)
    torch.testing.assert_close(fast(x), conv(x))
    torch.testing.assert_close(fast(x.to(memory_format=torch.channels_last)), conv(x))
    with torch.inference_mode():
        torch.testing.assert_close(fast(x), conv(x))


@pytest.fixture
def case():
    torch.manual_seed(0)
    x = torch.randn(2, 6, 9, 10)
    return masked(nn.Conv2d(6, 20, 3, padding=1), x), x


@pytest.mark.parametrize("keep", (0.0, 1.0))
@torch.no_grad()
def test_all_and_no_positions(case, keep):
    conv, x = case
    conv.positions.fill_(bool(keep))
    torch.testing.assert_close(SpotConv2d.of(conv)(x), conv(x))


def test_masked_positions_are_not_computed(case):
    """What only they see may be anything."""
    conv, x = case
    conv.positions.fill_(True)
    conv.positions[:, 5:] = False
    x[:, :, :, 6:] = torch.nan
    with torch.no_grad():
        y = SpotConv2d.of(conv)(x)
    assert y.isfinite().all() and (y[..., 5:] == 0).all()


def test_in_two_threads_and_groups_it_is_the_same(case, monkeypatch):
    conv, x = case
    grouped = masked(nn.Conv2d(6, 20, 3, groups=2), x)
    with torch.no_grad():
        torch.testing.assert_close(SpotConv2d.of(grouped)(x), grouped(x))
        monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
        torch.testing.assert_close(SpotConv2d.of(conv)(x), conv(x))


def test_gradients_training_and_other_types_take_the_masked_way(case):
    conv, x = case
    fast = SpotConv2d.of(conv)
    x.requires_grad_()
    (got,) = torch.autograd.grad(fast(x).square().sum(), x)
    (expected,) = torch.autograd.grad(conv(x).square().sum(), x)
    torch.testing.assert_close(got, expected)
    with torch.no_grad():
        before = fast(x)
        torch.testing.assert_close(fast.double()(x.double()).float(), before)
        fast.float().load_state_dict({n: 2 * t for n, t in conv.state_dict().items()})
        torch.testing.assert_close(fast(x), 2 * conv(x))
    with pytest.raises(ValueError, match=r"the outputs have \(7, 7\) positions"):
        fast(torch.randn(1, 6, 7, 7))


def test_copies_pickles_files_and_the_way_back(case, tmp_path):
    conv, x = case
    fast = SpotConv2d.of(conv)
    with torch.no_grad():
        expected = fast(x)
        save_model(nn.Sequential(fast), tmp_path / "model.safetensors")
        loaded = load_model(tmp_path / "model.safetensors")
        for other in (deepcopy(fast), pickle.loads(pickle.dumps(fast)), loaded):
            torch.testing.assert_close(other(x), expected)
        back = fast.to_dense()
        assert type(back) is MaskedConv2d
        torch.testing.assert_close(back(x), expected)


def test_masked_convolutions_have_a_candidate(case):
    conv, x = case
    assert [type(m) for m in candidates(conv, (x,), Options())] == [SpotConv2d]


# -- training --
def network(*widths: int) -> nn.Sequential:
    first, second, third = widths

    def block(before: int, after: int) -> list[nn.Module]:
        conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(after), nn.ReLU()]

    body = [*block(1, first), *block(first, second), nn.MaxPool2d(2), *block(second, third)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * third, 10))


@pytest.mark.parametrize("criterion", ("random", "variance"))
def test_masks_grow_change_and_freeze(criterion):
    torch.manual_seed(0)
    model, x = network(4, 4, 4), torch.randn(8, 1, 12, 12)
    masks = PositionMasks(model, x, 0.75, total_steps=10, criterion=criterion)
    assert list(masks.layers) == ["0", "3", "7"]
    found = []
    for _ in range(10):
        model.train()(x)
        masks.step()
        found.append(model[0].positions.clone())
    counts = [int(mask.sum()) for mask in found]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[4] and counts[4:] == [108] * 6
    assert int(model[7].positions.sum()) == 27
    assert all(torch.equal(mask, found[4]) for mask in found[5:])
    moved = any(not bool((~a & b).any()) for a, b in zip(found[1:5], found[:4], strict=True))
    assert criterion == "variance" or not moved


def test_layers_leave_out_the_same_region():
    """One map for all of them: of what a layer masks, its successor sees little."""
    model = network(2, 2, 2)
    masks = PositionMasks(model, torch.randn(1, 1, 32, 32), 0.5, total_steps=1)
    masks.step()
    large, small = model[0].positions, model[7].positions
    shares = F.avg_pool2d(large[None].float(), 2)[0]
    assert shares[small].mean() > shares[~small].mean() + 0.2
    assert torch.equal(large, model[3].positions)


def test_variance_masks_positions_where_images_are_alike():
    model = nn.Sequential(nn.Conv2d(1, 4, 1))
    x = torch.randn(16, 1, 8, 8)
    x[..., :4] *= 0.01
    masks = PositionMasks(model, x, 0.5, total_steps=1, criterion="variance")
    model(x)
    masks.step()
    assert model[0].positions[:, 4:].all() and not model[0].positions[:, :4].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"keep": 0.0}, "keep must be shares above 0"),
        ({"keep": {"x": 0.5}}, "keep names no layer of class nn.Conv2d"),
        ({"criterion": "norm"}, "criterion must be one of random, variance"),
        ({"freeze": 0.0}, "freeze must be a share"),
    ),
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        PositionMasks(network(2, 2, 2), torch.zeros(1, 1, 8, 8), total_steps=5, **arguments)


def trained(seed: int, keep: float | None, criterion: str = "random") -> tuple[nn.Module, float]:
    X, y, X_test, y_test = digits(seed)
    X, X_test = (F.interpolate(x.view(-1, 1, 8, 8), scale_factor=2.0) for x in (X, X_test))
    torch.manual_seed(seed)
    model, epochs = network(32, 64, 64), 8
    steps = epochs * -(-len(y) // 64)
    masks = keep and PositionMasks(model, X[:2], keep, total_steps=steps, criterion=criterion)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(64):
            optimiser.zero_grad()
            F.cross_entropy(model(X[rows]), y[rows]).backward()
            optimiser.step()
            schedule.step()
            if masks:
                masks.step()
    with torch.no_grad():
        right = (model.eval()(X_test).argmax(1) == y_test).float().mean()
    return model, 100 * float(right)


def fast(model: nn.Module) -> nn.Module:
    made = swapped(model, lambda _, m: SpotConv2d.of(m) if isinstance(m, MaskedConv2d) else None)
    return made.eval()


def least_seconds(models, x, rounds):
    """Of many runs in turn."""
    times = {name: [] for name in models}
    with torch.no_grad():
        for _ in range(rounds):
            for name, model in models.items():
                start = perf_counter()
                model(x)
                times[name].append(perf_counter() - start)
    return {name: min(found) for name, found in times.items()}


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_masked_positions_save_time_at_little_cost_in_accuracy():
    accuracies, models = {}, {}
    for name, keep, criterion in (
        ("dense", None, ""),
        ("random 80 %", 0.8, "random"),
        ("variance 50 %", 0.5, "variance"),
    ):
        runs = [trained(seed, keep, criterion) for seed in range(2)]
        models[name] = runs[0][0] if keep is None else fast(runs[0][0])
        accuracies[name] = sum(accuracy for _, accuracy in runs) / len(runs)
    best = least_seconds(models, torch.randn(1, 1, 16, 16), 200)
    print(accuracies, {name: round(best["dense"] / t, 2) for name, t in best.items()})
    assert accuracies["random 80 %"] > accuracies["dense"] - 1.1
    assert accuracies["variance 50 %"] > accuracies["dense"] - 1.1
    assert best["dense"] > 1.2 * best["random 80 %"]
    assert best["random 80 %"] > best["variance 50 %"]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_layer_of_a_residual_network_takes_less_time_with_fewer_positions():
    x = torch.randn(1, 128, 28, 28)
    models: dict[str, nn.Module] = {"torch": nn.Conv2d(128, 128, 3, padding=1)}
    for keep in (1.0, 0.8, 0.5):
        conv = masked(nn.Conv2d(128, 128, 3, padding=1), x, keep)
        models[f"{keep:.0%}"] = SpotConv2d.of(conv)
    best = least_seconds(models, x, 100)
    print({name: round(best["torch"] / t, 2) for name, t in best.items()})
    assert best["torch"] > 1.15 * best["80%"] > 1.15 * 1.3 * best["50%"]
    assert best["100%"] > 1.1 * best["80%"]


_ELSEWHERE = """
import torch
from torch import nn
from gossamer.nn.position_masks import MaskedConv2d
from gossamer.runtime.skipping_linear import SkippingLinear
from gossamer.runtime.spot_convolution import SpotConv2d

torch.manual_seed(0)
for channels in (5, 64):
    conv, x = nn.Conv2d(3, channels, 3), torch.randn(2, 3, 6, 7)
    MaskedConv2d.take_over(conv, 4, 5)
    conv.positions[1:3] = False
    linear, z = nn.Linear(9, channels), torch.randn(3, 9).relu()
    with torch.no_grad():
        torch.testing.assert_close(SpotConv2d.of(conv)(x), conv(x))
        torch.testing.assert_close(SkippingLinear.of(linear)(z), linear(z))
"""


@pytest.mark.parametrize(
    "variables", ({"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_CPU_NAME": "haswell"}), ids=str
)
def test_as_plain_python_and_for_an_older_processor(variables):
    environment = os.environ | variables | {"GOSSAMER_CALIBRATE": "0"}
    subprocess.run([sys.executable, "-c", _ELSEWHERE], check=True, env=environment)
