"""The table of one-shot pruning: what is known is kept, and the best of each column is found."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.language import one_shot
from benchmarks.records import read

from gossamer.nn.language.method import METHODS


def measured(monkeypatch: pytest.MonkeyPatch, results: Path, *arguments: str) -> list[str]:
    """Run the command with made-up measurements; what was measured."""
    seen: list[str] = []

    def cell(row: one_shot.Row, column: str, samples: int, length: int) -> dict[str, Any]:
        if column == "16x1" and type(row.method).__name__ == "DSnoT":
            raise ValueError("no such pattern")
        seen.append(f"{type(row.method).__name__} {column}")
        return {"pydoc": 20.0 + len(seen), "Persuasion": 50.0 - len(seen)}

    monkeypatch.setattr(one_shot, "cell", cell)
    monkeypatch.setattr(one_shot, "dense", lambda: {"pydoc": 15.0, "Persuasion": 40.0})
    monkeypatch.setattr(sys, "argv", ["one_shot", "--results", str(results), *arguments])
    one_shot.main()
    return seen


def test_known_cells_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "one_shot.jsonl"
    first = measured(
        monkeypatch, results, "--methods", "Wanda", "DSnoT", "--columns", "50%", "16x1"
    )
    assert first == ["Wanda 50%", "DSnoT 50%", "Wanda 16x1"]
    assert "no such pattern" in capsys.readouterr().out
    assert measured(monkeypatch, results, "--methods", "Wanda", "--columns", "50%", "2:4") == [
        "Wanda 2:4"
    ]
    again = ("--methods", "Wanda", "--columns", "50%", "--again")
    assert measured(monkeypatch, results, *again) == ["Wanda 50%"]
    assert len(read(results)) == 5
    capsys.readouterr()
    assert measured(monkeypatch, results, "--table") == []
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| method | 50% | 60% | 70% | 2:4 | 4:8 | 16x1 |"
    assert "| DSnoT | 22.0 / **48.0** |  |  |  |  |  |" in lines
    assert any(line.startswith("Dense: 15.0 / 40.0.") for line in lines)


def test_unknown_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no"):
        measured(monkeypatch, tmp_path / "one_shot.jsonl", "--methods", "Wandaa")


def test_all_methods_and_patterns_are_there() -> None:
    assert {kind.__name__ for kind in METHODS} <= set(one_shot.rows(None))
    peers = set(one_shot.rows(Path("peers"))) - set(one_shot.rows(None))
    assert "SparseGPT, authors" in peers


def test_peers_say_where_they_come_from(tmp_path: Path) -> None:
    from benchmarks.language import peers

    layer = next(iter(peers.peers(tmp_path).values()))
    assert repr(layer) == "Peer(llmcompressor_wanda_of)"
    with pytest.raises(FileNotFoundError, match="pip install --no-deps"):
        peers._load(tmp_path / "sparsegpt.py")
