"""Model directories: what is written is read again, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_language import make_tokenizer, write_model
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

import gossamer as gs
from gossamer.nn.language import files


def test_a_sparse_model_comes_back_with_its_zeros(tmp_path: Path) -> None:
    model, tokenizer = write_model(tmp_path / "dense")
    tokens = gs.nn.language.tokens_of(tokenizer, "the quick brown fox " * 20, 16)
    gs.nn.language.compress(model, tokens, keep=0.25)
    gs.nn.language.save(model, tokenizer, tmp_path / "sparse")
    again, reader = gs.nn.language.load(tmp_path / "sparse")
    assert not again.training
    assert reader("fox")["input_ids"] == tokenizer("fox")["input_ids"]
    weight = again.model.layers[0].mlp.up_proj.weight
    assert int(weight.count_nonzero()) == weight.numel() // 4
    with torch.no_grad():
        assert torch.equal(again(tokens).logits, model(tokens).logits)


def test_the_type_of_weights_is_that_of_the_files_or_the_one_asked_for(tmp_path: Path) -> None:
    model, tokenizer = write_model(tmp_path)
    files.save(model.to(torch.bfloat16), tokenizer, tmp_path)
    assert files.load(tmp_path)[0].dtype == torch.bfloat16
    assert files.load(tmp_path, dtype="float32")[0].dtype == torch.float32
    with pytest.raises(ValueError, match="dtype: one of auto, float32"):
        files.load(tmp_path, dtype="int8")
    with pytest.raises(ValueError, match="device: 'abacus' cannot be used"):
        files.load(tmp_path, device="abacus")


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def one_weight_less(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def own_code(folder: Path) -> None:
    configured(folder, auto_map={"AutoModelForCausalLM": "code.Model"})


def encoder(folder: Path) -> None:
    configured(folder, architectures=["BertForMaskedLM"])


def configured(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_config, "no model directory: it has no config.json"),
        (pickled, "weights as a pickle.*convert them to safetensors"),
        (no_weights, "there is no .safetensors file"),
        (one_weight_less, "lacks 1 of the model's weights, such as 'model.norm.weight'"),
        (own_code, "needs code of its own, which is not run"),
        (encoder, "BertForMaskedLM, which is no causal language model"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_directories_that_are_refused(tmp_path: Path, spoil: Any, message: str) -> None:
    write_model(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ValueError, match=message):
        files.load(tmp_path)


def test_a_missing_folder_and_a_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no folder that holds a model.*hf download"):
        files.load(tmp_path / "nothing")
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'gossamer\[llm\]'"):
        files.load(tmp_path)


def test_models_that_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"got Linear.*gs\.nn\.save_model"):
        files.save(nn.Linear(2, 2), None, tmp_path)
    model, tokenizer = write_model(tmp_path)
    register_parametrization(model.model.layers[0].mlp.up_proj, "weight", nn.Identity())
    with pytest.raises(ValueError, match=r"mlp\.up_proj' computes its weight"):
        files.save(model, tokenizer, tmp_path)


def test_the_tokenizer_gives_back_what_it_was_given() -> None:
    tokenizer = make_tokenizer()
    assert tokenizer.decode(tokenizer("Größe 7")["input_ids"]) == "Größe 7"
