"""Attention whose projections are modules: what torch's own gives, for every argument."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from compiled_models import close, pruned, sparse_layers_win
from torch import Tensor, nn

import gossamer as gs
from gossamer.nn.fewer_heads import FewerHeadsAttention
from gossamer.runtime import LayoutModule, RuntimeLinear
from gossamer.runtime.candidates.attention import ProjectedAttention, opened

N, L, S, E, H = 3, 5, 7, 16, 4


def attention(**options: object) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    made = nn.MultiheadAttention(E, H, **options).eval()
    with torch.no_grad():
        for bias in (made.in_proj_bias, made.out_proj.bias):
            if bias is not None:
                bias.normal_()
    return made


def same(module: nn.MultiheadAttention, *inputs: Tensor, **options: object) -> None:
    with torch.no_grad():
        wanted = module(*inputs, **options)
        for at_once in (True, False):
            found = ProjectedAttention(module, at_once)(*inputs, **options)
            assert (found[1] is None) == (wanted[1] is None)
            for one, other in zip(found, wanted, strict=True):
                if other is not None:
                    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


CAUSAL = torch.ones(L, L).triu(1).bool()
PADDING = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] * 4 + [True]])
MASKS = {
    "none": {},
    "causal": {"attn_mask": CAUSAL},
    "causal, said twice": {"attn_mask": CAUSAL, "is_causal": True},
    "numbers": {"attn_mask": torch.linspace(-2, 1, L * L).view(L, L)},
    "each head": {"attn_mask": torch.arange(N * H * L * L).view(N * H, L, L) % 7 == 3},
    "padding": {"key_padding_mask": PADDING},
    "both": {"attn_mask": CAUSAL, "key_padding_mask": PADDING},
}


@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_sequence_to_itself(
    masks: dict[str, object], need_weights: bool, batch_first: bool
) -> None:
    x = torch.randn((N, L, E) if batch_first else (L, N, E))
    same(attention(batch_first=batch_first), x, x, x, need_weights=need_weights, **masks)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 6, "vdim": 9}])
def test_to_another_sequence(options: dict[str, object]) -> None:
    module = attention(batch_first=True, **options)
    key, value = torch.randn(N, S, module.kdim), torch.randn(N, S, module.vdim)
    query = torch.randn(N, L, E)
    same(module, query, key, value)
    same(module, query, key, value, average_attn_weights=False)
    if module.kdim == module.vdim:
        same(module, query, key, key, need_weights=False)


def test_without_a_batch() -> None:
    x = torch.randn(L, E)
    same(attention(), x, x, x, attn_mask=CAUSAL)
    same(attention(), x, x, x, attn_mask=CAUSAL.expand(H, L, L), need_weights=False)


def test_what_cannot_be_opened() -> None:
    x = (torch.randn(L, N, E),) * 3
    assert opened(nn.Linear(2, 2), x, {}) is None
    for options in ({"add_bias_kv": True}, {"add_zero_attn": True}):
        assert opened(attention(**options), x, {}) is None
        with pytest.raises(ValueError, match="must not have add_bias_kv or add_zero_attn"):
            ProjectedAttention(attention(**options))


def test_projections_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval())
    x = torch.randn(2, 6, 32)
    fast = gs.compile(model, x)
    names = [name for name, module in fast.named_modules() if isinstance(module, LayoutModule)]
    assert names == ["self_attn.in_proj", "self_attn.out_proj", "linear1", "linear2"]
    called: list[nn.Module] = []
    forward = RuntimeLinear.forward
    monkeypatch.setattr(
        RuntimeLinear, "forward", lambda self, x: (called.append(self), forward(self, x))[1]
    )
    with torch.no_grad():
        assert close(fast(x), model(x))
    assert called == [fast.get_submodule(name) for name in names]


def test_attention_that_gains_nothing_is_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    # 36 rows are not whole blocks, which may win without a zero
    model = nn.TransformerEncoderLayer(36, 4, 64, batch_first=True).eval()
    pruned(model.linear1)
    x = torch.randn(2, 6, 36)
    fast = gs.compile(model, x)
    assert type(fast.self_attn) is nn.MultiheadAttention
    assert isinstance(fast.linear1, LayoutModule)
    assert close(fast(x), model(x))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_encoders(activation: str, norm_first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    options = {"activation": activation, "norm_first": norm_first, "batch_first": True}
    layer = nn.TransformerEncoderLayer(32, 4, 64, **options)
    model = pruned(nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first).eval())
    x = torch.randn(N, L, 32)
    fast = gs.compile(model, x)
    assert isinstance(fast.layers[1].self_attn.in_proj, LayoutModule)
    causal = nn.Transformer.generate_square_subsequent_mask(L)
    with torch.no_grad():
        assert close(fast(x), model(x))
        assert close(fast(x, mask=causal), model(x, mask=causal))
        there = ~PADDING[..., None]
        found, wanted = (m(x, src_key_padding_mask=PADDING) for m in (fast, model))
        assert close(found * there, wanted * there)


def test_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    layer = nn.TransformerDecoderLayer(32, 4, 64, batch_first=True)
    model = pruned(nn.TransformerDecoder(layer, 2).eval())
    inputs = torch.randn(N, L, 32), torch.randn(N, S, 32)
    fast = gs.compile(model, inputs)
    assert isinstance(fast.layers[0].multihead_attn.q_proj, LayoutModule)
    with torch.no_grad():
        assert close(fast(*inputs), model(*inputs))


def test_a_model_that_is_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(nn.MultiheadAttention(32, 4, batch_first=True))
    inputs = (torch.randn(2, 6, 32),) * 3
    fast = gs.compile(model, inputs)
    assert isinstance(fast, ProjectedAttention)
    with torch.no_grad():
        for found, wanted in zip(fast(*inputs), model(*inputs), strict=True):
            assert close(found, wanted)


def test_attention_with_fewer_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(FewerHeadsAttention(32, 3, 8, batch_first=True))
    inputs = (torch.randn(2, 6, 32), *(torch.randn(2, 7, 32),) * 2)
    fast = gs.compile(model, inputs)
    assert isinstance(fast.q_proj, LayoutModule)
    with torch.no_grad():
        assert close(fast(*inputs)[0], model(*inputs)[0])


class Padded(nn.Module):
    """An encoder with the mask of padded positions as its second argument."""

    def __init__(self, norm: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(32) if norm else None)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.normal_(module.bias)

    def forward(self, x: Tensor, padding: Tensor | None, mask: Tensor | None = None) -> Tensor:
        return self.encoder(x, mask, padding)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_padded_positions_are_what_torch_makes_of_them(
    norm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model, x = pruned(Padded(norm).eval()), torch.randn(N, L, 32)
    first = PADDING.flip(1)  # sets no zeros
    fast = gs.compile(model, (x, PADDING))
    gs.nn.save_model(fast, tmp_path / "fast.safetensors")
    loaded = gs.nn.load_model(tmp_path / "fast.safetensors", trust=[Padded])
    with torch.no_grad():
        for inputs in ((x, PADDING), (x, None), (x, first), (x, PADDING, CAUSAL), (x[0], None)):
            wanted = model(*inputs)
            assert close(fast(*inputs), wanted)
            assert close(loaded(*inputs), wanted)
        assert isinstance(gs.runtime.to_dense(fast).encoder, nn.TransformerEncoder)
