"""The residual stream in other coordinates: the same model, and inputs that few axes hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_language import make_llama
from torch import Tensor, nn

from gossamer.nn.language import fine_tune, perplexity, rotate
from gossamer.runtime import sparsify_activations


def logits(model: Any, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        return model(tokens).logits


def weighted(model: nn.Module) -> nn.Module:
    """Norms of random weights, as trained ones have."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data.uniform_(0.5, 2.0, generator=generator)
    return model


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}, {"attention_bias": True}])
def test_the_model_stays_what_it_was(changes: dict[str, Any], tokens: Tensor) -> None:
    model = weighted(make_llama(**changes))
    before = logits(model, tokens)
    basis = rotate(model, tokens, batch_size=4)
    torch.testing.assert_close(logits(model, tokens), before, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(basis.T @ basis, torch.eye(32), atol=1e-5, rtol=0)
    assert not model.config.tie_word_embeddings


def test_axes_are_principal_and_in_order(tokens: Tensor) -> None:
    """Against the second moments of the rotated model itself: diagonal, and falling."""
    model: Any = weighted(make_llama())
    rotate(model, tokens)
    seen = []
    for block in model.model.layers:
        for norm in (block.input_layernorm, block.post_attention_layernorm):
            assert torch.equal(norm.weight, torch.ones(32))
            norm.register_forward_hook(lambda _, __, x: seen.append(x.flatten(0, 1)))
    logits(model, tokens)
    moments = torch.stack([x.T @ x / x.square().sum() for x in seen]).mean(0)
    torch.testing.assert_close(moments, moments.diagonal().diag(), atol=1e-5, rtol=0)
    assert bool((moments.diagonal().diff() <= 1e-6).all())


def test_hidden_states_are_multiplied_by_the_basis(tokens: Tensor) -> None:
    model: Any = weighted(make_llama())
    before = model(tokens, output_hidden_states=True).hidden_states[1]
    basis = rotate(model, tokens)
    after = model(tokens, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(after, before @ basis, atol=1e-5, rtol=1e-4)


def test_rotated_models_are_saved_and_loaded(tokens: Tensor, tmp_path: Any) -> None:
    model: Any = make_llama()
    rotate(model, tokens)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path).eval()
    assert torch.equal(logits(loaded, tokens), logits(model, tokens))


def test_fewer_inputs_say_as_much(make_llama: Any) -> None:
    """Of a model that has learnt a text in few dimensions, which the axes find."""
    text = torch.arange(3, 51).repeat(4, 1)[:, :32] + torch.tensor([[0], [3], [7], [11]])
    model = make_llama()
    fine_tune(model, [text], steps=80, lr=1e-2)
    lost = {}
    for name in ("plain", "rotated"):
        if name == "rotated":
            rotate(model, text)
        sparse = sparsify_activations(
            model, text, {"model.layers.*": 0.2}, criterion="magnitude", skip=False
        )
        lost[name] = perplexity(sparse, text) / perplexity(model, text)
    assert lost["rotated"] < lost["plain"]


def test_other_families_are_refused(any_model: Any, tokens: Tensor) -> None:
    if type(any_model).__name__.startswith("Llama"):
        pytest.skip("can be rotated")
    before = [parameter.clone() for parameter in any_model.parameters()]
    with pytest.raises(ValueError, match="cannot be rotated"):
        rotate(any_model, tokens)
    assert all(map(torch.equal, any_model.parameters(), before))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_of_another_kind_are_refused(tokens: Tensor, dtype: torch.dtype) -> None:
    """One plus the weight, as in Gemma; further norms, as in its second version; means taken off,
    as in StableLM."""
    transformers = pytest.importorskip("transformers")
    sizes: dict[str, Any] = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    }  # fmt: skip
    for name, message in (
        ("Gemma", "no plain"),
        ("Gemma2", "'pre_feedforward_layernorm' between its parts"),
        ("StableLm", "no plain root-mean-square norm"),
        ("Olmo2", "has no 'input_layernorm'"),
    ):
        config = getattr(transformers, f"{name}Config")(**sizes, pad_token_id=0)
        model = getattr(transformers, f"{name}ForCausalLM")(config).to(dtype).eval()
        before = [parameter.clone() for parameter in model.parameters()]
        with pytest.raises(ValueError, match=message):
            rotate(model, tokens)
        assert all(map(torch.equal, model.parameters(), before))


def test_qwen_with_norms_of_queries_is_rotated(tokens: Tensor) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, tie_word_embeddings=True,
    )  # fmt: skip
    model = weighted(transformers.Qwen3ForCausalLM(config).eval())
    before = logits(model, tokens)
    rotate(model, tokens)
    torch.testing.assert_close(logits(model, tokens), before, atol=1e-5, rtol=1e-4)


def adapted(model: Any) -> None:
    layer = model.model.layers[0].mlp.up_proj
    torch.nn.utils.parametrizations.weight_norm(layer)


def shared(model: Any) -> None:
    model.model.layers[1].mlp.down_proj.weight = model.model.layers[0].mlp.down_proj.weight


def pruned(model: Any) -> None:
    model.model.layers[1].self_attn.q_proj.weight.data[:16] = 0


def broken(model: Any) -> None:
    model.model.layers[1].mlp.gate_proj.weight.data[0, 0] = torch.nan


def overflowing(model: Any) -> None:
    model.model.embed_tokens.weight.data.fill_(1e38)


def heard(model: Any) -> None:
    """The head has a hook, which may do anything."""
    model.lm_head.register_forward_pre_hook(lambda _, args: (args[0] * args[0],))


def read_elsewhere(model: Any) -> None:
    """What comes out depends on a coordinate of the hidden states."""
    model.model.layers[1].register_forward_hook(lambda _, __, x: x + x[..., :1].abs())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (adapted, "no plain Linear: merge adapters"),
        (shared, "blocks that share weights"),
        (pruned, "has been pruned"),
        (broken, "not finite floating-point"),
        (overflowing, "hidden states that are zero or not finite"),
        (heard, "no plain Linear"),
        (read_elsewhere, "its outputs would change by"),
    ],
)
def test_refusals_leave_the_model_alone(change: Any, message: str, tokens: Tensor) -> None:
    model: Any = weighted(make_llama())
    change(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        rotate(model, tokens)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0, equal_nan=True)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.tie_word_embeddings


def test_other_models_of_the_configuration_stay_tied(tokens: Tensor) -> None:
    model: Any = make_llama()
    other: Any = type(model)(model.config)
    rotate(model, tokens)
    assert other.config.tie_word_embeddings and not model.model.config.tie_word_embeddings


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype: torch.dtype, tokens: Tensor) -> None:
    model = weighted(make_llama()).to(dtype)
    before = logits(model, tokens)
    basis = rotate(model, tokens)
    assert basis.dtype == torch.float32
    off = (logits(model, tokens) - before).norm() / before.norm()
    assert float(off) < (0.03 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"calibration": torch.zeros(2, 4)}, TypeError, "calibration must be an integer tensor"),
        ({"batch_size": 0}, ValueError, "batch_size must be an integer >= 1, got 0"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: dict[str, Any], error: type, message: str, tiny_llama: nn.Module, tokens: Tensor
) -> None:
    with pytest.raises(error, match=message):
        rotate(tiny_llama, **{"calibration": tokens} | arguments)
