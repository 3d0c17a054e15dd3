"""From a model directory to a sparse one: judged on other text, resumable, nothing overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_language import TEXT, make_tokenizer, write_model_and_text

import gossamer as gs
from gossamer.nn.language import directories
from gossamer.nn.language.directories import compress_directory

QUICK = {"samples": 4, "length": 16}


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_and_text(tmp_path_factory.mktemp("dense"))


@pytest.fixture
def compressed(dense: Path, tmp_path: Path) -> Callable[..., Any]:
    def go(name: str = "out", **options: Any) -> Any:
        return compress_directory(dense, tmp_path / name, dense / "text.txt", **QUICK | options)

    return go


def test_what_is_told_is_true_of_what_is_written(
    compressed: Callable[..., Any], dense: Path
) -> None:
    done = compressed(sparsity=0.75)
    model, tokenizer = gs.nn.language.load(done.output)
    held_out = TEXT[int(len(TEXT) * 0.9) :]
    judged = gs.nn.language.tokens_of(tokenizer, held_out, 16, 16)
    assert gs.nn.language.perplexity(model, judged) == pytest.approx(done.perplexity["sparse"])
    before, _ = gs.nn.language.load(dense)
    assert gs.nn.language.perplexity(before, judged) == pytest.approx(done.perplexity["dense"])
    assert done.perplexity["sparse"] != pytest.approx(done.perplexity["dense"])
    assert done.sparsity == 0.75
    assert done.sample["prompt"] == held_out[:8]
    for row in done.layers:
        weight = model.get_parameter(f"{row['name']}.weight")
        assert int(weight.count_nonzero()) == row["alive"] == weight.numel() // 4
    assert len(done.layers) == 21
    assert done.bytes["packed"] == done.bytes["dense"] // 4 + done.bytes["dense"] // 32
    assert "held out" in done.notes[0]


def test_another_text_to_judge_by(compressed: Callable[..., Any], tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("zebra " * 60)
    done = compressed(evaluate=other)
    assert done.perplexity["text"] == "other.txt"
    assert done.sample["prompt"] == "zebra ze"
    assert done.notes == []


def test_a_pattern_decides_the_sparsity(compressed: Callable[..., Any]) -> None:
    done = compressed(pattern="1:4", method="magnitude")
    model, _ = gs.nn.language.load(done.output)
    weight = model.model.layers[2].self_attn.q_proj.weight
    assert torch.all(weight.view(32, 8, 4).count_nonzero(-1) == 1)
    assert done.sparsity == done.settings["sparsity"] == 0.75


def test_blocks_that_matter_more_keep_more(compressed: Callable[..., Any]) -> None:
    done = compressed(allocation="influence", method="magnitude", sparsity=0.6)
    model, tokenizer = gs.nn.language.load(done.settings["source"])
    windows = gs.nn.language.tokens_of(tokenizer, TEXT[: int(len(TEXT) * 0.9)], 16, 4, seed=0)
    kept = gs.nn.language.shares(model, windows, 0.4, "influence")
    assert max(kept.values()) - min(kept.values()) == pytest.approx(0.16)
    for row in done.layers:
        assert row["alive"] / row["weights"] == pytest.approx(kept[row["name"]], abs=2e-3)


def test_refining_brings_the_outputs_closer(compressed: Callable[..., Any], dense: Path) -> None:
    before, tokenizer = gs.nn.language.load(dense)
    tokens = gs.nn.language.tokens_of(tokenizer, TEXT, 16, 8)
    far = []
    for refine in (0, 3):
        done = compressed(f"out{refine}", sparsity=0.7, refine=refine)
        model, _ = gs.nn.language.load(done.output)
        assert done.sparsity == pytest.approx(0.7, abs=0.02)
        with torch.no_grad():
            far.append(float((model(tokens).logits - before(tokens).logits).norm()))
    assert far[1] < 0.9 * far[0]


@contextmanager
def stopping(steps: int, description: str) -> Iterator[Callable[[], None]]:
    """Ctrl-C after the second block."""
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if done == 2 and "block" in description:
            raise KeyboardInterrupt

    yield advance


def test_an_interrupted_run_goes_on_to_the_same_model(
    compressed: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compressed("whole")
    with pytest.raises(KeyboardInterrupt):
        compressed("cut", watch=stopping)
    assert not (tmp_path / "cut" / "config.json").exists()
    with pytest.raises(ValueError, match=r"unfinished run\. Add --resume"):
        compressed("cut")
    with pytest.raises(ValueError, match=r"sparsity: the unfinished run .* had 0\.5, not 0\.25"):
        compressed("cut", resume=True, sparsity=0.25)
    judged, inner = [], directories.judge
    monkeypatch.setattr(directories, "judge", lambda *given: judged.append(1) or inner(*given))
    done = compressed("cut", resume=True)
    assert len(judged) == 1  # the dense model is not judged again
    assert done.perplexity == whole.perplexity
    files = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut")]
    assert files[0].keys() == files[1].keys()
    assert all(torch.equal(files[0][name], files[1][name]) for name in files[0])
    assert not (tmp_path / "cut" / "unfinished").exists()


def test_a_run_that_stopped_before_its_first_block_is_no_obstacle(
    compressed: Callable[..., Any], tmp_path: Path
) -> None:
    @contextmanager
    def at_once(steps: int, description: str) -> Iterator[Callable[[], None]]:
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        compressed(watch=at_once)
    assert (tmp_path / "out" / "unfinished").exists()
    assert compressed(sparsity=0.75).sparsity == 0.75


def test_no_model_is_overwritten(compressed: Callable[..., Any], dense: Path) -> None:
    compressed()
    with pytest.raises(ValueError, match="holds a model already"):
        compressed()
    with pytest.raises(ValueError, match="the dense model itself"):
        compress_directory(dense, dense, dense / "text.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.0}, r"sparsity: a share in \[0, 1\), got 1.0"),
        ({"sparsity": 0.7, "pattern": "2:4"}, "pattern 2:4 makes 0.5 of the weights zero, not 0.7"),
        ({"allocation": "luck"}, "allocation: one of outliers, .*, or none, got 'luck'"),
        ({"allocation": "outliers", "pattern": "2:4"}, "pattern 2:4 keeps as much everywhere"),
        ({"refine": -1}, "refine: a number of passes >= 0, got -1"),
        ({"samples": 0}, "samples: at least 1, got 0"),
        ({"length": 1}, "length: at least 2, got 1"),
        ({"length": 65}, "the model reads at most 64 tokens, got 65"),
        ({"samples": 10_000}, "too few for 10000 windows"),
        ({"method": "wandb"}, "wanda"),
        ({"pattern": "checks"}, "2:4"),
        ({"pattern": "0:4"}, "n must be an integer >= 1"),
        ({"pattern": "7x1"}, "7 must divide"),
        ({"evaluate": "nothing.txt"}, "no text file nothing.txt"),
    ],
    ids=lambda value: " ".join(map(str, value.items()) if isinstance(value, dict) else ()),
)
def test_options_that_are_refused(
    compressed: Callable[..., Any], tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        compressed(**options)
    assert not (tmp_path / "out").exists(), "a refused call leaves nothing behind"


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"\xff\xfe\x00", "no text in UTF-8")]
)
def test_texts_that_are_refused(dense: Path, tmp_path: Path, content: bytes, message: str) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        compress_directory(dense, tmp_path / "out", text)


def test_weights_that_are_no_linear_layers_are_told(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = make_tokenizer()
    config = transformers.MixtralConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=64, num_local_experts=2, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    gs.nn.language.save(transformers.MixtralForCausalLM(config), tokenizer, tmp_path / "dense")
    (tmp_path / "text.txt").write_text(TEXT)
    done = compress_directory(tmp_path / "dense", tmp_path / "out", tmp_path / "text.txt", **QUICK)
    assert "held out" in done.notes[0]
    attention, experts = 32 * 32 * 2 + 32 * 16 * 2, 2 * 3 * 32 * 64 + 2 * 32  # and the router
    assert f"{experts / (attention + experts):.1%} of the weights of the blocks" in done.notes[1]
    assert "experts" in done.notes[1]


def test_the_record_is_plain_data(compressed: Callable[..., Any]) -> None:
    record = compressed().to_dict()
    assert json.loads(json.dumps(record)) == record
