"""The report of a compressed language model: one page, and what a terminal shows."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossamer import report
from gossamer.report.compression import duration, lines, write_compression

KINDS = ("self_attn.q_proj", "mlp.up_proj")


def layer(block: int, kind: str, **changes: Any) -> dict[str, Any]:
    alive = 40 - 10 * block
    row = {"name": f"model.layers.{block}.{kind}", "weights": 100, "alive": alive}
    row |= {"error": 0.1 * (block + 1), "seconds": 0.5, "certificate": None, "facts": {}}
    return row | changes


@pytest.fixture
def record() -> dict[str, Any]:
    return {
        "source": "/models/tiny & small",
        "output": "/models/it's sparse",
        "model": {"class": "Llama", "parameters": 1234, "blocks": 3, "dtype": "bfloat16"},
        "settings": {"sparsity": 0.7, "pattern": None},
        "method": "Wanda",
        "sparsity": 0.7,
        "layers": [layer(block, kind) for block in range(3) for kind in KINDS],
        "perplexity": {
            "dense": 15.81, "sparse": 23.456, "windows": 8, "length": 512, "text": "novel.txt",
        },
        "sample": {"prompt": "Once <b>", "dense": "upon a time", "sparse": "in a field"},
        "bytes": {"file": 300_000_000, "dense": 200_000_000, "packed": 112_500_000},
        "seconds": 303.2,
        "notes": ["Something held out."],
    }  # fmt: skip


class Text(HTMLParser):
    """The words of a page, and the resources it asks for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.asked = list[str](), list[str]()
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        self.asked += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_tells_the_result_and_asks_for_nothing(
    record: dict[str, Any], tmp_path: Path
) -> None:
    files = write_compression(record, tmp_path, command=["gossamer", "compress", "a b"])
    assert [file.name for file in files] == ["report.json", "report.html"]
    page = Text(files[1].read_text(encoding="utf-8"))
    text = re.sub(r"\s+", " ", " ".join(page.words))
    for words in (
        "70.0% of the weights of 6 layers are zero: perplexity 15.81 became 23.46.",
        "tiny & small",
        'from_pretrained("/models/it\'s sparse")',
        "Once <b>",
        "upon a time",
        "in a field",
        "Something held out.",
        "5 min 3 s",
        "112.5 MB",
        "model.layers.…",
        "2.mlp.up_proj",
        "gossamer compress 'a b'",
    ):
        assert words in text, words
    assert all(place.startswith(("#", "data:")) for place in page.asked)
    assert "bounds how far a layer's objective" not in text


def test_the_page_of_what_was_written_is_the_same(record: dict[str, Any], tmp_path: Path) -> None:
    write_compression(record, tmp_path)
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report.render_compression(told) == (tmp_path / "report.html").read_text("utf-8")
    assert told["perplexity"] == record["perplexity"]
    assert told["versions"]["gossamer"]


def test_certificates_are_shown_where_there_are_any(record: dict[str, Any], tmp_path: Path) -> None:
    record["layers"][0]["certificate"] = {"value": 0.00123, "holds": True}
    write_compression(record, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "bounds how far a layer's objective" in page
    assert "0.0012" in page


def test_a_perplexity_beyond_all_numbers_is_shown(record: dict[str, Any], tmp_path: Path) -> None:
    record["perplexity"]["sparse"] = float("inf")
    write_compression(record, tmp_path)
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert told["perplexity"]["sparse"] is None
    assert "became inf" in lines(record)[0]


def test_the_terminal_names_the_layers_that_lost_most(record: dict[str, Any]) -> None:
    shown = lines(record)
    assert shown[-6:][1].split() == ["model.layers.2.self_attn.q_proj", "0.300"]
    assert len(shown) <= 24
    assert max(map(len, shown)) <= 80


def test_durations() -> None:
    assert [duration(s) for s in (0.123, 59.6, 60, 3599.6)] == [
        "0.12 s", "60 s", "1 min 0 s", "1 h 0 min",
    ]  # fmt: skip


def test_errors_are_a_line_a_kind_in_the_order_of_blocks() -> None:
    rows = [layer(block, kind) for block in (2, 0, 1) for kind in KINDS]
    ax = report.plot_block_errors(rows)
    assert len(ax.lines) == len(KINDS)
    for line in ax.lines:
        np.testing.assert_allclose(line.get_ydata(), [0.1, 0.2, 0.3])
    assert {text.get_text() for text in ax.texts} == {"q_proj", "up_proj"}


def test_the_map_of_zeros_has_a_row_a_kind_and_a_column_a_block() -> None:
    rows = [layer(block, kind) for block in range(3) for kind in KINDS][:-1]
    ax = report.plot_block_sparsity(rows)
    (mesh,) = ax.collections
    shown = np.ma.filled(mesh.get_array(), np.nan).reshape(2, 3)
    np.testing.assert_allclose(shown, [[0.6, 0.7, 0.8], [0.6, 0.7, np.nan]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["q_proj", "up_proj"]
    assert [text.get_text().strip() for text in ax.texts] == ["70.0%", "65.0%"]


def test_nothing_to_draw_and_names_without_a_block() -> None:
    for plot in (report.plot_block_errors, report.plot_block_sparsity):
        assert plot([]).texts[0].get_text() == "No layer was made sparse."
    row = layer(0, "", name="head")
    assert report.plot_block_errors([row]).texts[0].get_text() == "head"
