"""The decode benchmark measures what it says: the same tokens, three models in turn, a file."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.language import decode

WORDS = torch.arange(40).remainder(23)[None]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A random Llama in the place of the real one, and few rounds."""
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("GOSSAMER_CALIBRATE", "0")
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    monkeypatch.setattr(decode, "smollm2", lambda dtype=torch.float32: (model, None))
    monkeypatch.setattr(decode, "calibration", lambda *_, **__: WORDS.repeat(2, 1))
    monkeypatch.setattr(decode, "tokens_of", lambda *_: WORDS)
    monkeypatch.setattr(decode, "RESULTS", tmp_path / "decode.jsonl")
    for name, small in {"ROUNDS": 4, "TOKENS": 2, "PROMPT": 5, "WRITTEN": 6}.items():
        monkeypatch.setattr(decode, name, small)


def test_records_and_table(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["16x1 blocks 70 %", "WINA 50 %", "2:4"]
    decode.main(["--only", *names])
    printed = capsys.readouterr().out
    (file,) = decode.RESULTS.parent.glob("decode-*.jsonl")
    found = {record["name"]: record for record in decode.records.read(file)}
    assert set(found) == set(names)
    for record in found.values():
        assert record["same"] == 6
        assert len(record["written"]) == 4 and len(record["read"]) == 1
        assert all(len(row) == 3 and min(row) >= 0 for row in record["written"] + record["read"])
        assert 0 < record["memory"][2] and record["disk"] > 0
    lines = printed.splitlines()
    assert [line.split("  ")[0] for line in lines[-5:]] == [
        "dense float32", "dense bfloat16", "2:4", "16x1 blocks 70 %", "WINA 50 %",
    ]  # fmt: skip
    assert all(line.endswith("yes") for line in lines[-3:])
    decode.main(["--only", *names])
    assert "WINA 50 %\n" not in capsys.readouterr().out  # nothing is measured twice


def test_the_cells_of_the_table() -> None:
    record = {"written": [[0.04, 0.02, 0.01]] * 3, "read": [[0.004, 0.001, 0.002]]}
    assert decode._speeds(record, 2) == [100.0, 4.0, 2.0, 500.0, 2.0, 0.5]
    assert decode._speeds(record, 0) == pytest.approx([25.0, 1.0, 0.5, 250.0, 1.0, 0.25])


def test_a_writer_reads_one_token_at_a_time() -> None:
    seen = []

    class Model(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, **given: object) -> SimpleNamespace:
            seen.append(input_ids.shape[1])
            return SimpleNamespace(logits=torch.eye(9)[input_ids[:, -1:] + 1])

    writer = decode.Writer.__new__(decode.Writer)
    writer.model, writer.cache = Model(), None
    writer.token = writer._next(torch.tensor([[1, 2, 3]]))
    assert writer.text(3) == [4, 5, 6]
    assert seen == [3, 1, 1, 1]
