"""gossamer.compile on language models: the tokens of the dense model, one copy of tied weights."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compiled_models import close, sparse_layers_win
from safetensors import safe_open
from torch import Tensor, nn

import gossamer as gs
from gossamer.core import ModelFileError
from gossamer.nn.architecture import build, describe_architecture, tensors_of
from gossamer.runtime import LayoutModule, RuntimeLinear, alike, choosing
from gossamer.runtime.candidates.embedding import RuntimeEmbedding
from gossamer.runtime.candidates.norms import RuntimeRMSNorm
from gossamer.runtime.example_calls import Example

VOCABULARY = 64
TOKEN = torch.tensor([[5]])


def llama(**changes: Any) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": None,
    }
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes | changes)).eval()


def gpt2() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64,
        bos_token_id=1, eos_token_id=None,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config).eval()


def pruned(model: nn.Module, on: Any = None) -> nn.Module:
    on = gs.Blocks((16, 1)) if on is None else on
    counts = {} if isinstance(on, gs.NofM) else {"keep": 0.3, "allocation": "uniform"}
    gs.nn.prune(model, on={"*layers*proj": on}, **counts)
    return model


def written(model: nn.Module, prompt: Tensor, count: int = 12) -> Tensor:
    """The tokens that the model writes after a prompt, with its cache, greedily."""
    settings = {"max_new_tokens": count, "do_sample": False, "pad_token_id": 0}
    return model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)


@pytest.mark.parametrize("on", [gs.Blocks((16, 1)), gs.Elements(), gs.NofM(2, 4)], ids=str)
def test_a_compiled_llama_writes_the_same(on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(llama(), on)
    fast = gs.compile(model, {"input_ids": TOKEN, "use_cache": True})
    assert sum(isinstance(m, LayoutModule) for m in fast.modules()) >= 14
    assert sum(isinstance(m, RuntimeRMSNorm) for m in fast.modules()) == 5
    prompts = torch.randint(0, VOCABULARY, (3, 7))
    assert torch.equal(written(fast, prompts), written(model, prompts))


@pytest.mark.parametrize("win", [True, False])
def test_a_compiled_gpt2_writes_the_same(win: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = gpt2()
    with torch.no_grad():  # blocks of 16 outputs: its weights are (inputs, outputs)
        for name, weight in model.named_parameters():
            if "c_" in name and weight.ndim == 2:
                weight.view(len(weight), -1, 16)[
                    torch.rand(len(weight), weight.shape[1] // 16) < 0.7
                ] = 0
    if not win:
        monkeypatch.setattr(choosing, "race", lambda runs, **_: [1.0, *[2.0] * (len(runs) - 1)])
    fast = gs.compile(model, {"input_ids": TOKEN})
    projection = fast.transformer.h[0].mlp.c_fc
    assert isinstance(projection, RuntimeLinear) if win else type(projection).__name__ == "Conv1D"
    prompts = torch.randint(0, VOCABULARY, (3, 7))
    assert torch.equal(written(fast, prompts), written(model, prompts))


@pytest.mark.parametrize("make", [llama, gpt2])
def test_compiled_language_models_are_saved(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(make(), gs.Elements()) if make is llama else make()
    model.generation_config.max_new_tokens = 9
    fast = gs.compile(model, TOKEN, values="bfloat16")
    gs.nn.save_model(fast, tmp_path / "fast.safetensors")
    again = gs.nn.load_model(tmp_path / "fast.safetensors")
    assert type(again) is type(model)
    assert not again.training and again.generation_config.max_new_tokens == 9
    assert gs.runtime.report(again).to_dict() == gs.runtime.report(fast).to_dict()
    embedding = again.get_input_embeddings()
    assert embedding.values is again.lm_head.values
    prompts = torch.randint(0, VOCABULARY, (3, 7))
    assert torch.equal(written(again, prompts), written(fast, prompts))
    held = gs.runtime.report(fast).total.bytes
    size = (tmp_path / "fast.safetensors").stat().st_size
    with safe_open(tmp_path / "fast.safetensors", framework="pt") as file:
        header = sum(map(len, file.metadata().values()))
    assert held <= size - header < held + 250 * len(fast.state_dict())


def test_dense_language_models_are_saved_with_their_ties(tmp_path: Path) -> None:
    model = llama()
    gs.nn.save_model(model, tmp_path / "model.safetensors")
    again = gs.nn.load_model(tmp_path / "model.safetensors")
    assert again.lm_head.weight is again.model.embed_tokens.weight
    tokens = torch.randint(0, VOCABULARY, (2, 5))
    assert torch.equal(again(tokens).logits, model(tokens).logits)


def test_models_of_no_installed_class_are_refused(tmp_path: Path) -> None:
    model = llama()
    record = describe_architecture(model)
    for path in ("transformers.models.llama.modeling_llama.Llama9", "os.path.join"):
        with pytest.raises(ModelFileError, match=f"has no model '{path}'"):
            build(record | {"class": path}, tensors_of(model), {})
    del record["parameters"]["model.norm.weight"]
    with pytest.raises(ModelFileError, match=r"no tensor 'model\.norm\.weight'"):
        build(record, tensors_of(model), {})
    kind = type("Mine", (type(model),), {})
    with pytest.raises(ValueError, match="Mine is a class of your own on transformers"):
        describe_architecture(kind(model.config))


def test_decoding_with_a_cache_gives_the_same_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(llama())
    fast = gs.compile(model, TOKEN)
    caches = []
    with torch.no_grad():
        for one in (model, fast):
            cache = one(torch.arange(6)[None], use_cache=True).past_key_values
            one(input_ids=TOKEN, past_key_values=cache, use_cache=True)
            caches.append(cache)
    assert type(caches[1]) is type(caches[0])
    assert caches[1].get_seq_length() == 7
    for dense, sparse in zip(caches[0].layers, caches[1].layers, strict=True):
        assert close(sparse.keys, dense.keys) and close(sparse.values, dense.values)


def test_an_example_with_a_cache_is_not_written_into(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = pruned(llama())
    with torch.no_grad():
        cache = model(torch.arange(6)[None], use_cache=True).past_key_values
    fast = gs.compile(model, {"input_ids": TOKEN, "past_key_values": cache})
    assert cache.get_seq_length() == 6
    assert any(isinstance(module, RuntimeLinear) for module in fast.modules())
    followed = model(torch.arange(6)[None], use_cache=True).past_key_values
    with pytest.raises(ValueError, match=r"cannot be copied.* under torch\.no_grad\(\)"):
        gs.compile(model, {"input_ids": TOKEN, "past_key_values": followed})


def test_examples_copy_what_a_model_writes_into_and_no_tensors() -> None:
    class Notes:
        def __init__(self, seen: Tensor) -> None:
            self.seen = [seen]

    class Writer(nn.Module):
        def forward(self, x: Tensor, pairs: list[Tensor], notes: Notes) -> tuple[Any, ...]:
            notes.seen.append(x)
            return x, pairs[0], notes

    x, notes = torch.ones(2), Notes(torch.ones(2))
    got = Example.of({"x": x, "pairs": [x], "notes": notes}).run(Writer())
    assert got[0] is x and got[1] is x
    assert len(notes.seen) == 1 and len(got[2].seen) == 2
    assert got[2].seen[0] is not notes.seen[0]


@pytest.mark.parametrize("values", ["float32", "bfloat16", "int8"])
def test_a_tied_embedding_reads_from_the_layout_of_the_head(
    values: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse_layers_win(monkeypatch)
    model = llama()
    fast = gs.compile(model, TOKEN, values=values)
    embedding, head = fast.model.embed_tokens, fast.lm_head
    assert isinstance(embedding, RuntimeEmbedding) and isinstance(head, RuntimeLinear)
    assert embedding.values.data_ptr() == head.values.data_ptr()
    rows = torch.arange(VOCABULARY)
    limit = {"float32": 0.0, "bfloat16": 2**-8, "int8": 2**-7}[values]
    weight = model.lm_head.weight.detach()
    apart = (embedding(rows) - weight).abs().max()
    assert float(apart) <= limit * float(weight.abs().max())
    assert torch.equal(embedding(rows), head.dense_weight())
    parts = {row.name: row for row in gs.runtime.report(fast).layers}
    assert parts["model.embed_tokens"].layout == parts["lm_head"].layout
    alone = sum(b.numel() * b.element_size() for b in head.buffers())
    rest = sum(p.numel() * 4 for p in fast.parameters()) + sum(
        row.bytes for name, row in parts.items() if name.endswith("proj")
    )
    assert gs.runtime.report(fast).total.bytes <= alone + rest + 200  # positions of the rotation


def test_an_embedding_that_would_cost_too_much_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from gossamer.runtime import tying

    sparse_layers_win(monkeypatch)
    monkeypatch.setattr(tying, "race", lambda runs: [1.0, 2.0])
    fast = gs.compile(llama(), TOKEN)
    assert type(fast.model.embed_tokens) is nn.Embedding
    assert isinstance(fast.lm_head, RuntimeLinear)


def test_layers_alike_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    measured = []
    choose = alike.choose

    def counted(name: str, *arguments: Any) -> Any:
        measured.append(name)
        return choose(name, *arguments)

    monkeypatch.setattr(alike, "choose", counted)
    model = pruned(llama(num_hidden_layers=4))
    with torch.no_grad():  # other zeros than its like have
        model.model.layers[2].mlp.down_proj.weight[:, 20:] = 0
    fast = gs.compile(model, TOKEN)
    assert "model.layers.1.self_attn.q_proj" not in measured
    assert "model.layers.2.mlp.down_proj" in measured
    assert "model.layers.3.mlp.down_proj" not in measured
    rows = {row.name: row for row in gs.runtime.report(fast).layers}
    first, last = (rows[f"model.layers.{i}.mlp.gate_proj"] for i in (0, 3))
    assert first.layout == last.layout and first.seconds == last.seconds
    prompts = torch.randint(0, VOCABULARY, (2, 5))
    assert torch.equal(written(fast, prompts), written(model, prompts))


def test_a_layer_whose_like_rounds_too_much_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 32, bias=False), nn.Linear(32, 32, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.randint(-3, 4, (32, 32)))  # bfloat16 has these
    fast = gs.compile(model, torch.ones(1, 32), values="bfloat16", tolerance=1e-5)
    assert fast[0].layout.precision == "bfloat16"
    assert not isinstance(fast[1], LayoutModule) or fast[1].layout.precision == "float32"


@pytest.mark.parametrize("kind", ["llama", "gemma", "torch"])
def test_norms_by_one_kernel(kind: str) -> None:
    from gossamer.runtime.candidates import Options, candidates

    made: nn.Module = nn.RMSNorm(24, eps=1e-5)
    if kind != "torch":
        module = pytest.importorskip(f"transformers.models.{kind}.modeling_{kind}")
        made = getattr(module, f"{kind.title()}RMSNorm")(24, eps=1e-5)
    torch.manual_seed(0)
    nn.init.uniform_(made.weight, 0.5, 2.0)
    x = torch.randn(3, 5, 24)
    found = list(candidates(made, (x,), Options()))
    if kind == "gemma":  # it scales by one more than its weight
        assert found == []
        return
    (fast,) = found
    with torch.no_grad():
        for given in (x, x[:1, :1], x * 1e-4, x.transpose(0, 1), x[:0]):
            assert torch.allclose(fast(given), made(given), rtol=1e-5, atol=1e-6)
    given = x.clone().requires_grad_()
    fast(given).sum().backward()
    gradient = given.grad
    given.grad = None
    made(given).sum().backward()
    assert torch.allclose(gradient, given.grad, rtol=1e-4, atol=1e-5)


def test_norms_refuse_other_widths_and_types() -> None:
    norm = RuntimeRMSNorm(torch.ones(4), 1e-6)
    with pytest.raises(TypeError, match=r"x must be float32, got torch\.float64"):
        norm(torch.ones(2, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 4\), got \(2, 3\)"):
        norm(torch.ones(2, 3))


def test_skipping_layers_beside_a_compiled_head(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama()
    tokens = torch.randint(0, VOCABULARY, (4, 32))
    half = gs.runtime.sparsify_activations(
        model, {"input_ids": tokens}, {"*proj": 0.5}, criterion="wina"
    )
    zeros = gs.runtime.activation_zeros(half, {"input_ids": tokens})
    assert all(abs(share - 0.5) < 0.05 for name, share in zeros.items() if name != "lm_head")
    sparse_layers_win(monkeypatch)
    fast = gs.compile(half, TOKEN)
    assert isinstance(fast.lm_head, RuntimeLinear)
    prompt = torch.randint(0, VOCABULARY, (1, 5))
    assert torch.equal(written(fast, prompt), written(half, prompt))
    assert torch.equal(written(gs.runtime.to_dense(half), prompt), written(half, prompt))


class PlainDecoder(nn.Module):
    """One block with causal attention, and a head that shares the embedding's weight."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.reading, self.mixing = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, *, past: list[Tensor] | None = None) -> dict[str, Any]:
        x = self.embedding(tokens)
        queries, keys, values = self.reading(x).chunk(3, -1)
        if past is not None:
            keys, values = torch.cat([past[0], keys], 1), torch.cat([past[1], values], 1)
        mixed = nn.functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=past is None
        )
        return {"logits": self.head(x + self.mixing(mixed)), "past": [keys, values]}


def test_a_plain_decoder_with_arguments_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = PlainDecoder().eval()
    gs.nn.prune(model, keep=0.3, on={"reading": gs.Blocks((16, 1)), "mixing": gs.Elements()})
    past = model(torch.arange(5)[None])["past"]
    fast = gs.compile(model, {"tokens": TOKEN, "past": past})
    assert fast.embedding.values is fast.head.values
    got, wanted = fast(TOKEN, past=past), model(TOKEN, past=past)
    assert close(got["logits"], wanted["logits"]) and close(got["past"][0], wanted["past"][0])


@pytest.mark.parametrize("height, width", [(16, 1), (8, 1), (4, 4), (1, 1)])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_rows_of_blocks(height: int, width: int, precision: str) -> None:
    rng = np.random.default_rng(0)
    there = np.kron(rng.random((48 // height, 24 // width)) < 0.4, np.ones((height, width)))
    weight = (rng.standard_normal((48, 24)) * there).astype(np.float32)
    layout = gs.runtime.BlockRows.build(weight, height=height, width=width, precision=precision)
    rows = np.array([47, 0, 5, 5, 16])
    np.testing.assert_array_equal(layout.take(rows), layout.dense()[rows])
    assert layout.take(rows[:0]).shape == (0, 24)


@pytest.mark.slow
def test_the_real_model_writes_the_same(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.delenv("GOSSAMER_CALIBRATE")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from benchmarks.language.models import smollm2

    dense, tokenizer = smollm2()
    prompt = tokenizer("The lasso selects", return_tensors="pt").input_ids
    model = pruned(copy.deepcopy(dense))
    fast = gs.compile(model, {"input_ids": prompt[:, :1]})
    assert torch.equal(written(fast, prompt, 32), written(model, prompt, 32))
    total = gs.runtime.report(fast).total
    assert total.bytes < 0.5 * total.dense_bytes
    whole = gs.compile(dense, {"input_ids": prompt[:, :1]})  # no zeros: other kernels alone
    assert torch.equal(written(whole, prompt, 32), written(dense, prompt, 32))
