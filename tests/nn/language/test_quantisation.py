"""Weights as small integers: rounding, packing, and GQSA's two stages."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gossamer as gs
from gossamer.nn.language import (
    BlockTuning,
    GridScales,
    GroupQuantiser,
    InputStatistics,
    Layer,
    Quantised,
    Solved,
    compress,
    fine_tune,
    perplexity,
)
from gossamer.nn.language.methods import ADMM, GQSA


def made(seed: int = 0, m: int = 8, p: int = 32, bits: int = 4, group: int = 8) -> Quantised:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(m, p, generator=generator)
    quantiser = GroupQuantiser(bits, group)
    grid = quantiser.grid(weight)
    alive = torch.rand(m, p // group, generator=generator) < 0.5
    mask = alive.repeat_interleave(group, 1)
    return Quantised(quantiser, grid, quantiser.codes(weight, grid), mask)


def layer_of(m: int, p: int, structure: Any, keep: float, seed: int = 0) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(p, p, generator=generator)
    seen = InputStatistics(p)
    seen.add(torch.randn(4 * p, p, generator=generator) @ mixing)
    return Layer("fc", torch.randn(m, p, generator=generator), seen, structure, keep)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_rounding_is_to_the_nearest_point_of_the_grid(bits: int) -> None:
    quantiser = GroupQuantiser(bits, 8)
    weight = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    grid = quantiser.grid(weight)
    found = quantiser.rounded(weight, grid)
    for row in range(5):
        for column in range(16):
            scale, zero = grid.scales[row, column // 8], grid.zeros[row, column // 8]
            points = scale * (torch.arange(2**bits) - zero)
            nearest = points[(points - weight[row, column]).abs().argmin()]
            torch.testing.assert_close(found[row, column], nearest)
    torch.testing.assert_close(quantiser.smooth(weight, grid), found)


@pytest.mark.parametrize(("bits", "group"), [(2, 4), (3, 8), (4, 16), (5, 1), (8, 32)])
def test_packing_loses_nothing(bits: int, group: int) -> None:
    before = made(bits=bits, group=group)
    after = Quantised.unpack(before.pack())
    assert torch.equal(after.weight(), before.weight())
    assert torch.equal(after.mask, before.mask)


def test_bytes_are_those_counted_by_hand() -> None:
    """One bit a group, and of living ones bits for codes and two numbers of two bytes."""
    weight = made(bits=4, group=8)
    living = int(weight.mask.sum()) // 8
    assert weight.bytes == 8 * 32 // 8 // 8 + living * (8 * 4 // 8 + 2 + 2)


def test_tensors_that_do_not_fit() -> None:
    packed = made().pack()
    with pytest.raises(ValueError, match="no packed weight"):
        Quantised.unpack(packed | {"codes": packed["codes"][:-1]})
    with pytest.raises(ValueError, match="no packed weight"):
        Quantised.unpack({"shape": packed["shape"]})


def test_a_group_that_goes_costs_what_the_best_others_leave() -> None:
    """The saliency against least squares: one group at zero, all other weights free."""
    layer = layer_of(3, 12, gs.Blocks((1, 4)), 0.5)
    hessian = layer.hessian.double()
    rises = GQSA(group=4)._rises(layer.weight, torch.linalg.inv(hessian))
    for row in range(3):
        for start in (0, 4, 8):
            free = [j for j in range(12) if not start <= j < start + 4]
            target = layer.weight[row].double()
            best = torch.linalg.solve(hessian[free][:, free], hessian[free] @ target)
            change = target.clone()
            change[free] -= best
            expected = change @ hessian @ change
            found = rises[row, start : start + 4].sum()
            torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=0)


def test_making_up_for_it_beats_cutting_and_rounding() -> None:
    layer = layer_of(16, 64, gs.Blocks((1, 16)), 0.5)
    solved = GQSA().solve(layer)
    quantiser = GroupQuantiser(4, 16)
    plain = quantiser.rounded(layer.weight, quantiser.grid(layer.weight)) * solved.mask
    assert solved.mask.float().mean() == 0.5
    assert layer.error(solved.weight) < 0.95 * layer.error(plain)
    assert torch.equal(solved.weight, solved.quantised.weight())  # type: ignore[union-attr]


def test_the_weights_of_another_method_are_rounded() -> None:
    """Its groups stay, and the layer is nearer to the dense one than by GQSA's own choice."""
    layer = layer_of(16, 64, gs.Blocks((1, 16)), 0.5)
    begun, solved = ADMM().solve(layer), GQSA(start="admm").solve(layer)
    assert torch.equal(solved.mask, begun.mask)
    quantiser = GroupQuantiser(4, 16)
    plain = quantiser.rounded(begun.weight, quantiser.grid(begun.weight)) * begun.mask
    assert layer.error(solved.weight) < layer.error(plain)
    assert layer.error(solved.weight) < 0.9 * layer.error(GQSA().solve(layer).weight)


def test_starts_that_break_groups_are_refused() -> None:
    class Breaking(ADMM):
        def solve(self, layer: Layer) -> Solved:
            mask = torch.arange(layer.weight.numel()).view_as(layer.weight) % 3 == 0
            return Solved(layer.weight * mask, mask)

    with pytest.raises(ValueError, match="keeps parts of groups of 16"):
        GQSA(start=Breaking()).solve(layer_of(4, 32, gs.Blocks((1, 16)), 0.5))


def test_eight_bits_of_all_weights_are_nearly_exact() -> None:
    layer = layer_of(8, 32, gs.Blocks((1, 16)), 1.0)
    assert layer.error(GQSA(bits=8).solve(layer).weight) < 0.01


def test_block_tuning_lowers_perplexity_and_keeps_the_form(make_llama: Any) -> None:
    """Of a model that has learnt a text, which random ones have not."""
    model = make_llama()
    tokens = torch.arange(3, 51).repeat(4, 1)[:, :32] + torch.tensor([[0], [3], [7], [11]])
    fine_tune(model, [tokens], steps=60, lr=1e-2)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = {}
    for name, refine in (("plain", None), ("tuned", BlockTuning(epochs=20, lr=0.05))):
        model.load_state_dict(state)
        compression = compress(model, tokens, GQSA(), keep=0.5, refine=refine)
        found[name] = perplexity(model, tokens)
        for path, weight in compression.quantised.items():
            torch.testing.assert_close(model.get_submodule(path).weight.detach(), weight.weight())
        assert compression.sparsity == 0.5
    assert found["tuned"] < 0.7 * found["plain"]
    assert compression.layers[0].facts["block_error"] > 0


def test_block_tuning_goes_on_after_a_stop(make_llama: Any, tokens: Tensor, tmp_path: Any) -> None:
    settings: dict[str, Any] = {"keep": 0.5, "refine": BlockTuning(epochs=2)}
    whole = make_llama()
    expected = compress(whole, tokens, GQSA(), **settings)

    def stop(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    model = make_llama()
    with pytest.raises(KeyboardInterrupt):
        compress(model, tokens, GQSA(), folder=tmp_path, progress=stop, **settings)
    found = compress(make_llama(), tokens, GQSA(), folder=tmp_path, **settings)
    for name, weight in expected.quantised.items():
        assert torch.equal(found.quantised[name].weight(), weight.weight())
    assert [row.facts for row in found] == [row.facts for row in expected]


def test_grid_scales_tune_and_keep_zeros_and_integers(make_llama: Any, tokens: Tensor) -> None:
    model = make_llama()
    compression = compress(model, tokens, GQSA(), keep=0.5)
    codes = {name: weight.codes.clone() for name, weight in compression.quantised.items()}
    before = perplexity(model, tokens)
    adapter = GridScales(model, compression.quantised)
    assert perplexity(model, tokens) == pytest.approx(before, rel=1e-4)
    fine_tune(model, [tokens], adapter, steps=20, lr=1e-3)
    tuned = perplexity(model, tokens)
    adapter.merge()
    assert tuned < 0.95 * before
    assert perplexity(model, tokens) == pytest.approx(tuned, rel=0.01)
    for name, weight in compression.quantised.items():
        assert torch.equal(weight.codes, codes[name])
        torch.testing.assert_close(model.get_submodule(name).weight.detach(), weight.weight())


def test_gpt2_has_its_weights_the_other_way(tiny_gpt2: nn.Module, tokens: Tensor) -> None:
    compression = compress(tiny_gpt2, tokens, GQSA(), keep=0.5, refine=BlockTuning(epochs=1))
    GridScales(tiny_gpt2, compression.quantised).merge()
    for name, weight in compression.quantised.items():
        torch.testing.assert_close(tiny_gpt2.get_submodule(name).weight.detach().T, weight.weight())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GQSA(bits=1), "bits must be"),
        (lambda: GQSA(group=0), "group must be"),
        (lambda: GQSA(damping=0.0), "damping must be > 0"),
        (lambda: GQSA(start="nothing"), "nothing"),
        (lambda: GQSA(start="gqsa"), "start must not round by itself"),
        (lambda: BlockTuning(epochs=0), "epochs must be"),
        (lambda: BlockTuning(lr=-1.0), "lr must be > 0"),
        (lambda: GridScales(nn.Linear(2, 2), {}), "quantised is empty"),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_groups_must_fit(tiny_llama: nn.Module, tokens: Tensor) -> None:
    with pytest.raises(ValueError, match="leave on= out"):
        compress(tiny_llama, tokens, GQSA(), on="2:4")
    with pytest.raises(ValueError, match="5 must divide"):
        compress(tiny_llama, tokens, GQSA(group=5))
