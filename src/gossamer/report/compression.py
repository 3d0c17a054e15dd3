"""One self-contained HTML file about a language model that was made sparse."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any

from gossamer.report import plots
from gossamer.report.page import inline, page
from gossamer.report.plain import plain
from gossamer.report.text import column_width, counted, number, pad, shorten
from gossamer.report.versions import versions

FILES = ("report.json", "report.html")
_PACKAGES = ("numpy", "torch", "transformers")
_OPEN_ROWS = 30
_WORST = 5


def write_compression(
    record: Mapping[str, Any], folder: str | Path, *, command: Sequence[str] = ()
) -> list[Path]:
    """Write ``report.json`` and ``report.html`` into the folder.

    Parameters
    ----------
    record : mapping
        ``gs.nn.language.CompressedDirectory.to_dict()``.
    folder : path
    command : sequence of str
        The command line that does it again, one item an argument.

    Returns
    -------
    list of Path
    """
    told = {
        **record,
        "command": list(command),
        "versions": versions(_PACKAGES),
        "created": date.today().isoformat(),
    }
    files = [Path(folder) / name for name in FILES]
    text = json.dumps(plain(told), ensure_ascii=False, indent=1, allow_nan=False)
    files[0].write_text(text + "\n", encoding="utf-8")
    files[1].write_text(render_compression(told), encoding="utf-8")
    return files


def render_compression(record: Mapping[str, Any]) -> str:
    """The report as HTML text, of what ``report.json`` holds."""
    layers = record["layers"]
    return page("compression.html").render(
        r=record,
        title=Path(record["source"]).name,
        headline=headline(record),
        duration=duration(record["seconds"]),
        output=json.dumps(record["output"], ensure_ascii=False),
        command=shlex.join(record.get("command", ())),
        plots={
            "errors": inline(plots.plot_block_errors(layers), "errors"),
            "sparsity": inline(plots.plot_block_sparsity(layers), "sparsity"),
        },
        prefix=_common_prefix([row["name"] for row in layers]),
        weights=sum(row["weights"] for row in layers),
        largest=max((row["error"] for row in layers), default=1.0) or 1.0,
        certified=any(row["certificate"] for row in layers),
        open_rows=_OPEN_ROWS,
    )


def _common_prefix(names: Sequence[str]) -> str:
    """The parts that all names begin with, none of them to its end.

    >>> _common_prefix(["model.layers.0.mlp", "model.layers.0.attn", "model.layers.1.mlp"])
    'model.layers.'
    """
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    return "".join(
        f"{parts[0]}." for parts in takewhile(lambda parts: len(set(parts)) == 1, columns)
    )


def headline(record: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    found = record["perplexity"]
    return (
        f"{record['sparsity']:.1%} of the weights of {counted(len(record['layers']), 'layer')} are "
        f"zero: perplexity {number(found['dense'], 4)} became {number(found['sparse'], 4)}."
    )


def lines(record: Mapping[str, Any]) -> list[str]:
    """What a terminal shows."""
    model, found, sizes = record["model"], record["perplexity"], record["bytes"]
    blocks = "" if model["blocks"] is None else f", {counted(model['blocks'], 'block')}"
    facts = {
        "model": f"{model['class']}, {number(model['parameters'] / 1e6, 4)} M parameters{blocks}, "
        f"{model['dtype']}",
        "method": f"{record['method']}, {record['sparsity']:.1%} of "
        f"{number(sum(row['weights'] for row in record['layers']) / 1e6, 4)} M weights in "
        f"{counted(len(record['layers']), 'layer')} are zero",
        "perplexity": f"{number(found['dense'], 4)} before, {number(found['sparse'], 4)} after",
        "": f"on {found['windows']} × {found['length']} tokens of {shorten(found['text'], 40)}",
        "size": f"layers {megabytes(sizes['dense'])}, packed without their zeros "
        f"{megabytes(sizes['packed'])}",
        "time": duration(record["seconds"]),
    }
    told = [headline(record), ""]
    told += [pad(name, 13) + text for name, text in facts.items()]
    worst = sorted(record["layers"], key=lambda row: -row["error"])[:_WORST]
    width = max((column_width(row["name"]) for row in worst), default=0)
    told += ["", "largest errors of a layer's outputs, relative"]
    told += [f"  {pad(row['name'], width)}  {row['error']:.3f}" for row in worst]
    return told


def duration(seconds: float) -> str:
    """``42 s``, ``5 min 3 s``, ``2 h 10 min``.

    >>> duration(303.2), duration(7800)
    ('5 min 3 s', '2 h 10 min')
    """
    if seconds < 60:
        return f"{number(seconds, 2)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def megabytes(count: int) -> str:
    return f"{number(count / 1e6, 4 if count >= 1e8 else 3)} MB"
