"""Compressing a transformer block by block, against the same done by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gossamer as gs
from gossamer.nn.language import architecture_of, compress
from gossamer.nn.language.architectures import linear_layers, matrix_of


def inputs_of(model: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """What each linear layer of the blocks reads, seen by hooks in one pass of the whole model."""
    path = architecture_of(model).blocks
    seen: dict[str, Tensor] = {}

    def remember(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, args: seen.__setitem__(name, args[0].detach().flatten(0, -2))

    layers = dict(linear_layers(model.get_submodule(path), path))
    handles = [m.register_forward_pre_hook(remember(n)) for n, m in layers.items()]
    with torch.no_grad():
        model(tokens)
    for handle in handles:
        handle.remove()
    return seen


def test_wanda_is_what_hooks_on_the_whole_model_give(any_model: nn.Module, tokens: Tensor) -> None:
    """The first block sees the dense model, the second one what the sparse first one puts out."""
    path = architecture_of(any_model).blocks
    layers = dict(linear_layers(any_model.get_submodule(path), path))
    dense = {name: matrix_of(module).clone() for name, module in layers.items()}
    before = inputs_of(any_model, tokens)
    compress(any_model, tokens, "wanda", keep=0.5)
    after = {name: matrix_of(module).clone() for name, module in layers.items()}
    first = [name for name in dense if name.startswith(f"{path}.0.")]
    with torch.no_grad():  # the first block sparse, the second one dense
        for name, module in layers.items():
            matrix_of(module).copy_(after[name] if name in first else dense[name])
    between = inputs_of(any_model, tokens)
    assert len(first) < len(dense)
    for name, weight in dense.items():
        x = before[name] if name in first else between[name]
        scores = weight.abs() * x.norm(dim=0)
        keep = scores.argsort(1, descending=True)[:, : weight.shape[1] // 2]
        expected = torch.zeros_like(weight).scatter(1, keep, weight.gather(1, keep))
        torch.testing.assert_close(after[name], expected)


def test_errors_are_those_of_the_outputs(tiny_llama: nn.Module, tokens: Tensor) -> None:
    name = "model.layers.0.mlp.down_proj"
    x = inputs_of(tiny_llama, tokens)[name]
    before = tiny_llama.get_submodule(name).weight.detach().clone()
    compression = compress(tiny_llama, tokens, "magnitude", keep=0.3)
    after = tiny_llama.get_submodule(name).weight.detach()
    expected = (x @ (before - after).T).norm() / (x @ before.T).norm()
    row = next(row for row in compression if row.name == name)
    assert row.error == pytest.approx(float(expected), rel=1e-4)
    assert row.alive == round(0.3 * row.weights) == int(after.count_nonzero())


@pytest.mark.parametrize("batch_size", [1, 4])
def test_batches_do_not_matter(batch_size: int, make_plain: Any, tokens: Tensor) -> None:
    expected = compress(make_plain(), tokens, batch_size=len(tokens))
    found = compress(make_plain(), tokens, batch_size=batch_size)
    assert [row.error for row in found] == pytest.approx([row.error for row in expected], rel=1e-4)


def test_structures_by_rules(tiny_llama: nn.Module, tokens: Tensor) -> None:
    rules = {"*.mlp.*": "2:4", "*.o_proj": None, "*": gs.Blocks((16, 1))}
    compression = compress(tiny_llama, tokens, "magnitude", on=rules, keep=0.25)
    for row in compression:
        weight = tiny_llama.get_submodule(row.name).weight.detach()
        if ".mlp." in row.name:
            assert int((weight.view(-1, 4) != 0).sum(1).max()) == 2
        else:
            blocks = weight.view(-1, 16, weight.shape[1]) != 0
            assert bool((blocks.all(1) | ~blocks.any(1)).all())
            assert row.alive == row.weights // 4
    assert not any("o_proj" in row.name for row in compression)


def test_shares_by_rules(tiny_llama: nn.Module, tokens: Tensor) -> None:
    compression = compress(tiny_llama, tokens, keep={"*.mlp.*": 0.25, "*.q_proj": 0.75})
    shares = {row.name: row.alive / row.weights for row in compression}
    assert {name.rpartition(".")[2]: share for name, share in shares.items()} == {
        "q_proj": 0.75, "gate_proj": 0.25, "up_proj": 0.25, "down_proj": 0.25,
    }  # fmt: skip


class Stop(Exception):
    pass


@pytest.mark.parametrize("fresh", [True, False], ids=["new model", "same model"])
def test_a_stop_loses_nothing(fresh: bool, tmp_path: Any, tokens: Tensor, make_llama: Any) -> None:
    whole, model = make_llama(blocks=3), make_llama(blocks=3)
    expected = compress(whole, tokens, keep=0.4)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        compress(model, tokens, keep=0.4, folder=tmp_path, progress=stop)
    calls: list[tuple[int, int]] = []
    model = make_llama(blocks=3) if fresh else model
    found = compress(
        model, tokens, keep=0.4, folder=tmp_path, progress=lambda *call: calls.append(call)
    )
    assert calls == [(2, 3), (3, 3)]
    assert [row.error for row in found] == [row.error for row in expected]
    for name, parameter in whole.named_parameters():
        assert torch.equal(model.get_parameter(name), parameter)
    for name, mask in expected.masks.named().items():
        assert torch.equal(found.masks.named()[name], mask)


def test_other_work_in_the_folder(tiny_llama: nn.Module, tokens: Tensor, tmp_path: Any) -> None:
    compress(tiny_llama, tokens, keep=0.5, folder=tmp_path)
    with pytest.raises(ValueError, match="another shares"):
        compress(tiny_llama, tokens, keep=0.4, folder=tmp_path)


def test_the_model_is_left_as_it_was_else(tiny_llama: nn.Module, tokens: Tensor) -> None:
    tiny_llama.train()
    tiny_llama.requires_grad_(False)
    others = {
        name: parameter.clone()
        for name, parameter in tiny_llama.named_parameters()
        if "proj" not in name
    }
    compress(tiny_llama, tokens)
    assert tiny_llama.training
    assert not any(parameter.requires_grad for parameter in tiny_llama.parameters())
    for name, before in others.items():
        assert torch.equal(tiny_llama.get_parameter(name), before)


def test_masks_hold_in_training(tiny_llama: nn.Module, tokens: Tensor) -> None:
    compression = compress(tiny_llama, tokens, keep=0.5)
    optimiser = torch.optim.AdamW(tiny_llama.parameters(), lr=0.01)
    compression.masks.hold(optimiser)
    tiny_llama(tokens, labels=tokens).loss.backward()
    optimiser.step()
    for name, mask in compression.masks.named().items():
        assert not tiny_llama.get_parameter(name)[~mask].any()


def test_bfloat16(make_llama: Any, tokens: Tensor) -> None:
    model = make_llama().to(torch.bfloat16)
    compression = compress(model, tokens, keep=0.5)
    assert compression.sparsity == 0.5
    assert model.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16


def test_windows_are_read_from_a_file(
    plain_decoder: nn.Module, tokens: Tensor, tmp_path: Any
) -> None:
    """Hidden states lie on disk: two files of their whole size, whatever the number of windows."""
    compress(plain_decoder, tokens, folder=tmp_path)
    sizes = {path.name: path.stat().st_size for path in tmp_path.glob("hidden-*")}
    assert sizes == {"hidden-0.bin": 4 * 6 * 16 * 32, "hidden-1.bin": 4 * 6 * 16 * 32}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": 0.0}, "keep must be shares"),
        ({"keep": 1.5}, "keep must be shares"),
        ({"keep": {"*.nothing": 0.5}}, "fits no layer"),
        ({"method": "wandaa"}, "Did you mean 'wanda'"),
        ({"on": "2:5x"}, "on must be a structure"),
        ({"on": "3:7"}, "no multiple of 7"),
        ({"on": {"*.nothing": "2:4"}}, "selects no weight"),
        ({"blocks": "steps.0"}, "blocks must be the path"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"calibration": torch.zeros(2, 0, dtype=torch.long)}, "windows"),
    ],
)
def test_refusals(
    changes: dict[str, Any], message: str, plain_decoder: nn.Module, tokens: Tensor
) -> None:
    with pytest.raises(ValueError, match=message):
        compress(plain_decoder, **({"calibration": tokens} | changes))


def test_tokens_must_be_tokens(plain_decoder: nn.Module) -> None:
    with pytest.raises(TypeError, match="integer tensor"):
        compress(plain_decoder, torch.rand(2, 3))
    with pytest.raises(TypeError, match="got str"):
        compress(plain_decoder, "some text")  # type: ignore[arg-type]


def test_broken_weights(plain_decoder: nn.Module, tokens: Tensor) -> None:
    with torch.no_grad():
        plain_decoder.steps[1].up.weight[0, 0] = torch.nan  # type: ignore[index,union-attr]
    with pytest.raises(ValueError, match=r"'steps.1.up' has weights that are not finite"):
        compress(plain_decoder, tokens)


def test_a_layer_that_is_not_reached(plain_decoder: nn.Module, tokens: Tensor) -> None:
    plain_decoder.steps[0].spare = nn.Linear(3, 3)  # type: ignore[index]
    with pytest.raises(ValueError, match=r"'steps.0.spare' is not reached"):
        compress(plain_decoder, tokens)


def test_unknown_blocks() -> None:
    with pytest.raises(ValueError, match="there is no"):
        compress(nn.Linear(2, 2), torch.ones(1, 4, dtype=torch.long))
